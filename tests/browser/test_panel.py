"""A chat panel under a hand: ask, stop, ask again, edit, copy, delete, choose a model, set, compare, retry."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Locator, Page, expect

from .conftest import Open
from .panel import IMPORT, PATIENCE_MS, Panel, chat
from .server import Server
from .service import Echo

NOTE: Final = f"""{IMPORT}
import json, time, ipywidgets
from holystream_nb.session import session
heard, replies = [], []  # when each message of the page arrived in the kernel; what was answered
note = lambda _, content, buffers: heard.append((content["kind"], time.perf_counter_ns()))
ipywidgets.Widget.on_widget_constructed(lambda widget: widget.on_msg(note))"""
TELL: Final = """record = session._simulator.record(replies[-1].request_id)
print(json.dumps({
    "text": replies[-1].text, "outcome": record["outcome"],
    "stop_ns": [at for kind, at in heard if kind == "stop"][-1], "gone_ns": record["disconnected_ns"],
}))"""


# Asking ------------------------------------------------------------------------------------------------------------


async def test_a_question_is_written_sent_and_edited_by_keyboard(open_notebook: Open, echo: Echo, lab: Page) -> None:
    """Shift+Enter makes a line, Enter sends; in the empty composer the arrow up edits the last question."""
    panel = await _open(open_notebook, _echoing(echo))
    await panel.question.press_sequentially("one")
    await panel.question.press("Shift+Enter")
    await panel.question.press_sequentially("two")
    await expect(panel.question).to_have_value("one\ntwo")
    await expect(panel.turns).to_have_count(0)
    await panel.question.press("Enter")
    await panel.shows(0)
    await expect(panel.question).to_have_value("")
    await expect(panel.asked(0)).to_have_text("one\ntwo")
    assert (await panel.answer(0).inner_text()).split() == ["one", "two"]

    await panel.question.press("ArrowUp")
    editing = panel.root.get_by_role("textbox", name="the question")
    await expect(editing).to_be_focused()
    await expect(editing).to_have_value("one\ntwo")
    await lab.keyboard.press("Escape")
    await expect(panel.button("edit and ask again")).to_be_focused()
    await panel.question.focus()
    await lab.keyboard.press("ArrowUp")
    await expect(editing).to_be_focused()
    await lab.keyboard.type(" three")
    await lab.keyboard.press("Enter")
    await expect(panel.asked(0)).to_have_text("one\ntwo three")
    await expect(panel.answer(0)).to_contain_text("three", timeout=PATIENCE_MS)
    await expect(panel.turns).to_have_count(1)
    assert await panel.holds_focus()


@pytest.mark.parametrize("application", ["lab", "notebook7"])
async def test_send_becomes_stop_and_stop_is_a_stop_upstream(open_notebook: Open, application: str) -> None:
    """While tokens flow and in a silence: gone upstream within 100 ms of the click's arrival, and the text stays."""
    notebook = await open_notebook(
        chat("'gpt-4.1#numbered,rate=50,tokens=5000'") + "\npanel.on_reply(replies.append)\npanel",
        TELL,
        "panel.model = 'gpt-4.1#numbered,tokens=100,stall=60,after=30'",
        TELL,
        load=NOTE,
        application=application,
    )
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    for turn in range(2):
        await expect(panel.send).to_have_attribute("aria-label", "send")
        await panel.ask("Count.")
        await expect(panel.send).to_have_attribute("aria-label", "stop")
        await panel.reaches(turn, 20)
        await panel.send.click()
        await panel.shows(turn, "stopped")
        await expect(panel.send).to_have_attribute("aria-label", "send")
        await expect(panel.lane(turn).locator(".hs-status")).to_contain_text("stopped")
        await expect(panel.question).to_be_focused()
        tell = notebook.cell(2 + 2 * turn)
        await tell.run()
        told = json.loads(await tell.printed())
        assert await panel.numbers(turn) == list(range(len(told["text"].split())))
        assert told["outcome"] == "disconnected"
        in_kernel_ms = (told["gone_ns"] - told["stop_ns"]) / 1e6
        print(f"Stop: {in_kernel_ms:.0f} ms from its arrival to the disconnect")
        assert 0 < in_kernel_ms < 100
        await notebook.cell(3).run()


