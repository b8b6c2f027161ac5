"""Two people in one notebook (jupyter-collaboration): both see an answer come, and have it once, as the file has."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
import pytest_asyncio
from browser.chromium import browsing
from browser.notebook import LOAD, Notebook, open_in_lab, open_lab, write
from browser.server import Server, serving
from playwright.async_api import Browser, Page, expect

from .programs import installed

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

_LATE_MS: Final = 40_000
_TURNS_S: Final = 4.0
"""In which both pages have had their turn to write."""
_FIRST: Final = f"import os\nimport asyncio\nimport holystream_nb as hs\nprint(os.getpid())\n{LOAD}"
_ENDLESS: Final = "gpt-4.1#rate=30,numbered,tokens=9000"
_TWICE: Final = """(path) => {
  const panel = [...jupyterapp.shell.widgets("main")].find((panel) => panel.context?.path === path);
  const { sharedModel } = panel.content.model.cells.get(1);
  const outputs = sharedModel.getOutputs();
  sharedModel.updateOutputs(outputs.length, outputs.length, outputs);
}"""
_DRAWN: Final = ".jp-OutputArea-output:not([data-mime-type*='vnd.jupyter'])"
"""Neither a widget nor the line of a cell that was interrupted."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("shared"), installed=installed("collaboration")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with browsing(chromium) as running:
        yield running


class People:
    """Two people's pages, with a browser profile each, and a notebook that both have open; the first asks."""

    def __init__(self, browser: Browser, server: Server, *cells: str) -> None:
        self.browser = browser
        self.server = server
        self.file = write(server, [_FIRST, *cells])
        self.pages: list[Page] = []
        self.notebooks: list[Notebook] = []

    async def join(self) -> Notebook:
        """One more of them."""
        self.pages.append(await (await self.browser.new_context()).new_page())
        return await self.open(self.pages[-1])

    async def open(self, page: Page) -> Notebook:
        await open_lab(page, self.server)
        notebook = await open_in_lab(page, self.file)
        self.notebooks = [each for each in self.notebooks if each.page is not page] + [notebook]
        return notebook

    async def ask(self, count: int = 20) -> list[Notebook]:
        """The first runs cell 1; both see its live view, with the numbers up to `count`, and more of them coming."""
        await self.notebooks[0].cell(0).run()
        await self.notebooks[0].cell(1).start()
        for notebook in self.notebooks:
            await self.goes_on(notebook, count)
        return self.notebooks

    @staticmethod
    async def goes_on(notebook: Notebook, count: int = 20) -> None:
        body = notebook.cell(1).live.locator(".hs-body").first
        await expect(body).to_contain_text(f" {count} ", timeout=_LATE_MS)
        seen = len((await body.inner_text()).split())
        await expect(body).to_contain_text(f" {seen + 5} ", timeout=_LATE_MS)
        await expect(notebook.cell(1).live).to_have_count(1)

    async def have(self, *said: str) -> list[str]:
        """Cell 1 has one plain output with each of these words, in this order, in every page and in the file."""
        for notebook in self.notebooks:
            await expect(notebook.cell(1).live).to_have_count(0, timeout=_LATE_MS)
        await asyncio.sleep(_TURNS_S)
        for notebook in self.notebooks:
            await expect(notebook.cell(1).live).to_have_count(0)
            drawn = await notebook.cell(1).output.locator(_DRAWN).all_inner_texts()
            assert [words in text for words, text in zip(said, drawn, strict=True)] == [True] * len(said), drawn
            assert len(plain(await notebook.cell(1).outputs())) == len(said)
        await self.notebooks[0].save()  # these pages do not save by themselves
        return await self.filed(said)

    async def filed(self, said: tuple[str, ...]) -> list[str]:
        async with asyncio.timeout(10):
            while True:
                cell: dict[str, Any] = json.loads(await asyncio.to_thread(self.file.read_text))["cells"][1]
                texts = plain(cell["outputs"])
                if len(texts) == len(said) and all(words in text for words, text in zip(said, texts, strict=True)):
                    return texts
                await asyncio.sleep(0.2)

    async def leave(self) -> None:
        for notebook in self.notebooks:
            await notebook.close()
        for page in self.pages:
            await page.context.close()


def plain(outputs: list[dict[str, Any]]) -> list[str]:
    """What is displayed as plain text; not the line of a cell that was interrupted."""
    return ["".join(each["data"].get("text/plain", "")) for each in outputs if "data" in each]


