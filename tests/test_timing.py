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


def test_tpot_leaves_the_first_read_out() -> None:
    """TPOT = (E2E − TTFT) / (tokens − tokens of the first read)."""
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


def bursts(counts: list[int], every_ms: float, ttft_ms: float = 300) -> Timing:
    """Reads with so many events each, at equal distances."""
    reads = array("q", [round((ttft_ms + every_ms * index) * MS) for index in range(len(counts))])
    return timing(sent=0, reads=reads, events=array("I", counts))


@pytest.mark.parametrize(
    ("counts", "every_ms", "said"),
    [
        ([37, 36, 37, 12], 280, 37),
        ([37, 3], 280, 37),
        ([1, 37, 37, 37, 5], 280, 37),
        ([17, 17, 16, 9], 86, 17),
        ([5, 6, 5, 5], 210, 5),
    ],
    ids=["nginx, 8 KiB", "the rest of a short answer", "the first event passes", "a faster engine", "HAProxy"],
)
def test_an_answer_in_bursts_says_how_large_they_are(counts: list[int], every_ms: float, said: int) -> None:
    """The median read brought many events, and the next one was long in coming."""
    assert bursts(counts, every_ms).burst == said


def test_two_reads_of_one_buffer_are_no_rate() -> None:
    """40 events of an engine of 75 a second came in two reads 3.6 ms apart; an engine that is fast is believed."""
    assert bursts([17, 23], 3.6, ttft_ms=550).burst == 40
    held = timing(sent=0, reads=array("q", [550 * MS, 553_600_000]), events=array("I", [17, 23]))
    assert (held.decode_tokens_per_s, held.tpot_ms) == (None, None)
    reads = array("q", [550 * MS, 553 * MS, 850 * MS, 1150 * MS])
    later = timing(sent=0, reads=reads, events=array("I", [15, 15, 30, 30]), visible_tokens=90, first_chunk_tokens=15)
    assert later.decode_tokens_per_s == pytest.approx(60 / 0.597)
    fast = timing(sent=0, reads=array("q", [300 * MS, 310 * MS]), events=array("I", [20, 20]), visible_tokens=40)
    assert fast.decode_tokens_per_s == pytest.approx(3900)


@pytest.mark.parametrize(
    ("counts", "every_ms"),
    [
        ([40, 41, 39, 40], 30),
        ([300, 300, 300], 45),
        ([1] * 50, 250),
        ([4] * 50, 250),
        ([1, 40], 900),
        ([1] * 20 + [60] + [1] * 20, 120),
        ([60, 1, 1, 1, 1], 120),
        ([], 0),
    ],
    ids=[
        "an engine of 1,300 events/s",
        "a busy kernel",
        "a slow engine",
        "four events a write",
        "a stall in a short answer",
        "a stall in a long one",
        "a full first read",
        "nothing",
    ],
)
def test_what_is_fast_or_stalls_once_is_no_burst(counts: list[int], every_ms: float) -> None:
    """Events that come together because there are many, or once, accuse no proxy."""
    assert bursts(counts, every_ms).burst is None


@pytest.mark.parametrize(
    ("events", "ttft_ms", "said"), [(60, 900, 60), (32, 250, 32), (31, 900, None), (200, 40, None)]
)
def test_an_answer_in_one_read_is_a_burst_if_it_is_long_and_was_long_in_coming(
    events: int, ttft_ms: float, said: int | None
) -> None:
    """A short answer of a fast engine, or one out of a cache, comes in one read by right."""
    assert bursts([events], 0, ttft_ms).burst == said


def test_events_per_read_is_a_mean_and_unknown_without_counts() -> None:
    """Stamps alone do not say how many events each brought."""
    assert bursts([3, 1], 20).events_per_read == 2
    assert timing().events_per_read is None
    assert timing().burst is None