async def test_asked_again_edited_deleted_and_cleared(open_notebook: Open, echo: Echo) -> None:
    """What would take other questions along asks first; the second press does it, and the focus is never lost."""
    panel = await _open(open_notebook, _echoing(echo))
    for number, word in enumerate(("first", "second", "third")):
        await panel.ask(word)
        await panel.shows(number)

    before = len(echo.requests)
    await panel.button("ask again", 2).click()
    await expect(panel.total).to_contain_text("4 requests", timeout=PATIENCE_MS)
    await expect(panel.turns).to_have_count(3)
    assert [message["content"] for message in echo.requests[before]["messages"]] == [
        *("first", "first", "second", "second"),
        "third",
    ]

    await panel.turns.nth(1).hover()
    await panel.button("edit and ask again", 1).click()
    await expect(panel.turns.nth(1)).to_contain_text("the question after it will be deleted")
    await panel.root.get_by_role("textbox", name="the question").fill("another")
    await panel.button("Ask again").click()
    await expect(panel.asked(1)).to_have_text("another")
    await expect(panel.turns).to_have_count(2)
    await panel.shows(1)
    assert await panel.holds_focus()

    await panel.turns.first.hover()
    await panel.button("delete from here", 0).click()
    await expect(panel.hint).to_have_text("Delete 2 questions? Press again.")
    await expect(panel.turns).to_have_count(2)
    await panel.button("Delete 2 questions?").click()
    await expect(panel.turns).to_have_count(0)
    assert await panel.holds_focus()

    await panel.ask("fresh")
    await panel.shows(0)
    assert len(echo.requests[-1]["messages"]) == 1
    await panel.button("new conversation").click()
    await expect(panel.turns).to_have_count(1)
    await panel.button("Begin a new one? This one is kept.").click()
    await expect(panel.turns).to_have_count(0)
    await expect(panel.root.locator(".hs-example")).to_have_count(3)
    await expect(panel.total).to_contain_text("6 requests")


async def test_question_and_answer_are_copied_as_they_were_written(open_notebook: Open, echo: Echo, lab: Page) -> None:
    """The Markdown, not what is drawn of it; the button says so."""
    await lab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = await _open(open_notebook, _echoing(echo))
    written = "**Bold** $x^2$\n\n- one <b>\n- two"
    await panel.ask(written)
    await panel.shows(0)
    for name in ("copy the question", "copy the answer"):
        await lab.evaluate("() => navigator.clipboard.writeText('nothing')")
        await panel.button(name).click()
        await expect(panel.button("copied")).to_be_visible()
        await expect(panel.hint).to_have_text("Copied.")
        assert await lab.evaluate("() => navigator.clipboard.readText()") == written
        await expect(panel.button(name)).to_be_visible()


# Whom and how ------------------------------------------------------------------------------------------------------


