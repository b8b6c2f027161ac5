"""SSE against WebSocket: arms, their names, their figures, their charts; from trials made by hand."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from matplotlib.axes import Axes

from holystream_nb.errors import SetupError
from holystream_nb.measuring import charts
from holystream_nb.measuring.charts import canvas
from holystream_nb.measuring.figures.sweep import Sweep
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running.estimate import estimate
from holystream_nb.measuring.running.progress import rows
from holystream_nb.measuring.running.tally import Tally
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Calibration, Trial, decode, encoder

Make = Callable[..., Trial]
Results = Callable[..., Result]

BOTH = ("sse", "ws")


@pytest.fixture
def both(trial: Make, result: Results) -> Results:
    """n requests over each transport for each model; WebSocket's TTFT is 40 ms shorter, one in ten of them fails."""

    def make(n: int = 80, models: tuple[str, ...] = ("simulator:deepseek-v3.2",), **plan: Any) -> Result:
        chance = Random(5)
        trials = [
            trial(
                model,
                way=way,
                repeat=repeat,
                sent=1000 * repeat,
                ttft=300 * chance.lognormvariate(0, 0.05) - (40 if way == "ws" else 0),
                gaps=(20.0,) * 10,
                error="StreamInterrupted" if way == "ws" and repeat % 10 == 9 else "",
            )
            for model in models
            for way in BOTH
            for repeat in range(n)
        ]
        return result(*trials, **{"repeats": n, "transport": BOTH, "simulator": "simulator ×20", **plan})

    return make


@pytest.mark.slow
def test_a_result_has_a_row_for_each_model_and_transport(both: Results) -> None:
    """In the plan's order, in `summary()`, `trials` and `gaps`; where there is one transport the model is its name."""
    found = both(models=("simulator:a", "simulator:b"))
    assert list(found.summary().index) == [
        "simulator:a · sse",
        "simulator:a · ws",
        "simulator:b · sse",
        "simulator:b · ws",
    ]
    assert set(found.rows("simulator:a · ws").transport) == {"ws"}
    assert set(found.gaps.transport) == {"sse", "ws"}
    assert len(found.of("simulator:b · sse")) == 80
    assert found.summary().errors.tolist() == [0, 8, 0, 8]
    assert found.label("simulator:b · sse") == "b · sse"
    assert "| a · sse | a · ws | b · sse | b · ws |" in found.to_markdown()
    assert repr(found).split("\n")[0].split("  ")[-1].strip() == "b · ws"


def test_a_row_answers_to_every_name_one_would_try(both: Results) -> None:
    """Its label, with or without provider or dot; with one model the transport is enough."""
    one = both()
    for name in ("simulator:deepseek-v3.2 · ws", "deepseek-v3.2 · ws", "deepseek-v3.2 ws", "ws"):
        assert one.arm(name) == "simulator:deepseek-v3.2 · ws"
    with pytest.raises(SetupError, match=r"'deepseek-v3\.2' is several of .*: simulator:deepseek-v3\.2 · sse, "):
        one.arm("deepseek-v3.2")
    only = r"'ws' is several of what was compared here: simulator:a · ws, simulator:b · ws\.$"
    with pytest.raises(SetupError, match=only):
        both(models=("simulator:a", "simulator:b")).arm("ws")
    with pytest.raises(SetupError, match="'http' is none"):
        one.arm("http")


def test_transports_are_compared_in_pairs(both: Results) -> None:
    """The sentence says which was sooner, by how much, and whether that is more than noise; lost pairs are counted."""
    found = both().compare("sse", "ws")
    assert (found.pairs, found.lost) == (72, 8)
    assert found.is_more_than_noise
    assert found.difference.value == pytest.approx(-40, abs=8)
    assert "deepseek-v3.2 · ws's TTFT is " in str(found)
    assert "shorter than deepseek-v3.2 · sse's (median of 72 pairs" in str(found)
    assert both().compare("ws", "sse").difference.value == -found.difference.value


def test_the_table_of_003_has_its_figures_with_intervals(both: Results) -> None:
    """Mean and p95 TTFT, whole answer, error rate; below 368 requests a mean has a star, an error rate is."""
    row = both(420).summary().loc["simulator:deepseek-v3.2 · ws"]
    assert row.ttft_mean_ms_low < 260 < row.ttft_mean_ms_high
    assert row.error_rate == 10
    assert row.ttft_p95_ms_low < row.ttft_p95_ms < row.ttft_p95_ms_high
    assert row.e2e_mean_s == pytest.approx(row.ttft_mean_ms / 1e3 + 0.2)
    few = both(20).cells["simulator:deepseek-v3.2 · ws"]
    assert (str(few["ttft_mean_ms"]), few["ttft_mean_ms"].needed) == ("259*", 368)
    assert str(few["error_rate"]).startswith("10.0 (1.23 to ")


