"""Synthetic prompts against a real tokenizer and a real chat template, and answers of an exact length."""

from __future__ import annotations

from pathlib import Path

import pytest

import holystream_nb as hs

from .programs import Engine

pytestmark = pytest.mark.real


async def test_prompts_and_answers_have_the_tokens_that_were_asked_for(
    smollm: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of llama.cpp: input to one percent of the engine's own count, output exactly, with ignore_eos."""
    table = tmp_path / "providers.toml"
    table.write_text(f'["llama.cpp"]\nbase_url = "{smollm.url}"\n')
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(table))
    result = await hs.bench(
        f"llama.cpp:{smollm.model}",
        hs.synthetic([100, 300, 700], [20, 40, 30]),
        repeats=2,
        calibrate=False,
        path=tmp_path / "run.jsonl",
    )
    assert not [trial.message for trial in result.records if trial.error]
    for trial in result.records:
        asked = result.plan.prompts[trial.prompt]
        assert trial.prompt_tokens == pytest.approx(asked.input_tokens, rel=0.01)  # type: ignore[union-attr]
        assert trial.output_tokens == asked.output_tokens  # type: ignore[union-attr]
    assert not any("of what was asked for" in note for note in result.notes)


async def test_a_prompt_that_does_not_fit_leaves_the_others_exact(smollm: Engine, tmp_path: Path) -> None:
    """Of a slot of 1,024 tokens the engine refuses 2,000, and counts 100 and 500 as what was asked for."""
    result = await hs.bench(
        smollm.model,
        hs.synthetic([100, 500, 2000], 8),
        base_url=smollm.url,
        api_key="none",
        calibrate=False,
        path=tmp_path / "run.jsonl",
    )
    counts = {trial.prompt: (trial.prompt_tokens, trial.error) for trial in result.records}
    assert counts == {0: (100, ""), 1: (500, ""), 2: (0, "PromptTooLong")}


async def test_a_warm_prompt_is_in_the_cache(smollm: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine takes the shared beginning from its cache, and answers sooner."""
    table = tmp_path / "providers.toml"
    table.write_text(f'["llama.cpp"]\nbase_url = "{smollm.url}"\n')
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(table))
    result = await hs.bench(
        f"llama.cpp:{smollm.model}",
        hs.synthetic(700, 8, shared_prefix=600),
        repeats=5,
        cache=("cold", "warm"),
        calibrate=False,
        path=tmp_path / "run.jsonl",
    )
    cold, warm = (result.rows(arm) for arm in result.arms)
    assert cold["cached_tokens"].fillna(0).max() < 100 < 500 < warm["cached_tokens"].min()
    assert warm["ttft_ms"].median() < cold["ttft_ms"].median()
