"""Nothing is lost: what can befall a page or a kernel while an answer streams, and what is left of the answer."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest
import pytest_asyncio
from kept_table import kept
from live.payloads import PAYLOADS
from playwright.async_api import Browser, BrowserContext, Page, WebSocketRoute, expect

from holystream_nb.journal.journal import Journal
from holystream_nb.journal.values import Origin

from .chromium import Journey
from .notebook import Cell, Notebook, open_in_lab, open_in_notebook7, open_lab, read_in_lab, write
from .server import TOKEN, Server, serving
from .service import Echo

LOAD: Final = "%load_ext holystream_nb\nimport asyncio, os, time\nimport holystream_nb as hs\nprint(os.getpid())"
LAST: Final = 599
ENDLESS: Final = "gpt-4.1#rate=30,numbered,tokens=9000"
STREAM: Final = f"%%stream -m gpt-4.1#rate=30,numbered,tokens={LAST + 1}\nCount."
NUMBERS: Final = " ".join(map(str, range(LAST + 1)))
"""What the service says that ends when a test says so."""
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
    """Opens these cells in a page of their own, runs cell 1, and waits until its answer has begun.

    first: what cell 0 does before it loads us. on: another server.
    """

    async def make(
        *cells: str, application: str = "lab", count: int = 20, words: str = "", first: str = "", on: Server = server
    ) -> Notebook:
        page = await new_page()
        file = write(on, [f"{first}\n{LOAD}", *(cells or (STREAM,))])
        if application == "lab":
            await open_lab(page, on)
            notebook = await open_in_lab(page, file)
        else:
            notebook = await open_in_notebook7(page, on, file)
        await notebook.cell(0).run()
        await notebook.cell(1).start()
        await expect(notebook.cell(1).live.locator(".hs-body").first).to_contain_text(
            words or f" {count} ", timeout=LATE
        )
        return notebook

    yield make
    await asyncio.to_thread(_end_kernels, server)


@pytest.fixture
def counting(echo: Echo) -> Iterator[Echo]:
    """Counts for at least 20 s, and from `release()` on comes to its end at once."""
    echo.hold(pace_s=1 / 15)
    yield echo
    echo.release()


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


async def is_kept(
    notebook: Notebook, index: int = 1, words: str = f" {LAST - 1} {LAST}", *, others: bool = False
) -> Any:
    """The plain output with these words is in the cell, once, and after a save in the file: the output there.

    others: whether other cells' answers still run.
    """
    cell = notebook.cell(index)
    await expect(cell.output.locator(SAVED)).to_contain_text(words, timeout=LATE)
    await expect(cell.live).to_have_count(0)
    outputs = [output for output in await cell.outputs() if "holystream_answer" in output.get("metadata", {})]
    assert len(outputs) == 1
    assert not outputs[0]["metadata"]["holystream_answer"].get("unfinished")
    content = await notebook.save()
    [saved] = [each for each in content["cells"][index]["outputs"] if "text/markdown" in each.get("data", {})]
    assert words.strip() in "".join(saved["data"]["text/plain"])
    assert others or "widget-view" not in str(content)
    return saved


async def kernel_of(notebook: Notebook) -> int:
    return int(await notebook.cell(0).printed())


@kept("the page is reloaded, never saved", "the view comes back with all the text, and goes on")
@BOTH
async def test_a_reload_unsaved(begin: Begin, server: Server, counting: Echo, application: str) -> None:
    """The view comes back with all the text and goes on; at its end the plain output is there, and in the file."""
    notebook = await again(await begin(f"{counting.magic}\n{NUMBERS}", application=application), server)
    await goes_on(notebook.cell(1))
    counting.release()
    await is_kept(notebook)
    assert notebook.read()["cells"][1]["execution_count"] == 2


@kept("the page is reloaded twice, and Stop is pressed then", "Stop works")
async def test_stop_after_a_reload(begin: Begin, server: Server) -> None:
    """Stop works in the view that came back, also after a second reload."""
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.")
    for _ in range(2):
        notebook = await again(notebook, server)
        await goes_on(notebook.cell(1))
    await notebook.cell(1).stop.click()
    saved = await is_kept(notebook, words="stopped")
    assert "0 1 2 3 4 5 6 7 8 9 10 " in "".join(saved["data"]["text/plain"])


@kept("the notebook is saved meanwhile, and the page reloaded", "the file has the text so far; then as above")
async def test_a_reload_saved(begin: Begin, server: Server, counting: Echo) -> None:
    """Saved in mid-stream, the file has the text so far; the view that comes back takes its place."""
    notebook = await begin(f"{counting.magic}\n{NUMBERS}")
    content = await notebook.save()
    [output] = content["cells"][1]["outputs"]
    assert list(output["data"]) == ["text/plain"]
    text = "".join(output["data"]["text/plain"])
    assert text.startswith("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 ")
    assert "still being written when this was saved" in text
    await goes_on(notebook.cell(1))
    notebook = await again(notebook, server)
    await goes_on(notebook.cell(1))
    counting.release()
    await is_kept(notebook)


@kept("the kernel is killed (`kill -9`, out of memory)", "at once the text so far, *interrupted: the kernel ended*")
@BOTH
async def test_a_killed_kernel(begin: Begin, server: Server, application: str) -> None:
    """At once the text so far is the cell's plain output, marked, and in the file after a save."""
    notebook = await begin(application=application, count=60)
    os.kill(await kernel_of(notebook), signal.SIGKILL)
    saved = await is_kept(notebook, words="interrupted: the kernel ended")
    assert " 56 57 58 59 60" in "".join(saved["data"]["text/plain"])