async def test_a_model_of_any_provider_is_found_and_asked_by_keyboard(
    open_notebook: Open, echo: Echo, server: Server, lab: Page
) -> None:
    """The search box lists every configured provider's models, arrow and Enter choose; Escape gives the focus back."""
    notebook = await open_notebook(
        chat("'gpt-4.1#tokens=5'"), "print(panel.model)", load=f"{_providers(server, echo)}\n{IMPORT}"
    )
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    box, options = panel.root.get_by_role("combobox"), panel.root.get_by_role("option")
    await panel.chips.focus()
    await lab.keyboard.press("Enter")
    await expect(box).to_be_focused()
    await expect(options.first).to_contain_text("simulator", timeout=PATIENCE_MS)
    await expect(panel.root.locator(".hs-picker > p")).to_have_text(re.compile(r"and \d+ more: type to find them"))
    await lab.keyboard.type("openai MINI")
    await expect(options.first).to_contain_text("openai:")
    names = await options.all_inner_texts()
    assert len(names) > 1
    assert all("mini" in name for name in names)
    await lab.keyboard.press("ArrowDown")
    await expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    await expect(box).to_have_attribute("aria-activedescendant", await options.nth(1).get_attribute("id") or "?")
    await lab.keyboard.press("Escape")
    await expect(box).to_be_hidden()
    await expect(panel.chips).to_be_focused()
    await expect(panel.chips).to_have_text("gpt-4.1#tokens=5")

    await lab.keyboard.press("Enter")
    await lab.keyboard.type("soup")
    await lab.keyboard.press("Enter")
    await expect(panel.chips).to_have_text("canteen:soup")
    await expect(panel.chips).to_be_focused()
    await panel.ask("Hello, cook")
    await panel.shows(0)
    assert echo.requests[-1]["model"] == "soup"
    await expect(panel.lane(0).locator(".hs-label")).to_have_text("canteen:soup")
    await notebook.cell(2).run()
    assert (await notebook.cell(2).printed()).strip() == "canteen:soup"


async def test_system_prompt_temperature_and_length_go_with_the_request(open_notebook: Open, echo: Echo) -> None:
    """From the fold of the header; what cannot be is said beside its field; the program sets them too."""
    notebook = await open_notebook(
        _echoing(echo), "print(panel.system, panel.temperature, panel.max_tokens); panel.system = 'Sing.'", load=IMPORT
    )
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    fold = panel.button("settings")
    await expect(fold).to_have_attribute("aria-expanded", "false")
    await fold.click()
    await expect(fold).to_have_attribute("aria-expanded", "true")
    system = panel.root.get_by_label("System prompt")
    await expect(system).to_be_focused()
    await system.fill("Answer in verse.")
    await panel.root.get_by_label("Temperature").fill("3")
    await panel.root.get_by_label("Max tokens").fill("77")
    await expect(panel.root.get_by_role("alert").filter(has_text="a number from 0 to 2")).to_be_visible()
    await panel.root.get_by_label("Temperature").fill("0,3")
    await panel.ask("Hello")
    await panel.shows(0)
    sent = echo.requests[-1]
    assert sent["messages"] == [
        {"role": "system", "content": "Answer in verse."},
        {"role": "user", "content": "Hello"},
    ]
    assert (sent["temperature"], sent["max_tokens"]) == (0.3, 77)
    await expect(panel.root.locator(".hs-wrong:visible")).to_have_count(0)

    await notebook.cell(2).run()
    assert (await notebook.cell(2).printed()).strip() == "Answer in verse. 0.3 77"
    await expect(system).to_have_value("Sing.")


async def test_figures_stand_under_each_answer_and_the_total_in_the_header(open_notebook: Open) -> None:
    """Model, TTFT, speed, tokens, cost; "≈" while it runs, exact at its end; the total counts on."""
    panel = await _open(open_notebook, chat("'gpt-4.1#numbered,tokens=60,rate=60'"))
    always = (r"gpt-4\.1", "simulator", r"TTFT [\d.,]+ ms")
    await panel.ask("Count.")
    status = panel.lane(0).locator(".hs-status")
    await expect(status).to_have_text(re.compile(r"≈[\d.,]+ tok/s.*≈\d+ tokens"), timeout=PATIENCE_MS)
    await panel.shows(0)
    line = await status.inner_text()
    parts = (*always, r"(?<!≈)[\d.,]+ tok/s", r"(?<!≈)60 tokens", r"(?<!≈)\$0\.0*\d\d \(simulated\)")
    assert all(re.search(part, line) for part in parts), line
    await expect(panel.total).to_have_text(re.compile(r"^1 request · 60 tokens · \$0\.\d+ \(simulated\)$"))
    await panel.ask("Count again.")
    await expect(panel.total).to_have_text(re.compile(r"^2 requests · 120 tokens · \$0\.\d+"), timeout=PATIENCE_MS)


