"""What is computed of a run: failures' time, limits from the schedule, the steady part, bursts, groups, numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest
from raw_service import Asked, Writer, serving

import holystream_nb as hs
from holystream_nb.measuring.figures import summary
from holystream_nb.measuring.figures.notes import notes
from holystream_nb.measuring.figures.summary import WORDS
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Calibration, Trial
from holystream_nb.measuring.values.service import service_figures
from holystream_nb.providers.table import providers

MS = 1_000_000
Make = Callable[..., Trial]
Results = Callable[..., Result]


def said(result: Result, words: str) -> list[str]:
    return [note for note in result.notes if words in note]


# Time


def test_failures_take_their_time(trial: Make, result: Results) -> None:
    """3 good and 3 timed-out requests in 5.9 s were 54.6 good requests a second; they are 0.5."""
    good = [trial(repeat=i, sent=0, ttft=20, gaps=(15,), stream=i) for i in range(3)]
    failed = [trial(repeat=3 + i, sent=0, error="TimedOut", end=5900 * MS, stream=3 + i) for i in range(3)]
    found = result(*good, *failed, concurrency=6, limits={"ttft_ms": 100.0})
    whole = found.throughput()
    assert whole["goodput_per_s"] == pytest.approx(3 / 5.9)
    assert whole["requests_per_s"] == pytest.approx(3 / 5.9)
    assert whole["duration_s"] == pytest.approx(5.9)
    assert whole["in_flight"] == pytest.approx((3 * 0.035 + 3 * 5.9) / 5.9)
    assert found.trials.end_s.tolist() == pytest.approx([0.035] * 3 + [5.9] * 3)
    assert found.summary().goodput_per_s.tolist() == pytest.approx([3 / 5.9])


def test_both_throughputs_are_named(trial: Make, result: Results) -> None:
    """All tokens / the duration, as most tools have it; and those of the window in which all clients ran."""
    first = trial(stream=0, repeat=0, sent=0, ttft=100, gaps=(100,) * 9, output_tokens=20)
    second = trial(stream=1, repeat=1, sent=200, ttft=100, gaps=(100,) * 9)
    found = result(first, second, concurrency=2)
    assert found.throughput()["output_tokens_per_s"] == pytest.approx(30 / 1.2)
    assert found.throughput()["system_tokens_per_s"] == pytest.approx((9 * 2 + 8) / 0.8)
    assert found.throughput()["input_tokens_per_s"] == pytest.approx(20 / 1.2)
    assert "output tok/s · system tok/s" in str(found)


# Limits


def test_a_model_of_a_mixed_run_has_only_its_share_of_good_requests(trial: Make, result: Results) -> None:
    """Its number a second would be the other's speed: two models 20 times apart both got 3.76."""
    trials = [trial(m, repeat=i, ttft=t) for i in range(8) for m, t in (("x:a", 100), ("x:b", 100 + 50 * i))]
    found = result(*trials, limits={"ttft_ms": 150.0})
    table = found.summary()
    assert table.good_share.tolist() == [100, 25]
    assert (table.good_share_low < table.good_share).tolist() == [True, True]
    assert table.goodput_per_s.isna().all()
    assert table.requests_per_s.isna().all()
    assert found.throughput()["goodput_per_s"] is not None
    assert said(found, "only the share is stated")
    assert result(*trials).summary().good_share.isna().all()


def test_an_open_loop_is_judged_from_the_scheduled_start(trial: Make, result: Results) -> None:
    """Each was answered 100 ms after it was sent; but half were sent a second late, and their users waited."""
    trials = [
        trial(repeat=i, sent=1000 * i + late, scheduled=1000 * i * MS, ttft=100, gaps=(50,))
        for i, late in enumerate([0, 1000] * 10)
    ]
    for limits in ({"ttft_ms": 150.0}, {"e2e_s": 0.2}):
        found = result(*trials, rate=1.0, concurrency=None, limits=limits)
        assert found.summary().good_share.tolist() == [50]
        assert found.trials.meets_limits.sum() == 10
    row = found.summary().iloc[0]
    assert (row.ttft_p50_ms, row.ttft_scheduled_p50_ms, row.ttft_scheduled_p95_ms) == (100, 600, 1100)
    assert (row.e2e_scheduled_p50_s, row.lag_p50_ms, row.lag_p95_ms) == (pytest.approx(0.65), 500, 1000)
    assert said(found, "judged from the scheduled start")
    assert "lag p50 · p95 (ms)" in str(found)


