"""Paired differences: each model or transport against one other, request by request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...errors import SetupError
from ..figures.comparison import WORDS, Comparison
from ..values.words import counted, digits
from .canvas import HEIGHT, clean, context, figure_name, frame, note, prepared
from .labels import Label, place
from .marks import Mark, faint, hollow, ink, marks
from .names import MOST, names, widest
from .scales import scale
from .words import beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ..figures.figures import Figures

_BINS: Final = 60
_SPREAD: Final = 0.34
_WIDE: Final = 0.3
_FAR: Final = 8.0
"""Pairs farther from 0 than so many times the usual distance (90th percentile) would press the others together."""


def differences(
    result: Figures, baseline: str | None = None, metric: str = "ttft_ms", *, ax: Axes | None = None
) -> Axes:
    """Each other model or transport − the baseline (by default the first): a dot a pair, the median with its interval.

    baseline: as for `Result.compare`. metric: of `comparison.WORDS`. A median whose 95 % interval holds 0, or that the
    timing error could explain, is hollow: not to be trusted; one without an interval is dashed, with a star. The grey
    strip about 0 is the timing error (median).
    """
    if len(result.arms) < 2:
        raise SetupError("Differences need at least two models, or two ways of asking one.")
    if metric not in WORDS:
        raise SetupError(f"There is no figure {metric!r} to compare: choose one of {', '.join(WORDS)}.")
    ax = prepared(ax, height=min(12.0, max(HEIGHT * 0.75, 1.7 + 0.85 * (min(MOST + 1, len(result.arms)) - 1))))
    place(ax, draw(ax, result, baseline, metric))
    return ax


def draw(ax: Axes, result: Figures, baseline: str | None = None, metric: str = "ttft_ms") -> list[Label]:
    base = result.arms[0] if baseline is None else result.arm(baseline)
    words, (_, unit, less, more) = figure_name(metric), WORDS[metric]
    others = [arm for arm in result.arms if arm != base][:MOST]
    short = names(result, ax, _WIDE)
    called = short[base]
    frame(
        ax,
        title=f"{words[0].upper()}{words[1:]}: paired differences",
        under=context(result, ax),
        x=f"{words} − {called}'s" + ("" if unit in words else f" ({unit})"),
        y="",
        names=_WIDE,
    )
    ax.xaxis.label.set_parse_math(False)
    marked = marks(result.arms, ax)
    compared = [result.compare(base, arm, metric) for arm in others]
    ax.axvline(0, color=ink(ax), linewidth=1, zorder=1)
    error = next((each.error for each in compared if each.error is not None), None)
    if error:
        ax.axvspan(-error, error, color=faint(ax), alpha=0.22, linewidth=0, zorder=0)
    labels = [
        label
        for row, (arm, each) in enumerate(zip(others, compared, strict=True))
        if (label := _row(ax, row, each, marked[arm])) is not None
    ]
    texts = [f"{marked[arm].sign} {short[arm]}\n{_pairs(each)}" for arm, each in zip(others, compared, strict=True)]
    for arm, each in zip(others, compared, strict=True):
        beside(ax, f"{marked[arm].sign} {clean(each.b)} · {_pairs(each)}")
    _rows_axis(ax, texts, others, marked)
    far = _limits(ax, compared)
    scale(ax, "x", [0.0])
    rest = len(result.arms) - 1 - len(others)
    note(
        ax,
        [
            f"Left of 0: {less} than {called}'s; right: {more}. Dot: a pair (same prompt, same repeat). Bar: 95 % "
            "order-statistic interval of the median. Hollow: not to be trusted."
            + (f" Grey strip: timing error, ±{digits(error)} {unit} (median)." if error else ""),
            _lost(compared),
            far,
            f"The first {MOST} are drawn; compare() has the other {rest}." if rest > 0 else "",
        ],
        left=widest(texts),
    )
    return labels


def _limits(ax: Axes, compared: Sequence[Comparison]) -> str:
    """The axis, and a sentence on pairs too far out to be on it."""
    values = np.array([value for each in compared for value in each.differences], dtype=float)
    ax.margins(x=0.08)
    if not len(values):
        return ""
    usual = float(np.quantile(np.abs(values), 0.9))
    ends = [end for each in compared for end in (each.difference.low, each.difference.high) if end is not None]
    if not 0 < _FAR * usual < np.abs(values).max():
        return ""
    near = [*values[np.abs(values) <= _FAR * usual], *ends, 0.0]
    room = 0.12 * (max(near) - min(near))
    low, high = min(near) - room, max(near) + room
    ax.set_xlim(low, high)
    beyond = values[(values < low) | (values > high)]
    span = f"{_signed(float(beyond.min()))} to {_signed(float(beyond.max()))}" if len(beyond) > 1 else ""
    where = span or _signed(float(beyond[0])) if len(beyond) else ""
    return f"{len(beyond)} of {len(values)} pairs lie beyond the axis ({where})." if len(beyond) else ""


def _row(ax: Axes, row: int, each: Comparison, mark: Mark) -> Label | None:
    values = np.asarray(each.differences, dtype=float)
    ax.scatter(
        values, row + offsets(values), s=9, marker=mark.marker, color=mark.colour, alpha=0.4, linewidths=0, zorder=2
    )
    value, low, high = each.difference.value, each.difference.low, each.difference.high
    unit = WORDS[each.metric][1]
    if value is None:
        return Label("no pair has this figure", mark.text, [(0.0, row)])
    if low is None or high is None:
        hollow(ax, value, row, mark)
        text = f"{_signed(value)}* {unit}\nno interval at this size ({each.difference.needed} pairs needed)"
        return Label(text, mark.text, [(value, row - 0.3), (value, row + 0.3)])
    ax.errorbar(
        [value],
        [row],
        xerr=[[value - low], [high - value]],
        fmt=mark.marker,
        color=mark.text,
        markerfacecolor=mark.colour if each.is_more_than_noise else ax.get_facecolor(),
        markersize=8,
        markeredgewidth=1.6,
        elinewidth=2.2,
        capsize=4,
        zorder=4,
    )
    text = f"{_signed(value)} {unit} ({_signed(low)} to {_signed(high)})"
    if not each.is_more_than_noise:
        text += "\nno more than noise" if low <= 0 <= high else "\nless than the timing error"
    return Label(text, mark.text, [(value, row - 0.3), (value, row + 0.3), (low, row), (high, row)], bold=True)


def offsets(values: NDArray[Any]) -> NDArray[Any]:
    """Dots that would lie on each other are heaped about their row, evenly and without chance.

    Those beyond the axis do not count: one of 30 s would put all others into one heap.
    """
    if not len(values) or values.max() == values.min():
        return np.linspace(-_SPREAD, _SPREAD, len(values)) if len(values) > 1 else np.zeros(len(values))
    near = values[np.abs(values) <= _FAR * np.quantile(np.abs(values), 0.9)]
    width = (near.max() - near.min()) / (_BINS - 1) or 1.0
    bins = np.floor((values - near.min()) / width)
    most = np.unique(bins, return_counts=True)[1].max()
    seen: dict[float, int] = {}
    offsets: NDArray[Any] = np.zeros(len(values))
    for index, place_ in enumerate(bins):
        nth = seen[place_] = seen.get(place_, -1) + 1
        offsets[index] = (nth + 1) // 2 * (1 if nth % 2 else -1)
    offsets *= min(0.06, 2 * _SPREAD / max(1, most))
    return offsets


def _rows_axis(ax: Axes, called: list[str], arms: list[str], marked: dict[str, Mark]) -> None:
    ax.set_ylim(len(called) - 0.5, -0.55)
    ax.set_yticks(range(len(called)), called)
    for label, arm in zip(ax.get_yticklabels(), arms, strict=True):
        label.set(color=marked[arm].text, parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.spines["left"].set_visible(False)


def _pairs(each: Comparison) -> str:
    return f"n = {counted(each.pairs, 'pair')}" + (f", {each.lost} lost" if each.lost else "")


def _lost(compared: Sequence[Comparison]) -> str:
    listed = ", ".join(f"{clean(each.b)} {each.lost}" for each in compared if each.lost)
    return f"Pairs left out, because a request failed or the figure is unknown: {listed}." if listed else ""


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{digits(abs(value))}"
