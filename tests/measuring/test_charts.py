"""Charts: the data on their Axes, the words around them, and how they are shown."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import matplotlib
import msgspec
import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from nbclient import NotebookClient
from PIL import Image

from holystream_nb.errors import SetupError
from holystream_nb.measuring import charts
from holystream_nb.measuring.charts import canvas, ecdf, marks, points, rows, scales
from holystream_nb.measuring.charts.points import Point
from holystream_nb.measuring.figures.statistics import Quantile
from holystream_nb.measuring.figures.sweep import Sweep
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Calibration, Trial

Make = Callable[..., Result]

CALIBRATION = Calibration(
    concurrency=4,
    workers=1,
    requests=100,
    tokens_per_s=50,
    ttft_ms=(0.5, 1.5, 2.0),
    e2e_ms=(0.5, 1.5, 2.0),
    gap_ms=(0.1, 0.2, 0.3),
    own=True,
)
PRICES = {"fast": "0.0004", "cheap": "0.0001", "slow": "0.0008"}
FIRST = {"fast": 100.0, "cheap": 300.0, "slow": 900.0}
SINGLE = (
    charts.distribution,
    charts.ttft_against_cost,
    charts.speed_against_cost,
    charts.timeline,
    charts.differences,
    charts.over_run,
)


@pytest.fixture
def three(trial: Callable[..., Trial], result: Make) -> Make:
    """A run of three models, n requests each: fast, cheap, and slow, which both others beat. `failed` of slow fail."""

    def make(n: int = 80, *, failed: int = 0, provider: str = "simulator", **plan: Any) -> Result:
        chance = Random(7)
        trials = []
        for model, first in FIRST.items():
            for repeat in range(n):
                trials.append(
                    trial(
                        f"{provider}:{model}",
                        sent=1000 * repeat + chance.random() * 100,
                        ttft=first * chance.lognormvariate(0, 0.2),
                        gaps=tuple(first / 10 * chance.lognormvariate(0, 0.3) for _ in range(12)),
                        repeat=repeat,
                        usd=Decimal(PRICES[model]),
                        error="RateLimited" if model == "slow" and repeat < failed else "",
                    )
                )
        return result(*trials, **{"repeats": n, "simulator": "simulator ×20", "calibration": CALIBRATION, **plan})

    return make


@pytest.fixture
def sweep(three: Make, result: Make) -> Callable[..., Sweep]:
    """Two models at rising concurrency, n requests each; past two clients each gets the slower, the more there are."""

    def make(n: int = 80, loads: tuple[int, ...] = (1, 2, 4, 8)) -> Sweep:
        records = three(n).records
        plan = {"repeats": n, "simulator": "simulator ×20", "calibration": CALIBRATION}
        runs = [
            result(
                *_loaded([each for each in records if each.model == f"simulator:{model}"], load),
                concurrency=load,
                **plan,
            )
            for model in ("fast", "cheap")
            for load in loads
        ]
        return Sweep(tuple(runs), Path("sweep"))

    return make


def _loaded(records: list[Trial], load: int) -> list[Trial]:
    """Requests dealt to so many clients."""
    slower = max(1.0, load / 2)
    trials, ends = [], [0] * load
    for index, trial in enumerate(records):
        start = ends[index % load]
        steps = [round(step * slower) for step in [trial.reads[0] - (trial.sent or 0), *trial.reads[1:]]]
        reads = [start + steps[0], *steps[1:]]
        ends[index % load] = sum(reads)
        trials.append(msgspec.structs.replace(trial, stream=index % load, sent=start, submitted=start, reads=reads))
    return trials


def words(ax: Axes) -> str:
    return "\n".join([ax.get_title(loc="left"), *(text.get_text() for text in ax.texts), *_ticks(ax)])


def _ticks(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def curve(ax: Axes, colour: str) -> tuple[Any, Any]:
    """The longest line of this colour."""
    lines = [line for line in ax.lines if to_hex(line.get_color()) == to_hex(colour)]
    x, y = max(lines, key=lambda line: len(line.get_xdata())).get_data()
    return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def ttfts(result: Result, model: str) -> list[float]:
    return sorted(result.trials.query(f"model == 'simulator:{model}' and error == ''")["ttft_ms"])


# What every chart says


@pytest.mark.slow
@pytest.mark.parametrize("chart", SINGLE)
def test_every_chart_names_n_for_each_model_and_the_simulator(chart: Callable[[Result], Axes], three: Make) -> None:
    """A chart that is cut out of its notebook still says what it is made of."""
    result = three()
    said = words(chart(result))
    assert "simulator ×20" in said
    for model in ("fast", "cheap", "slow") if chart is not charts.differences else ("cheap", "slow"):
        assert re.search(rf"\b{model}\b( ·|\n)\s*n = 80", said)


@pytest.mark.slow
@pytest.mark.parametrize("chart", SINGLE)
def test_failures_are_said_on_every_chart(chart: Callable[[Result], Axes], three: Make) -> None:
    """Three of slow's requests failed."""
    said = words(chart(three(failed=3)))
    assert "3 failed" in said or "3 lost" in said


