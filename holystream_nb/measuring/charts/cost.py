"""What a model's speed costs: each model a point, and the front of those that no other clearly beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ...money.amount import currency
from ..figures.tables import dagger
from ..values.words import digits
from . import slots
from .canvas import bursts, clean, context, frame, note, prepared
from .labels import Label, place
from .legend import Entry
from .marks import Mark, faint, hollow, marks
from .names import MOST, count, names
from .points import KNOWN, Point, beaten_by, front, points_of
from .scales import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..figures.figures import Figures

_DIRECT: Final = 12
_APART: Final = 0.965
_WIDE: Final = 0.42


def ttft_against_cost(result: Figures, *, ax: Axes | None = None) -> Axes:
    """TTFT p50 (ms) against cost (per 1k requests, in the chosen currency), bars 95 % intervals, and the Pareto front.

    A failure counts as +∞: a model of which half failed stands apart, at ∞. A model with a hollow mark is beaten:
    another is at most as dear, and its whole interval sooner. Where intervals overlap, models are not distinguishable.
    """
    ax = prepared(ax)
    place(ax, draw_ttft(ax, result), direct=_DIRECT, lines=False)
    return ax


def speed_against_cost(result: Figures, *, ax: Axes | None = None) -> Axes:
    """Decode tok/s (median) against cost (per 1k requests, in the chosen currency), and the Pareto front.

    As `ttft_against_cost`; a failure counts as 0 tok/s.
    """
    ax = prepared(ax)
    place(ax, draw_speed(ax, result), direct=_DIRECT, lines=False)
    return ax


def draw_ttft(ax: Axes, result: Figures) -> list[Label]:
    frame(ax, title="TTFT against cost", under=context(result, ax), x=words(), y="TTFT p50 (ms)")
    return _draw(ax, result, "ttft_ms", "ms", more_is_better=False)


def draw_speed(ax: Axes, result: Figures, *, prices: bool = True) -> list[Label]:
    """`prices`: whether to say where they come from; a sheet says it once."""
    frame(ax, title="Speed against cost", under=context(result, ax), x=words(), y="decode tok/s")
    return _draw(ax, result, "decode_tokens_per_s", "tok/s", more_is_better=True, prices=prices)


def words() -> str:
    """The axis of costs, in the currency that the reader chose."""
    return f"cost ({currency()} per 1k requests)"


def _draw(
    ax: Axes, result: Figures, metric: str, unit: str, *, more_is_better: bool, prices: bool = True
) -> list[Label]:
    points = points_of(result, metric)
    shown = [point for point in points if point.value is not None]
    reached = [point for point in shown if not _is_apart(point, more_is_better)]
    fallen = beaten_by(points, more_is_better=more_is_better)
    best = front(points, more_is_better=more_is_better)
    named = _named(shown, best)
    costs = [point.cost for point in shown if point.cost is not None]
    scale(ax, "x", [cost for cost in costs if cost > 0] or costs)
    scale(ax, "y", [edge for point in reached for edge in point.edges])
    marked, called = marks(result.arms, ax), names(result, ax, _WIDE)
    _limits(ax, reached, more_is_better)
    at = slots.places(ax, shown)
    labels = []
    for point in shown:
        y = _height(ax, point, more_is_better)
        mark = marked[point.arm]
        if point.arm not in named:
            ax.plot([at[point.arm]], [y], ".", color=faint(ax), markersize=6, zorder=3)
            continue
        _point(ax, at[point.arm], y, point, mark, is_filled=point.arm not in fallen)
        if _is_apart(point, more_is_better) and not more_is_better:
            labels.append(Label("∞", mark.text, [(at[point.arm], y)], away=1.35))
        labels.append(_label(point, mark, called[point.arm], result, unit, (at[point.arm], y)))
    if len(best) and len(reached) > 1:
        labels.append(_front(ax, best, at, more_is_better=more_is_better))
    note(ax, [_notes(points, named, best, fallen, result, more_is_better), _sources(shown) if prices else ""])
    return labels


def _named(shown: Sequence[Point], best: Sequence[Point]) -> set[str]:
    """The arms that have a mark and a name of their own: those on the front, then the plan's first."""
    first = dict.fromkeys([*(point.arm for point in best), *(point.arm for point in shown)])
    return set(list(first)[:MOST])


def _is_apart(point: Point, more_is_better: bool) -> bool:
    """Whether half of its requests failed: its median is ∞, or 0 tok/s."""
    return point.value is not None and (point.value == 0 if more_is_better else math.isinf(point.value))


def _limits(ax: Axes, reached: Sequence[Point], more_is_better: bool) -> None:
    """Room about the points, from 0 on where the axis is linear."""
    edges = [edge for point in reached for edge in point.edges] or [1.0]
    low, high = min(edges), max(edges)
    if ax.get_yscale() == "log":
        ax.set_ylim(low / 1.5, high * 2.2)
    else:
        ax.set_ylim(0, high * 1.3 or 1.0)