def test_the_table_says_whose_the_rate_is(trial: Make, result: Results) -> None:
    """Of each row; in files of the first version it was of all rows together."""
    asked = [trial(m, scheduled=0) for m in ("x:a", "x:b")]
    found = result(*asked, rate=4.0, concurrency=None, arrivals="poisson")
    assert "4 requests/s each" in found.to_markdown()
    assert not said(found, "of all rows together")
    old = result(*asked, rate=4.0, concurrency=None)
    assert "4 requests/s together" in old.to_markdown()
    assert said(old, "The rate of 4 requests/s is of all rows together; each got 2.00.")


# The steady part


def loop(trial: Make, users: int, each: int, *, start_ms: float = 900) -> list[Trial]:
    """A closed loop whose first requests wait longer, because all come at once."""
    trials = []
    for user in range(users):
        at = 10.0 * user
        for number in range(each):
            ttft = start_ms if number == 0 else 100.0 + user
            trials.append(trial(stream=user, repeat=len(trials), sent=at, ttft=ttft, gaps=(50,)))
            at += ttft + 50
    return trials


def test_percentiles_are_of_the_steady_part(trial: Make, result: Results) -> None:
    """The burst in which all users begin is kept, and in no percentile; the window is stated."""
    trials = loop(trial, users=4, each=20)
    found = result(*trials, concurrency=4)
    row = found.summary().iloc[0]
    assert (row.n, row.ttft_max_ms) == (80, 103)
    assert found.trials.ttft_ms.max() == 900
    part = found.steady
    assert part.is_used
    # from the fourth user's first answer (30 + 950 ms) to the first one's last (950 + 19 · 150)
    assert part.windows == {0: (980 * MS, 3800 * MS)}
    assert part.requests == found.trials.steady.sum() == found.cells["simulator:a"]["ttft_p50_ms"].n
    assert said(found, f"the steady part (2.82 s, {part.requests} of 80 requests)")


def test_a_short_steady_part_does_not_stand_for_the_run(trial: Make, result: Results) -> None:
    """Below 20 requests of some row percentiles are of all, and that is said."""
    found = result(*loop(trial, users=4, each=4), concurrency=4)
    assert not found.steady.is_used
    assert found.summary().iloc[0].ttft_max_ms == 900
    assert said(found, "of all requests, the burst of the start too: the steady part holds fewer than 20")


def test_one_user_and_an_open_loop_are_steady(trial: Make, result: Results) -> None:
    """Nobody begins together with anybody."""
    alone = result(*loop(trial, users=1, each=30), concurrency=1)
    assert alone.summary().iloc[0].ttft_max_ms == 900
    assert alone.trials.steady.all()
    assert not said(alone, "steady part")


# Bursts and groups


def test_answers_in_bursts_are_marked_and_warned_of(trial: Make, result: Results) -> None:
    """Behind a proxy that buffers: the figures it spoils have a mark, the note says by how much, what mends it."""
    held = [trial("x:a", repeat=i, ttft=400, gaps=(140,) * 5, events=[14] * 6) for i in range(8)]
    free = [trial("x:b", repeat=i, ttft=265, gaps=(10,) * 80) for i in range(8)]
    found = result(*held, *free)
    table = found.summary()
    assert table.bursts.tolist() == [100, 0]
    assert table.events_per_read.tolist() == [14, 1]
    assert found.trials.burst.dropna().unique().tolist() == [14]
    (note,) = said(found, "bursts")
    assert note.startswith(
        "WARNING: 8 of 8 answers of a came in bursts of about 14 events (†): TTFT is too long (by about its gap, 140 ms"
    )
    assert "proxy_buffering off" in note
    shown = next(line for line in str(found).splitlines() if line.startswith("TTFT p50"))
    assert shown.split() == ["TTFT", "p50", "(ms)", "400", "(400", "to", "400)†", "265", "(265", "to", "265)"]
    assert "† came in bursts" in str(found)
    assert "†" not in str(result(*free))


