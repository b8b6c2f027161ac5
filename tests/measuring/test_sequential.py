"""Stopping when decided: false alarms over all looks, intervals at the moment of stopping, and how long it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad

from holystream_nb.measuring.figures.sequential import (
    decided,
    least_successes,
    log_evidence,
    share_always,
    share_decided,
)
from holystream_nb.measuring.figures.statistics import median

Values = NDArray[Any]

LOOKS = 500


@pytest.mark.parametrize(("successes", "n", "p"), [(8, 8, 0.5), (30, 50, 0.5), (20, 50, 0.5), (99, 100, 0.95)])
def test_the_evidence_is_the_mixture_of_its_definition(successes: int, n: int, p: float) -> None:
    """Against the integral by quadrature."""

    def ratio(theta: float) -> float:
        return float((theta / p) ** successes * ((1 - theta) / (1 - p)) ** (n - successes))

    assert log_evidence(successes, n, p) == pytest.approx(math.log(quad(ratio, p, 1)[0] / (1 - p)), rel=1e-6)


def test_eight_of_eight_are_the_fewest_that_decide() -> None:
    """(2⁹ − 1) / 9 = 57 is more than 40, (2⁸ − 1) / 8 = 32 is not; before, the value has no interval."""
    seven, eight = decided([3.0] * 7), decided([1.0, *[3.0] * 7])
    assert (seven.value, seven.has_interval, seven.needed, seven.is_decided) == (3, False, 8, False)
    assert (eight.low, eight.high, eight.is_decided, eight.is_general) == (1, 3, True, True)
    assert (decided([]).value, decided([]).is_decided) == (None, False)


def test_ties_decide_nothing() -> None:
    """Pairs without a difference speak for neither; one outlier is one pair."""
    assert not decided([0.0] * 400).is_decided
    assert (decided([0.0] * 400).low, decided([0.0] * 400).high) == (0, 0)
    assert not decided([*[-1.0, 1.0] * 20, 1e9]).is_decided


def test_both_sides_are_one_test() -> None:
    """Exchanging the two turns the interval about."""
    values = np.random.default_rng(1).exponential(5, 60) - 2
    one, other = decided(values.tolist()), decided((-values).tolist())
    assert (one.low, one.high) == (-(other.high or 0), -(other.low or 0))


def test_a_difference_below_the_timing_error_is_not_decided() -> None:
    """However sure it is."""
    assert decided([2.0] * 50).is_decided
    assert not decided([2.0] * 50, error=5.0).is_decided


def test_prompts_that_come_again_are_these_prompts() -> None:
    """The finding is general while each pair is of another prompt, and of these as soon as one comes again."""
    found = [decided([1.0] * n, [*"abcdefgha"][:n]) for n in (8, 9)]
    assert [(each.pairs, each.prompts, each.is_general, each.is_decided) for each in found] == [
        (8, 8, True, True),
        (9, 8, False, True),
    ]
    with pytest.raises(ValueError, match="shorter"):
        decided([1.0] * 9, ["a"])


NULLS: dict[str, Callable[[np.random.Generator, Any], Values]] = {
    "skewed": lambda rng, size: rng.lognormal(0, 1.2, size) - 1,
    "ticks of 20 ms": lambda rng, size: 20 * np.round(rng.normal(0, 1, size)),
    "mostly ties": lambda rng, size: rng.choice([-20.0, 0, 0, 0, 20], size),
    "half ties": lambda rng, size: rng.choice([0.0, 20.0], size),
    "outliers": lambda rng, size: rng.standard_cauchy(size),
}
"""Differences whose median is 0."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NULLS)
def test_500_looks_raise_no_more_false_alarms_than_one(name: str) -> None:
    """`decided` after every pair, up to 500: at most 5 of 100 runs without a difference end with one.

    The ordinary interval, looked at as often, is shown beside it.
    """
    rng = np.random.default_rng(21)
    runs = NULLS[name](rng, (4000, LOOKS))
    rates = {}
    for word, least in (("sequential", _sequential), ("ordinary", _ordinary)):
        thresholds = np.array([least(n) for n in range(1, LOOKS + 1)])
        above, below = np.cumsum(runs > 0, axis=1), np.cumsum(runs < 0, axis=1)
        rates[word] = float(np.mean(((above >= thresholds) | (below >= thresholds)).any(axis=1)))
    print(f"\n{name}: false alarms in {LOOKS} looks {rates}")
    assert rates["sequential"] <= 0.05
    assert "tie" in name or "tick" in name or rates["ordinary"] > 0.3
    for run in runs[:20]:
        assert [decided(run[:n].tolist()).is_decided for n in range(1, LOOKS + 1, 7)] == [
            max((run[:n] > 0).sum(), (run[:n] < 0).sum()) >= _sequential(n) for n in range(1, LOOKS + 1, 7)
        ]


def _sequential(n: int) -> int:
    return least_successes(n, 0.5) or n + 1


