"""What rising load brings and what it costs: throughput and p95 TTFT against concurrency, and the knee between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..figures.statistics import Quantile
from ..values.plan import connections
from ..values.words import counted, digits
from .canvas import Panels, add, clean, figure, frame, note, timing_error
from .labels import DIRECT, Label, place_all
from .legend import Entry
from .marks import Mark, hollow, marks
from .names import called as shortened
from .names import drawn, undrawn
from .scales import scale, ticks_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from ..figures.sweep import Sweep

_HEIGHT: Final = 6.4
_BARS: Final = "Bars: 95 % order-statistic intervals."
_KNEE: Final = (
    " Knee: the throughput farthest above the line from the first point to the last, by linear axes (Kneedle)."
)
_WIDTH: Final = 7.6
_WIDE: Final = 0.34
_FEW: Final = 2
_FAR: Final = 10.0
"""An interval up to ∞ is drawn to so many times the value."""
_PERCENTILES: Final = ("ttft_p50_ms", "ttft_p95_ms")
_SPAN: Final = 1.5
"""Throughput is logarithmic as concurrency is, so that growth in proportion is a straight line."""


def concurrency(sweep: Sweep) -> Panels:
    """Two Axes over concurrency: system tok/s with each one's knee; TTFT p95 and p50 (ms) with 95 % intervals.

    The dotted line is what n clients would get if each kept the speed of the lightest load. A percentile without an
    interval (p95 of fewer than 72 requests that succeeded) is dashed. Past four arms p50 is left to the table.
    """
    made = figure(_WIDTH, _HEIGHT)
    grid = made.add_gridspec(2, 1, height_ratios=(1, 1.15))
    top = add(made, grid[0])
    bottom = add(made, grid[1], sharex=top)
    table = sweep.table()
    loads = sorted({int(load) for load in table["concurrency"]})
    frame(top, title="Throughput against concurrency", under=_context(sweep), x="", y="system tok/s")
    frame(bottom, title="TTFT against concurrency", under="", x="concurrency (streams at once)", y="TTFT (ms)")
    marked = marks(sweep.arms, top)
    whole, arms = _called(sweep), drawn(sweep.arms)
    called = shortened(whole, top, _WIDE)
    shortened(whole, bottom, _WIDE)
    crowded = len(arms) > _FEW
    upper, lower, notes = list[Label](), list[Label](), list[str]()
    for arm in arms:
        rows = sweep.rows(arm)
        upper += _throughput(top, rows, marked[arm], called[arm], whole[arm], sweep.knee(arm), crowded=crowded)
        if empty := [str(load) for load in rows[rows["system_tokens_per_s"].isna()]["concurrency"]]:
            notes.append(f"{whole[arm]} at {', '.join(empty)}: no throughput, its clients never all ran at once.")
        head = f"{marked[arm].sign} {called[arm]} " if len(sweep.arms) > 1 else ""
        lower += _ttft(bottom, rows, marked[arm], head, both=len(arms) <= DIRECT)
    if crowded:
        notes.append("Thick: p95; thin: p50." if len(arms) <= DIRECT else "TTFT is p95; p50 is in the table.")
        lower = []
    percentiles = [each for arm in sweep.arms for name in _PERCENTILES for each in sweep.rows(arm)[name]]
    if least := sorted({each.needed for each in percentiles if not each.has_interval}):
        notes.append(f"Dashed: no interval at this size ({' or '.join(map(str, least))} needed).")
    notes.append(undrawn(sweep.arms))
    ticks_at(top, loads)
    top.tick_params(labelbottom=False)
    top.margins(x=0.1, y=0.14)
    figures = [edge for each in percentiles for edge in _edges(each)]
    scale(bottom, "y", figures)
    scale(top, "y", [rate for rate in table["system_tokens_per_s"] if rate == rate], span=_SPAN)
    for ax in (top, bottom):
        if ax.get_yscale() == "linear":
            ax.set_ylim(bottom=0)
    knee = _KNEE if any(sweep.knee(arm) for arm in arms) else ""
    note(bottom, [f"{_BARS}{knee}", " ".join(filter(None, notes))])
    names = [label for label in upper if label.entry is not None]
    if crowded:
        upper = [label for label in upper if label.entry is None]
        lower += names
    place_all([(top, upper), (bottom, lower)])
    return Panels((top, bottom))


def _throughput(
    ax: Axes, rows: DataFrame, mark: Mark, called: str, whole: str, knee: int | None, *, crowded: bool
) -> list[Label]:
    known = rows[rows["system_tokens_per_s"].notna()]
    if not len(known):
        return []
    x, y = known["concurrency"].to_numpy(dtype=float), known["system_tokens_per_s"].to_numpy(dtype=float)
    ax.plot(x, y, color=mark.colour, linestyle=mark.line, marker=mark.marker, markersize=6, linewidth=1.8, zorder=4)
    linear = x * y[0] / x[0]
    shown = linear <= 1.25 * y.max()
    if shown.sum() > 1 and not crowded:
        ax.plot(x[shown], linear[shown], color=mark.colour, linestyle=":", linewidth=1, alpha=0.8, zorder=2)
    counts = f"n = {_range(rows['n'])} a point"
    failures = int(rows["errors"].sum())
    columns = (
        counts,
        "" if knee is None else f"knee at {knee}: {digits(float(y[list(x).index(knee)]))} tok/s",
        f"{failures} failed" if failures else "",
    )
    ends = [(x[-1], y[-1]), (x[-2], y[-2])] if len(x) > 1 else [(x[0], y[0])]
    labels = [Label(f"{mark.sign} {called}\n{counts}", mark.text, ends, entry=Entry(mark, whole, columns))]
    if knee is not None:
        height = float(y[list(x).index(knee)])
        ax.plot([knee], [height], "o", markersize=14, markerfacecolor="none", color=mark.text, markeredgewidth=1.8)
        text = f"knee at {knee}: {digits(height)} tok/s"
        labels += [] if crowded else [Label(text, mark.text, [(knee, height)], bold=True, away=1.7)]
    for load, failed, rate in zip(known["concurrency"], known["errors"], y, strict=True):
        if failed and not crowded:
            labels.append(Label(f"{failed} failed", mark.text, [(float(load), float(rate))], size=7.5))
    return labels


def _ttft(ax: Axes, rows: DataFrame, mark: Mark, head: str, *, both: bool) -> list[Label]:
    """p95 thick, and p50 thin if both are wanted. `head` begins the labels."""
    labels = list[Label]()
    lines = (("p95", "ttft_p95_ms"), ("p50", "ttft_p50_ms"))
    for word, column in lines if both else lines[:1]:
        points = [
            (float(load), each)
            for load, each in zip(rows["concurrency"], rows[column], strict=True)
            if each.value is not None and math.isfinite(each.value)
        ]
        if points:
            _line(ax, points, mark, filled=word == "p95")
            places = [(load, float(each.value)) for load, each in points]
            labels.append(Label(f"{head}{word}", mark.text, places[::-1]))
    return labels


def _line(ax: Axes, points: Sequence[tuple[float, Quantile]], mark: Mark, *, filled: bool) -> None:
    """A percentile over the load: bars where there are intervals, empty dashed marks where there are none."""
    x, y = [load for load, _ in points], [float(each.value or 0.0) for _, each in points]
    colour, wide = (mark.colour, 1.8) if filled else (mark.text, 0.9)
    ax.plot(x, y, color=colour, linestyle=mark.line, linewidth=wide, zorder=3)
    for load, each in points:
        if not each.has_interval:
            hollow(ax, load, float(each.value or 0.0), mark, 6)
    sure = [(load, each.low, each.value, each.high) for load, each in points if each.has_interval]
    if sure:
        loads, low, middle, high = (np.array(column, dtype=float) for column in zip(*sure, strict=True))
        ax.errorbar(
            loads,
            middle,
            yerr=np.maximum(0, [middle - low, np.minimum(high, _FAR * middle) - middle]),
            color=colour,
            linestyle="",
            marker=mark.marker,
            markersize=6 if filled else 4.5,
            markerfacecolor=mark.colour if filled else ax.get_facecolor(),
            elinewidth=1.3,
            capsize=3,
            zorder=4,
        )


def _context(sweep: Sweep) -> str:
    first = sweep.results[0]
    true = timing_error(sweep.results) or "timing error not measured"
    missing = sum(result.missing for result in sweep.results)
    left = f"{counted(missing, 'request')} missing" if missing else ""
    over = connections(first.plan) if len(sweep.arms) == len(sweep.models) else []
    return " · ".join(filter(None, (first.simulator, *over, "dotted: in proportion to the load", true, left)))


def _called(sweep: Sweep) -> dict[str, str]:
    plans = [result.plan for result in sweep.results]
    providers = {plan.split(plan.models[0])[0] for plan in plans}
    names = {arm: sweep.of(arm)[0].plan.split(arm)[1] for arm in sweep.arms}
    return {arm: clean(name if len(providers) == 1 else arm) for arm, name in names.items()}


def _edges(each: Quantile) -> list[float]:
    return [edge for edge in (each.low, each.value, each.high) if edge is not None and math.isfinite(edge)]


def _range(counts: Any) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
