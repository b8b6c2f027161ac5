"""A chat panel beside other cells in JupyterLab: asked and stopped while the kernel computes, there after a reload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from playwright.async_api import expect

from .notebook import Notebook

Open = Callable[..., Awaitable[Notebook]]


PANEL = "import holystream_nb as hs, time\npanel = hs.ChatPanel('gpt-4.1#rate=40,tokens=2000,numbered')\npanel"


async def test_a_reader_asks_and_stops_while_a_cell_computes(open_notebook: Open) -> None:
    """Clicks reach the panel over JupyterLab's subshell, whatever the main thread does."""
    notebook = await open_notebook(PANEL, "time.sleep(20)\nprint('computed')")
    await notebook.cell(1).run()
    panel = notebook.cell(1).root.locator(".hs-chat")
    await expect(panel).to_be_visible()
    await notebook.cell(2).start()
    await panel.locator(".hs-composer textarea").fill("Count")
    await panel.locator(".hs-composer textarea").press("Enter")
    await expect(panel).to_contain_text("1 2 3 4 5", timeout=15_000)
    await panel.get_by_role("button", name="Stop").first.click()
    await expect(panel).to_contain_text("stopped", timeout=10_000)
    assert await notebook.cell(2).printed() == ""
    await notebook.interrupt()
    copy = notebook.cell(1).output.locator("details", has_text="Saved copy")
    await expect(copy).to_contain_text("1 question", timeout=15_000)
    assert await copy.get_attribute("open") is None
