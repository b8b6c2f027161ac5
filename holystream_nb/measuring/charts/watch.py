"""The watched figure over hours and days: each sitting's median, and where it changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..figures.comparison import WORDS
from ..values.words import counted, digits
from .canvas import clean, frame, note, prepared
from .labels import Label, place
from .marks import Mark, faint, marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..figures.watch import WatchFigures


_AROUND: Final = 1 / 48
"""Days on either side of a single sitting."""


def watched(watch: WatchFigures, *, ax: Axes | None = None) -> Axes:
    """Medians with 95 % intervals at the time of each sitting; levels between changes as steps; failed sittings ×."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    ax = prepared(ax)
    name, unit, *_ = WORDS[watch.metric]
    simulator = next((result.simulator for result in watch.results.values() if result.simulator), "")
    count = f"{len(watch.results)} of {counted(watch.planned, 'sitting')}"
    frame(
        ax,
        title=f"{name} over time",
        under=" · ".join(filter(None, (simulator, count))),
        x="time (UTC)",
        y=f"{name} p50 ({unit})",
    )
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    marked = marks(watch.arms, ax)
    labels = [label for arm in watch.arms for label in _arm(ax, watch, arm, marked[arm])]
    ax.margins(x=0.08, y=0.15)
    if len(watch.results) == 1:  # matplotlib would give the only one four years
        at = _at(watch, *watch.results)
        ax.set_xlim(at - _AROUND, at + _AROUND)
    ax.set_ylim(bottom=0)
    failed = f"{counted(len(watch.failed), 'sitting')} failed." if watch.failed else ""
    note(ax, [" ".join(filter(None, (*_key(watch), failed)))])
    place(ax, labels)
    return ax


def _key(watch: WatchFigures) -> list[str]:
    """How to read the marks that are there."""
    known = [each.has_interval for arm in watch.arms for each in watch.medians(arm).values()]
    return [
        *(["Bars: 95 % order-statistic intervals."] if any(known) else []),
        *(["Hollow: no interval at this size."] if not all(known) else []),
        *(["Dotted: a change point."] if any(watch.changes.values()) else []),
    ]


def _arm(ax: Axes, watch: WatchFigures, arm: str, mark: Mark) -> list[Label]:
    medians = watch.medians(arm)
    if not medians:
        return []
    x = {sitting: _at(watch, sitting) for sitting in medians}
    y = {sitting: float(each.value or 0.0) for sitting, each in medians.items()}
    ax.plot(list(x.values()), list(y.values()), color=mark.colour, linestyle=mark.line, linewidth=1.2, zorder=3)
    for sitting, each in medians.items():
        fill = mark.text if each.has_interval else ax.get_facecolor()
        at = x[sitting]
        ax.plot([at], [y[sitting]], mark.marker, color=mark.text, markerfacecolor=fill, markersize=5, zorder=4)
        if each.low is not None and each.high is not None:
            ax.plot([at, at], [each.low, each.high], color=mark.text, linewidth=1.4, zorder=4)
    last = list(medians)[-1]
    head = f"{mark.sign} {clean(watch.results[last].label(arm))}"
    labels = [Label(head, mark.text, [(x[sitting], y[sitting]) for sitting in reversed(list(medians))])]
    for change in watch.changes[arm]:
        at = x[change.index]
        ax.axvline(at, color=faint(ax), linestyle=":", linewidth=1.2, zorder=1)
        words = f"{digits(change.before)} → {digits(change.after)}"
        labels.append(Label(words, mark.text, [(at, y[change.index])], bold=True, away=1.7))
    return labels


def _at(watch: WatchFigures, sitting: int) -> float:
    """As matplotlib has a time: in days."""
    from matplotlib.dates import date2num

    seconds = watch.results[sitting].sessions[0].wall_ns / 1e9
    return float(date2num(datetime.fromtimestamp(seconds, UTC)))  # type: ignore[no-untyped-call]
