"""Axes: logarithmic where values span much, with plain figures as ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECADES: Final = 12.0
"""An axis whose values span this factor or more is logarithmic."""


def scale(ax: Axes, axis: str, values: Sequence[float], span: float = DECADES) -> None:
    """A logarithmic axis where the values span so large a factor; no ticks where there are no values."""
    chosen = ax.xaxis if axis == "x" else ax.yaxis
    if not values:
        chosen.set_ticks([])
        return
    positive = [value for value in values if value > 0]
    if positive and len(positive) == len(values) and max(positive) >= span * min(positive):
        ax.set(**{f"{axis}scale": "log"})
        wide = max(positive) > 1000 * min(positive)
        chosen.set_major_locator(LogLocator(10, subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        chosen.set_minor_formatter(NullFormatter())
    chosen.set_major_formatter(FuncFormatter(lambda value, _: figure_text(value)))


def ticks_at(ax: Axes, values: Sequence[int]) -> None:
    """An x axis by factors of two, with ticks at these values only."""
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(list(values)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: figure_text(value)))


def figure_text(value: float) -> str:
    """A tick: `0.005`, `1,000`, `−2`."""
    return f"{value:,.6g}".replace("-", "−") if abs(value) < 1e6 else f"{value:,.0f}".replace("-", "−")
