"""Long conversations: what the page does for one more answer in a panel of 150 and of 400 turns, against one of 5.

The conversations are loaded from files; the answers are Markdown with code, a table and a list. Tasks are all of the
page's main thread (a trace), from the question to the last piece that was drawn: JupyterLab's drawing of the saved copy
comes after it, and is that of one output of a few turns at any length. Beside each time stands the CPU time, which a
busy machine does not lengthen. Elements are those in the panel while the answer is there. Each run has a page and a
kernel of its own, and one short answer before it.

HOLYSTREAM_BENCH_SHORT=1: one round.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holystream_nb import Client
from holystream_nb.chat.conversation import Answer, Conversation, Label, Turn
from holystream_nb.chat.files import save
from holystream_nb.chat.settings import Settings
from holystream_nb.chat.spent import Spent

from .figures import Figure, ratio
from .paint.clock import align
from .paint.laboratory import Laboratory, laboratory, run
from .paint.run import page_s
from .paint.trace import traced

SHORT: Final = bool(os.environ.get("HOLYSTREAM_BENCH_SHORT"))
FEW: Final = 5
MANY: Final = (150, 400)
TOKENS: Final = 600
RATE: Final = 60
ROUNDS: Final = 1 if SHORT else 3

_QUESTION: Final = "Explain SSE with Python code, a table and a list"
_SETUP: Final = """
import holystream_nb as hs
panel = hs.ChatPanel.load({file!r}, base_url={url!r})
panel
"""
_ASK: Final = "panel.model = 'simulator:gpt-4.1#tokens={tokens},rate={rate}'\nawait panel.send({question!r})"
_ARE_DRAWN: Final = """([cell, turns]) => {
  const last = [...cell.querySelectorAll(".hs-turn")].at(-1);
  return last?.getAttribute("aria-label") === `question ${turns} of ${turns}` && last.querySelector(".hs-body p");
}"""
_WATCH: Final = "(cell) => void watchPaint(cell, '.hs-turn:last-child .hs-body', '')"
_SETTLED: Final = "() => paint.settled(-1, 1_000)"
_ELEMENTS: Final = "(cell) => cell.querySelector('.hs-chat').querySelectorAll('*').length"


@dataclass(frozen=True, slots=True)
class Run:
    """The page's tasks in ms while an answer streams, and after it; CPU time of the page a token in µs; elements.

    Each task is its time and what the page's thread itself worked in it.
    """

    tasks: tuple[tuple[float, float], ...]
    later: tuple[tuple[float, float], ...]
    page_us: float
    elements: int
    load: float


def measure() -> list[Figure]:
    runs = asyncio.run(_runs())
    few = runs[FEW]
    figures = [
        _figure(f"{FEW} turns: longest task while streaming", few, "ms", _longest),
        _figure(f"{FEW} turns: most CPU time of one", few, "ms", _longest_cpu),
    ]
    cpu = _figure(f"{FEW} turns: page CPU a token", few, "µs", _page_us)
    for turns in MANY:
        name, many = f"{turns} turns", runs[turns]
        mine = _figure(f"{name}: page CPU a token", many, "µs", _page_us)
        figures += [
            _figure(f"{name}: longest task while streaming", many, "ms", _longest),
            _figure(f"{name}: most CPU time of one", many, "ms", _longest_cpu, at_most=50),
            _figure(f"{name}: longest task from the end on (saved copy)", many, "ms", _copy_ms),
            _figure(f"{name}: most CPU time of one from the end on", many, "ms", _copy_cpu, at_most=50),
            mine,
            ratio(f"page CPU a token, {name} / {FEW} turns", mine, cpu, at_most=1.5),
            _figure(f"{name}: elements", many, "", lambda run: run.elements),
        ]
    figures.append(_figure(f"{FEW} turns: longest task from the end on (saved copy)", few, "ms", _copy_ms))
    every = [run for each in runs.values() for run in each]
    return [*figures, cpu, _figure("load of the machine (1 min) before", every, "", lambda run: run.load)]


def _longest(run: Run) -> float:
    return max(ms for ms, _ in run.tasks)


def _longest_cpu(run: Run) -> float:
    return max(cpu for _, cpu in run.tasks)


def _copy_ms(run: Run) -> float:
    return max((ms for ms, _ in run.later), default=0.0)


def _copy_cpu(run: Run) -> float:
    return max((cpu for _, cpu in run.later), default=0.0)


def _page_us(run: Run) -> float:
    return run.page_us


def _figure(
    what: str, runs: Sequence[Run], unit: str, value: Callable[[Run], float], *, at_most: float | None = None
) -> Figure:
    return Figure(what, tuple(map(value, runs)), unit, at_most=at_most)


async def _runs() -> dict[int, list[Run]]:
    runs: dict[int, list[Run]] = {turns: [] for turns in (FEW, *MANY)}
    async with laboratory() as place:
        text = await _answer(place)
        for _ in range(ROUNDS):
            for turns, measured in runs.items():
                measured.append(await _run(place, turns, text))
    return runs


async def _answer(place: Laboratory) -> str:
    async with Client("simulator", base_url=place.simulator.url) as client:
        async with client.stream(_QUESTION, model="gpt-4.1") as stream:
            async for _ in stream:
                pass
        return stream.reply.text


def _saved(folder: Path, turns: int, text: str) -> Path:
    """A conversation of so many turns."""
    label = Label("simulator:gpt-4.1", "simulator", "simulator")
    answer = Answer(label.label, label.provider, label.note, "gpt-4.1", "done", text, figures=("TTFT 1,240 ms",))
    asked = [Turn(f"turn-{n}", f"{_QUESTION}, for the {n}th time", (label,), (answer,), 0) for n in range(turns)]
    path = folder / f"turns-{turns}.json"
    save(path, Conversation(tuple(asked)), Settings(("simulator:gpt-4.1",)), Spent())
    return path


async def _run(place: Laboratory, turns: int, text: str) -> Run:
    load = os.getloadavg()[0]
    file = _saved(place.server.folder, turns, text)
    setup = _SETUP.format(file=str(file), url=place.simulator.url)
    warm_up, asked = (_ASK.format(tokens=tokens, rate=RATE, question=_QUESTION) for tokens in (60, TOKENS))
    async with place.notebook(setup, warm_up, asked) as (notebook, page):
        shown = notebook.cell(1)
        await run(shown)
        root = await shown.root.element_handle()
        await notebook.page.wait_for_function(_ARE_DRAWN, arg=[root, turns], polling=100, timeout=60_000)
        await run(notebook.cell(2))
        await shown.root.evaluate(_WATCH)
        await notebook.page.evaluate(_SETTLED)
        clock = await align(notebook.page)
        await page.send("Performance.enable", {"timeDomain": "threadTicks"})
        await shown.root.evaluate(_WATCH)
        before = await page_s(page)
        async with traced(notebook.page) as trace:
            await run(notebook.cell(3))
            cpu_s = await page_s(page) - before
            seen = await notebook.page.evaluate(_SETTLED)
            elements = await shown.root.evaluate(_ELEMENTS)
    end = clock.ns(seen["live"])
    tasks = [
        (start, (stop - start) / 1e6, cpu / 1e6) for (start, stop), cpu in zip(trace.tasks, trace.cpu, strict=True)
    ]
    return Run(
        tasks=tuple((ms, cpu) for start, ms, cpu in tasks if start <= end),
        later=tuple((ms, cpu) for start, ms, cpu in tasks if start > end),
        page_us=cpu_s * 1e6 / TOKENS,
        elements=elements,
        load=load,
    )
