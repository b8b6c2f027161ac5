"""Pictures of the real thing: `python -m tests.screenshots [FOLDER] [--all]`.

A real JupyterLab, a real kernel and the simulator at the documents' pace. `streaming.png`, the README's picture, goes
to FOLDER (notebooks/images); the others go to a temporary folder, or with --all there too.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from playwright.async_api import FloatRect, Page, expect

from ..browser.chromium import browsing
from ..browser.notebook import LOAD, Cell, open_in_lab, open_lab, set_theme, write
from ..browser.server import Server, serving
from ..conftest import CHROMIUM, NO_CHROMIUM

_README: Final = "streaming"
_FOLDER: Final = Path(__file__).parents[2] / "notebooks" / "images"
_WIDTH, _HEIGHT = 1200, 1000
_MARGIN: Final = 10
"""Above the cells, in CSS pixels; below them lies the next cell."""
_PROMPT: Final = "Explain SSE with Python code, a table and a list"
_MODEL: Final = "gpt-4.1"


async def _streaming(cell: Cell) -> None:
    """The middle of an answer: what comes before has been drawn, the list is being written."""
    await expect(cell.live.locator("ul > li").nth(1)).to_contain_text("ms", timeout=30_000)


async def _saved(cell: Cell) -> None:
    await cell.ended()


async def _stopped(cell: Cell) -> None:
    await expect(cell.live.locator("table")).to_be_visible(timeout=30_000)
    await cell.stop.click()
    await cell.ended()


Moment = Callable[[Cell], Awaitable[None]]
_SCENES: Final[dict[str, tuple[str, bool, Moment]]] = {  # option line, dark, when
    _README: (f"-m {_MODEL}", False, _streaming),
    "streaming-dark": (f"-m {_MODEL}", True, _streaming),
    "saved": ("", False, _saved),
    "stopped": (f"-m {_MODEL}", False, _stopped),
    "error": ("-m deepseek-v3.2#cut=90", False, _saved),
}


async def _draw(page: Page, server: Server, options: str, moment: Moment) -> bytes:
    notebook = await open_in_lab(page, write(server, [LOAD, f"%%stream {options}".rstrip() + f"\n{_PROMPT}", ""]))
    await notebook.cell(0).run()
    cell = notebook.cell(1)
    await cell.start()
    await notebook.cell(2).select()  # as after Shift+Enter; it lies below the picture
    await moment(cell)
    picture = await page.screenshot(clip=await _frame(cell), animations="disabled")
    await notebook.close()
    return picture


async def _frame(cell: Cell) -> FloatRect:
    """The first two cells."""
    first, last = await cell.notebook.cell(0).root.bounding_box(), await cell.root.bounding_box()
    assert first is not None
    assert last is not None
    top = first["y"] - _MARGIN
    height = min(last["y"] + last["height"] - 2, _HEIGHT) - top
    return {"x": first["x"], "y": top, "width": first["width"], "height": height}


async def _main(folder: Path, others: Path) -> None:
    assert CHROMIUM is not None, NO_CHROMIUM
    with tempfile.TemporaryDirectory() as root, serving(Path(root), speed="1") as server:
        async with browsing(CHROMIUM) as browser:
            page = await browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, device_scale_factor=2)
            await open_lab(page, server)
            await page.evaluate("() => { jupyterapp.shell.collapseLeft(); jupyterapp.shell.mode = 'single-document'; }")
            for name, (options, dark, moment) in _SCENES.items():
                await set_theme(page, dark=dark)
                file = (folder if name == _README else others) / f"{name}.png"
                file.write_bytes(await _draw(page, server, options, moment))
                print(f"{file} ({file.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=_FOLDER, help="default: notebooks/images")
    parser.add_argument("--all", action="store_true", help="put all pictures there, not the README's alone")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_main(given.folder, given.folder if given.all else Path(tempfile.mkdtemp(prefix="screenshots-"))))