async def test_an_error_stands_in_the_conversation_and_retry_mends_it(open_notebook: Open) -> None:
    """What had arrived stays, a sentence says what happened; Retry asks whoever is chosen now; no cell has failed."""
    notebook = await open_notebook(chat("'gpt-4.1#numbered,rate=200,cut=30'"), load=IMPORT)
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await panel.ask("Count.")
    await panel.shows(0, "interrupted")
    await expect(panel.answer(0)).to_contain_text("0 1 2 3 4 5")
    await expect(panel.lane(0).locator(".hs-error")).to_contain_text("broke")
    await panel.choose(panel.chips, "no-such-model")
    await panel.button("Retry").click()
    await panel.shows(0, "failed")
    await expect(panel.lane(0).locator(".hs-error")).to_contain_text("no-such-model")
    assert await panel.holds_focus()
    await panel.choose(panel.chips, "gpt-4.1#numbered,tokens=9")
    await panel.button("Retry").click()
    await panel.shows(0)
    assert await panel.numbers(0) == list(range(9))
    await expect(panel.button("Retry")).to_be_hidden()
    await expect(panel.turns).to_have_count(1)
    assert await notebook.cell(1).error() is None
    assert await panel.holds_focus()


# Comparing ---------------------------------------------------------------------------------------------------------


async def test_two_models_are_compared_and_one_goes_on(open_notebook: Open) -> None:
    """Side by side, each with its figures; "Continue with this one" makes it the model, and its answer the history."""
    notebook = await open_notebook(
        chat("'gpt-4.1#numbered,tokens=5'"), "import json; print(json.dumps(panel.to_messages()))", load=IMPORT
    )
    await notebook.cell(1).run()
    panel = Panel(notebook.cell(1).root)
    await panel.choose(panel.button("Compare"), "gpt-4o#numbered,tokens=7")
    await expect(panel.chips).to_have_text(["gpt-4.1#numbered,tokens=5", "gpt-4o#numbered,tokens=7"])
    await panel.ask("Count.")
    for lane, tokens in enumerate((5, 7)):
        await panel.shows(0, lane=lane)
        assert await panel.numbers(0, lane) == list(range(tokens))
        await expect(panel.lane(0, lane).locator(".hs-figures")).to_contain_text(f"{tokens} tokens")
    left, right = [await _box(panel.lane(0, lane)) for lane in range(2)]
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]

    await panel.lane(0, 1).get_by_role("button", name="Continue with this one").click()
    chosen = panel.lane(0, 1).get_by_role("button", name="The conversation goes on with this one")
    await expect(chosen).to_have_attribute("aria-pressed", "true")
    await expect(panel.chips).to_have_text(["gpt-4o#numbered,tokens=7"])
    await panel.ask("And on.")
    await panel.shows(1)
    await expect(panel.turns.nth(1).locator(".hs-lane")).to_have_count(1)
    await notebook.cell(2).run()
    told = json.loads(await notebook.cell(2).printed())
    assert [(message["role"], message["content"].split()) for message in told[:2]] == [
        ("user", ["Count."]),
        ("assistant", [str(number) for number in range(7)]),
    ]


# Steps -------------------------------------------------------------------------------------------------------------


def _echoing(echo: Echo) -> str:
    """A panel of a model that says what it is asked."""
    return chat(f"'ollama:echo', base_url={echo.url!r}")


async def _open(open_notebook: Open, cell: str) -> Panel:
    notebook = await open_notebook(cell, load=IMPORT)
    await notebook.cell(1).run()
    return Panel(notebook.cell(1).root)


def _providers(server: Server, echo: Echo) -> str:
    """Code that configures two more providers: one of the user's file, and one whose key is set."""
    file: Path = server.folder / "providers.toml"
    file.write_text(f'[canteen]\nbase_url = "{echo.url}"\ndefault_model = "soup"\nprice_list = "local"\n')
    return f"import os\nos.environ.update(HOLYSTREAM_PROVIDERS={str(file)!r}, OPENAI_API_KEY='none of yours')"


async def _box(part: Locator) -> Any:
    box = await part.bounding_box()
    assert box is not None
    return box
