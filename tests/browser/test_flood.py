"""The real flood: a thread prints 20 MB/s, and the Jupyter server, with its own rate limits, drops what it likes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from .conftest import Open
from .notebook import open_lab
from .panel import IMPORT, PATIENCE_MS, Panel, chat
from .server import Server

NewPage = Callable[[], Awaitable[Page]]

FLOOD: Final = """import sys, threading, time
def flood(seconds):
    line, end = "x" * 99_999 + "\\n", time.monotonic() + seconds
    while time.monotonic() < end:
        sys.stdout.write(line)
        time.sleep(0.005)
flooding = threading.Thread(target=flood, args=(8,))
flooding.start()"""
END: Final = "import asyncio; await asyncio.to_thread(flooding.join)"
"""Ends on the page when all that the flood has brought has been through the server."""


@pytest.mark.slow
async def test_a_flood_takes_nothing_from_a_panel_and_a_live_cell(open_notebook: Open) -> None:
    """Both answers end within the flood; after it both are whole on the page, and Send is Send."""
    notebook = await open_notebook(
        chat("'gpt-4.1#numbered,rate=50,tokens=150'"),
        FLOOD,
        "%%stream -m gpt-4.1#numbered,rate=50,tokens=150\nCount.",
        END,
        load=f"{IMPORT}\n%load_ext holystream_nb",
    )
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await expect(panel.root.locator(".hs-example")).to_have_count(3)
    await notebook.cell(2).run()
    await panel.ask("Count.")
    await notebook.cell(3).start()
    await notebook.cell(4).run()
    await expect(notebook.cell(3).output).to_contain_text("148 149", timeout=PATIENCE_MS)
    await panel.shows(0)
    assert await panel.numbers(0) == list(range(150))
    await expect(panel.send).to_have_attribute("title", re.compile("send"))
    await expect(panel.root.locator(".hs-pending")).to_have_count(0)


LIMITED: Final = (b'"display_data"', b'"update_display_data"', b'"stream"', b'"comm_msg"')
"""What a server above its limits drops, by type; an execution's reply and a kernel's states always come."""


async def test_an_answer_that_the_server_has_dropped_is_in_its_cell_after_the_end(
    open_notebook: Open, new_page: NewPage, server: Server
) -> None:
    """Its view, its replacement, and all that is said of them to the page: the page asks when the cell has ended."""
    page = await new_page()
    drops = False

    def limited(socket: WebSocketRoute) -> None:
        def passed(message: str | bytes) -> None:
            raw = message.encode() if isinstance(message, str) else message
            if not (drops and any(kind in raw for kind in LIMITED)):
                socket.send(message)

        socket.connect_to_server().on_message(passed)

    await page.route_web_socket(re.compile("/channels"), limited)
    await open_lab(page, server)
    notebook = await open_notebook("%%stream -m gpt-4.1#numbered,tokens=9\nCount.", page=page)
    drops = True
    await notebook.cell(1).run()
    await asyncio.sleep(3)  # what is asked at once is not answered either
    assert await notebook.cell(1).outputs() == []
    drops = False
    await expect(notebook.cell(1).output).to_contain_text("7 8", timeout=PATIENCE_MS)
    assert [output["output_type"] for output in await notebook.cell(1).outputs()] == ["display_data"]
