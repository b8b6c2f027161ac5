"""Many cells: what the kernel and the page hold after 300 short answers in 300 cells, beside `update_display` by hand.

Once all views have ended, and what can be collected is. Growth is from the end of a first 20 cells, which load what is
loaded once, and includes what is meant to be kept: the notebook's cells and outputs, IPython's and our own history.
Not counted are the threads of asyncio's own pool, which grows to a few.

HOLYSTREAM_BENCH_SHORT=1: 40 cells.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass
from typing import Final

from playwright.async_api import CDPSession

from tests.browser.notebook import Cell

from .figures import Figure
from .paint.laboratory import Laboratory, laboratory, run
from .paint.variants import OURS, UPDATE, Variant

SHORT: Final = bool(os.environ.get("HOLYSTREAM_BENCH_SHORT"))
CELLS: Final = 40 if SHORT else 300
WARM_UP: Final = 20
PATIENCE_S: Final = 90.0
"""Longer than the kernel waits for a view that says nothing."""
_MODEL: Final = "gpt-4.1#tokens=60,rate=max"

_KERNEL: Final = """
import asyncio, gc, json, threading
import psutil
from comm import get_comm_manager
from ipywidgets.widgets.widget import _instances
gc.collect()
print(json.dumps({
    "widgets": len(_instances),
    "comms": len(get_comm_manager().comms),
    "threads": len([each for each in threading.enumerate() if not each.name.startswith("asyncio_")]),
    "tasks": len(asyncio.all_tasks()),
    "bytes": psutil.Process().memory_info().rss,
}))
"""
_RUN: Final = """async ([first, last]) => {
  const { content } = jupyterapp.shell.currentWidget;
  for (content.activeCellIndex = first; content.activeCellIndex <= last; content.activeCellIndex++) {
    await jupyterapp.commands.execute("notebook:run-cell");
    if (content.activeCellIndex === last) break;
  }
}"""
_PAGE: Final = """async () => {
  const { content, sessionContext } = jupyterapp.shell.currentWidget;
  const renderer = content.rendermime.createRenderer("application/vnd.jupyter.widget-view+json");
  const { _models } = await renderer._manager.promise;
  renderer.dispose();
  return {
    models: Object.keys(_models).length,
    comms: sessionContext.session.kernel._comms.size,
    scripts: document.scripts.length + document.querySelectorAll("style").length,
    views: document.querySelectorAll(".holystream").length,
  };
}"""


@dataclass(frozen=True, slots=True)
class Held:
    """kernel: counts, and `bytes` of resident memory. page: comms it knows, live views, and Chromium's own counts."""

    kernel: dict[str, int]
    page: dict[str, int]


def measure() -> list[Figure]:
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    figures: list[Figure] = []
    async with laboratory() as place:
        for variant in (OURS, UPDATE):
            before, after = await _run(place, variant)
            for name in ("widgets", "comms", "threads", "tasks"):
                most = 0 if variant is OURS else None
                more = after.kernel[name] - before.kernel[name]
                figures.append(Figure(f"{variant.name}: {name} more in the kernel", (more,), "", at_most=most))
            a_cell = (after.kernel["bytes"] - before.kernel["bytes"]) / CELLS / 1e3
            figures.append(Figure(f"{variant.name}: kernel memory a cell", (a_cell,), "kB"))
            for name, unit, scale in (
                ("models", "", 1),
                ("comms", "", 1),
                ("views", "", 1),
                ("scripts", "", 1),
                ("Nodes", "a cell", CELLS),
                ("JSEventListeners", "a cell", CELLS),
                ("bytes", "kB a cell", CELLS * 1e3),
            ):
                more = (after.page[name] - before.page[name]) / scale
                figures.append(Figure(f"{variant.name}: {name} more in the page", (more,), unit))
    return figures


async def _run(place: Laboratory, variant: Variant) -> tuple[Held, Held]:
    """What is held after the first cells, and after all others."""
    answer, after_first = variant.cell(place.simulator.url, _MODEL), 2 + WARM_UP
    cells = variant.setup, *[answer] * WARM_UP, _KERNEL, *[answer] * CELLS, _KERNEL
    async with place.notebook(*cells) as (notebook, page):
        await page.send("Performance.enable")
        found = []
        for first, looking in ((1, after_first), (after_first + 1, after_first + 1 + CELLS)):
            await notebook.page.evaluate(_RUN, [first, looking - 1])
            found.append(await _held(notebook.cell(looking), page))
    return found[0], found[1]


async def _held(looking: Cell, page: CDPSession) -> Held:
    """What is held once the kernel has forgotten all views, or should have."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        await run(looking)
        kernel: dict[str, int] = json.loads(await looking.printed())
        if not kernel["widgets"] or time.monotonic() > deadline:
            break
        await asyncio.sleep(2)
    seen: dict[str, int] = await looking.notebook.page.evaluate(_PAGE)
    for _ in range(3):  # what a collection sets free lets the next one free more
        await asyncio.sleep(0.25)
        await page.send("HeapProfiler.collectGarbage")
    usage = await page.send("Runtime.getHeapUsage")
    metrics = await page.send("Performance.getMetrics")
    named = {metric["name"]: int(metric["value"]) for metric in metrics["metrics"]}
    return Held(kernel, {**named, **seen, "bytes": int(usage["usedSize"] + usage["embedderHeapUsedSize"])})
