"""How requests of an open loop arrive: each model's at its own rate, evenly, by chance, in bursts, in a ramp."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from itertools import chain, pairwise, takewhile
from statistics import mean, stdev
from typing import Any

import pytest

import holystream_nb as hs
from holystream_nb.errors import SetupError
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.arrivals import arrivals_of
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.schedule import Slot, blocks

Run = Callable[..., Awaitable[Result]]


def plan(**changes: Any) -> Plan:
    opened = {"models": ("x:a", "x:b", "x:c"), "prompts": ("one", "two"), "concurrency": None, "rate": 5.0}
    return Plan(**{**opened, "repeats": 500, "arrivals": "poisson", **changes})


def arriving(made: Plan, done: Collection[tuple[int, int, int, int]] = ()) -> list[Slot]:
    return [slot for block in blocks(made, done) for slot in block]


def times(made: Plan, model: int) -> list[float]:
    return [slot.wait_s for slot in arriving(made) if slot.model == model]


def gaps(moments: list[float]) -> list[float]:
    return [after - before for before, after in pairwise([0.0, *moments])]


def test_each_models_own_arrivals_are_poisson() -> None:
    """Each has the rate, and distances whose mean is their spread; dealt from one stream they had 0.58 of that."""
    for model in range(3):
        found = gaps(times(plan(), model))
        assert len(found) == 1000
        assert mean(found) == pytest.approx(0.2, rel=0.1)
        assert stdev(found) / mean(found) == pytest.approx(1, abs=0.1)
    old = gaps(times(plan(arrivals=None, rate=15.0), 0))
    assert stdev(old) / mean(old) < 0.75


def test_models_arrive_independently_of_each_other() -> None:
    """Counts of two models in the same second are not correlated, and no two arrive at one moment."""
    from scipy.stats import pearsonr

    first, second = (times(plan(), model) for model in (0, 1))
    counts = [[sum(int(at) == second_ for at in each) for second_ in range(180)] for each in (first, second)]
    assert pearsonr(*counts).pvalue > 0.01
    assert not {*first} & {*second}


@pytest.mark.parametrize(("arrivals", "spread"), [("constant", 0.0), (0.25, 2.0), (1, 1.0), (16, 0.25)])
def test_burstiness_is_the_spread_of_distances(arrivals: str | float, spread: float) -> None:
    """A gamma distribution's coefficient of variation is 1/√shape; at any shape the rate is kept."""
    found = gaps(times(plan(arrivals=arrivals, repeats=2000), 1))[1:]
    assert mean(found) == pytest.approx(0.2, rel=0.1)
    assert stdev(found) / mean(found) == pytest.approx(spread, rel=0.1, abs=1e-9)


def test_constant_arrivals_of_several_models_do_not_coincide() -> None:
    """Each has a phase of its own: otherwise every model's request would meet the others'."""
    firsts = [times(plan(arrivals="constant"), model)[0] for model in range(3)]
    assert len({*firsts}) == 3
    assert all(0 <= first < 0.2 for first in firsts)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_a_ramp_goes_from_the_first_rate_to_the_second(arrivals: str) -> None:
    """In the first and the last tenth of its time, 1,000 requests at 5 to 15 a second come at 5.5 and 14.5."""
    made = times(plan(arrivals=arrivals, rate_to=15.0), 0)
    length = 2 * 1000 / (5 + 15)
    first, last = (sum(low <= at < low + length / 10 for at in made) / (length / 10) for low in (0, 0.9 * length))
    tolerance = 0.35 if arrivals == "poisson" else 0.03
    assert (first, last) == (pytest.approx(5.5, rel=tolerance), pytest.approx(14.5, rel=tolerance))
    assert made[-1] == pytest.approx(length, rel=0.1)


def test_a_pair_is_asked_at_nearly_the_same_time() -> None:
    """The k-th arrivals of two models are some √k distances apart, out of a thousand."""
    at = {slot.id: slot.wait_s for slot in arriving(plan())}
    apart = [abs(at[0, prompt, repeat, 0] - at[1, prompt, repeat, 0]) for prompt in (0, 1) for repeat in range(500)]
    assert mean(apart) < 0.1 * max(at.values())