@kept("the kernel is killed while the page is away", "the same when it comes back")
async def test_a_killed_kernel_while_the_page_was_away(begin: Begin, server: Server) -> None:
    """Reloaded, never saved, and the kernel is killed before the page is back: the text so far is put into its cell."""
    notebook = await begin(count=60)
    pid = await kernel_of(notebook)
    await notebook.page.goto("about:blank")
    os.kill(pid, signal.SIGKILL)
    notebook = await again(notebook, server)
    await is_kept(notebook, words="interrupted: the kernel ended")


@kept("the kernel is restarted", "the text so far, *interrupted: the kernel ended*")
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


@kept("the tab is closed, and opened after the end", "the whole answer")
@BOTH
async def test_a_closed_tab(
    begin: Begin, server: Server, counting: Echo, new_page: Callable[[], Awaitable[Page]], application: str
) -> None:
    """Opened again after the answer's end: the plain output is put into its cell."""
    notebook = await begin(f"{counting.magic}\n{NUMBERS}", application=application)
    page = await new_page()
    await notebook.page.goto("about:blank")
    counting.release()
    await asyncio.sleep(2)
    notebook = await again(notebook, server, page)
    await is_kept(notebook)
    assert notebook.read()["cells"][1]["execution_count"] == 2


@kept("the notebook is open in a second browser, or twice in one", "both have it")
@pytest.mark.parametrize("where", ["another browser", "another page"])
async def test_a_second_browser(begin: Begin, server: Server, browser: Browser, where: str) -> None:
    """Both have the view and then the output; each can save."""
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.")
    context = await browser.new_context() if where == "another browser" else notebook.page.context
    other = await again(notebook, server, await context.new_page())
    await goes_on(other.cell(1))
    await goes_on(notebook.cell(1))
    await other.cell(1).stop.click()
    await is_kept(other, words="stopped")
    await expect(notebook.cell(1).output.locator(SAVED)).to_contain_text("stopped", timeout=LATE)
    await expect(notebook.cell(1).live).to_have_count(0)
    await other.page.close()
    if where == "another browser":
        await context.close()


PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
BESIDE: Final = f"""from base64 import b64decode
from IPython.display import Image
print('before')
display(Image(data=b64decode('{PIXEL}')))
await hs.stream('x', model='{ENDLESS}')
await hs.stream('y', model='{ENDLESS}')
print('after')"""


