"""Where the page and the server have no extension of ours: what is left of an answer there, and what is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from .notebook import Notebook, open_in_lab, open_lab, write
from .server import Server, serving

STREAM: Final = "%%stream -m gpt-4.1#rate=30,numbered,tokens=90\nCount."
LATE: Final = 30_000
END: Final = " 88 89"
SAVED: Final = ".jp-OutputArea-output[data-mime-type='text/markdown']"


Begin = Callable[..., Awaitable[Notebook]]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("bare"), is_extended=False) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def begin(bare: Server, new_page: Callable[[], Awaitable[Page]]) -> AsyncIterator[Begin]:
    """Opens this cell below one that loads holystream_nb, and runs it until its answer has begun."""

    async def make(cell: str = STREAM) -> Notebook:
        page = await new_page()
        await open_lab(page, bare)
        assert await page.evaluate("document.body.dataset.holystreamExtension") is None
        notebook = await open_in_lab(
            page, write(bare, ["%load_ext holystream_nb\nimport holystream_nb as hs", cell, "1"])
        )
        await notebook.cell(0).run()
        await notebook.cell(1).start()
        await expect(notebook.cell(1).live.locator(".hs-body")).to_contain_text(" 20 ", timeout=LATE)
        return notebook

    yield make


async def test_an_answer_ends_as_ever(begin: Begin) -> None:
    """The plain output replaces the view, once."""
    notebook = await begin()
    await expect(notebook.cell(1).output.locator(SAVED)).to_contain_text(END, timeout=LATE)
    content = await notebook.save()
    assert [sorted(output["data"]) for output in content["cells"][1]["outputs"]] == [["text/markdown", "text/plain"]]


async def move(notebook: Notebook, *commands: str) -> None:
    """What the reader does to the cell that streams."""
    await notebook.cell(1).select()
    for command in commands:
        await notebook.page.evaluate("async (command) => { await jupyterapp.commands.execute(command); }", command)
        await asyncio.sleep(0.3)


MOVES: Final = {
    "moved": (["notebook:move-cell-down"], 2),
    "deleted and undone": (["notebook:delete-cell", "notebook:undo-cell-action"], 1),
}


@pytest.mark.parametrize("moved", MOVES)
async def test_a_cell_that_is(begin: Begin, moved: str) -> None:
    """The final output is displayed anew in it; the file has it once, and no view that nobody can draw."""
    commands, index = MOVES[moved]
    notebook = await begin()
    await move(notebook, *commands)
    cell = notebook.cell(index)
    await expect(cell.output.locator(SAVED)).to_contain_text(END, timeout=LATE)
    await expect(cell.live).to_have_count(0)
    content = await notebook.save()
    assert [sorted(output["data"]) for output in content["cells"][index]["outputs"]] == [
        ["text/markdown", "text/plain"]
    ]
    assert "widget-view" not in str(content)


async def test_a_cell_that_is_cut_and_pasted(begin: Begin) -> None:
    """It is another cell, which nothing reaches: its view has all of the answer, and says what its file has not."""
    notebook = await begin(STREAM.replace("tokens=90", "tokens=150"))
    await move(notebook, "notebook:cut-cell", "notebook:paste-cell-below")
    cell = notebook.cell(2)
    await expect(cell.live).to_contain_text(" 148 149", timeout=LATE)
    await expect(cell.live.get_by_role("alert")).to_contain_text("%stream last", timeout=LATE)
