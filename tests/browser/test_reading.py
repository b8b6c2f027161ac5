"""Reading an answer: the page stays where the reader put it, by eye, by keyboard and by ear."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from playwright.async_api import Locator, Page, expect

from .conftest import CONTRAST, Open
from .notebook import LOAD, Cell, open_lab
from .server import Server
from .service import Echo

APPLICATIONS = pytest.mark.parametrize("application", ["lab", "notebook7"])
SECTION: Final = f"""## A section

{"Some words that fill a line. " * 12}

| model | ms |
|:--|--:|
| one | 12 |

```python
for x in range(3):
    print(x)
```

"""
REPEAT: Final = f"{LOAD}\ntext = {SECTION!r}"
ENDLESS: Final = "gpt-4.1#numbered,rate=400,tokens=9000"
LANES: Final = "%%stream -m gpt-4.1#numbered,rate=50,tokens=9000 -m gpt-4o#numbered,rate=50,tokens=9000\nCount."
WIDE: Final = f"|{' a_rather_long_word |' * 20}\n|{'---|' * 20}\n|{' 1 |' * 20}"
CODE: Final = f"x = '{'long ' * 60}'\n\ny = 2\n"
PATIENCE_MS: Final = 20_000

_TRACK: Final = """(cell) => {
  const looks = (window.hsPlaces = []);
  const look = () => {
    const output = cell.querySelector(".jp-Cell-outputArea");
    let scroller = cell.parentElement;
    while (!/auto|scroll/.test(getComputedStyle(scroller).overflowY)) scroller = scroller.parentElement;
    looks.push({
      live: !!cell.querySelector(".holystream"),
      top: cell.getBoundingClientRect().top,
      height: output.getBoundingClientRect().height,
      below: output.getBoundingClientRect().bottom - scroller.getBoundingClientRect().bottom,
    });
    requestAnimationFrame(look);
  };
  look();
}"""
"""Where a cell is, in every frame: its top in the window, its output's height, and how far that ends below the edge."""
_SCROLL: Final = """(view) => {
  const scroller = view.closest(".jp-WindowedPanel-outer");
  const below = view.getBoundingClientRect().bottom - scroller.getBoundingClientRect().bottom;
  return { top: scroller.scrollTop, below };
}"""


# By eye -----------------------------------------------------------------------------------------------------------


@APPLICATIONS
async def test_the_cell_stays_where_it_is_when_the_answer_is_saved(
    open_notebook: Open, new_page: Callable[[], Awaitable[Page]], server: Server, application: str
) -> None:
    """While following the end, on a page that has never drawn Markdown: in no frame is the cell elsewhere or empty."""
    page = await new_page()
    if application == "lab":
        await open_lab(page, server)
    cells = (*["x = 1"] * 6, "%%stream -m gpt-4.1#rate=1500\nrepeat after me:\n" + "{text}\n\n" * 5)
    notebook = await open_notebook(*cells, load=REPEAT, application=application, page=page)
    cell = notebook.cell(7)
    await cell.root.evaluate(_TRACK)
    await cell.start()
    await cell.ended()
    await expect(cell.output.locator(".jp-RenderedMarkdown h2").last).to_be_attached()
    await asyncio.sleep(0.5)

    looks: list[dict[str, Any]] = await cell.notebook.page.evaluate("hsPlaces")
    last = max(number for number, look in enumerate(looks) if look["live"])
    before, after = looks[last], looks[last + 1 :]
    assert before["top"] < 0, "the answer is too short: this proves nothing"
    assert abs(before["below"]) < 30, "the end was not followed: this proves nothing"
    assert max(abs(look["top"] - before["top"]) for look in after) <= 2
    assert min(look["height"] for look in after) >= before["height"] - 2


async def test_the_end_is_followed_until_the_reader_scrolls_up(open_notebook: Open, lab: Page) -> None:
    """A little upwards is enough, and it stays there; at the end again, it is followed again."""
    notebook = await open_notebook(*["x = 1"] * 12, f"%%stream -m {ENDLESS}\nCount.")
    cell = notebook.cell(13)
    await cell.start()
    body = cell.live.locator(".hs-body")
    await expect(body).to_contain_text(" 700 ", timeout=PATIENCE_MS)
    assert abs((await cell.live.evaluate(_SCROLL))["below"]) < 30

    await lab.mouse.move(600, 400)
    await lab.mouse.wheel(0, -10)
    before = None
    for _ in range(300):  # a busy page hears the wheel late, and follows until then
        left = await cell.live.evaluate(_SCROLL)
        if left["below"] > 30 and left["top"] == before:
            break
        before = left["top"]
        await asyncio.sleep(0.1)
    await _grows(body)
    stayed = await cell.live.evaluate(_SCROLL)
    assert left["top"] - 10 <= stayed["top"] <= left["top"]  # the wheel's own way may come after what it means
    assert stayed["below"] > left["below"] + 30

    await cell.live.locator(".hs-status").scroll_into_view_if_needed()
    await _grows(body)
    again = await cell.live.evaluate(_SCROLL)
    assert again["top"] > stayed["top"] + 100
    assert abs(again["below"]) < 30
    await cell.stop.click()
    await cell.ended()


