"""Cost and a figure of each arm, and which of them others clearly beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...money.amount import currency
from ...money.card import LOCAL, SIMULATED
from ..figures.statistics import Quantile, median

if TYPE_CHECKING:
    from ..figures.figures import Figures

KNOWN: Final = ""
UNPRICED: Final = "price unknown"


@dataclass(frozen=True, slots=True)
class Point:
    """One arm: its cost per 1k requests in the chosen currency (None: see `place`), and the median of a figure.

    A failure counts as the worst there is: +∞ ms, 0 tok/s. `value` is None where no request has the figure.
    """

    arm: str
    cost: float | None
    figure: Quantile
    n: int
    failed: int
    place: str
    source: str
    as_of: str
    simulated: bool

    @property
    def value(self) -> float | None:
        return self.figure.value

    @property
    def low(self) -> float | None:
        return self.figure.low

    @property
    def high(self) -> float | None:
        return self.figure.high

    @property
    def has_interval(self) -> bool:
        return self.figure.has_interval

    @property
    def edges(self) -> list[float]:
        """The finite ones of the value and its interval."""
        return [edge for edge in (self.low, self.value, self.high) if edge is not None and math.isfinite(edge)]

    @property
    def is_placed(self) -> bool:
        """Whether it can be compared: a cost, and a value with its interval."""
        return self.cost is not None and self.has_interval


def points_of(result: Figures, metric: str) -> list[Point]:
    """A Point for each arm, in the plan's order."""
    worst = math.inf if metric.endswith("_ms") else 0.0
    column, found = f"{currency().lower()}_per_1k_requests", []
    for arm, row in result.cells.items():
        rows, counted = result.rows(arm), result.steady_rows(arm)
        succeeded = counted[counted["error"] == ""]
        known = [float(value) for value in succeeded[metric].dropna()]
        lost, failed = len(counted) - len(succeeded), int((rows["error"] != "").sum())
        source = str(row["price_source"])
        cost = None if source.startswith(LOCAL) or row[column] is None else float(row[column])
        place = KNOWN if cost is not None else LOCAL if source.startswith(LOCAL) else UNPRICED
        figure = median([*known, *[worst] * lost])
        simulated = source.startswith(SIMULATED)
        found.append(Point(arm, cost, figure, len(rows), failed, place, source, str(row["price_as_of"]), simulated))
    return found


def beaten_by(points: Sequence[Point], *, more_is_better: bool) -> dict[str, str]:
    """Each arm that another clearly beats, with that other: no dearer, and its whole interval better.

    Of points without a cost or an interval nothing is said, and they beat nobody.
    """
    placed = [point for point in points if point.is_placed]
    return {
        point.arm: other.arm
        for point in placed
        for other in placed
        if _cost(other) <= _cost(point) and _is_better(other.figure, point.figure, more_is_better)
    }


def front(points: Sequence[Point], *, more_is_better: bool) -> list[Point]:
    """By rising cost, the points whose median no other has for as much or less; a median of ∞ or of 0 tok/s is none.

    None of them is clearly beaten: who is, has the worse median too.
    """
    sign, found, best = -1 if more_is_better else 1, list[Point](), 0.0 if more_is_better else math.inf
    placed = [point for point in points if point.is_placed]
    for point in sorted(placed, key=lambda each: (_cost(each), sign * (each.value or 0.0))):
        if sign * (point.value or 0.0) < best:
            best = sign * (point.value or 0.0)
            found.append(point)
    return found


def _cost(point: Point) -> float:
    assert point.cost is not None  # noqa: S101  # is_placed
    return point.cost


def _is_better(one: Quantile, other: Quantile, more_is_better: bool) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low > other.high if more_is_better else one.high < other.low