@pytest.mark.parametrize("chart", SINGLE)
def test_too_few_requests_are_said_to_be_too_few(chart: Callable[[Result], Axes], three: Make) -> None:
    """With four requests a model no percentile has an interval: the value is there, with a star."""
    said = words(chart(three(4)))
    if chart not in (charts.timeline, charts.over_run):  # they show requests only
        assert "no interval at this size" in said
        assert re.search(r"\d\*", said)
    assert "n = 4" in said


@pytest.mark.slow
@pytest.mark.parametrize("chart", SINGLE)
def test_a_model_in_which_every_request_failed_is_named(chart: Callable[[Result], Axes], three: Make) -> None:
    """It has nothing to draw, and is not forgotten."""
    assert "slow" in words(chart(three(failed=80)))


@pytest.mark.slow
@pytest.mark.parametrize("chart", SINGLE)
def test_a_run_without_any_trial_has_charts(chart: Callable[[Result], Axes], three: Make) -> None:
    """A run that was stopped at once."""
    result = three(1)
    result.records = ()
    result.__dict__["trials"] = three(1).trials.iloc[:0]
    assert canvas.png(chart(result).get_figure(root=True))  # type: ignore[arg-type]


@pytest.mark.slow
def test_axes_have_the_words_and_units_of_the_terms(three: Make) -> None:
    """Those of docs and tables."""
    result = three()
    labels = {chart.__name__: (ax.get_xlabel(), ax.get_ylabel()) for chart in SINGLE for ax in [chart(result)]}
    assert labels == {
        "distribution": ("TTFT (ms)", "share of requests (%)"),
        "ttft_against_cost": ("cost (USD per 1k requests)", "TTFT p50 (ms)"),
        "speed_against_cost": ("cost (USD per 1k requests)", "decode tok/s"),
        "timeline": ("since sent (s)", ""),
        "differences": ("TTFT − fast's (ms)", ""),
        "over_run": ("since the run's start (s)", "TTFT (ms)"),
    }


@pytest.mark.slow
def test_names_are_shown_to_the_letter(three: Make) -> None:
    """Dollar signs make no formula of a model's name, and control characters nothing at all."""
    result = three(10)
    result.label = lambda model: f"$\\frac{{{model}\x1b[31m"  # type: ignore[method-assign]
    for chart in SINGLE:
        ax = chart(result)
        canvas.png(ax.get_figure(root=True))  # type: ignore[arg-type]
        assert "$\\frac{simulator:cheap" in words(ax)
        assert "\x1b" not in words(ax)


# Distribution


def test_the_curve_is_the_share_of_requests_that_were_as_fast(three: Make) -> None:
    """Each request raises it by 1/n at its TTFT."""
    result = three(50)
    ax = charts.distribution(result)
    x, y = curve(ax, marks.marks(result.models, ax)["simulator:cheap"].colour)
    assert sorted(set(x)) == pytest.approx(ttfts(result, "cheap"))
    assert y[1::2] == pytest.approx([100 * (index + 1) / 50 for index in range(50)])
    assert y[::2] == pytest.approx([100 * index / 50 for index in range(50)])