@pytest_asyncio.fixture(loop_scope="session")
async def people(browser: Browser, server: Server) -> AsyncIterator[Any]:
    """Opens a notebook with these cells, after the one that loads us, in two people's pages."""
    all_of_them: list[People] = []

    async def meet(*cells: str) -> People:
        them = People(browser, server, *cells)
        all_of_them.append(them)
        for _ in range(2):
            await them.join()
        return them

    yield meet
    for each in all_of_them:
        await each.leave()


async def test_both_see_the_live_text_and_get_one_answer(people: Any) -> None:
    """While it streams both see its text, as it grows; at its end it is once in both pages, and in the file."""
    them = await people("%%stream -m gpt-4.1#rate=30,numbered,tokens=300\nCount.")
    await them.ask()
    [text] = await them.have(" 298 299")
    assert " 0 1 2 3 4 5 6 7 8 9 10 " in f" {text}"


async def test_the_other_person_can_stop_it(people: Any) -> None:
    """Stop works in both pages, also of the person who did not ask."""
    them = await people(f"%%stream -m {_ENDLESS}\nCount.")
    _, other = await them.ask()
    await other.cell(1).stop.click()
    await them.have("stopped")


async def test_two_answers_of_a_cell_stand_in_their_order(people: Any) -> None:
    """The first ends last: JupyterLab appends it in the other page, and both have it at its place in the end."""
    asked = "await asyncio.gather(*(hs.stream('x', model=f'gpt-4.1#rate=30,numbered,tokens={n}') for n in (400, 250)))"
    them = await people(f"{asked};")
    await them.notebooks[0].cell(0).run()
    await them.notebooks[0].cell(1).start()
    for notebook in them.notebooks:
        await expect(notebook.cell(1).live).to_have_count(2, timeout=_LATE_MS)
    await them.have(" 398 399", " 248 249")


async def test_the_page_that_asked_is_closed(people: Any) -> None:
    """The other page goes on, and puts the one whole answer at its end."""
    them = await people("%%stream -m gpt-4.1#rate=30,numbered,tokens=600\nCount.")
    first, other = await them.ask()
    await first.page.goto("about:blank")
    them.notebooks.remove(first)
    await them.goes_on(other)
    await them.have(" 598 599")


async def test_the_page_that_asked_is_reloaded(people: Any) -> None:
    """The view comes back in it, goes on in both, and is replaced by one answer."""
    them = await people(f"%%stream -m {_ENDLESS}\nCount.")
    first, other = await them.ask()
    first = await them.open(first.page)
    for notebook in (first, other):
        await them.goes_on(notebook)
    await first.cell(1).stop.click()
    await them.have("stopped")


async def test_what_both_have_written_at_once_is_taken_out(people: Any) -> None:
    """Where two pages write the same answer in the same moment, both copies come to both: one is left."""
    them = await people(f"%%stream -m {_ENDLESS}\nCount.")
    await them.ask()
    await asyncio.gather(*(notebook.page.evaluate(_TWICE, notebook.name) for notebook in them.notebooks))
    for notebook in them.notebooks:
        await them.goes_on(notebook)
    await them.notebooks[0].cell(1).stop.click()
    await them.have("stopped")


async def test_what_the_other_person_clears_stays_cleared(people: Any) -> None:
    """Cleared by the person who did not ask, while it streams: nothing comes back."""
    them = await people("%%stream -m gpt-4.1#rate=30,numbered,tokens=600\nCount.")
    first, other = await them.ask()
    await other.cell(1).select()
    await other.execute("notebook:clear-cell-output")
    await first.cell(1).ended()
    await them.have()


async def test_a_cell_that_is_moved(people: Any) -> None:
    """Moved down while it streams, by the person who asked: its answer goes with it."""
    them = await people("%%stream -m gpt-4.1#rate=30,numbered,tokens=300\nCount.", "1 + 1")
    first, _ = await them.ask()
    await first.cell(1).select()
    await first.execute("notebook:move-cell-down")
    await first.cell(1).select()
    await first.execute("notebook:move-cell-down")  # the other one: it is the second again
    await them.have(" 298 299")


@pytest.mark.parametrize("how", ["killed", "restarted"])
async def test_the_kernel_is(people: Any, how: str) -> None:
    """Both pages hear of it; the text so far is there once, marked."""
    them = await people(f"%%stream -m {_ENDLESS}\nCount.")
    first, other = await them.ask(60)
    if how == "killed":
        os.kill(int(await first.cell(0).printed()), signal.SIGKILL)
    else:
        await other.restart()
    [text] = await them.have("interrupted: the kernel ended")
    assert " 58 59 60 " in text