def test_an_answer_over_another_transport_is_a_warning(trial: Make, result: Results) -> None:
    """A row says what was asked for: where the service opened no socket, that is said; `auto` may do as it likes."""
    fallen = [trial(repeat=i, way="ws", transport_used="sse") for i in range(3)]
    found = result(*fallen, trial(repeat=3, way="ws"), transport="ws", repeats=4)
    assert found.trials.transport_used.tolist() == ["sse", "sse", "sse", "ws"]
    assert any("WARNING: 3 requests asked for over ws came over sse" in note for note in found.notes)
    free = result(trial(way="auto", transport_used="sse"), transport="auto")
    assert not any("WARNING" in note for note in free.notes)


def test_a_trial_of_an_old_file_came_over_sse() -> None:
    """Lines written before there were transports load; a trial over SSE writes none."""
    line = b'{"kind":"trial","model":"simulator:a","prompt":0,"repeat":3}'
    old = decode(line)
    assert isinstance(old, Trial)
    assert (old.way, old.transport_used) == ("sse", "")
    assert b"transport" not in encoder.encode(old)
    ws = Trial(model="simulator:a", prompt=0, repeat=3, way="ws")
    assert decode(encoder.encode(ws)) == ws


def test_progress_has_a_row_for_each_transport(trial: Make) -> None:
    """And the estimate counts a warm-up for each."""
    plan = Plan(models=("simulator:a",), prompts=("Hello",), repeats=4, transport=BOTH)
    tally = Tally(plan)
    tally.add(trial(way="ws", ttft=100, gaps=(20, 20)))
    assert rows(tally) == [
        ["simulator:a · sse", "0 of 4", "0", "–", "–"],
        ["simulator:a · ws", "1 of 4", "0", "100", "50.0"],
    ]
    expected = estimate(plan, 1)
    assert (expected.requests, expected.warmups) == (8, 2)


def test_what_is_unusual_about_the_connections_stands_on_the_chart(both: Results, trial: Make, result: Results) -> None:
    """One transport that is not SSE, and a connection for each request; two transports have labels instead."""
    assert "over" not in canvas.context(both())
    assert "a new connection for each request" in canvas.context(both(reuse=False))
    only = result(trial(way="ws"), transport="ws")
    assert "1 at once · over ws ·" in canvas.context(only)
    assert "over ws" in only.to_markdown()
    assert list(only.summary().index) == ["simulator:a"]


def said(ax: Axes) -> str:
    return "\n".join([canvas.says(ax), *(label.get_text() for label in ax.get_yticklabels())])


@pytest.mark.slow
@pytest.mark.parametrize(
    "chart",
    [charts.distribution, charts.timeline, charts.over_run, charts.ttft_against_cost, charts.speed_against_cost],
)
def test_charts_have_both_transports(chart: Callable[..., Axes], both: Results) -> None:
    """Each with its own label and mark."""
    text = said(chart(both()))
    assert "deepseek-v3.2 · sse" in text
    assert "deepseek-v3.2 · ws" in text


def test_a_chart_of_differences_takes_a_transport_as_its_baseline(both: Results) -> None:
    """The other transport is its one row."""
    text = said(charts.differences(both(), "ws"))
    assert "TTFT − deepseek-v3.2 · ws's (ms)" in text
    assert "deepseek-v3.2 · sse\nn = 72 pairs, 8 lost" in text


@pytest.mark.slow
def test_the_sheet_counts_models_and_transports(both: Results) -> None:
    """Its heading says what was compared."""
    heading = both().plot().figure.get_suptitle()
    assert heading.startswith("1 model over 2 transports, 80 requests each")


def test_the_timing_error_is_said_for_each_transport(both: Results) -> None:
    """A stopwatch that is later over one of them would make a difference of its own."""
    error = (0.5, 1.5, 2.0)
    each = {"sse": (0.4, 1.0, 2.0), "ws": (0.6, 1.6, 2.0)}
    calibration = Calibration(
        concurrency=1,
        workers=1,
        requests=9,
        tokens_per_s=50,
        ttft_ms=error,
        e2e_ms=error,
        gap_ms=None,
        ttft_ms_by_transport=each,
    )
    assert any(
        "TTFT over sse 0.400* / 1.00* / 2.00*, over ws 0.600* / 1.60* / 2.00* ms" in note
        for note in both(calibration=calibration).notes
    )


def test_a_sweep_keeps_transports_apart(both: Results, result: Results) -> None:
    """A run for each; the table has a column, the chart a line and a label, and the names are those of a bench."""
    runs = []
    for way in BOTH:
        arm = f"simulator:deepseek-v3.2 · {way}"
        for load in (1, 2):
            runs.append(result(*both().of(arm), repeats=80, transport=way, concurrency=load))
    made = Sweep(tuple(runs), both().path)
    assert made.arms == ("simulator:deepseek-v3.2 · sse", "simulator:deepseek-v3.2 · ws")
    assert made.models == ("simulator:deepseek-v3.2",)
    assert [each.plan.transport for each in made.of("deepseek-v3.2 · ws")] == ["ws", "ws"]
    assert made.table()["transport"].tolist() == ["sse", "sse", "ws", "ws"]
    assert "deepseek-v3.2 · ws p95" in said(charts.concurrency(made)[1])