def test_a_failure_counts_as_never_answered(three: Make) -> None:
    """The curve ends as far below 100 % as requests failed, and the percentiles move with it."""
    result = three(100, failed=20)
    ax = charts.distribution(result)
    _, y = curve(ax, marks.marks(result.models, ax)["simulator:slow"].colour)
    assert y[-1] == pytest.approx(80)
    text = next(text.get_text() for text in ax.texts if "slow · n = 100, 20 failed" in text.get_text())
    assert "p95 ∞" in text
    assert float(text.split("p50 ")[1].split()[0].replace(",", "")) > np.median(ttfts(result, "slow"))


@pytest.mark.parametrize(("n", "drawn"), [(71, False), (72, True)])
def test_p95_stands_only_where_n_permits(n: int, drawn: bool, three: Make) -> None:
    """72 requests are the fewest."""
    ax = charts.distribution(three(n))
    assert any(list(line.get_ydata()) == [95.0] for line in ax.lines) == drawn
    assert ("no interval at this size (6 for p50 and 72 for p95 needed)" in words(ax)) != drawn
    assert bool(re.search(r"p95 [\d,.]+\*", words(ax))) != drawn


def test_the_band_covers_the_true_curve(three: Make) -> None:
    """DKW: in at least 95 % of samples the whole uniform curve lies within."""
    rng = np.random.default_rng(1)
    n = 60
    samples = np.sort(rng.random((2000, n)), axis=1)
    above = (np.arange(1, n + 1) / n - samples).max(axis=1)
    below = (samples - np.arange(n) / n).max(axis=1)
    assert (np.maximum(above, below) <= ecdf.band(n)).mean() >= 0.95
    ax = charts.distribution(three(n))
    vertices = ax.collections[0].get_paths()[0].vertices
    middle = vertices[np.isclose(vertices[:, 0], np.median(vertices[:, 0]))]
    assert middle[:, 1].max() - middle[:, 1].min() == pytest.approx(200 * ecdf.band(n) + 100 / n, abs=100 / n)


def test_other_figures_have_distributions_too(three: Make) -> None:
    """A rate's failures are left out, for no number is worse than all."""
    result = three(20, failed=5)
    ax = charts.distribution(result, "decode_tokens_per_s")
    _, y = curve(ax, marks.marks(result.models, ax)["simulator:slow"].colour)
    assert ax.get_xlabel() == "decode tok/s"
    assert y[-1] == pytest.approx(100)
    assert "Failures are left out" in words(ax)
    with pytest.raises(SetupError, match="ttft_ms"):
        charts.distribution(result, "speed")


# Cost


def at(arm: str, cost: float | None, low: float | None, value: float, high: float | None) -> Point:
    """A model of ten requests at a cost, with an interval."""
    return Point(arm, cost, Quantile(0.5, value, low, high, 10, 6), 10, 0, points.KNOWN, "a list", "today", False)


sure = st.tuples(st.integers(0, 9), st.integers(1, 20), st.integers(0, 3))


@given(st.lists(sure, min_size=1, max_size=12), st.booleans())
def test_the_front_has_the_best_median_for_as_much(found: list[tuple[int, int, int]], more_is_better: bool) -> None:
    """No other costs no more and has a median as good; and none of the front is clearly beaten."""
    sign = -1 if more_is_better else 1
    made = [at(str(index), cost, value - wide, value, value + wide) for index, (cost, value, wide) in enumerate(found)]
    best = points.front(made, more_is_better=more_is_better)
    for point in best:
        assert not any(
            (other.cost or 0) <= (point.cost or 0) and sign * (other.value or 0) < sign * (point.value or 0)
            for other in made
        )
    assert not {point.arm for point in best} & set(points.beaten_by(made, more_is_better=more_is_better))
    costs = [point.cost for point in best]
    assert costs == sorted(set(costs))


def test_beaten_is_only_who_costs_no_less_and_whose_interval_is_worse() -> None:
    """Overlapping intervals decide nothing, nor does a value without one, nor a price that is not known."""
    base = at("base", 1.0, 90, 100, 110)
    others = [
        at("overlaps", 2.0, 105, 130, 140),
        at("beaten", 2.0, 111, 130, 140),
        at("cheaper", 0.5, 111, 130, 140),
        at("starred", 2.0, None, 900, None),
        at("unpriced", None, 111, 130, 140),
    ]
    assert points.beaten_by([base, *others], more_is_better=False) == {"beaten": "base"}
    assert [point.arm for point in points.front([base, *others], more_is_better=False)] == ["cheaper", "base"]
    assert points.beaten_by([at("fast", 1.0, None, 1, None), base], more_is_better=False) == {}


