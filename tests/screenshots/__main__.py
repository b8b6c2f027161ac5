"""Pictures of the real thing: `python -m tests.screenshots [FOLDER] [--all] [--only NAME …]`.

A real JupyterLab or Notebook 7, a real kernel and the simulator at the documents' pace. `streaming.png` and `panel.png`
of the README and `vote.png` of a notebook go to FOLDER (notebooks/images); the others go to a temporary folder, or with
--all there.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.async_api import FloatRect, Page

from ..browser.chromium import browsing
from ..browser.notebook import Cell, open_in_lab, open_in_notebook7, open_lab, set_theme, write
from ..browser.server import Server, serving
from ..conftest import CHROMIUM, NO_CHROMIUM
from .scenes import SCENES, Scene

_SHOWN: Final = ("streaming", "panel", "vote")
_FOLDER: Final = Path(__file__).parents[2] / "notebooks" / "images"
_MARGIN: Final = 10
"""Above the cells, in CSS pixels; below them lies the next cell."""


async def _draw(lab: Page, server: Server, scene: Scene) -> bytes:
    file = write(server, [scene.first, scene.shown, ""])
    if scene.application == "lab":
        page, notebook = lab, await open_in_lab(lab, file)
    else:
        page = await lab.context.new_page()
        notebook = await open_in_notebook7(page, server, file)
    await page.set_viewport_size({"width": scene.width, "height": scene.height})
    await set_theme(page, dark=scene.dark)
    await notebook.cell(0).run()
    cell = notebook.cell(1)
    await cell.start()
    await notebook.cell(2).select()  # as after Shift+Enter; it lies below the picture
    await scene.act(cell)
    frame = await (_frame_beside(cell) if scene.beside else _frame(cell))
    picture = await page.screenshot(clip=frame, animations="disabled")
    await page.evaluate("() => jupyterapp.shell.collapseRight()")
    await notebook.shutdown()
    await notebook.close()
    if page is not lab:
        await page.close()
    return _small(picture)


def _small(picture: bytes) -> bytes:
    """With 256 colours, which are enough for these."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


async def _frame(cell: Cell) -> FloatRect:
    """The first two cells, as far as they are in sight."""
    first, last = await cell.notebook.cell(0).root.bounding_box(), await cell.root.bounding_box()
    window = await cell.notebook.root.locator(".jp-WindowedPanel-outer").bounding_box()
    assert first is not None
    assert last is not None
    assert window is not None
    top = max(first["y"] - _MARGIN, window["y"])
    height = min(last["y"] + last["height"] - 2, window["y"] + window["height"]) - top
    return {"x": first["x"], "y": top, "width": first["width"], "height": height}


async def _frame_beside(cell: Cell) -> FloatRect:
    """The notebook and the sidebar, in their whole height."""
    notebook = await cell.notebook.root.bounding_box()
    sidebar = await cell.notebook.page.locator("#holystream-sidebar").bounding_box()
    assert notebook is not None
    assert sidebar is not None
    return {**sidebar, "x": notebook["x"], "width": sidebar["x"] + sidebar["width"] - notebook["x"]}


async def _main(folder: Path, others: Path, names: Sequence[str]) -> None:
    assert CHROMIUM is not None, NO_CHROMIUM
    with tempfile.TemporaryDirectory() as root, serving(Path(root), speed="1") as server:
        async with browsing(CHROMIUM) as browser:
            context = await browser.new_context(device_scale_factor=2)
            page = await context.new_page()
            await open_lab(page, server)
            await page.evaluate("() => { jupyterapp.shell.collapseLeft(); jupyterapp.shell.mode = 'single-document'; }")
            for name in names:
                file = (folder if name in _SHOWN else others) / f"{name}.png"
                file.write_bytes(await _draw(page, server, SCENES[name]))
                print(f"{file} ({file.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=_FOLDER, help="default: notebooks/images")
    parser.add_argument("--all", action="store_true", help="put all pictures there, not those that are shown alone")
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES), metavar="NAME", help="these alone")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    others = given.folder if given.all else Path(tempfile.mkdtemp(prefix="screenshots-"))
    asyncio.run(_main(given.folder, others, given.only))