@kept("the page is reloaded where figures, prints and a second answer stand beside it", "each is in its place")
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


@kept(
    "the cell is moved, cut and pasted, deleted and undone, split, merged, or Markdown for a while", "the answer, once"
)
@pytest.mark.parametrize("move", MOVES)
async def test_a_cell_that_is(begin: Begin, counting: Echo, move: str) -> None:
    """The answer is on the screen, and reaches the file, once."""
    commands, index = MOVES[move]
    notebook = await begin(f"{counting.magic}\n{NUMBERS}", "print('below')")
    await notebook.cell(1).select()
    for command in commands:
        await notebook.page.evaluate("async (command) => { await jupyterapp.commands.execute(command); }", command)
        await asyncio.sleep(0.3)
    counting.release()
    await is_kept(notebook, index)


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


@kept(
    "the page is reloaded while another cell blocks the kernel",
    "the text so far, then the view",
)
async def test_a_reload_while_another_cell_blocks_the_kernel(
    begin: Begin, server: Server, counting: Echo, tmp_path: Path
) -> None:
    """The text so far is there meanwhile, and is not called whole; the view comes when the kernel can answer."""
    asked = f"hs.stream({NUMBERS!r}, model='ollama:echo', base_url={counting.url!r})"
    seen = tmp_path / "seen"
    notebook = await begin(
        f"task = asyncio.create_task({asked})", f"while not os.path.exists({str(seen)!r}):\n    time.sleep(0.1)"
    )
    await notebook.cell(2).start()
    await asyncio.sleep(1)
    notebook = await again(notebook, server)
    await expect(notebook.cell(1).output).to_contain_text("12 13 14 15 16 17 18 19 20", timeout=LATE)
    seen.touch()
    counting.release()
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


@kept("the page is reloaded with several running cells, and several models in one", "each in its cell, in its order")
async def test_several_cells_run(begin: Begin, server: Server) -> None:
    """Two tasks and an awaiting cell of two models: all views come back to their cells."""
    task = f"task = asyncio.create_task(hs.stream('x', model='{ENDLESS}'))"
    notebook = await begin(task, task, f"%%stream -m {ENDLESS} -m {ENDLESS.replace('30', '29')}\nCount.")
    for index in (2, 3):
        await notebook.cell(index).start()
    await goes_on(notebook.cell(3))
    notebook = await again(notebook, server)
    for index in (3, 2, 1):
        await goes_on(notebook.cell(index))
        for stop in await notebook.cell(index).root.locator("button.hs-stop").all():
            await stop.click()
        saved = await is_kept(notebook, index, words="stopped", others=True)
        assert "".join(saved["data"]["text/plain"]).count("== ") == (2 if index == 3 else 0)


RENAME: Final = """async ([path, name]) => {
  const panel = [...jupyterapp.shell.widgets("main")].find((panel) => panel.context?.path === path);
  await panel.context.rename(name);
}"""


@kept("the notebook is renamed, or copied and opened beside", "in the right one")
async def test_a_renamed_and_a_copied_notebook(
    begin: Begin, server: Server, new_page: Callable[[], Awaitable[Page]]
) -> None:
    """The answer goes with its notebook; a copy, whose cells have the same ids, gets nothing, with a kernel or not."""
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.")
    copy = notebook.file.with_name(f"copy-{notebook.name}")
    shutil.copy(notebook.file, copy)
    name = f"renamed-{notebook.name}"
    await notebook.page.evaluate(RENAME, [notebook.name, name])
    notebook = await again(replace(notebook, file=notebook.file.with_name(name)), server)
    await goes_on(notebook.cell(1))
    other = await again(replace(notebook, file=copy), server, await new_page())
    await other.cell(0).run()
    await notebook.page.bring_to_front()
    await notebook.cell(1).stop.click()
    await is_kept(notebook, words="stopped")
    assert await other.cell(1).outputs() == []
    os.kill(await kernel_of(other), signal.SIGKILL)
    await other.page.bring_to_front()
    other = await again(other, server)
    await asyncio.sleep(3)
    assert await other.cell(1).outputs() == []