def test_bursts_of_a_machine_that_is_late_itself_are_not_laid_to_a_proxy_alone(trial: Make, result: Results) -> None:
    """Requests went out 511 ms late, the timing error was 602 ms, and nginx was named."""
    late = {"gaps": (140,) * 5, "events": [14] * 6}
    opened: dict[str, Any] = {"concurrency": None, "rate": 10.0, "arrivals": "poisson"}
    busy = "This machine is too busy for this load, or a proxy may be buffering"
    for lag, count in ((5, 0), (511, 1)):
        held = [trial(repeat=i, sent=1000, scheduled=(1000 - lag) * 1_000_000, **late) for i in range(8)]
        assert len(said(result(*held, **opened), busy)) == count
    for error, count in ((5.0, 0), (602.0, 1)):
        three = (error, error, error)
        noise = Calibration(
            concurrency=1, workers=1, requests=8, tokens_per_s=50, ttft_ms=three, e2e_ms=three, gap_ms=three
        )
        held = [trial(repeat=i, **late) for i in range(8)]
        assert len(said(result(*held, calibration=noise), busy)) == count


def test_a_service_that_groups_tokens_is_said_to(trial: Make, result: Results) -> None:
    """Gaps are then between groups, and the first read's tokens are estimated."""
    grouped = [trial(repeat=i, gaps=(50,) * 9, output_tokens=100, visible_tokens=100) for i in range(6)]
    found = result(*grouped)
    assert found.summary().tokens_per_event.tolist() == [10]
    assert said(found, "a sends about 10.0 tokens an event")
    assert "tokens per event" in str(found)
    assert not said(result(trial()), "tokens an event")


# The service's own figures


@pytest.mark.parametrize(
    ("words", "figures"),
    [
        (
            {"prompt_n": 9, "prompt_ms": 50.0, "predicted_n": 20, "predicted_ms": 400.0, "predicted_per_second": 50.0},
            {"prompt_ms": 50, "ttft_ms": 50, "decode_ms": 400, "decode_tokens_per_s": 50},
        ),
        (
            {
                "id": "r",
                "usage": {"queue_time": 0.1, "prompt_time": 0, "completion_time": 0.5, "completion_tokens": 50},
            },
            {"queue_ms": 100, "prompt_ms": 0, "ttft_ms": 100, "decode_ms": 500, "decode_tokens_per_s": 100},
        ),
        ({"queue_time": 0.001, "prompt_time": 0.002}, {"queue_ms": 1, "prompt_ms": 2, "ttft_ms": 3}),
        ({"prompt_ms": "fast", "predicted_ms": -1, "queue_time": float("nan"), "prompt_time": True}, {}),
        ({"usage": 3}, {}),
    ],
    ids=["llama.cpp", "Groq", "Cerebras", "nonsense", "no counts"],
)
def test_a_service_says_its_own_times(words: dict[str, object], figures: dict[str, float]) -> None:
    """In ms and tokens a second, by one name each; what is no time is left out."""
    assert service_figures(words) == pytest.approx(figures)


async def test_what_the_engine_says_stands_beside_what_was_measured(tmp_path: Path) -> None:
    """From the wire into the file, the trials and the summary."""

    async def answer(_: Asked, writer: Writer) -> None:
        await writer.head()
        for word in ("a", "b"):
            await writer.event(json.dumps({"choices": [{"index": 0, "delta": {"content": word}}]}))
            await asyncio.sleep(0.01)
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        timings = {"prompt_ms": 12.5, "predicted_ms": 40.0, "predicted_per_second": 50.0}
        await writer.event(json.dumps({**last, "timings": timings}))
        await writer.event("[DONE]")

    async with serving(answer) as service:
        found = await hs.bench(
            "m", "Hello", base_url=service.url, repeats=2, calibrate=False, path=tmp_path / "run.jsonl"
        )
    again = hs.load(found.path)
    assert isinstance(again, Result)
    assert again.trials.service_ttft_ms.tolist() == [12.5, 12.5]
    assert again.trials.service_decode_tokens_per_s.tolist() == [50, 50]
    assert again.summary().service_decode_tokens_per_s.tolist() == [50]
    assert "TTFT p50 by the service's clock (ms)" in str(again)


