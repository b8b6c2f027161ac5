"""A rollout's state in a page: kept up to date in place, seen as a picture, and saved as it was."""

from __future__ import annotations

from playwright.async_api import expect

from holystream_nb import Simulator

from .conftest import Open

_MAKE = """
import asyncio, holystream_nb as hs
sides = [hs.Client("simulator", base_url="{url}", api_key="sim-key-1") for _ in range(2)]
rollout = hs.Rollout([(sides[0], 70), (sides[1], 30)], note="simulator, unpaced")
rollout.show()
"""
_USE = """
for number in range(40):
    async with rollout.stream(f"Hello {number}", max_tokens=3) as stream:
        async for _ in stream:
            pass
rollout.trip("complaints")
"""
_SIZE = "(image) => image.complete && image.naturalWidth"


async def test_the_state_is_drawn_and_updated_where_it_was_shown(open_notebook: Open, simulator: Simulator) -> None:
    """A later cell's traffic changes the earlier cell's table and picture; what is kept is plain output."""
    notebook = await open_notebook(_MAKE.format(url=simulator.url), _USE)
    shown, used = notebook.cell(1), notebook.cell(2)
    await shown.run()
    await expect(shown.output).to_contain_text("30 % to simulator:deepseek-v3.2: too few requests to judge")
    before = await shown.output.locator("img").get_attribute("src")
    await used.run()
    await expect(shown.output).to_contain_text("Rolled back: quality: complaints")
    await expect(shown.output.locator("td").filter(has_text="100 %")).to_have_count(1)
    picture = shown.output.locator("img")
    assert await picture.get_attribute("src") != before
    assert await picture.evaluate(_SIZE) > 0
    (kept,) = await shown.outputs()
    assert set(kept["data"]) == {"text/html", "text/plain"}
    assert "Rolled back" in "".join(kept["data"]["text/plain"])
