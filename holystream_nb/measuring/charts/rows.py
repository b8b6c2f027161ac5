"""Each request as it came: a row, a tick for each read that brought output, its waits and its stalls."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from ..values.record import Trial
from ..values.words import counted, digits
from .canvas import context, frame, name, note, prepared, scale
from .labels import Label, place
from .marks import Mark, ink, marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..figures.figures import Figures

ROWS: Final = 36
"""Rows of all models and transports together."""

STALL: Final = 10.0
"""A gap of more than so many times the model's median gap is a stall; chance alone makes none in 10⁹."""

_BETWEEN: Final = 1.2


def timeline(result: Figures, *, stall_ms: float | None = None, ax: Axes | None = None) -> Axes:
    """A row a request: waiting as a thin line, each read of output a tick (s since sent), stalls as bars, failures ×.

    stall_ms: the gap from which it is a stall; by default ten times the model's median gap. With more requests than
    rows, each model's rows are spread evenly from its shortest E2E to its longest.
    """
    ax = prepared(ax, height=5.2)
    place(ax, draw(ax, result, stall_ms))
    return ax


def draw(ax: Axes, result: Figures, stall_ms: float | None = None) -> list[Label]:
    frame(ax, title="Token timeline", under=context(result, ax), x="since sent (s)", y="")
    marked = marks(result.arms, ax)
    each = max(3, ROWS // len(result.arms))
    heights, called, notes = list[float](), list[str](), list[str]()
    stalls, height, thinned = list[tuple[float, float]](), 0.0, False
    for arm in result.arms:
        trials = sorted(result.of(arm), key=_length)
        rows = spread(trials, each)
        thinned = thinned or len(rows) < len(trials)
        limit = stall_ms if stall_ms is not None else _stall(trials)
        found = [stall for row, trial in enumerate(rows) for stall in _row(ax, trial, height + row, marked[arm], limit)]
        if found:
            stalls.append(max(found))
        failed = sum(bool(trial.error) for trial in trials)
        called.append(
            f"{marked[arm].sign} {name(result, arm)}\nn = {len(trials)}" + (f", {failed} failed" if failed else "")
        )
        heights.append(height + (max(1, len(rows)) - 1) / 2)
        height += len(rows) + _BETWEEN
        if stalled := sum(any(gap > limit for gap in trial.timing.gaps_ms) for trial in trials):
            notes.append(f"{name(result, arm)} in {stalled} of {counted(len(trials), 'request')}")
    _rows_axis(ax, heights, called, marked, result, height)
    word = f"{digits(stall_ms)} ms" if stall_ms is not None else f"{STALL:g} × the model's median gap"
    how = f"Up to {each} requests a model, from the shortest E2E to the longest. " if thinned else ""
    summed = f"Stalls: {', '.join(notes)}." if notes else "No stalls."
    note(ax, [f"{how}Tick: a read that brought output. Thick bar: a stall, a gap over {word}. {summed}"])
    right = ax.get_xlim()[1]
    ax.set_xlim(0, right * (1.16 if stalls else 1))
    return [Label(f"stall {digits(gap)} ms", ink(ax), [(right, at)], size=7.5) for gap, at in stalls]


def spread(trials: Sequence[Trial], most: int) -> list[Trial]:
    """At most so many, evenly from the first to the last, both included."""
    if len(trials) <= most:
        return list(trials)
    return [trials[round(index * (len(trials) - 1) / (most - 1))] for index in range(most)]


def _row(ax: Axes, trial: Trial, at: float, mark: Mark, limit: float) -> list[tuple[float, float]]:
    """Draws one request; its stalls as (ms, row)."""
    sent = trial.sent or trial.submitted
    reads = [(stamp - sent) / 1e9 for stamp in trial.read_stamps()]
    stalls = [(a, b) for a, b in pairwise(reads) if (b - a) * 1e3 > limit]
    if reads:
        ax.plot([0, reads[0]], [at, at], color=mark.colour, linewidth=0.7, alpha=0.55, zorder=2)
        ax.plot(reads, [at] * len(reads), "|", color=mark.colour, markersize=5.5, markeredgewidth=0.9, zorder=3)
        ax.plot(reads[:1], [at], mark.marker, color=mark.text, markersize=3.6, zorder=4)
    for stall in stalls:
        ax.plot(stall, [at, at], color=ink(ax), linewidth=3.2, solid_capstyle="butt", zorder=3.5)
    if trial.error:
        end = reads[-1] if reads else ((trial.headers or sent) - sent) / 1e9
        ax.plot([end], [at], "x", color=ink(ax), markersize=5.5, markeredgewidth=1.6, clip_on=False, zorder=5)
    return [((end - begin) * 1e3, at) for begin, end in stalls]


def _rows_axis(
    ax: Axes, heights: Sequence[float], called: Sequence[str], marked: dict[str, Mark], result: Figures, height: float
) -> None:
    ax.set_ylim(height - _BETWEEN + 0.4, -1)
    ax.set_yticks(list(heights), list(called))
    for label, arm in zip(ax.get_yticklabels(), result.arms, strict=True):
        label.set(color=marked[arm].text, parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.set_xlim(left=0)
    scale(ax, "x", [0.0])


def _length(trial: Trial) -> tuple[bool, float]:
    """Failures last, the others by E2E."""
    return bool(trial.error), trial.timing.e2e_s or 0.0


def _stall(trials: Sequence[Trial]) -> float:
    gaps = [gap for trial in trials if not trial.error for gap in trial.timing.gaps_ms]
    return STALL * median(gaps) if gaps else float("inf")
