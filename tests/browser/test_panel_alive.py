"""A chat panel in time: beside busy cells, in several places, after a reload, without a kernel, closed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Final

from playwright.async_api import Page, expect

from .conftest import Open
from .notebook import open_in_lab, open_lab, read_in_lab, write
from .panel import IMPORT, PATIENCE_MS, Panel, chat
from .server import Server

NewPage = Callable[[], Awaitable[Page]]

ENDLESS: Final = "gpt-4.1#numbered,rate=50,tokens=9000"


async def test_panels_stream_side_by_side_while_a_cell_computes(open_notebook: Open) -> None:
    """Asked and stopped by hand while `time.sleep` holds the kernel, two at once: each has its own tokens, in order."""
    notebook = await open_notebook(
        chat(f"'{ENDLESS}'", "one"),
        chat("'gpt-4o#numbered,rate=80,tokens=60'", "two"),
        "import time; time.sleep(60)",
        "print([panel.messages[1]['state'] for panel in (one, two)])",
        load=IMPORT,
    )
    for number in (1, 2):
        await notebook.cell(number).run()
    one, two = (Panel(notebook.cell(number).root) for number in (1, 2))
    await expect(one.root.locator(".hs-example")).to_have_count(3)
    busy = notebook.cell(3)
    await busy.start()
    await expect(busy.root.locator(".jp-InputPrompt")).to_contain_text("[*]")
    await one.ask("Count.")
    await two.ask("Count, too.")
    await one.reaches(0, 20)
    await two.shows(0)
    await one.send.click()
    await one.shows(0, "stopped")
    assert "[*]" in await busy.root.locator(".jp-InputPrompt").inner_text(), "the cell has ended: this proves nothing"
    await notebook.interrupt()
    assert await two.numbers(0) == list(range(60))
    first = await one.numbers(0)
    assert first == list(range(len(first)))
    await busy.ended()
    await notebook.cell(4).run()
    assert await notebook.cell(4).printed() == "['stopped', 'done']\n"


async def test_a_reloaded_page_has_all_of_it_and_says_that_the_copy_is_stale(new_page: NewPage, server: Server) -> None:
    """The answer goes on and can be stopped, another can be asked; "Save copy" writes the Markdown file."""
    page = await new_page()
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))  # leave the page all the same
    file = write(server, [IMPORT, chat("'gpt-4.1#numbered,tokens=9'"), f"panel.model = '{ENDLESS}'"])
    await open_lab(page, server)
    notebook = await open_in_lab(page, file)
    for number in range(2):
        await notebook.cell(number).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask("First")
    await panel.shows(0)
    await notebook.cell(2).run()
    await panel.ask("Second")
    await panel.reaches(1, 10)
    await expect(panel.button("Save copy")).to_be_hidden()
    await notebook.save()

    await page.reload()
    await page.wait_for_function("window.jupyterapp?.restored.then(() => true)")
    notebook = await open_in_lab(page, file)
    panel = Panel(notebook.cell(1).root)
    await expect(panel.turns).to_have_count(2, timeout=PATIENCE_MS)
    assert await panel.numbers(0) == list(range(9))
    await panel.reaches(1, 10)
    seen = await panel.numbers(1)
    await panel.reaches(1, seen[-1] + 50)
    await expect(panel.root.locator(".hs-stale")).to_contain_text("no longer brought up to date")
    await panel.send.click()
    await panel.shows(1, "stopped")
    assert await panel.numbers(1) == list(range(len(await panel.numbers(1))))

    await panel.choose(panel.chips, "gpt-4.1#numbered,tokens=4")
    await panel.ask("Third")
    await panel.shows(2)
    before = set(server.folder.glob("*.md"))
    await panel.button("Save copy").click()
    said = panel.root.locator(".hs-said:not(.hs-stale)")
    await expect(said).to_contain_text(re.compile(r"Saved as .*\.md"), timeout=PATIENCE_MS)
    [written] = set(server.folder.glob("*.md")) - before
    assert written.name in await said.inner_text()
    text = written.read_text(encoding="utf-8")
    assert [word for word in ("First", "Second", "Third", "0 1 2 3 4 5 6 7 8", "stopped") if word not in text] == []
    await notebook.shutdown()


async def test_a_second_view_of_the_output_is_the_same_panel(open_notebook: Open, lab: Page) -> None:
    """ "Create New View for Output": it shows what is there, streams, and asks and stops as the first does."""
    notebook = await open_notebook(chat(f"'{ENDLESS}'"), load=IMPORT)
    await notebook.cell(1).run()
    first = Panel(notebook.cell(1).root)
    await first.ask("Count.")
    await first.reaches(0, 10)
    await notebook.cell(1).select()
    await notebook.execute("notebook:create-output-view")
    second = Panel(lab.locator(".jp-LinkedOutputView"))
    await second.reaches(0, 30)
    numbers = await second.numbers(0)
    assert numbers == list(range(len(numbers)))
    await second.send.click()
    for view in (first, second):
        await view.shows(0, "stopped")
    assert await first.numbers(0) == await second.numbers(0)
    await second.choose(second.chips, "gpt-4.1#numbered,tokens=4")
    await second.ask("Again.")
    for view in (first, second):
        await view.shows(1)
        await expect(view.asked(1)).to_have_text("Again.")
        assert await view.numbers(1) == list(range(4))
        await expect(view.root.locator(".hs-stale")).to_be_hidden()
    await lab.evaluate("jupyterapp.shell.currentWidget.close()")


async def test_the_saved_conversation_reads_without_a_kernel(
    open_notebook: Open, server: Server, new_page: NewPage
) -> None:
    """Under the panel a closed fold holds questions, answers and figures; no key and no widget state is in the file."""
    notebook = await open_notebook(chat("'gpt-4.1#numbered,tokens=9'"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    copy = notebook.cell(1).output.locator(".jp-OutputArea-output.jp-RenderedMarkdown")
    await panel.ask("Kangaroos?")
    await panel.shows(0)
    await expect(copy.locator("summary")).to_have_text("Saved copy · 1 question")
    await expect(copy.locator("details")).not_to_have_attribute("open", "")
    await panel.ask("Wallabies?")
    await panel.shows(1)
    await expect(copy.locator("summary")).to_have_text("Saved copy · 2 questions", timeout=PATIENCE_MS)
    content = await notebook.save()
    assert "widget-state" not in json.dumps(content)
    assert "sim_" not in json.dumps(content)
    await notebook.shutdown()
    await notebook.close()

    page = await new_page()
    cell = (await read_in_lab(page, server, notebook.file)).cell(1)
    saved = cell.output.locator(".jp-RenderedMarkdown")
    await saved.locator("summary").first.dispatch_event("click")  # a dialog says that there is no server
    await expect(saved.locator("details")).to_have_attribute("open", "")
    for words in ("Kangaroos?", "Wallabies?", "0 1 2 3 4 5 6 7 8", "9 tokens"):
        await expect(saved).to_contain_text(words)


async def test_a_panel_that_goes_stops_its_stream(open_notebook: Open) -> None:
    """Closed by the program, at once; its output cleared by the reader, after a while in which it might come back."""
    notebook = await open_notebook(
        chat(f"'{ENDLESS}'", "closed"),
        chat(f"'{ENDLESS}'", "cleared"),
        "closed.close()",
        "import asyncio, json\n"
        "while cleared.is_streaming or closed.is_streaming: await asyncio.sleep(0.05)\n"
        "print(json.dumps([panel.messages[-1]['state'] for panel in (closed, cleared)]))",
        load=IMPORT,
    )
    for number in (1, 2):
        await notebook.cell(number).run()
    for number in (1, 2):
        panel = Panel(notebook.cell(number).root)
        await panel.ask("Count.")
        await panel.reaches(0, 5)
    await notebook.cell(2).select()
    await notebook.execute("notebook:clear-cell-output")
    await notebook.cell(3).run()
    await expect(notebook.cell(1).root.locator(".hs-chat")).to_have_count(0)
    await expect(notebook.cell(1).output).to_contain_text("closed")
    await notebook.cell(4).run()
    assert json.loads(await notebook.cell(4).printed()) == ["stopped", "stopped"]
