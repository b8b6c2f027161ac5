"""The panel in the sidebar: a chat about the notebook in front, which needs no cell."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Locator, Page, expect

from .conftest import Open
from .notebook import LOAD, Notebook, write
from .server import Server
from .service import Echo
from .test_page import PANEL, RENAME

OPEN = "async () => { await jupyterapp.commands.execute('holystream_nb:chat'); }"
LABEL = "Chat about this notebook"
KEY = "sk-abcdefghijklmnop1234567890abcd"
NOTES = f"notes = 'The tide comes twice a day.'\nprint(notes)\nkey = '{KEY}'"
SET = f"([path, index, text]) => {{ {PANEL} panel.content.widgets[index].model.sharedModel.setSource(text); }}"

SPEAK_R = f"""(path) => {{
  {PANEL}
  const info = Promise.resolve({{ language_info: {{ name: "R" }} }});
  Object.defineProperty(panel.sessionContext.session.kernel, "info", {{ get: () => info }});
}}"""

SHARE = """async ([path, other]) => {
  const panels = [...jupyterapp.shell.widgets("main")];
  const [panel, first] = [path, other].map((path) => panels.find((panel) => panel.context?.path === path));
  await panel.sessionContext.changeKernel({ id: first.sessionContext.session.kernel.id });
}"""
OPEN_ON = """async ([path, other]) => {
  const first = [...jupyterapp.shell.widgets("main")].find((panel) => panel.context?.path === other);
  const kernel = { id: first.sessionContext.session.kernel.id };
  const panel = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook", kernel });
  await panel.sessionContext.ready;
  return panel.id;
}"""
CLOSE = f"(path) => {{ {PANEL} panel.dispose(); }}"
NEW = """async () => {
  const panel = jupyterapp.shell.currentWidget;
  await panel.sessionContext.shutdown();
  panel.dispose();
}"""


def bar(page: Page) -> Locator:
    """What the sidebar shows of the notebook in front."""
    return page.locator("#holystream-sidebar > .hs-place:visible")


async def ask(page: Page, question: str) -> Locator:
    """Asks in the sidebar, and waits for the answer's end."""
    chat = bar(page).locator(".hs-chat")
    field = chat.get_by_role("textbox", name="your question")
    await field.fill(question)
    await field.press("Enter")
    await expect(chat.locator(".hs-question").last).to_contain_text(question)
    await expect(chat.locator(".hs-total")).to_contain_text("$", timeout=20_000)
    return chat


@pytest.mark.parametrize("application", ["lab", "notebook"])
async def test_a_chat_opens_beside_a_notebook_whose_kernel_does_not_know_the_package(
    open_notebook: Open, application: str
) -> None:
    """It is loaded without a trace in the notebook; the chat answers, and its notebook stays as it was."""
    notebook = await open_notebook(NOTES, load="2 + 2", application=application)
    await notebook.cell(1).run()
    await notebook.page.evaluate(OPEN)
    await ask(notebook.page, "What is a tide?")
    assert [len(await notebook.cell(index).outputs()) for index in (0, 1)] == [1, 1]
    await notebook.cell(0).run()
    assert "[3]" in await notebook.cell(0).root.locator(".jp-InputPrompt").inner_text()


async def test_the_launchers_tile_opens_it_for_the_notebook_in_front_and_for_a_new_one(
    open_notebook: Open, lab: Page, server: Server
) -> None:
    """The new one has the default kernel, and lies in the launcher's folder."""
    notebook = await open_notebook("1")
    tile = lab.locator(".jp-LauncherCard:visible", has_text=LABEL)
    await notebook.execute("launcher:create")
    await tile.click()
    await ask(lab, "What is a tide?")
    await notebook.close()
    await notebook.execute("launcher:create")
    await tile.click()
    await expect(bar(lab).locator(".hs-chat")).to_be_visible(timeout=30_000)
    await expect(bar(lab).locator(".hs-question")).to_have_count(0)
    await expect(bar(lab).locator(".hs-context")).to_contain_text("(1 cell)")
    await lab.evaluate(NEW)
    [made] = server.folder.glob("Untitled*.ipynb")
    made.unlink()


@pytest.mark.parametrize("application", ["lab", "notebook"])
async def test_the_palettes_item_opens_it(open_notebook: Open, application: str) -> None:
    """Found by its words, chosen with Enter."""
    notebook = await open_notebook("1", application=application)
    page = notebook.page
    await notebook.cell(1).root.click()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+Shift+C")
    await page.locator(".lm-CommandPalette-input:visible").fill("chat about")
    await expect(page.locator(".lm-CommandPalette-item:visible").first).to_contain_text(LABEL)
    await page.keyboard.press("Enter")
    await ask(page, "What is a tide?")


