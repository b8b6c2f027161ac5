"""The best four charts of a run on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.offsetbox import AnnotationBbox

from ..values.words import counted
from . import cost, drift, ecdf, rows
from .canvas import Chart, Panels, add, context, figure, grow, name
from .labels import Label, place_all, without_names
from .legend import ROW, Entry, table
from .marks import marks
from .names import counts, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

    from ..figures.figures import Figures

_WIDTH: Final = 12.0
_HEIGHT: Final = 9.2
_PANEL: Final = 3.6
_LEFT: Final = 0.012
_FEW: Final = 2
_TRIES: Final = 2

Drawing = Callable[["Axes", "Figures"], list[Label]]


def sheet(result: Figures) -> Panels:
    """TTFT distribution, TTFT against cost, speed against cost, token timeline.

    Where fewer than two models have a price, there is no choice to make between them: TTFT over the run and the
    distribution of the decode rate stand in place of the two in the middle; in an open loop E2E from the scheduled
    start, which has the waiting in it. Past two arms, one legend above all four names them.
    """
    made = figure(_WIDTH, _HEIGHT, pad=0.12)
    made.suptitle(_heading(result), x=_LEFT, ha="left", fontsize=10, parse_math=False)
    crowded = len(result.arms) > _FEW
    grid = made.add_gridspec(2 + crowded, 2)
    axes = [add(made, grid[crowded + index // 2, index % 2]) for index in range(4)]
    labels = [drawing(ax, result) for ax, drawing in zip(axes, _four(result), strict=True)]
    if crowded:
        count = _legend(add(made, grid[0, :]), axes[0], result, labels)
        labels = [without_names(wanted) for wanted in labels]
        _give(made, grid, count * ROW / 72)
    place_all(list(zip(axes, labels, strict=True)))
    return Panels(axes)


def _legend(room: Chart, first: Axes, result: Figures, labels: Sequence[Sequence[Label]]) -> int:
    """One legend for all four, in a row of its own above them; how many rows it has."""
    room.set_axis_off()
    room.least = 0.0
    marked = marks(result.arms, first)
    named = {label.entry.name for panel in labels for label in panel if label.entry is not None}
    arms = [arm for arm in result.arms if arm in drawn(result.arms) or name(result, arm) in named]
    columns = [_columns(labels[index]) for index in (0, 2)]
    entries = []
    for arm in arms:
        called = name(result, arm)
        entries.append(Entry(marked[arm], called, (counts(result, arm), *(t for of in columns for t in of(called)))))
    box, rows = table(first, entries, (_WIDTH - 0.4) * 72)
    from_the_left = AnnotationBbox(
        box,
        (_LEFT, 1),
        xycoords=("figure fraction", "axes fraction"),
        box_alignment=(0, 1),
        pad=0,
        frameon=False,
    )
    from_the_left.set_in_layout(False)  # its row has its height, and its width is no reason to make the panels narrower
    room.add_artist(from_the_left)
    return rows


def _columns(labels: Sequence[Label]) -> Callable[[str], tuple[str, ...]]:
    """What the legend of a panel would say of a model, but for its n; empty columns where it says nothing."""
    known = {label.entry.name: label.entry.columns[1:] for label in labels if label.entry is not None}
    empty = ("",) * max(map(len, known.values()), default=0)
    return lambda called: known.get(called, empty)


def _give(made: Figure, grid: GridSpec, inches: float) -> None:
    """Gives the legend's row its height, and no more, when the panels have theirs."""
    made.set_size_inches(_WIDTH, _HEIGHT + inches)
    ratio = inches / _PANEL
    for _ in range(_TRIES):
        grid.set_height_ratios((ratio, 1, 1))
        grow(made)
        ratio *= inches / (made.axes[-1].get_window_extent().height / made.dpi)


def _heading(result: Figures) -> str:
    counts = [len(result.of(arm)) for arm in result.arms]
    low, high = min(counts), max(counts)
    each = f"{counted(low, 'request')} each" if low == high else f"{low:,} to {high:,} requests each"
    transports, wires = len(result.plan.transports), len(result.plan.wires)
    over = f" over {counted(transports, 'transport')}" if transports > 1 else ""
    over += f" in {counted(wires, 'wire format')}" if wires > 1 else ""
    return f"{counted(len(result.models), 'model')}{over}, {each} · {context(result)}"


def _four(result: Figures) -> tuple[Drawing, Drawing, Drawing, Drawing]:
    trials = result.trials
    if trials[trials["cost_usd"].notna()]["model"].nunique() > 1:
        return _distribution, cost.draw_ttft, _speed_against_cost, rows.draw
    return _distribution, drift.draw, _speed if result.plan.rate is None else _e2e, rows.draw


def _distribution(ax: Axes, result: Figures) -> list[Label]:
    return ecdf.draw(ax, result, brief=len(result.arms) > _FEW)


def _speed(ax: Axes, result: Figures) -> list[Label]:
    return ecdf.draw(ax, result, "decode_tokens_per_s", brief=len(result.arms) > _FEW)


def _e2e(ax: Axes, result: Figures) -> list[Label]:
    return ecdf.draw(ax, result, "e2e_scheduled_s", brief=len(result.arms) > _FEW)


def _speed_against_cost(ax: Axes, result: Figures) -> list[Label]:
    return cost.draw_speed(ax, result, prices=False)
