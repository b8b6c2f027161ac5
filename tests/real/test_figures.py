"""Our figures against the engine's own, request by request, and the difference stated."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

import holystream_nb as hs

from .conftest import Way
from .programs import NIGHTLY, Engine

pytestmark = pytest.mark.real

PROMPTS = ["Tell me about trees.", "Tell me about the sea.", "Tell me about bread.", "Tell me about cities."]
REPEATS = 25 if NIGHTLY else 5
TOKENS = 40


def test_the_log_says_what_the_last_chunk_says(smollm: Engine) -> None:
    """`timings` of the last chunk are the log's lines, which every way leaves alone."""
    since = len(smollm.log.read_text("utf-8", "replace"))
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "stream": True}
    request = urllib.request.Request(
        f"{smollm.url}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        lines = answer.read().decode().split("\n\n")
    said = next(chunk["timings"] for line in lines if "timings" in (chunk := json.loads(line[6:])))
    smollm.until_free()
    [logged] = smollm.timings(since)
    assert logged.prompt_ms == pytest.approx(said["prompt_ms"], abs=0.02)
    assert logged.predicted_ms == pytest.approx(said["predicted_ms"], abs=0.02)
    assert (logged.prompt_n, logged.predicted_n) == (said["prompt_n"], said["predicted_n"])
    assert logged.tokens_per_s == pytest.approx(said["predicted_per_second"], rel=0.01)


ADDS_MS = {"direct": 10, "litellm": 60, "nginx-buffering": 400, "haproxy": 260}
"""At most, in the median: what stands between the engine's first token and ours."""


async def test_bench_measures_what_the_engine_says(
    way: Way, state: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TTFT is the engine's time for the prompt and a little; tokens are its own; tokens a second are its own.

    Where a proxy buffers, TTFT holds the time in which its first buffer was filled. What was in that does not count as
    made since then, so the rate is the engine's all the same, but for the last buffer, which goes before it is full.
    """
    table = tmp_path / "providers.toml"
    table.write_text(f'[real]\nbase_url = "{way.url}"\nkey_variable = "REAL_KEY"\nprice_list = "local"\n')
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(table))
    monkeypatch.setenv("REAL_KEY", way.key or "sk-nobody-asks-for-it-0")
    since = len(way.engine.log.read_text("utf-8", "replace"))
    result = await hs.bench(
        f"real:{way.engine.model}",
        PROMPTS,
        repeats=REPEATS,
        max_tokens=TOKENS,
        ignore_eos=True,
        calibrate=False,
        path=tmp_path / "run.jsonl",
    )
    way.engine.until_free()
    trials = sorted(result.records, key=lambda trial: trial.sent or 0)
    theirs = way.engine.timings(since)[-len(trials) :]
    assert len(trials) == len(theirs) == len(PROMPTS) * REPEATS
    assert not [trial for trial in trials if trial.error]
    assert {trial.output_tokens for trial in trials} == {each.predicted_n for each in theirs} == {TOKENS}
    kept = [trial.service.get("prompt_ms") for trial in trials]
    assert kept == pytest.approx([each.prompt_ms for each in theirs], abs=0.02) or way.name == "litellm"
    later = [(trial.timing.ttft_ms or 0) - each.prompt_ms for trial, each in zip(trials, theirs, strict=True)]
    ratio = [
        (trial.timing.decode_tokens_per_s or 0) / each.tokens_per_s for trial, each in zip(trials, theirs, strict=True)
    ]
    state(
        f"{way.name}: TTFT − prompt_ms of {len(later)} requests: {min(later):.1f} to {max(later):.1f} ms, "
        f"median {median(later):.1f}; tokens/s ÷ the engine's: {min(ratio):.3f} to {max(ratio):.3f}, "
        f"median {median(ratio):.3f}"
    )
    assert min(later) > 0
    assert median(later) < ADDS_MS[way.name]
    assert max(later) > (30 if way.buffers else 0)
    assert median(ratio) == pytest.approx(1, abs=0.2 if way.buffers else 0.05)
