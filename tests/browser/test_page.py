"""The talk between a kernel and the extension of the pages that show its notebooks."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page

from .conftest import Open
from .notebook import Notebook, open_lab
from .server import Server

NewPage = Callable[[], Awaitable[Page]]

SHOW = """import json
from holystream_nb.live.page import page
print(json.dumps([[each.application, each.notebook, each.id] for each in page.pages]))
"""


async def pages(notebook: Notebook, index: int) -> list[Any]:
    """The pages as the kernel knows them when this cell runs."""
    await notebook.cell(index).run()
    found: list[Any] = json.loads((await notebook.cell(index).printed()).strip().splitlines()[-1])
    return found


async def test_a_kernel_that_loads_the_extension_knows_its_page(open_notebook: Open) -> None:
    """JupyterLab's page says hello when the kernel announces itself, with the path of its notebook."""
    notebook = await open_notebook("import asyncio; await asyncio.sleep(0.5)", SHOW)
    await notebook.cell(1).run()
    [[application, path, _id]] = await pages(notebook, 2)
    assert application == "JupyterLab"
    assert path == notebook.name


async def test_notebook_7_says_hello_too(open_notebook: Open) -> None:
    """So does Notebook 7."""
    notebook = await open_notebook("import asyncio; await asyncio.sleep(0.5)", SHOW, application="notebook")
    await notebook.cell(1).run()
    [[application, path, _id]] = await pages(notebook, 2)
    assert "Notebook" in application
    assert path == notebook.name


async def test_a_kernel_knows_whose_cell_it_runs_and_a_new_name_of_its_file(open_notebook: Open) -> None:
    """The path of the running cell's notebook follows a renaming."""
    ask = "from holystream_nb.live.page import page; print(page.notebook())"
    notebook = await open_notebook("import asyncio; await asyncio.sleep(0.5)", ask, ask)
    await notebook.cell(1).run()
    await notebook.cell(2).run()
    assert (await notebook.cell(2).printed()).strip() == notebook.name
    renamed = f"renamed-{notebook.name}"
    await notebook.page.evaluate(RENAME, [notebook.name, renamed])
    await notebook.page.wait_for_timeout(300)
    await notebook.page.evaluate(RUN_LAST, [renamed, ask])
    outputs = await notebook.page.evaluate(LAST_OUTPUT, renamed)
    await notebook.page.evaluate(RENAME, [renamed, notebook.name])
    assert outputs.strip() == renamed


PANEL = "const panel = [...jupyterapp.shell.widgets('main')].find((each) => each.context?.path === path);"
RENAME = f"async ([path, name]) => {{ {PANEL} await panel.context.rename(name); }}"
RUN_LAST = f"""async ([path, source]) => {{ {PANEL}
  const cells = panel.content.widgets;
  panel.content.activeCellIndex = cells.length - 1;
  cells.at(-1).model.sharedModel.setSource(source);
  panel.content.activate();
  await jupyterapp.commands.execute("notebook:run-cell");
}}"""
LAST_OUTPUT = f"(path) => {{ {PANEL} return panel.content.widgets.at(-1).model.outputs.get(0).toJSON().text; }}"

OPEN = """async (path) => {
  await jupyterapp.restored;
  const panel = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
  await panel.context.ready;
}"""
HEAR = """import time
from holystream_nb.live.page import page
heard = []
page.on("hello", lambda message, reply: heard.append(message["page"].id))
"""
KNOW = """import asyncio
while not page.pages:
    await asyncio.sleep(0.05)
known = {each.id for each in page.pages}
"""


@pytest.mark.parametrize("wait", ["await asyncio.sleep(15)", "time.sleep(15)"])
async def test_a_reloaded_page_is_heard_while_a_cell_runs(
    open_notebook: Open, new_page: NewPage, server: Server, wait: str
) -> None:
    """A page that comes back finds its kernel at once, also a blocked one, and says hello as another than before."""
    page = await new_page()
    await open_lab(page, server)
    notebook = await open_notebook(f"{HEAR}{KNOW}", f"{wait}\nseen = len(set(heard) - known)", page=page)
    await notebook.cell(1).run()
    await notebook.save()
    await notebook.cell(2).start()
    await page.wait_for_timeout(300)
    await page.reload()
    await page.wait_for_function("window.jupyterapp?.restored.then(() => true)")
    await page.evaluate(OPEN, notebook.name)
    await page.wait_for_timeout(15_000)
    await page.evaluate(RUN_LAST, [notebook.name, "print(seen)"])
    assert await page.evaluate(LAST_OUTPUT, notebook.name) == "1\n"


async def test_a_page_is_heard_while_a_synchronous_cell_blocks_the_kernel(open_notebook: Open) -> None:
    """It answers on a subshell (ipykernel 7.4), also right after the kernel has sent from its main thread."""
    block = "page.send('who')\ntime.sleep(1.5)\nprint(len(heard))"
    notebook = await open_notebook("import asyncio; await asyncio.sleep(0.5)", HEAR, block)
    for index in (1, 2, 3):
        await notebook.cell(index).run()
    assert await notebook.cell(3).printed() == "1\n"


async def test_a_restarted_kernel_is_found_again(open_notebook: Open) -> None:
    """The kernel that comes after a restart announces itself, and there is one talk."""
    notebook = await open_notebook("import asyncio; await asyncio.sleep(0.5)", SHOW)
    restart = "async (path) => { const panel = [...jupyterapp.shell.widgets('main')]"
    restart += ".find((each) => each.context?.path === path); await panel.sessionContext.session.kernel.restart(); }"
    await notebook.page.evaluate(restart, notebook.name)
    await notebook.cell(0).run()
    await notebook.cell(1).run()
    [[_application, path, _id]] = await pages(notebook, 2)
    assert path == notebook.name


async def test_two_pages_of_one_kernel_are_two(open_notebook: Open, new_page: NewPage, server: Server) -> None:
    """A second tab on the same notebook talks with the kernel too."""
    notebook = await open_notebook("import asyncio; await asyncio.sleep(0.5)", SHOW)
    await notebook.cell(1).run()
    await notebook.save()
    second = await new_page()
    await open_lab(second, server)
    await second.evaluate(OPEN, notebook.name)
    await second.wait_for_timeout(1_500)
    assert [path for _, path, _ in await pages(notebook, 2)] == [notebook.name] * 2
