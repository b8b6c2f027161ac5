"""Charts of many models with real names, and of odd runs: what was pressed together, left out or lost."""

from __future__ import annotations

import io
import math
import re
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from holystream_nb.measuring import charts
from holystream_nb.measuring.charts import canvas, drift, marks, names, points
from holystream_nb.measuring.charts.pairs import offsets
from holystream_nb.measuring.charts.words import says
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Trial
from holystream_nb.measuring.watch import Watch
from holystream_nb.money.amount import show_in

from ..screenshots import charts as made

SINGLE = (
    charts.distribution,
    charts.ttft_against_cost,
    charts.speed_against_cost,
    charts.timeline,
    charts.over_run,
    charts.differences,
)
CROWDS = [2, 8, 12]


@pytest.fixture(scope="module")
def crowd() -> Callable[[int], Result]:
    """A run of so many models, made once."""
    known: dict[int, Result] = {}

    def make(models: int) -> Result:
        return known.setdefault(models, made.result(made.run(models, n=20)))

    return make


def drawn(figure: Figure) -> None:
    figure.draw_without_rendering()


# Names


real = st.sampled_from(made.NAMES) | st.text("abc/:-", min_size=1, max_size=60)


@given(st.lists(real, min_size=1, max_size=14), st.integers(8, 60))
def test_short_names_fit_and_stay_distinct(whole: list[str], most: int) -> None:
    """Names that were the same stay so."""
    short = names.shortened(whole, len, most)
    assert all(len(each) <= most for each in short)
    assert len(set(short)) == len(set(whole))


def test_a_long_name_loses_its_middle_and_keeps_its_model() -> None:
    """The path goes first, then letters; a version at the end is what tells two apart."""
    short = names.shortened(made.NAMES[:3], len, 33)
    assert short == [
        "…/llama-3.3-70b-instruct:free",
        "…/deepseek-v3p2-thinking-0528",
        "…/deepseek-v3p2-thinking-0324",
    ]
    assert names.shortened(made.NAMES[:2], len, 44)[0] == "openrouter:…/llama-3.3-70b-instruct:free"
    assert names.shortened(["gpt-4.1"], len, 44) == ["gpt-4.1"]


@pytest.mark.slow
@pytest.mark.parametrize("models", CROWDS)
@pytest.mark.parametrize("chart", SINGLE)
def test_the_words_of_a_chart_have_each_name_whole(
    chart: Callable[[Result], Axes], models: int, crowd: Callable[[int], Result]
) -> None:
    """Whatever is shortened on it."""
    result = crowd(models)
    said = says(chart(result)).replace("\n", "")
    assert all(name in said for name in made.NAMES[:models])
    assert f"n = {20}" in said


@pytest.mark.slow
@pytest.mark.parametrize("models", CROWDS)
def test_axes_keep_their_size_and_words_stay_apart(models: int, crowd: Callable[[int], Result]) -> None:
    """On each chart and on the sheet: no label on another, none outside of the figure, no Axes pressed to a strip."""
    result = crowd(models)
    for shown in [*(chart(result) for chart in SINGLE), charts.sheet(result)]:
        stays_apart(shown)


@pytest.mark.slow
@pytest.mark.parametrize("models", CROWDS)
def test_words_stay_apart_over_loads_days_and_parts(models: int) -> None:
    """The same of a sweep, a watch and a waterfall: a watch wrote all its names at its curves, one over another."""
    swept, watch, opened = made.sweep(models, 8), made.watched(models), made.opened(models)
    for shown in (charts.concurrency(swept), watch.plot(), charts.waterfall(opened)):
        stays_apart(shown)
        said = repr(shown).replace("\n", "")
        assert all(name in said for name in made.NAMES[:models])


