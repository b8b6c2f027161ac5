"""Percentiles with intervals that hold what they promise; where no interval does, the value has a star.

Order-statistic intervals (`scipy.stats.quantile_test`) need no shape of the distribution and cover at least 95 %. Gaps,
which are pooled over requests, have the same test with as many values as the gaps are worth (`pooled`): those of one
request belong together. A mean has Student's t as Hall corrects it for skewness, from 368 values on, and a share the
exact interval of Clopper and Pearson, which covers at least 95 % at any size.

All are of requests that do not hang together: where the same prompts were asked again and again they hold for these
prompts, and a service that was slow for minutes is not better known for having been asked often in them.
`tests/measuring/test_coverage.py` counts how often they cover.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..values.words import digits

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CONFIDENCE: Final = 0.95
FOR_A_MEAN: Final = 368
"""As for p99: stalls in 1 % of requests move a mean. Of 100 values every third sample has met none: 64 % covered it."""

_LEVELS: Final = 7
"""At so many levels about a percentile the likeness of a request's gaps is estimated; the greatest counts."""

_MOST_PER_REQUEST: Final = 4
"""A request's gaps are worth at most so many values: a few requests of another kind may not have been met yet."""

_SCATTER: Final = 0.8
"""An estimate above this share of what requests without any likeness to one another are worth is no evidence."""


_TAIL: Final = 0.9
_ALIKE_LONG: Final = 0.75
"""Lengths differ widely where requests are worth less than this share of as many of one length (Kish)."""

_GROWS: Final = 0.15
"""Answers twice as long have gaps that are a tenth longer."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """A percentile of a sample with its 95 % interval; `low` and `high` are None where `n` < `needed`.

    A value without an interval is shown with a star, and never used for a verdict; it is None where there is no sample.
    `high` is inf where too many requests failed to say how long the slowest take.
    """

    p: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    needed: int

    @property
    def has_interval(self) -> bool:
        return self.low is not None

    def __str__(self) -> str:
        return in_words(self)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean or a share of a sample with its 95 % interval; `low` and `high` are None where `n` < `needed`.

    As with `Quantile`, a value without an interval is shown with a star.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    needed: int

    @property
    def has_interval(self) -> bool:
        return self.low is not None

    def __str__(self) -> str:
        return in_words(self)


@dataclass(frozen=True, slots=True)
class Preference:
    """Votes of a blind comparison in pairs.

    share: of the votes that prefer one, those for a, in %; tied: of all votes, those for neither, in %. Both with the
    exact 95 % interval. Ties say that two are alike, not which is better: they are shown, and left out of `share`.
    """

    a: int
    b: int
    ties: int
    share: Interval
    tied: Interval

    @property
    def is_more_than_noise(self) -> bool:
        """Whether the interval of `share` leaves out 50 %."""
        low, high = self.share.low, self.share.high
        return low is not None and high is not None and (low > 50 or high < 50)


def in_words(figure: Quantile | Interval) -> str:
    """`1,240 (1,180 to 1,310)`; `1,240*` without an interval; `none` without a value."""
    if figure.value is None:
        return "none"
    if figure.low is None or figure.high is None:
        return f"{digits(figure.value)}*"
    return f"{digits(figure.value)} ({digits(figure.low)} to {digits(figure.high)})"


def needed(p: float, confidence: float = CONFIDENCE) -> int:
    """The smallest sample with a two-sided interval for a percentile: 6 for p50, 72 for p95, 368 for p99.

    The rarer side must be seen at all: max(p, 1 − p)^n ≤ (1 − confidence) / 2.
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log(max(p, 1 - p)))


def quantile(values: ArrayLike, p: float, confidence: float = CONFIDENCE) -> Quantile:
    """A percentile (0 < p < 1) of independent values, with its order-statistic interval.

    NaN is left out; +inf is a failure's figure and counts.
    """
    import numpy as np
    from scipy.stats import quantile_test

    sample = np.asarray(values, dtype=float)
    sample = np.sort(sample[~np.isnan(sample)])
    least = needed(p, confidence)
    if len(sample) < least:
        return Quantile(p, point(sample, p) if len(sample) else None, None, None, len(sample), least)
    interval: Any = quantile_test(sample, p=p).confidence_interval(confidence)  # scipy-stubs take it for a float
    return Quantile(p, point(sample, p), float(interval.low), float(interval.high), len(sample), least)


