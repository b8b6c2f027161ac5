"""What may still be spent: a request begins only if its cost, at worst, still fits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal


class Budget:
    """A limit in USD (None is no limit), and what each model's request is expected to cost at most.

    The expectation of a model grows to the dearest request seen. `reserve` waits while running requests hold what is
    left, and says None when nothing that ends could make room.
    """

    def __init__(self, limit: Decimal | None, expected: Sequence[Decimal | None]) -> None:
        self._left = limit
        self._expected = [cost or Decimal(0) for cost in expected]
        self._held = Decimal(0)
        self._running = 0
        self._settled = asyncio.Event()

    async def reserve(self, model: int) -> Decimal | None:
        """What is held for a request of this model, or None if it must not begin."""
        if self._left is None:
            return Decimal(0)
        while self._held + self._expected[model] > self._left:
            if not self._running:
                return None
            self._settled.clear()
            await self._settled.wait()
        self._held += self._expected[model]
        self._running += 1
        return self._expected[model]

    def settle(self, model: int, reserved: Decimal, cost: Decimal | None, *, resent: int = 0) -> None:
        """A request has ended, and this is what it cost (None is unknown: it counts as what was held).

        resent: how often it went out before, into a connection that was dead: that may have been paid for too.
        """
        if self._left is None:
            return
        spent = reserved if cost is None else cost
        self._left -= spent + resent * reserved
        self._held -= reserved
        self._running -= 1
        self._expected[model] = max(self._expected[model], spent)
        self._settled.set()