@pytest.mark.slow
def test_words_stay_apart_on_charts_of_one_or_two_models() -> None:
    """A capacity however it ended, a shadow with and without intervals, one answer's waterfall, and a watch of one."""
    ends: list[dict[str, Any]] = [{}, {"beyond": None}, {"within": None, "beyond": 1}, {"scheduled": True}]
    shown = [*(made.capacity(**each) for each in ends), made.shadow(), made.shadow(4)]
    for each in [*shown, charts.waterfall(made.answer()), made.watched(1).plot()]:
        stays_apart(each)


def stays_apart(shown: Axes | canvas.Panels) -> None:
    axes = list(shown) if isinstance(shown, canvas.Panels) else [shown]
    figure = canvas.figure_of(axes[0])
    drawn(figure)
    for ax in axes:
        room = ax.get_window_extent()
        assert room.height > 1.4 * figure.dpi
        assert room.width > 0.5 * figure.dpi * canvas.inches(ax)
        legend = ax.get_legend()
        labels = [text.get_window_extent() for text in ax.texts if text.xycoords == "data"]
        labels += [] if legend is None else [legend.get_window_extent()]
        ticks = [label.get_window_extent() for label in ax.get_yticklabels() if label.get_text()]
        ticks = [box for box in ticks if room.y0 <= (box.y0 + box.y1) / 2 <= room.y1]
        for boxes in (labels, ticks):
            assert not any(a.padded(-1).overlaps(b.padded(-1)) for a, b in combinations(boxes, 2))
        whole = figure.bbox.padded(2)
        every = [*labels, *ticks, *(each.get_window_extent() for each in (*ax.texts, *ax.artists))]
        assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 for box in every)
        assert all(whole.y0 <= box.y0 and box.y1 <= whole.y1 for box in every)


@pytest.mark.slow
def test_long_names_make_no_panel_of_the_sheet_narrower() -> None:
    """A legend that fills its row took two thirds of their width from the panels below it."""
    long = [msgspec.structs.replace(each, model=f"{each.model}-and-{'long' * 12}") for each in made.run(12, n=8)]
    axes = charts.sheet(made.result(long))
    drawn(axes.figure)
    assert all(ax.get_window_extent().width > 0.35 * axes.figure.bbox.width for ax in axes)
    (legend,) = axes.figure.axes[-1].artists
    box = legend.get_window_extent()
    assert axes.figure.bbox.x0 <= box.x0
    assert box.x1 <= axes.figure.bbox.x1


@pytest.mark.slow
@pytest.mark.parametrize("chart", [charts.distribution, charts.ttft_against_cost, charts.timeline, charts.over_run])
def test_a_narrow_figure_cuts_nothing(chart: Callable[..., Axes], crowd: Callable[[int], Result]) -> None:
    """Of 5 inches: the figures of a legend stand under the names, and what is to be known is wrapped."""
    figure = Figure(figsize=(5, 6), layout="constrained")
    ax = chart(crowd(8), ax=figure.add_subplot())
    drawn(figure)
    whole = figure.bbox.padded(2)
    boxes = [each.get_window_extent() for each in (*ax.texts, *ax.artists)]
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 for box in boxes)
    assert ax.get_window_extent().width > 0.5 * figure.dpi * canvas.inches(ax)


@pytest.mark.slow
def test_more_than_twelve_models_are_said_to_be_more(crowd: Callable[[int], Result]) -> None:
    """Twelve are drawn; the cost chart keeps the front and has small dots for the others."""
    result = made.result(made.run(15, n=8))
    for chart in (charts.distribution, charts.timeline, charts.over_run):
        assert "Drawn: the first 12 of 15; the other 3 are in the table." in says(chart(result))
    assert "Named: 12 of 15" in says(charts.speed_against_cost(result))
    best = points.front(points.points_of(result, "decode_tokens_per_s"), more_is_better=True)
    assert all(point.arm in says(charts.speed_against_cost(result)) for point in best)
    assert "The first 12 are drawn" in says(charts.differences(result))
    for ax in (charts.waterfall(made.opened(15, n=4)), made.watched(15, 3).plot()):
        assert "Drawn: the first 12 of 15; the other 3 are in the table." in says(ax).replace("\n", " ")
        assert made.NAMES[11] in says(ax)
        assert made.NAMES[12] not in says(ax)


