"""One answer on a page: what of it was drawn when, and what it cost."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from playwright.async_api import CDPSession

from .clock import Alignment, align
from .laboratory import Laboratory, run
from .variants import Variant

_WARM_UP: Final = "gpt-4.1#tokens=120,rate=1200"
BEFORE: Final = "import time; before = time.process_time_ns()"
AFTER: Final = "print(time.process_time_ns() - before)"
_WATCH: Final = "(cell, selectors) => void watchPaint(cell, ...selectors)"
_SETTLED: Final = "(last) => paint.settled(last, 10_000)"


@dataclass(frozen=True, slots=True)
class Run:
    """What one answer was like on the page; times in ms.

    lags: from a token's send to the moment its number was on the page, for each; inf for one that never came; empty for
        an answer without numbers.
    tasks, later: how long the page's tasks over 50 ms took that began before, and after, the live answer's last change.
    open_bytes, halves, end_bytes: bytes of the kernel's messages to the page before the first token was drawn; for each
        token in the first and in the second half; and after the last that was drawn live.
    switch: from the live answer's last change to the drawing of the saved one; None where there is none.
    kernel_us, page_us: CPU time of the kernel, and of the page's main thread, for each token, saved output included.
    error: how far the lags may be off, all alike. load: the machine's before the run (average of 1 minute).
    """

    lags: tuple[float, ...]
    tasks: tuple[float, ...]
    later: tuple[float, ...]
    open_bytes: int
    halves: tuple[float, float]
    end_bytes: int
    switch: float | None
    kernel_us: float
    page_us: float
    error: float
    load: float

    def lag(self, share: float) -> float:
        """The lag that this share of the tokens does not exceed."""
        return share_within(self.lags, share)


async def answer(laboratory: Laboratory, variant: Variant, tokens: int, rate: int, *, numbered: bool = True) -> Run:
    """Shows one answer of so many tokens, sent at so many a second, in a fresh page and kernel that are warm."""
    load, url = os.getloadavg()[0], laboratory.simulator.url
    model = f"gpt-4.1#tokens={tokens},rate={rate}{',numbered' if numbered else ''}"
    cells = variant.setup, variant.cell(url, _WARM_UP), BEFORE, variant.cell(url, model), AFTER
    async with laboratory.notebook(*cells) as (notebook, page):
        for index in (1, 2, 3):
            await run(notebook.cell(index))
        clock = await align(notebook.page)
        await page.send("Performance.enable", {"timeDomain": "threadTicks"})
        cell, before = notebook.cell(4), await page_s(page)
        await cell.root.evaluate(_WATCH, [variant.live, variant.saved])
        await run(cell)
        record = laboratory.simulator.record(laboratory.simulator.requests()[0]["id"])
        sent = [ns for ns, kind in zip(record["sent_ns"], record["kinds"], strict=True) if kind == "text"]
        seen = await notebook.page.evaluate(_SETTLED, len(sent) - 1 if numbered else -1)
        cpu_s = await page_s(page) - before
        await run(notebook.cell(5))
        kernel_ns = int(await notebook.cell(5).printed())
        clock &= await align(notebook.page)
    live, saved = seen["live"], seen["saved"]
    steps = [step for step in seen["steps"] if step[0] <= live]
    open_bytes, *halves = _bytes(steps, len(sent)) if numbered else (0, math.nan, math.nan)
    return Run(
        lags=lags(seen["steps"], sent, clock) if numbered else (),
        tasks=tuple(took for start, took in seen["tasks"] if start <= live),
        later=tuple(took for start, took in seen["tasks"] if start > live),
        open_bytes=open_bytes,
        halves=(halves[0], halves[1]),
        end_bytes=seen["received"] - steps[-1][2] if numbered else 0,
        switch=None if saved is None else saved - live,
        kernel_us=kernel_ns / 1e3 / tokens,
        page_us=cpu_s * 1e6 / tokens,
        error=clock.error_ms,
        load=load,
    )


def share_within(lags: Sequence[float], share: float) -> float:
    """The lag that this share of them does not exceed."""
    return sorted(lags)[math.ceil(share * len(lags)) - 1]


async def page_s(page: CDPSession) -> float:
    """CPU time of the page's main thread in its tasks."""
    metrics = await page.send("Performance.getMetrics")
    return next(float(metric["value"]) for metric in metrics["metrics"] if metric["name"] == "TaskDuration")


def lags(steps: Sequence[Any], sent: Sequence[int], clock: Alignment) -> tuple[float, ...]:
    """From each token's send (ns) to the step, of `page.js`, that drew it, in ms; inf for one that was never drawn."""
    found: list[float] = []
    for drawn, number, _ in steps:
        found += [(clock.ns(drawn) - ns) / 1e6 for ns in sent[len(found) : number + 1]]
    return *found, *[math.inf] * (len(sent) - len(found))


def _bytes(steps: Sequence[Any], tokens: int) -> tuple[int, float, float]:
    (_, first, before), (_, last, end) = steps[0], steps[-1]
    _, middle, between = next(step for step in steps if step[1] >= tokens // 2)
    return before, (between - before) / (middle - first), (end - between) / max(1, last - middle)
