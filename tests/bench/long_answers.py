"""Long answers of every kind: the page's longest tasks while each is drawn live, beside a widget that merely appends.

Each answer comes in pieces of about four characters, 40 of them in each write, so fast that a page would freeze if it
did anything twice. Tasks are those of the page's main thread (a trace), in CPU time: what else the machine does is not
theirs. `live` are the tasks before the last change of the live view, `saved` those after: JupyterLab draws the saved
output of a cell itself, and typesets its formulas; of a panel's copy it draws the fold.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from tests.raw_service import Asked, Writer, serving_elsewhere

from .figures import Figure
from .paint.clock import align
from .paint.laboratory import Laboratory, laboratory, run
from .paint.trace import traced
from .paint.variants import FLOOR, OURS, Variant

_PIECE: Final = 4
_WRITE: Final = 40
_PAUSE_S: Final = 0.004
"""About 40,000 characters a second."""
_WATCH: Final = "(cell, selectors) => void watchPaint(cell, ...selectors)"
_SETTLED: Final = "() => paint.settled(Infinity, 3_000)"


PANEL: Final = Variant("panel", ".hs-body")


def _formulas() -> Iterable[str]:
    for number in range(450):
        yield rf"For $n={number}$ we have $\sum_{{k=1}}^{{n}} \frac{{x_k^2}}{{1+k}} \le \sqrt{{n}}$, and so"
        yield f"\n\n$$\\int_0^{{{number}}} e^{{-t^2}}\\,dt = \\begin{{pmatrix}} a & b \\\\ c & d \\end{{pmatrix}}$$\n\n"


def _table() -> Iterable[str]:
    yield "| number | square | cube | words |\n|---|---|---|---|\n"
    for number in range(1000):
        yield f"| {number} | {number**2} | {number**3} | some `code` and **strong** words |\n"


def _code() -> Iterable[str]:
    yield "```python\n"
    for number in range(10_000):
        yield f"value_{number} = compute({number}, 'text')  # a comment\n"
    yield "```\n"


def _line() -> Iterable[str]:
    for number in range(115_000):
        yield f"{number:05d} abc"


_PANEL: Final = """import holystream_nb as hs
panel = hs.ChatPanel("simulator:{model}", base_url={url!r})
display(panel)
await panel.send("Go on.")"""

ANSWERS: Final[dict[str, Callable[[], Iterable[str]]]] = {
    "450 formulas": _formulas,
    "a table of 1,000 rows": _table,
    "code of 10,000 lines": _code,
    "one line of 1 MB": _line,
}


def measure() -> list[Figure]:
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    figures: list[Figure] = []
    with serving_elsewhere(_answer) as url:
        async with laboratory() as place:
            for name in ANSWERS:
                for variant in (FLOOR, OURS, PANEL):
                    live, saved, seconds = await _longest(place, variant, url, list(ANSWERS).index(name))
                    limit = None if variant is FLOOR else 100
                    figures.append(Figure(f"{name}, {variant.name}: live", (live,), "ms", at_most=limit))
                    figures.append(Figure(f"{name}, {variant.name}: until drawn", (seconds,), "s"))
                    if variant is not FLOOR:
                        figures.append(Figure(f"{name}, {variant.name}: saved", (saved,), "ms"))
    return figures


async def _longest(place: Laboratory, variant: Variant, url: str, number: int) -> tuple[float, float, float]:
    """The longest task live and after, in ms, and how long it took until all was drawn, in s."""
    model = f"answer-{number}"
    source = _PANEL.format(model=model, url=url) if variant is PANEL else variant.cell(url, model)
    async with place.notebook(variant.setup, source) as (notebook, _):
        await run(notebook.cell(1))
        cell = notebook.cell(2)
        await cell.root.evaluate(_WATCH, [variant.live, variant.saved])
        clock = await align(notebook.page)
        async with traced(notebook.page) as trace:
            began = time.monotonic()
            await run(cell)
            seen = await notebook.page.evaluate(_SETTLED)
            seconds = time.monotonic() - began
    last = clock.ns(seen["live"] or 0)
    tasks = [(task, cpu / 1e6) for task, cpu in zip(trace.tasks, trace.cpu, strict=True)]
    live = max((cpu for (start, _), cpu in tasks if start <= last), default=0)
    return live, max((cpu for (start, _), cpu in tasks if start > last), default=0), seconds


async def _answer(asked: Asked, writer: Writer) -> bool:
    if not asked.body:  # the picker asks for the list of models
        return False
    model: str = asked.body["model"]
    text = "".join(list(ANSWERS.values())[int(model.rpartition("-")[2])]())
    await writer.head()
    for start in range(0, len(text), _PIECE * _WRITE):
        stretch = text[start : start + _PIECE * _WRITE]
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": {"content": stretch[at : at + _PIECE]}}]}
            for at in range(0, len(stretch), _PIECE)
        ]
        await writer.chunk("".join(f"data: {json.dumps(event)}\n\n" for event in events).encode())
        await asyncio.sleep(_PAUSE_S)
    await writer.finish()
    await writer.usage(len(text) // _PIECE)
    await writer.event("[DONE]")
    await writer.end()
    return True
