"""How often intervals hold the true value, by shape and size, over samples of distributions that are known.

With `-s` each test prints its table. `hold` allows for the chance of a simulation: two standard errors below 94 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from holystream_nb.measuring.figures.statistics import (
    Interval,
    Quantile,
    mean,
    median,
    needed,
    pooled,
    preference,
    quantile,
    share,
)

Values = NDArray[Any]
Groups = list[Values]
Shape = Callable[[np.random.Generator, int], Groups]

LEAST = 0.94
SAMPLES = 1000
PS = (0.5, 0.95, 0.99)


def hold(covered: float, samples: int, least: float = LEAST) -> bool:
    """Whether a simulation agrees with an interval that covers at least this share."""
    return covered >= least - 2 * math.sqrt(least * (1 - least) / samples)


def holds(figure: Quantile | Interval, low: float, high: float) -> bool | None:
    """Whether an interval meets what is true (of ticks, any value from `low` to `high` may be); None without one."""
    return None if figure.low is None or figure.high is None else figure.low <= high and figure.high >= low


def lengths(rng: np.random.Generator, count: int, spread: float) -> Values:
    """Gaps of each request: 50, or long-tailed with a median of 40."""
    if not spread:
        return np.full(count, 50)
    return np.maximum(2, rng.lognormal(math.log(40), spread, count).astype(int))


def split(values: Values, sizes: Values) -> Groups:
    return np.split(values, np.cumsum(sizes)[:-1])


def independent(rng: np.random.Generator, count: int) -> Groups:
    """Skewed gaps that do not hang together."""
    sizes = lengths(rng, count, 0)
    return split(rng.lognormal(3, 0.5, sizes.sum()), sizes)


def levels(rng: np.random.Generator, count: int, spread: float = 0.0) -> Groups:
    """Each request has a speed of its own, its gaps scatter about it."""
    sizes = lengths(rng, count, spread)
    return split(np.repeat(rng.lognormal(3, 0.4, count), sizes) * rng.lognormal(0, 0.3, sizes.sum()), sizes)


def levels_and_lengths(rng: np.random.Generator, count: int) -> Groups:
    """As `levels`, and answers of very different lengths."""
    return levels(rng, count, 0.8)


def alike(rng: np.random.Generator, count: int) -> Groups:
    """All gaps of a request are the same: the worst there is."""
    sizes = lengths(rng, count, 0)
    return split(np.repeat(rng.lognormal(3, 0.4, count), sizes), sizes)


def stalls(rng: np.random.Generator, count: int, spread: float = 0.0) -> Groups:
    """One request in ten stalls, in 12 % of its gaps, for 200 ms on average."""
    sizes = lengths(rng, count, spread)
    stalled = np.repeat(rng.random(count) < 0.1, sizes) & (rng.random(sizes.sum()) < 0.12)
    return split(rng.lognormal(3, 0.2, sizes.sum()) + stalled * rng.exponential(200, sizes.sum()), sizes)


def stalls_and_lengths(rng: np.random.Generator, count: int) -> Groups:
    """As `stalls`, and answers of very different lengths."""
    return stalls(rng, count, 0.8)


def few_slow(rng: np.random.Generator, count: int) -> Groups:
    """1.5 % of requests are slow throughout: whoever has not met one does not know."""
    sizes = lengths(rng, count, 0)
    slow = np.repeat(np.where(rng.random(count) < 0.015, rng.uniform(5, 20, count), 1), sizes)
    return split(rng.lognormal(3, 0.2, sizes.sum()) * slow, sizes)


def some_slow(rng: np.random.Generator, count: int) -> Groups:
    """6 % of requests are slow throughout."""
    sizes = lengths(rng, count, 0)
    slow = np.repeat(np.where(rng.random(count) < 0.06, rng.uniform(5, 20, count), 1), sizes)
    return split(rng.lognormal(3, 0.2, sizes.sum()) * slow, sizes)


def ticks(rng: np.random.Generator, count: int) -> Groups:
    """Gaps of 20, 40, 60 ms and so on, some requests with many long ones."""
    sizes = lengths(rng, count, 0)
    return split(20.0 * (1 + rng.poisson(np.repeat(rng.lognormal(-2, 1, count), sizes))), sizes)


def longer_is_slower(rng: np.random.Generator, count: int, growth: float = 0.1, spread: float = 0.1) -> Groups:
    """Long answers have long gaps: 4 times as long, a seventh slower."""
    sizes = lengths(rng, count, 0.8)
    return split(np.repeat(sizes**growth, sizes) * rng.lognormal(1, spread, sizes.sum()), sizes)


def longer_is_much_slower(rng: np.random.Generator, count: int) -> Groups:
    """4 times as long, twice as slow, each evenly: the slowest twentieth of the gaps is a few answers'."""
    return longer_is_slower(rng, count, 0.5)


