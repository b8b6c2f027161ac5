"""Places left of an axis of costs, for what has none on it: a price of 0 on a logarithmic axis, no price, unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.ticker import FixedLocator, NullLocator

from ...money.card import LOCAL
from .canvas import SMALL
from .marks import faint, ink
from .points import KNOWN, UNPRICED, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SLOT: Final = 0.13
"""The part of the axis that each place has."""
_ROOM: Final = 0.22
_APART: Final = 0.02
_ZERO: Final = "0"
_WORDS: Final = {_ZERO: "0", LOCAL: "local,\nno price", UNPRICED: "price\nunknown"}


def are_moved(points: Sequence[Point]) -> bool:
    """Whether some have one cost, and stand beside it."""
    costs = [point.cost for point in points if point.cost is not None]
    return len(set(costs)) < len(costs)


def places(ax: Axes, points: Sequence[Point]) -> dict[str, float]:
    """Each arm's x, after the scale is chosen; sets the limits, and marks the places that are taken."""
    is_log = ax.get_xscale() == "log"
    kinds = {point.arm: _ZERO if is_log and point.cost == 0 else point.place for point in points}
    taken = [kind for kind in dict.fromkeys(sorted(kinds.values())) if kind != KNOWN]
    left, right = _range([point.cost for point in points if point.cost is not None], is_log)
    edge, step = _outwards(left, right, 0, is_log), _SLOT / (1 - _SLOT * len(taken))
    ax.set_xlim(_outwards(left, right, step * len(taken), is_log), right)
    centres = {kind: _outwards(left, right, step * (index + 0.5), is_log) for index, kind in enumerate(taken)}
    for kind, centre in centres.items():
        ax.annotate(
            _WORDS[kind],
            (centre, 0),
            (0, -4),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=SMALL,
            color=ink(ax),
            annotation_clip=False,
        )
    if taken:
        ax.axvline(edge, color=faint(ax), linewidth=1, linestyle=":", zorder=1)
        ticks = [tick for tick in ax.xaxis.get_majorticklocs() if edge * (1 - 1e-9) <= tick <= right]
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())
    at = {point.arm: float(point.cost or 0.0) for point in points}
    for index, kind in enumerate(taken):
        inside = [arm for arm, its in kinds.items() if its == kind]
        for nth, arm in enumerate(inside, 1):
            part = step * (index + 1 - nth / (len(inside) + 1))
            at[arm] = _outwards(left, right, part, is_log)
    return _beside(at, [point.arm for point in points if kinds[point.arm] == KNOWN], right, left, is_log)


def _beside(at: dict[str, float], arms: Sequence[str], right: float, left: float, is_log: bool) -> dict[str, float]:
    """Marks of one cost stand beside each other about it, a little apart, so that none hides another."""
    moved = dict(at)
    for cost in {at[arm] for arm in arms}:
        alike = [arm for arm in arms if at[arm] == cost]
        for nth, arm in enumerate(alike):
            part = _APART * (nth - (len(alike) - 1) / 2 if cost else nth)
            moved[arm] = cost * (right / left) ** part if is_log else cost + (right - left) * part
    return moved


def _range(costs: Sequence[float], is_log: bool) -> tuple[float, float]:
    """The axis of the known costs, with room for labels; a linear one begins at 0."""
    positive = [cost for cost in costs if cost > 0] or [1.0]
    if is_log:
        wide = (max(positive) / min(positive)) ** _ROOM
        return min(positive) / wide, max(positive) * wide
    right = max(positive) * (1 + _ROOM)
    return (-_APART * right if 0 in costs else 0.0), right


def _outwards(left: float, right: float, part: float, is_log: bool) -> float:
    """So large a part of the axis left of its left end."""
    return left * (left / right) ** part if is_log else left - (right - left) * part
