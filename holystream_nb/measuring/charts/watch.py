"""The watched figure over hours and days: each sitting's median, and where it changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..figures.comparison import WORDS
from ..values.words import counted, digits
from .canvas import SMALL, clean, frame, note, prepared
from .labels import DIRECT, Label, place
from .legend import Entry
from .marks import Mark, faint, ink, marks
from .names import called, drawn, undrawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..figures.changes import Change
    from ..figures.watch import WatchFigures


_AROUND: Final = 1 / 48
"""Days on either side of a single sitting."""

_WIDE: Final = 0.42
_ALONG: Final = (1, 0.85, 0.7, 0.5, 0.3, 0.15)


def watched(watch: WatchFigures, *, ax: Axes | None = None) -> Axes:
    """Medians with 95 % intervals at the time of each sitting, and dotted where one changed.

    Past four arms the changes stand in the legend.
    """
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
    ax.xaxis.get_offset_text().set(fontsize=SMALL, color=ink(ax))
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    marked, arms = marks(watch.arms, ax), drawn(watch.arms)
    whole = {arm: clean(_named(watch, arm)) for arm in watch.arms}
    short = called(whole, ax, _WIDE)
    for arm in arms:
        _curve(ax, watch, arm, marked[arm])
    ax.margins(x=0.08, y=0.15)
    if len(watch.results) == 1:  # matplotlib would give the only one four years
        at = _at(watch, *watch.results)
        ax.set_xlim(at - _AROUND, at + _AROUND)
    ax.set_ylim(bottom=0)
    failed = f"{counted(len(watch.failed), 'sitting')} failed." if watch.failed else ""
    note(ax, [" ".join(filter(None, (*_key(watch, arms), failed, undrawn(watch.arms))))])
    labels = [_name(ax, watch, arm, marked[arm], short[arm], whole[arm]) for arm in arms]
    if len(arms) <= DIRECT:
        labels += [label for arm in arms for label in _changes(watch, arm, marked[arm])]
    place(ax, labels)
    return ax


def _named(watch: WatchFigures, arm: str) -> str:
    return next(result.label(arm) for result in watch.results.values() if arm in result.arms)


def _key(watch: WatchFigures, arms: Sequence[str]) -> list[str]:
    """How to read the marks that are there."""
    known = [each.has_interval for arm in arms for each in watch.medians(arm).values()]
    return [
        *(["Bars: 95 % order-statistic intervals."] if any(known) else []),
        *(["Hollow: no interval at this size."] if not all(known) else []),
        *(["Dotted: a change point."] if any(watch.changes[arm] for arm in arms) else []),
    ]


def _curve(ax: Axes, watch: WatchFigures, arm: str, mark: Mark) -> None:
    medians = watch.medians(arm)
    x = {sitting: _at(watch, sitting) for sitting in medians}
    y = {sitting: float(each.value or 0.0) for sitting, each in medians.items()}
    ax.plot(list(x.values()), list(y.values()), color=mark.colour, linestyle=mark.line, linewidth=1.2, zorder=3)
    for sitting, each in medians.items():
        fill = mark.text if each.has_interval else ax.get_facecolor()
        at = x[sitting]
        ax.plot([at], [y[sitting]], mark.marker, color=mark.text, markerfacecolor=fill, markersize=5, zorder=4)
        if each.low is not None and each.high is not None:
            ax.plot([at, at], [each.low, each.high], color=mark.text, linewidth=1.4, zorder=4)
    for change in watch.changes[arm]:
        ax.axvline(x[change.index], color=faint(ax), linestyle=":", linewidth=1.2, zorder=1)


def _name(ax: Axes, watch: WatchFigures, arm: str, mark: Mark, short: str, whole: str) -> Label:
    medians = watch.medians(arm)
    counts = sorted({each.n for each in medians.values()})
    said = f"n = {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} a point" if counts else "no figure"
    changed = [_change(change) for change in watch.changes[arm]]
    columns = (said, counted(len(changed), "change") if len(changed) > 1 else "".join(changed))
    ordered = list(medians.items())
    along = dict.fromkeys(int(part * (len(ordered) - 1)) for part in _ALONG) if ordered else {}
    places = [
        (_at(watch, sitting), edge)
        for sitting, each in map(ordered.__getitem__, along)
        for edge in (each.value, each.low, each.high)
        if edge is not None
    ]
    top = (_at(watch, next(iter(watch.results))), ax.get_ylim()[1])
    return Label(f"{mark.sign} {short} · {said}", mark.text, places or [top], entry=Entry(mark, whole, columns))


def _changes(watch: WatchFigures, arm: str, mark: Mark) -> list[Label]:
    medians = watch.medians(arm)
    places = [(_at(watch, change.index), float(medians[change.index].value or 0.0)) for change in watch.changes[arm]]
    return [
        Label(_change(change), mark.text, [at], bold=True, away=1.7)
        for change, at in zip(watch.changes[arm], places, strict=True)
    ]


def _change(change: Change) -> str:
    return f"{digits(change.before)} → {digits(change.after)}"


def _at(watch: WatchFigures, sitting: int) -> float:
    """As matplotlib has a time: in days."""
    from matplotlib.dates import date2num

    seconds = watch.results[sitting].sessions[0].wall_ns / 1e9
    return float(date2num(datetime.fromtimestamp(seconds, UTC)))  # type: ignore[no-untyped-call]
