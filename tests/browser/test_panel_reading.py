"""A chat panel for eye, keyboard and ear: what it looks like, where the focus goes, what is said, what cannot act."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import islice
from typing import Final

import pytest
from playwright.async_api import Page, expect

from ..live.payloads import PAYLOADS
from .chromium import Journey
from .conftest import CONTRAST, Open
from .panel import IMPORT, PATIENCE_MS, Panel, chat
from .service import Echo

EVERYTHING: Final = "Some [text](https://example.org) and `code`\n\n```python\nplain = 1\n```\n\n- a list"
WIDE: Final = f"|{' a_rather_long_word |' * 20}\n|{'---|' * 20}\n|{' 1 |' * 20}\n\n$$ {'x + ' * 80} y $$\n\n{'w' * 300}"


# By eye ------------------------------------------------------------------------------------------------------------


async def test_an_empty_panel_offers_three_examples(open_notebook: Open, lab: Page) -> None:
    """A click writes one into the composer, Enter asks it, and they are gone; the panel says whom it asks."""
    notebook = await open_notebook(chat("'gpt-4.1#tokens=20'"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    examples = panel.root.locator("button.hs-example")
    await expect(examples).to_have_count(3)
    await expect(panel.question).to_have_attribute("placeholder", "Ask gpt-4.1#tokens=20")
    await expect(panel.root.locator(".hs-head .hs-badge")).to_have_text(re.compile("simulator"))
    words = await examples.nth(1).text_content() or "nothing"
    await examples.nth(1).click()
    await expect(panel.question).to_have_value(words)
    await expect(panel.question).to_be_focused()
    await lab.keyboard.press("Enter")
    await expect(panel.asked(0)).to_have_text(words)
    await expect(examples).to_have_count(0)
    await panel.shows(0)


async def test_reasoning_is_folded_and_maths_is_typeset(open_notebook: Open, echo: Echo) -> None:
    """The fold is open while it is thought and closed by the answer; formulas are MathML, what is none stays text."""
    notebook = await open_notebook(
        chat("'sim-reasoner#rate=80'"), chat(f"'ollama:echo', base_url={echo.url!r}"), load=IMPORT
    )
    for number in (1, 2):
        await notebook.cell(number).run()
    thinker, panel = (Panel(notebook.cell(number).root) for number in (1, 2))
    await thinker.ask("Explain SSE in two sentences")
    fold = thinker.lane(0).locator("details")
    await expect(fold).to_have_attribute("open", "", timeout=PATIENCE_MS)

    formulas = r"Then $\frac{a}{b}$ and" + "\n\n$$\\sum_{i=1}^n \\sqrt{x_i}$$\n\nbut `$x$`, $5 and $6."
    await panel.ask(formulas)
    await panel.shows(0)
    answer = panel.answer(0)
    await expect(answer.locator("math")).to_have_count(2)
    await expect(answer.locator("math mfrac")).to_have_count(1)
    await expect(answer.locator('math[display="block"] msqrt')).to_have_count(1)
    drawn = await answer.locator("math mfrac").evaluate("(part) => [part.namespaceURI, part.clientHeight]")
    assert drawn[0] == "http://www.w3.org/1998/Math/MathML"
    await expect(answer).to_contain_text("but $x$, $5 and $6.")

    await thinker.shows(0)
    await expect(fold).not_to_have_attribute("open", "")
    await expect(fold.locator("summary")).to_have_text(re.compile(r"^Reasoning · ≈?\d+ tokens · \d+\.\d s$"))
    await fold.locator("summary").click()
    await expect(fold.locator(".hs-thoughts")).to_be_visible()


async def test_the_head_stays_low_whatever_it_says(open_notebook: Open, echo: Echo, lab: Page) -> None:
    """A long name of a service does not squeeze the sums into a column of single words, one below the other."""
    load = f"{IMPORT}; hs.configure(base_url={echo.url!r}, model='a-model-with-a-long-name')"
    notebook = await open_notebook(chat(""), load=load)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask("Hello")
    await panel.shows(0)
    head = panel.root.locator(".hs-head")
    await expect(head.locator(".hs-badge")).to_contain_text("(hs.configure)")
    await expect(head).to_contain_text("tokens")
    size = lab.viewport_size
    assert size is not None
    await lab.evaluate("jupyterapp.shell.collapseLeft()")
    try:
        for width in range(1200, 400, -100):
            await lab.set_viewport_size({"width": width, "height": 900})
            await asyncio.sleep(0.3)  # JupyterLab lays itself out a moment later
            low = await head.evaluate("(head) => [head.offsetHeight, head.offsetWidth, head.innerText]")
            assert low[0] < 100, (width, low)
    finally:
        await lab.set_viewport_size(size)
        await lab.evaluate("jupyterapp.shell.expandLeft()")


async def test_it_fits_wide_and_narrow(open_notebook: Open, echo: Echo, lab: Page) -> None:
    """Compared answers stand below each other where there is no room; nothing sticks out, the composer stays."""
    models = "['ollama:one', 'ollama:two']"
    notebook = await open_notebook(chat(f"models={models}, base_url={echo.url!r}"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask(WIDE)
    for lane in range(2):
        await panel.shows(0, lane=lane)
    await panel.button("settings").click()
    size = lab.viewport_size
    assert size is not None
    places: dict[int, list[float]] = {}
    await lab.evaluate("jupyterapp.shell.collapseLeft()")
    try:
        shown = await panel.root.element_handle()
        for width in (1280, 700, 420):
            before = await panel.root.evaluate("(root) => root.offsetWidth")
            await lab.set_viewport_size({"width": width, "height": 900})
            if width < 1280:  # JupyterLab lays itself out a moment later
                await lab.wait_for_function("([root, before]) => root.offsetWidth < before", arg=[shown, before])
            places[width] = [await panel.lane(0, lane).evaluate("(lane) => lane.offsetTop") for lane in range(2)]
            beyond = await panel.root.evaluate(_BEYOND)
            assert beyond == [], f"{width}: {beyond}"
            assert await panel.root.evaluate(_COMPOSER_IS_WITHIN), width
    finally:
        await lab.set_viewport_size(size)
        await lab.evaluate("jupyterapp.shell.expandLeft()")
    assert places[1280][0] == places[1280][1]
    assert places[420][0] < places[420][1]


_BEYOND: Final = """(root) => {
  const { left, right } = root.getBoundingClientRect();
  const isClipped = (part) => part !== root && part.closest(".hs-code, .hs-table, .hs-typeset, .hs-thoughts, .hs-keys");
  return [...root.querySelectorAll("*"), root]
    .filter((part) => !isClipped(part.parentElement) && part.getClientRects().length)
    .filter((part) => part.getBoundingClientRect().right > right + 1 || part.getBoundingClientRect().left < left - 1
                   || (part === root && part.scrollWidth > part.clientWidth))
    .map((part) => part.localName + "." + part.className);
}"""
"""What stands out of the panel, and not in a part that scrolls by itself."""
_COMPOSER_IS_WITHIN: Final = """(root) => {
  const { bottom, height } = root.getBoundingClientRect();
  return height < 0.8 * innerHeight && root.querySelector(".hs-composer").getBoundingClientRect().bottom <= bottom;
}"""


async def test_every_word_of_the_panel_can_be_read_in_every_theme(
    open_notebook: Open, echo: Echo, colours: tuple[Page, float]
) -> None:
    """Question, answer, figures, errors, fields and buttons have the contrast that the theme promises."""
    _, least = colours
    notebook = await open_notebook(
        chat(f"'ollama:echo', base_url={echo.url!r}"), chat("'no-such-model'", "other"), load=IMPORT
    )
    for number in (1, 2):
        await notebook.cell(number).run()
    panel, failing = (Panel(notebook.cell(number).root) for number in (1, 2))
    await _can_be_read(panel, least, ".hs-empty-title", ".hs-example")
    await failing.ask("Hello")
    await failing.shows(0, "failed")
    await _can_be_read(failing, least, ".hs-lane .hs-error", ".hs-retry", ".hs-word")

    await panel.ask(EVERYTHING)
    await panel.shows(0)
    await panel.button("settings").click()
    await panel.chips.click()
    answer = (".hs-question", ".hs-body p", ".hs-body li", ".hs-address", ".hs-code code", ".hs-label", ".hs-figures")
    around = (".hs-chat-title", ".hs-total", ".hs-head .hs-icon-button", ".hs-foot .hs-icon-button", ".hs-keys")
    await _can_be_read(panel, least, *answer, *around, ".hs-field span", ".hs-input", ".hs-compare", ".hs-writing")
    await panel.root.get_by_role("combobox").press("Escape")
    await panel.question.fill("Ready")
    await expect(panel.send).to_have_attribute("aria-disabled", "false")
    await _can_be_read(panel, 3, ".hs-send")  # a picture, not a word (WCAG 2.2, 1.4.11)
    await panel.button("delete from here").click()
    await _can_be_read(panel, 4.5, ".hs-asking")


async def _can_be_read(panel: Panel, least: float, *parts: str) -> None:
    for part in parts:
        assert await panel.root.locator(part).first.evaluate(CONTRAST) >= least, part


# By keyboard -------------------------------------------------------------------------------------------------------


async def test_tab_goes_through_everything_in_order(open_notebook: Open, echo: Echo, lab: Page) -> None:
    """Header, conversation, composer, each toolbar one stop with arrows inside; backwards the same; then out of it."""
    notebook = await open_notebook(chat(f"'ollama:echo', base_url={echo.url!r}"), "x = 1", load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask("Hello")
    await panel.shows(0)
    await panel.question.fill("Next")

    await panel.button("settings").focus()
    stops = await _walk(panel, "Tab")
    wanted = ["settings", "conversation", "question", "edit and ask again", "copy the answer"]
    assert stops[: len(wanted)] == wanted
    assert stops[len(wanted) :] == ["your question", "ollama:echo", "Compare", "send"]
    await panel.send.focus()
    assert await _walk(panel, "Shift+Tab") == ["send", "Compare", "ollama:echo", "your question", *reversed(wanted)]

    await panel.button("edit and ask again").focus()
    for key, name in (("ArrowRight", "copy the question"), ("End", "delete from here"), ("ArrowRight", "edit and ask")):
        await lab.keyboard.press(key)
        assert name in await _focused(lab)
    assert (await notebook.cell(2).root.get_attribute("class") or "").count("jp-mod-active") == 0


async def test_everything_is_done_by_keyboard_and_the_focus_is_never_lost(
    open_notebook: Open, echo: Echo, lab: Page
) -> None:
    """Settings, models, stop, ask again, edit, delete, clear, save: after each key the focus is in the panel."""
    notebook = await open_notebook(chat("'gpt-4.1#numbered,rate=40,tokens=400'"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    said = panel.root.locator(".hs-said:not(.hs-stale)")

    async def press(*keys: str) -> None:
        for key in keys:
            await lab.keyboard.press(key)
            assert await panel.holds_focus(), key

    await panel.question.focus()
    await lab.keyboard.type("Count")
    await press("Enter", "Tab", "Tab", "Tab")
    await panel.reaches(0, 5)
    await expect(panel.send).to_be_focused()
    await press("Enter")
    await panel.shows(0, "stopped")
    await expect(panel.question).to_be_focused()

    await press("Tab", "Enter")  # the first model's search
    await lab.keyboard.type("gpt-4.1#numbered,tokens=3")
    await press("Enter")
    await expect(panel.chips).to_have_text("gpt-4.1#numbered,tokens=3")
    await panel.button("ask again").focus()
    await press("Enter")
    await panel.shows(0)
    assert await panel.numbers(0) == [0, 1, 2]
    assert await panel.holds_focus()

    await panel.question.focus()
    await press("ArrowUp")
    await lab.keyboard.type(" again")
    await press("Enter")
    await expect(panel.asked(0)).to_have_text("Count again")
    await panel.shows(0)
    assert await panel.holds_focus()

    await panel.button("settings").focus()
    await press("Enter", "Tab", "Tab", "Shift+Tab", "Shift+Tab")
    await panel.button("settings").focus()
    await press("Enter", "ArrowRight", "Enter")
    await expect(said).to_contain_text("Saved as ", timeout=PATIENCE_MS)
    await panel.button("dismiss").focus()
    await press("Enter")
    await expect(said).to_be_hidden()
    assert await panel.holds_focus()
    await panel.button("settings").focus()
    await press("End", "Enter", "Enter")
    await expect(panel.turns).to_have_count(0)
    assert await panel.holds_focus()


@pytest.mark.parametrize("application", ["lab", "notebook7"])
async def test_no_shortcut_of_jupyterlab_fires_inside(open_notebook: Open, application: str) -> None:
    """Letters that delete, add, cut or merge cells are text in a field and nothing on a button; Ctrl+S still saves."""
    notebook = await open_notebook(chat("'gpt-4.1#numbered,tokens=9'"), "x = 1", load=IMPORT, application=application)
    page = notebook.page
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    letters = "ddabxzmyvjk 00"
    await panel.question.click()
    await page.keyboard.type(letters)
    await expect(panel.question).to_have_value(letters)
    for key in ("Control+Enter", "Escape", "d", "d", "Alt+Enter"):
        await page.keyboard.press(key)
    await panel.shows(0)
    for part in (panel.button("settings"), panel.root.get_by_role("log"), panel.asked(0), panel.chips):
        await part.focus()
        await page.keyboard.type(letters.replace(" ", ""))  # which presses a button
        await page.keyboard.press("Escape")
    await panel.button("settings").click()
    await panel.root.get_by_label("System prompt").fill("")
    await page.keyboard.type(letters)
    await expect(notebook.root.locator(".jp-Cell")).to_have_count(3)
    assert await notebook.cell(2).is_untouched()
    kinds = await notebook.root.locator(".jp-Cell").evaluate_all(
        "(cells) => cells.map((cell) => cell.classList.contains('jp-CodeCell'))"
    )
    assert kinds == [True, True, True]
    assert notebook.read()["cells"][1]["outputs"] == []
    await page.keyboard.press("Control+s")
    for _ in range(200):
        if notebook.read()["cells"][1]["outputs"]:
            break
        await page.wait_for_timeout(50)
    assert notebook.read()["cells"][1]["outputs"]


async def _walk(panel: Panel, key: str) -> list[str]:
    """What has the focus, key by key, until it leaves the panel; what scrolls may be a stop or not."""
    names: list[str] = []
    for _ in range(40):
        if not await panel.holds_focus():
            return names
        names.append(await _focused(panel.page))
        await panel.page.keyboard.press(key)
    raise AssertionError(f"no way out by {key}: {names}")


async def _focused(page: Page) -> str:
    name: str = await page.evaluate(
        "() => document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
    )
    return name


# By ear ------------------------------------------------------------------------------------------------------------


async def test_a_listener_hears_starts_and_ends_and_knows_every_part(open_notebook: Open, lab: Page) -> None:
    """Regions, log, articles and fields have roles and names; no live region around the tokens; errors are said."""
    notebook = await open_notebook(chat("'gpt-4.1#numbered,rate=100,tokens=100'"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    voice = lab.locator("body > .hs-voice")
    region = lab.get_by_role("region", name="Chat with gpt-4.1#numbered,rate=100,tokens=100")
    await expect(region).to_be_visible()
    await panel.ask("Count.")
    await panel.reaches(0, 10)
    label = "gpt-4.1#numbered,rate=100,tokens=100"
    await expect(voice).to_contain_text(f"{label}: answer started")
    await expect(region.get_by_role("log", name="conversation")).to_have_attribute("aria-live", "off")
    await expect(region.get_by_role("article", name="question 1 of 1")).to_be_visible()
    await expect(panel.lane(0)).to_have_accessible_name(label)
    assert await panel.answer(0).evaluate(_LIVE_REGIONS) == 0
    await panel.shows(0)
    await expect(voice).to_contain_text(re.compile("answer finished: TTFT .* 100 tokens"))
    await expect(voice).to_have_attribute("role", "status")
    unnamed = await panel.root.evaluate("""(root) => [...root.querySelectorAll("button, input, textarea")]
      .filter((part) => part.getClientRects().length)
      .filter((part) => !(part.ariaLabel || part.textContent.trim() || part.closest("label"))).length""")
    assert unnamed == 0

    await panel.choose(panel.chips, "no-such-model")
    await panel.ask("Hello")
    await panel.shows(1, "failed")
    await expect(voice).to_contain_text(re.compile("no-such-model: failed: .*no-such-model"))
    await panel.turns.first.hover()
    await panel.button("delete from here", 0).click()
    await expect(panel.root.get_by_role("status").filter(has_text="Delete 2 questions? Press again.")).to_be_visible()


_LIVE_REGIONS: Final = """(body) => {
  const regions = "[aria-live]:not([aria-live=off]), [role=status], [role=alert], [role=log]:not([aria-live=off])";
  return (body.closest(regions) ? 1 : 0) + body.querySelectorAll(regions).length;
}"""
"""Elements around an answer's text that a screen reader would read out as they change."""


