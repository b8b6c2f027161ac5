"""Panels: paint lag of ten chat panels that stream at once, 60 tokens/s each, against that of one panel.

From a token's send to its number in the panel, as in `paint_lag`, for every token of every panel. All panels stand in
one cell. Each run has a page and a kernel of its own, and one short answer before it. The server's part
(`serverextension`) is on.

HOLYSTREAM_BENCH_SHORT=1: a tenth of the tokens, one round.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from .figures import Figure, ratio
from .paint.clock import align
from .paint.laboratory import Laboratory, laboratory, run
from .paint.run import AFTER, BEFORE, lags, page_s, share_within

SHORT: Final = bool(os.environ.get("HOLYSTREAM_BENCH_SHORT"))
TOKENS: Final = 180 if SHORT else 1_800
RATE: Final = 60
MANY: Final = 10
ROUNDS: Final = 1 if SHORT else 3

_SETUP: Final = """
import asyncio
import holystream_nb as hs
panels = [hs.ChatPanel("simulator:gpt-4.1", base_url={url!r}) for _ in range({count})]

async def ask(tokens):
    for number, panel in enumerate(panels):  # a length of its own, which its record is known by
        panel.reset()
        panel.model = f"simulator:gpt-4.1#tokens={{tokens + number}},rate={rate},numbered"
    await asyncio.gather(*[panel.send("Count.") for panel in panels])

for panel in panels:
    display(panel)
"""
_ARE_SHOWN: Final = "([cell, count]) => cell.querySelectorAll('.hs-chat .hs-example').length === 3 * count"
_WATCH: Final = """(cell) => {
  window.paints = [...cell.querySelectorAll(".hs-chat")].map((panel) => watchPaint(panel, ".hs-body", ""));
}"""
_SETTLED: Final = "(last) => Promise.all(paints.map((paint, number) => paint.settled(last + number, 10_000)))"


@dataclass(frozen=True, slots=True)
class Run:
    """Lags in ms of all tokens of all panels; the page's tasks over 50 ms; CPU a token in µs; the clocks' error."""

    lags: tuple[float, ...]
    tasks: tuple[float, ...]
    kernel_us: float
    page_us: float
    error: float
    load: float


def measure() -> list[Figure]:
    one, many = asyncio.run(_runs())
    each = [(f"{MANY} panels", many), ("one panel", one)]
    p50, p95 = ([_lag(name, runs, share) for name, runs in each] for share in (0.5, 0.95))
    return [
        *[figure for (name, runs), *two in zip(each, p50, p95, strict=True) for figure in (*two, *_more(name, runs))],
        ratio(f"lag p50, {MANY} panels / one", *p50, at_most=2),
        ratio(f"lag p95, {MANY} panels / one", *p95, at_most=2),
        _figure("error of the lags, at most", [*one, *many], "ms", lambda run: run.error),
        _figure("load of the machine (1 min) before", [*one, *many], "", lambda run: run.load),
    ]


async def _runs() -> tuple[list[Run], list[Run]]:
    one, many = [], []
    async with laboratory() as place:
        for _ in range(ROUNDS):
            one.append(await _run(place, 1))
            many.append(await _run(place, MANY))
    return one, many


async def _run(place: Laboratory, count: int) -> Run:
    load = os.getloadavg()[0]
    setup = _SETUP.format(url=place.simulator.url, count=count, rate=RATE)
    asked = f"await ask({TOKENS})"
    async with place.notebook(setup, "await ask(60)", "for panel in panels: panel.reset()", BEFORE, asked, AFTER) as (
        notebook,
        page,
    ):
        shown = notebook.cell(1)
        await run(shown)
        root = await shown.root.element_handle()
        for index in (2, 3, 4):
            await run(notebook.cell(index))
        await notebook.page.wait_for_function(_ARE_SHOWN, arg=[root, count], polling=100)
        clock = await align(notebook.page)
        await page.send("Performance.enable", {"timeDomain": "threadTicks"})
        await shown.root.evaluate(_WATCH)
        before = await page_s(page)
        await run(notebook.cell(5))
        seen = await notebook.page.evaluate(_SETTLED, TOKENS - 1)
        cpu_s = await page_s(page) - before
        await run(notebook.cell(6))
        kernel_ns = int(await notebook.cell(6).printed())
        clock &= await align(notebook.page)
    sent = _sent(place, count)
    found = [lags(paint["steps"], sent[TOKENS + number], clock) for number, paint in enumerate(seen)]
    live = max(paint["live"] for paint in seen)
    return Run(
        lags=tuple(lag for panel in found for lag in panel),
        tasks=tuple(took for start, took in seen[0]["tasks"] if start <= live),
        kernel_us=kernel_ns / 1e3 / TOKENS / count,
        page_us=cpu_s * 1e6 / TOKENS / count,
        error=clock.error_ms,
        load=load,
    )


def _sent(place: Laboratory, count: int) -> dict[int, list[int]]:
    """By their number, the moments at which an answer's tokens were sent."""
    records = [place.simulator.record(request["id"]) for request in place.simulator.requests()[:count]]
    stamps = [
        [ns for ns, kind in zip(record["sent_ns"], record["kinds"], strict=True) if kind == "text"]
        for record in records
    ]
    return {len(sent): sent for sent in stamps}


def _figure(what: str, runs: Sequence[Run], unit: str, value: Callable[[Run], float]) -> Figure:
    return Figure(what, tuple(map(value, runs)), unit)


def _lag(name: str, runs: Sequence[Run], share: float) -> Figure:
    return _figure(f"{name}: lag p{share * 100:.0f}", runs, "ms", lambda run: share_within(run.lags, share))


def _more(name: str, runs: Sequence[Run]) -> list[Figure]:
    return [
        _figure(f"{name}: lag max", runs, "ms", lambda run: max(run.lags)),
        _figure(f"{name}: tokens never drawn", runs, "", lambda run: sum(map(math.isinf, run.lags))),
        _figure(f"{name}: tasks over 50 ms", runs, "", lambda run: len(run.tasks)),
        _figure(f"{name}: longest task while streaming", runs, "ms", lambda run: max(run.tasks, default=0)),
        _figure(f"{name}: kernel CPU a token", runs, "µs", lambda run: run.kernel_us),
        _figure(f"{name}: page CPU a token", runs, "µs", lambda run: run.page_us),
    ]
