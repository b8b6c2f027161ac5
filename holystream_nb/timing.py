"""Stamps -> TTFT, TTFA, gaps, TPOT, tok/s.

All stamps are nanoseconds of one monotonic clock, `time.perf_counter_ns`. The terms:

* TTFT   first output event − sent, whatever its channel (ms); open loop also from scheduled
* TTFA   first non-reasoning output event − sent (ms)
* E2E    last output event − sent (s)
* gap    difference of consecutive distinct reads of output events (ms)
* TPOT   (E2E − TTFT) / (output tokens − tokens of the first read) (ms); those are what a usage in it says, else its
         events, else, where events hold several tokens each, its share of the characters
* decode tok/s   the same tokens / (E2E − TTFT);  e2e tok/s   output tokens / E2E
* lag, queue, connect   submitted − scheduled; permit − submitted; sent − permit (ms): never inside TTFT
* burst   output events of the median read, where they are many and the next is long in coming

An output event is a delta with non-empty text, reasoning, refusal, or a tool call's name or arguments.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from .parts import Opening, Parts

BURST_EVENTS: Final = 5
"""Output events in one read that are a burst. Services that put several into one write put two to four there; nginx's
smallest buffer (4 KiB) holds eight to thirty chunks, and HAProxy's 200 ms are five of a model of 25 tokens a second."""

BURST_GAP_MS: Final = 50.0
"""Between bursts. The events of an engine that makes a thousand a second fill reads too, but these come every few
milliseconds: what no reader can see is nobody's fault."""

WHOLE_EVENTS: Final = 32
WHOLE_MS: Final = 250.0
"""An answer that came in a single read: so many events, after so long a wait. A short answer of a fast engine, and one
out of a cache, come in one read by right."""
FLUSH_EVENTS_PER_S: Final = 4000.0
FLUSH_MS: Final = 5.0
"""A read that comes so soon after a held one is the rest of the same buffer: no service writes as fast to one reader,
and a reader that was busy is so for longer. Behind nginx, 40 events in two reads were 85 times the engine's rate."""

GROUPED: Final = 1.5
"""Tokens in an output event, by the service's own count, from which on it groups them. One a token is what most do; a
token of its end, and characters that take two, make it a little more."""

MEND: Final = "nginx: proxy_buffering off; or the answer's header X-Accel-Buffering: no; HAProxy: option http-no-delay"
"""What lets each event pass at once: tried with both proxies in `tests/real`."""


