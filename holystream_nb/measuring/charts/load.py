"""What rising load brings and what it costs: throughput and p95 TTFT against concurrency, and the knee between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..figures.statistics import Quantile
from ..values.plan import connections
from ..values.words import counted, digits
from .canvas import Panels, add, clean, figure, frame, note, scale, ticks_at
from .labels import Label, place
from .marks import Mark, marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from ..figures.sweep import Sweep

_HEIGHT: Final = 6.4
_KNEE: Final = (
    "Bars: 95 % order-statistic intervals. Knee: the throughput farthest above the line from the first point to the "
    "last, by linear axes (Kneedle)."
)
_WIDTH: Final = 7.6
_SPAN: Final = 1.5
"""Throughput is logarithmic as concurrency is, so that growth in proportion is a straight line."""


def concurrency(sweep: Sweep) -> Panels:
    """Two Axes over concurrency: system tok/s with each one's knee; TTFT p95 and p50 (ms) with 95 % intervals.

    The dotted line is what n clients would get if each kept the speed of the lightest load. p95 stands only where n
    permits (72 requests that succeeded).
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
    called = _called(sweep)
    upper, lower, notes = list[Label](), list[Label](), list[str]()
    for arm in sweep.arms:
        rows = sweep.rows(arm)
        upper += _throughput(top, rows, marked[arm], called[arm], sweep.knee(arm))
        if empty := [str(load) for load in rows[rows["system_tokens_per_s"].isna()]["concurrency"]]:
            notes.append(f"{called[arm]} at {', '.join(empty)}: no throughput, its clients never all ran at once.")
        head = f"{marked[arm].sign} {called[arm]} " if len(sweep.arms) > 1 else ""
        found, missing = _ttft(bottom, rows, marked[arm], called[arm], head)
        lower += found
        notes += missing
    ticks_at(top, loads)
    top.tick_params(labelbottom=False)
    top.margins(x=0.1, y=0.14)
    figures = [edge for column in ("ttft_p50_ms", "ttft_p95_ms") for each in table[column] for edge in _edges(each)]
    scale(bottom, "y", figures)
    scale(top, "y", [rate for rate in table["system_tokens_per_s"] if rate == rate], span=_SPAN)
    for ax in (top, bottom):
        if ax.get_yscale() == "linear":
            ax.set_ylim(bottom=0)
    note(bottom, [_KNEE, *notes])
    place(top, upper)
    place(bottom, lower)
    return Panels((top, bottom))


def _throughput(ax: Axes, rows: DataFrame, mark: Mark, called: str, knee: int | None) -> list[Label]:
    known = rows[rows["system_tokens_per_s"].notna()]
    if not len(known):
        return []
    x, y = known["concurrency"].to_numpy(dtype=float), known["system_tokens_per_s"].to_numpy(dtype=float)
    ax.plot(x, y, color=mark.colour, linestyle=mark.line, marker=mark.marker, markersize=6, linewidth=1.8, zorder=4)
    linear = x * y[0] / x[0]
    shown = linear <= 1.25 * y.max()
    if shown.sum() > 1:
        ax.plot(x[shown], linear[shown], color=mark.colour, linestyle=":", linewidth=1, alpha=0.8, zorder=2)
    counts = f"n = {_range(rows['n'])} a point"
    labels = [
        Label(
            f"{mark.sign} {called}\n{counts}",
            mark.text,
            [(x[-1], y[-1]), (x[-2], y[-2])] if len(x) > 1 else [(x[0], y[0])],
        )
    ]
    if knee is not None:
        height = float(y[list(x).index(knee)])
        ax.plot([knee], [height], "o", markersize=14, markerfacecolor="none", color=mark.text, markeredgewidth=1.8)
        labels.append(
            Label(f"knee at {knee}: {digits(height)} tok/s", mark.text, [(knee, height)], bold=True, away=1.7)
        )
    for load, failed, rate in zip(known["concurrency"], known["errors"], y, strict=True):
        if failed:
            labels.append(Label(f"{failed} failed", mark.text, [(float(load), float(rate))], size=7.5))
    return labels


def _ttft(ax: Axes, rows: DataFrame, mark: Mark, called: str, head: str) -> tuple[list[Label], list[str]]:
    """p50 thin, p95 with its intervals; a sentence where n is too small. `head` begins the labels."""
    labels, notes = list[Label](), list[str]()
    for word, column, filled in (("p95", "ttft_p95_ms", True), ("p50", "ttft_p50_ms", False)):
        known = [
            (float(load), each)
            for load, each in zip(rows["concurrency"], rows[column], strict=True)
            if each.has_interval
        ]
        small = [
            str(load) for load, each in zip(rows["concurrency"], rows[column], strict=True) if not each.has_interval
        ]
        if small:
            least = rows[column].iloc[0].needed
            notes.append(f"{called}, {word} at {', '.join(small)}: n too small ({least} needed).")
        if not known:
            continue
        x, y = [load for load, _ in known], [float(each.value) for _, each in known]
        bars = [[value - each.low for value, (_, each) in zip(y, known, strict=True)]]
        bars.append([each.high - value for value, (_, each) in zip(y, known, strict=True)])
        ax.errorbar(
            x,
            y,
            yerr=bars,
            color=mark.colour if filled else mark.text,
            linestyle=mark.line,
            marker=mark.marker,
            markersize=6 if filled else 4.5,
            markerfacecolor=mark.colour if filled else ax.get_facecolor(),
            linewidth=1.8 if filled else 0.9,
            elinewidth=1.3,
            capsize=3,
            zorder=4,
        )
        labels.append(Label(f"{head}{word}", mark.text, list(zip(x, y, strict=True))[::-1]))
    return labels, notes


def _context(sweep: Sweep) -> str:
    first = sweep.results[0]
    errors = [result.calibration.ttft_ms[1] for result in sweep.results if result.calibration]
    true = f"timing error of TTFT up to {digits(max(errors))} ms (p95)" if errors else "timing error not measured"
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
    return [] if each.low is None or each.high is None else [each.low, each.high]


def _range(counts: Any) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
