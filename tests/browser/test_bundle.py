"""A widget's script and style sheet: with the extension they are on the page once, and not sent with every view."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from .conftest import Open
from .notebook import Notebook, open_lab
from .server import Server
from .test_page import OPEN

LIMIT = 4_000
"""Bytes of the message that opens a live view; 260,000 without the extension."""

LISTEN = """(path) => {
  const panel = [...jupyterapp.shell.widgets("main")].find((each) => each.context?.path === path);
  window.hsOpened = [];
  panel.sessionContext.session.kernel.iopubMessage.connect((_, message) => {
    const { state } = message.content.data ?? {};
    if (message.header.msg_type !== "comm_open" || !state?._esm) return;
    window.hsOpened.push(JSON.stringify(message.content).length);
  });
}"""
STREAM = "%%stream\nCount to twenty."
PANEL = "import holystream_nb as hs\nhs.ChatPanel()"
TRUST = """(path) => {
  const panel = [...jupyterapp.shell.widgets("main")].find((each) => each.context?.path === path);
  for (const { model } of panel.content.widgets) model.trusted = true;
}"""
PAUSE = "import asyncio; await asyncio.sleep(1)"


async def opened(notebook: Notebook) -> list[int]:
    """Sizes in bytes of the messages that opened our widgets since `LISTEN`."""
    found: list[int] = await notebook.page.evaluate("hsOpened")
    return found


@pytest.mark.parametrize("application", ["lab", "notebook"])
async def test_a_view_takes_its_bundle_from_the_page(open_notebook: Open, application: str) -> None:
    """The messages that open a live view and a panel are small, and both are drawn with their styles."""
    notebook = await open_notebook(PAUSE, STREAM, PANEL, application=application)
    await notebook.page.evaluate(LISTEN, notebook.name)
    await notebook.cell(1).run()
    await notebook.cell(2).run()
    await notebook.cell(3).run()
    panel = notebook.cell(3).output.locator(".hs-chat")
    await expect(panel).to_be_visible()
    assert await panel.evaluate("(element) => getComputedStyle(element).display") == "flex"
    sizes = await opened(notebook)
    assert len(sizes) == 2
    assert max(sizes) < LIMIT
    names = await notebook.page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
    assert len([name for name in names if "/holystream_nb/static/chat." in name and name.endswith(".js")]) == 1


async def test_a_page_without_the_extension_gets_the_whole(open_notebook: Open) -> None:
    """As it was: the kernel has heard no hello from the page whose cell it runs."""
    notebook = await open_notebook(PAUSE, "from holystream_nb.live.page import page\npage.end()", PANEL)
    await notebook.page.evaluate(LISTEN, notebook.name)
    for index in (1, 2, 3):
        await notebook.cell(index).run()
    await expect(notebook.cell(3).output.locator(".hs-chat")).to_be_visible()
    [size] = await opened(notebook)
    assert size > 100_000


async def test_another_versions_extension_is_not_used_and_that_is_said_once(open_notebook: Open) -> None:
    """The whole bundle is sent, and the page says why."""
    other = "import holystream_nb.live.page as module\nmodule.page.end()\n"
    other += "module.sources = lambda: 'another'\nimport holystream_nb.live.bundle as bundle\n"
    other += "bundle.sources = module.sources\nmodule.page.begin()"
    notebook = await open_notebook(PAUSE, other, PAUSE, PANEL)
    await notebook.page.evaluate(LISTEN, notebook.name)
    for index in (1, 2, 3, 4):
        await notebook.cell(index).run()
    await expect(notebook.cell(4).output.locator(".hs-chat")).to_be_visible()
    [size] = await opened(notebook)
    assert size > 100_000
    said = notebook.page.locator(".Toastify__toast").filter(has_text="another version of holystream_nb")
    await expect(said).to_have_count(1)
    await said.locator(".Toastify__close-button, .jp-toast-button, button").first.click()


async def test_a_second_page_without_the_extension_asks_for_the_whole(
    open_notebook: Open, browser_context_without_extension: BrowserContext, server: Server
) -> None:
    """A view that one page asked for is drawn in the other too: a file may hold it that no extension has saved."""
    notebook = await open_notebook(
        PAUSE, "import holystream_nb as hs\npanel = hs.ChatPanel()\npanel", "print(panel.widget.model_id, end='')"
    )
    for index in (1, 2, 3):
        await notebook.cell(index).run()
    model = await notebook.cell(3).printed()
    content = await notebook.save()
    view = {"version_major": 2, "version_minor": 0, "model_id": model}
    content["cells"][2]["outputs"][0]["data"]["application/vnd.jupyter.widget-view+json"] = view
    notebook.file.write_text(json.dumps(content), encoding="utf-8")
    second = await browser_context_without_extension.new_page()
    await open_lab(second, server)
    await second.evaluate(OPEN, notebook.name)
    await second.evaluate(TRUST, notebook.name)
    await expect(second.locator(".hs-chat")).to_be_visible()


@pytest_asyncio.fixture(loop_scope="session")
async def browser_context_without_extension(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A second browser, in which the extension's script is not to be had."""
    context = await browser.new_context()
    await context.route("**/extensions/holystream_nb/**", lambda route: route.abort())
    yield context
    await context.close()