def _height(ax: Axes, point: Point, more_is_better: bool) -> float:
    """Where a point stands; one of which half failed at the bad edge, apart."""
    assert point.value is not None  # noqa: S101
    if not _is_apart(point, more_is_better):
        return point.value
    share = 1 - _APART if more_is_better else _APART
    return float(ax.transData.inverted().transform(ax.transAxes.transform((0, share)))[1])


def _point(ax: Axes, x: float, y: float, point: Point, mark: Mark, *, is_filled: bool) -> None:
    if not point.has_interval:
        hollow(ax, x, y, mark)
        return
    low, high = point.low, point.high
    if math.isfinite(y) and point.value == y and low is not None and high is not None:
        top = min(high, ax.get_ylim()[1])
        bars = [[y - low], [top - y]]
    else:
        bars = None
    ax.errorbar(
        [x],
        [y],
        yerr=bars,
        fmt=mark.marker,
        color=mark.text,
        markerfacecolor=mark.colour if is_filled and bars else ax.get_facecolor(),
        markersize=8,
        markeredgewidth=1.6,
        elinewidth=1.6,
        capsize=3,
        zorder=4,
    )


def _label(point: Point, mark: Mark, called: str, result: Figures, unit: str, at: tuple[float, float]) -> Label:
    assert point.value is not None  # noqa: S101
    star = "" if point.has_interval else "*"
    value = f"{digits(point.value)}{star} {unit}{dagger(result.cells[point.arm], 'ttft_ms')}"
    paid = f"{currency()} {digits(point.cost)}" if point.cost is not None else point.place
    paid += " (simulated)" if point.simulated else ""
    counts = count(point.n, point.failed)
    text = f"{mark.sign} {called} · {counts}\n{value} · {paid}"
    entry = Entry(mark, clean(result.label(point.arm)), (counts, value, paid))
    return Label(text, mark.text, [at], away=1.35, entry=entry)


def _front(ax: Axes, best: Sequence[Point], at: dict[str, float], *, more_is_better: bool) -> Label:
    """The staircase of the front: the best that can be had for at most so much."""
    worst = ax.get_ylim()[0 if more_is_better else 1]
    right = ax.get_xlim()[1]
    steps = [(at[point.arm], float(point.value or 0)) for point in best]
    x = [*(value for step in steps for value in (step[0], step[0])), right]
    y = [worst, *(value for step in steps for value in (step[1], step[1]))]
    ax.plot(x, y, color=faint(ax), linewidth=1.2, linestyle=(0, (2, 2)), scalex=False, scaley=False, zorder=1)
    ends = [*(step[0] for step in steps[1:]), right]
    is_log = ax.get_xscale() == "log"
    middles = [
        ((begin * end) ** 0.5 if is_log else (begin + end) / 2, value)
        for (begin, value), end in zip(steps, ends, strict=True)
    ]
    return Label("Pareto front", faint(ax), middles[::-1], size=7.5)


def _notes(
    points: Sequence[Point],
    named: set[str],
    best: Sequence[Point],
    fallen: dict[str, str],
    result: Figures,
    more_is_better: bool,
) -> str:
    """How to read the marks that are there, and what is not there."""
    shown = [point for point in points if point.value is not None]
    said = ["Bars: 95 % order-statistic intervals of the medians."] if any(p.has_interval for p in shown) else []
    if fallen:
        said.append("Hollow: beaten, another costs no more and its whole interval is better.")
    on_front = {point.arm for point in best}
    alike = [point for point in shown if point.has_interval and point.arm not in on_front and point.arm not in fallen]
    alike = [point for point in alike if point.place == KNOWN and not _is_apart(point, more_is_better)]
    if alike:
        listed = ", ".join(_name(result, point) for point in alike)
        said.append(f"Not distinguishable from the front, because intervals overlap: {listed}.")
    if any(not point.has_interval for point in shown):
        said.append("Dashed and *: no interval at this size, no verdict.")
    if any(point.failed for point in points):
        said.append(f"A failure counts as {'0 tok/s' if more_is_better else '∞'}.")
    for point in shown:
        if _is_apart(point, more_is_better):
            said.append(f"{_name(result, point)} stands apart: {point.failed} of {point.n} failed.")
    said += [word] if (word := bursts(result)) else []
    if slots.are_moved(shown):
        said.append("Marks of one cost stand beside each other.")
    if any(point.place != KNOWN for point in shown):
        said.append("Left of the dotted line: no price, so no part of the front.")
    said += [
        f"{_name(result, point)} is not shown: no request has this figure." for point in points if point.value is None
    ]
    if len(shown) > len(named):
        others = "those of the front first; small dots: the others, which are in the table."
        said.append(f"Named: {len(named)} of {len(shown)}, {others}")
    return " ".join(said)


def _name(result: Figures, point: Point) -> str:
    return clean(result.label(point.arm))


def _sources(shown: Sequence[Point]) -> str:
    """Where the prices come from, and as of when."""
    sources = dict.fromkeys(part for point in shown for part in point.source.split("; ") if part)
    dates = dict.fromkeys(point.as_of for point in shown if point.as_of)
    return f"Prices: {clean('; '.join(sources))} ({'; '.join(dates) or 'undated'})." if sources else ""
