"""What the pictures show: the cells that are run, what the reader does, and the moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from playwright.async_api import Locator, expect

from ..browser.notebook import LOAD, Cell

_PATIENCE_MS: Final = 40_000
_LONG: Final = "Explain SSE with Python code, a table and a list"
_SHORT: Final = "What is an event stream, in two sentences?"
_MODEL: Final = "gpt-4.1"
_IMPORT: Final = "import holystream_nb as hs"
_TOOL: Final = f'''{LOAD}
import holystream_nb as hs

@hs.tool
def get_weather(city: str, days: int = 3) -> str:
    """Says what the weather will be."""
    return f"sunny in {{city}} for {{days}} days"'''
NARROW: Final = 460
Application = Literal["lab", "notebook"]


@dataclass(frozen=True, slots=True)
class Scene:
    """The first cell and the one that is shown, what is done there until the picture, the theme, the window's size.

    beside: the sidebar is in the picture, too.
    application: lab, or notebook: Notebook 7.
    """

    first: str
    shown: str
    act: Callable[[Cell], Awaitable[None]]
    dark: bool = False
    width: int = 1200
    height: int = 1000
    beside: bool = False
    application: Application = "lab"


# Answers in cells


async def _list_begun(cell: Cell) -> None:
    """The middle of an answer: what comes before has been drawn, the list is being written."""
    await expect(cell.live.locator("ul > li").nth(1)).to_contain_text("ms", timeout=_PATIENCE_MS)


async def _silent(cell: Cell) -> None:
    await expect(cell.live).to_contain_text("no sign of life", timeout=_PATIENCE_MS)


async def _saved(cell: Cell) -> None:
    await cell.ended()


async def _one_ended(cell: Cell) -> None:
    """One answer has ended beside another that still runs."""
    await expect(cell.live.locator(".hs-lane[data-state=done]").first).to_be_visible(timeout=_PATIENCE_MS)


async def _stopped(cell: Cell) -> None:
    await expect(cell.live.locator("table")).to_be_visible(timeout=_PATIENCE_MS)
    await cell.stop.click()
    await cell.ended()


async def _interrupted(cell: Cell) -> None:
    """The kernel ends in the middle of an answer: the text so far comes from the journal."""
    await _list_begun(cell)
    await cell.notebook.restart()
    await expect(cell.output).to_contain_text("the kernel ended", timeout=_PATIENCE_MS)


async def _asking(cell: Cell) -> None:
    await expect(cell.live.locator(".hs-call[data-state=asking]")).to_be_visible(timeout=_PATIENCE_MS)


def _cell(options: str, act: Callable[[Cell], Awaitable[None]], *, dark: bool = False, prompt: str = _LONG) -> Scene:
    return Scene(_TOOL if "--tools" in options else LOAD, f"%%stream {options}".rstrip() + f"\n{prompt}", act, dark)


# The panel


async def _ask(cell: Cell, question: str) -> None:
    field = cell.root.get_by_role("textbox", name="your question")
    await field.fill(question)
    await field.press("Enter")


def _last(cell: Cell) -> Locator:
    return cell.root.locator(".hs-turn").last


async def _ended(cell: Cell, count: int = 1) -> None:
    lanes = cell.root.locator(".hs-turn .hs-lane:not([data-state=waiting], [data-state=streaming])")
    await expect(lanes).to_have_count(count, timeout=_PATIENCE_MS)


async def _empty(cell: Cell) -> None:
    await expect(cell.root.locator(".hs-example")).to_have_count(3)


async def _streaming(cell: Cell) -> None:
    await _ask(cell, _SHORT)
    await _ended(cell)
    await _ask(cell, _LONG)
    await expect(_last(cell).locator("ul > li").nth(1)).to_contain_text("ms", timeout=_PATIENCE_MS)


async def _compare(cell: Cell) -> None:
    await _ask(cell, _SHORT)
    await _ended(cell, 3)
    await cell.root.locator(".hs-continue").nth(1).click()
    await expect(cell.root.locator(".hs-continue[aria-pressed=true]")).to_have_count(1)


async def _all_ended(cell: Cell) -> None:
    await _ask(cell, _SHORT)
    await _ended(cell, 3)


async def _failed(cell: Cell) -> None:
    await _ask(cell, _SHORT)
    await expect(cell.root.locator(".hs-retry")).to_be_visible(timeout=_PATIENCE_MS)


async def _settings(cell: Cell) -> None:
    await _failed(cell)
    await cell.root.get_by_role("button", name="settings").click()
    await cell.root.locator(".hs-chip-name").first.click()
    await expect(cell.root.locator(".hs-offer").first).to_be_visible()


def _panel(arguments: str, act: Callable[[Cell], Awaitable[None]], *, dark: bool = False, width: int = 1000) -> Scene:
    return Scene(_IMPORT, f"hs.ChatPanel({arguments})", act, dark, width)


# The panel in the sidebar


async def _beside(cell: Cell) -> None:
    """The chat about the notebook, while it answers."""
    page = cell.notebook.page
    await page.evaluate("async () => { await jupyterapp.commands.execute('holystream_nb:chat'); }")
    field = page.locator("#holystream-sidebar").get_by_role("textbox", name="your question")
    await field.fill(_ABOUT)
    await field.press("Enter")
    await expect(page.locator("#holystream-sidebar .hs-turn ul > li").nth(1)).to_be_visible(timeout=_PATIENCE_MS)


def _sidebar(*, dark: bool = False, application: Application = "lab") -> Scene:
    return Scene(_DATA, _LOOK, _beside, dark, height=700, beside=True, application=application)


# A vote

_BENCH: Final = """import holystream_nb as hs

