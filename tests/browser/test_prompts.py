"""Cells of %%stream are drawn as prose below their first line."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from .conftest import CONTRAST, Open
from .notebook import LOAD, Notebook, set_theme
from .test_page import PANEL

PROMPT = "%%stream -m deepseek-v3.2\n# Task\nPlease **summarise** {notes} for a child's mind."
PYTHON = "def add(a, b):\n    return a + b"

TYPE = f"""async ([path, index]) => {{ {PANEL}
  const cell = panel.content.widgets[index];
  panel.content.activeCellIndex = index;
  panel.content.mode = "edit";
  cell.editor.focus();
  const view = cell.editor.editor;
  view.dispatch({{ selection: {{ anchor: view.state.doc.length }} }});
}}"""
SOURCE = f"([path, index]) => {{ {PANEL} return panel.content.widgets[index].model.sharedModel.getSource(); }}"
SET = f"([path, index, text]) => {{ {PANEL} panel.content.widgets[index].model.sharedModel.setSource(text); }}"
WEIGHT = "(element) => getComputedStyle(element).fontWeight"


@pytest.mark.parametrize("application", ["lab", "notebook"])
async def test_a_prompt_is_drawn_as_markdown_when_a_notebook_is_opened(open_notebook: Open, application: str) -> None:
    """Also in a cell that is not the active one; code stays code."""
    notebook = await open_notebook(PROMPT, PYTHON, application=application)
    strong = notebook.cell(1).root.locator(".cm-line span", has_text="summarise")
    await expect(strong.first).to_be_visible()
    assert int(await strong.first.evaluate(WEIGHT)) >= 600
    await expect(notebook.cell(2).root.locator(".cm-line span").first).to_have_text("def")
    variable = notebook.cell(1).root.locator(".cm-line span", has_text="{notes}")
    await expect(variable.first).to_have_text("{notes}")


async def test_a_cell_becomes_a_prompt_while_it_is_written_and_code_again_when_the_line_goes(
    open_notebook: Open,
) -> None:
    """The first line decides, whenever it changes."""
    notebook = await open_notebook(PYTHON)
    root = notebook.cell(1).root
    await expect(root.locator(".cm-line span").first).to_have_text("def")
    await notebook.page.evaluate(SET, [notebook.name, 1, PROMPT])
    await expect(root.locator(".cm-line span", has_text="{notes}").first).to_have_text("{notes}")
    await notebook.page.evaluate(SET, [notebook.name, 1, f"\n{PROMPT}"])
    await expect(root.locator(".cm-line span", has_text="{notes}")).to_have_count(0)
    await notebook.page.evaluate(SET, [notebook.name, 1, PYTHON])
    await expect(root.locator(".cm-line span").first).to_have_text("def")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_magic_line_and_variables_can_be_read(open_notebook: Open, lab: Page, dark: bool) -> None:
    """In both themes, at the contrast that WCAG asks for text."""
    await set_theme(lab, dark=dark)
    notebook = await open_notebook(PROMPT)
    for word in ("%%stream -m deepseek-v3.2", "{notes}"):
        shown = notebook.cell(1).root.locator(".cm-line span", has_text=word).first
        assert await shown.evaluate(CONTRAST) >= 4.5, word
    await set_theme(lab, dark=False)


async def written(notebook: Notebook, *keys: str, index: int = 1) -> str:
    """What stands in a cell after these keys at its end."""
    await notebook.page.evaluate(TYPE, [notebook.name, index])
    for key in keys:
        await notebook.page.keyboard.press(key)
    source: str = await notebook.page.evaluate(SOURCE, [notebook.name, index])
    return source


async def test_a_prompt_is_written_as_prose(open_notebook: Open) -> None:
    """No quote or bracket closes itself, no line is indented as Python, and Shift+Enter runs the cell."""
    notebook = await open_notebook("%%stream\nWrite:", PYTHON)
    source = await written(notebook, "Enter", "'", "(", '"', "{", "a")
    assert source == "%%stream\nWrite:\n'(\"{a"
    await notebook.page.keyboard.press("Shift+Enter")
    await notebook.cell(1).ended()
    assert await notebook.cell(1).error() is None


async def test_tab_completes_options_and_variables_of_a_prompt(open_notebook: Open) -> None:
    """With the notebook's own completer: what an option means stands beside it."""
    notebook = await open_notebook("%%stream --max-", "%%stream\nSummarise {not", load=f"{LOAD}\nnotes = 1")
    await written(notebook, "Tab")
    completer = notebook.page.locator(".jp-Completer:visible")
    await expect(completer).to_contain_text("--max-tokens", timeout=20_000)
    await expect(completer).to_contain_text("largest\N{NO-BREAK SPACE}number")
    await notebook.page.keyboard.press("Escape")
    await written(notebook, "Tab", index=2)
    await expect(completer).to_contain_text("notes", timeout=20_000)
