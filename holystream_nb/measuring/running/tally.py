"""How a run stands, from its records as they come: for a display."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median

from ...money.card import SIMULATED
from ..values.plan import Plan
from ..values.record import Trial, Warmup

_RECENT = 200


@dataclass(slots=True)
class Part:
    """One arm's part of a run: `ttfts` (ms) and `rates` (decode tok/s) are its latest 200."""

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
    """Counts of a run. `done` and `failed` include what an earlier session had made."""

    def __init__(self, plan: Plan, *, clock: Callable[[], float] = time.monotonic) -> None:
        each = len(plan.prompts) * plan.repeats
        self.parts = {arm: Part(arm, each) for arm in plan.arms}
        self._arm = plan.arm
        self.planned = plan.requests
        self.usd: Decimal | None = Decimal(0)
        self.simulated_usd: Decimal | None = None
        self.warmups = 0
        self.state = "warming up"
        self._clock = clock
        self._started = clock()
        self._first: float | None = None
        self._before = 0

    def add(self, record: Trial | Warmup) -> None:
        usd = record.due_usd
        if usd is None and record.price_note == "unknown" and not record.error:
            self.usd = None
        elif usd is not None and self.usd is not None:
            self.usd += usd
            if record.price_note == SIMULATED:
                self.simulated_usd = (self.simulated_usd or Decimal(0)) + usd
        if isinstance(record, Warmup):
            self.warmups += 1
            return
        if self._first is None:
            self._first = self._clock()
            self.state = "running"
        part = self.parts[self._arm(record.model, record.way)]
        part.done += 1
        part.failed += bool(record.error)
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
    def elapsed_s(self) -> float:
        return self._clock() - self._started

    @property
    def left_s(self) -> float | None:
        """Time left at the pace so far; None before there is one."""
        made = self.done - self._before
        if self._first is None or made < 2:
            return None
        return (self.planned - self.done) * (self._clock() - self._first) / (made - 1)