@pytest.mark.parametrize(
    ("chart", "column"),
    [(charts.ttft_against_cost, "ttft_p50_ms"), (charts.speed_against_cost, "decode_tokens_per_s")],
)
def test_a_model_stands_at_its_cost_and_its_median_with_its_interval(
    chart: Callable[[Result], Axes], column: str, three: Make
) -> None:
    """As the summary has them; what is beaten is hollow."""
    result = three()
    ax, summary = chart(result), result.summary()
    for model, mark in marks.marks(result.models, ax).items():
        row = summary.loc[model]
        container = next(each for each in ax.containers if each[0].get_marker() == mark.marker)
        x, y = container[0].get_data()
        assert (x[0], y[0]) == (pytest.approx(row["usd_per_1k_requests"]), pytest.approx(row[column]))
        ends = container[2][0].get_segments()[0][:, 1]
        assert list(ends) == pytest.approx([row[f"{column}_low"], row[f"{column}_high"]])
        hollow = to_hex(container[0].get_markerfacecolor()) == to_hex(ax.get_facecolor())
        assert hollow == (model == "simulator:slow")


def test_a_point_says_whether_its_cost_is_paid(trial: Callable[..., Trial], result: Make) -> None:
    """The simulator's dollars are called so beside each point, a service's are not."""
    notes = {"x:a": "", "simulator:a": "simulated", "simulator:b": "simulated"}
    trials = [
        trial(model, repeat=repeat, sent=1000 * repeat, ttft=100 + repeat, gaps=(10, 10), price_note=note)
        for model, note in notes.items()
        for repeat in range(20)
    ]
    ax = charts.ttft_against_cost(result(*trials, repeats=20))
    assert [text.get_text().count(" (simulated)") for text in ax.texts if "USD" in text.get_text()].count(1) == 2


def test_the_front_is_a_staircase_over_the_best(three: Make) -> None:
    """From the cheapest to the right edge, down at each better one."""
    result = three()
    ax, summary = charts.ttft_against_cost(result), result.summary()
    stairs = next(line for line in ax.lines if len(line.get_xdata()) == 5)
    cheap, fast = (summary.loc[f"simulator:{model}"] for model in ("cheap", "fast"))
    x, y = stairs.get_data()
    assert list(x)[:4] == pytest.approx([0.1, 0.1, 0.4, 0.4])
    assert list(y)[1:] == pytest.approx([cheap["ttft_p50_ms"]] * 2 + [fast["ttft_p50_ms"]] * 2)
    assert "Pareto front" in words(ax)


@pytest.mark.parametrize(("note", "said"), [("unknown", "price unknown"), ("local, no price", "local, no price")])
def test_a_model_without_a_price_has_a_place_of_its_own(note: str, said: str, three: Make, result: Make) -> None:
    """Left of the axis of costs, never at 0, and no part of the front."""
    trials = [
        msgspec.structs.replace(each, usd=None, price_note=note, price_source="") if "cheap" in each.model else each
        for each in three().records
    ]
    ax = charts.ttft_against_cost(result(*trials, repeats=80))
    assert said in words(ax).replace("\n", " ")
    cheap = next(each for each in ax.containers if each[0].get_marker() == "o")
    assert cheap[0].get_xdata()[0] < 0
    stairs = next(line for line in ax.lines if len(line.get_xdata()) == 3)
    assert list(stairs.get_xdata())[:2] == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize("chart", [charts.distribution, charts.ttft_against_cost, charts.speed_against_cost])
def test_answers_in_bursts_are_marked_on_a_chart_too(
    chart: Callable[[Result], Axes], trial: Callable[..., Trial], result: Make
) -> None:
    """At the figures of whose answers came so, with a word; of whole answers nothing is wrong."""
    held = [trial("x:a", repeat=i, ttft=400 + i, gaps=(140,) * 5, events=[14] * 6) for i in range(8)]
    free = [trial("x:b", repeat=i, ttft=265 + i, gaps=(10,) * 80) for i in range(8)]
    said = words(chart(result(*held, *free))).replace("\n", " ")
    assert said.count("†") >= 2
    assert "† Answers of a came in bursts: TTFT is too long" in said
    assert "†" not in words(chart(result(*free)))
    assert "†" not in words(charts.distribution(result(*held, *free), "e2e_s"))