@kept("the Jupyter server is restarted", "the text so far, *interrupted: the kernel ended*")
async def test_a_restarted_server(begin: Begin, tmp_path: Path) -> None:
    """The whole process ends in order, its kernels with it, and starts again at the same address."""
    with serving(tmp_path) as server:
        notebook = await begin(count=60, on=server)
    with serving(tmp_path, port=server.port) as server:
        notebook = await again(notebook, server)
        saved = await is_kept(notebook, words="interrupted: the kernel ended")
        assert " 56 57 58 59 60" in "".join(saved["data"]["text/plain"])
        await notebook.page.goto("about:blank")


@kept("the network is lost for a while", "all the text, when it is back")
async def test_a_lost_network(begin: Begin, context: BrowserContext) -> None:
    """The page's socket breaks, and none comes through for two seconds; the answer's middle or its end is in them."""
    sockets: list[WebSocketRoute] = []
    is_down = False

    async def route(socket: WebSocketRoute) -> None:
        if is_down:
            await socket.close()
            return
        sockets.append(socket)
        socket.connect_to_server()

    await context.route_web_socket(re.compile("/channels"), route)
    try:
        for tokens in (LAST + 1, 100):
            sockets.clear()
            notebook = await begin(STREAM.replace(f"tokens={LAST + 1}", f"tokens={tokens}"))
            is_down = True
            for socket in sockets:
                await socket.close()
            await asyncio.sleep(4)
            is_down = False
            if tokens > 100:
                await goes_on(notebook.cell(1))
                await notebook.cell(1).stop.click()
            await is_kept(notebook, words="stopped" if tokens > 100 else " 98 99")
            await notebook.shutdown()
    finally:
        await context.unroute_all()


@kept("the journal is off, and the page reloaded, then the kernel killed", "the view, then what the page knew of it")
async def test_without_a_journal(begin: Begin, server: Server) -> None:
    """The living kernel has all of it; of one that has ended, the page has what it drew."""
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.", first="import os; os.environ['HOLYSTREAM_JOURNAL'] = '0'")
    pid = await kernel_of(notebook)
    notebook = await again(notebook, server)
    await goes_on(notebook.cell(1))
    os.kill(pid, signal.SIGKILL)
    await expect(notebook.cell(1).output).to_contain_text("interrupted: the kernel ended", timeout=LATE)
    content = await notebook.save()
    [output] = content["cells"][1]["outputs"]
    assert "".join(output["data"]["text/plain"]).startswith("0 1 2 3 4 5 6 7 8 9 10 ")
    assert "widget-view" not in str(content)


@kept(
    "the kernel is killed where the server cannot see the journal",
    "the text so far, once the next kernel has loaded us",
)
async def test_the_next_kernel_has_it_where_the_server_has_not(begin: Begin, server: Server, tmp_path: Path) -> None:
    """Saved before the kernel was killed, and the page came back: the next kernel reads its journal."""
    elsewhere = f"import os; os.environ['HOLYSTREAM_JOURNAL'] = {str(tmp_path)!r}"
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.", first=elsewhere, count=20)
    pid = await kernel_of(notebook)
    await notebook.save()
    await expect(notebook.cell(1).live.locator(".hs-body")).to_contain_text(" 70 ", timeout=LATE)
    await asyncio.sleep(0.5)
    await notebook.page.goto("about:blank")
    os.kill(pid, signal.SIGKILL)
    notebook = await again(notebook, server)
    await expect(notebook.cell(1).output).to_contain_text("when this was saved", timeout=LATE)
    await notebook.cell(0).run()
    saved = await is_kept(notebook, words="interrupted: the kernel ended")
    assert " 66 67 68 69 70" in "".join(saved["data"]["text/plain"])


