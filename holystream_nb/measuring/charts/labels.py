"""Words beside what they name, where they cover nothing: each label takes the freest of its places.

Where the names of arms find no free places, or are many, they stand in a legend instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from .canvas import SMALL, figure_of, grow, inches
from .canvas import below as lower
from .legend import Entry, below, table
from .marks import background

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from numpy.typing import NDArray

SIDES: Final = (
    ("left", "center", 8, 0),
    ("right", "center", -8, 0),
    ("left", "bottom", 6, 5),
    ("right", "bottom", -6, 5),
    ("left", "top", 6, -5),
    ("right", "top", -6, -5),
    ("center", "bottom", 0, 8),
    ("center", "top", 0, -8),
)
"""Where a label may stand about its point: alignment, and the distance in points."""

_STEP: Final = 6.0
_SHIFT: Final = {"left": 0.0, "bottom": 0.0, "center": -0.5, "right": -1.0, "top": -1.0}
_UNDER, _OVER_LABEL, _OUTSIDE, _LATER = 5.0, 300.0, 600.0, 0.3
_DISTANCES: Final = (1, 3)
_ROUNDS: Final = 3
_MARKS: Final = 8
_WEIGHT: Final = 3
_CORNERS: Final = ((-1, -1), (-1, 1), (1, -1), (1, 1), (0, 1), (0, -1), (1, 0), (-1, 0))
"""Of a mark, which is more than a point; lines of many marks are full of points anyway."""
_COVERED: Final = 100.0
"""The worst place that a name may take: past it, a legend is easier to read."""
DIRECT: Final = 4
"""Names of so many arms may stand at their curves; more of them, and a legend is found sooner than the name."""


@dataclass(frozen=True, slots=True)
class Label:
    """Words that may stand about any of some points (data coordinates), the first the best.

    `away` is a factor of the usual distance. A label that names an arm has the `entry` of a legend in its place.
    """

    text: str
    colour: str
    points: Sequence[tuple[float, float]]
    bold: bool = False
    size: float = SMALL
    away: float = 1.0
    entry: Entry | None = None


def place(ax: Axes, labels: Sequence[Label], *, direct: int = DIRECT, lines: bool = True) -> None:
    """Writes the labels; call it when everything else is drawn, for it looks at what is.

    More than `direct` names, or names without a free place, make a legend below; `lines`: whether it has lines.
    """
    place_all([(ax, labels)], direct=direct, lines=lines)


def place_all(panels: Sequence[tuple[Axes, Sequence[Label]]], *, direct: int = DIRECT, lines: bool = True) -> None:
    """The same for all Axes of a figure, whose layout is made once."""
    figure = figure_of(panels[0][0])
    grow(figure)
    crowded = {ax for ax, labels in panels if len(_entries(labels)) > direct}
    crowded |= {ax for ax, labels in panels if ax not in crowded and not _fits(ax, labels)}
    for ax, labels in panels:
        if ax in crowded:
            below(ax, table(ax, _entries(labels), inches(ax) * 72, lines=lines)[0], lower(ax))
    if crowded:
        grow(figure)
    for ax, labels in panels:
        _write(ax, without_names(labels) if ax in crowded else labels)


def _entries(labels: Sequence[Label]) -> list[Entry]:
    return [label.entry for label in labels if label.entry is not None]


def without_names(labels: Sequence[Label]) -> list[Label]:
    """Those that stand on a chart whose names are in a legend."""
    return [label for label in labels if label.entry is None]


def _fits(ax: Axes, labels: Sequence[Label]) -> bool:
    """Whether each name finds a place at which it covers little."""
    if not _entries(labels):
        return True
    texts, costs = _write(ax, labels)
    for text in texts:
        text.remove()
    return all(cost < _COVERED for label, cost in zip(labels, costs, strict=True) if label.entry is not None)


def _write(ax: Axes, labels: Sequence[Label]) -> tuple[list[Annotation], list[float]]:
    """The texts at the best places that there are, and how bad each of these is."""
    texts = [_written(ax, label) for label in labels]
    places = [_places(ax, label, text, figure_of(ax).dpi / 72) for label, text in zip(labels, texts, strict=True)]
    room, drawn = ax.get_window_extent(), _drawn(ax)
    empty = [[_cost(each.box, room, drawn) + _LATER * rank for rank, each in enumerate(row)] for row in places]
    taken: dict[int, Bbox] = {}
    found = [0.0] * len(labels)
    for _ in range(_ROUNDS):  # a label that came first may have to give way to one that has no other place
        for index, row in enumerate(places):
            others = [box for other, box in taken.items() if other != index]
            costs = [cost + _over(each.box, others) for cost, each in zip(empty[index], row, strict=True)]
            best = row[int(np.argmin(costs))]
            found[index], taken[index] = min(costs), best.box
            texts[index].xy = best.point
            aligned = "right" if best.ha == "right" else "left"
            texts[index].set(ha=best.ha, va=best.va, position=best.offset, multialignment=aligned)
    return texts, found


@dataclass(frozen=True, slots=True)
class _Place:
    """One place for a label: about a point (data coordinates), at a distance in points; `box` in pixels."""

    point: tuple[float, float]
    ha: str
    va: str
    offset: tuple[float, float]
    box: Bbox


def _written(ax: Axes, label: Label) -> Annotation:
    text = ax.annotate(
        label.text,
        label.points[0],
        (0, 0),
        textcoords="offset points",
        color=label.colour,
        fontsize=label.size,
        fontweight="bold" if label.bold else "normal",
        linespacing=1.3,
        path_effects=[withStroke(linewidth=2.5, foreground=background(ax))],
        parse_math=False,
        annotation_clip=False,
        zorder=6,
    )
    text.set_in_layout(False)
    return text


def _places(ax: Axes, label: Label, text: Annotation, scale: float) -> list[_Place]:
    """Near each point, then a little farther above and below."""
    size, found = text.get_window_extent(), list[_Place]()
    for farther in _DISTANCES:
        for point in label.points:
            at = ax.transData.transform(point)
            for ha, va, right, up in SIDES:
                offset = (right * label.away, up * label.away * farther)
                left = at[0] + offset[0] * scale + _SHIFT[ha] * size.width
                low = at[1] + offset[1] * scale + _SHIFT[va] * size.height
                box = Bbox.from_bounds(left, low, size.width, size.height)
                found.append(_Place(point, ha, va, offset, box))
    return found


def _cost(box: Bbox, room: Bbox, drawn: NDArray[Any]) -> float:
    """How bad a place is by itself: points of drawn things under it, parts outside of the Axes."""
    x, y = drawn[:, 0], drawn[:, 1]
    under = np.count_nonzero((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1))
    beyond = max(0, room.x0 - box.x0, box.x1 - room.x1, room.y0 - box.y0, box.y1 - room.y1)
    return float(_UNDER * under + (_OUTSIDE if beyond > 1 else 0) + beyond)


def _over(box: Bbox, others: Sequence[Bbox]) -> float:
    """How bad it is for the labels that it would cover."""
    wider = box.padded(2)
    return _OVER_LABEL * sum(wider.overlaps(other) for other in others)


def _drawn(ax: Axes) -> NDArray[Any]:
    """Points along all lines and marks, in pixels, a few pixels apart."""
    found: list[NDArray[Any]] = [np.empty((0, 2))]
    for line in ax.lines:
        at = line.get_transform().transform(np.asarray(line.get_xydata(), dtype=float))
        found.append(_along(at) if line.get_linestyle() != "None" else at)
        if line.get_marker() not in ("None", "|") and len(at) <= _MARKS:
            half = line.get_markersize() / 2 * figure_of(ax).dpi / 72
            found += [at + half * np.array(corner) for corner in _CORNERS] * _WEIGHT
    for collection in ax.collections:
        if isinstance(collection, PathCollection):
            offsets = np.asarray(collection.get_offsets(), dtype=float)
            found.append(collection.get_offset_transform().transform(offsets))
        elif isinstance(collection, LineCollection):
            for path in collection.get_paths():
                found.append(_along(collection.get_transform().transform(path.vertices)))
    points: NDArray[Any] = np.concatenate(found)
    known: NDArray[Any] = points[np.isfinite(points).all(axis=1)]
    return known


def _along(points: NDArray[Any]) -> NDArray[Any]:
    """A broken line, with points between its corners."""
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 2:
        return points
    lengths = np.hypot(*np.diff(points, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    between = np.arange(0.0, at[-1] + _STEP, _STEP)
    return np.column_stack([np.interp(between, at, points[:, column]) for column in (0, 1)])