def test_where_prices_come_from_stands_below(three: Make) -> None:
    """And as of when."""
    assert "Prices: a card (today)." in words(charts.speed_against_cost(three()))


@pytest.mark.slow
def test_costs_over_decades_have_a_logarithmic_axis(three: Make, result: Make) -> None:
    """Other axes start at nought, so that lengths compare."""
    ax = charts.speed_against_cost(three())
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")
    assert ax.get_ylim()[0] == 0
    dear = [
        msgspec.structs.replace(each, usd=Decimal("0.1")) if "slow" in each.model else each for each in three().records
    ]
    assert charts.ttft_against_cost(result(*dear, repeats=80)).get_xscale() == "log"


# Timeline


def test_a_row_has_a_tick_for_each_read(trial: Callable[..., Trial], result: Make) -> None:
    """In seconds since sent, the wait before them as a line."""
    ax = charts.timeline(result(trial(ttft=300, gaps=(20, 60))))
    ticks = next(line for line in ax.lines if line.get_marker() == "|")
    wait = next(line for line in ax.lines if len(line.get_xdata()) == 2)
    assert list(ticks.get_xdata()) == pytest.approx([0.3, 0.32, 0.38])
    assert list(wait.get_xdata()) == pytest.approx([0, 0.3])
    assert "No stalls." in words(ax)


def test_stalls_are_bars_from_the_last_read_to_the_next(trial: Callable[..., Trial], result: Make) -> None:
    """A gap of more than ten times the model's median, or than what is asked for; the longest is named."""
    run = result(trial(ttft=300, gaps=(20, 20, 500, 20, 20)), trial(ttft=300, gaps=(20, 20, 150), repeat=1))
    bars = [line for line in charts.timeline(run).lines if line.get_linewidth() > 3]
    assert [list(bar.get_xdata()) for bar in bars] == [pytest.approx([0.34, 0.84])]
    ax = charts.timeline(run, stall_ms=100)
    assert sum(line.get_linewidth() > 3 for line in ax.lines) == 2
    assert "stall 500 ms" in words(ax)
    assert "a in 2 of 2 requests" in words(ax)
    assert "a gap over 100 ms" in words(ax)


def test_a_failure_has_its_row_and_a_cross_where_it_broke(trial: Callable[..., Trial], result: Make) -> None:
    """What had come before is drawn."""
    broken = trial(ttft=100, gaps=(50,), repeat=1)
    ax = charts.timeline(result(trial(), msgspec.structs.replace(broken, error="StreamInterrupted")))
    cross = next(line for line in ax.lines if line.get_marker() == "x")
    assert list(cross.get_xdata()) == pytest.approx([0.15])
    assert sum(line.get_marker() == "|" for line in ax.lines) == 2


@given(st.integers(1, 200), st.integers(2, 40))
def test_rows_are_spread_over_all_requests(count: int, most: int) -> None:
    """The first and the last are among them, none twice, in order."""
    found = rows.spread(list(range(count)), most)  # type: ignore[arg-type]
    assert len(found) == min(count, most)
    assert (found[0], found[-1]) == (0, count - 1)
    assert found == sorted(set(found))


# Differences


def test_each_pair_is_a_dot_and_the_median_has_its_interval(three: Make) -> None:
    """As `compare` has them, against the first model or the one that is named."""
    result = three()
    ax = charts.differences(result, "slow")
    for model, mark in marks.marks(result.models, ax).items():
        if model == "simulator:slow":
            continue
        compared = result.compare("slow", model)
        dots = next(
            each
            for each in ax.collections
            if isinstance(each, PathCollection) and to_hex(each.get_facecolor()[0]) == mark.colour.lower()
        )
        assert sorted(dots.get_offsets()[:, 0]) == pytest.approx(sorted(compared.differences))
        container = next(each for each in ax.containers if each[0].get_marker() == mark.marker)
        assert container[0].get_xdata()[0] == pytest.approx(compared.difference.value)
        assert list(container[2][0].get_segments()[0][:, 0]) == pytest.approx(
            [compared.difference.low, compared.difference.high]
        )


