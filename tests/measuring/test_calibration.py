"""The stopwatch's error: by hand to the microsecond, and against a real simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holystream_nb import Simulator
from holystream_nb.measuring.bench import bench
from holystream_nb.measuring.calibrate import calibrate
from holystream_nb.measuring.figures.error import Errors, calibration, errors, event_rate, quantiles, streams
from holystream_nb.measuring.figures.notes import timing_error
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Calibration, Trial, decode, encoder

MS = 1_000_000
Make = Callable[..., Trial]


def true(*sent_ms: float, received_ms: float = 1000, kinds: tuple[str, ...] | None = None) -> dict[str, Any]:
    return {
        "received_ns": round(received_ms * MS),
        "sent_ns": [round(sent * MS) for sent in sent_ms],
        "kinds": list(kinds or ["text"] * len(sent_ms)),
    }


def test_the_error_is_measured_minus_true(trial: Make) -> None:
    """TTFT 300 against 299.5, E2E 380 against 379, gaps 20 and 60 against 19.5 and 60."""
    ttft, e2e, gaps = errors(trial(), true(1299.5, 1319, 1379)) or (0, 0, [])
    assert (ttft, e2e, gaps) == (pytest.approx(0.5), pytest.approx(1), [pytest.approx(0.5), pytest.approx(0)])


def test_only_output_events_are_compared(trial: Make) -> None:
    """Role, usage and [DONE] are no output, on either side."""
    kinds = ("role", "text", "reasoning", "tool", "finish", "usage", "done")
    record = true(1001, 1300, 1320, 1380, 1381, 1382, 1383, kinds=kinds)
    assert errors(trial(), record) == (0, 0, [0, 0])


def test_a_late_read_is_charged_with_the_event_that_waited(trial: Make) -> None:
    """Four events in three reads: the second read brought two, and the first of them had waited 10 ms."""
    found = errors(trial(events=[1, 2, 1]), true(1300, 1310, 1319, 1380))
    assert found == (0, 0, [10, 10])


def test_requests_that_do_not_match_are_left_out(trial: Make) -> None:
    """Another number of events is another story; a failure has none."""
    assert errors(trial(), true(1300, 1320)) is None
    assert errors(trial(error="Stalled"), true()) is None


def test_the_load_to_calibrate_at_is_that_of_the_run(trial: Make, result: Callable[..., Result]) -> None:
    """Events a second of a stream, several in a read counted; streams at once in an open loop: busy time / span."""
    one = trial(sent=0, ttft=100, gaps=(100, 100), events=[1, 2, 2])
    two = trial(repeat=1, sent=100, ttft=100, gaps=(100, 100), events=[1, 2, 2])
    found = result(one, two, rate=1.0, concurrency=None)
    assert event_rate(found) == 20
    assert streams(found) == pytest.approx(0.6 / 0.4)


@pytest.mark.slow
async def test_a_calibration_is_a_real_run(tmp_path: Path) -> None:
    """Four streams against a simulator of its own: all errors are there, in order, and small on an idle machine."""
    found = await calibrate(concurrency=4, tokens_per_s=50, tokens=10, answers=1)
    assert (found.concurrency, found.workers, found.requests, found.own) == (4, 1, 4, False)
    assert found.gap_ms is not None
    for row in (found.ttft_ms, found.e2e_ms, found.gap_ms):
        assert 0 < row[0] <= row[1] <= row[2]
    assert found.ttft_ms[0] < 100  # it is the machine's, which may be busy


@pytest.mark.slow
async def test_a_run_on_the_simulator_carries_its_own_error(simulator: Simulator, tmp_path: Path) -> None:
    """Its requests are matched by the response id; the file keeps the error."""
    path = tmp_path / "run.jsonl"
    result = await bench("simulator:gpt-4.1#tokens=5,rate=100", "Hello", repeats=5, base_url=simulator.url, path=path)
    assert result.calibration is not None
    assert (result.calibration.own, result.calibration.requests) == (True, 5)
    assert load(path).calibration == result.calibration
    assert any(note.startswith("Timing error of these requests") for note in result.notes)


@pytest.mark.slow
async def test_a_run_on_a_service_carries_the_error_of_one_like_it(simulator: Simulator, tmp_path: Path) -> None:
    """Whose true times nobody knows: a calibration at its concurrency and event rate follows the run."""
    model = "ollama:gpt-4.1#tokens=10,rate=20"
    result = await bench(model, "Hello", repeats=2, base_url=simulator.url, path=tmp_path / "run.jsonl")
    assert result.calibration is not None
    assert (result.calibration.own, result.calibration.concurrency) == (False, 1)
    assert result.calibration.tokens_per_s == pytest.approx(20, rel=0.3)
    assert any("of a run like this one" in note for note in result.notes)


@pytest.mark.slow
async def test_answers_that_come_in_one_read_have_no_gap_error(simulator: Simulator, tmp_path: Path) -> None:
    """There is no gap to be wrong about; the rest is known, and survives the file."""
    model, path = "simulator:gpt-4.1#tokens=5,group=9", tmp_path / "run.jsonl"
    result = await bench(model, "Hello", repeats=3, base_url=simulator.url, path=path)
    assert result.calibration is not None
    assert (result.calibration.gap_ms, result.calibration.requests) == (None, 3)
    assert not any("torn" in note for note in result.notes)


def test_percentiles_of_few_requests_have_a_star() -> None:
    """p50 of 6, p95 of 72 and p99 of 368 have intervals, gaps by their requests as well; the sentence says which."""

    def found(requests: int) -> Calibration:
        errors = Errors()
        for number in range(requests):
            errors.add("sse", 1 + number / 1000, 2, [0.5] * 9)
        return calibration(errors, 1, 1, 50, own=True)

    for requests, known in ((4, [False] * 3), (72, [True, True, False]), (368, [True] * 3)):
        for name in ("ttft", "e2e", "gap"):
            assert [each.has_interval for each in quantiles(found(requests), name)] == known
    assert timing_error(found(4)) == (
        "Timing error of these requests (p50 / p95 / p99 of 4 requests, with 95 % intervals; * no interval at this "
        "size): TTFT 1.00* / 1.00* / 1.00* ms · E2E 2.00* / 2.00* / 2.00* ms · gap 0.500* / 0.500* / 0.500* ms."
    )
    assert "TTFT 1.18 (1.16 to 1.20) / 1.35 (1.34 to 1.36) / 1.36 (1.36 to 1.37) ms" in timing_error(found(368))
    assert "*" not in timing_error(found(368))


def test_a_calibration_of_the_first_version_loads_and_states_no_interval() -> None:
    """Its file has three numbers a figure; what is not known of them is not made up."""
    line = (
        b'{"kind":"calibration","concurrency":4.0,"workers":1,"requests":400,"tokens_per_s":50.0,"ttft_ms":[1,2,3],'
        b'"e2e_ms":[1,2,3],"gap_ms":null,"ttft_ms_by_transport":{"ws":[4,5,6]}}'
    )
    old = decode(line)
    assert isinstance(old, Calibration)
    assert [str(each) for each in quantiles(old, "ttft")] == ["1.00*", "2.00*", "3.00*"]
    assert [str(each) for each in quantiles(old, "ttft ws")] == ["4.00*", "5.00*", "6.00*"]
    assert quantiles(old, "gap") == []


def test_the_intervals_survive_the_file() -> None:
    """What is written is read again, with what has no interval."""
    errors = Errors()
    for number in range(80):
        errors.add("sse" if number % 2 else "ws", float(number), 2.0, [])
    made = calibration(errors, 1, 1, 50, own=False)
    assert decode(encoder.encode(made)) == made
    assert made.intervals["ttft"][2] is None
    assert set(made.intervals) == {"ttft", "e2e", "ttft sse", "ttft ws"}