def test_a_resumed_open_loop_begins_at_once() -> None:
    """What is left arrives at the rate, without the time of what is done; a ramp goes on where it stood."""
    for changes, rate in (({}, 5.0), ({"rate_to": 15.0}, 13.0)):
        made = plan(**changes)
        rest = arriving(made, {slot.id for slot in arriving(made)[:2000]})
        moments = [slot.wait_s for slot in rest if slot.model == 0]
        assert moments[0] < 3
        assert len(moments) / moments[-1] == pytest.approx(rate, rel=0.2)


def test_a_trace_is_asked_at_its_own_times() -> None:
    """Each prompt at its moment, of every model; of what is left, the distances stay."""
    made = plan(prompts=("one", "two", "three"), repeats=1, times=(0.0, 2.5, 3.0), rate=1.0)
    whole = arriving(made)
    assert [(slot.prompt, slot.wait_s) for slot in whole if slot.model == 0] == [(0, 0.0), (1, 2.5), (2, 3.0)]
    rest = arriving(made, {slot.id for slot in whole if slot.prompt == 0})
    assert {slot.wait_s for slot in rest} == {0.0, 0.5}


def test_plans_of_the_first_version_keep_their_hashes() -> None:
    """Of open and closed loops; what is new in a plan makes another of it."""
    kept: dict[str, Any] = {"models": ("x:a",), "prompts": ("one",), "concurrency": None, "rate": 2.0, "seed": 7}
    assert Plan(**kept).hash == "7aff9d1415b7"
    others: list[dict[str, Any]] = [{}, {"arrivals": "poisson"}, {"rate_to": 3.0}, {"arrivals": 0.5}]
    assert len({Plan(**kept, **each).hash for each in others}) == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"arrivals": "poison", "rate": 1}, "arrivals is 'poison': choose one of poisson, constant"),
        ({"arrivals": 0, "rate": 1}, "arrivals=0: give a number of burstiness"),
        ({"arrivals": "constant"}, "give rate"),
        ({"rate": (1, 2, 3)}, "a pair like"),
        ({"rate": (1, -2)}, "rate=-2: give a number of requests a second, above 0"),
        ({"rate": 1, "concurrency": 2}, "either concurrency"),
    ],
)
async def test_a_load_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    """In one sentence, before anything is sent."""
    with pytest.raises(SetupError, match=said):
        await hs.bench("simulator:gpt-4.1", "Hello", **given)


@pytest.mark.slow
async def test_a_ramp_of_two_models_runs(run: Run) -> None:
    """Every request has its scheduled moment, each model as many; the summary says the load."""
    result = await run(
        models=["simulator:gpt-4.1#tokens=5", "simulator:deepseek-v3.2#tokens=5"],
        repeats=10,
        rate=(10, 30),
        arrivals="constant",
    )
    assert [len(result.of(arm)) for arm in result.arms] == [10, 10]
    assert all(trial.scheduled is not None for trial in result.records)
    assert "10 to 30 requests/s each, constant arrivals" in result.to_markdown()


@pytest.mark.parametrize("rate_to", [None, 15.0])
def test_arrivals_go_on_for_a_duration(rate_to: float | None) -> None:
    """Without repeats they have no end; a ramp takes the duration."""
    made = plan(repeats=0, duration=100.0, rate_to=rate_to)
    moments = [slot.wait_s for slot in takewhile(lambda slot: slot.wait_s < 100, chain.from_iterable(blocks(made)))]
    assert len(moments) == pytest.approx(3 * (500 if rate_to is None else 1000), rel=0.1)
    assert moments == sorted(moments)


@pytest.mark.slow
async def test_an_open_loop_ends_with_its_duration(run: Run) -> None:
    """Nothing new begins then; each model has had its own rate."""
    models = ["simulator:gpt-4.1#tokens=5", "simulator:deepseek-v3.2#tokens=5"]
    result = await run(models=models, rate=20, arrivals="constant", repeats=None, duration=1.5)
    assert [len(result.of(arm)) for arm in result.arms] == [pytest.approx(30, abs=2)] * 2
    assert all((trial.scheduled or 0) >= 0 for trial in result.records)


def test_a_run_of_the_first_version_goes_on_as_it_began(trial: Any, result: Any) -> None:
    """Its arrivals are kept, so that `resume` finds the plan it knows; a new run has the new ones."""
    opened = result(trial("x:a"), concurrency=None, rate=2.0).plan
    assert (arrivals_of(None, 2.0, opened), arrivals_of(None, 2.0, None)) == (None, "poisson")
