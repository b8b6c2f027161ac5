"""The page's clock against this process's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from playwright.async_api import Page

_SAMPLES: Final = 100
_GRAIN_NS: Final = 100_000
"""`performance.now()` is rounded to 0.1 ms (https://w3c.github.io/hr-time/#dfn-coarsen-time)."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Bounds, in ns, of what is added to the page's time to get `time.perf_counter_ns`.

    Each look at the page's clock lies between two looks at ours; all of them together leave this room.
    """

    low: int
    high: int

    def __and__(self, other: Alignment) -> Alignment:
        return Alignment(max(self.low, other.low), min(self.high, other.high))

    @property
    def error_ms(self) -> float:
        """How far `ns()` may be off."""
        return (abs(self.high - self.low) / 2 + _GRAIN_NS) / 1e6

    def ns(self, page_ms: float) -> float:
        return page_ms * 1e6 + (self.low + self.high) / 2


async def align(page: Page) -> Alignment:
    """Looks at the page's clock 100 times."""
    lows, highs = [], []
    for _ in range(_SAMPLES):
        before = time.perf_counter_ns()
        page_ns = round(await page.evaluate("performance.now()") * 1e6)
        lows.append(before - page_ns)
        highs.append(time.perf_counter_ns() - page_ns)
    return Alignment(max(lows), min(highs))
