"""The real flood: a thread prints 20 MB/s, and the Jupyter server, with its own rate limits, drops what it likes."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import pytest
from playwright.async_api import expect

from .conftest import Open
from .panel import IMPORT, PATIENCE_MS, Panel, chat

FLOOD: Final = """import sys, threading, time
def flood(seconds):
    line, end = "x" * 99_999 + "\\n", time.monotonic() + seconds
    while time.monotonic() < end:
        sys.stdout.write(line)
        time.sleep(0.005)
threading.Thread(target=flood, args=(8,)).start()"""


@pytest.mark.slow
async def test_a_flood_takes_nothing_from_a_panel_and_a_live_cell(open_notebook: Open) -> None:
    """Both answers end within the flood; after it both are whole on the page, and Send is Send."""
    notebook = await open_notebook(
        chat("'gpt-4.1#numbered,rate=50,tokens=150'"),
        FLOOD,
        "%%stream -m gpt-4.1#numbered,rate=50,tokens=150\nCount.",
        load=f"{IMPORT}\n%load_ext holystream_nb",
    )
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await expect(panel.root.locator(".hs-example")).to_have_count(3)
    await notebook.cell(2).run()
    await panel.ask("Count.")
    await notebook.cell(3).start()
    await asyncio.sleep(10)
    await expect(notebook.cell(3).output).to_contain_text("148 149", timeout=PATIENCE_MS)
    await panel.shows(0)
    assert await panel.numbers(0) == list(range(150))
    await expect(panel.send).to_have_attribute("title", re.compile("send"))
    await expect(panel.root.locator(".hs-pending")).to_have_count(0)
