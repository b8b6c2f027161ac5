"""until="decided": pairs in the order of the schedule, the end when the difference is clear, and what is said of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import holystream_nb as hs
from holystream_nb.errors import SetupError
from holystream_nb.measuring.figures.comparison import UntilDecided, compare
from holystream_nb.measuring.figures.sequential import Deciding, decided
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.pairs import Pairs
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import End, Lost, Trial
from holystream_nb.measuring.values.schedule import schedule

Make = Callable[..., Trial]
Results = Callable[..., Result]
Run = Callable[..., Awaitable[Result]]

A, B = "simulator:a", "simulator:b"
QUICK = "simulator:gpt-4.1#tokens=2,rate=200,first=0.005"
SLOW = "simulator:gpt-4o#tokens=2,rate=200,first=0.1"


def plan(**changes: Any) -> Plan:
    return Plan(**{"models": (A, B), "prompts": ("Hello",), "repeats": 60, "until_decided": "ttft_ms", **changes})


def in_order(made: Plan) -> list[int]:
    return [block[0].repeat for block in schedule(made)]


def test_pairs_wait_for_the_first_that_still_runs(trial: Make) -> None:
    """What ended behind it, because it was quick, is not looked at before it has ended too."""
    made = plan()
    first, second, third = in_order(made)[:3]
    pairs = Pairs(made)
    for repeat in (second, third):
        assert pairs.add(trial(A, repeat=repeat)) == pairs.add(trial(B, repeat=repeat)) == []
    assert pairs.add(trial(A, repeat=first, ttft=5000)) == []
    found = pairs.add(trial(B, repeat=first))
    assert [each[0].repeat for each in found if each[0]] == [first, second, third]


def test_a_request_that_is_lost_twice_holds_nothing_up(trial: Make) -> None:
    """Once it is made again, twice it is not."""
    made = plan()
    first, second = in_order(made)[:2]
    pairs = Pairs(made)
    pairs.add(trial(A, repeat=first))
    lost = Lost(model=B, prompt=0, repeat=first)
    assert pairs.add(lost) == []
    assert [each[1] for each in pairs.add(lost)] == [None]
    pairs.add(trial(A, repeat=second))
    assert len(pairs.add(trial(B, repeat=second))) == 1


def test_looking_after_every_pair_is_the_bound_of_the_whole() -> None:
    """`Deciding` says what `decided` says of every prefix, and takes nothing in after its word."""
    values = np.random.default_rng(3).normal(-1, 2, 60).tolist()
    deciding = Deciding()
    said = [deciding.add(value, n) for n, value in enumerate(values)]
    first = next(n for n in range(1, 61) if decided(values[:n]).is_decided)
    assert said.index(True) + 1 == first == len(deciding.differences)
    assert deciding.decision == decided(values[:first], list(range(first)))


def script(trial: Make, made: Plan, shift: float) -> list[Trial]:
    rng = np.random.default_rng(7)
    rows = []
    for block in schedule(made):
        for slot in block:
            ttft = float(rng.lognormal(5, 0.4)) + (shift if slot.model else 0)
            rows.append(trial(made.models[slot.model], repeat=slot.repeat, ttft=ttft))
    return rows


def test_a_clear_difference_ends_it_and_none_does_not(trial: Make) -> None:
    """150 ms of about 150 are decided within 20 pairs; nothing is, in 60."""
    ends = {}
    for shift in (150.0, 0.0):
        enough = UntilDecided(plan())
        ends[shift] = next((n // 2 for n, each in enumerate(script(trial, plan(), shift), 1) if enough.add(each)), None)
    assert ends[0.0] is None
    assert ends[150.0] is not None
    assert 8 <= ends[150.0] <= 20


def test_the_result_has_the_pairs_up_to_the_deciding_one(trial: Make, result: Results) -> None:
    """Those that were then in flight are left out; the interval is the sequential one, for every figure."""
    rows = script(trial, plan(), 150.0)
    enough = UntilDecided(plan())
    pairs = next(n // 2 for n, each in enumerate(rows, 1) if enough.add(each))
    made = result(*rows[: 2 * pairs + 5], repeats=60, until_decided="ttft_ms", ends=(End(0, "decided"),))
    found = made.compare("a", "b")
    assert (found.pairs, found.is_sequential) == (pairs, True)
    expected = decided(found.differences, ["Hello"] * pairs)
    assert (found.difference.low, found.difference.high) == (expected.low, expected.high)
    assert compare(made, A, B, "e2e_s").is_sequential
    assert "95 % interval at any stop" in str(found)
    assert any(f"TTFT was decided after {pairs} pairs" in note for note in made.notes)
    assert made.missing == 0
    assert not any("missing" in note for note in made.notes)


def test_what_is_not_decided_says_so(trial: Make, result: Results) -> None:
    """With the reason."""
    made = result(*script(trial, plan(), 0.0)[:80], repeats=60, until_decided="ttft_ms", ends=(End(0, "max_cost"),))
    assert any("TTFT was not decided after 40 pairs (the budget was spent)" in note for note in made.notes)
    assert "no more than noise" in str(made.compare("a", "b"))


async def test_what_it_cannot_do_is_refused(run: Run) -> None:
    """Three models, no end, a strange word, a figure there is not."""
    for models, options, words in (
        ([QUICK, SLOW, "simulator:gpt-4o-mini"], {"duration": 5}, "compares two, and here are 3"),
        ([QUICK, SLOW], {}, "give max_cost, duration or repeats"),
        ([QUICK, SLOW], {"until": "sure", "repeats": 3}, "until is 'sure'"),
        ([QUICK, SLOW], {"metric": "speed", "repeats": 3}, "metric is 'speed'"),
        ([QUICK, SLOW], {"prompts": [hs.Conversation(["Hello", "And then?"])], "repeats": 3}, "turns come in order"),
    ):
        with pytest.raises(SetupError, match=words):
            await run(models, **{"until": "decided", **options})


@pytest.mark.slow
async def test_it_ends_when_decided_and_has_nothing_to_resume(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 400 pairs few are made; the screen, the file, and a second sitting agree."""
    found = await run([QUICK, SLOW], repeats=400, until="decided", concurrency=4)
    assert found.contents.ends[-1].reason == "decided"
    pairs = found.compare(*found.arms).pairs
    assert 8 <= pairs <= 30
    assert len(found.records) <= 2 * pairs + 40
    assert "done: the difference is clear" in capsys.readouterr().out
    assert str(load(found.path)) == str(found)
    again = await run([QUICK, SLOW], repeats=400, until="decided", concurrency=4, resume=found.path)
    assert len(again.records) == len(found.records)


