"""Stamps -> figures, by hand-computed numbers."""

from array import array

import pytest

from holystream_nb.timing import Timing

MS = 1_000_000


def timing(**changes: object) -> Timing:
    """Sent at 100 ms; output at 400, 420, 440 and 500 ms; 10 tokens."""
    values = {
        "submitted": 60 * MS,
        "scheduled": 50 * MS,
        "permit": 90 * MS,
        "sent": 100 * MS,
        "first_answer": 440 * MS,
        "reads": array("q", [400 * MS, 420 * MS, 440 * MS, 500 * MS]),
        "output_tokens": 10,
        "visible_tokens": 10,
    }
    return Timing(**{**values, **changes})


def test_ttft_and_ttfa_count_from_the_moment_the_request_was_sent() -> None:
    """TTFT is first output − sent, TTFA first non-reasoning output − sent."""
    assert timing().ttft_ms == 300
    assert timing().ttfa_ms == 340


def test_lag_queue_and_connect_are_their_own_columns() -> None:
    """Lag, queue and connect add up to sent − scheduled and are in no other figure."""
    t = timing()
    assert (t.lag_ms, t.queue_ms, t.connect_ms) == (10, 30, 10)


def test_e2e_ends_with_the_last_output_event() -> None:
    """E2E counts from sent, and in open loop also from the scheduled start."""
    assert timing().e2e_s == pytest.approx(0.4)
    assert timing().e2e_scheduled_s == pytest.approx(0.45)


def test_gaps_are_between_distinct_reads() -> None:
    """A stall shows as one long gap, never spread evenly."""
    assert timing().gaps_ms == [20, 20, 60]


def test_tpot_leaves_the_first_chunk_out() -> None:
    """TPOT = (E2E − TTFT) / (tokens − tokens of the first chunk)."""
    assert timing().tpot_ms == pytest.approx(100 / 9)
    assert timing(first_chunk_tokens=2).tpot_ms == pytest.approx(100 / 8)
    assert timing().decode_tokens_per_s == pytest.approx(90)


def test_e2e_rate_counts_all_output_tokens() -> None:
    """Hidden reasoning took its time, so its tokens count where its time does."""
    assert timing(output_tokens=100).e2e_tokens_per_s == pytest.approx(250)


@pytest.mark.parametrize(
    "changes",
    [
        {"visible_tokens": None},
        {"visible_tokens": 1},
        {"visible_tokens": 0},
        {"reads": array("q", [400 * MS])},
        {"reads": array("q")},
    ],
)
def test_a_rate_that_cannot_be_known_is_none(changes: dict[str, object]) -> None:
    """Unknown or too few tokens, or a single read, give no TPOT and no rate."""
    assert timing(**changes).tpot_ms is None
    assert timing(**changes).decode_tokens_per_s is None


def test_nothing_received_has_no_latency() -> None:
    """Without an output event TTFT, TTFA and E2E are unknown, not zero."""
    t = timing(reads=array("q"), first_answer=None)
    assert (t.ttft_ms, t.ttfa_ms, t.e2e_s, t.gaps_ms) == (None, None, None, [])