def _ordinary(n: int) -> int:
    """Pairs on one side of 0 with which the ordinary interval leaves it out: where the high end's rank is."""
    high = median(np.arange(1.0, n + 1)).high
    return n + 1 if high is None else int(high)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3, 50])
@pytest.mark.parametrize("prompts", [2, 10, 200])
def test_prompts_that_differ_raise_no_false_alarms(prompts: int, repeats: int) -> None:
    """Half of the prompts nearly always gain, half nearly always lose, shuffled as a schedule is: no false alarm."""
    rng = np.random.default_rng(22)
    looks = min(LOOKS, prompts * repeats)
    chances = np.repeat([0.95, 0.05], prompts // 2)
    thresholds = np.array([_sequential(n) for n in range(1, looks + 1)])
    grid = np.tile(np.arange(prompts), repeats)
    orders = np.array([rng.permutation(grid)[:looks] for _ in range(2000)])
    above = np.cumsum(rng.random(orders.shape) < chances[orders], axis=1)
    below = np.arange(1, looks + 1) - above
    rate = float(((above >= thresholds) | (below >= thresholds)).any(axis=1).mean())
    print(f"\n{prompts} prompts × {repeats}: {rate:.4f}", end="")
    assert rate <= 0.05


@pytest.mark.slow
def test_the_interval_holds_at_the_moment_of_stopping() -> None:
    """Stopped at the first look that leaves out 0, or after 200 pairs: it holds the true median 95 times of 100."""
    rng = np.random.default_rng(23)
    for true in (0.0, 0.5, 1.0):
        held = 0
        for _ in range(400):
            run = (rng.lognormal(0, 1, 200) - 1 + true).tolist()
            found = next((each for n in range(8, 201) if (each := decided(run[:n])).is_decided), decided(run))
            assert found.low is not None
            assert found.high is not None
            held += found.low <= true <= found.high
        print(f"\nmedian {true}: {held / 400:.3f}", end="")
        assert held >= 380


@pytest.mark.slow
def test_how_many_pairs_until_it_is_decided() -> None:
    """Power, as medians over runs: 8 pairs if all agree, about 12 of 9 in 10, 47 of 7 in 10, 210 of 6 in 10."""
    rng = np.random.default_rng(24)
    thresholds = np.array([_sequential(n) for n in range(1, 2001)])
    found = {}
    for chance in (1.0, 0.9, 0.8, 0.7, 0.6):
        met = np.cumsum(rng.random((2000, 2000)) < chance, axis=1) >= thresholds
        found[chance] = float(np.median(np.where(met.any(axis=1), met.argmax(axis=1) + 1, np.inf)))
    print(f"\nmedian pairs until decided, by the share of pairs that agree: {found}")
    assert found[1.0] == 8
    assert found[0.9] <= 14
    assert found[0.8] <= 22
    assert found[0.7] <= 55
    assert found[0.6] <= 250


def test_a_share_is_decided_on_either_side() -> None:
    """105 good of 105 show 95 %, 104 do not; 6 bad of 20 speak against it."""
    assert share_decided(105, 105, 95) is True
    assert share_decided(104, 104, 95) is None
    assert share_decided(14, 20, 95) is False
    assert share_decided(15, 20, 95) is None
    assert share_decided(0, 0, 95) is None
    with pytest.raises(ValueError, match="between 0 and 100"):
        share_decided(1, 1, 100)


@pytest.mark.parametrize(("good", "n"), [(0, 10), (10, 10), (95, 100), (14, 20)])
def test_a_share_and_its_interval_agree(good: int, n: int) -> None:
    """What is decided is what the interval leaves out."""
    found = share_always(good, n)
    for target in (1, 30, 50, 70, 86, 95, 99):
        said = share_decided(good, n, target)
        assert said is (True if found.low > target else False if found.high < target else None)
    assert str(share_always(0, 0)) == "none"


@pytest.mark.slow
@pytest.mark.parametrize("target", [50, 90, 95, 99])
def test_a_probe_that_is_looked_at_after_every_request_is_seldom_wrong(target: float) -> None:
    """Exactly at the target, 1,000 looks: at most 2.5 of 100 probes say above, and as many below."""
    rng = np.random.default_rng(25)
    good = np.cumsum(rng.random((4000, 1000)) < target / 100, axis=1)
    counts = range(1, 1001)
    above = np.array([least_successes(n, target / 100) or n + 1 for n in counts])
    below = np.array([least_successes(n, 1 - target / 100) or n + 1 for n in counts])
    wrong = ((good >= above).any(axis=1).mean(), ((np.arange(1, 1001) - good) >= below).any(axis=1).mean())
    print(f"\n{target} %: wrongly above {wrong[0]:.4f}, wrongly below {wrong[1]:.4f}")
    assert max(wrong) <= 0.025
    for n in (30, 200, 1000):
        enough = int(above[n - 1])
        assert enough > n or share_decided(enough, n, target) is True
        assert share_decided(min(n, enough - 1), n, target) is not True
        assert share_decided(n - int(below[n - 1]), n, target) is False
