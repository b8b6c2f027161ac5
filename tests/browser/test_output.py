"""An answer in an `ipywidgets.Output`, in a real page."""

from __future__ import annotations

from typing import Final

from playwright.async_api import expect

from .conftest import Open

_LATE_MS: Final = 30_000
_ASKED: Final = """import asyncio, holystream_nb as hs, ipywidgets
output, button, tasks = ipywidgets.Output(), ipywidgets.Button(description="Ask"), []
async def ask():
    with output:
        print("Said before")  # by a button's task: the page does not take it
        await hs.stream("{subject}", model="gpt-4.1#stall={stall},after=6")
"""
_BY_BUTTON: Final = (
    _ASKED.format(subject="By a button", stall=3)
    + """button.on_click(lambda _: tasks.append(asyncio.ensure_future(ask())))
ipywidgets.VBox([button, output])"""
)
_BY_CELL: Final = _ASKED.format(subject="By a cell", stall=3) + "display(output)\nawait ask()"


async def test_an_answer_of_a_buttons_task_is_live_in_its_output_and_then_plain(open_notebook: Open) -> None:
    """The usual way of an app: the click has been handled long before the answer comes."""
    notebook = await open_notebook(_BY_BUTTON)
    cell = notebook.cell(1)
    await cell.start()
    await cell.root.get_by_role("button", name="Ask", exact=True).click(timeout=_LATE_MS)
    held = cell.live.filter(has_text="A simulated answer")
    await expect(held).to_be_visible(timeout=_LATE_MS)
    assert "By a button" not in await held.inner_text()  # the rest is held back: this is live
    await expect(cell.live).to_have_count(0, timeout=_LATE_MS)
    await expect(cell.output).to_contain_text("By a button", timeout=_LATE_MS)
    text = await cell.output.inner_text()
    assert text.count("A simulated answer.") == 1
    assert "> By a button" not in text  # drawn, not Markdown


async def test_an_answer_of_a_cell_in_an_output_stays_where_the_output_took_it(open_notebook: Open) -> None:
    """A page may not say what an Output took while its cell runs: then the view stays, with the whole answer."""
    notebook = await open_notebook(_BY_CELL)
    cell = notebook.cell(1)
    await cell.run()
    await expect(cell.output).to_contain_text("By a cell", timeout=_LATE_MS)
    text = await cell.output.inner_text()
    assert text.count("A simulated answer.") == 1
    assert text.index("Said before") < text.index("A simulated answer.")
