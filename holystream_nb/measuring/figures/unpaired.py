"""The difference of a percentile between two independent samples, with its interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .statistics import Interval, Quantile, quantile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def difference(a: ArrayLike, b: ArrayLike, p: float = 0.5) -> Quantile:
    """The percentile of b minus that of a, of two samples of independent requests, with a 95 % interval.

    Each sample has its order-statistic interval, which needs no shape of its distribution; the two are combined by the
    method of variance estimates recovery (MOVER; Zou and Donner 2008, doi:10.1002/sim.3095): each end is as far from
    the difference as the root of the sum of the squared distances of the two ends that make it. By simulation it covers
    95 % or more on log-normal, tied and unequal samples (see the tests). `low` and `high` are None where either sample
    is too small for its own interval; `n` is the smaller one.
    """
    return subtracted(quantile(a, p), quantile(b, p))


def subtracted(a: Quantile, b: Quantile) -> Quantile:
    """b − a of two percentiles of independent samples."""
    value = None if a.value is None or b.value is None else b.value - a.value
    n = min(a.n, b.n)
    if value is None or a.low is None or b.low is None or a.high is None or b.high is None:
        return Quantile(b.p, value, None, None, n, b.needed)
    low, high = _recovered(a, b, value)
    return Quantile(b.p, value, low, high, n, b.needed)


def subtracted_share(a: Interval, b: Interval) -> Interval:
    """b − a of two shares of independent samples, in percentage points, by the same method on their exact intervals."""
    if a.value is None or b.value is None:
        return Interval(None, None, None, min(a.n, b.n), 1)
    value = b.value - a.value
    low, high = _recovered(a, b, value)
    return Interval(value, low, high, min(a.n, b.n), 1)


def _recovered(a: Quantile | Interval, b: Quantile | Interval, value: float) -> tuple[float, float]:
    assert a.value is not None and a.low is not None and a.high is not None  # noqa: S101, PT018  # the callers looked
    assert b.value is not None and b.low is not None and b.high is not None  # noqa: S101, PT018
    below = math.hypot(b.value - b.low, a.high - a.value)
    above = math.hypot(b.high - b.value, a.value - a.low)
    return value - below, value + above