models = ["claude-sonnet-4.5", "gemini-2.5-flash"]
questions = ["Apologise in two sentences for a late parcel.", "Say in two sentences how to send a gift."]
result = await hs.bench(models, questions, answers=True, calibrate=False)"""


async def _voting(cell: Cell) -> None:
    """The first pair of answers, before anything is chosen."""
    await expect(cell.root.get_by_role("button", name="Tie")).to_be_visible(timeout=_PATIENCE_MS)


_NOTES: Final = f"{LOAD}\nnotes = 'p50 31 ms, p95 40 ms, p99 212 ms'"
_PROSE: Final = f"""%%stream -m {_MODEL}
# Task
Explain {{notes}} to a **new colleague**, and *why* a mean hides $p_{{99}}$.

- a table and a list
- no jargon, and `code` only where it helps"""
_DATA: Final = "import statistics\n\nlatencies = [31, 29, 33, 40, 30, 212, 32, 31]"
_LOOK: Final = "print(statistics.mean(latencies), statistics.median(latencies))"
_ABOUT: Final = "Why do these two differ? Answer with a list."
_ONE: Final = f"'{_MODEL}'"
_THREE: Final = f"models=['{_MODEL}', 'deepseek-v3.2', 'claude-sonnet-4.5']"
_CUT: Final = "'deepseek-v3.2#cut=40'"
_FILTERED: Final = "deepseek-v3.2#finish=content_filter,tokens=60"
_FLAWED: Final = f"-m {_FILTERED} -m gpt-4.1#bad-json,tokens=90,served=gpt-4.1-2025-04-14"
_CITING: Final = "gpt-4.1#citations=annotations,image,tokens=60,tier=flex"
_TOOLS: Final = f"-m {_MODEL} --tools get_weather"
_WEATHER: Final = "Use get_weather, Paris"

SCENES: Final[dict[str, Scene]] = {
    "streaming": _cell(f"-m {_MODEL}", _list_begun),
    "streaming-dark": _cell(f"-m {_MODEL}", _list_begun, dark=True),
    "prose": Scene(_NOTES, _PROSE, _list_begun),
    "prose-dark": Scene(_NOTES, _PROSE, _list_begun, dark=True),
    "notebook": Scene(_NOTES, _PROSE, _list_begun, application="notebook"),
    "notebook-dark": Scene(_NOTES, _PROSE, _list_begun, dark=True, application="notebook"),
    "saved": _cell("", _saved),
    "stopped": _cell(f"-m {_MODEL}", _stopped),
    "silent": _cell("-m deepseek-v3.2#stall=60,after=40", _silent),
    "silent-dark": _cell("-m deepseek-v3.2#stall=60,after=40", _silent, dark=True),
    "interrupted": _cell(f"-m {_MODEL}", _interrupted),
    "interrupted-dark": _cell(f"-m {_MODEL}", _interrupted, dark=True),
    "error": _cell("-m deepseek-v3.2#cut=90", _saved),
    "truncated": _cell("-m deepseek-v3.2#end=40 -m gpt-4.1", _list_begun),
    "truncated-dark": _cell("-m deepseek-v3.2#end=40 -m gpt-4.1", _list_begun, dark=True),
    "truncated-saved": _cell("-m deepseek-v3.2#end=90", _saved),
    "truncated-saved-dark": _cell("-m deepseek-v3.2#end=90", _saved, dark=True),
    "filtered-saved": _cell(f"-m {_FILTERED}", _saved),
    "empty-saved": _cell("-m gpt-4.1#tokens=0", _saved),
    "flawed": _cell(_FLAWED, _one_ended),
    "flawed-dark": _cell(_FLAWED, _one_ended, dark=True),
    "flawed-saved": _cell(_FLAWED, _saved),
    "citing": _cell(f"-m {_CITING} -m gpt-4.1", _one_ended),
    "citing-dark": _cell(f"-m {_CITING} -m gpt-4.1", _one_ended, dark=True),
    "citing-saved": _cell(f"-m {_CITING}", _saved),
    "tool": _cell(_TOOLS, _asking, prompt=_WEATHER),
    "tool-dark": _cell(_TOOLS, _asking, prompt=_WEATHER, dark=True),
    "panel": _panel(_ONE, _streaming),
    "panel-dark": _panel(_ONE, _streaming, dark=True),
    "panel-narrow": _panel(_ONE, _streaming, width=NARROW),
    "panel-compare": _panel(_THREE, _compare),
    "panel-compare-dark": _panel(_THREE, _compare, dark=True),
    "panel-compare-narrow": _panel(_THREE, _compare, width=NARROW),
    "panel-error": _panel(_CUT, _failed),
    "panel-error-dark": _panel(_CUT, _failed, dark=True),
    "panel-truncated": _panel("'deepseek-v3.2#end=40'", _failed),
    "panel-truncated-dark": _panel("'deepseek-v3.2#end=40'", _failed, dark=True),
    "panel-flawed": _panel(f"models=['{_FILTERED}', '{_CITING}', 'gpt-4o#tokens=0']", _all_ended),
    "panel-flawed-dark": _panel(f"models=['{_FILTERED}', '{_CITING}', 'gpt-4o#tokens=0']", _all_ended, dark=True),
    "panel-settings": _panel(_CUT, _settings),
    "panel-settings-dark": _panel(_CUT, _settings, dark=True),
    "panel-empty": _panel(_ONE, _empty),
    "panel-empty-dark": _panel(_ONE, _empty, dark=True),
    "panel-empty-narrow": _panel(_ONE, _empty, width=NARROW),
    "sidebar": _sidebar(),
    "sidebar-dark": _sidebar(dark=True),
    "sidebar-notebook": _sidebar(application="notebook"),
    "sidebar-notebook-dark": _sidebar(dark=True, application="notebook"),
    "vote": Scene(_BENCH, "result.vote(seed=3)", _voting),
    "vote-dark": Scene(_BENCH, "result.vote(seed=3)", _voting, dark=True),
}
