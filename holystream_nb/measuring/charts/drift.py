"""TTFT as the run went on: whether it drifted, and when requests failed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ..values.words import digits
from .canvas import context, frame, name, note, prepared, steady_part
from .labels import Label, place
from .legend import Entry
from .marks import Mark, faint, marks
from .names import counts, drawn, names, undrawn
from .scales import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from pandas import DataFrame

    from ..figures.figures import Figures

_FEWEST: Final = 15
_WIDE: Final = 0.42
_ALONG: Final = (0.98, 0.85, 0.7, 0.5, 0.3, 0.15)


def over_run(result: Figures, *, ax: Axes | None = None) -> Axes:
    """TTFT (ms) of each request at its start (s since the run's first), with rolling medians; failures × at the top.

    Requests outside of the steady part, where percentiles are of that, have empty marks.

    Of a run that was resumed, the axis counts the time of its sittings; the pauses between them are said, not drawn.
    """
    ax = prepared(ax)
    place(ax, draw(ax, result))
    return ax


def draw(ax: Axes, result: Figures) -> list[Label]:
    trials, pauses = running(result.trials)
    x = "since the run's start (s)" if not pauses else "since the run's start, without the pauses (s)"
    frame(ax, title="TTFT over the run", under=context(result, ax), x=x, y="TTFT (ms)")
    marked, called, arms = marks(result.arms, ax), names(result, ax, _WIDE), drawn(result.arms)
    scale(ax, "y", [float(value) for value in _known(result.trials)["ttft_ms"]])
    windows, curves = list[int](), dict[str, list[tuple[float, float]]]()
    for arm in arms:
        rows = trials.loc[result.rows(arm).index]
        curves[arm], window = _arm(ax, _known(rows), marked[arm], is_marked=result.steady.is_used)
        windows += window
        failed = rows[rows["error"] != ""]
        _failures(ax, failed["at_s"].to_numpy(dtype=float), marked[arm].text)
    ax.set_xlim(left=0)
    ax.margins(y=0.12)
    if ax.get_yscale() == "linear":
        ax.set_ylim(bottom=0)
    rolling = f"Lines: rolling medians of {_range(windows)} requests." if windows else ""
    outside = "Empty marks: outside of the steady part, which percentiles are of." if steady_part(result) else ""
    note(ax, [f"{rolling} {outside} {_failed(result)} {undrawn(result.arms)}"])
    top = (0.0, ax.get_ylim()[1])
    labels = [_label(result, arm, marked[arm], called[arm], curves[arm] or [top]) for arm in arms]
    return labels + [_pause(ax, at, seconds) for at, seconds in pauses]


def running(trials: DataFrame) -> tuple[DataFrame, list[tuple[float, float]]]:
    """The rows with `at_s` as if each sitting began where the one before had its last start; where, and how long
    (s), the pauses were.
    """
    moved, pauses, end, taken = trials.copy(), list[tuple[float, float]](), None, 0.0
    for _, sitting in trials.groupby("session", sort=False):
        begin = float(sitting["at_s"].min())
        if end is not None and begin > end:
            taken += begin - end
            pauses.append((end - taken + begin - end, begin - end))
        moved.loc[sitting.index, "at_s"] = sitting["at_s"] - taken
        end = float(sitting["at_s"].max())
    return moved, pauses


def _pause(ax: Axes, at: float, seconds: float) -> Label:
    ax.axvline(at, color=faint(ax), linewidth=1, linestyle=":", zorder=1)
    low, high = ax.get_ylim()
    return Label(f"resumed after {lasted(seconds)}", faint(ax), [(at, high), (at, low)], size=7.5)


def lasted(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`, `2 days`."""
    for unit, size in (("day", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            number = f"{seconds / size:.2g}"
            return f"{number} {unit}{'s' if unit == 'day' and number != '1' else ''}"
    return f"{digits(seconds)} s"


def _known(rows: DataFrame) -> DataFrame:
    return rows[(rows["error"] == "") & rows["ttft_ms"].notna()]


def _arm(ax: Axes, rows: DataFrame, mark: Mark, *, is_marked: bool) -> tuple[list[tuple[float, float]], list[int]]:
    """Draws one arm's requests; places for its name along its line, from the end on, and the line's window."""
    at, curve = rows["at_s"].to_numpy(dtype=float), rows["ttft_ms"]
    inside = rows["steady"].to_numpy(dtype=bool) | (not is_marked)
    ax.scatter(
        at[inside], curve[inside], s=13, marker=mark.marker, color=mark.colour, alpha=0.45, linewidths=0, zorder=2
    )
    if not inside.all():
        ax.scatter(
            at[~inside], curve[~inside], s=13, marker=mark.marker, facecolors="none", edgecolors=mark.colour, zorder=2
        )
    windows = [_window(len(rows))] if len(rows) >= _FEWEST else []
    for window in windows:
        curve = curve.rolling(window, center=True, min_periods=window // 2 + 1).median()
        ax.plot(at, curve.to_numpy(), color=mark.text, linestyle=mark.line, linewidth=1.8, zorder=4)
    indices = [int(part * (len(at) - 1)) for part in _ALONG] if len(at) else []
    return [(float(at[index]), float(curve.iloc[index])) for index in indices], windows


def _failures(ax: Axes, at: NDArray[Any], colour: str) -> None:
    if len(at):
        top = [0.97] * len(at)
        ax.plot(at, top, "x", color=colour, markeredgewidth=1.6, transform=ax.get_xaxis_transform(), zorder=5)


def _label(result: Figures, arm: str, mark: Mark, called: str, points: list[tuple[float, float]]) -> Label:
    said = counts(result, arm)
    text = f"{mark.sign} {called} · {said}"
    return Label(text, mark.text, points, entry=Entry(mark, name(result, arm), (said,)))


def _window(count: int) -> int:
    """An odd number, about a tenth of the requests."""
    return max(5, count // 10 // 2 * 2 + 1)


def _range(windows: list[int]) -> str:
    low, high = min(windows), max(windows)
    return str(low) if low == high else f"{low} to {high}"


def _failed(result: Figures) -> str:
    counts = Counter(trial.error for trial in result.records if trial.error)
    listed = ", ".join(f"{count} {error}" for error, count in counts.most_common())
    return f"× at the top: requests that failed ({listed})." if counts else "No request failed."
