"""Calls of tools on the screen: cards, the question before a call, and what is saved."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from .conftest import Open
from .notebook import LOAD

TOOLS = f'''{LOAD}
import time
import holystream_nb as hs

ran = []

@hs.tool
def get_weather(city: str, days: int = 3) -> str:
    """Says what the weather will be."""
    ran.append(city)
    time.sleep(0.3)
    return f"<img src=x onerror=alert(1)> **sunny** in {{city}}"'''
ASK = "%%stream -m gpt-4.1#rate=100 --tools get_weather\nUse get_weather, Paris"


@pytest.mark.parametrize(
    ("button", "ran", "saved"),
    [("Allow", "['Paris']", "sunny"), ("Refuse", "[]", "the user did not allow this call")],
)
async def test_a_call_waits_for_a_click(open_notebook: Open, button: str, ran: str, saved: str) -> None:
    """The card has name and arguments and asks; after the click it has the result, as text, and the answer goes on."""
    notebook = await open_notebook(ASK, "print(ran)", load=TOOLS)
    cell = notebook.cell(1)
    await cell.start()
    card = cell.live.locator(".hs-call")
    await expect(card).to_have_attribute("data-state", "asking")
    await expect(card.locator(".hs-call-name")).to_have_text("get_weather")
    await expect(card.locator("pre").first).to_have_text('{"city":"Paris"}')
    await card.get_by_role("button", name=button, exact=True).click(delay=400)
    await cell.ended()
    await notebook.cell(2).run()
    assert (await notebook.cell(2).printed()).strip() == ran
    assert saved in await cell.output.inner_text()
    assert await cell.output.locator("img").count() == 0


@pytest.mark.parametrize("application", ["lab", "notebook7"])
async def test_the_keyboard_answers_too(open_notebook: Open, application: str) -> None:
    """Tab reaches the buttons, and Enter presses one; Jupyter takes no key for itself."""
    notebook = await open_notebook(ASK, "print(ran)", load=TOOLS, application=application)
    page = notebook.page
    cell = notebook.cell(1)
    await cell.start()
    allow = cell.live.get_by_role("button", name="Allow", exact=True)
    await allow.focus()
    await page.keyboard.press("Tab")
    await expect(cell.live.get_by_role("button", name="Allow always")).to_be_focused()
    await page.keyboard.type("dd")
    await expect(notebook.root.locator(".jp-Cell")).to_have_count(3)
    await page.wait_for_timeout(400)  # so soon after the card appeared, a press is no answer
    await page.keyboard.press("Enter")
    await cell.ended()
    await notebook.cell(2).run()
    assert (await notebook.cell(2).printed()).strip() == "['Paris']"


async def test_a_panel_asks_on_its_card(open_notebook: Open) -> None:
    """As a cell does, while another cell computes; the saved copy under the panel has the call and its result."""
    panel = "panel = hs.ChatPanel('gpt-4.1#rate=100', tools=[get_weather])\npanel"
    notebook = await open_notebook(panel, "time.sleep(60)", "print(ran)", load=TOOLS)
    cell = notebook.cell(1)
    await cell.run()
    composer = cell.output.get_by_role("textbox", name="your question")
    await composer.fill("Use get_weather, Paris")
    await notebook.cell(2).start()
    await composer.press("Enter")
    card = cell.output.locator(".hs-call")
    await expect(card).to_have_attribute("data-state", "asking")
    await expect(card.locator("pre").first).to_have_text('{"city":"Paris"}')
    await card.get_by_role("button", name="Allow", exact=True).click(delay=400)
    await expect(card).to_have_attribute("data-state", "done")
    assert "[*]" in await notebook.cell(2).root.locator(".jp-InputPrompt").inner_text()
    await notebook.interrupt()
    await notebook.cell(2).ended()
    await notebook.cell(3).run()
    assert (await notebook.cell(3).printed()).strip() == "['Paris']"
    copy = cell.output.locator("details", has_text="Saved copy · 1 question")
    await copy.locator("summary").first.click()
    await expect(copy).to_contain_text("<img src=x onerror=alert(1)> **sunny** in Paris")
    assert await cell.output.locator("img").count() == 0
