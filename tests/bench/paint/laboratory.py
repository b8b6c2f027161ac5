"""Notebooks in fresh pages of a JupyterLab that runs for a benchmark, and a simulator beside it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import BrowserContext, CDPSession

from holystream_nb import Simulator
from tests.browser.chromium import browsing
from tests.browser.notebook import LOAD, Cell, Notebook, open_in_lab, open_lab, write
from tests.browser.server import Server, serving
from tests.conftest import CHROMIUM, NO_CHROMIUM

_PAGE: Final = Path(__file__).with_name("page.js")
_RUN: Final = "() => jupyterapp.commands.execute('notebook:run-cell').then(() => null)"


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A server, a browser and a simulator that answers as fast as it is asked to."""

    server: Server
    context: BrowserContext
    simulator: Simulator

    @asynccontextmanager
    async def notebook(self, *cells: str) -> AsyncIterator[tuple[Notebook, CDPSession]]:
        """These cells after the one that loads the extension, in a page and a kernel of their own."""
        page = await self.context.new_page()
        await page.add_init_script(path=_PAGE)
        await open_lab(page, self.server)
        notebook = await open_in_lab(page, write(self.server, [LOAD, *cells]))
        try:
            await run(notebook.cell(0))
            yield notebook, await self.context.new_cdp_session(page)
        finally:
            await notebook.shutdown()
            await page.close()


@asynccontextmanager
async def laboratory() -> AsyncIterator[Laboratory]:
    """Ends the process with a sentence where there is no Chromium."""
    if CHROMIUM is None:
        sys.exit(NO_CHROMIUM)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server, Simulator(speed=None) as simulator:
        async with browsing(CHROMIUM) as browser:
            context = await browser.new_context(viewport={"width": 1280, "height": 900})
            yield Laboratory(server, context, simulator)


async def run(cell: Cell) -> None:
    """Runs a cell to its end, however long that takes; raises RuntimeError if it failed."""
    await cell.select()
    await cell.notebook.page.evaluate(_RUN)
    if error := await cell.error():
        raise RuntimeError(f"{error['ename']}: {error['evalue']}")
