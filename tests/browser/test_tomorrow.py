"""What is there in a second view, in the file and its exports; what is there after a reload, test_kept.py shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, expect

from .conftest import Open
from .notebook import LOAD, Notebook, open_in_lab, open_lab, write
from .server import Server

NewPage = Callable[[], Awaitable[Page]]

ENDLESS: Final = "%%stream -m gpt-4.1#numbered,rate=60,tokens=9000 --as reply\nCount."
PATIENCE_MS: Final = 20_000
QUICKSTART: Final = Path(__file__).parents[2] / "notebooks" / "01_quickstart.ipynb"


# A kernel that goes ------------------------------------------------------------------------------------------------


async def test_a_restart_ends_the_clock(open_notebook: Open) -> None:
    """A request that had no answer yet: its clock stands still and is not shown any more; test_kept.py has the rest."""
    notebook = await open_notebook("%%stream -m gpt-4.1#first=60\nHello")
    cell = notebook.cell(1)
    await cell.start()
    await expect(cell.live.locator(".hs-time")).to_contain_text("s …")
    await cell.select()
    await notebook.execute("notebook:restart-kernel")
    await notebook.page.locator(".jp-Dialog .jp-mod-accept").click()
    await expect(cell.output).to_contain_text("the kernel ended", timeout=PATIENCE_MS)
    assert re.search(r"\d s …", await cell.output.inner_text()) is None


# Two views ---------------------------------------------------------------------------------------------------------


async def test_two_views_of_an_output_grow_and_end(open_notebook: Open) -> None:
    """ "Create New View for Output": both show the same while it streams, and both become the saved output."""
    notebook = await open_notebook("%%stream -m gpt-4.1#numbered,rate=60,tokens=300\nCount.")
    cell = notebook.cell(1)
    second = notebook.page.locator(".jp-LinkedOutputView")
    await cell.start()
    await _reaches(cell.live, 20)
    await cell.select()
    await notebook.execute("notebook:create-output-view")
    await expect(second.locator(".hs-body")).to_contain_text(" 20 ")
    first = await _numbers(second)
    assert first == list(range(len(first)))
    await _reaches(second, first[-1] + 30)
    await _reaches(cell.live, first[-1] + 30)

    await cell.ended()
    everything = " ".join(str(number) for number in range(300))
    for view in (cell.output, second):
        await expect(view.locator(".jp-RenderedMarkdown p").first).to_have_text(everything)
        await expect(view.locator("em").last).to_contain_text("300 tokens")
        await expect(view.locator(".holystream")).to_have_count(0)
    assert _widgets(await notebook.save()) == []
    await notebook.page.evaluate("jupyterapp.shell.currentWidget.close()")


# The file ----------------------------------------------------------------------------------------------------------

ENDINGS: Final = (
    "-m gpt-4.1#tokens=30",
    "-m gpt-4.1#tokens=30 -m sim-reasoner",
    "-m gpt-4.1#cut=10",
    "-m gpt-4.1#cut=10 -m gpt-4o#tokens=5",
    "-m gpt-4.1#error",
    "-m gpt-4.1#html",
    "-m no-such-model",
    "-f text",
    "-f json",
    "-m gpt-4.1#huge=400000",
)


async def test_without_a_reload_nothing_of_a_widget_is_saved(open_notebook: Open) -> None:
    """However a stream ends: no widget in the outputs, none in the notebook's metadata."""
    notebook = await open_notebook(*(f"%%stream {options}\nHello" for options in ENDINGS), ENDLESS)
    for number in range(1, len(ENDINGS) + 1):
        await notebook.cell(number).run()
    last = notebook.cell(len(ENDINGS) + 1)
    await last.start()
    await _reaches(last.live, 10)
    await notebook.interrupt()
    await last.ended()
    content = await notebook.save()
    assert _widgets(content) == []
    assert all(cell["outputs"] for cell in content["cells"][1:])


def _widgets(content: dict[str, Any]) -> list[str]:
    """Traces of widgets in a notebook file."""
    everything = json.dumps([content["metadata"], [cell["outputs"] for cell in content["cells"]]])
    return re.findall(r"widget[\w+.-]*|LiveView|model_id", everything)


# What the file becomes ---------------------------------------------------------------------------------------------

PROMPTS: Final = ("A table, a list, code and maths", "Count to 9")
COMPARED: Final = "%%stream -m gpt-4.1 -m sim-reasoner\nHello"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def saved(context: BrowserContext, server: Server) -> AsyncIterator[list[Path]]:
    """A notebook as JupyterLab saved it, and saved again after a second run with another prompt in cell 2."""
    page = await context.new_page()
    cells = [f"%%stream -m gpt-4.1\n{PROMPTS[0]}", "%%stream -m gpt-4.1\nCount to 5", COMPARED]
    notebook = await _open(page, server, *cells)
    files = []
    for count in (5, 6):
        await notebook.page.evaluate(_REWRITE, [notebook.name, 2, f"%%stream -m gpt-4.1\nCount to {count}"])
        for number in (1, 2, 3):
            await notebook.cell(number).run()
        content = await notebook.save()
        kinds = [[output["output_type"] for output in cell["outputs"]] for cell in content["cells"][1:]]
        assert kinds == [["display_data"]] * 3, content
        files.append(notebook.file.with_name(f"tomorrow-{count}.ipynb"))
        shutil.copy(notebook.file, files[-1])
    await notebook.shutdown()
    await page.close()
    yield files


