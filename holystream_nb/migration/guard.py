"""The rules by which a rollout watches its new side. No I/O; every moment is an argument (s of one monotonic clock).

**Latency.** p95 is the nearest-rank percentile of TTFT: over a limit when more than 5 % of the requests are. It is
that of the last fifth of `for_s`; where that holds fewer than `min_requests`, of the latest `min_requests` within
`for_s`; where there are fewer still, it is unknown, and nothing follows. A request that failed before its first token
counts as +∞. One that still waits, or that its caller gave up, counts with its wait once that is over `alert_ms` (its
TTFT can only be longer), and not before. The new side is rolled back when p95 was over `p95_ttft_ms` at every look for
`for_s`, and the newest request still is: what has recovered is not rolled back for its past. The alert comes as soon as
p95 is over `alert_ms` and ends at nine tenths of it, so that a figure about the limit is one alert and not fifty.

**Errors.** The share of requests over `over_s` that failed, or that only a retry rescued: the service failed them all
the same. The new side is rolled back at once when it is over `error_rate`, of at least `min_requests`, and there are
two errors or more: a single one of 20 would be 5 %, and says nothing. It is an alert instead.

Errors are what the service is to blame for: 5xx, 429, a refused key or an unknown model (the new side is set up wrong),
no connection, a stall, a broken or unfinished answer, one that the service ended because something failed. No errors
are a stop, the caller's own `timeout` or size limit, and a request refused as it stands (400, 413, 422): those are
counted apart. More than `error_rate` of them is an alert, for the new service may not take parameters that the old one
took.

A request exactly `for_s` or `over_s` ago is out of its window; a figure exactly at a limit keeps it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import BadRequest, DeadlineExceeded, NotJSON, SetupError, TooLarge
from ..reply import Reply

P: Final = 0.95
_RECENT: Final = 5
_RECOVERED: Final = 0.9
_LEAST_ERRORS: Final = 2
_CALLERS_OWN: Final = (SetupError, DeadlineExceeded, TooLarge, NotJSON)

Outcome = str
"""How a request ended: `fine`, `refused` (400, 413, 422), or what went wrong: an error's class, truncated, retried, or
the service's word for a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """When to roll back: the limits of HolySheep's document 004 unless told otherwise.

    p95_ttft_ms, for_s: p95 of TTFT over this limit (ms) for so long (s).
    alert_ms: p95 of TTFT from which on to alert (ms).
    error_rate, over_s: share of failed requests (0 to 1) over so long (s).
    min_requests: fewer say nothing.
    """

    p95_ttft_ms: float = 2000
    for_s: float = 300
    alert_ms: float = 1500
    error_rate: float = 0.01
    over_s: float = 600
    min_requests: int = 20

    def __post_init__(self) -> None:
        for name in ("p95_ttft_ms", "for_s", "alert_ms", "over_s", "min_requests"):
            if not 0 < getattr(self, name) < math.inf:
                raise SetupError(f"A guard's {name} must be above 0.")
        if not 0 <= self.error_rate < 1:
            raise SetupError("A guard's error_rate is a share, from 0 to below 1: 0.01 is 1 %.")
        if self.alert_ms > self.p95_ttft_ms:
            raise SetupError("A guard alerts before it rolls back: alert_ms must not be above p95_ttft_ms.")


@dataclass(frozen=True, slots=True)
class Figures:
    """What the windows of one side hold.

    p95_ttft_ms: ms, inf where more than 5 % never got a first token, None where fewer than `min_requests` are known;
    timed: how many requests it is of. requests, errors, refused: those that ended, over `over_s`.
    """

    p95_ttft_ms: float | None = None
    timed: int = 0
    requests: int = 0
    errors: int = 0
    refused: int = 0


def outcome(reply: Reply) -> Outcome:
    """How a request ended, from its reply."""
    if isinstance(reply.error, BadRequest):
        return "refused"
    if isinstance(reply.error, _CALLERS_OWN):
        return "fine"
    if reply.error is not None:
        return type(reply.error).__name__
    if reply.finish_reason in ("truncated", "interrupted") or reply.end == "failure":
        return reply.finish_reason
    return "retried" if reply.timing.retries else "fine"


class Window:
    """The latest requests of one side. Moments never go back."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._ttfts: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []
        self._outcomes: deque[tuple[float, Outcome]] = deque()
        self._counts: Counter[Outcome] = Counter()
        self.newest_ms = 0.0

    def heard(self, now: float, ttft_ms: float) -> None:
        """A request's first output came; or never will (inf)."""
        self._ttfts.append((now, ttft_ms))
        insort(self._sorted, ttft_ms)
        self.newest_ms = ttft_ms

    def ended(self, now: float, how: Outcome) -> None:
        """A request ended."""
        self._outcomes.append((now, how))
        self._counts[how] += 1

    def figures(self, now: float, waits_ms: Sequence[float] = ()) -> Figures:
        """What is in the windows now; `waits_ms` are the waits so far of requests without a first output."""
        self._forget(now)
        requests, refused = len(self._outcomes), self._counts["refused"]
        long = [wait for wait in waits_ms if wait > self._guard.alert_ms]
        values = sorted([*self._sorted, *long]) if long else self._sorted
        known = len(values) >= self._guard.min_requests
        return Figures(
            p95_ttft_ms=values[math.ceil(P * len(values)) - 1] if known else None,
            timed=len(values),
            requests=requests,
            errors=requests - refused - self._counts["fine"],
            refused=refused,
        )

    def kinds(self) -> str:
        """The errors by their kind: `3 ServiceUnavailable, 1 Stalled`."""
        kinds = Counter({how: n for how, n in self._counts.items() if n and how not in ("fine", "refused")})
        return ", ".join(f"{n} {how}" for how, n in kinds.most_common())

    def _forget(self, now: float) -> None:
        guard, ttfts = self._guard, self._ttfts
        while ttfts and (
            now - ttfts[0][0] >= guard.for_s
            or (len(ttfts) > guard.min_requests and now - ttfts[0][0] >= guard.for_s / _RECENT)
        ):
            del self._sorted[bisect_left(self._sorted, ttfts.popleft()[1])]
        while self._outcomes and now - self._outcomes[0][0] >= guard.over_s:
            self._counts[self._outcomes.popleft()[1]] -= 1


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a guard has to say; a `rolled back` is said once, and the last."""

    kind: Literal["alert", "recovered", "rolled back"]
    text: str


class Watch:
    """A guard over time: which alerts stand, and since when p95 has been over its limit."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.over_since: float | None = None
        self.alerts: dict[str, str] = {}

    def judge(self, now: float, window: Window, waits_ms: Sequence[float] = ()) -> list[Finding]:
        """What is new since the last look."""
        figures = window.figures(now, waits_ms)
        reason = self._late(now, figures, window, waits_ms) or self._failing(figures, window)
        if reason:
            return [Finding("rolled back", reason)]
        guard, p95 = self._guard, figures.p95_ttft_ms
        count = figures.requests
        rate = guard.error_rate if count >= guard.min_requests else math.inf
        return [
            *self._alert(
                "TTFT",
                p95 is not None and p95 > guard.alert_ms * (_RECOVERED if "TTFT" in self.alerts else 1),
                f"p95 TTFT is {milliseconds(p95)}, over {milliseconds(guard.alert_ms)} ({figures.timed} requests)",
                f"p95 TTFT is {milliseconds(p95)}",
            ),
            *self._alert(
                "errors",
                count > 0 and figures.errors > rate * count,
                f"{counted(figures.errors, 'error')} of {count} requests in {guard.over_s:g} s: {window.kinds()}",
                f"{counted(figures.errors, 'error')} of {count} requests in {guard.over_s:g} s",
            ),
            *self._alert(
                "refused",
                figures.refused >= _LEAST_ERRORS and figures.refused > rate * count,
                f"{figures.refused} of {count} requests were refused as they stand (400, 413 or 422): the new service "
                "may not take what the old one took",
                f"{figures.refused} of {count} requests were refused as they stand",
            ),
        ]

    def _late(self, now: float, figures: Figures, window: Window, waits_ms: Sequence[float]) -> str:
        guard, p95 = self._guard, figures.p95_ttft_ms
        if p95 is None or p95 <= guard.p95_ttft_ms:
            self.over_since = None
            return ""
        if self.over_since is None:
            self.over_since = now
        still = max([window.newest_ms, *waits_ms]) > guard.p95_ttft_ms
        if now - self.over_since < guard.for_s or not still:
            return ""
        return (
            f"p95 TTFT was over {milliseconds(guard.p95_ttft_ms)} for {now - self.over_since:,.3g} s, and is "
            f"{milliseconds(p95)} ({figures.timed} requests)"
        )

    def _failing(self, figures: Figures, window: Window) -> str:
        guard, count = self._guard, figures.requests
        enough = count >= guard.min_requests and figures.errors >= _LEAST_ERRORS
        if not enough or figures.errors <= guard.error_rate * count:
            return ""
        return (
            f"{figures.errors} of {count} requests failed in {guard.over_s:g} s ({percent(figures.errors / count)}, "
            f"over {percent(guard.error_rate)}): {window.kinds()}"
        )

    def _alert(self, name: str, stands: bool, text: str, otherwise: str) -> list[Finding]:
        before = name in self.alerts
        if stands:
            self.alerts[name] = text
            return [] if before else [Finding("alert", text)]
        if not before:
            return []
        del self.alerts[name]
        return [Finding("recovered", otherwise)]


def milliseconds(value: float | None) -> str:
    if value is None:
        return "unknown"
    return "∞ (no first token)" if math.isinf(value) else f"{value:,.0f} ms"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