async def _grows(body: Locator) -> None:
    """Waits for six hundred more numbers than there are now."""
    last = int((await body.inner_text()).split()[-2])  # the last one may be half there
    await expect(body).to_contain_text(f" {last + 600} ", timeout=PATIENCE_MS)


async def test_reasoning_is_open_while_it_streams(open_notebook: Open) -> None:
    """Its end is in sight; it closes when the answer starts, and says how many tokens it was and how long it took."""
    notebook = await open_notebook("%%stream -m sim-reasoner#rate=60\nExplain SSE")
    cell = notebook.cell(1)
    await cell.start()
    fold, thoughts = cell.live.locator("details"), cell.live.locator(".hs-thoughts")
    await expect(fold).to_have_attribute("open", "")
    await expect(fold.locator("summary")).to_have_text(re.compile(r"^Reasoning · ≈\d+ tokens · \d\.\d s$"))
    await expect(thoughts).to_be_in_viewport()
    assert await thoughts.evaluate("(box) => box.scrollHeight - box.scrollTop - box.clientHeight") < 2
    await expect(cell.live.locator(".hs-body p").first).to_be_visible(timeout=PATIENCE_MS)
    await expect(fold).not_to_have_attribute("open", "")
    await fold.locator("summary").click()
    await asyncio.sleep(0.3)
    await expect(fold).to_have_attribute("open", "")
    await cell.ended()


async def test_answers_stand_side_by_side_where_there_is_room(open_notebook: Open, lab: Page) -> None:
    """Each has its own text, figures and Stop; in a narrow window they stand below each other, within it."""
    notebook = await open_notebook(LANES)
    cell = notebook.cell(1)
    await cell.start()
    lanes = cell.live.locator(".hs-lane")
    for number in range(2):
        await expect(lanes.nth(number).locator(".hs-body")).to_contain_text(" 20 ")
        await expect(lanes.nth(number).locator(".hs-figures")).to_contain_text("TTFT")
    wide = [await _box(lanes.nth(number)) for number in range(2)]
    assert wide[0]["y"] == wide[1]["y"]
    assert wide[0]["x"] + wide[0]["width"] <= wide[1]["x"]

    size = lab.viewport_size
    assert size is not None
    await lab.set_viewport_size({"width": 500, "height": 900})
    try:
        narrow = [await _box(lanes.nth(number)) for number in range(2)]
        assert narrow[0]["x"] == narrow[1]["x"]
        assert narrow[0]["y"] + narrow[0]["height"] <= narrow[1]["y"]
        assert await cell.live.evaluate("(view) => view.scrollWidth <= view.clientWidth")
    finally:
        await lab.set_viewport_size(size)

    await lab.get_by_role("button", name="Stop gpt-4o").click()
    await expect(lanes.nth(1).locator(".hs-status")).to_contain_text("stopped")
    stopped = await lanes.nth(1).locator(".hs-body").inner_text()
    seen = len(await lanes.nth(0).locator(".hs-body").inner_text())
    await asyncio.sleep(0.3)
    assert await lanes.nth(1).locator(".hs-body").inner_text() == stopped
    assert len(await lanes.nth(0).locator(".hs-body").inner_text()) > seen
    await expect(lab.get_by_role("button", name="Stop gpt-4o")).to_have_count(0)
    await cell.stop.click()
    await cell.ended()


async def test_every_word_can_be_read_in_every_theme(
    open_notebook: Open, echo: Echo, colours: tuple[Page, float]
) -> None:
    """Text, code, figures and buttons have the contrast that the theme promises; the Stop button has a border."""
    _, least = colours
    notebook = await open_notebook(f"{echo.magic}\nSome [text](https://example.org)\n\n```\nplain = 1\n```\n\n- a list")
    cell = notebook.cell(1)
    echo.hold()
    await cell.start()
    await expect(cell.live.locator("li")).to_have_text("a list")
    await expect(cell.stop).to_be_visible()
    parts = (".hs-body p", ".hs-body li", ".hs-address", ".hs-code code", ".hs-label", ".hs-figures", ".hs-copy")
    for part in (*parts, ".hs-stop"):
        assert await cell.live.locator(part).first.evaluate(CONTRAST) >= least, part
    assert await cell.stop.evaluate("(button) => getComputedStyle(button).borderTopWidth") == "1px"
    echo.release()
    await cell.ended()


# By hand ----------------------------------------------------------------------------------------------------------


