"""A shadow: ratios of the pairs, and how alike their answers are."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from ..figures.statistics import Quantile, median
from ..values.words import digits
from .canvas import Panels, add, clean, context, figure, frame, note
from .labels import Label, place_all
from .marks import faint, hollow, ink, marks
from .pairs import offsets
from .scales import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from pandas import DataFrame

    from ..figures.figures import Figures

_WIDTH: Final = 12.0
_HEIGHT: Final = 4.2
_HEADING: Final = 130
"""Characters of a line above both."""
_FIGURES: Final = (("ttft_ms", "TTFT"), ("e2e_s", "E2E"), ("output_tokens", "output tokens"), ("cost_usd", "cost"))


def sides(result: Figures, pairs: DataFrame, *, similarity: Quantile, unrelated: Quantile) -> Panels:
    """Left: new / old of each pair, by logarithms. Right: similarity of answers to one prompt and to different ones.

    pairs, similarity, unrelated: the `Shadow`'s.
    """
    old, new = result.models
    made = figure(_WIDTH, _HEIGHT, pad=0.12)
    heading = f"{clean(new)} (new) against {clean(old)} (old) · {context(result)}"
    made.suptitle(textwrap.fill(heading, _HEADING), x=0.012, ha="left", fontsize=10, parse_math=False)
    grid = made.add_gridspec(1, 2)
    left, right = add(made, grid[0]), add(made, grid[1])
    wanted = _ratios(left, result, pairs), _similarities(right, result, [similarity, unrelated])
    place_all(list(zip((left, right), wanted, strict=True)))
    return Panels([left, right])


def _ratios(ax: Axes, result: Figures, pairs: DataFrame) -> list[Label]:
    frame(ax, title="New / old, pair by pair", under=result.simulator, x="ratio (1 is equal)", y="")
    whole = pairs[(pairs["old_error"] == "") & (pairs["new_error"] == "")]
    rows = []
    for name, words in _FIGURES:
        old, new = (np.asarray(whole[f"{side}_{name}"].astype(float)) for side in ("old", "new"))
        known = np.isfinite(old) & np.isfinite(new) & (old > 0) & (new > 0)
        rows.append((words, new[known] / old[known]))
    ax.axvline(1, color=ink(ax), linewidth=1, zorder=1)
    ax.set_xscale("log")
    labels = _rows(ax, result, rows, [median(np.log(values)) for _, values in rows], math.exp)
    ax.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: figure_text(value)))
    note(ax, ["Left of 1: less than the old side's. Dot: a pair (same prompt and repeat). Bar: median, 95 % interval."])
    return labels


def _similarities(ax: Axes, result: Figures, medians: Sequence[Quantile]) -> list[Label]:
    frame(ax, title="Similarity of the answers", under=result.simulator, x="cosine of word counts", y="")
    records = result.records
    rows = [
        ("same prompt", np.array([t.similarity for t in records if t.similarity is not None], dtype=float)),
        ("different prompts", np.array([t.unrelated for t in records if t.unrelated is not None], dtype=float)),
    ]
    labels = _rows(ax, result, rows, medians, lambda value: value)
    ax.set_xlim(-0.02, 1.02)
    ax.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    note(ax, ["1: the same words equally often, in any order. Not a judgement of quality."])
    return labels


def _rows(
    ax: Axes,
    result: Figures,
    rows: Sequence[tuple[str, NDArray[np.float64]]],
    medians: Sequence[Quantile],
    back: Callable[[float], float],
) -> list[Label]:
    """A row a figure: dots, the median with its interval starred where n is too small.

    `back` takes a median to the axis.
    """
    mark = marks(result.models, ax)[result.models[1]]
    labels = []
    for row, ((_, values), middle) in enumerate(zip(rows, medians, strict=True)):
        if len(values):
            ax.scatter(values, row + offsets(values), s=9, color=mark.colour, alpha=0.4, linewidths=0, zorder=2)
        if middle.value is None:
            labels.append(Label("none", faint(ax), [(1.0, row - 0.3)]))
            continue
        if middle.low is None or middle.high is None:
            at = float(back(middle.value))
            hollow(ax, at, row, mark)
            text = f"{digits(at)}*\nno interval at this size ({middle.needed} needed)"
            labels.append(Label(text, mark.text, [(at, row - 0.3), (at, row + 0.3)]))
            continue
        low, value, high = (float(back(each)) for each in (middle.low, middle.value, middle.high))
        ax.plot([low, high], [row, row], color=mark.text, linewidth=2.4, zorder=3)
        ax.plot([value], [row], marker=mark.marker, color=mark.text, markersize=8, zorder=4)
        text = f"{digits(value)} ({digits(low)} to {digits(high)})"
        labels.append(Label(text, mark.text, [(value, row - 0.3), (value, row + 0.3)], bold=True))
    ax.set_ylim(len(rows) - 0.5, -0.6)
    ax.set_yticks(range(len(rows)), [words for words, _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.spines["left"].set_visible(False)
    return labels