@pytest.mark.slow
async def test_where_too_few_pairs_decide_its_limit_ends_it_and_resume_goes_on(run: Run) -> None:
    """Users who pause make fewer pairs than the eight that any decision takes; a second sitting adds pairs."""
    models = [QUICK, QUICK.replace("gpt-4.1", "gpt-4o")]
    asked: dict[str, Any] = {"duration": 0.5, "pause": 0.3, "until": "decided", "concurrency": 2}
    first = await run(models, **asked)
    assert first.compare(*first.arms).pairs < 8
    assert first.contents.ends[-1].reason == "duration"
    assert any("not decided" in note and "the time was up" in note for note in first.notes)
    again = await run(models, **asked, resume=first.path)
    assert len(again.records) > len(first.records)


@pytest.mark.slow
async def test_a_budget_that_is_spent_before_ends_it(run: Run) -> None:
    """Of two that are as quick as each other it holds fewer pairs than a decision takes; no request passes it."""
    models = [QUICK, QUICK.replace("gpt-4.1", "gpt-4o")]
    found = await run(models, until="decided", max_cost="0.0002", max_tokens=2, warmup=0)
    assert found.contents.ends[-1].reason == "max_cost"
    assert 1 <= found.compare(*found.arms).pairs < 8
    assert found.contents.spent <= Decimal("0.0002")
    assert any("not decided" in note and "the budget was spent" in note for note in found.notes)


@pytest.mark.slow
async def test_a_dead_model_ends_it(run: Run) -> None:
    """There are no pairs any more: the other is not asked on and on."""
    found = await run(
        [QUICK, "simulator:gpt-4o#fail=503,tries=9999"], repeats=500, until="decided", concurrency=2, max_failures=5
    )
    assert found.contents.ends[-1].reason == "failures"
    assert len(found.records) < 200
    assert any("one of them was asked no more" in note for note in found.notes)
