"""How much load a service bears within limits: the good share and TTFT p95 of each probe, and the answer found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..figures.statistics import Interval, Quantile
from ..values.words import digits
from .canvas import Panels, add, figure, frame, note
from .labels import Label, place_all
from .marks import Mark, faint, hollow, ink, marks
from .scales import figure_text, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH: Final = 7.6
_HEIGHT: Final = 6.2


@dataclass(frozen=True, slots=True)
class Level:
    """One probe: the load, its n requests, the share of them that were good, and their TTFT p95 (ms).

    `good` is in %, as `statistics.share` makes it. Failures are no good requests, and not in `ttft_p95_ms`. In an open
    loop both are from the scheduled start.
    """

    load: float
    n: int
    good: Interval
    ttft_p95_ms: Quantile


def capacity(
    levels: Sequence[Level],
    *,
    model: str,
    least: float,
    ttft_ms: float | None = None,
    within: float | None = None,
    beyond: float | None = None,
    unit: str = "users at once",
    scheduled: bool = False,
    under: str = "",
) -> Panels:
    """Two Axes over the load: good requests (%) with what is asked for, TTFT p95 (ms) with its limit.

    levels: a `Level` a probe, in any order. least: the share of good requests asked for (%). ttft_ms: the limit of
    TTFT, if it is one. within: the largest load surely within the limits; beyond: the smallest surely beyond them; None
    where there is none. unit: of the load. scheduled: whether TTFT is from the scheduled start. under: what is to be
    known: the simulator, the limits.
    """
    made = figure(_WIDTH, _HEIGHT)
    grid = made.add_gridspec(2, 1)
    top = add(made, grid[0])
    bottom = add(made, grid[1], sharex=top)
    mark = marks([model], top)[model]
    ordered = sorted(levels, key=lambda level: level.load)
    frame(top, title="Capacity", under=" · ".join(filter(None, (model, under))), x="", y="good requests (%)")
    title = "TTFT p95, from the scheduled start" if scheduled else "TTFT p95"
    frame(bottom, title=title, under="", x=f"load ({unit})", y="TTFT p95 (ms)")
    upper = _goods(top, ordered, mark, least)
    lower = _ttfts(bottom, ordered, mark, ttft_ms)
    _loads(top, [level.load for level in ordered])
    top.tick_params(labelbottom=False)
    upper.append(_answer([top, bottom], ordered, within, beyond))
    note(bottom, [_notes(ordered, is_between=within is not None and beyond is not None)])
    place_all([(top, upper), (bottom, lower)])
    return Panels((top, bottom))


def _goods(ax: Axes, levels: Sequence[Level], mark: Mark, least: float) -> list[Label]:
    known = [(level.load, level.good) for level in levels if level.good.value is not None]
    _bars(ax, known, mark)
    ax.axhline(least, color=ink(ax), linewidth=1, linestyle=(0, (4, 2)), zorder=2)
    ax.set_ylim(0, 106)
    left = levels[0].load if levels else 1.0
    return [Label(f"asked for: {least:g} %", ink(ax), [(left, least)], size=7.5)]


def _ttfts(ax: Axes, levels: Sequence[Level], mark: Mark, limit: float | None) -> list[Label]:
    known = [(level.load, level.ttft_p95_ms) for level in levels if level.ttft_p95_ms.value is not None]
    reached = [(load, each) for load, each in known if math.isfinite(each.value or 0.0)]
    values = [edge for _, each in reached for edge in (each.low, each.value, each.high) if edge and math.isfinite(edge)]
    scale(ax, "y", [*values, *([limit] if limit else [])])
    _bars(ax, reached, mark)
    if ax.get_yscale() == "linear":
        ax.set_ylim(0, 1.15 * max([*values, limit or 1.0]))
    labels = []
    for load, each in known:
        if math.isinf(each.value or 0.0):
            ax.plot([load], [0.96], mark.marker, color=mark.text, fillstyle="none", transform=ax.get_xaxis_transform())
            labels.append(Label("∞", mark.text, [(load, ax.get_ylim()[1])]))
    if limit is not None:
        ax.axhline(limit, color=ink(ax), linewidth=1, linestyle=(0, (4, 2)), zorder=2)
        left = levels[0].load if levels else 1.0
        labels.append(Label(f"limit: {digits(limit)} ms", ink(ax), [(left, limit)], size=7.5))
    return labels


def _bars(ax: Axes, points: Sequence[tuple[float, Interval | Quantile]], mark: Mark) -> None:
    """A line through the values; bars where there are intervals, empty dashed marks where there are none."""
    x, y = [load for load, _ in points], [float(each.value or 0.0) for _, each in points]
    ax.plot(x, y, color=mark.colour, linewidth=1.6, zorder=3)
    for load, value, (_, each) in zip(x, y, points, strict=True):
        if each.low is None or each.high is None:
            hollow(ax, load, value, mark, 7)
            continue
        ends = [each.low, each.high]
        ends[1] = ends[1] if math.isfinite(ends[1]) else ax.get_ylim()[1]
        ax.plot([load, load], ends, color=mark.text, linewidth=1.6, solid_capstyle="butt", zorder=4)
        ax.plot([load], [value], mark.marker, color=mark.text, markersize=7, zorder=5)


def _answer(axes: Sequence[Axes], levels: Sequence[Level], within: float | None, beyond: float | None) -> Label:
    """The two loads between which the answer lies, as lines with a strip between; or what is known of it."""
    edges = [load for load in (within, beyond) if load is not None]
    for ax in axes:
        for load in edges:
            ax.axvline(load, color=faint(ax), linewidth=1.6, zorder=2)
        if len(edges) == 2:
            ax.axvspan(*edges, color=faint(ax), alpha=0.2, linewidth=0, zorder=0)
    at = edges[0] if edges else levels[0].load if levels else 1.0
    text = _said(within, beyond)
    return Label(text, ink(axes[0]), [(at, height) for height in (30.0, 12.0, 55.0)], bold=True)


def _said(within: float | None, beyond: float | None) -> str:
    if within is None:
        return "nothing is decided yet" if beyond is None else f"bears not even a load of {figure_text(beyond)}"
    if beyond is None:
        return f"bears at least a load of {figure_text(within)}"
    return f"bears a load of {figure_text(within)},\nbut not of {figure_text(beyond)}"


def _loads(ax: Axes, loads: Sequence[float]) -> None:
    """By factors of two where the probes go that far, as doubling makes them; ticks at the probes that have room."""
    positive = sorted({load for load in loads if load > 0})
    if not positive:
        return
    is_log = positive[-1] >= 4 * positive[0]
    if is_log:
        ax.set_xscale("log", base=2)
        ax.xaxis.set_minor_locator(NullLocator())
    kept: list[float] = []
    for load in positive:
        last = kept[-1] if kept else -math.inf
        if not kept or (load >= 1.18 * last if is_log else load - last >= 0.05 * (positive[-1] - positive[0])):
            kept.append(load)
    ax.xaxis.set_major_locator(FixedLocator(kept))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: figure_text(value)))
    ax.margins(x=0.08)


def _notes(levels: Sequence[Level], *, is_between: bool) -> str:
    counts = sorted({level.n for level in levels})
    many = f"n = {counts[0]:,}{f' to {counts[-1]:,}' if len(counts) > 1 else ''} a point. " if counts else ""
    answer = " Grey: between the two, not decided." if is_between else ""
    starred = any(level.ttft_p95_ms.low is None or level.good.low is None for level in levels)
    missing = " Dashed: no interval at this size." if starred else ""
    bars = "Bars: 95 % intervals (share: Clopper–Pearson; p95 of those that succeeded: order statistics)."
    return f"{many}{bars}{answer}{missing}"