GAPS: tuple[Shape, ...] = (
    independent,
    levels,
    levels_and_lengths,
    alike,
    stalls,
    stalls_and_lengths,
    few_slow,
    some_slow,
    ticks,
    longer_is_slower,
    longer_is_much_slower,
)


@pytest.mark.slow
@pytest.mark.parametrize("shape", GAPS, ids=lambda shape: shape.__name__)
def test_gap_percentiles_hold_what_they_say(shape: Shape) -> None:
    """Skewed, clustered, tied, stalled: wherever an interval is shown it covers, from the smallest size on."""
    rng = np.random.default_rng(11)
    everything = np.sort(np.concatenate(shape(rng, 60_000)))
    true = [[float(everything[int(len(everything) * (p + off))]) for off in (-2e-4, 2e-4)] for p in PS]
    print(f"\n{shape.__name__}: share of 95 % intervals that hold the true percentile (share of samples with one)")
    for count in (6, 24, 72, 150, 368, 800):
        found: list[list[bool]] = [[], [], []]
        for _ in range(SAMPLES):
            for index, each in enumerate(pooled(shape(rng, count), PS)):
                if (held := holds(each, *true[index])) is not None:
                    found[index].append(held)
        shown = [
            f"p{100 * p:.0f} {np.mean(f):.3f} ({len(f) / SAMPLES:.2f})" for p, f in zip(PS, found, strict=True) if f
        ]
        print(f"{count:5d} requests  " + "  ".join(shown))
        for p, each in zip(PS, found, strict=True):
            assert len(each) < SAMPLES / 20 or hold(float(np.mean(each)), len(each)), (shape.__name__, count, p)
            assert not each or count >= needed(p)


def log_normal(spread: float) -> tuple[Callable[..., Values], float]:
    return (lambda rng, size: rng.lognormal(0, spread, size)), math.exp(spread**2 / 2)


def mixed(rare: float, factor: float) -> tuple[Callable[..., Values], float]:
    """Of log-normal values a few are so many times as long: cold starts, stalls."""

    def draw(rng: np.random.Generator, size: Any) -> Values:
        return rng.lognormal(0, 0.24, size) * np.where(rng.random(size) < rare, factor, 1)

    return draw, math.exp(0.24**2 / 2) * (1 + rare * (factor - 1))


def ticked() -> tuple[Callable[..., Values], float]:
    """Ticks of 20 ms, each as likely as a geometric law has it."""
    return (lambda rng, size: 20.0 * rng.geometric(0.3, size)), 20 / 0.3


