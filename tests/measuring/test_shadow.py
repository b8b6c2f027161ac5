"""hs.shadow: both asked the same, compared in pairs; what becomes of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holystream_nb as hs
from holystream_nb.errors import SetupError
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running.similarity import similarity
from holystream_nb.measuring.shadow import NOT_QUALITY, Shadow
from holystream_nb.measuring.values.record import Trial
from holystream_nb.session import session

pytestmark = pytest.mark.slow

SAME = "Repeat after me: the quick brown fox jumps over the lazy dog"
OTHER = "Repeat after me: seven green bottles"
OLD, NEW = "simulator:gpt-4.1", "simulator:deepseek-v3.2"


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A shadow over the kernel's own simulator, as fast as it can, with its file in a folder of the test."""
    monkeypatch.setenv("HOLYSTREAM_SIMULATOR_SPEED", "max")
    monkeypatch.delenv("HOLYSHEEP_API_KEY", raising=False)

    async def shadow(prompts: Any, **options: Any) -> Shadow:
        defaults = {"old": OLD, "new": NEW, "seed": 1, "calibrate": False, "path": tmp_path / "shadow.jsonl"}
        return await hs.shadow(prompts, **{**defaults, **options})

    session.stop_simulator()
    yield shadow
    session.stop_simulator()


# Similarity


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [
        ("one two", "two ONE!", 1),
        ("one two", "three four", 0),
        ("a b", "a c", 0.5),
        ("a a b", "a", 2 / 5**0.5),
        ("羊吃草", "羊吃肉", 2 / 3),
        ("", "a", None),
        ("…", "a", None),
    ],
)
def test_similarity_is_the_cosine_of_word_counts(a: str, b: str, value: float | None) -> None:
    """By hand; case and order do not count, and a Chinese character is a word."""
    assert similarity(a, b) == (None if value is None else pytest.approx(value))


@given(st.text(), st.text())
def test_similarity_is_symmetric_and_between_0_and_1(a: str, b: str) -> None:
    """Whatever the texts are."""
    found = similarity(a, b)
    assert found == similarity(b, a)
    assert found is None or 0 <= found <= 1
    assert similarity(a, a) in (None, pytest.approx(1))


# For real


async def test_both_are_asked_the_same_and_compared_in_pairs(shadow: Callable[..., Any]) -> None:
    """Every prompt and repeat is a pair, with latency, cost and similarity of both sides; answers are not kept."""
    found = await shadow([SAME, OTHER], repeats=4)
    pairs = found.pairs
    assert [tuple(row) for row in pairs[["prompt", "repeat"]].to_numpy()] == [(p, r) for p in (0, 1) for r in range(4)]
    assert pairs["similarity"].between(0.2, 1).all()
    assert pairs[["old_ttft_ms", "new_ttft_ms", "old_e2e_s", "new_e2e_s", "old_cost_usd"]].notna().all(axis=None)
    assert (pairs["new_cost_usd"] < pairs["old_cost_usd"]).all()
    assert found.similarity.value > found.unrelated.value
    assert not [name for name in pairs.columns if "answer" in name]
    assert "fox" not in found.result.path.read_text("utf-8").partition("\n")[2], "an answer was written"


async def test_answers_are_kept_only_when_asked_for(shadow: Callable[..., Any]) -> None:
    """Then both are in `pairs` and in the file, which makes the same shadow again."""
    found = await shadow(SAME, repeats=2, answers=True)
    assert found.pairs["old_answer"].str.contains("brown fox").all()
    assert found.pairs["new_answer"].str.contains("brown fox").all()
    again = Shadow(load(found.result.path))
    assert again.pairs.equals(found.pairs)
    assert again.verdict == found.verdict


async def test_a_failure_is_counted_and_its_pair_has_no_similarity(shadow: Callable[..., Any]) -> None:
    """Errors stand side by side with the interval of their share."""
    found = await shadow(SAME, repeats=3, new="simulator:gpt-4.1#cut=2", warmup=0)
    table = found.summary()
    assert table.loc["errors", ["old", "new"]].tolist() == [0, 3]
    assert table.loc["error rate (%)", ["old_low", "old_high"]].tolist() == [0, pytest.approx(70.8, abs=0.1)]
    assert table.loc["error rate (%)", ["new_low", "new_high"]].tolist() == [pytest.approx(29.2, abs=0.1), 100]
    assert found.pairs["similarity"].isna().all()
    assert set(found.pairs["new_error"]) == {"StreamInterrupted"}
    assert "3 of 3 requests failed against 0 of 3" in found.verdict


