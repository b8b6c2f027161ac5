"""Page memory: what an answer takes in the page (JavaScript and DOM, garbage collected) while its last token is shown.

Above the view itself, ten times the text may take eleven times as much; the ratio is that of the growth for each
character, since larger numbers are longer. And what a short answer leaves behind once the saved output has replaced it:
with `update_display` that is JupyterLab's own.

HOLYSTREAM_BENCH_SHORT=1: a quarter of the tokens.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

from playwright.async_api import CDPSession

from tests.browser.notebook import Cell

from .figures import Figure, ratio
from .paint.laboratory import Laboratory, laboratory, run
from .paint.variants import OURS, UPDATE, Variant

SHORT: Final = bool(os.environ.get("HOLYSTREAM_BENCH_SHORT"))
NONE: Final = 5
TOKENS: Final = 6_000 if SHORT else 24_000
MORE: Final = 10 * TOKENS
ANSWERS: Final = 6
_STILL_S: Final = 3.0
_LENGTH: Final = "(body) => body.textContent.length"


def measure() -> list[Figure]:
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    figures: list[Figure] = []
    async with laboratory() as place:
        for name, fault in (("numbers", ",numbered"), ("Markdown", "")):
            view, _ = await _growth(place, fault, NONE)
            figures.append(Figure(f"{name}: the view", (view / 1e6,), "MB"))
            each = []
            for tokens in (TOKENS, MORE):
                growth, characters = await _growth(place, fault, tokens)
                figures.append(Figure(f"{name}: above the view, {tokens:,} tokens", ((growth - view) / 1e6,), "MB"))
                each.append(Figure("", ((growth - view) / characters,), "B"))
            what = f"{name}: a character of {MORE:,} tokens / of {TOKENS:,}"
            figures.append(ratio(what, each[1], each[0], at_most=1.1))
        for variant in (OURS, UPDATE):
            left = await _left(place, variant)
            figures.append(Figure(f"{variant.name}: left by a short answer", (left / 1e6,), "MB"))
    return figures


async def _growth(place: Laboratory, fault: str, tokens: int) -> tuple[int, int]:
    """Bytes that the page holds for an answer of so many tokens, at its last, and the characters drawn."""
    cells = [
        OURS.cell(place.simulator.url, f"gpt-4.1#rate=max,tokens={count}{fault}{end}")
        for count, end in ((TOKENS // 10, ""), (tokens, f",stall=60,after={tokens}"))
    ]
    async with place.notebook(*cells) as (notebook, page):
        await run(notebook.cell(1))
        before = await _used(page)
        cell = notebook.cell(2)
        await cell.start()
        characters = await _drawn(cell)
        growth = await _used(page) - before
        await cell.stop.click()
        await cell.ended()
    return growth, characters


async def _drawn(cell: Cell) -> int:
    """Characters of an answer that stalls after its last token, once no more have come for a while."""
    count, before = 0, -1
    while not count or count != before:
        await asyncio.sleep(_STILL_S)
        before, count = count, int(await cell.live.locator(".hs-body").evaluate(_LENGTH))
    return count


async def _left(place: Laboratory, variant: Variant) -> float:
    """Bytes that the page goes on to hold for each of several short answers."""
    answer = variant.cell(place.simulator.url, "gpt-4.1#tokens=60,rate=600")
    async with place.notebook(variant.setup, *[answer] * (ANSWERS + 1)) as (notebook, page):
        await run(notebook.cell(1))
        await run(notebook.cell(2))
        before = await _used(page)
        for index in range(3, 3 + ANSWERS):
            await run(notebook.cell(index))
        return (await _used(page) - before) / ANSWERS


async def _used(page: CDPSession) -> int:
    """Bytes in the page's two heaps, JavaScript's and the DOM's, once nothing more can be collected."""
    for _ in range(3):  # what a collection sets free lets the next one free more
        await asyncio.sleep(0.25)
        await page.send("HeapProfiler.collectGarbage")
    usage = await page.send("Runtime.getHeapUsage")
    return int(usage["usedSize"] + usage["embedderHeapUsedSize"])