@kept("a file that was saved in mid-stream is opened without a kernel, or converted", "its text so far")
async def test_a_file_saved_in_mid_stream(
    begin: Begin, server: Server, new_page: Callable[[], Awaitable[Page]]
) -> None:
    """No "model not found" anywhere: where nothing runs, on HTML and Markdown."""
    notebook = await begin(f"%%stream -m {ENDLESS}\nCount.")
    await notebook.save()
    await notebook.page.close()
    reopened = await read_in_lab(await new_page(), server, notebook.file)
    await expect(reopened.cell(1).output).to_contain_text("16 17 18 19 20", timeout=LATE)
    assert "model not found" not in await reopened.root.inner_text()
    for form in ("html", "markdown"):
        command = [sys.executable, "-m", "nbconvert", "--to", form, "--stdout", str(notebook.file)]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
        text = (await process.communicate())[0].decode()
        assert "16 17 18 19 20" in text
        assert "still being written when this was saved" in text
        assert not re.search("model not found|LiveView|widget-view", text)


ACTS: Final = (
    "script, iframe, object, embed, form, base, img:not([src^='data:']), [onerror], [onload], a[href^=javascript]"
)


async def test_hostile_answers_that_are_restored(
    server: Server, new_page: Callable[[], Awaitable[Page]], tmp_path: Path, journey: Journey
) -> None:
    """By the server's part, and over the comm by the next kernel: each payload is text, and nothing leaves the page."""
    payloads = [each.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for each in PAYLOADS.values()]
    file = write(
        server, [f"import os; os.environ['HOLYSTREAM_JOURNAL'] = {str(tmp_path)!r}\n{LOAD}", "1", "2", "3", "4"]
    )
    counts = [0, 40, 40, 40, 40]
    content = json.loads(file.read_text(encoding="utf-8"))
    for folder, cells in ((server.journal, (1, 2)), (tmp_path, (3, 4))):
        journal = Journal()
        journal.configure(journal=folder)
        for cell in cells:
            for order, payload in enumerate(payloads[sum(counts[:cell]) : sum(counts[: cell + 1])]):
                entry = journal.begin(Origin("cell", str(file), f"cell-{cell}", f"run-{cell}"), label="hostile")
                entry.end(text=payload, reasoning=payload, state="lost", error=payload)
                mark = {"id": f"{cell}-{order}", "cell": f"cell-{cell}", "execution": f"run-{cell}", "answers": []}
                placeholder = {
                    "output_type": "display_data",
                    "data": {"text/plain": "placeholder"},
                    "metadata": {"holystream_answer": {**mark, "order": order, "unfinished": True}},
                }
                content["cells"][cell]["outputs"] += [placeholder] if cell > 2 else []
        journal.close()
    file.write_text(json.dumps(content), encoding="utf-8")
    os.utime(file, (1, 1))
    page = await new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await open_lab(page, server)
    notebook = await open_in_lab(page, file)
    await expect(notebook.cell(2).output.locator(SAVED)).to_have_count(40, timeout=LATE)
    await expect(notebook.cell(3).output.locator(SAVED)).to_have_count(0)
    await notebook.cell(0).run()
    for cell in (1, 2, 3, 4):
        await expect(notebook.cell(cell).output.locator(SAVED)).to_have_count(40, timeout=LATE)
        assert await notebook.cell(cell).output.locator(SAVED).locator(ACTS).count() == 0
    assert not dialogs
    assert not journey.hosts


async def test_fifty_answers_leave_nothing(begin: Begin) -> None:
    """Neither in the page's maps nor, after a save, among what the kernel remembers."""
    notebook = await begin(
        STREAM.replace(f"tokens={LAST + 1}", "tokens=100"),
        "for _ in range(50):\n    await hs.stream('x', model='gpt-4.1#tokens=3')",
        "from holystream_nb.live.cells import cells\nprint(len(cells.told()['answers']))",
    )
    await notebook.cell(2).run()
    await expect(notebook.root.locator(".holystream")).to_have_count(0, timeout=LATE)
    await notebook.save()
    assert await notebook.page.evaluate("globalThis[Symbol.for('holystream_nb/answers')].size") == 0
    await notebook.cell(3).run()
    assert await notebook.cell(3).printed() == "0\n"