# Tables


def test_the_summary_is_numbers(trial: Make, result: Results, tmp_path: Path) -> None:
    """It sorts, casts and exports; an interval is two columns beside its figure, NaN where there is none."""
    trials = [
        trial(m, repeat=i, ttft=t + i, usd=Decimal(1) / 7) for i in range(8) for m, t in (("x:a", 500), ("x:b", 99))
    ]
    table = result(*trials).summary()
    assert list(table.sort_values("ttft_p50_ms").index) == ["x:b", "x:a"]
    figures = table.select_dtypes("number").astype(float)
    assert {*table.columns} - {*figures.columns} == {"ended", "price_source", "price_as_of"}
    assert {*WORDS} <= {*table.columns}
    row = table.loc["x:a"]
    assert row.ttft_p50_ms_low < row.ttft_p50_ms < row.ttft_p50_ms_high
    assert np.isnan(row.ttft_p95_ms_low)
    assert row.usd_per_request == pytest.approx(1 / 7)
    table.to_csv(tmp_path / "table.csv")
    assert "0.142857142857142" in (tmp_path / "table.csv").read_text()


def test_the_summary_has_the_rows_of_its_peers(trial: Make, result: Results) -> None:
    """min, max, sd, E2E and TPOT percentiles, tokens in, requests at once."""
    trials = [trial(repeat=i, sent=1000 * i, ttft=100 * (i + 1), gaps=(100,)) for i in range(3)]
    row = result(*trials).summary().iloc[0]
    assert (row.ttft_min_ms, row.ttft_max_ms, row.ttft_sd_ms) == (100, 300, pytest.approx(100))
    assert (row.e2e_min_s, row.e2e_max_s, row.e2e_sd_s) == (0.2, 0.4, pytest.approx(0.1))
    assert (row.e2e_p95_s, row.e2e_p99_s) == (pytest.approx(0.39), pytest.approx(0.398))
    assert (row.tpot_p95_ms, row.gap_p95_ms, row.input_tokens) == (100, 100, 10)
    assert row.duration_s == pytest.approx(2.4)
    assert row.in_flight == pytest.approx(0.9 / 2.4)
    assert row.requests_per_s == pytest.approx(3 / 2.4)


def test_lag_and_queue_are_rows(trial: Make, result: Results) -> None:
    """submitted − scheduled and permit − submitted of each request; neither is in TTFT."""
    rows = [
        trial(repeat=i, scheduled=1000 * i * MS, submitted=(1000 * i + lag) * MS, permit=(1000 * i + lag + queue) * MS,
              sent=1000 * i + lag + queue, ttft=20)
        for i, (lag, queue) in enumerate([(1, 300), (2, 100), (3, 200)])
    ]  # fmt: skip
    row = result(*rows, rate=1.0, concurrency=None).summary().iloc[0]
    assert (row.lag_p50_ms, row.lag_p95_ms) == (2, pytest.approx(2.9))
    assert (row.queue_p50_ms, row.queue_p95_ms) == (200, pytest.approx(290))
    assert row.ttft_max_ms == 20


