"""Every column to the nanosecond, from stamps made by hand; summary, throughput, notes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from holystream_nb.errors import SetupError
from holystream_nb.measuring.figures.trials import COLUMNS
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Calibration, End, Trial

MS = 1_000_000
Make = Callable[..., Trial]
Results = Callable[..., Result]


def test_columns_are_the_definitions(trial: Make, result: Results) -> None:
    """One request with every stamp: each figure is the one that `measuring.md` defines, in its unit."""
    one = trial(
        scheduled=70 * MS,
        submitted=80 * MS,
        permit=90 * MS,
        sent=100,
        ttft=300,
        gaps=(20, 60),
        events=[1, 2, 2],
        first_answer=420 * MS,
        output_tokens=9,
        visible_tokens=9,
        first_chunk_tokens=1,
        characters=38,
        bytes=1234,
        cached_tokens=3,
    )
    row = result(one, rate=1.0, concurrency=None).trials.iloc[0]
    assert (row.lag_ms, row.queue_ms, row.connect_ms) == (10, 10, 10)
    assert (row.ttft_ms, row.ttfa_ms, row.e2e_s, row.e2e_scheduled_s) == (300, 320, 0.38, 0.41)
    assert (row.tpot_ms, row.decode_tokens_per_s) == (10.0, 100.0)
    assert row.e2e_tokens_per_s == pytest.approx(9 / 0.38)
    assert row.characters_per_s == pytest.approx(100)
    assert (row.gap_p50_ms, row.gap_p99_ms, row.gap_max_ms) == (40, pytest.approx(59.6), 60)
    assert (row.at_s, row.scheduled_s) == (0, pytest.approx(-0.01))
    assert (row.bytes, row.cached_tokens, row.cost_usd) == (1234, 3, Decimal("0.001"))


def test_the_columns_are_the_documented_ones(trial: Make, result: Results) -> None:
    """`COLUMNS` is the table's header, also of a run without a single success."""
    assert list(result(trial()).trials.columns) == list(COLUMNS)
    failed = result(trial(error="RateLimited", status=429)).trials
    assert list(failed.columns) == list(COLUMNS)
    assert failed.ttft_ms.isna().all()
    assert failed.error.tolist() == ["RateLimited"]


def test_gaps_are_a_row_each(trial: Make, result: Results) -> None:
    """A gap has its place, its end since sent, and the events of the read that ended it; failures have none."""
    gaps = result(trial(events=[1, 4, 1]), trial(error="Stalled", repeat=1)).gaps
    assert gaps[["index", "at_s", "gap_ms", "events"]].to_numpy().tolist() == [[1, 0.32, 20, 4], [2, 0.38, 60, 1]]


def test_a_later_session_stands_later_on_the_axis(trial: Make, result: Results) -> None:
    """Stamps of a resumed run count from another origin; wall-clock anchors put them on one axis."""
    here = result(trial()).sessions[0]
    both = (here, msgspec.structs.replace(here, number=1, wall_ns=60_000 * MS))
    frame = result(trial(sent=100), trial(sent=50, repeat=1, session=1), sessions=both).trials
    assert frame.at_s.tolist() == [0, pytest.approx(59.95)]


def test_a_limit_is_kept_by_success_with_a_known_figure(trial: Make, result: Results) -> None:
    """Failures do not meet limits, nor does a request whose figure is unknown; without limits nobody is judged."""
    trials = [
        trial(repeat=0, ttft=300),
        trial(repeat=1, ttft=301),
        trial(repeat=2, error="Stalled"),
        trial(repeat=3, ttft=100, visible_tokens=None),
    ]
    judged = result(*trials, limits={"ttft_ms": 300.0, "tpot_ms": 50.0}).trials
    assert judged.sort_values("repeat").meets_limits.tolist() == [True, False, False, False]
    assert result(*trials).trials.meets_limits.tolist() == [None] * 4


def test_the_summary_counts_failures_apart(trial: Make, result: Results) -> None:
    """Percentiles are of the successes; adjusted, a failure is slower than all."""
    trials = [trial(repeat=i, ttft=100 + i) for i in range(8)]
    trials += [trial(repeat=8 + i, error="RateLimited", usd=None, output_tokens=None) for i in range(6)]
    found = result(*trials)
    plain, adjusted = found.summary().iloc[0], found.summary(adjusted=True).iloc[0]
    (cells,) = found.cells.values()
    assert (plain.n, plain.errors) == (14, 6)
    assert (plain.ttft_p50_ms, cells["ttft_p50_ms"].n) == (103.5, 8)
    assert (adjusted.ttft_p50_ms, adjusted.ttft_p50_ms_high) == (106.5, float("inf"))
    assert str(cells["ttft_p95_ms"]) == "107*"
    assert np.isnan(plain.ttft_p95_ms_high)
    assert cells["usd_per_request"] == Decimal("0.001")