def _ms(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / 1e6


def _of_ns(value: int | None) -> float | None:
    return None if value is None else value / 1e6


@dataclass(frozen=True, slots=True)
class Timing:
    """The stamps of one request, and the figures that follow from them; a figure is None where it cannot be known.

    `reads` holds the distinct reads that brought output events, in order, and `events` how many each brought (empty
    where that is not known). `output_tokens` is what the service counted (reasoning included), else the number of
    output events; `visible_tokens` is the same without reasoning that was hidden, and None where a reasoning model hid
    an unknown amount. `retries` counts earlier attempts that failed, `resent` those that met a kept connection which
    the service had closed. `opening` is what opening the connection took, None on a kept one; `written` is when the
    request had been handed to the system. `paint_ms` is how long after its read the first text
    was painted in a live cell, give or take `paint_error_ms`.
    """

    submitted: int
    scheduled: int | None = None
    permit: int | None = None
    sent: int | None = None
    headers: int | None = None
    first_answer: int | None = None
    reads: array[int] = field(default_factory=lambda: array("q"), repr=False)
    events: array[int] = field(default_factory=lambda: array("I"), repr=False)
    bytes: int = 0
    retries: int = 0
    resent: int = 0
    output_tokens: int | None = None
    visible_tokens: int | None = None
    first_chunk_tokens: int = 1
    opening: Opening | None = None
    written: int | None = None
    paint_ms: float | None = None
    paint_error_ms: float | None = None

    @property
    def parts(self) -> Parts:
        """Where the time went: DNS, TCP, TLS, wait, stream and their like; see `parts`."""
        opening = self.opening or Opening()
        known = {each: _of_ns(getattr(opening, each)) for each in ("dns", "tcp", "proxy", "tls", "upgrade")}
        connect = self.connect_ms
        first, last = (self.reads[0], self.reads[-1]) if self.reads else (None, None)
        return Parts(
            **{f"{name}_ms": value for name, value in known.items()},
            other_ms=None if connect is None else connect - sum(value or 0.0 for value in known.values()),
            send_ms=_ms(self.sent, self.written),
            wait_ms=_ms(self.sent if self.written is None else self.written, first),
            stream_ms=_ms(first, last),
            paint_ms=self.paint_ms,
            paint_error_ms=self.paint_error_ms,
        )

    @property
    def ttft_ms(self) -> float | None:
        """Time to first token: first output event − sent."""
        return _ms(self.sent, self.reads[0]) if self.reads else None

    @property
    def ttft_scheduled_ms(self) -> float | None:
        """First output event − scheduled: open loop, free of coordinated omission."""
        return _ms(self.scheduled, self.reads[0]) if self.reads else None

    @property
    def ttfa_ms(self) -> float | None:
        """Time to first answer: first non-reasoning output event − sent."""
        return _ms(self.sent, self.first_answer)

    @property
    def ttfa_scheduled_ms(self) -> float | None:
        """First non-reasoning output event − scheduled: open loop, free of coordinated omission."""
        return _ms(self.scheduled, self.first_answer)

    @property
    def e2e_s(self) -> float | None:
        """Last output event − sent."""
        return (self.reads[-1] - self.sent) / 1e9 if self.reads and self.sent is not None else None

    @property
    def e2e_scheduled_s(self) -> float | None:
        """Last output event − scheduled: open loop, free of coordinated omission."""
        return (self.reads[-1] - self.scheduled) / 1e9 if self.reads and self.scheduled is not None else None

    @property
    def gaps_ms(self) -> list[float]:
        """Differences of consecutive distinct reads; never spread evenly over tokens."""
        return [(b - a) / 1e6 for a, b in zip(self.reads, self.reads[1:], strict=False)]

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token after the first read; None if there are too few."""
        rate = self.decode_tokens_per_s
        return None if rate is None else 1e3 / rate

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Tokens after the first read / (E2E − TTFT); reads of one buffer that was held are one read."""
        if self.visible_tokens is None or len(self.reads) < 2:
            return None
        first = self._flushed
        if first == len(self.reads) - 1:
            return None
        held = self.first_chunk_tokens
        if first:
            held = round(held * sum(self.events[: first + 1]) / self.events[0])
        tokens = self.visible_tokens - held
        return tokens * 1e9 / (self.reads[-1] - self.reads[first]) if tokens > 0 else None

    @property
    def _flushed(self) -> int:
        """The place of the last read that was let go together with the first one: 0 unless something had held it."""
        if not self.events or self.events[0] < BURST_EVENTS or (self.ttft_ms or 0) < WHOLE_MS:
            return 0
        last = 0
        for index in range(1, len(self.reads)):
            gap = self.reads[index] - self.reads[index - 1]
            rate = self.events[index] * 1e9 / max(1, gap)
            if self.events[index] < BURST_EVENTS or rate < FLUSH_EVENTS_PER_S or gap > FLUSH_MS * 1e6:
                break
            last = index
        return last

    @property
    def e2e_tokens_per_s(self) -> float | None:
        """Output tokens / E2E."""
        seconds = self.e2e_s
        return self.output_tokens / seconds if self.output_tokens and seconds else None

    @property
    def lag_ms(self) -> float | None:
        """How late the call was entered: submitted − scheduled (open loop only)."""
        return _ms(self.scheduled, self.submitted)

    @property
    def queue_ms(self) -> float | None:
        """Waiting for the limiter and the pool, earlier attempts included: permit − submitted."""
        return _ms(self.submitted, self.permit)

    @property
    def connect_ms(self) -> float | None:
        """Opening the connection: sent − permit."""
        return _ms(self.permit, self.sent)

    @property
    def events_per_read(self) -> float | None:
        """Output events / distinct reads that brought them."""
        return sum(self.events) / len(self.events) if self.events else None

    @property
    def tokens_per_event(self) -> float | None:
        """Output tokens that were seen / output events; about 1 where the service does not group them."""
        count = sum(self.events)
        return self.visible_tokens / count if self.visible_tokens and count else None

    @property
    def burst(self) -> int | None:
        """About how many output events came at once, where the answer came in bursts; None where it did not.

        In bursts: the median read brought at least BURST_EVENTS, and the median gap is at least BURST_GAP_MS, so that
        one stall, or a full first read, makes no burst. The last read is what was left and does not count. An answer of
        a single read must be of WHOLE_EVENTS and WHOLE_MS.
        """
        if not self.events:
            return None
        if self._flushed == len(self.events) - 1:
            count = sum(self.events)
            return count if count >= WHOLE_EVENTS and (self.ttft_ms or 0) >= WHOLE_MS else None
        size = median(self.events[:-1])
        return round(size) if size >= BURST_EVENTS and median(self.gaps_ms) >= BURST_GAP_MS else None