async def test_code_is_copied_even_where_the_page_is_not_secure(open_notebook: Open, echo: Echo, lab: Page) -> None:
    """With the clipboard's interface and, as on a page without TLS, without it; the code as it is, nothing else."""
    await lab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook = await open_notebook(f"{echo.magic}\n```python\n{CODE}```\n\nThe end.")
    cell = notebook.cell(1)
    echo.hold()
    await cell.start()
    await expect(cell.live.locator(".hs-body")).to_contain_text("The end.")
    button = cell.live.locator(".hs-copy")
    for is_secure in (True, False):
        await lab.evaluate("() => navigator.clipboard.writeText('nothing')")
        if not is_secure:
            await lab.evaluate("""() => {
              window.hsClipboard = navigator.clipboard;
              Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true });
            }""")
        await cell.live.locator(".hs-code").hover()
        await button.click()
        await expect(button).to_have_text("Copied")
        if not is_secure:
            await lab.evaluate("() => { delete navigator.clipboard; }")
        assert await lab.evaluate("() => navigator.clipboard.readText()") == CODE
        await expect(button).to_have_text("Copy")
    echo.release()
    await cell.ended()


async def test_what_is_wide_scrolls_by_keyboard(open_notebook: Open, echo: Echo, lab: Page) -> None:
    """Tables and code are reached by Tab and scrolled by the arrow keys; the page itself gets no wider."""
    notebook = await open_notebook(f"{echo.magic}\n{WIDE}\n\n```python\n{CODE}```\n\nThe end.")
    cell = notebook.cell(1)
    echo.hold()
    await cell.start()
    await expect(cell.live.locator(".hs-body")).to_contain_text("The end.")
    table, code = cell.live.locator(".hs-table"), cell.live.locator(".hs-code > pre")
    await table.focus()
    await _arrows_scroll(lab, table)
    await lab.keyboard.press("Tab")
    await expect(code).to_be_focused()
    await _arrows_scroll(lab, code)
    await lab.keyboard.press("Tab")
    await expect(cell.live.locator(".hs-copy")).to_be_focused()
    await lab.keyboard.press("Tab")
    await expect(cell.stop).to_be_focused()
    assert await cell.live.evaluate("(view) => view.scrollWidth <= view.clientWidth")
    echo.release()
    await cell.ended()


@APPLICATIONS
async def test_after_a_stop_by_keyboard_the_notebook_still_has_the_keyboard(
    open_notebook: Open, application: str
) -> None:
    """The focus goes to the cell: the next key is the notebook's, and none before, of which two d's are a lost cell."""
    notebook = await open_notebook(f"%%stream -m {ENDLESS}\nCount.", application=application)
    cell = notebook.cell(1)
    await cell.start()
    await expect(cell.live.locator(".hs-body")).to_contain_text(" 20 ")
    await cell.stop.focus()
    await notebook.page.keyboard.type("dd")
    await notebook.page.keyboard.press("Enter")
    await cell.ended()
    await expect(cell.live).to_have_count(0)
    await notebook.page.keyboard.press("b")
    await expect(notebook.root.locator(".jp-Cell")).to_have_count(3)


# By ear -----------------------------------------------------------------------------------------------------------


async def test_a_listener_hears_the_start_and_the_end(open_notebook: Open, lab: Page) -> None:
    """Not the tokens; and the end is still there to be said when the saved output has replaced the view."""
    notebook = await open_notebook(f"%%stream -m {ENDLESS}\nCount.", f"%%stream -m {ENDLESS},cut=30\nCount.")
    voice = lab.locator("body > [role=status]")
    await notebook.cell(1).start()
    await expect(notebook.cell(1).live.locator(".hs-body")).to_contain_text(" 20 ")
    await expect(voice.locator("div").last).to_have_text(re.compile("gpt-4.1.*: answer started$"))
    await expect(notebook.cell(1).live.locator(".hs-body")).to_contain_text(" 200 ")
    await expect(voice.locator("div").last).to_have_text(re.compile("gpt-4.1.*: answer started$"))
    live = await _live_regions(notebook.cell(1))
    await notebook.cell(1).stop.click()
    await notebook.cell(1).ended()
    await expect(voice.locator("div").last).to_have_text(re.compile("gpt-4.1.*: stopped: TTFT"))
    assert live == 0

    await notebook.cell(2).run()
    await expect(voice.locator("div").last).to_have_text(re.compile("gpt-4.1.*: interrupted: The connection .* broke"))


async def _live_regions(cell: Cell) -> int:
    """Elements around the answer's text that a screen reader would read out as they change."""
    found: int = await cell.live.locator(".hs-body").evaluate("""(body) => {
      const regions = "[aria-live]:not([aria-live=off]), [role=status], [role=alert], [role=log]";
      return (body.closest(regions) ? 1 : 0) + body.querySelectorAll(regions).length;
    }""")
    return found


async def _arrows_scroll(page: Page, part: Locator) -> None:
    reached = {"ArrowRight": "(part) => part.scrollLeft > 20", "ArrowLeft": "(part) => part.scrollLeft === 0"}
    for key, is_reached in reached.items():
        for _ in range(3):
            await page.keyboard.press(key)
        await page.wait_for_function(is_reached, arg=await part.element_handle(), polling=20)


async def _box(part: Locator) -> Any:
    box = await part.bounding_box()
    assert box is not None
    return box
