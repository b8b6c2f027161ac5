"""A notebook in a page of JupyterLab or Notebook 7, as a test uses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from playwright.async_api import Locator, Page

from .server import TOKEN, Server

LOAD: Final = "%load_ext holystream_nb"
_PATIENCE_S: Final = 60.0

# The application is in `window.jupyterapp` (expose_app_in_browser); a panel is found by its path.
_PANEL: Final = """
  const panels = [...jupyterapp.shell.widgets("main")];
  const panel = panels.find((panel) => panel.context?.path === path);
"""
_OPEN_IN_LAB: Final = """async (path) => {
  await jupyterapp.restored;
  const panel = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
  await panel.context.ready;
  await panel.sessionContext.ready;
  return panel.id;
}"""
_OPENED: Final = f"""async (path) => {{
  {_PANEL}
  await panel.context.ready;
  await panel.sessionContext.ready;
  return panel.id;
}}"""
_SELECT: Final = f"""([path, index]) => {{
  {_PANEL}
  panel.content.deselectAll();
  panel.content.activeCellIndex = index;
  panel.content.mode = "command";
  panel.content.activate();
}}"""
_START: Final = "(command) => { void jupyterapp.commands.execute(command); }"
_RUN: Final = "async (command) => { await jupyterapp.commands.execute(command); }"
_HAS_RUN: Final = """(cell) => /\\[\\d+\\]/.test(cell.querySelector(".jp-InputPrompt").textContent)"""
_OUTPUTS: Final = f"""([path, index]) => {{
  {_PANEL}
  return panel.content.model.cells.get(index).toJSON().outputs;
}}"""
_SAVE: Final = f"async (path) => {{ {_PANEL} await panel.context.save(); }}"
_READ: Final = """async (path) => {
  const panel = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
  await panel.context.ready;
  return panel.id;
}"""
_RESTART: Final = f"async (path) => {{ {_PANEL} await panel.sessionContext.session.kernel.restart(); }}"
_SHUTDOWN: Final = f"async (path) => {{ {_PANEL} await panel?.sessionContext.shutdown(); }}"
_CLOSE: Final = f"""(path) => {{
  {_PANEL}
  void panel?.sessionContext.shutdown();
  panel?.dispose();
}}"""


@dataclass(frozen=True)
class Look:
    """What a cell showed at one moment: `at` in ms of the page's clock, the live answer's text, the status line."""

    at: float
    body: str
    status: str


_WATCH: Final = """(cell, key) => {
  const looks = ((window.hsLooks ??= {})[key] = []);
  const look = () => {
    const view = cell.querySelector(".holystream");
    if (!view) return;
    const body = view.querySelector(".hs-body").textContent;
    const parts = [...view.querySelectorAll(".hs-status > :not([hidden])")];
    const status = parts.map((part) => part.textContent).filter(Boolean).join(" · ");
    const last = looks.at(-1);
    if (body !== last?.body || status !== last?.status) looks.push({ at: performance.now(), body, status });
  };
  new MutationObserver(look).observe(cell, { subtree: true, childList: true, characterData: true, attributes: true });
}"""


@dataclass(frozen=True)
class Cell:
    """One cell: `root` is its element, `output` where its output is drawn, `live` the live view while it is there."""

    notebook: Notebook
    index: int

    @property
    def root(self) -> Locator:
        return self.notebook.root.locator(".jp-Cell").nth(self.index)

    @property
    def output(self) -> Locator:
        return self.root.locator(".jp-Cell-outputArea")

    @property
    def live(self) -> Locator:
        return self.root.locator(".holystream")

    @property
    def stop(self) -> Locator:
        """The Stop button of the first answer."""
        return self.root.locator("button.hs-stop").first

    async def select(self) -> None:
        await self.notebook.page.evaluate(_SELECT, [self.notebook.name, self.index])

    async def start(self) -> None:
        """Runs the cell without waiting for its end."""
        await self.select()
        await self.notebook.execute("notebook:run-cell")

    async def run(self) -> None:
        """Runs the cell to its end, whatever that is."""
        await self.select()
        async with asyncio.timeout(_PATIENCE_S):
            await self.notebook.page.evaluate(_RUN, "notebook:run-cell")

    async def ended(self) -> None:
        """Waits until the cell, which had not been run before, has been: its prompt has a number."""
        cell = await self.root.element_handle()
        # Playwright's own `expect` looks only about once a second.
        await self.notebook.page.wait_for_function(_HAS_RUN, arg=cell, polling=20, timeout=_PATIENCE_S * 1000)

    async def is_untouched(self) -> bool:
        """Whether the cell has never been run and does not wait to be."""
        return "[ ]" in (await self.root.locator(".jp-InputPrompt").inner_text()).replace("\xa0", " ")

    async def outputs(self) -> list[dict[str, Any]]:
        """The outputs as nbformat has them, as the page holds them now."""
        found: list[dict[str, Any]] = await self.notebook.page.evaluate(_OUTPUTS, [self.notebook.name, self.index])
        return found

    async def error(self) -> dict[str, Any] | None:
        """The error output, if the cell failed."""
        return next((output for output in await self.outputs() if output["output_type"] == "error"), None)

    async def printed(self) -> str:
        """What the cell wrote to standard output."""
        return "".join(str(output["text"]) for output in await self.outputs() if output.get("name") == "stdout")

    async def watch(self) -> Recording:
        """Starts to record what the live view shows."""
        key = f"{self.notebook.name} {self.index}"
        await self.root.evaluate(_WATCH, key)
        return Recording(self.notebook.page, key)


@dataclass(frozen=True)
class Recording:
    """Every change of a cell's live view, seen by a MutationObserver."""

    page: Page
    key: str

    async def looks(self) -> list[Look]:
        return [Look(**look) for look in await self.page.evaluate("(key) => hsLooks[key]", self.key)]

    async def bodies(self) -> list[str]:
        """The answer's texts without repetitions and without the empty beginning."""
        texts = [look.body for look in await self.looks() if look.body]
        return [text for text, before in zip(texts, ["", *texts], strict=False) if text != before]