def test_money_is_exact_and_unknown_is_not_0(trial: Make, result: Results) -> None:
    """Per request, per 1k requests and per 1M tokens, in decimals; a request without a price is left out."""
    priced = [trial(repeat=i, usd=Decimal("0.0001"), prompt_tokens=7, output_tokens=3) for i in range(3)]
    unpriced = trial(repeat=3, usd=None, price_note="unknown", price_source="nobody")
    (row,) = result(*priced, unpriced).cells.values()
    assert (row["usd_per_request"], row["usd_per_1k_requests"]) == (Decimal("0.0001"), Decimal("0.1"))
    assert row["usd_per_1m_tokens"] == Decimal(10)
    assert np.isnan(result(trial(usd=None)).summary().iloc[0].usd_per_request)
    assert any("unknown" in note for note in result(*priced, unpriced).notes)


def test_an_estimate_is_marked_where_it_stands(trial: Make, result: Results) -> None:
    """In its cell, of the arm that it is of."""
    trials = [trial(), trial("simulator:b", token_source="text", cost_exact=False)]
    table = result(*trials).to_markdown()
    assert "| input · output tokens per request | 10.0 · 3.00 | ≈10.0 · ≈3.00 |" in table
    assert "· output ≈" in table
    assert "≈" not in result(trial()).to_markdown()
    alone = result(*(trial(repeat=i, token_source="text") for i in range(2))).to_markdown()
    assert "| output tok/s · system tok/s | ≈" in alone
    assert "| USD per 1k requests | 1.00 | ≈1.00 |" in table
    assert r"| E2E p50 (s) | 0.380\* | 0.380\* |" in table


