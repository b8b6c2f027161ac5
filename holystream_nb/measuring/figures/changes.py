"""When did it change? Change points of a series by ranks, with a permutation p-value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

FALSE_ALARMS: Final = 0.05
"""How often a series that does not change is said to."""

_PERMUTATIONS: Final = 1999
_AT_ONCE: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """From `index` on the series is another: medians `before` and `after` it, and the p-value of there being none."""

    index: int
    before: float
    after: float
    p: float


def fewest(level: float = FALSE_ALARMS) -> int:
    """The shortest series that can show a change: 9 at 5 %."""
    return next(count for count in range(2, 99) if 2 / math.comb(count, count // 2) <= level / 2)


def changes(values: Sequence[float], *, level: float = FALSE_ALARMS, seed: int = 0) -> list[Change]:
    """The change points of a series, in order.

    First a lasting change is looked for: at each place the ranks before and after are compared (Mann and Whitney's U,
    standardized; the largest is the statistic, as in Pettitt's test, 1979, but with equal weight for every place). Then
    one that passes: each stretch against the rest (Olshen and Venkatraman's circular binary segmentation, 2004,
    doi:10.1093/biostatistics/kxh008). The p-value is the share of shuffled series with a statistic as large, so it
    needs no shape of the distribution, only that without a change any order is as likely: a rhythm of the day is found
    as changes too. Each of the two has half of `level`, and what lies between changes is searched again: a series
    without a change is said to have one no more often than `level`. A change stands where the distances to the medians
    before and after it are least.
    """
    if not len(values):
        return []
    cuts: dict[int, float] = {}
    _search(values, 0, level / 2, seed, cuts)
    edges = [0, *sorted(cuts), len(values)]
    for place in range(1, len(edges) - 1):
        edges[place] = _nearest(values, edges[place - 1], edges[place + 1])
    parts = [median(values[start:end]) for start, end in pairwise(edges)]
    ps = [cuts[at] for at in sorted(cuts)]
    return [Change(at, parts[i], parts[i + 1], ps[i]) for i, at in enumerate(edges[1:-1])]


def _nearest(values: Sequence[float], start: int, end: int) -> int:
    """Where between two places a change fits best: ranks say that there is one, distances to the medians where."""

    def rest(at: int) -> float:
        parts = values[start:at], values[at:end]
        return sum(abs(value - middle) for part in parts for middle in [median(part)] for value in part)

    return min(range(start + 1, end), key=rest)


def _search(values: Sequence[float], offset: int, level: float, seed: int, cuts: dict[int, float]) -> None:
    from scipy.stats import rankdata

    count = len(values)
    if count < fewest(2 * level):
        return
    ranks = rankdata(values) - (count + 1) / 2
    for ends in ([(0, end) for end in range(1, count)], [(i, j) for i in range(count) for j in range(i + 1, count)]):
        (start, end), p = _largest(ranks, ends, seed)
        if p <= level:
            found = [at for at in (start, end) if at]
            cuts.update({offset + at: p for at in found})
            edges = [0, *found, count]
            for left, right in pairwise(edges):
                _search(values[left:right], offset + left, level, seed, cuts)
            return


def _largest(ranks: NDArray[Any], stretches: list[tuple[int, int]], seed: int) -> tuple[tuple[int, int], float]:
    """The stretch whose ranks differ most from the rest's, and how often a shuffled series has one as different."""
    import numpy as np

    starts, ends = np.array(stretches).T
    inside = ends - starts
    scale = np.sqrt(inside * (len(ranks) - inside))

    def heights(rows: NDArray[Any]) -> NDArray[Any]:
        sums = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows, axis=1)], axis=1)
        found: NDArray[Any] = np.abs(sums[:, ends] - sums[:, starts]) / scale
        return found

    own = heights(ranks[None, :])[0]
    rng = np.random.default_rng(seed)
    as_large, left = 0, _PERMUTATIONS
    while left:
        rows = min(left, max(1, _AT_ONCE // len(stretches)))
        shuffled = rng.permuted(np.tile(ranks, (rows, 1)), axis=1)
        as_large += int(np.sum(heights(shuffled).max(axis=1) >= own.max() - 1e-9))
        left -= rows
    return stretches[int(own.argmax())], (1 + as_large) / (1 + _PERMUTATIONS)