# What cannot act ---------------------------------------------------------------------------------------------------

ATTACKS: Final = [
    *(payload for name, payload in PAYLOADS.items() if name.startswith("maths")),
    *islice((payload for name, payload in PAYLOADS.items() if not name.startswith("maths")), 0, None, 8),
]
_ASK_ALL: Final = """for attack in attacks:
    await panel.send(attack)
panel.system = panel.messages[-1]["content"]"""
_ACTING: Final = (
    "script, img, svg, iframe, object, embed, form, style, link, base, meta, video, audio, a[href], [src], [href], "
    "maction, semantics, annotation-xml, [id]:not([role=listbox], [role=option])"
)
_CAUGHT: Final = """() => {
  window.hsCaught = [];
  for (const name of ["alert", "confirm", "prompt", "open"]) {
    window[name] = (...given) => void hsCaught.push(`${name}(${given})`);
  }
}"""


async def test_nothing_in_a_hostile_answer_acts(open_notebook: Open, echo: Echo, lab: Page, journey: Journey) -> None:
    """As question, answer, system prompt and saved copy: no script, no request elsewhere, no element that could act."""
    attacks = [attack.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for attack in ATTACKS]
    notebook = await open_notebook(
        chat(f"'ollama:<img src=x onerror=alert(1)>', base_url={echo.url!r}"),
        _ASK_ALL,
        load=f"{IMPORT}\nimport json\nattacks = json.loads({json.dumps(attacks)!r})",
    )
    await lab.evaluate(_CAUGHT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await notebook.cell(2).run()
    assert await notebook.cell(2).error() is None
    await panel.shows(len(ATTACKS) - 1)
    await panel.button("settings").click()
    for part in (".hs-turns", ".hs-settings", ".hs-head", ".hs-chips"):
        found = (
            await panel.root.locator(part)
            .locator(_ACTING)
            .evaluate_all(
                "(all) => all.filter((one) => !one.closest('svg.hs-icon')).map((one) => one.outerHTML.slice(0, 200))"
            )
        )
        assert found == [], part
    handlers = await panel.root.evaluate("""(root) => [...root.querySelectorAll("*")]
      .flatMap((part) => [...part.attributes].map(({ name }) => name)).filter((name) => name.startsWith("on"))""")
    assert handlers == []
    copy = notebook.cell(1).output.locator(".jp-OutputArea-output.jp-RenderedMarkdown")
    await expect(copy.last).to_contain_text(f"to {len(ATTACKS)}")  # in pieces, each with the questions that it has
    await expect(
        copy.locator("script, img, iframe, form, style, [onerror], a[href*='evil'], a[href*='script']")
    ).to_have_count(0)
    assert await lab.evaluate("hsCaught") == []
    assert not journey.hosts
