"""How a figure is distributed over requests: the share that was at most so long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...errors import SetupError
from ..figures.comparison import WORDS
from ..figures.statistics import CONFIDENCE, Quantile, needed, quantile
from ..figures.summary import is_spoilt
from ..figures.tables import dagger
from .canvas import bursts, context, figure_name, frame, name, note, prepared, steady_part
from .labels import Label, place
from .legend import Entry
from .marks import Mark, hollow, marks
from .names import count, drawn, names, undrawn
from .scales import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from pandas import DataFrame

    from ..figures.figures import Figures

PERCENTILES: Final = (0.5, 0.95)
_WIDE: Final = 0.42
_SPAN: Final = 5.0
"""Times of several models lie far apart more often than not, and each is skewed: early on a logarithmic axis."""
_DODGE: Final = 1.1
_BANDS: Final = 4
_HEIGHTS: Final = (0.5, 0.62, 0.38, 0.74, 0.26, 0.84, 0.16, 0.08)


def distribution(result: Figures, metric: str = "ttft_ms", *, ax: Axes | None = None) -> Axes:
    """ECDF per model and transport: share of requests (%) with at most this TTFT (ms), or this `comparison.WORDS`.

    Of the requests that the table's percentiles are of: those of the steady part, where it holds enough.

    The band holds the whole true curve with 95 % confidence (Dvoretzky–Kiefer–Wolfowitz, with Massart's constant), and
    is left out past four curves; the bars at p50 and p95 are order-statistic intervals, and where n does not permit
    one, the mark is hollow. A failure counts as +∞, so the curve of a model that failed ends below 100 %; of a rate
    (tok/s), failures are left out. In an open loop, "e2e_scheduled_s" is the E2E without coordinated omission.
    """
    ax = prepared(ax)
    place(ax, draw(ax, result, metric))
    return ax


def draw(ax: Axes, result: Figures, metric: str = "ttft_ms", *, brief: bool = False) -> list[Label]:
    """`brief`: names only; the percentiles stand elsewhere."""
    if metric not in WORDS:
        raise SetupError(f"There is no figure {metric!r} to draw: choose one of {', '.join(WORDS)}.")
    words, unit = figure_name(metric), WORDS[metric][1]
    is_rate = unit == "tok/s"
    axis = words if is_rate else f"{words} ({unit})"
    frame(
        ax,
        title=f"{words[0].upper()}{words[1:]} distribution",
        under=context(result, ax),
        x=axis,
        y="share of requests (%)",
    )
    ax.set_ylim(0, 103)
    marked, called, arms = marks(result.arms, ax), names(result, ax, _WIDE), drawn(result.arms)
    labels, notes, shown, starred = list[Label](), list[str](), list[float](), False
    for index, arm in enumerate(arms):
        known, failed = _sample(result.steady_rows(arm), metric)
        if not len(known):
            notes.append(f"{name(result, arm)}: no request has this figure ({failed} failed).")
            continue
        shown += [known[0], known[-1]]
        total = len(known) + (0 if is_rate else failed)
        quantiles = [quantile([*known, *[math.inf] * (total - len(known))], p) for p in PERCENTILES]
        starred = starred or not all(each.has_interval for each in quantiles)
        _curve(ax, known, total, marked[arm], banded=len(arms) <= _BANDS)
        up = _DODGE * (index - (len(arms) - 1) / 2)
        _intervals(ax, quantiles, float(known[-1]), marked[arm], up, barred=len(arms) <= _BANDS)
        mark = dagger(result.cells[arm], metric)
        texts = [f"p{each.p * 100:g} {each}{mark}" for each in quantiles]
        counts = count(total, failed)
        head = f"{marked[arm].sign} {called[arm]} · {counts}"
        points = [(float(known[min(len(known) - 1, int(height * total))]), 100 * height) for height in _HEIGHTS]
        columns = [f"{words} {text}" for text in texts] if brief else texts
        entry = Entry(marked[arm], name(result, arm), (counts, *columns))
        lines = [head] if brief else [head, *texts]
        labels.append(Label("\n".join(lines), marked[arm].text, points, entry=entry))
    scale(ax, "x", shown, span=_SPAN)
    if any(trial.error for trial in result.records):
        notes.insert(0, "Failures are left out." if is_rate else "Failures count as +∞: such a curve ends below 100 %.")
    if starred:
        least = " and ".join(f"{needed(p)} for p{p * 100:g}" for p in PERCENTILES)
        notes.append(f"Dashed and *: no interval at this size ({least} needed).")
    notes += [part] if (part := steady_part(result)) else []
    notes += [bursts(result)] if is_spoilt(metric) else []
    if metric in ("ttft_ms", "e2e_s") and result.plan.rate is not None:
        notes.append('From sent: waiting before it is in "e2e_scheduled_s".')
    key = (
        "Band: 95 % confidence for the whole curve (DKW). Bars: 95 % order-statistic intervals."
        if len(arms) <= _BANDS
        else "Marks: p50 and p95, with 95 % order-statistic intervals in the legend."
    )
    note(ax, [key, " ".join(filter(None, [*notes, undrawn(result.arms)]))])
    return labels


def band(count: int, confidence: float = CONFIDENCE) -> float:
    """Half the height of the DKW band, as a share: sqrt(ln(2 / α) / 2n)."""
    return math.sqrt(math.log(2 / (1 - confidence)) / (2 * count))


def _sample(rows: DataFrame, metric: str) -> tuple[NDArray[Any], int]:
    """The figures of the requests that succeeded, in order, and how many failed."""
    succeeded = rows[rows["error"] == ""]
    return np.sort(succeeded[metric].dropna().to_numpy(dtype=float)), len(rows) - len(succeeded)


def _curve(ax: Axes, known: NDArray[Any], total: int, mark: Mark, *, banded: bool) -> None:
    """Steps of one model, and its band as far as its figures go."""
    x = np.repeat(known, 2)
    y = np.repeat(np.arange(len(known) + 1) / total, 2)[1:-1]
    ax.plot(x, 100 * y, color=mark.colour, linestyle=mark.line, linewidth=1.8, zorder=4)
    if not banded:
        return
    low, high = (100 * np.clip(y + sign * band(total), 0, 1) for sign in (-1, 1))
    ax.fill_between(x, low, high, color=mark.colour, alpha=0.13, linewidth=0, zorder=2)


def _intervals(ax: Axes, quantiles: Sequence[Quantile], longest: float, mark: Mark, up: float, *, barred: bool) -> None:
    """Marks on the curve, and bars a little apart so that none hides another; one to +∞ goes as far as the curve."""
    for each in quantiles:
        if each.value is None or math.isinf(each.value):
            continue
        height = 100 * each.p
        if each.low is None or each.high is None:
            hollow(ax, each.value, height, mark, 6)
            continue
        ends = [each.low, min(each.high, longest)]
        if barred:
            ax.plot(ends, [height + up] * 2, color=mark.text, linewidth=2, solid_capstyle="butt", zorder=5)
        ax.plot([each.value], [height], mark.marker, color=mark.text, markersize=6, zorder=5)