def test_past_four_names_stand_in_a_legend(crowd: Callable[[int], Result]) -> None:
    """With their figures in columns, and the words have them too."""
    ax = charts.distribution(crowd(8))
    assert not any("llama" in text.get_text() for text in ax.texts)
    assert re.search(r"★ openrouter:meta-llama\S+ · n = 20 · p50 \d+ \(\d+ to \d+\) · p95 \d+\*", says(ax))


@pytest.mark.slow
@pytest.mark.filterwarnings("error:Glyph")
def test_names_that_no_font_can_draw_are_told_apart(trial: Callable[..., Trial], result: Callable[..., Result]) -> None:
    """Two names of empty boxes look like one: their characters stand as numbers, and the words have them whole."""
    called = ("local:模型-指令", "local:模型-对话")
    run = result(*(trial(name, repeat=repeat) for name in called for repeat in range(4)))
    for chart in (*SINGLE, charts.sheet):
        shown = chart(run)
        shown.savefig(io.BytesIO(), dpi=40)
        said = says(shown) if isinstance(shown, Axes) else repr(shown)
        assert all(name.removeprefix("local:") in said for name in called)
        assert "\\u" not in said


def test_a_name_turns_no_figure_after_it_round() -> None:
    """An override of the direction in a name would make "p50 312" of "p50 213"; a name of letters without one stays."""
    assert canvas.clean("a\u202eb \u0627\u0644\n$x_1$ é") == "a b \u0627\u0644 $x_1$ é"


# Marks


def test_twelve_models_differ_in_two_ways() -> None:
    """Each has a marker of its own, and of two with one colour the lines differ."""
    ax = canvas.prepared(None)
    found = list(marks.marks([f"m{index:02}" for index in range(12)], ax).values())
    assert len({mark.marker for mark in found}) == len({mark.sign for mark in found}) == 12
    assert len({mark.colour for mark in found}) == 8
    assert all(a.colour != b.colour or a.line != b.line for a, b in combinations(found, 2))


_BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""Machado, Oliveira and Fernandes (2009), severity 1, of linear RGB."""


@pytest.mark.parametrize("palette", [marks.ON_LIGHT, marks.ON_DARK])
@pytest.mark.parametrize("kind", _BLIND)
def test_added_colours_are_as_far_apart_as_okabes_and_itos(palette: tuple[str, ...], kind: str) -> None:
    """To every kind of eye: the closest pair of eight is no closer than the closest of the six."""
    seen = [_lab(np.array(_BLIND[kind]) @ _linear(colour)) for colour in palette]
    closest = {n: min(math.dist(a, b) for a, b in combinations(seen[:n], 2)) for n in (6, 8)}
    assert closest[8] >= min(closest[6], 16)


def _linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    )
    x, y, z = np.cbrt(to_xyz @ np.clip(linear, 1e-4, 1) / np.array([0.95047, 1, 1.08883]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Cost


@pytest.mark.slow
def test_a_model_of_which_most_requests_failed_is_no_choice() -> None:
    """The fastest and cheapest failed in more than half of its requests: it stands apart at ∞, on no front."""
    result = made.failures()
    found = {point.arm: point for point in points.points_of(result, "ttft_ms")}
    flawed = found[made.NAMES[10]]
    assert flawed.failed > flawed.n / 2
    assert flawed.value == math.inf
    best = points.front(list(found.values()), more_is_better=False)
    assert made.NAMES[10] not in {point.arm for point in best}
    said = says(charts.ttft_against_cost(result))
    assert f"{made.NAMES[10]} stands apart: {flawed.failed} of 80 failed." in said
    assert "A failure counts as ∞." in said
    speed = {point.arm: point for point in points.points_of(result, "decode_tokens_per_s")}
    assert speed[made.NAMES[10]].value == 0


@pytest.mark.slow
def test_overlapping_intervals_are_not_distinguishable() -> None:
    """The dearer and slightly slower is no loser while the intervals overlap."""
    chance, trials = Random(1), []
    for repeat in range(30):
        sent = 1500 * repeat * made.MS
        for index in (0, 1):
            first = sent + round(300 * chance.lognormvariate(0, 0.2) * made.MS)
            trials.append(made.trial(index, repeat, chance, sent=sent, submitted=sent, reads=[first, 20 * made.MS]))
    ax = charts.ttft_against_cost(made.result(trials))
    assert "Hollow" not in says(ax)
    assert all(to_hex(each[0].get_markerfacecolor()) != to_hex(ax.get_facecolor()) for each in ax.containers)


@pytest.mark.slow
def test_costs_are_in_the_chosen_currency() -> None:
    """Axis, labels and places."""
    result = made.result(made.run(2, n=8))
    show_in("CNY")
    try:
        ax = charts.speed_against_cost(result)
    finally:
        show_in("USD")
    assert ax.get_xlabel() == "cost (CNY per 1k requests)"
    assert "CNY 0.700" in says(ax)
    assert "USD" not in says(ax)


@pytest.mark.slow
def test_free_local_and_unpriced_models_have_places_of_their_own() -> None:
    """0 on an axis by logarithms, and what has no price; none is lost, and a price of 0 is part of the front."""
    ax = charts.ttft_against_cost(made.free())
    said = says(ax).replace("\n", " ")
    assert ax.get_xscale() == "log"
    assert "not shown" not in said
    assert "local, no price" in said
    assert "price unknown" in said
    assert "USD 0" in said
    stairs = next(line for line in ax.lines if len(line.get_xdata()) == 5)
    free = next(each for each in ax.containers if each[0].get_ydata()[0] == stairs.get_ydata()[1])
    assert free[0].get_xdata()[0] < 0.1
    places = [each[0].get_xdata()[0] for each in ax.containers]
    assert len(set(places)) == len(places) == 6


# Outliers, pauses, failures


@pytest.mark.slow
def test_one_request_of_thirty_seconds_does_not_press_the_others() -> None:
    """The axis of the timeline ends before it and that of the differences too, and both say so."""
    result = made.outlier()
    ax = charts.timeline(result)
    assert ax.get_xlim()[1] < 8
    assert "▸ 31.3 s" in says(ax)
    assert "1 row goes on past the axis, to 31.3 s at most" in says(ax)
    ax = charts.differences(result)
    assert ax.get_xlim()[1] < 3000
    assert "1 of 160 pairs lie beyond the axis (+29," in says(ax)
    assert charts.over_run(result).get_yscale() == "log"


def test_a_far_dot_does_not_heap_the_others() -> None:
    """Where one pair lies beyond the axis, the others lie about their row as they would without it."""
    values = np.linspace(-300.0, 300.0, 80)
    with_one = offsets(np.append(values, 30_000.0))
    assert np.array_equal(with_one[:-1], offsets(values))
    assert len(offsets(np.array([0.0, 0.0, 5.0]))) == 3


def test_a_sheet_of_one_request_says_so() -> None:
    """`1 request`, not `1 requests`."""
    heading = charts.sheet(made.result(made.run(2, n=1))).figure.get_suptitle()
    assert "2 models, 1 request each" in heading


@pytest.mark.slow
def test_a_run_resumed_after_two_days_counts_run_time() -> None:
    """The pause is a line with its length, not two days of empty axis."""
    result = made.resumed()
    assert result.trials["at_s"].max() > 172_000
    ax = charts.over_run(result)
    assert ax.get_xlim()[1] < 150
    assert ax.get_xlabel() == "since the run's start, without the pauses (s)"
    assert "resumed after 2 days" in says(ax)
    moved, pauses = drift.running(result.trials)
    assert len(pauses) == 1
    within = moved["at_s"].diff().dropna()
    assert within.max() < 5
    assert "pauses" not in charts.over_run(made.result(made.run(1, n=4))).get_xlabel()


@pytest.mark.parametrize(
    ("seconds", "said"), [(40, "40.0 s"), (150, "2.5 min"), (7200, "2 h"), (86_400, "1 day"), (172_800, "2 days")]
)
def test_a_pause_is_said_as_people_say_it(seconds: float, said: str) -> None:
    """In the largest unit that it fills."""
    assert drift.lasted(seconds) == said


def test_a_failure_without_output_stands_where_it_was_over(
    trial: Callable[..., Trial], result: Callable[..., Result]
) -> None:
    """A request that timed out after 5 s has its × at 5 s, not at 0, and comes last."""
    late = trial(repeat=1, error="Timeout", end=5_100 * made.MS)
    ax = charts.timeline(result(trial(), late))
    cross = next(line for line in ax.lines if line.get_marker() == "x")
    assert list(cross.get_xdata()) == pytest.approx([5.0])


@pytest.mark.slow
def test_a_run_in_which_all_failed_is_readable() -> None:
    """Each chart names the models and their failures, and an axis of nothing has no figures."""
    result = made.result([made.failed(each) for each in made.run(2, n=8)])
    for chart in SINGLE:
        said = says(chart(result))
        assert "8 failed" in said or "8 lost" in said
    assert not len(charts.distribution(result).get_xticks())
    assert not len(charts.over_run(result).get_yticks())


@pytest.mark.slow
def test_one_request_a_model_is_drawn_with_stars() -> None:
    """No interval, no verdict, but the value."""
    result = made.result(made.run(3, n=1))
    ax = charts.ttft_against_cost(result)
    assert not ax.containers
    assert re.search(r"\d\* ms", says(ax))
    assert "Pareto front" not in says(ax)
    assert "no interval at this size" in says(charts.differences(result))


@pytest.mark.slow
def test_an_open_loop_has_e2e_from_the_scheduled_start() -> None:
    """On its sheet, and by name; E2E from sent says what it leaves out."""
    result = made.open_loop()
    titles = [ax.get_title(loc="left") for ax in charts.sheet(result)]
    assert titles[2] == "E2E from the scheduled start distribution"
    ax = charts.distribution(result, "e2e_scheduled_s")
    assert ax.get_xlabel() == "E2E from the scheduled start (s)"
    x = max((line.get_xdata() for line in ax.lines), key=len)
    assert sorted(set(x)) == pytest.approx(sorted(set(result.trials["e2e_scheduled_s"])))
    assert "e2e_scheduled_s" in says(charts.distribution(result, "e2e_s"))


def test_a_single_sitting_of_a_watch_has_an_hour_about_it() -> None:
    """Not the four years that matplotlib gives to one date."""
    first = made.result(made.run(1, n=8))
    ax = Watch("ttft_ms", 3, {1: first}, {}, Path("watch")).plot()
    left, right = ax.get_xlim()
    assert right - left == pytest.approx(1 / 24)


@pytest.mark.slow
def test_a_watch_of_many_has_its_changes_in_the_legend() -> None:
    """Beside the name of whose they are; of up to four models also at the curve. Each says of how many a point is."""
    many, few = made.watched(8).plot(), made.watched(2).plot()
    assert "257 → 387" in [text.get_text() for text in few.texts]
    assert not [text for text in many.texts if text.xycoords == "data"]
    assert f"{made.NAMES[7]} · n = 8 a point · 126 → 204" in says(many)
    assert "Dotted: a change point." in says(many)


def test_a_model_without_a_figure_is_named_on_a_watch() -> None:
    """One of which every request failed: such a watch could not even be printed."""
    rows = [made.failed(each) if each.model == made.NAMES[1] else each for each in made.run(2, n=8)]
    found = Watch("ttft_ms", 1, {1: made.result(rows)}, {}, Path("watch"))
    assert f"{made.NAMES[1]}: no change of TTFT in 0 sittings; 10 are the fewest" in str(found)
    assert re.search(r"0528.* · no figure", says(found.plot()))


# Files and time


@pytest.mark.slow
def test_every_chart_has_savefig() -> None:
    """As matplotlib's figures: a name or a buffer, with its options; opaque."""
    result = made.result(made.run(2, n=8))
    for shown in (result.plot(), *(chart(result) for chart in SINGLE), made.capacity()):
        target = io.BytesIO()
        shown.savefig(target, dpi=40)
        image = Image.open(target).convert("RGBA")
        assert image.getextrema()[3] == (255, 255)
        width, _ = shown.figure.get_size_inches()
        assert image.size[0] == pytest.approx(40 * width, abs=1)