def test_a_difference_that_may_be_nought_is_hollow(trial: Callable[..., Trial], result: Make) -> None:
    """And says so."""
    chance = Random(3)
    trials = [trial(f"simulator:{m}", ttft=chance.gauss(300, 40), repeat=r) for r in range(40) for m in "ab"]
    ax = charts.differences(result(*trials, repeats=40))
    assert to_hex(ax.containers[0][0].get_markerfacecolor()) == to_hex(ax.get_facecolor())
    assert "no more than noise" in words(ax)


def test_lost_pairs_are_counted(three: Make) -> None:
    """A pair needs both requests."""
    said = words(charts.differences(three(failed=3)))
    assert "n = 77 pairs, 3 lost" in said
    assert "slow 3" in said


def test_differences_need_two_models(trial: Callable[..., Trial], result: Make) -> None:
    """And a figure that can be compared."""
    with pytest.raises(SetupError, match="two models"):
        charts.differences(result(trial()))
    with pytest.raises(SetupError, match="ttft_ms"):
        charts.differences(result(trial(), trial("simulator:b")), metric="speed")


# Over the run


def test_each_request_stands_at_its_start(three: Make) -> None:
    """TTFT over the seconds since the run's first call; failures as crosses at theirs."""
    result = three(30, failed=2)
    ax, trials = charts.over_run(result), result.trials
    mark = marks.marks(result.models, ax)["simulator:slow"]
    slow = trials[trials["model"] == "simulator:slow"]
    dots = next(each for each in ax.collections if to_hex(each.get_facecolor()[0]) == mark.colour.lower())
    shown = slow[slow["error"] == ""]
    assert np.asarray(dots.get_offsets()) == pytest.approx(shown[["at_s", "ttft_ms"]].to_numpy())
    crosses = next(line for line in ax.lines if line.get_marker() == "x")
    assert list(crosses.get_xdata()) == pytest.approx(list(slow[slow["error"] != ""]["at_s"]))
    assert "2 RateLimited" in words(ax)


@pytest.mark.slow
def test_a_line_of_rolling_medians_needs_a_few_requests(three: Make) -> None:
    """Its window is named."""
    assert not charts.over_run(three(14)).lines
    ax = charts.over_run(three(80))
    assert len(ax.lines) == 3
    assert "rolling medians of 9 requests" in words(ax)


# Concurrency


@pytest.mark.slow
def test_throughput_and_ttft_stand_over_concurrency(sweep: Callable[..., Sweep]) -> None:
    """As the sweep's table has them; p95 as a line with filled marks."""
    run = sweep(100)
    top, bottom = charts.concurrency(run)
    table = run.table()
    for model, mark in marks.marks(run.models, top).items():
        mine = table[table["model"] == model]
        _, rate = curve(top, mark.colour)
        assert list(rate) == pytest.approx(list(mine["system_tokens_per_s"]))
        filled = next(
            each[0]
            for each in bottom.containers
            if each[0].get_marker() == mark.marker and to_hex(each[0].get_markerfacecolor()) == mark.colour.lower()
        )
        assert list(filled.get_xdata()) == [1, 2, 4, 8]
        assert list(filled.get_ydata()) == pytest.approx(list(mine["ttft_p95_ms"]))
    assert [tick.get_text() for tick in bottom.get_xticklabels()] == ["1", "2", "4", "8"]
    assert (top.get_ylabel(), bottom.get_ylabel()) == ("system tok/s", "TTFT (ms)")
    assert "simulator ×20" in words(top)
    assert "n = 100 a point" in words(top)


@pytest.mark.slow
def test_the_knee_is_ringed_where_the_sweep_has_it(sweep: Callable[..., Sweep]) -> None:
    """At its concurrency and throughput."""
    run = sweep()
    top, _ = charts.concurrency(run)
    rings = [line for line in top.lines if line.get_markersize() > 10]
    assert [list(ring.get_xdata()) for ring in rings] == [[2], [2]]
    row = run.table().query("model == 'simulator:fast' and concurrency == 2").iloc[0]
    assert list(rings[0].get_ydata()) == pytest.approx([row["system_tokens_per_s"]])
    assert "knee at 2" in words(top)