MEANS = {
    "TTFT-like (s = 0.24)": log_normal(0.24),
    "skewed (s = 0.5)": log_normal(0.5),
    "very skewed (s = 0.8)": log_normal(0.8),
    "10 % cold, 4 times": mixed(0.1, 4),
    "3 % stalls, 8 times": mixed(0.03, 8),
    "1 % stalls, 10 times": mixed(0.01, 10),
    "ticks": ticked(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEANS)
def test_means_hold_what_they_say(name: str) -> None:
    """As skewed as latencies are, with cold starts, ticks, and stalls of one request in a hundred."""
    draw, true = MEANS[name]
    rng = np.random.default_rng(12)
    print(f"\n{name}")
    for count in (368, 800):
        held = np.mean([holds(mean(sample), true, true) for sample in draw(rng, (SAMPLES, count))])
        print(f"{count:5d} values  {held:.3f}")
        assert hold(float(held), SAMPLES)


@pytest.mark.slow
def test_means_of_what_is_rare_do_not_hold() -> None:
    """What `mean` and the notes say of it: 0.3 % stalls of 30 times, and Pareto's law without a variance."""
    rng = np.random.default_rng(12)
    stalls, true = mixed(0.003, 30)
    pareto = 1 + rng.pareto(1.5, (SAMPLES, 368))
    for name, samples, mu in (("0.3 % stalls", stalls(rng, (SAMPLES, 368)), true), ("Pareto, 1.5", pareto, 3.0)):
        held = float(np.mean([holds(mean(sample), mu, mu) for sample in samples]))
        print(f"\n{name}: {held:.3f}", end="")
        assert held < 0.9


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95, 0.99])
def test_percentiles_hold_at_every_size(p: float) -> None:
    """No simulation: which ranks the interval has, and how likely a binomial count falls between them."""
    for count in range(needed(p), 1000, 17):
        found = quantile(np.arange(count), p)
        assert found.low is not None
        assert found.high is not None
        assert binom.cdf(found.high, count, p) - binom.cdf(found.low, count, p) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("p", PS)
def test_percentiles_of_ticks_hold(p: float) -> None:
    """Ties make an interval hold more often, not less."""
    rng = np.random.default_rng(13)
    true = 20.0 * math.ceil(math.log(1 - p) / math.log(0.7))
    for count in (needed(p), 2 * needed(p), 500):
        held = np.mean([holds(quantile(20.0 * rng.geometric(0.3, count), p), true, true) for _ in range(SAMPLES)])
        print(f"\nticks, p{100 * p:.0f}, {count} values  {held:.3f}", end="")
        assert hold(float(held), SAMPLES, 0.95)


def test_shares_and_votes_hold_at_every_chance() -> None:
    """No simulation: over all counts, by their probabilities."""
    for count in (1, 5, 20):
        for rate in (0.001, 0.3, 0.5, 0.93):
            shares = [share(good, count) for good in range(count + 1)]
            votes = [preference(good, count - good).share for good in range(count + 1)]
            assert shares == votes
            inside = [holds(each, 100 * rate, 100 * rate) for each in shares]
            assert sum(binom.pmf(good, count, rate) for good in range(count + 1) if inside[good]) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [20, 40])
@pytest.mark.parametrize("repeats", [3, 20])
def test_differences_hold_for_prompts_in_general(prompts: int, repeats: int) -> None:
    """Each prompt has a difference of its own, skewed: the interval is for the median over all prompts there may be.

    That of independent pairs would hold it far less often, which is why there are two.
    """
    rng = np.random.default_rng(14)
    own = np.sort(rng.exponential(30, 400_000) + rng.normal(0, 10, 400_000))
    true = float(own[200_000])
    clustered, naive = [], []
    for _ in range(SAMPLES):
        pairs = rng.exponential(30, (prompts, 1)) + rng.normal(0, 10, (prompts, repeats))
        clustered.append(holds(pooled(list(pairs), [0.5])[0], true, true))
        naive.append(holds(median(pairs.ravel()), true, true))
    print(f"\n{prompts} prompts × {repeats}: {np.mean(clustered):.3f}, as if independent {np.mean(naive):.3f}")
    assert hold(float(np.mean(clustered)), SAMPLES)
    assert np.mean(naive) < np.mean(clustered)


@pytest.mark.slow
@pytest.mark.parametrize(("prompts", "repeats"), [(1, 8), (3, 3), (3, 20), (10, 5)])
def test_differences_hold_for_these_prompts(prompts: int, repeats: int) -> None:
    """Of given prompts, however different, the median of all pairs has the order statistics of one sample."""
    rng = np.random.default_rng(15)
    held = []
    for _ in range(SAMPLES):
        own = rng.exponential(30, (prompts, 1))
        true = float(np.median(own + rng.normal(0, 10, (prompts, 4000))))
        held.append(holds(median((own + rng.normal(0, 10, (prompts, repeats))).ravel()), true - 0.1, true + 0.1))
    print(f"\nthese {prompts} prompts × {repeats}: {np.mean(held):.3f}")
    assert hold(float(np.mean(held)), SAMPLES)