@pytest.mark.slow
def test_a_large_run_is_drawn_in_a_second(trial: Callable[..., Trial], result: Callable[..., Result]) -> None:
    """1,000 requests of 500 tokens, once their figures are there: by this process's own time, for machines are busy."""
    chance = np.random.default_rng(1)
    rows = [
        trial(model, sent=1000 * repeat, gaps=tuple(chance.lognormal(3, 0.3, 500)), repeat=repeat)
        for model in ("simulator:a", "simulator:b")
        for repeat in range(500)
    ]
    run = result(*rows)
    charts.sheet(result(*rows[:5], *rows[500:505]))
    assert len(run.trials) == 1000
    assert run.cells
    begin = time.process_time()
    charts.sheet(run)
    assert time.process_time() - begin < 1.0


# Capacity


@pytest.mark.slow
def test_capacity_stands_over_the_load() -> None:
    """Good share and TTFT p95 of each probe, the limits as lines, the answer with its interval."""
    levels = made.probes()
    panels = made.capacity()
    top, bottom = panels
    curve = max(top.lines, key=lambda line: len(line.get_xdata()))
    ordered = sorted(levels, key=lambda level: level.load)
    assert list(curve.get_xdata()) == [level.load for level in ordered]
    assert list(curve.get_ydata()) == pytest.approx([level.good.value for level in ordered])
    said = repr(panels)
    for words in (
        "asked for: 95 %",
        "limit: 800 ms",
        "bears a load of 10, · but not of 11",
        "n = 100 a point",
    ):
        assert words in said
    assert made.NAMES[1] in said
    assert (top.get_ylabel(), bottom.get_ylabel()) == ("good requests (%)", "TTFT p95 (ms)")
    for ends, words in (
        ({"beyond": None}, "bears at least a load of 10"),
        ({"within": None, "beyond": 1}, "bears not even a load of 1"),
        ({"within": None, "beyond": None}, "nothing is decided yet"),
    ):
        without = repr(made.capacity(**ends))
        assert words in without
        assert "Grey" not in without


def test_a_cost_of_zero_is_a_cost(trial: Callable[..., Trial], result: Callable[..., Result]) -> None:
    """On a linear axis at 0, and the front begins there."""
    rows = [
        trial(model, repeat=repeat, ttft=ttft + repeat, usd=Decimal(usd))
        for model, ttft, usd in (("simulator:a", 300, "0"), ("simulator:b", 100, "0.001"))
        for repeat in range(8)
    ]
    ax = charts.ttft_against_cost(result(*rows))
    assert sorted(each[0].get_xdata()[0] for each in ax.containers) == [0, 1]


@pytest.mark.slow
def test_marks_of_one_cost_do_not_hide_each_other() -> None:
    """They stand beside it, and the chart says so."""
    ax = charts.speed_against_cost(made.alike())
    places = sorted(each[0].get_xdata()[0] for each in ax.containers)
    assert len(set(places)) == len(places) == 10
    assert np.mean(places) == pytest.approx(0.4)
    assert "Marks of one cost stand beside each other." in says(ax).replace("\n", " ")
