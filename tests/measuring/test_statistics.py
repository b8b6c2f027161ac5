"""Intervals: against scipy, against known distributions, and by how often they hold what they promise."""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np
import pytest
from scipy.stats import binom, binomtest, quantile_test, skew, ttest_1samp

from holystream_nb.measuring.figures.statistics import mean, median, needed, point, pooled, preference, quantile, share
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


@pytest.mark.parametrize(("p", "n"), [(0.5, 6), (0.5, 40), (0.95, 72), (0.95, 150), (0.99, 368), (0.05, 80)])
def test_requests_of_one_gap_have_the_order_statistics(p: float, n: int) -> None:
    """Pooling nothing changes nothing: value, interval and what is needed are those of the values themselves."""
    values = np.random.default_rng(1).lognormal(3, 1, n)
    assert pooled([[value] for value in values], [p]) == [quantile(values, p)]


def test_gaps_of_a_request_that_are_alike_count_once() -> None:
    """Where all gaps of a request are alike, the interval is that of the requests, and not of the many gaps."""
    levels = np.random.default_rng(5).normal(20, 4, size=40)
    (found,) = pooled([[level] * 50 for level in levels], [0.5])
    assert (found.low, found.high) == (quantile(levels, 0.5).low, quantile(levels, 0.5).high)


def test_gaps_of_a_request_that_are_not_alike_count_more() -> None:
    """Independent gaps say more than one a request, but never as much as all of them: four a request."""
    gaps = np.random.default_rng(5).lognormal(3, 0.3, (400, 50))
    (found,) = pooled(gaps.tolist(), [0.99])
    one, all_of_them = quantile(gaps[:, 0], 0.99), quantile(gaps.ravel(), 0.99)
    assert all_of_them.high - all_of_them.low < found.high - found.low < one.high - one.low


def test_few_requests_have_no_pooled_interval() -> None:
    """As many requests are needed as for a figure of their own, however many gaps they have."""
    assert str(pooled([[1.0] * 100] * 5, [0.5])[0]) == "1.00*"
    assert str(pooled([[1.0] * 100] * 6, [0.5])[0]) == "1.00 (1.00 to 1.00)"
    assert [each.needed for each in pooled([[1.0] * 100] * 71, [0.5, 0.95, 0.99])] == [6, 72, 368]
    assert [each.has_interval for each in pooled([[1.0] * 100] * 71, [0.5, 0.95, 0.99])] == [True, False, False]
    assert str(pooled([[], []], [0.5])[0]) == "none"


def test_one_long_answer_does_not_stand_for_many() -> None:
    """Where one request of ten has nine tenths of the gaps, there is one request and a little."""
    rng = np.random.default_rng(5)
    (found,) = pooled([rng.lognormal(3, 0.3, size) for size in (900, *[11] * 9)], [0.5])
    assert not found.has_interval
    assert (found.n, found.needed) == (10, 49)


def test_a_tail_of_few_requests_has_no_interval() -> None:
    """Where the slowest hundredth of the gaps is a few very long answers', 368 requests do not know p99."""
    rng = np.random.default_rng(5)
    requests = [rng.lognormal(3, 0.1, 40) for _ in range(390)] + [rng.lognormal(6, 0.1, 150) for _ in range(2)]
    (found,) = pooled(requests, [0.99])
    assert found.n == 392
    assert found.needed > found.n
    assert not found.has_interval


def test_a_tail_that_grows_with_the_length_has_no_interval() -> None:
    """Where answers of very different lengths have the longer gaps the longer they are; the median has its own."""
    rng = np.random.default_rng(5)
    sizes = np.maximum(2, rng.lognormal(math.log(40), 0.8, 500).astype(int))
    for growth, shown in ((0.0, True), (0.5, False)):
        requests = [size**growth * rng.lognormal(3, 0.1, size) for size in sizes]
        middle, tail = pooled(requests, [0.5, 0.95])
        assert middle.has_interval
        assert tail.has_interval == shown
        assert (tail.n < tail.needed) != shown


def test_half_a_million_gaps_take_no_time() -> None:
    """All percentiles of a model of 1,000 requests with 500 gaps each: a tenth of a second, the best of a few."""
    requests = np.random.default_rng(5).lognormal(3, 0.3, (1000, 500)).tolist()

    def seconds() -> float:
        start = perf_counter()
        pooled(requests, (0.5, 0.95, 0.99))
        return perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.15


def test_votes_of_which_one_is_preferred() -> None:
    """Ties are shown and not counted: 8 to 1 is more than noise, 5 to 1 is not."""
    clear, close, none = preference(8, 1, ties=3), preference(5, 1), preference(0, 0, ties=4)
    exact = binomtest(8, 9).proportion_ci(0.95, method="exact")
    assert (clear.share.low, clear.share.high) == (pytest.approx(100 * exact.low), pytest.approx(100 * exact.high))
    assert (clear.share.n, clear.tied.value, clear.tied.n) == (9, 25, 12)
    assert (clear.is_more_than_noise, close.is_more_than_noise, none.is_more_than_noise) == (True, False, False)
    assert preference(1, 8).is_more_than_noise
    assert str(none.share) == "none"


def test_the_median_needs_six() -> None:
    """The smallest sample is its own interval."""
    assert (median([1, 2, 3, 4, 5, 6]).low, median([1, 2, 3, 4, 5, 6]).high) == (1, 6)
    assert not median([1, 2, 3, 4, 5]).has_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1240.4, "1,240"),
        (28.44, "28.4"),
        (0.003517, "0.00352"),
        (0, "0"),
        (math.inf, "∞"),
        (-5, "-5.00"),
        (99.97, "100"),
        (-9.996, "-10.0"),
    ],
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    """Three significant digits, and never fewer than the integer has."""
    assert digits(value) == text


def test_the_mean_has_students_interval_and_needs_368() -> None:
    """Against scipy's own where nothing is skewed; 367 values are too few, NaN is no value."""
    half = np.random.default_rng(2).lognormal(0, 0.24, 184)
    values = np.concatenate([half, 4 - half])
    found = mean([*values, math.nan])
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 368)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert str(mean(values[:367])).endswith("*")
    assert str(mean([3.0] * 368)) == "3.00 (3.00 to 3.00)"


def test_the_mean_of_a_skewed_sample_may_be_much_more_and_hardly_less() -> None:
    """Hall's formula, forwards, makes Student's t of both ends of the interval."""
    values = np.random.default_rng(2).lognormal(0, 0.8, 400)
    found = mean(values)
    error, tilt = values.std(ddof=1) / 20, float(skew(values)) / 60
    for end, t in ((found.low, 1.965927), (found.high, -1.965927)):
        s = (found.value - end) / error
        assert s + tilt * s**2 + tilt**2 * s**3 / 3 + tilt / 2 == pytest.approx(t, abs=1e-5)
    assert found.high - found.value > 1.1 * (found.value - found.low)


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
