"""A chat panel whose kernel was restarted or killed, whose cell was run again, whose notebook was copied."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from typing import Final

from playwright.async_api import Page, expect

from .conftest import Open
from .notebook import Notebook, open_in_lab
from .panel import IMPORT, PATIENCE_MS, Panel, chat
from .server import Server
from .service import Echo

COUNTING = "gpt-4.1#numbered,tokens=9"
ENDLESS = "gpt-4.1#numbered,rate=50,tokens=9000"


async def test_after_a_restart_the_cell_shows_the_conversation_and_goes_on(open_notebook: Open) -> None:
    """The panel says what to do; Run All does it: questions, answers, figures, settings and the total are there."""
    notebook = await open_notebook(chat(f"{COUNTING!r}"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    for number, word in enumerate(("First", "Second")):
        await panel.ask(word)
        await panel.shows(number)
    await panel.button("settings").click()
    await panel.root.get_by_label("Temperature").fill("0.3")
    await panel.root.get_by_label("Temperature").press("Enter")
    figures = await panel.lane(1).locator(".hs-figures").inner_text()
    total = await panel.total.inner_text()
    await asyncio.sleep(1)  # what is written down is at most half a second behind

    await notebook.restart()
    said = panel.root.locator(".hs-said:not(.hs-stale)")
    await expect(said).to_contain_text("The kernel has gone. Run the cell again to go on.", timeout=PATIENCE_MS)
    await notebook.run_all()
    await expect(said).to_be_hidden(timeout=PATIENCE_MS)
    await expect(panel.turns).to_have_count(2, timeout=PATIENCE_MS)
    await expect(panel.asked(0)).to_have_text("First")
    assert await panel.numbers(1) == list(range(9))
    await expect(panel.lane(1).locator(".hs-figures")).to_have_text(figures)
    await expect(panel.total).to_have_text(total)
    await panel.button("settings").click()
    await expect(panel.root.get_by_label("Temperature")).to_have_value("0.3")
    copy = notebook.cell(1).output.locator(".jp-OutputArea-output.jp-RenderedMarkdown")
    await expect(copy.locator("summary")).to_have_text("Saved copy · 2 questions")
    await panel.ask("Third")
    await panel.shows(2)
    await expect(copy.locator("summary")).to_have_text("Saved copy · 3 questions", timeout=PATIENCE_MS)


async def test_a_killed_kernel_leaves_what_had_arrived(open_notebook: Open, lab: Page) -> None:
    """The answer is there as far as it had come, and says that the kernel ended; asked again it is whole."""
    notebook = await open_notebook(chat(f"{ENDLESS!r}"), "import os; print(os.getpid())", load=IMPORT)
    for number in (1, 2):
        await notebook.cell(number).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask("Count.")
    await panel.reaches(0, 60)
    os.kill(int(await notebook.cell(2).printed()), signal.SIGKILL)
    said = panel.root.locator(".hs-said:not(.hs-stale)")
    await expect(said).to_contain_text("Run the cell again to go on.", timeout=PATIENCE_MS)
    await lab.get_by_role("dialog").get_by_role("button", name="Ok").click()  # it says that the kernel died
    seen = await panel.numbers(0)
    for number in (0, 1):
        await notebook.cell(number).run()
    await panel.shows(0, "lost")
    await expect(panel.lane(0).locator(".hs-status")).to_contain_text("interrupted: the kernel ended")
    kept = await panel.numbers(0)
    assert kept == list(range(len(kept)))
    assert len(kept) > len(seen) - 40, "more than half a second of it is gone"
    await panel.choose(panel.chips, COUNTING)
    await panel.button("Retry").click()
    await panel.shows(0)
    assert await panel.numbers(0) == list(range(9))


async def test_a_cell_that_is_run_again_goes_on_with_its_running_answer(open_notebook: Open) -> None:
    """Without a restart: not a token is missing, and Stop stops it."""
    notebook = await open_notebook(chat(f"{ENDLESS!r}"), load=IMPORT)
    panel = Panel(notebook.cell(1).root)
    await notebook.cell(1).run()
    await panel.ask("Count.")
    await panel.reaches(0, 20)
    for _ in range(2):
        await notebook.cell(1).run()
    await panel.reaches(0, 60)
    numbers = await panel.numbers(0)
    assert numbers == list(range(len(numbers)))
    await panel.send.click()
    await panel.shows(0, "stopped")
    await expect(notebook.cell(1).root.locator(".hs-chat")).to_have_count(1)


async def test_a_new_conversation_keeps_the_one_before(open_notebook: Open) -> None:
    """The button asks first, and says how the other one is opened; after a restart the new one is there."""
    notebook = await open_notebook(chat(f"{COUNTING!r}"), "", load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask("Kangaroos?")
    await panel.shows(0)
    await panel.button("new conversation").click()
    await panel.button("Begin a new one? This one is kept.").click()
    await expect(panel.turns).to_have_count(0)
    said = panel.root.locator(".hs-said:not(.hs-stale)")
    await expect(said).to_contain_text("The conversation before is kept: hs.ChatPanel(name=", timeout=PATIENCE_MS)
    opening = (await said.inner_text()).partition("kept: ")[2].partition(" opens")[0]
    await panel.ask("Wallabies?")
    await panel.shows(0)
    await asyncio.sleep(1)
    await notebook.restart()
    for number in (0, 1):
        await notebook.cell(number).run()
    await expect(panel.asked(0)).to_have_text("Wallabies?", timeout=PATIENCE_MS)
    await expect(panel.turns).to_have_count(1)
    await _write(notebook, 2, f"panel = {opening}\npanel")
    await notebook.cell(2).run()
    await expect(Panel(notebook.cell(2).root).asked(0)).to_have_text("Kangaroos?", timeout=PATIENCE_MS)


async def test_two_panels_and_a_copied_notebook_keep_apart(open_notebook: Open, server: Server, lab: Page) -> None:
    """Each cell has its conversation; the copy of the notebook, with the same cells, begins with nothing."""
    notebook = await open_notebook(chat(f"{COUNTING!r}", "one"), chat(f"{COUNTING!r}", "two"), load=IMPORT)
    panels = [Panel(notebook.cell(number).root) for number in (1, 2)]
    for number, panel in enumerate(panels):
        await notebook.cell(number + 1).run()
        await panel.ask(f"Question {number}")
        await panel.shows(0)
    await notebook.save()
    copy = server.folder / f"copy-{notebook.name}"
    shutil.copy(notebook.file, copy)
    await asyncio.sleep(1)
    await notebook.restart()
    await notebook.run_all()
    for number, panel in enumerate(panels):
        await expect(panel.turns).to_have_count(1, timeout=PATIENCE_MS)
        await expect(panel.asked(0)).to_have_text(f"Question {number}")

    copied = await open_in_lab(lab, copy)
    for number in (0, 1):
        await copied.cell(number).run()
    await expect(Panel(copied.cell(1).root).root.locator(".hs-example")).to_have_count(3, timeout=PATIENCE_MS)
    await copied.close()


async def _write(notebook: Notebook, index: int, source: str) -> None:
    change = """([path, index, source]) => {
      const panel = [...jupyterapp.shell.widgets("main")].find((panel) => panel.context?.path === path);
      panel.content.model.cells.get(index).sharedModel.setSource(source);
    }"""
    await notebook.page.evaluate(change, [notebook.name, index, source])


async def test_a_long_conversation_is_saved_in_pieces(open_notebook: Open, echo: Echo) -> None:
    """What comes once an output is full gets another, in the panel's cell; the first is not drawn again."""
    notebook = await open_notebook(chat(f"'ollama:echo', base_url={echo.url!r}"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    copies = notebook.cell(1).output.locator(".jp-OutputArea-output.jp-RenderedMarkdown > details > summary")
    for number in range(3):
        await panel.ask(f"Question {number}: {'words ' * 900}")
        await panel.shows(number)
    await expect(copies).to_have_text([f"Saved copy · question {number}" for number in (1, 2, 3)], timeout=PATIENCE_MS)
    await copies.first.evaluate("(summary) => { summary.isTheFirst = true; }")
    await panel.ask("A short one.")
    await panel.shows(3)
    titles = ["Saved copy · question 1", "Saved copy · question 2", "Saved copy · questions 3 to 4"]
    await expect(copies).to_have_text(titles, timeout=PATIENCE_MS)
    assert await copies.first.evaluate("(summary) => summary.isTheFirst"), "an output that had not changed was drawn"
    saved = str((await notebook.save())["cells"][1]["outputs"])
    assert [word for word in ("Question 0:", "Question 1:", "Question 2:", "A short one.") if word not in saved] == []

    await panel.turns.nth(1).hover()
    await panel.button("delete from here", 1).click()
    await panel.button("Delete 3 questions?").click()
    await expect(copies).to_have_text(["Saved copy · 1 question"], timeout=PATIENCE_MS)
    assert "Question 1:" not in str((await notebook.save())["cells"][1]["outputs"])


async def test_the_copy_is_drawn_when_it_is_opened(open_notebook: Open, echo: Echo) -> None:
    """Until then the page draws its fold alone, and typesets none of its formulas; the file has all of it."""
    notebook = await open_notebook(chat(f"'ollama:echo', base_url={echo.url!r}"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    copy = notebook.cell(1).output.locator(".jp-OutputArea-output.jp-RenderedMarkdown")
    await panel.ask("Why is $x^2$ a square?")
    await panel.shows(0)
    await expect(copy.locator("summary")).to_have_text("Saved copy · 1 question", timeout=PATIENCE_MS)
    assert await copy.text_content() == "Saved copy · 1 question"
    assert "$x^2$" in str((await notebook.save())["cells"][1]["outputs"])
    await copy.locator("summary").focus()
    await notebook.page.keyboard.press("Enter")
    await expect(copy.locator("mjx-container").first).to_be_visible(timeout=PATIENCE_MS)
    await expect(copy.locator("summary")).to_be_focused()
    await panel.ask("Another.")
    await expect(copy.locator("summary")).to_have_text("Saved copy · 2 questions", timeout=PATIENCE_MS)
    await expect(copy.get_by_text("Another.").first).to_be_visible()


RENAME: Final = """async ([path, name]) => {
  const panel = [...jupyterapp.shell.widgets("main")].find((panel) => panel.context?.path === path);
  await panel.context.rename(name);
}"""


async def test_a_renamed_notebook_goes_on_in_its_next_kernel(open_notebook: Open, server: Server, lab: Page) -> None:
    """Restarted, where the kernel still goes by the former name, and started anew, where it does not."""
    notebook = await open_notebook(chat(f"{COUNTING!r}"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask("First")
    await panel.shows(0)
    name = f"renamed-{notebook.name}"
    await lab.evaluate(RENAME, [notebook.name, name])
    notebook = Notebook(lab, server.folder / name, notebook.id)
    await asyncio.sleep(1)
    await notebook.restart()
    await notebook.run_all()
    await expect(panel.asked(0)).to_have_text("First", timeout=PATIENCE_MS)
    await expect(panel.root.locator(".hs-said:not(.hs-stale)")).to_be_hidden(timeout=PATIENCE_MS)
    await panel.ask("Second")
    await panel.shows(1)
    await asyncio.sleep(1)
    await notebook.save()
    await notebook.close()
    notebook = await open_in_lab(lab, server.folder / name)
    await notebook.run_all()
    panel = Panel(notebook.cell(1).root)
    await expect(panel.asked(1)).to_have_text("Second", timeout=PATIENCE_MS)
    await notebook.close()
