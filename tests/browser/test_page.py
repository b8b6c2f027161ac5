"""The talk between a kernel and the extension of the pages that show its notebooks."""

from __future__ import annotations

import json
from typing import Any

from .conftest import Open
from .notebook import Notebook

SHOW = """import json
from holystream_nb.live.page import page
print(json.dumps([[each.application, sorted(each.notebooks.values()), each.id] for each in page.pages]))
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
    [[application, paths, _id]] = await pages(notebook, 2)
    assert application == "JupyterLab"
    assert paths == [notebook.name]


async def test_notebook_7_says_hello_too(open_notebook: Open) -> None:
    """So does Notebook 7."""
    notebook = await open_notebook("import asyncio; await asyncio.sleep(0.5)", SHOW, application="notebook")
    await notebook.cell(1).run()
    [[application, paths, _id]] = await pages(notebook, 2)
    assert "Notebook" in application
    assert paths == [notebook.name]


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
    await notebook.page.evaluate(RUN_LAST, renamed)
    outputs = await notebook.page.evaluate(LAST_OUTPUT, renamed)
    await notebook.page.evaluate(RENAME, [renamed, notebook.name])
    assert outputs.strip() == renamed


PANEL = "const panel = [...jupyterapp.shell.widgets('main')].find((each) => each.context?.path === path);"
RENAME = f"async ([path, name]) => {{ {PANEL} await panel.context.rename(name); }}"
RUN_LAST = f"""async (path) => {{ {PANEL}
  panel.content.activeCellIndex = 3;
  panel.content.activate();
  await jupyterapp.commands.execute("notebook:run-cell");
}}"""
LAST_OUTPUT = f"(path) => {{ {PANEL} return panel.content.model.cells.get(3).outputs.get(0).toJSON().text; }}"