@pytest.mark.slow
def test_a_sweep_with_few_requests_says_so(sweep: Callable[..., Sweep]) -> None:
    """p95 is dashed, p50 has its bars."""
    _, bottom = charts.concurrency(sweep(8, loads=(1, 2)))
    assert "Dashed: no interval at this size (72 needed)" in words(bottom)
    assert [len(each[0].get_xdata()) for each in bottom.containers] == [2, 2]
    assert "fast p50" in words(bottom)


@pytest.mark.slow
def test_a_load_without_a_throughput_is_named(sweep: Callable[..., Sweep]) -> None:
    """The first client had ended before the last one started."""
    run = sweep(80, loads=(1, 2))
    late = [
        msgspec.structs.replace(each, sent=(each.sent or 0) + 10**12 * each.stream) for each in run.results[1].records
    ]
    run.results[1].records = tuple(late)
    _, bottom = charts.concurrency(run)
    assert "fast at 2: no throughput, its clients never all ran at once." in words(bottom)


# Marks


@pytest.mark.slow
def test_a_model_has_one_colour_on_every_chart_of_its_run(three: Make, sweep: Callable[..., Sweep]) -> None:
    """And in a sweep of the same models; marker and line differ with it."""
    result, run = three(), sweep()
    ax = charts.distribution(result)
    found = marks.marks(result.models, ax)
    assert marks.marks(tuple(reversed(result.models)), ax) == found
    for attribute in ("colour", "marker", "sign", "line"):
        assert len({getattr(mark, attribute) for mark in found.values()}) == 3
    for chart in SINGLE:
        drawn = chart(result)
        colours = {to_hex(line.get_color()) for line in drawn.lines} | {
            to_hex(each) for collection in drawn.collections for each in collection.get_facecolor()
        }
        assert found["simulator:cheap"].colour.lower() in colours | {
            to_hex(line.get_markerfacecolor()) for line in drawn.lines
        }
    two = marks.marks(run.models, ax)
    drawn = {to_hex(line.get_color()) for panel in charts.concurrency(run) for line in panel.lines}
    assert {mark.colour.lower() for mark in two.values()} <= drawn
    assert two == marks.marks(run.models[::-1], ax)


@pytest.mark.parametrize("ground", ["#FFFFFF", "#000000", "#111111", "#EAEAF2", "#FDF6E3", "#282A36"])
def test_words_can_be_read_on_every_background(ground: str) -> None:
    """WCAG's 4.5 for text; marks have what their own colour gives."""
    palette = marks.ON_DARK if marks.is_dark(ground) else marks.ON_LIGHT
    for colour in palette:
        assert marks.contrast(marks.readable(colour, ground), ground) >= 4.5
    ax = canvas.add(canvas.figure())
    ax.set_facecolor(ground)
    assert marks.contrast(marks.ink(ax), ground) >= 7
    assert marks.contrast(marks.faint(ax), ground) >= 4.5


# How they are shown


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "dark_background", "transparent"])
def test_a_saved_chart_is_opaque_and_follows_the_style(name: str, three: Make) -> None:
    """It must be readable on GitHub's light page and on its dark one."""
    transparent = {"figure.facecolor": "none", "axes.facecolor": "none", "savefig.transparent": True}
    with style.context(transparent if name == "transparent" else name):
        bundle, _ = charts.distribution(three())._repr_mimebundle_()  # type: ignore[attr-defined]
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).convert("RGBA")
    assert image.getextrema()[3] == (255, 255)
    assert image.getpixel((1, 1)) == ((0, 0, 0, 255) if name == "dark_background" else (255, 255, 255, 255))


@pytest.mark.slow
def test_charts_leave_no_figure_behind() -> None:
    """No pyplot, so no registry; and no matplotlib before a chart is asked for."""
    code = """
import sys
import holystream_nb.measuring.result, holystream_nb.measuring.sweep
assert "matplotlib" not in sys.modules
from holystream_nb.measuring import charts
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_words_of_a_chart_run_on_where_its_note_is_wrapped() -> None:
    """No sign stands inside a sentence."""
    ax = canvas.prepared(None)
    canvas.frame(ax, title="A title", under="", x="x", y="y")
    sentence = "Hollow: another is cheaper and better. " * 6
    canvas.note(ax, [sentence])
    assert sentence.strip() in canvas.says(ax)


@pytest.mark.slow
def test_a_notebook_shows_a_chart_once(three: Make, tmp_path: Path) -> None:
    """As the cell's result, whether or not pyplot is there too; with its words as text and alternative text."""
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from matplotlib.figure import Figure
from holystream_nb.measuring.charts import canvas
def chart():
    ax = canvas.prepared(None)
    canvas.frame(ax, title="A title", under="simulator ×20", x="TTFT (ms)", y="share of requests (%)")
    return ax
