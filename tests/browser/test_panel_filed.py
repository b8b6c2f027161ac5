"""A chat panel that is never closed: what the notebook's file says, and what a page that comes back shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import nbformat
import pytest
from nbconvert import HTMLExporter, MarkdownExporter
from playwright.async_api import Page, expect

from .conftest import Open
from .notebook import Notebook, open_in_lab, open_in_notebook7, open_lab, read_in_lab
from .panel import IMPORT, PATIENCE_MS, Panel, chat
from .server import Server

ENDLESS: Final = "gpt-4.1#numbered,rate=50,tokens=9000"
VIEW: Final = "application/vnd.jupyter.widget-view+json"

NewPage = Callable[[], Awaitable[Page]]


async def streaming(open_notebook: Open, application: str) -> tuple[Notebook, Panel]:
    """A panel in which an answer arrives."""
    notebook = await open_notebook(chat(f"{ENDLESS!r}"), load=IMPORT, application=application)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask("Kangaroos?")
    await panel.reaches(0, 20)
    return notebook, panel


@pytest.mark.parametrize("application", ["lab", "notebook"])
async def test_a_file_saved_in_mid_answer_has_its_text(
    open_notebook: Open, server: Server, new_page: NewPage, application: str
) -> None:
    """Also where it is converted, or opened without a kernel; the panel on the page goes on."""
    notebook, panel = await streaming(open_notebook, application)
    saved = await notebook.save()
    shown = saved["cells"][1]["outputs"][0]
    assert list(shown["data"]) == ["text/plain"]
    text = "".join(shown["data"]["text/plain"])
    for words in ("chat panel of", "You: Kangaroos?", " 19 20 ", "still being written when this was saved"):
        assert words in text
    node = nbformat.reads(notebook.file.read_text(encoding="utf-8"), as_version=4)
    for exporter in (HTMLExporter(), MarkdownExporter()):
        assert "Kangaroos?" in exporter.from_notebook_node(node)[0]
    seen = (await panel.numbers(0))[-1]
    await panel.reaches(0, seen + 20)
    read = await read_in_lab(await new_page(), server, notebook.file)
    output = read.cell(1).output
    await expect(output).to_contain_text("You: Kangaroos?", timeout=PATIENCE_MS)
    for words in ("model not found", "Loading widget", "Error"):
        await expect(output).not_to_contain_text(words)


@pytest.mark.parametrize("application", ["lab", "notebook"])
@pytest.mark.parametrize("is_saved", [True, False])
async def test_a_page_that_comes_back_has_the_panel(
    open_notebook: Open, server: Server, new_page: NewPage, application: str, is_saved: bool
) -> None:
    """Whether the file has its text or nothing: the answer that arrives is there, whole, and Stop stops it."""
    notebook, panel = await streaming(open_notebook, application)
    if is_saved:
        await notebook.save()
    page = await new_page()
    if application == "lab":
        await open_lab(page, server)
        again = await open_in_lab(page, notebook.file)
    else:
        again = await open_in_notebook7(page, server, notebook.file)
    panel = Panel(again.cell(1).root)
    await expect(panel.root).to_have_count(1, timeout=PATIENCE_MS)
    await panel.reaches(0, 60)
    numbers = await panel.numbers(0)
    assert numbers == list(range(len(numbers)))
    await panel.send.click()
    await panel.shows(0, "stopped")
    text = "".join((await again.save())["cells"][1]["outputs"][0]["data"]["text/plain"])
    assert f" {numbers[-1]} " in text, "the copy is not brought up to date here"
