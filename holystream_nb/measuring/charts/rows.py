"""Each request as it came: a row, a tick for each read that brought output, its waits and its stalls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..values.record import Trial
from ..values.words import counted, digits
from .canvas import Chart, context, frame, name, note, prepared
from .labels import Label, place
from .marks import Mark, ink, marks
from .names import counts, drawn, names, undrawn, widest
from .scales import scale
from .words import beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ..figures.figures import Figures

ROWS: Final = 36
"""Rows of all models and transports together."""

STALL: Final = 10.0
"""A gap of more than so many times the model's median gap is a stall; chance alone makes none in 10⁹."""

_BETWEEN: Final = 1.2
_WIDE: Final = 0.38
_ROW: Final = 0.078
"""Inches that a row needs, so that the two lines of a model's name stay apart from the next one's."""
_LONG: Final = 5.0
"""A row of more than so many times the usual length (80th percentile) would press the others together."""
_SAID: Final = 6


def timeline(result: Figures, *, stall_ms: float | None = None, ax: Axes | None = None) -> Axes:
    """A row a request: waiting as a thin line, each read of output a tick (s since sent), stalls as bars, failures ×.

    A failure's × stands at the moment at which it was over. stall_ms: the gap from which it is a stall; by default ten
    times the model's median gap. With more requests than rows, each model's rows are spread evenly from its shortest
    E2E to its longest. Where a few rows are many times as long as the rest, the axis ends before them, and says so.
    """
    ax = prepared(ax, height=5.2)
    place(ax, draw(ax, result, stall_ms))
    return ax