def test_a_table_is_in_yuan_where_the_reader_wants_it(
    trial: Make, result: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each seller's rate; the other currency is a column of the summary."""
    found = result(trial(usd=Decimal("0.001"), cny=Decimal("0.0073")))
    assert found.summary().iloc[0].cny_per_1k_requests == 7.3
    assert "| USD per 1k requests | 1.00 |" in found.to_markdown()
    assert "CNY" not in found.to_markdown()
    monkeypatch.setattr("holystream_nb.money.amount._chosen", "CNY")
    assert "| CNY per 1k requests | 7.30 |" in found.to_markdown()
    assert "USD" not in found.to_markdown()


def test_what_the_service_says_stands_beside_ours(trial: Make, result: Results) -> None:
    """Also where no list has a price; a cost that is only likely is marked."""
    trials = [
        trial(repeat=0, usd=None, price_note="unknown", stated_usd=Decimal("0.003")),
        trial(repeat=1, usd=Decimal("0.001"), stated_usd=Decimal("0.005")),
    ]
    found = result(*trials)
    (row,) = found.cells.values()
    assert (row["usd_per_request"], row["stated_usd_per_request"]) == (Decimal("0.001"), Decimal("0.004"))
    assert "| USD per request, as the service says | 0.00400 |" in found.to_markdown()
    assert found.trials.stated_cost_usd.tolist() == [Decimal("0.003"), Decimal("0.005")]
    assert [each.due_usd for each in trials] == [Decimal("0.003"), Decimal("0.005")]
    assert not any("costs are estimates" in note for note in found.notes)
    assert any("costs are estimates" in note for note in result(trial(cost_exact=False)).notes)


def test_goodput_is_good_requests_over_the_span(trial: Make, result: Results) -> None:
    """Three requests in 2 s, two of them good: 1 a second."""
    trials = [
        trial(repeat=0, sent=0, ttft=100, gaps=(400,)),
        trial(repeat=1, sent=500, ttft=900, gaps=(100,)),
        trial(repeat=2, sent=1500, ttft=100, gaps=(400,)),
    ]
    found = result(*trials, limits={"ttft_ms": 200.0})
    assert found.throughput()["goodput_per_s"] == 1.0
    assert found.throughput()["requests_per_s"] == 1.5
    assert found.summary().iloc[0].goodput_per_s == 1.0
    assert result(*trials).throughput()["goodput_per_s"] is None


def test_system_throughput_counts_only_the_window_in_which_all_clients_run(trial: Make, result: Results) -> None:
    """From the last client's start (200 ms) to the first one's finish (1000 ms): tokens that came in those 800 ms."""
    first = trial(stream=0, repeat=0, sent=0, ttft=100, gaps=(100,) * 9, output_tokens=20)
    second = trial(stream=1, repeat=1, sent=200, ttft=100, gaps=(100,) * 9)
    rate = result(first, second, concurrency=2).throughput()["system_tokens_per_s"]
    # 9 of the first one's 10 reads, of 2 tokens each, and 8 of the second one's, of 1
    assert rate == pytest.approx((9 * 2 + 8 * 1) / 0.8)


def test_a_window_that_is_none_has_no_throughput(trial: Make, result: Results) -> None:
    """Clients that never ran at the same time have no system throughput."""
    one, two = trial(stream=0, sent=0, ttft=10, gaps=(10,)), trial(stream=1, repeat=1, sent=500, ttft=10, gaps=(10,))
    assert result(one, two, concurrency=2).throughput()["system_tokens_per_s"] is None


def test_models_can_be_named_without_their_provider(trial: Make, result: Results) -> None:
    """Where that is clear; otherwise the sentence lists those that it may mean."""
    found = result(trial("x:a"), trial("y:a"), trial("x:b"))
    assert found.arm("b") == found.arm("x:b") == "x:b"
    with pytest.raises(SetupError, match=r"several of what was compared here: x:a, y:a\.$"):
        found.arm("a")
    assert found.label("x:a") == "x:a"
    assert result(trial("x:a"), trial("x:b")).label("x:a") == "a"


def test_the_table_is_markdown_in_which_names_are_only_text(trial: Make, result: Results) -> None:
    """A model's name cannot open a cell, a tag or a formula."""
    table = result(trial("x:<b>|$y$")).to_markdown()
    assert "| &lt;b&gt;\\|`$y$` |" in table
    assert all(line.count(" | ") <= 1 for line in table.splitlines() if line.startswith("|"))
    assert "| n | 1 |" in table


def test_every_amount_of_the_table_says_whether_it_is_paid(trial: Make, result: Results) -> None:
    """A row is read alone: the simulator's dollars are called so in each of them, and a service's are not."""
    paid, played = trial("x:a", price_note=""), trial("simulator:a", price_note="simulated")
    rows = [line.split(" | ") for line in result(paid, played).to_markdown().splitlines() if line.startswith("| USD")]
    assert len(rows) == 2
    assert all(paid.isprintable() and "simulated" not in paid and "(simulated)" in played for _, paid, played in rows)


def calibration(ttft: float) -> Calibration:
    return Calibration(
        concurrency=4,
        workers=1,
        requests=20,
        tokens_per_s=50,
        ttft_ms=(ttft, ttft, ttft),
        e2e_ms=(0.1, 0.2, 0.3),
        gap_ms=(0.1, 0.2, 0.3),
    )


@pytest.mark.parametrize(("error", "warned"), [(14.0, False), (16.0, True)])
def test_a_timing_error_that_is_not_small_is_a_warning(
    trial: Make, result: Results, error: float, warned: bool
) -> None:
    """More than 5 % of the fastest model's median TTFT (300 ms) is not small."""
    found = result(trial(), trial("simulator:b", ttft=900), calibration=calibration(error))
    notes = found.notes
    assert any(note.startswith("Timing error") for note in notes)
    assert any("WARNING" in note and "TTFT" in note for note in notes) == warned


def test_notes_say_what_is_missing_failed_torn_and_simulated(trial: Make, result: Results) -> None:
    """Nothing that makes a figure doubtful stays unsaid."""
    found = result(
        trial(),
        trial(error="RateLimited", repeat=1),
        trial(token_source="events", repeat=2),
        repeats=5,
        torn=1,
        simulator="simulator ×20",
        ends=(End(0, "stopped", ("worker 1 ended with code -9",)),),
    )
    text = "\n".join(found.notes)
    for words in (
        "simulator ×20: no model answered",
        "2 of 5 requests missing",
        "1 request failed (1 RateLimited)",
        "1 line of the file was torn",
        "≈ Some token counts",
        "stopped before its end",
        "worker 1 ended with code -9",
        "timing error was not measured",
    ):
        assert words in text


def test_an_open_loop_that_falls_behind_says_so(trial: Make, result: Results) -> None:
    """Requests that go out half an interval late were not the load that was asked for."""

    def run(lag: float) -> list[str]:
        late = [trial(repeat=i, sent=1000 + i, scheduled=round((1000 + i - lag) * MS)) for i in range(3)]
        return [note for note in result(*late, rate=10.0, concurrency=None).notes if "late (median)" in note]

    assert run(49) == []
    assert len(run(51)) == 1


def compare(trial: Make, result: Results, differences: list[float], **more: Any) -> Any:
    trials = []
    for number, difference in enumerate(differences):
        trials.append(trial("simulator:a", repeat=number, ttft=300 + number))
        trials.append(trial("simulator:b", repeat=number, ttft=300 + number + difference))
    return result(*trials, **more)


def test_pairs_are_compared_by_prompt_and_repeat(trial: Make, result: Results) -> None:
    """Ten pairs, each 100 ms shorter but for noise: the median difference, its interval, the ratio, the sentence."""
    found = compare(trial, result, [-100 + step for step in range(10)]).compare("a", "b")
    assert (found.difference.value, found.pairs, found.lost) == (-95.5, 10, 0)
    assert (found.difference.low, found.difference.high) == (-99, -92)
    assert found.ratio.value == pytest.approx(209 / 304.5, rel=0.01)
    assert found.is_more_than_noise
    assert str(found).startswith(
        "b's TTFT is 95.5 ms shorter than a's (median of 10 pairs, 95 % interval 92.0 to 99.0 ms"
    )
    assert str(found).endswith(": more than noise, for this one prompt.")


def test_a_difference_that_may_be_0_is_noise(trial: Make, result: Results) -> None:
    """An interval that includes 0 is said to."""
    found = compare(trial, result, [-5, 3, -2, 4, -1, 6, -7, 2]).compare("a", "b")
    assert not found.is_more_than_noise
    assert "no more than noise, because the interval includes 0" in str(found)


def test_a_difference_below_the_timing_error_is_not_believed(trial: Make, result: Results) -> None:
    """A steady 2 ms means nothing on a stopwatch that is 5 ms off."""
    found = compare(trial, result, [2.0] * 8, calibration=calibration(5.0)).compare("a", "b")
    assert not found.is_more_than_noise
    assert "not to be trusted, because the timing error is 5.00 ms" in str(found)


def test_few_pairs_are_said_to_be_few(trial: Make, result: Results) -> None:
    """Below six pairs the value has a star, and there is no verdict."""
    assert str(compare(trial, result, [1.0] * 5).compare("a", "b")) == (
        "b's TTFT against a's: +1.00 ms* (median of 5 pairs, for this one prompt, 1.00 times a's). "
        "* n too small for an interval: 6 pairs are needed."
    )


def test_a_failed_request_loses_its_pair_and_this_is_said(trial: Make, result: Results) -> None:
    """Pairs with a failure are left out, and counted."""
    whole = compare(trial, result, [-10.0] * 7)
    trials = [one if one.repeat else trial(one.model, error="Stalled") for one in whole.records]
    found = result(*trials).compare("a", "b")
    assert (found.pairs, found.lost) == (6, 1)
    assert "1 pair is left out" in str(found)


def test_rates_are_compared_in_their_own_words(trial: Make, result: Results) -> None:
    """More tokens a second is higher, not longer; an unknown figure is refused by name."""
    trials = [trial(model, repeat=i, gaps=(gap,) * 5) for i in range(6) for model, gap in (("x:a", 20), ("x:b", 10))]
    assert "b's decode rate is 50.0 tok/s higher than a's" in str(
        result(*trials).compare("a", "b", "decode_tokens_per_s")
    )
    with pytest.raises(SetupError, match="no figure 'speed'"):
        result(*trials).compare("a", "b", "speed")
    with pytest.raises(SetupError, match="itself"):
        result(*trials).compare("a", "a")


def test_answers_that_did_not_end_normally_are_counted_and_noted(trial: Make, result: Results) -> None:
    """In words, a row and a model; a limit on the length alone is counted, and is no warning."""
    plain = trial(repeat=0)
    cut = trial(repeat=1, finish_reason="length", ended="length limit reached")
    assert "did not end" not in result(plain).to_markdown()
    limited = result(plain, cut)
    assert limited.trials.ended.tolist() == ["", "length limit reached"]
    assert limited.summary().ended.tolist() == ["1 length limit reached"]
    assert not any("did not end" in note for note in limited.notes)
    odd = [trial(repeat=n, finish_reason="content_filter", ended="the service's filter ended it") for n in (2, 3)]
    holed = trial(repeat=4, finish_reason="length", ended="length limit reached, 1 piece unreadable")
    (note,) = [note for note in result(plain, cut, *odd, holed).notes if "did not end" in note]
    assert note.startswith("WARNING: 3 answers did not end as answers do (2 the service's filter ended it, 1 length")
    assert "| not ended by the model | 2 the service's filter ended it" in result(plain, *odd).to_markdown()
    words = "the service's filter ended it, empty answer"
    empty = trial(repeat=5, finish_reason="content_filter", ended=words, error="empty")
    assert result(plain, empty).summary().ended.tolist() == [f"1 {words}"]
    assert not any("did not end" in note for note in result(plain, empty).notes)  # it is among those that failed