"""
    cells = [code, "chart()", "import matplotlib.pyplot as plt\nchart()", "canvas.Panels([chart()])", "chart();"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    images = [[out for out in cell.outputs if "image/png" in out.get("data", {})] for cell in notebook.cells]
    assert [len(each) for each in images] == [0, 1, 1, 1, 0]
    for [output] in images[1:4]:
        assert output["output_type"] == "execute_result"
        assert output["data"]["text/plain"].startswith("A title\nshare of requests (%) against TTFT (ms)")
        assert output["metadata"]["image/png"]["alt"] == output["data"]["text/plain"]


@pytest.mark.slow
def test_a_chart_draws_on_the_axes_it_is_given(three: Make) -> None:
    """And returns them."""
    for chart in SINGLE:
        mine = Figure().add_subplot()
        assert chart(three(10), ax=mine) is mine  # type: ignore[call-arg]
        assert mine.get_title(loc="left")


@pytest.mark.slow
def test_labels_do_not_cover_one_another(three: Make) -> None:
    """Nor leave their Axes, on single charts and on the sheet."""
    result = three()
    for ax in [*(chart(result) for chart in SINGLE), *charts.sheet(result)]:
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in ax.texts if text.get_path_effects()]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        room = ax.get_window_extent().padded(2)
        assert all(room.x0 <= box.x0 and box.x1 <= room.x1 and box.y0 >= room.y0 for box in boxes)


@pytest.mark.slow
def test_the_sheet_has_the_best_four(three: Make, trial: Callable[..., Trial], result: Make) -> None:
    """What there is to choose between models; for one model, how it went."""
    titles = [ax.get_title(loc="left") for ax in three().plot()]
    assert titles == ["TTFT distribution", "TTFT against cost", "Speed against cost", "Token timeline"]
    single = result(*(trial(repeat=repeat) for repeat in range(10)))
    titles = [ax.get_title(loc="left") for ax in single.plot()]
    assert titles == ["TTFT distribution", "TTFT over the run", "Decode tok/s distribution", "Token timeline"]


@pytest.mark.slow
def test_the_sheet_says_how_the_run_was(three: Make) -> None:
    """Once, above all four, and the simulator on each."""
    axes = charts.sheet(three())
    heading = axes.figure.get_suptitle()
    assert "3 models, 80 requests each" in heading
    assert "simulator ×20 · 1 at once · timing error of TTFT 1.50* ms (p95, * no interval)" in heading
    assert all("simulator ×20" in words(ax) for ax in axes)


def test_ticks_are_plain_figures(three: Make) -> None:
    """No powers of ten, and a true minus."""
    assert scales.figure_text(-1500.0) == "−1,500"
    assert scales.figure_text(0.005) == "0.005"
    ax = charts.differences(three())
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    assert not any("$" in label.get_text() for label in ax.get_xticklabels())


@pytest.mark.slow
def test_no_style_is_changed(three: Make) -> None:
    """matplotlib's settings stay the user's."""
    before = dict(matplotlib.rcParams)
    charts.sheet(three(10))
    assert dict(matplotlib.rcParams) == before


def test_a_distribution_is_of_the_requests_that_percentiles_are_of(trial: Callable[..., Trial], result: Make) -> None:
    """Two users whose first two requests waited: the curve begins where the table's does, and says of what it is."""
    rows = [
        trial("x:a", repeat=i, stream=i % 2, sent=1000 * (i // 2), ttft=900 if i < 2 else 100 + i, gaps=(20,))
        for i in range(80)
    ]
    made = result(*rows, concurrency=2)
    (curve, *_) = charts.distribution(made).get_lines()
    assert max(curve.get_xdata()) < 900
    assert canvas.steady_part(made) == "Of the steady part: 78 of 80 requests."
    over = charts.over_run(made)
    assert [len(each.get_offsets()) for each in over.collections[:2]] == [78, 2]