async def test_what_is_sent_of_the_notebook_is_shown_and_can_be_left_out(open_notebook: Open) -> None:
    """Its cells and outputs as they are now, without what looks like a key."""
    notebook = await open_notebook(NOTES)
    await notebook.cell(1).run()
    await notebook.page.evaluate(OPEN)
    place = bar(notebook.page)
    await expect(place.locator(".hs-context")).to_contain_text("2 cells")
    await place.locator("summary").click()
    sent = place.locator("pre")
    await expect(sent).to_contain_text("The tide comes twice a day.\n</output>")
    await expect(sent).not_to_contain_text(KEY)
    await notebook.page.evaluate(SET, [notebook.name, 1, "moon = 1"])
    await expect(sent).to_contain_text("moon = 1")
    await place.locator("input[type=checkbox]").uncheck()
    await expect(sent).to_have_text("Nothing of the notebook.")


async def test_the_notebook_goes_with_each_question_until_it_is_left_out(open_notebook: Open, echo: Echo) -> None:
    """In the system prompt, as it was shown."""
    service = f"import holystream_nb as hs\nhs.configure(model='echo', base_url={echo.url!r})"
    notebook = await open_notebook(service, NOTES)
    await notebook.cell(1).run()
    await notebook.cell(2).run()
    await notebook.page.evaluate(OPEN)
    place = bar(notebook.page)
    await expect(place.locator(".hs-context")).to_contain_text("3 cells")
    sent = await place.locator("pre").text_content()
    await _asked(place, "What is a tide?")
    assert echo.requests[-1]["messages"][0] == {"role": "system", "content": sent}
    await place.locator("input[type=checkbox]").uncheck()
    await expect(place.locator("pre")).to_have_text("Nothing of the notebook.")
    await _asked(place, "And the moon?")
    assert [message["role"] for message in echo.requests[-1]["messages"]] == ["user", "assistant", "user"]


async def _asked(place: Locator, question: str) -> None:
    field = place.get_by_role("textbox", name="your question")
    await field.fill(question)
    await field.press("Enter")
    await expect(place.locator(".hs-lane").last).to_contain_text(question)
    await expect(place.locator(".hs-send")).to_have_attribute("aria-label", "send")


async def test_the_conversation_stays_when_the_sidebar_is_closed_and_each_notebook_has_its_own(
    open_notebook: Open,
) -> None:
    """Another notebook in front shows its own chat; back at the first its conversation is there."""
    first = await open_notebook("1")
    await first.page.evaluate(OPEN)
    await ask(first.page, "What is a tide?")
    await first.execute("application:toggle-right-area")
    second = await open_notebook("2")
    await second.page.evaluate(OPEN)
    await expect(bar(second.page).locator(".hs-chat")).to_be_visible()
    await expect(bar(second.page).locator(".hs-question")).to_have_count(0)
    await first.cell(0).select()
    await first.page.evaluate("(id) => jupyterapp.shell.activateById(id)", first.id)
    await expect(bar(first.page).locator(".hs-question")).to_have_count(1)


async def shared(open_notebook: Open, server: Server, first: Notebook, way: str) -> Notebook:
    """Another notebook on the kernel of the first: its kernel was changed, or it was opened on this one."""
    if way == "changed":
        second = await open_notebook("2")
        await first.page.evaluate(SHARE, [second.name, first.name])
        return second
    file = write(server, [LOAD, "2"])
    return Notebook(first.page, file, await first.page.evaluate(OPEN_ON, [file.name, first.name]))


async def front(notebook: Notebook) -> None:
    await notebook.page.evaluate("(id) => jupyterapp.shell.activateById(id)", notebook.id)


@pytest.mark.parametrize("way", ["changed", "opened"])
async def test_two_notebooks_on_one_kernel_have_a_chat_each(open_notebook: Open, server: Server, way: str) -> None:
    """JupyterLab draws the widgets of such a kernel in one notebook alone: where that leaves, it is said, and mended
    by opening it again."""
    first = await open_notebook("1")
    page = first.page
    await page.evaluate(OPEN)
    await ask(page, "What is a tide?")
    second = await shared(open_notebook, server, first, way)
    await page.evaluate(OPEN)
    await expect(bar(page).locator(".hs-chat")).to_be_visible(timeout=20_000)
    await expect(bar(page).locator(".hs-question")).to_have_count(0)
    await ask(page, "And the moon?")
    await front(first)
    await expect(bar(page).locator(".hs-question")).to_have_text(["What is a tide?"])

    await page.evaluate(CLOSE, first.name)
    await front(second)
    await expect(bar(page).locator(".hs-told")).to_contain_text("were drawn by another notebook")
    again = Notebook(page, first.file, await page.evaluate(OPEN_ON, [first.name, second.name]))
    await page.evaluate(OPEN)
    await expect(bar(page).locator(".hs-question")).to_have_text(["What is a tide?"], timeout=20_000)
    await front(second)
    await bar(page).get_by_role("button", name="Open").click()
    await expect(bar(page).locator(".hs-question")).to_have_text(["And the moon?"])
    await ask(page, "And the sun?")
    await second.close()
    await again.close()


