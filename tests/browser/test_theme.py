"""The live view in the colours of the page around it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Page, expect

from .conftest import Open
from .notebook import set_theme
from .service import Echo

_COLOURS = """(element) => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let ground = element;
  while (channels(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
  return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(luminance);
}"""
"""Relative luminance of text and ground, 0 to 1 (WCAG 2.2)."""


@pytest_asyncio.fixture(loop_scope="session")
async def dark(lab: Page) -> AsyncIterator[Page]:
    """JupyterLab's page in the dark theme."""
    await set_theme(lab, dark=True)
    yield lab
    await set_theme(lab, dark=False)


async def test_in_the_dark_theme_the_view_is_dark(open_notebook: Open, echo: Echo, dark: Page) -> None:
    """Text, code, status line and button are light on dark, with a contrast of at least 4.5."""
    notebook = await open_notebook(f"{echo.magic}\nSome text\n\n```python\nplain = 1\n```\n\n- a list")
    cell = notebook.cell(1)
    echo.hold()
    await cell.start()
    await expect(cell.live.locator("li")).to_have_text("a list")
    for part in (".hs-body p", ".hs-body li", ".hs-code code", ".hs-label", ".hs-figures", "button.hs-stop"):
        text, ground = await cell.live.locator(part).first.evaluate(_COLOURS)
        assert ground < 0.2, part
        assert (text + 0.05) / (ground + 0.05) >= 4.5, part
    echo.release()
    await cell.ended()