_REWRITE: Final = """([path, index, source]) => {
  const panel = [...jupyterapp.shell.widgets("main")].find((panel) => panel.context?.path === path);
  panel.content.model.cells.get(index).sharedModel.setSource(source);
}"""


async def test_html_by_nbconvert_reads_like_the_notebook(saved: list[Path], new_page: NewPage) -> None:
    """Headings, tables, code, the reasoning's fold and the status lines are there, and no widget."""
    page = await new_page()
    await page.route("https://**", lambda route: route.abort())
    await page.set_content(await _run("nbconvert", "--to", "html", "--stdout", str(saved[0])))
    outputs = page.locator(".jp-OutputArea-output")
    await expect(outputs).to_have_count(3)
    first, second, third = (outputs.nth(number) for number in range(3))
    await expect(first.locator("tbody tr")).to_have_count(3)
    await expect(first.locator("pre")).to_contain_text("for number, word in enumerate(subject.split()):")
    await expect(first.locator("ul > li")).to_have_count(3)
    await expect(first.locator("em").last).to_contain_text("gpt-4.1 · simulator")
    await expect(second.locator("p").first).to_have_text("1, 2, 3, 4, 5")
    await expect(third.locator("h3")).to_have_text(["gpt-4.1¶", "sim-reasoner¶"])
    await expect(third.locator("details > summary")).to_contain_text("Reasoning")
    await expect(third.locator("table").last.locator("tbody tr")).to_have_count(2)
    await expect(page.locator("main")).not_to_contain_text(re.compile("LiveView|widget", re.IGNORECASE))


async def test_markdown_by_nbconvert_is_the_saved_markdown(saved: list[Path]) -> None:
    """Each output stands below its cell to the letter, once."""
    exported = await _run("nbconvert", "--to", "markdown", "--stdout", str(saved[0]))
    cells = json.loads(saved[0].read_text())["cells"][1:]
    place = 0
    for cell in cells:
        source, answer = "".join(cell["source"]), "".join(cell["outputs"][0]["data"]["text/markdown"])
        assert exported.count(answer.strip()) == 1
        assert place < exported.index(source) < exported.index(answer.strip())
        place = exported.index(answer.strip())
    assert "LiveView" not in exported


@pytest.mark.parametrize("cell", [2, 3], ids=["one model", "several models"])
async def test_nbdiff_shows_what_has_changed(saved: list[Path], cell: int) -> None:
    """Line by line and figure by figure: no line that stayed is shown as taken away and put back."""
    shown = await _run("nbdime", "diff", "--no-color", "--ignore-metadata", *map(str, saved))
    parts = [part for part in shown.split("\n## ") if f"/cells/{cell}/outputs/" in part.partition("\n")[0]]
    assert parts
    removed: set[str] = set()
    added: set[str] = set()
    for part in parts:  # a figure of one place may well be another's: two models take turns at 0 ms of connecting
        gone, come = ({line[1:] for line in part.splitlines()[1:] if line.startswith(sign)} for sign in "-+")
        assert gone & come == set()
        removed |= gone
        added |= come
    if cell == 2:
        assert {"1, 2, 3, 4, 5"} <= removed
        assert {"1, 2, 3, 4, 5, 6"} <= added


async def test_an_exported_quickstart_runs_under_ipython(tmp_path: Path) -> None:
    """`nbconvert --to script`, named .ipy: it runs, as text, up to the cell that is meant to fail, in one sentence."""
    script = tmp_path / "quickstart.ipy"
    script.write_text(await _run("nbconvert", "--to", "script", "--stdout", str(QUICKSTART)), encoding="utf-8")
    environment = {"HOLYSTREAM_SIMULATOR_SPEED": "20", "IPYTHONDIR": str(tmp_path), "TERM": "dumb"}
    told = await _run("IPython", "--no-banner", "--colors=NoColor", str(script), ends=1, **environment)
    assert told.count("A simulated answer.") >= 2
    assert "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12" in told
    assert told.rstrip().splitlines()[-1].startswith("StreamInterrupted: ")
    assert "Traceback" not in told


# Steps -------------------------------------------------------------------------------------------------------------


async def _open(page: Page, server: Server, *cells: str) -> Notebook:
    """A new notebook in a page of its own, with the extension loaded."""
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))  # leave the page all the same
    file = write(server, [LOAD, *cells])
    await open_lab(page, server)
    notebook = await open_in_lab(page, file)
    await notebook.cell(0).run()
    return notebook


async def _reaches(view: Locator, number: int) -> None:
    """Waits until a numbered answer has come to a number."""
    await expect(view.locator(".hs-body")).to_contain_text(f" {number} ", timeout=PATIENCE_MS)


async def _numbers(view: Locator) -> list[int]:
    return [int(word) for word in (await view.locator(".hs-body").inner_text(timeout=PATIENCE_MS)).split()]


async def _run(module: str, *arguments: str, ends: int = 0, **variables: str) -> str:
    """What a command line tool writes; the test's own server does not wait meanwhile."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    command = [sys.executable, "-m", module, *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**kept, **variables}
    )
    output, trouble = await process.communicate()
    assert process.returncode == ends, trouble.decode()
    return output.decode()
