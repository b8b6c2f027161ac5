"""Voila runs a notebook's cells as nbclient does, and then opens a page on their kernel.

So `%%stream` shows its end only there: `_jinja_cell_generator` of its `notebook_renderer.py` waits for
`executor.execute_cell`, and with `--progressive_rendering` the page is sent each cell's outputs (`execution_result`)
when the cell has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import nbformat
import pytest
from browser.chromium import browsing
from playwright.async_api import Page, expect

from .programs import beside, serving

pytestmark = pytest.mark.browser

_LATE_MS: Final = 60_000
_CELLS: Final = (
    "%load_ext holystream_nb",
    "%%stream -m gpt-4.1\nSaid while the page was made",
    """import holystream_nb as hs, ipywidgets, asyncio
output, button, tasks = ipywidgets.Output(), ipywidgets.Button(description="Ask"), []
async def ask():
    with output:
        await hs.stream("Asked by a button", model="gpt-4.1#stall=5,after=6")
button.on_click(lambda _: tasks.append(asyncio.ensure_future(ask())))
ipywidgets.VBox([button, output])""",
    "hs.ChatPanel(model='gpt-4.1#stall=5,after=6')",
)


@pytest.fixture(scope="module")
def voila(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a notebook that Voila serves."""
    folder = tmp_path_factory.mktemp("voila")
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        cells=[nbformat.v4.new_code_cell(source) for source in _CELLS],
    )
    nbformat.write(notebook, folder / "asked.ipynb")
    variables = {**beside("voila"), "IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    with serving(folder, "voila", "asked.ipynb", "--no-browser", variables=variables) as address:
        yield address


async def test_answers_and_a_panel_are_live_in_voila(voila: str, chromium: str) -> None:
    """What was said while the page was made is there once; a button's answer and a panel's stream in the page."""
    async with browsing(chromium) as browser:
        page = await browser.new_page()
        await page.goto(voila, timeout=_LATE_MS)
        said = page.get_by_text("Said while the page was made")
        await expect(said.first).to_be_visible(timeout=_LATE_MS)
        await answers_once(page)
        await page.get_by_role("button", name="Ask", exact=True).click(timeout=_LATE_MS)
        live = page.locator(".holystream", has_text="A simulated answer")
        await expect(live).to_be_visible(timeout=_LATE_MS)
        assert "Asked by a button" not in await live.inner_text()  # the rest is held back
        await expect(live).to_have_count(0, timeout=_LATE_MS)
        await expect(page.get_by_text("Asked by a button").first).to_be_visible(timeout=_LATE_MS)
        await page.get_by_role("textbox", name="your question").fill("Kangaroos?")
        await page.keyboard.press("Enter")
        turn = page.get_by_role("article")
        await expect(turn.get_by_text("A simulated answer")).to_be_visible(timeout=10_000)
        await expect(turn.get_by_text("about Kangaroos")).to_be_visible(timeout=_LATE_MS)


async def answers_once(page: Page) -> None:
    text = await page.inner_text("body")
    assert text.count("A simulated answer.") == 1
    assert "LiveView(" not in text