def point(values: ArrayLike, p: float) -> float:
    """The percentile alone: linear between neighbours, and inf as soon as one of the two is."""
    import numpy as np

    return _between(np.sort(np.asarray(values, dtype=float)), p)


def _between(ordered: NDArray[Any], p: float) -> float:
    position = p * (len(ordered) - 1)
    below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
    if below == above:
        return float(below)
    return float(below + (above - below) * (position - math.floor(position)))


def median(values: ArrayLike) -> Quantile:
    return quantile(values, 0.5)


def mean(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The mean of independent values, from 368 on with Student's t interval corrected for skewness. NaN is left out.

    The correction is Hall's cubic transformation (P. Hall, J. R. Stat. Soc. B 54, 1992, 221); without it, 88 of 100
    intervals of 368 held the mean where 1 % of values were 10 times as long. Of what is rarer it cannot know: of values
    of which 0.3 % are 30 times as long, 65 of 100 intervals of 368 hold the mean, and of Pareto's law with an exponent
    of 1.5, which has no variance, 83. No interval for a mean holds for every distribution (R. R. Bahadur and L. J.
    Savage, Ann. Math. Stat. 27, 1956, 1115), and `notes` say so where one is shown.
    """
    import numpy as np
    from scipy.stats import skew, t

    sample = np.asarray(values, dtype=float)
    sample = sample[~np.isnan(sample)]
    count = len(sample)
    value = float(sample.mean()) if count else None
    if value is None or count < FOR_A_MEAN or not math.isfinite(value):
        return Interval(value, None, None, count, FOR_A_MEAN)
    error = float(sample.std(ddof=1)) / math.sqrt(count)
    tilt = float(skew(sample)) / (3 * math.sqrt(count)) if np.ptp(sample) else 0.0
    limit = float(t.ppf((1 + confidence) / 2, count - 1))
    low, high = (value - error * _untilted(side, tilt) for side in (limit, -limit))
    return Interval(value, low, high, count, FOR_A_MEAN)


def _untilted(t: float, tilt: float) -> float:
    """Hall's transformation backwards: the t of a sample of this skewness that is as rare as t of a symmetric one."""
    moved = t - tilt / 2
    return float((math.cbrt(1 + 3 * tilt * moved) - 1) / tilt) if abs(tilt) > 1e-9 else moved


def share(count: int, of: int, confidence: float = CONFIDENCE) -> Interval:
    """The share of so many in so many, in %, with the exact interval of Clopper and Pearson."""
    from scipy.stats import binomtest

    if not of:
        return Interval(None, None, None, 0, 1)
    exact = binomtest(count, of).proportion_ci(confidence, method="exact")
    return Interval(100 * count / of, 100 * float(exact.low), 100 * float(exact.high), of, 1)


def preference(a: int, b: int, ties: int = 0, confidence: float = CONFIDENCE) -> Preference:
    """Votes for a, for b, and for neither, of a blind comparison in pairs."""
    return Preference(a, b, ties, share(a, a + b, confidence), share(ties, a + b + ties, confidence))


def pooled(groups: Sequence[Sequence[float]], ps: Sequence[float]) -> list[Quantile]:
    """Percentiles of values pooled over groups (the gaps of requests), with intervals for groups like these.

    A group's values may hang together, up to being all alike: then K groups are worth K independent values, or
    (Σm)² / Σm² of them where their lengths m differ (Kish). Whether they are worth more, or less, is told by the
    variance of the share of values above a level, linearised and clustered by group, as for percentiles of surveys
    (Woodruff 1952; Francisco and Fuller 1991; the effective size with Student's t: Korn and Graubard 1998). It is taken
    where it is greatest within the interval of values that are all alike, because what is rare is often alike. The
    interval is the order-statistic one for that many values. `n` counts groups; `needed` is that of `quantile`, more
    where lengths differ or few groups hold the tail. A tail has none where lengths differ widely and longer answers
    have clearly longer gaps: a few of them make it, and 87 to 95 % of intervals held p95 and p99.
    """
    import numpy as np

    kept = [group for group in groups if len(group)]
    if not kept:
        return [Quantile(p, None, None, None, 0, needed(p)) for p in ps]
    values = np.concatenate([np.asarray(group, dtype=float) for group in kept])
    sizes = np.array([len(group) for group in kept], dtype=float)
    ordered = np.sort(values)
    return [_pooled(values, ordered, sizes, p) for p in ps]


def _pooled(values: NDArray[Any], ordered: NDArray[Any], sizes: NDArray[Any], p: float) -> Quantile:
    least, count = needed(p), len(sizes)
    alike = float(sizes.sum() ** 2 / (sizes @ sizes))
    worth = alike if alike < least else _worth(values, ordered, sizes, p, alike)
    most = math.ceil(least * count / min(worth, alike) - 1e-9)
    value = _between(ordered, p)
    if p > _TAIL and alike < _ALIKE_LONG * count and _growth(values, sizes) > _GROWS:
        most = max(most, count + 1)
        worth = 0.0
    if worth < least:
        return Quantile(p, value, None, None, count, most)
    low, high = (float(_reaching(ordered, level)) for level in _levels(worth, p))
    return Quantile(p, value, low, high, count, most)


def _growth(values: NDArray[Any], sizes: NDArray[Any]) -> float:
    """The exponent by which a request's mean gap grows with its length, by least squares of their logarithms."""
    import numpy as np

    starts = np.concatenate(([0], np.cumsum(sizes[:-1]))).astype(int)
    means = np.add.reduceat(values, starts) / sizes
    x, y = np.log(sizes), np.log(np.maximum(means, 1e-9))
    return float(np.cov(x, y, bias=True)[0, 1] / x.var())


def _worth(values: NDArray[Any], ordered: NDArray[Any], sizes: NDArray[Any], p: float, alike: float) -> float:
    """How many independent values the groups are worth about a percentile."""
    import numpy as np
    from scipy.stats import norm, t

    count, total = len(sizes), len(values)
    starts = np.concatenate(([0], np.cumsum(sizes[:-1]))).astype(int)
    spread = 0.0
    for level in np.linspace(*_levels(alike, p), _LEVELS):
        above = np.add.reduceat((values > _reaching(ordered, level)).astype(np.int32), starts)
        part = above.sum() / total
        if 0 < part < 1:
            parts = above - part * sizes
            spread = max(spread, count / (count - 1) * float(parts @ parts) / total**2 / (part * (1 - part)))
    found = 1 / spread if spread else alike
    if found <= alike:
        return found if found < _SCATTER * alike else alike
    tails = (1 + CONFIDENCE) / 2
    found *= float(norm.ppf(tails) / t.ppf(tails, count - 1)) ** 2
    return max(alike, min(found, _MOST_PER_REQUEST * alike, total))


def _levels(size: float, p: float) -> tuple[float, float]:
    """The shares of a sample below the ends of the order-statistic interval of a percentile; its size may be broken.

    The lower end has rank r, the largest with P(B < r) ≤ 2.5 %, and the upper s, the smallest with P(B ≥ s) ≤ 2.5 %,
    where B is binomial, written with the incomplete beta function.
    """
    from scipy.special import betainc

    tail = (1 - CONFIDENCE) / 2
    ranks = range(1, math.floor(size) + 1)
    low = bisect_right(ranks, tail, key=lambda rank: float(betainc(size - rank + 1, rank, 1 - p)))
    high = 1 + bisect_left(ranks, -tail, key=lambda rank: -float(betainc(rank, size - rank + 1, p)))
    return low / size, min(1.0, high / size)


def _reaching(ordered: NDArray[Any], level: float) -> Any:
    """The smallest of the values that this share of them does not exceed."""
    return ordered[max(0, math.ceil(level * len(ordered) - 1e-9) - 1)]