@dataclass(frozen=True)
class Notebook:
    """A notebook open in a page, with a running kernel; cell 0 is the one that loads the extension."""

    page: Page
    file: Path
    id: str

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def root(self) -> Locator:
        return self.page.locator(f'[id="{self.id}"]')

    def cell(self, index: int) -> Cell:
        return Cell(self, index)

    async def execute(self, command: str) -> None:
        """Starts one of JupyterLab's commands on the open notebook."""
        await self.page.evaluate(_START, command)

    async def run_all(self) -> None:
        """Queues all cells, as the menu's Run All Cells does."""
        await self.cell(0).select()
        await self.execute("notebook:run-all-cells")

    async def interrupt(self) -> None:
        """A click on the toolbar's ■."""
        await self.root.locator('[data-jp-item-name="interrupt"]').click()

    async def save(self) -> dict[str, Any]:
        """Saves, and returns what is in the file."""
        await self.page.evaluate(_SAVE, self.name)
        return self.read()

    def read(self) -> dict[str, Any]:
        """What is in the file."""
        content: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return content

    async def restart(self) -> None:
        """Restarts the kernel, as the toolbar's ⟳ does once its dialog is answered."""
        await self.page.evaluate(_RESTART, self.name)

    async def shutdown(self) -> None:
        """Ends the kernel, if the notebook is still open."""
        await self.page.evaluate(_SHUTDOWN, self.name)

    async def close(self) -> None:
        """Closes the tab and ends the kernel; what is not saved is lost."""
        await self.page.evaluate(_CLOSE, self.name)


def write(server: Server, cells: Sequence[str]) -> Path:
    """A new notebook file with these code cells."""
    content = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [
            {
                "id": f"cell-{number}",
                "cell_type": "code",
                "source": source,
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(cells)
        ],
    }
    file = server.folder / f"{uuid4().hex[:12]}.ipynb"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


async def open_lab(page: Page, server: Server) -> None:
    """Opens an empty JupyterLab in the page."""
    await page.goto(f"{server.url}lab?token={TOKEN}&reset")
    await page.wait_for_function("window.jupyterapp?.restored.then(() => true)")


async def set_theme(page: Page, *, dark: bool) -> None:
    """Puts JupyterLab, and the settings of its server, into the light or the dark theme."""
    theme = f"JupyterLab {'Dark' if dark else 'Light'}"
    await page.evaluate("(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    await page.wait_for_function("(light) => document.body.dataset.jpThemeLight === light", arg=str(not dark).lower())


async def open_in_lab(page: Page, file: Path) -> Notebook:
    """Opens a file in a page that has JupyterLab, in front of whatever is open there."""
    return Notebook(page, file, await page.evaluate(_OPEN_IN_LAB, file.name))


async def read_in_lab(page: Page, server: Server, file: Path) -> Notebook:
    """Opens a file in a new page where no kernel can be started."""
    await page.route("**/api/sessions*", lambda route: route.abort())
    await open_lab(page, server)
    return Notebook(page, file, await page.evaluate(_READ, file.name))


async def open_in_notebook7(page: Page, server: Server, file: Path) -> Notebook:
    """Opens a file in a page of its own in Notebook 7."""
    await page.goto(f"{server.url}notebooks/{file.name}?token={TOKEN}")
    await page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
    return Notebook(page, file, await page.evaluate(_OPENED, file.name))
