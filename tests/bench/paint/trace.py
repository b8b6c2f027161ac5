"""The tasks of a page's main thread, also the short ones, of which a page itself is told nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Page

_CATEGORIES: Final = ["disabled-by-default-devtools.timeline"]


class Trace:
    """Once the trace has ended: `tasks` are [start, end] in ns of the machine's monotonic clock.

    `cpu` is what each of them took of the thread's own time, in ns: a busy machine makes that no longer.
    """

    def __init__(self) -> None:
        self.tasks: list[tuple[float, float]] = []
        self.cpu: list[float] = []


@asynccontextmanager
async def traced(page: Page) -> AsyncIterator[Trace]:
    """Traces the page within; costs it a few percent."""
    browser = page.context.browser
    assert browser is not None
    trace = Trace()
    await browser.start_tracing(page=page, categories=_CATEGORIES)
    try:
        yield trace
    finally:
        events = json.loads(await browser.stop_tracing())["traceEvents"]
        found = _tasks(events)
        trace.tasks = [(start, end) for start, end, _ in found]
        trace.cpu = [cpu for _, _, cpu in found]


def _tasks(events: list[dict[str, Any]]) -> list[tuple[float, float, float]]:
    """[start, end, CPU time] in ns, of the main thread that worked most: another page's may be there."""
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    threads: dict[tuple[int, int], list[tuple[float, float, float]]] = {thread: [] for thread in main}
    for event in events:
        thread = event["pid"], event["tid"]
        if event["name"] == "RunTask" and thread in main and "dur" in event:
            threads[thread].append(
                (event["ts"] * 1e3, (event["ts"] + event["dur"]) * 1e3, event.get("tdur", event["dur"]) * 1e3)
            )
    return max(threads.values(), key=lambda tasks: sum(end - start for start, end, _ in tasks), default=[])
