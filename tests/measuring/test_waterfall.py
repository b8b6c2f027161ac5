"""The waterfall: parts on their places, in light and dark, for one answer and for a run."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace

import pytest
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from holystream_nb.events import Usage
from holystream_nb.measuring import charts
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Contents, Trial, Trip, Warmup
from holystream_nb.money.cost import Cost
from holystream_nb.parts import Opening
from holystream_nb.reply import Reply
from holystream_nb.timing import Timing

MS = 1_000_000


def reply(opening: Opening | None) -> Reply:
    timing = Timing(
        submitted=0,
        permit=5 * MS,
        sent=40 * MS,
        written=41 * MS,
        reads=array("q", [281 * MS, 2181 * MS]),
        opening=opening,
        paint_ms=21,
    )
    return Reply("x", "", (), "stop", Usage(1, 1, 2), timing, Cost(None, None, True, "", ""), "m", "p")


def bars(ax: Axes) -> list[tuple[float, float]]:
    """Where each bar begins and how long it is, from the top."""
    found = [patch for patch in ax.patches if isinstance(patch, Rectangle) and not patch.get_hatch()]
    return [(round(patch.get_x(), 6), round(patch.get_width(), 6)) for patch in found]


@pytest.mark.parametrize("ground", ["default", "dark_background"])
def test_each_part_begins_where_the_one_before_ended(ground: str) -> None:
    """The paint alone runs beside the stream, from the first output."""
    with style.context(ground):
        ax = charts.waterfall(reply(Opening(dns=3 * MS, tcp=12 * MS, tls=20 * MS)))
    assert bars(ax) == [(0, 3), (3, 12), (15, 20), (35, 1), (36, 240), (276, 1900), (276, 21)]
    assert [patch.get_width() for patch in ax.patches if patch.get_hatch()] == [12]
    assert "wait 240 ms" in repr(ax)
    assert "one round trip" in repr(ax)


def test_a_kept_connection_has_no_bars_of_opening() -> None:
    """And no round trip is known of it."""
    ax = charts.waterfall(reply(None))
    assert bars(ax)[-3:] == [(36, 240), (276, 1900), (276, 21)]
    assert "The connection was open already." in repr(ax)
    assert not [patch for patch in ax.patches if patch.get_hatch()]


def test_the_way_to_a_proxy_is_no_round_trip_to_the_service() -> None:
    """The connection ended at the proxy: how far the service is from there nobody has measured."""
    ax = charts.waterfall(reply(Opening(tcp=12 * MS, proxy=3 * MS, tls=20 * MS)))
    assert bars(ax)[:3] == [(0, 12), (12, 3), (15, 20)]
    assert not [patch for patch in ax.patches if patch.get_hatch()]
    assert "round trip" not in repr(ax)


def test_a_run_shows_the_medians_of_each_arm(trial: Callable[..., Trial], result: Callable[..., Result]) -> None:
    """Opening is the warm-ups', where connections are kept; the round trip is the one measured beside the run."""
    trials = [trial(model, ttft=ttft, repeat=n) for model in ("s:a", "s:b") for n, ttft in enumerate((200, 300, 900))]
    old = result(*trials).contents
    warm = tuple(Warmup(model=m, prompt=0, repeat=-1, permit=0, sent=30 * MS, tcp=30 * MS) for m in ("s:a", "s:b"))
    trips = (Trip("s", 0, 0, 25 * MS),)
    made = Result(Contents(old.header, old.sessions, old.trials, warm, None, (), 0, trips), result(*trials).path)
    ax = charts.waterfall(made)
    assert bars(ax) == [(0, 30), (30, 300), (330, 80)] * 2
    assert [patch.get_width() for patch in ax.patches if patch.get_hatch()] == [25, 25]
    assert "a (n = 3)" in repr(ax)
    assert "2 new connections" in repr(ax)


def test_one_model_is_named_as_several_are(trial: Callable[..., Trial], result: Callable[..., Result]) -> None:
    """With how many answers the medians are of."""
    assert "a (n = 1)" in repr(charts.waterfall(result(trial())))


def test_a_name_that_is_too_long_is_shortened(trial: Callable[..., Trial], result: Callable[..., Result]) -> None:
    """It went on past the figure's edge; the words have it whole."""
    called = f"a/{'very-long-' * 12}b"
    ax = charts.waterfall(result(trial(f"s:{called}")))
    ax.figure.draw_without_rendering()
    assert ax.texts[0].get_window_extent().x1 < ax.get_window_extent().x1
    assert called in repr(ax)


def test_the_legend_covers_no_bar() -> None:
    """Where the first part is the longest, it stands in another corner."""
    timing = Timing(submitted=0, sent=0, reads=array("q", [2000 * MS, 2100 * MS]), paint_ms=21)
    ax = charts.waterfall(replace(reply(None), timing=timing))
    ax.figure.draw_without_rendering()
    boxes = [*(patch.get_window_extent() for patch in ax.patches), *(text.get_window_extent() for text in ax.texts)]
    legend = ax.get_legend()
    assert legend is not None
    assert not any(legend.get_window_extent().overlaps(box) for box in boxes)


def test_where_all_failed_the_chart_stands_empty(trial: Callable[..., Trial], result: Callable[..., Result]) -> None:
    """Without a part there is nothing to draw, and nothing breaks."""
    ax = charts.waterfall(result(trial(error="Stalled"), trial("s:b", error="Stalled")))
    assert bars(ax) == []
    assert "a (n = 0)" in repr(ax)
