"""JupyterLab's extension: it comes with the package, and is on the page without anybody's doing."""

from __future__ import annotations

from playwright.async_api import Page, expect

from .conftest import Open


async def test_the_extension_is_on_jupyterlabs_page(lab: Page) -> None:
    """JupyterLab finds it in the package's own folder and starts its plug-ins."""
    await expect(lab.locator("body[data-holystream-extension]")).to_have_count(1)


async def test_the_extension_is_on_notebook_7s_page(open_notebook: Open) -> None:
    """So does Notebook 7."""
    notebook = await open_notebook("1", application="notebook")
    await expect(notebook.page.locator("body[data-holystream-extension]")).to_have_count(1)
