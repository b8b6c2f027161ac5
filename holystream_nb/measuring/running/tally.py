"""How a run stands, from its records as they come: for a display."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from ...money.amount import Amount
from ...money.card import SIMULATED
from ...money.exact import exactly
from ..values.plan import Plan
from ..values.record import Lost, Trial, Warmup

_RECENT = 200


@dataclass(slots=True)
class Part:
    """One arm's part of a run: `ttfts` (ms) and `rates` (decode tok/s) are of its latest 200 good ones."""

    label: str
    planned: int
    done: int = 0
    failed: int = 0
    ttfts: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def ttft_ms(self) -> float | None:
        return median(self.ttfts) if self.ttfts else None

    @property
    def tokens_per_s(self) -> float | None:
        return median(self.rates) if self.rates else None


class Tally:
    """Counts of a run. `done` and `failed` include what an earlier session had made.

    `source` says what its prompts were read from.
    """

    def __init__(self, plan: Plan, *, clock: Callable[[], float] = time.monotonic) -> None:
        each = len(plan.prompts) * plan.repeats
        self.parts = {arm: Part(arm, each) for arm in plan.arms}
        self._arm = plan.arm
        self.planned = plan.requests
        self.source = plan.source
        self.paid: Amount | None = Amount()
        """All so far; None once a price is unknown."""
        self.simulated: Amount | None = None
        """The part of it that nobody is paid."""
        self.warmups = self.lost = 0
        self.stops: list[str] = []
        """A sentence for each arm that is asked no more."""
        self._errors: Counter[str] = Counter()
        self._said: dict[str, str] = {}
        self._is_simulated = bool(plan.simulator)
        self._duration = plan.duration
        self.state = "warming up"
        self._clock = clock
        self._started = clock()
        self._first: float | None = None
        self._before = 0

    def pay(self, record: Trial | Lost) -> None:
        """Counts what it cost, and nothing else of it."""
        due = _due(record)
        note = SIMULATED if isinstance(record, Lost) and self._is_simulated else getattr(record, "price_note", "")
        if due is None and note == "unknown" and not getattr(record, "error", ""):
            self.paid = None
        elif due is not None and self.paid is not None:
            self.paid += due
            if note == SIMULATED:
                self.simulated = (self.simulated or Amount()) + due

    def add(self, record: Trial | Lost) -> None:
        self.pay(record)
        if isinstance(record, Lost):
            self.lost += 1
            return
        if isinstance(record, Warmup):
            self.warmups += 1
            return
        if self._first is None:
            self._first = self._clock()
            self.state = "running"
        part = self.parts[self._arm(record.model, record.way)]
        part.done += 1
        if record.error:
            part.failed += 1
            self._errors[record.error] += 1
            self._said[record.error] = record.message
            return
        timing = record.timing
        if timing.ttft_ms is not None:
            part.ttfts = [*part.ttfts[1 - _RECENT :], timing.ttft_ms]
        if timing.decode_tokens_per_s is not None:
            part.rates = [*part.rates[1 - _RECENT :], timing.decode_tokens_per_s]

    def resume(self) -> None:
        """What was added so far is of an earlier session: the time left is judged by what comes now."""
        self._before = self.done
        self._first, self.state = None, "warming up"

    @property
    def done(self) -> int:
        return sum(part.done for part in self.parts.values())

    @property
    def failed(self) -> int:
        return sum(part.failed for part in self.parts.values())

    @property
    def reason(self) -> str:
        """What failures most frequently were: `ServiceUnavailable, 12 times: what the service said`; "" without any."""
        if not self._errors:
            return ""
        (error, count), *_ = self._errors.most_common(1)
        said = f": {self._said[error]}" if self._said[error] else ""
        return f"{error}{f', {count:,} times' if count > 1 else ''}{said}"

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started

    @property
    def left_s(self) -> float | None:
        """Time left at the pace so far, and no more than the duration leaves; None before there is a pace."""
        made = self.done - self._before
        if self._first is None:
            return None
        since = self._clock() - self._first
        limits = [] if self._duration is None else [max(0.0, self._duration - since)]
        if self.planned and made >= 2:
            limits.append((self.planned - self.done) * since / (made - 1))
        return min(limits, default=None)


def _due(record: Trial | Lost) -> Amount | None:
    """What it counts as; in CNY at the rate of our own sum, where that is known."""
    usd = record.usd if isinstance(record, Lost) else record.due_usd
    if usd is None:
        return None
    if not usd:
        return Amount()
    if isinstance(record, Lost) or record.cny is None or not record.usd:
        return Amount(usd, None)
    with exactly():
        return Amount(usd, record.cny if usd == record.usd else usd * record.cny / record.usd)
