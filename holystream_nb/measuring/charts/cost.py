"""What a model's speed costs: each model a point, and the front of those that no other beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...money.card import LOCAL, SIMULATED
from ..figures.statistics import Quantile
from ..values.words import digits
from .canvas import clean, context, frame, name, note, prepared, scale
from .labels import Label, place
from .marks import faint, marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..figures.figures import Figures

COST: Final = "cost (USD per 1k requests)"


def ttft_against_cost(result: Figures, *, ax: Axes | None = None) -> Axes:
    """TTFT p50 (ms) against cost (USD per 1k requests), bars being 95 % intervals, and the Pareto front.

    A model with a hollow mark is beaten: another is cheaper, and sooner by its median.
    """
    ax = prepared(ax)
    place(ax, draw_ttft(ax, result))
    return ax


def speed_against_cost(result: Figures, *, ax: Axes | None = None) -> Axes:
    """Decode tok/s (median) against cost (USD per 1k requests), bars being 95 % intervals, and the Pareto front.

    A model with a hollow mark is beaten: another is cheaper, and faster by its median.
    """
    ax = prepared(ax)
    place(ax, draw_speed(ax, result))
    return ax


def draw_ttft(ax: Axes, result: Figures) -> list[Label]:
    frame(ax, title="TTFT against cost", under=context(result, ax), x=COST, y="TTFT p50 (ms)")
    return _draw(ax, result, "ttft_p50_ms", "ms", more_is_better=False)


def draw_speed(ax: Axes, result: Figures, *, prices: bool = True) -> list[Label]:
    """`prices`: whether to say where they come from; a sheet says it once."""
    frame(ax, title="Speed against cost", under=context(result, ax), x=COST, y="decode tok/s")
    return _draw(ax, result, "decode_tokens_per_s", "tok/s", more_is_better=True, prices=prices)


@dataclass(frozen=True, slots=True)
class Point:
    """One model: USD per 1k requests, and a figure."""

    model: str
    cost: float
    value: float
    low: float
    high: float
    n: int
    failed: int
    simulated: bool


def front(points: Sequence[tuple[float, float]], *, more_is_better: bool) -> list[int]:
    """Indices of the points that no other beats, by rising cost: none is at most as dear and at least as good."""
    sign = -1 if more_is_better else 1
    order = sorted(range(len(points)), key=lambda index: (points[index][0], sign * points[index][1]))
    found, best = list[int](), float("inf")
    for index in order:
        if sign * points[index][1] < best:
            best = sign * points[index][1]
            found.append(index)
    return found


def _draw(
    ax: Axes, result: Figures, column: str, unit: str, *, more_is_better: bool, prices: bool = True
) -> list[Label]:
    cells = result.cells
    points, notes = _points(result, cells, column)
    marked = marks(result.arms, ax)
    chosen = front([(point.cost, point.value) for point in points], more_is_better=more_is_better)
    scale(ax, "x", [point.cost for point in points])
    scale(ax, "y", [edge for point in points for edge in (point.low, point.high)])
    labels = []
    for index, point in enumerate(points):
        mark = marked[point.model]
        ax.errorbar(
            [point.cost],
            [point.value],
            yerr=[[point.value - point.low], [point.high - point.value]],
            fmt=mark.marker,
            color=mark.text,
            markerfacecolor=mark.colour if index in chosen else ax.get_facecolor(),
            markersize=8,
            markeredgewidth=1.6,
            elinewidth=1.6,
            capsize=3,
            zorder=4,
        )
        failed = f", {point.failed} failed" if point.failed else ""
        text = f"{mark.sign} {name(result, point.model)} · n = {point.n}{failed}"
        text += f"\n{digits(point.value)} {unit} · USD {digits(point.cost)}{' (simulated)' if point.simulated else ''}"
        labels.append(Label(text, mark.text, [(point.cost, point.value)]))
    ax.margins(x=0.18, y=0.22)
    if points:
        labels.append(_front(ax, [points[index] for index in chosen], more_is_better=more_is_better))
    notes.insert(0, "Bars: 95 % order-statistic intervals of the medians. Hollow: another is cheaper and better.")
    note(ax, [" ".join(notes), _sources([cells[point.model] for point in points]) if prices else ""])
    return labels


def _front(ax: Axes, best: Sequence[Point], *, more_is_better: bool) -> Label:
    """The staircase of the front: the best that can be had for at most so much."""
    if ax.get_yscale() == "linear":
        ax.set_ylim(bottom=0)
    worst = ax.get_ylim()[0 if more_is_better else 1]
    right = ax.get_xlim()[1]
    x = [*(value for point in best for value in (point.cost, point.cost)), right]
    y = [worst, *(value for point in best for value in (point.value, point.value))]
    ax.plot(x, y, color=faint(ax), linewidth=1.2, linestyle=(0, (2, 2)), scalex=False, scaley=False, zorder=1)
    ends = [*(point.cost for point in best[1:]), right]
    middles = [((point.cost * end) ** 0.5, point.value) for point, end in zip(best, ends, strict=True)]
    return Label("Pareto front", faint(ax), middles[::-1], size=7.5)


def _points(result: Figures, cells: Mapping[str, Mapping[str, Any]], column: str) -> tuple[list[Point], list[str]]:
    """Models whose cost and figure are known, and a sentence for each other one."""
    points, notes = list[Point](), list[str]()
    for model, row in cells.items():
        called, figure, usd = name(result, model), row[column], row["usd_per_1k_requests"]
        assert isinstance(figure, Quantile)  # noqa: S101
        if figure.value is None or figure.low is None or figure.high is None:
            short = f"n too small ({figure.n}, {figure.needed} needed)" if figure.n else "no figure"
            notes.append(f"{called} is not shown: {short}.")
        elif usd is None:
            free = row["price_source"] == LOCAL
            notes.append(f"{called} is not shown: {LOCAL if free else 'its price is unknown'}.")
        else:
            n, failed = int(row["n"]), int(row["errors"])
            simulated = row["price_source"].startswith(SIMULATED)
            points.append(Point(model, float(usd), figure.value, figure.low, figure.high, n, failed, simulated))
    return points, notes


def _sources(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where the prices come from, and as of when."""
    sources = dict.fromkeys(part for row in rows for part in row["price_source"].split("; ") if part)
    dates = dict.fromkeys(date for row in rows if (date := row["price_as_of"]))
    return f"Prices: {clean('; '.join(sources))} ({'; '.join(dates) or 'undated'})." if sources else ""
