"""Stamps -> TTFT, TTFA, gaps, TPOT, tok/s.

All stamps are nanoseconds of one monotonic clock, `time.perf_counter_ns`. The terms:

* TTFT   first output event − sent, whatever its channel (ms)
* TTFA   first non-reasoning output event − sent (ms)
* E2E    last output event − sent (s)
* gap    difference of consecutive distinct reads of output events (ms)
* TPOT   (E2E − TTFT) / (output tokens − tokens of the first chunk) (ms)
* decode tok/s   the same tokens / (E2E − TTFT);  e2e tok/s   output tokens / E2E
* lag, queue, connect   submitted − scheduled; permit − submitted; sent − permit (ms): never inside TTFT

An output event is a delta with non-empty text, reasoning, refusal, or a tool call's name or arguments.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field


def _ms(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / 1e6


@dataclass(frozen=True, slots=True)
class Timing:
    """The stamps of one request, and the figures that follow from them; a figure is None where it cannot be known.

    `reads` holds the distinct reads that brought output events, in order. `output_tokens` is what the service counted
    (reasoning included), else the number of output events; `visible_tokens` is the same without reasoning that was
    hidden, and None where a reasoning model hid an unknown amount. `retries` counts earlier attempts that failed,
    `resent` those that met a kept connection which the service had closed.
    """

    submitted: int
    scheduled: int | None = None
    permit: int | None = None
    sent: int | None = None
    headers: int | None = None
    first_answer: int | None = None
    reads: array[int] = field(default_factory=lambda: array("q"), repr=False)
    bytes: int = 0
    retries: int = 0
    resent: int = 0
    output_tokens: int | None = None
    visible_tokens: int | None = None
    first_chunk_tokens: int = 1

    @property
    def ttft_ms(self) -> float | None:
        """Time to first token: first output event − sent."""
        return _ms(self.sent, self.reads[0]) if self.reads else None

    @property
    def ttfa_ms(self) -> float | None:
        """Time to first answer: first non-reasoning output event − sent."""
        return _ms(self.sent, self.first_answer)

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
        """Time per output token after the first chunk; None if there are too few."""
        rate = self.decode_tokens_per_s
        return None if rate is None else 1e3 / rate

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Tokens after the first chunk / (E2E − TTFT)."""
        if self.visible_tokens is None or len(self.reads) < 2:
            return None
        tokens = self.visible_tokens - self.first_chunk_tokens
        return tokens * 1e9 / (self.reads[-1] - self.reads[0]) if tokens > 0 else None

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