def test_a_changed_summary_is_the_callers_own(trial: Make, result: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made once, whatever asks for it, and handed out as a copy."""
    cells, frame = Mock(wraps=summary.cells), Mock(wraps=summary.frame)
    monkeypatch.setattr(summary, "cells", cells)
    monkeypatch.setattr(summary, "frame", frame)
    found = result(trial())
    changed = found.summary()
    changed["n"] = 99
    assert found.summary().n.tolist() == [1]
    assert "TTFT" in str(found)
    assert "TTFT" in found._repr_markdown_()
    assert (cells.call_count, frame.call_count) == (1, 1)


def test_a_result_shows_itself_as_one_text(trial: Make, result: Results) -> None:
    """In a notebook, in a terminal and in a file: the same rows, the verdict, the stars explained once, no long number.

    It fits a screen of 40 lines, and what no row has is left out.
    """
    trials = [
        trial(m, repeat=i, ttft=t + i, usd=Decimal(2) / 7) for i in range(10) for m, t in (("x:a", 500), ("x:b", 99))
    ]
    found = result(*trials)
    plain, rich = repr(found), found.to_markdown()
    assert found._repr_markdown_() == rich
    assert str(found) == plain
    for shown in (plain, rich):
        assert "b's TTFT is 401 ms shorter than a's (median of 10 pairs" in shown
        assert shown.count("no interval at this size") == 1
        assert "285714285" not in shown
        assert "…" not in shown
        assert "cached" not in shown
        assert len(shown.splitlines()) <= 40
    rows = [line.split("  ")[0] for line in plain.splitlines() if "  " in line]
    assert all(f"| {words} |" in rich for words in rows if words)
    assert [note for note in notes(found) if f"- {note}" not in plain] == []


def test_a_timing_error_is_held_against_a_figure_that_is_shown(trial: Make, result: Results) -> None:
    """The least p50 of the table, not one of another sample that is on no screen."""
    error = Calibration(
        concurrency=1,
        workers=1,
        requests=20,
        tokens_per_s=50,
        ttft_ms=(9.0, 9.0, 9.0),
        e2e_ms=(9.0, 9.0, 9.0),
        gap_ms=(9.0, 9.0, 9.0),
    )
    fast = [trial("x:a", repeat=i, ttft=30 + i, gaps=(1, 5, 5, 5)) for i in range(9)]
    slow = [trial("x:b", repeat=i, ttft=90 + i, gaps=(70, 80, 90)) for i in range(9)]
    found = result(*fast, *slow, calibration=error)
    warned = [note for note in found.notes if "is not small against its p50" in note]
    assert ["(34.0 ms)" in warned[0], "(5.00 ms)" in warned[1]] == [True, True]
    rows = repr(found).splitlines()
    assert any(row.startswith("TTFT p50") and "34.0 (" in row for row in rows)
    assert any(row.startswith("gap p50") and "5.00 (" in row for row in rows)


@pytest.mark.parametrize("count", [367, 368])
def test_an_interval_of_a_mean_says_what_it_cannot_know(trial: Make, result: Results, count: int) -> None:
    """As soon as there is one."""
    found = result(*(trial(repeat=i, ttft=100 + i % 7) for i in range(count)))
    assert found.cells["simulator:a"]["ttft_mean_ms"].has_interval == (count == 368)
    assert bool(said(found, "Intervals of means know of no stall")) == (count == 368)


@pytest.mark.parametrize(("requests", "level", "warned"), [(72, "p95", True), (71, "p50", False), (5, "", False)])
def test_a_starred_timing_error_gives_no_verdict(
    trial: Make, result: Results, requests: int, level: str, warned: bool
) -> None:
    """p95 of 71 has no interval: p50 is what is held against TTFT, and of five requests nothing is."""
    error = Calibration(
        concurrency=1,
        workers=1,
        requests=requests,
        tokens_per_s=50,
        ttft_ms=(1.0, 99.0, 99.0),
        e2e_ms=(1.0, 99.0, 99.0),
        gap_ms=None,
    )
    notes = [note for note in result(trial(), calibration=error).notes if "is not small" in note]
    assert bool(notes) == warned
    assert all(f"at {level})" in note for note in notes)
    loud = msgspec.structs.replace(error, ttft_ms=(99.0, 99.0, 99.0))
    assert len([note for note in result(trial(), calibration=loud).notes if "is not small" in note]) == bool(level)


def test_the_text_cannot_steer_a_terminal(trial: Make, result: Results) -> None:
    """A model's name is a user's, an end is the service's own word."""
    assert "\x1b" not in repr(result(trial("x:\x1b[2J"), trial("x:b", ended="\x1b]0;\x07", finish_reason="odd")))


def test_the_rates_of_yuan_that_the_summary_names_are_those_of_the_providers() -> None:
    """Where both currencies are one number the reader must know why."""
    words = " ".join((Result.summary.__doc__ or "").split())
    known = providers()
    for said, name in (("{} at HolySheep", "holysheep"), ("{} elsewhere", "openai")):
        assert said.format(known[name].cny_per_usd) in words
    assert known["simulator"].cny_per_usd == known["holysheep"].cny_per_usd
