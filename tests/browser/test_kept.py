"""Nothing is lost: what can befall a page or a kernel while an answer streams, and what is left of the answer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from .notebook import Cell, Notebook, open_in_lab, open_in_notebook7, open_lab, write
from .server import TOKEN, Server
from .service import Echo

LOAD: Final = "%load_ext holystream_nb\nimport asyncio, os, time\nimport holystream_nb as hs\nprint(os.getpid())"
LAST: Final = 599
ENDLESS: Final = "gpt-4.1#rate=30,numbered,tokens=9000"
COUNTING: Final = f"gpt-4.1#rate=30,numbered,tokens={LAST + 1}"
STREAM: Final = f"%%stream -m {COUNTING}\nCount."
LATE: Final = 40_000
"""Milliseconds in which an answer of 400 tokens ends, on a busy machine too."""
SAVED: Final = ".jp-OutputArea-output[data-mime-type='text/markdown']"
BOTH: Final = pytest.mark.parametrize("application", ["lab", "notebook7"])

RESTART: Final = """(path) => {
  const panel = [...jupyterapp.shell.widgets("main")].find((panel) => panel.context?.path === path);
  void panel.sessionContext.restartKernel();
}"""

Begin = Callable[..., Awaitable[Notebook]]


@pytest_asyncio.fixture(loop_scope="session")
async def begin(server: Server, new_page: Callable[[], Awaitable[Page]]) -> AsyncIterator[Begin]:
    """Opens these cells in a page of their own, runs cell 1, and waits until its answer has begun."""

    async def make(*cells: str, application: str = "lab", count: int = 20, words: str = "") -> Notebook:
        page = await new_page()
        if os.environ.get("TALK"):
            page.on("console", lambda message: print("CONSOLE", message.text[:400]))
        file = write(server, [LOAD, *(cells or (STREAM,))])
        if application == "lab":
            await open_lab(page, server)
            notebook = await open_in_lab(page, file)
        else:
            notebook = await open_in_notebook7(page, server, file)
        await notebook.cell(0).run()
        await notebook.cell(1).start()
        await expect(notebook.cell(1).live.locator(".hs-body").first).to_contain_text(
            words or f" {count} ", timeout=LATE
        )
        return notebook

    yield make
    await asyncio.to_thread(_end_kernels, server)


def _end_kernels(server: Server) -> None:
    headers = {"Authorization": f"token {TOKEN}"}
    with urlopen(Request(f"{server.url}api/kernels", headers=headers)) as response:
        kernels = json.load(response)
    for kernel in kernels:
        urlopen(Request(f"{server.url}api/kernels/{kernel['id']}", headers=headers, method="DELETE")).close()


async def again(notebook: Notebook, server: Server, page: Page | None = None) -> Notebook:
    """The same notebook after a reload of its page, or in another page."""
    if "/notebooks/" in notebook.page.url:
        return await open_in_notebook7(page or notebook.page, server, notebook.file)
    await open_lab(page or notebook.page, server)
    return await open_in_lab(page or notebook.page, notebook.file)


async def goes_on(cell: Cell) -> None:
    """The live view is in the cell, with all of its text, and goes on."""
    body = cell.live.locator(".hs-body").first
    await expect(body).to_contain_text("0 1 2 3 4 5 6 7 8 9 10 11 12 ", timeout=LATE)
    count = len((await body.inner_text()).split())
    await expect(body).to_contain_text(f" {count + 5} ", timeout=LATE)


async def is_kept(notebook: Notebook, index: int = 1, words: str = f" {LAST - 1} {LAST}", timeout: float = LATE) -> Any:
    """The plain output with these words is in the cell, once, and after a save in the file: the output there."""
    cell = notebook.cell(index)
    await expect(cell.output.locator(SAVED)).to_contain_text(words, timeout=timeout)
    await expect(cell.live).to_have_count(0)
    outputs = [output for output in await cell.outputs() if "holystream_answer" in output.get("metadata", {})]
    assert len(outputs) == 1
    assert not outputs[0]["metadata"]["holystream_answer"].get("unfinished")
    content = await notebook.save()
    [saved] = [each for each in content["cells"][index]["outputs"] if "text/markdown" in each.get("data", {})]
    assert words.strip() in "".join(saved["data"]["text/plain"])
    assert "widget-view" not in str(content)
    return saved


async def kernel_of(notebook: Notebook) -> int:
    return int(await notebook.cell(0).printed())


@BOTH
async def test_a_reload_unsaved(begin: Begin, server: Server, application: str) -> None:
    """The view comes back with all the text and goes on; at its end the plain output is there, and in the file."""
    notebook = await again(await begin(application=application), server)
    await goes_on(notebook.cell(1))
    await is_kept(notebook)
    assert notebook.read()["cells"][1]["execution_count"] == 2


async def test_stop_after_a_reload(begin: Begin, server: Server) -> None:
    """Stop works in the view that came back, also after a second reload."""
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.")
    for _ in range(2):
        notebook = await again(notebook, server)
        await goes_on(notebook.cell(1))
    await notebook.cell(1).stop.click()
    saved = await is_kept(notebook, words="stopped")
    assert "0 1 2 3 4 5 6 7 8 9 10 " in "".join(saved["data"]["text/plain"])


async def test_a_reload_saved(begin: Begin, server: Server) -> None:
    """Saved in mid-stream, the file has the text so far; the view that comes back takes its place."""
    notebook = await begin()
    content = await notebook.save()
    [output] = content["cells"][1]["outputs"]
    assert list(output["data"]) == ["text/plain"]
    text = "".join(output["data"]["text/plain"])
    assert text.startswith("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 ")
    assert "still being written when this was saved" in text
    await goes_on(notebook.cell(1))
    notebook = await again(notebook, server)
    await goes_on(notebook.cell(1))
    await is_kept(notebook)


@BOTH
async def test_a_killed_kernel(begin: Begin, server: Server, application: str) -> None:
    """At once the text so far is the cell's plain output, marked, and in the file after a save."""
    notebook = await begin(application=application, count=60)
    os.kill(await kernel_of(notebook), signal.SIGKILL)
    saved = await is_kept(notebook, words="interrupted: the kernel ended")
    assert " 56 57 58 59 60" in "".join(saved["data"]["text/plain"])


