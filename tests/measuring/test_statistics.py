"""Intervals: against scipy, against known distributions, and by how often they hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, bootstrap, quantile_test, ttest_1samp

from holystream_nb.measuring.figures.statistics import mean, median, needed, point, pooled, quantile, share
from holystream_nb.measuring.values.words import digits


@pytest.mark.parametrize(("p", "least"), [(0.5, 6), (0.95, 72), (0.99, 368), (0.05, 72)])
def test_the_smallest_sample_with_an_interval(p: float, least: int) -> None:
    """72 for p95 and 368 for p99: with one fewer, scipy's interval has an open end."""
    assert needed(p) == least
    full = quantile_test(np.arange(least), p=p).confidence_interval(0.95)
    short = quantile_test(np.arange(least - 1), p=p).confidence_interval(0.95)
    assert not math.isnan(full.low)
    assert not math.isnan(full.high)
    assert math.isnan(short.low) or math.isnan(short.high)


def test_too_few_have_a_star_and_no_interval() -> None:
    """71 values have a p95, which nobody may judge by."""
    found = quantile(np.arange(71.0), 0.95)
    assert (found.value, found.low, found.high, str(found)) == (66.5, None, None, "66.5*")
    assert str(quantile([], 0.5)) == "none"


def test_the_interval_is_the_order_statistics() -> None:
    """p95 of 0 … 99 by hand: 94.05, between the order statistics that scipy names."""
    found = quantile(np.random.default_rng(1).permutation(np.arange(100.0)), 0.95)
    interval = quantile_test(np.arange(100.0), p=0.95).confidence_interval(0.95)
    assert found.value == pytest.approx(94.05)
    assert (found.low, found.high) == (interval.low, interval.high)


def test_failures_count_as_infinite() -> None:
    """With 10 of 100 failed, p95 is infinite and the median is not; NaN is no value at all."""
    values = [*range(90), *[math.inf] * 10, math.nan]
    worst, middle = quantile(values, 0.95), quantile(values, 0.5)
    assert (worst.value, worst.high, str(worst).startswith("∞")) == (math.inf, math.inf, True)
    assert (middle.value, middle.n) == (49.5, 100)


def test_a_percentile_next_to_a_failure_is_a_failure() -> None:
    """Between a number and infinity there is no number."""
    assert point([1.0, 2.0, math.inf], 0.75) == math.inf
    assert point([1.0, 2.0, math.inf], 0.5) == 2.0


@pytest.mark.slow
@pytest.mark.parametrize(("p", "n"), [(0.5, 30), (0.95, 100), (0.99, 400)])
def test_intervals_hold_the_true_value_as_often_as_they_say(p: float, n: int) -> None:
    """Over 400 samples of a long-tailed distribution, at least 93 % of the 95 % intervals contain its percentile."""
    rng = np.random.default_rng(3)
    true = -math.log(1 - p)
    held = 0
    for _ in range(400):
        found = quantile(rng.exponential(size=n), p)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true <= found.high
    assert held >= 372


def test_gaps_are_resampled_by_request() -> None:
    """Where all gaps of a request are alike, the interval is that of the requests, and not of the many gaps.

    scipy's bootstrap over requests, with the same statistic, gives the same interval.
    """
    rng = np.random.default_rng(5)
    requests = [[float(level)] * 50 for level in rng.normal(20, 4, size=40)]
    (found,) = pooled(requests, [0.5], seed=1)
    reference = bootstrap(
        (np.arange(40),),
        lambda chosen: float(np.quantile(np.concatenate([requests[index] for index in chosen]), 0.5)),
        vectorized=False,
        n_resamples=999,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.5)
    assert found.value == pytest.approx(float(np.quantile(np.concatenate(requests), 0.5)))
    assert found.high - found.low > 1.0


@pytest.mark.slow
def test_pooled_intervals_hold_what_they_say() -> None:
    """Requests with levels of their own: the pooled median's interval contains the true one at least 9 times of 10."""
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(60):
        requests = [rng.normal(level, 1, size=20).tolist() for level in rng.normal(20, 3, size=40)]
        (found,) = pooled(requests, [0.5])
        held += found.low <= 20 <= found.high
    assert held >= 54


def test_few_requests_have_no_pooled_interval() -> None:
    """19 requests are too few, however many gaps they have."""
    assert str(pooled([[1.0] * 100] * 19, [0.5])[0]) == "1.00*"
    assert str(pooled([[1.0] * 100] * 20, [0.5])[0]) == "1.00 (1.00 to 1.00)"


def test_the_median_needs_six() -> None:
    """The smallest sample is its own interval."""
    assert (median([1, 2, 3, 4, 5, 6]).low, median([1, 2, 3, 4, 5, 6]).high) == (1, 6)
    assert not median([1, 2, 3, 4, 5]).has_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [(1240.4, "1,240"), (28.44, "28.4"), (0.003517, "0.00352"), (0, "0"), (math.inf, "∞"), (-5, "-5.00")],
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    """Three significant digits, and never fewer than the integer has."""
    assert digits(value) == text


def test_the_mean_has_students_interval_and_needs_30() -> None:
    """Against scipy's own; 29 values are too few, NaN is no value."""
    values = np.random.default_rng(2).lognormal(0, 0.24, 30)
    found = mean([*values, math.nan])
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 30)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert not mean(values[:29]).has_interval


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "least"), [(0.24, 0.93), (0.8, 0.89)])
def test_the_mean_holds_what_its_docstring_says(spread: float, least: float) -> None:
    """Over 2,000 samples of 30 log-normal values: about 94 % where they scatter as TTFT does, 91 % where far more."""
    rng = np.random.default_rng(4)
    true = math.exp(spread * spread / 2)
    samples = (mean(rng.lognormal(0, spread, 30)) for _ in range(2000))
    assert sum(each.low <= true <= each.high for each in samples) / 2000 >= least


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0012, 0.0089, 0.1])
def test_a_share_holds_the_true_one_at_least_as_often_as_it_says(rate: float) -> None:
    """Exact: over all counts that 100 requests can have, by their probabilities."""
    held = sum(binom.pmf(k, 100, rate) for k in range(101) if share(k, 100).low <= 100 * rate <= share(k, 100).high)
    assert held >= 0.95


def test_no_error_in_a_hundred_is_not_no_errors() -> None:
    """0 of 100 may still be 3.6 %; of none nothing is known."""
    assert str(share(0, 100)) == "0 (0 to 3.62)"
    assert str(share(0, 0)) == "none"