async def test_a_shadow_that_was_cut_short_goes_on(shadow: Callable[..., Any], tmp_path: Path) -> None:
    """What is there is not asked again; half a pair that is completed has no similarity."""
    whole = await shadow(SAME, repeats=4)
    lines = whole.result.path.read_text("utf-8").splitlines()
    trials = [line for line in lines if json.loads(line)["kind"] == "trial"]
    half = tmp_path / "half.jsonl"
    half.write_text("\n".join([lines[0], *trials[:3]]) + "\n", "utf-8")
    found = await shadow(SAME, repeats=4, path=None, resume=half)
    assert len(found.pairs) == 4
    assert found.result.missing == 0
    assert found.pairs["similarity"].notna().sum() == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [({"new": OLD}, "itself"), ({"new": object()}, "provider:model"), ({"old": ["gpt-4.1"]}, "provider:model")],
)
async def test_what_cannot_be_compared_is_refused(
    shadow: Callable[..., Any], options: dict[str, Any], said: str
) -> None:
    """Before anything is sent."""
    with pytest.raises(SetupError, match=said):
        await shadow(SAME, **options)


# By hand


@pytest.fixture
def made(trial: Callable[..., Trial], result: Callable[..., Result]) -> Callable[..., Shadow]:
    """A shadow of 20 pairs by hand: the old side at 300 ms and $0.02, the new one as said."""

    def made(new_ttft: float, new_usd: str | None, note: str = "") -> Shadow:
        trials = []
        for repeat in range(20):
            shared = {"repeat": repeat, "price_note": note}
            usd = None if new_usd is None else Decimal(new_usd)
            trials += [
                trial("simulator:a", ttft=300 + repeat, usd=Decimal("0.02"), **shared),
                trial("simulator:b", ttft=new_ttft + repeat, usd=usd, similarity=0.5, **shared),
            ]
        return Shadow(result(*trials))

    return made


def test_the_verdict_says_what_is_more_than_noise(made: Callable[..., Shadow]) -> None:
    """Paired differences with their intervals; and that similarity is no quality."""
    verdict = made(100, "0.005").verdict
    sure = "more than noise, for this one prompt"
    assert verdict.startswith(f"b against a: first token 200 ms shorter (200 to 200: {sure}); whole answer ")
    assert "$0.0150 (75 %) less a request; 0 of 20 requests failed against 0 of 20; similarity 0.500" in verdict
    assert verdict.endswith(f"; {NOT_QUALITY}.")
    assert "no more than noise" in made(300, "0.02").verdict
    assert "cost unknown" in made(100, None).verdict
    assert "a request (0 to 0: no more than noise)" in made(100, "0.02").verdict
    assert "simulated" in made(100, "0.01", "simulated").verdict


def test_the_table_names_both_sides_and_carries_the_notes(made: Callable[..., Shadow]) -> None:
    """Markdown with old, new, difference; what n is too small for has a star. As numbers, with intervals beside."""
    shown = made(100, "0.005").to_markdown()
    assert "| old: a | new: b |" in shown
    assert "| TTFT p95 (ms) | 318\\* | 118\\* | – |" in shown
    assert "no interval at this size" in shown
    row = made(100, "0.005").summary().loc["TTFT p50 (ms)"]
    assert row[["old", "difference", "difference_low", "difference_high"]].tolist() == [309.5, -200, -200, -200]
    assert "timing error was not measured" in shown


def test_the_chart_says_what_it_shows(made: Callable[..., Shadow]) -> None:
    """Two panels with their words; the picture is a PNG."""
    from holystream_nb.measuring.charts.canvas import png

    panels = made(100, "0.005").plot()
    assert "Not a judgement of quality" in repr(panels)
    assert "0.250 (0.250 to 0.250)" in repr(panels)
    assert png(panels.figure).startswith(b"\x89PNG")


def test_percentiles_are_those_of_the_run(burst: Callable[..., list[Trial]], result: Callable[..., Result]) -> None:
    """Of its steady part, as the note below the table says: with the burst of the start the p95 was 900 ms."""
    made = result(*burst("simulator:a", 300), *burst("simulator:b", 200), concurrency=8)
    table, own = Shadow(made).summary(), made.summary()
    for side, model in (("old", "simulator:a"), ("new", "simulator:b")):
        for p in ("p50", "p95"):
            assert table.loc[f"TTFT {p} (ms)", side] == own.loc[model, f"ttft_{p}_ms"]
    assert table.loc["requests", "old"] == 96