async def test_a_killed_kernel_while_the_page_was_away(begin: Begin, server: Server) -> None:
    """Reloaded, never saved, and the kernel is killed before the page is back: the text so far is put into its cell."""
    notebook = await begin(count=60)
    pid = await kernel_of(notebook)
    await notebook.page.goto("about:blank")
    os.kill(pid, signal.SIGKILL)
    notebook = await again(notebook, server)
    await is_kept(notebook, words="interrupted: the kernel ended")


async def test_a_restarted_kernel(begin: Begin) -> None:
    """The restart button: as for a killed one; the new kernel runs the cell again as ever."""
    notebook = await begin(count=60)
    await notebook.page.evaluate(RESTART, notebook.name)
    saved = await is_kept(notebook, words="interrupted: the kernel ended")
    assert " 56 57 58 59 60" in "".join(saved["data"]["text/plain"])
    await notebook.cell(0).run()
    await notebook.cell(1).start()
    await goes_on(notebook.cell(1))
    await notebook.cell(1).stop.click()
    await is_kept(notebook, words="stopped")


@BOTH
async def test_a_closed_tab(
    begin: Begin, server: Server, new_page: Callable[[], Awaitable[Page]], application: str
) -> None:
    """Opened again after the answer's end: the plain output is put into its cell."""
    notebook = await begin(STREAM.replace(f"tokens={LAST + 1}", "tokens=100"), application=application)
    page = await new_page()
    await notebook.page.goto("about:blank")
    await asyncio.sleep(6)
    notebook = await again(notebook, server, page)
    await is_kept(notebook, words=" 98 99")
    assert notebook.read()["cells"][1]["execution_count"] == 2


async def test_a_second_browser(begin: Begin, server: Server, browser: Browser) -> None:
    """Both have the view and then the output; each can save."""
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.")
    context = await browser.new_context()
    other = await again(notebook, server, await context.new_page())
    await goes_on(other.cell(1))
    await goes_on(notebook.cell(1))
    await other.cell(1).stop.click()
    await is_kept(other, words="stopped")
    await expect(notebook.cell(1).output.locator(SAVED)).to_contain_text("stopped")
    await expect(notebook.cell(1).live).to_have_count(0)
    await context.close()


PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
BESIDE: Final = f"""from base64 import b64decode
from IPython.display import Image
print('before')
display(Image(data=b64decode('{PIXEL}')))
await hs.stream('x', model='{ENDLESS}')
await hs.stream('y', model='{ENDLESS}')
print('after')"""


async def test_a_reload_beside_other_outputs(begin: Begin, server: Server) -> None:
    """Saved: a print and a figure stay where they are; the answer that begins after the reload is there too."""
    notebook = await begin(BESIDE)
    await notebook.save()
    notebook = await again(notebook, server)
    for number in range(2):
        await goes_on(notebook.cell(1))
        await notebook.cell(1).stop.click()
        await expect(notebook.cell(1).output.locator(SAVED).nth(number)).to_contain_text("stopped", timeout=LATE)
    outputs = await notebook.cell(1).outputs()
    kinds = [sorted(output.get("data", {"stream": 0}))[0] for output in outputs]
    assert kinds == ["stream", "image/png", "text/markdown", "text/markdown"]


MOVES = {  # what is done to the cell that streams, as the applications' own commands; what its index is then
    "move down": (["notebook:move-cell-down"], 2),
    "cut, paste": (["notebook:cut-cell", "notebook:paste-cell-below"], 2),
    "delete, undo": (["notebook:delete-cell", "notebook:undo-cell-action"], 1),
    "Markdown, code": (["notebook:change-cell-to-markdown", "notebook:change-cell-to-code"], 1),
    "split": (["notebook:split-cell-at-cursor"], 2),
    "merge": (["notebook:merge-cell-above"], 0),
}


@pytest.mark.parametrize("move", MOVES)
async def test_a_cell_that_is(begin: Begin, move: str) -> None:
    """The answer is on the screen, and reaches the file, once."""
    commands, index = MOVES[move]
    notebook = await begin(STREAM.replace(f"tokens={LAST + 1}", "tokens=150"), "print('below')")
    await notebook.cell(1).select()
    for command in commands:
        await notebook.page.evaluate("async (command) => { await jupyterapp.commands.execute(command); }", command)
        await asyncio.sleep(0.3)
    await is_kept(notebook, index, words=" 148 149")


async def test_a_cleared_output_stays_cleared(begin: Begin, server: Server) -> None:
    """What its reader has cleared comes back neither at the end nor after a reload."""
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.")
    await notebook.cell(1).select()
    await notebook.execute("notebook:clear-cell-output")
    await expect(notebook.cell(1).live).to_have_count(0)
    await asyncio.sleep(1)
    notebook = await again(notebook, server)
    await asyncio.sleep(6)
    assert await notebook.cell(1).outputs() == []


async def test_a_reload_while_another_cell_blocks_the_kernel(begin: Begin, server: Server) -> None:
    """The text so far is there meanwhile, and is not called whole; the view comes when the kernel can answer."""
    task = f"task = asyncio.create_task(hs.stream('x', model='{COUNTING}'))"
    notebook = await begin(task, "time.sleep(15)")
    await notebook.cell(2).start()
    await asyncio.sleep(1)
    notebook = await again(notebook, server)
    await expect(notebook.cell(1).output).to_contain_text("12 13 14 15 16 17 18 19 20", timeout=LATE)
    await is_kept(notebook)


HOSTILE: Final = (
    "<script>window.pwned = 1</script>\n\n<img src=x onerror='window.pwned = 2'>\n\n"
    "[a](javascript:window.pwned=3)\n\nThe end."
)


async def test_a_hostile_answer_that_is_restored(begin: Begin, server: Server, echo: Echo) -> None:
    """From the view, the file, the journal: it is text."""
    echo.hold()
    notebook = await begin(f"{echo.magic}\n{HOSTILE}", words="The end.")
    pid = await kernel_of(notebook)
    await notebook.save()
    notebook = await again(notebook, server)
    await expect(notebook.cell(1).live).to_contain_text("The end.", timeout=LATE)
    os.kill(pid, signal.SIGKILL)
    await is_kept(notebook, words="interrupted: the kernel ended")
    assert await notebook.page.evaluate("window.pwned") is None
    assert await notebook.cell(1).output.locator("script, img, a[href^=javascript]").count() == 0
    echo.release()
