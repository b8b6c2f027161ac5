"""The best four charts of a run on one sheet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..values.words import counted
from . import cost, drift, ecdf, rows
from .canvas import Panels, add, context, figure
from .labels import Label, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..figures.figures import Figures

_WIDTH: Final = 12.0
_HEIGHT: Final = 9.2
_FEW: Final = 2

Drawing = Callable[["Axes", "Figures"], list[Label]]


def sheet(result: Figures) -> Panels:
    """TTFT distribution, TTFT against cost, speed against cost, token timeline.

    Where fewer than two models have a price, there is no choice to make between them: TTFT over the run and the
    distribution of the decode rate stand in place of the two in the middle.
    """
    made = figure(_WIDTH, _HEIGHT, pad=0.12)
    made.suptitle(_heading(result), x=0.012, ha="left", fontsize=10, parse_math=False)
    grid = made.add_gridspec(2, 2)
    axes = [add(made, grid[index]) for index in range(4)]
    labels = [drawing(ax, result) for ax, drawing in zip(axes, _four(result), strict=True)]
    for ax, wanted in zip(axes, labels, strict=True):
        place(ax, wanted)
    return Panels(axes)


def _heading(result: Figures) -> str:
    counts = [len(result.of(arm)) for arm in result.arms]
    low, high = min(counts), max(counts)
    each = f"{low} requests each" if low == high else f"{low} to {high} requests each"
    transports, wires = len(result.plan.transports), len(result.plan.wires)
    over = f" over {counted(transports, 'transport')}" if transports > 1 else ""
    over += f" in {counted(wires, 'wire format')}" if wires > 1 else ""
    return f"{counted(len(result.models), 'model')}{over}, {each} · {context(result)}"


def _four(result: Figures) -> tuple[Drawing, Drawing, Drawing, Drawing]:
    trials = result.trials
    if trials[trials["cost_usd"].notna()]["model"].nunique() > 1:
        return _distribution, cost.draw_ttft, _speed_against_cost, rows.draw
    return _distribution, drift.draw, _speed, rows.draw


def _distribution(ax: Axes, result: Figures) -> list[Label]:
    return ecdf.draw(ax, result, brief=len(result.arms) > _FEW)


def _speed(ax: Axes, result: Figures) -> list[Label]:
    return ecdf.draw(ax, result, "decode_tokens_per_s", brief=len(result.arms) > _FEW)


def _speed_against_cost(ax: Axes, result: Figures) -> list[Label]:
    return cost.draw_speed(ax, result, prices=False)