async def test_a_notebook_that_shares_its_kernel_keeps_its_chat_when_it_is_renamed(
    open_notebook: Open, server: Server
) -> None:
    """What is sent of it goes on as it is now."""
    first = await open_notebook("1")
    page = first.page
    await page.evaluate(OPEN)
    await ask(page, "What is a tide?")
    second = await shared(open_notebook, server, first, "changed")
    await page.evaluate(OPEN)
    await ask(page, "And the moon?")
    name = f"renamed-{second.name}"
    await page.evaluate(RENAME, [second.name, name])
    await page.evaluate(SET, [name, 1, "moon = 1"])
    await bar(page).locator(".hs-context summary").click()
    await expect(bar(page).locator("pre")).to_contain_text("moon = 1")
    await page.evaluate(OPEN)
    await expect(bar(page).locator(".hs-question")).to_have_text(["And the moon?"])
    await front(first)
    await expect(bar(page).locator(".hs-question")).to_have_text(["What is a tide?"])
    await page.evaluate(CLOSE, name)


async def test_a_restarted_kernel_is_said_and_the_chat_opens_again_with_its_conversation(open_notebook: Open) -> None:
    """The panel of the kernel before has gone with it, and what was said is in the journal."""
    notebook = await open_notebook("1")
    await notebook.page.evaluate(OPEN)
    await ask(notebook.page, "What is a tide?")
    await asyncio.sleep(1)
    await notebook.restart()
    place = bar(notebook.page)
    await expect(place.locator(".hs-told")).to_contain_text("another now")
    await place.get_by_role("button", name="Open").click()
    await expect(place.locator(".hs-question")).to_contain_text("What is a tide?", timeout=20_000)


async def test_an_empty_chat_is_wide_enough_and_its_composer_stands_at_the_bottom(open_notebook: Open) -> None:
    """At least 320 px; the composer's end is that of the sidebar."""
    notebook = await open_notebook("1")
    await notebook.page.evaluate(OPEN)
    chat = bar(notebook.page).locator(".hs-chat")
    await expect(chat).to_be_visible(timeout=20_000)
    whole = await notebook.page.locator("#holystream-sidebar").bounding_box()
    composer = await chat.locator(".hs-composer").bounding_box()
    assert whole is not None
    assert composer is not None
    assert whole["width"] >= 320
    assert abs(whole["y"] + whole["height"] - composer["y"] - composer["height"]) < 12


async def test_why_there_is_no_chat_is_said(open_notebook: Open) -> None:
    """A Python without the package; a kernel of another language; no kernel."""
    notebook = await open_notebook("import sys; sys.modules['holystream_nb'] = None", load="2 + 2")
    await notebook.cell(1).run()
    said = bar(notebook.page).locator(".hs-told")
    await notebook.page.evaluate(OPEN)
    await expect(said).to_contain_text("This kernel's Python does not have holystream_nb: run %pip install")
    await notebook.page.evaluate(SPEAK_R, notebook.name)
    await notebook.page.evaluate(OPEN)
    await expect(said).to_contain_text("This notebook's kernel speaks R: a chat needs a Python kernel.")
    await notebook.shutdown()
    await notebook.page.evaluate(OPEN)
    await expect(said).to_contain_text("This notebook has no kernel")


async def test_the_question_field_stays_in_sight_below_a_long_notebook(open_notebook: Open) -> None:
    """With what is sent open, too; the sidebar is as wide as a panel needs."""
    notebook = await open_notebook("\n".join(f"line_{number} = {number}" for number in range(200)))
    await notebook.page.evaluate(OPEN)
    place = bar(notebook.page)
    await expect(place.locator(".hs-context")).to_contain_text("2 cells")
    await place.locator("summary").click()
    await expect(place.locator("pre")).to_contain_text("line_199")
    field, whole = await place.locator(".hs-composer").bounding_box(), await place.bounding_box()
    assert field is not None
    assert whole is not None
    assert whole["width"] >= 320
    assert 0 <= whole["y"] + whole["height"] - field["y"] - field["height"] < 20
