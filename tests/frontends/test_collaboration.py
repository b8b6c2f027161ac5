"""Two people in one notebook (jupyter-collaboration): an answer is once in both pages and in the file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from browser.chromium import browsing
from browser.notebook import LOAD, Cell, Notebook, open_in_lab, open_lab, write
from browser.server import Server, serving
from playwright.async_api import Browser, expect

from .programs import installed

pytestmark = pytest.mark.browser

_LATE_MS: Final = 30_000
_CELLS: Final = (
    LOAD,
    "%%stream -m gpt-4.1#stall=4,after=6\nKangaroos",
    "%%stream -m gpt-4.1#stall=30,after=6\nKoalas",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("shared"), installed=installed("collaboration")) as running:
        yield running


async def joined(browser: Browser, server: Server, file: Path) -> Notebook:
    """One person's page, with a browser profile of its own."""
    page = await (await browser.new_context()).new_page()
    await open_lab(page, server)
    return await open_in_lab(page, file)


async def test_two_people_get_one_answer(server: Server, chromium: str) -> None:
    """It is live where it was asked for; its plain text is once in both pages, and in the saved file.

    The other page does not trust the cell, and draws no widget in it: it shows the view's name until the end.
    """
    file = write(server, _CELLS)
    async with browsing(chromium) as browser:
        people = [await joined(browser, server, file) for _ in range(2)]
        first, _ = people
        await first.cell(0).run()

        await first.cell(1).start()
        held = first.cell(1).live.filter(has_text="A simulated answer")
        await expect(held).to_be_visible(timeout=_LATE_MS)
        assert "Kangaroos" not in await held.inner_text()  # the rest is held back: this is live
        for person in people:
            await is_plain(person.cell(1), "words about Kangaroos")

        await first.cell(2).start()
        await expect(first.cell(2).live).to_contain_text("A simulated answer", timeout=_LATE_MS)
        await first.cell(2).stop.click()
        for person in people:
            await is_plain(person.cell(2), "stopped")

        await first.save()  # these pages do not save by themselves
        saved = await answers(file)
        assert ["Kangaroos" in text for text in saved] == [True, False]
        assert "stopped" in saved[1]


async def is_plain(cell: Cell, said: str) -> None:
    await expect(cell.live).to_have_count(0, timeout=_LATE_MS)
    await expect(cell.output).to_contain_text(said, timeout=_LATE_MS)
    assert (await cell.output.inner_text()).count("A simulated answer") == 1


async def answers(file: Path) -> list[str]:
    """The one answer of each cell that asks, in the file, once the server has saved both."""
    async with asyncio.timeout(10):
        while True:
            cells: list[dict[str, Any]] = json.loads(await asyncio.to_thread(file.read_text))["cells"][1:]
            found = [[each for each in cell["outputs"] if "text/markdown" in each.get("data", {})] for cell in cells]
            if [len(each) for each in found] == [len(cell["outputs"]) for cell in cells] == [1, 1]:
                return ["".join(output["data"]["text/plain"]) for (output,) in found]
            await asyncio.sleep(0.2)