def draw(ax: Axes, result: Figures, stall_ms: float | None = None) -> list[Label]:
    frame(ax, title="Token timeline", under=context(result, ax), x="since sent (s)", y="", names=_WIDE)
    marked, called, arms = marks(result.arms, ax), names(result, ax, _WIDE), drawn(result.arms)
    each = max(3, ROWS // len(arms))
    heights, texts, stalled = list[float](), list[str](), list[str]()
    lasting, stalls, height, thinned = list[tuple[float, float]](), list[tuple[float, float]](), 0.0, False
    for arm in arms:
        trials = sorted(result.of(arm), key=_length)
        gaps = [np.asarray(trial.reads[1:], dtype=float) / 1e6 for trial in trials]
        limit = stall_ms if stall_ms is not None else _stall(trials, gaps)
        rows = spread(trials, each)
        thinned = thinned or len(rows) < len(trials)
        found = [stall for row, trial in enumerate(rows) for stall in _row(ax, trial, height + row, marked[arm], limit)]
        lasting += [(_lasted(trial), height + row) for row, trial in enumerate(rows)]
        if found:
            stalls.append(max(found))
        said = counts(result, arm)
        texts.append(f"{marked[arm].sign} {called[arm]}\n{said}")
        beside(ax, f"{marked[arm].sign} {name(result, arm)} · {said}")
        heights.append(height + (max(1, len(rows)) - 1) / 2)
        height += max(1, len(rows)) + _BETWEEN
        if number := sum(bool((of > limit).any()) for of in gaps):
            stalled.append(f"{name(result, arm)} in {number} of {counted(len(trials), 'request')}")
    _rows_axis(ax, heights, texts, [marked[arm] for arm in arms], height)
    labels, cut = _right(ax, lasting, stalls)
    word = f"{digits(stall_ms)} ms" if stall_ms is not None else f"{STALL:g} × the model's median gap"
    how = f"Up to {each} requests a model, from the shortest E2E to the longest. " if thinned else ""
    summed = f"Stalls: {', '.join(stalled)}." if stalled else "No stalls."
    key = f"{how}Tick: a read that brought output. Thick bar: a stall, a gap over {word}. {summed}"
    note(ax, [" ".join(filter(None, (key, cut, undrawn(result.arms))))], left=widest(texts))
    if isinstance(ax, Chart):
        ax.least = max(ax.least, _ROW * height)
    return labels


def _right(
    ax: Axes, lasting: Sequence[tuple[float, float]], stalls: Sequence[tuple[float, float]]
) -> tuple[list[Label], str]:
    """Where the axis ends, what stands there, and a sentence on rows that go on past it."""
    seconds = sorted(length for length, _ in lasting)
    usual = seconds[int(0.8 * (len(seconds) - 1))] if seconds else 0.0
    is_cut = 0 < _LONG * usual < max(seconds, default=0.0)
    end = 1.3 * max(length for length in seconds if length <= _LONG * usual) if is_cut else max(seconds, default=1.0)
    beyond = [(length, at) for length, at in lasting if length > end] if is_cut else []
    ax.set_xlim(0, (end or 1.0) * (1.16 if stalls or beyond else 1.03))
    right = ax.get_xlim()[1]
    labels = [Label(f"stall {digits(gap)} ms", ink(ax), [(right, at)], size=7.5) for gap, at in stalls]
    labels += [Label(f"▸ {digits(length)} s", ink(ax), [(right, at)], size=7.5) for length, at in beyond[-_SAID:]]
    rows = f"{counted(len(beyond), 'row')} {'goes' if len(beyond) == 1 else 'go'}"
    return labels, f"{rows} on past the axis, to {digits(max(seconds))} s at most (▸)." if beyond else ""


def spread(trials: Sequence[Trial], most: int) -> list[Trial]:
    """At most so many, evenly from the first to the last, both included."""
    if len(trials) <= most:
        return list(trials)
    return [trials[round(index * (len(trials) - 1) / (most - 1))] for index in range(most)]


def _row(ax: Axes, trial: Trial, at: float, mark: Mark, limit: float) -> list[tuple[float, float]]:
    """Draws one request; its stalls as (ms, row)."""
    sent = trial.sent or trial.submitted
    reads = (np.cumsum(np.asarray(trial.reads, dtype=np.int64)) - sent) / 1e9
    stalls = [(reads[index], reads[index + 1]) for index in np.flatnonzero(np.diff(reads) * 1e3 > limit)]
    if len(reads):
        ax.plot([0, reads[0]], [at, at], color=mark.colour, linewidth=0.7, alpha=0.55, zorder=2)
        ax.plot(reads, [at] * len(reads), "|", color=mark.colour, markersize=5.5, markeredgewidth=0.9, zorder=3)
        ax.plot(reads[:1], [at], mark.marker, color=mark.text, markersize=3.6, zorder=4)
    for stall in stalls:
        ax.plot(stall, [at, at], color=ink(ax), linewidth=3.2, solid_capstyle="butt", zorder=3.5)
    if trial.error:
        end = _lasted(trial)
        last = float(reads[-1]) if len(reads) else 0.0
        ax.plot([last, end], [at, at], color=mark.colour, linewidth=0.7, linestyle=":", zorder=2)
        ax.plot([end], [at], "x", color=ink(ax), markersize=5.5, markeredgewidth=1.6, zorder=5)
    return [(float(end - begin) * 1e3, at) for begin, end in stalls]


def _rows_axis(
    ax: Axes, heights: Sequence[float], called: Sequence[str], marked: Sequence[Mark], height: float
) -> None:
    ax.set_ylim(height - _BETWEEN + 0.4, -1)
    ax.set_yticks(list(heights), list(called))
    for label, mark in zip(ax.get_yticklabels(), marked, strict=True):
        label.set(color=mark.text, parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.spines["left"].set_visible(False)
    scale(ax, "x", [0.0])


def _lasted(trial: Trial) -> float:
    """Seconds from sent until it was over, failed or not."""
    return max(0.0, (trial.over - (trial.sent or trial.submitted)) / 1e9)


def _length(trial: Trial) -> tuple[bool, float]:
    """Failures last, the others by how long they took."""
    return bool(trial.error), _lasted(trial)


def _stall(trials: Sequence[Trial], gaps: Sequence[NDArray[Any]]) -> float:
    succeeded = [of for trial, of in zip(trials, gaps, strict=True) if not trial.error and len(of)]
    return STALL * float(np.median(np.concatenate(succeeded))) if succeeded else math.inf
