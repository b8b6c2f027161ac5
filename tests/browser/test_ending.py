"""Stop, interrupt and failures: what had arrived stays."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Page, expect

from .conftest import Open
from .notebook import LOAD, Cell

LISTEN = f"""{LOAD}
import json, time, ipywidgets
from holystream_nb.session import session
heard = []  # when each message of the page arrived in the kernel
note = lambda _, content, buffers: heard.append((content["kind"], time.perf_counter_ns()))
ipywidgets.Widget.on_widget_constructed(lambda widget: widget.on_msg(note))"""
TELL = """record = session._simulator.record(reply.request_id)
print(json.dumps({
    "text": reply.text, "reason": reply.finish_reason, "outcome": record["outcome"],
    "stop_ns": dict(heard).get("stop"), "gone_ns": record["disconnected_ns"],
    "epoch_ns": time.time_ns() - time.perf_counter_ns(),
}))"""


async def _click_stop(cell: Cell) -> float:
    """A click with the mouse on the button; returns its time in ms since the epoch, by the page's clock."""
    await cell.stop.evaluate(
        "(button) => button.addEventListener('click', ({ timeStamp }) => (window.hsClicked = timeStamp))"
    )
    await cell.stop.click()
    clicked: float = await cell.notebook.page.evaluate("performance.timeOrigin + hsClicked")
    return clicked


@pytest.mark.parametrize(
    ("application", "model"),
    [
        pytest.param("lab", "gpt-4.1#rate=50,numbered,tokens=5000", id="lab, while tokens flow"),
        pytest.param("lab", "gpt-4.1#numbered,tokens=100,stall=60,after=30", id="lab, in a silence"),
        pytest.param("notebook7", "gpt-4.1#rate=50,numbered,tokens=5000", id="notebook7, while tokens flow"),
    ],
)
async def test_stop_ends_the_answer_and_not_the_run(open_notebook: Open, application: str, model: str) -> None:
    """A click on Stop closes the connection within 100 ms; the text stays, the cell has not failed, Run All goes on."""
    stream = f"%%stream -m {model} --as reply\nCount."
    notebook = await open_notebook(stream, TELL, load=LISTEN, application=application)
    cell, after = notebook.cell(1), notebook.cell(2)
    await notebook.run_all()
    await expect(cell.live.locator(".hs-body")).to_contain_text(" 20 ")
    clicked_ms = await _click_stop(cell)
    await after.ended()

    told = json.loads(await after.printed())
    numbers = told["text"].split()
    assert told["reason"] == "stopped"
    assert numbers == [str(number) for number in range(len(numbers))]
    assert 20 < len(numbers) < 5000
    assert await cell.error() is None
    await expect(cell.output).to_contain_text(" ".join(numbers))
    await expect(cell.output).to_contain_text(f"≈{-(-len(told['text']) // 4)} tokens")  # estimated from the text
    await expect(cell.output).to_contain_text("stopped")
    await expect(cell.live).to_have_count(0)

    assert told["outcome"] == "disconnected"
    in_kernel_ms = (told["gone_ns"] - told["stop_ns"]) / 1e6
    in_all_ms = (told["gone_ns"] + told["epoch_ns"]) / 1e6 - clicked_ms
    print(f"Stop: {in_all_ms:.0f} ms from the click, {in_kernel_ms:.0f} ms of them in the kernel, to the disconnect")
    assert 0 < in_kernel_ms < 100
    assert in_all_ms < 1000


async def test_the_button_says_that_it_was_pressed(open_notebook: Open, lab: Page) -> None:
    """Stop is reached by keyboard, has a name for screen readers, and is gone from the saved output."""
    notebook = await open_notebook("%%stream -m gpt-4.1#rate=50,tokens=5000\nHello")
    cell = notebook.cell(1)
    await cell.start()
    button = lab.get_by_role("button", name="Stop gpt-4.1")
    await button.focus()
    await lab.keyboard.press("Enter")
    await cell.ended()
    await expect(button).to_have_count(0)
    await expect(cell.output).to_contain_text("stopped")


async def test_interrupt_keeps_the_text_and_ends_the_run(open_notebook: Open) -> None:
    """■ closes the connection and fails the cell in one line; later cells do not run, and the kernel lives."""
    stream = "%%stream -m gpt-4.1#rate=50,numbered,tokens=5000 --as reply\nCount."
    notebook = await open_notebook(stream, "print('never')", TELL, load=LISTEN)
    cell = notebook.cell(1)
    await notebook.run_all()
    await expect(cell.live.locator(".hs-body")).to_contain_text(" 20 ")
    await notebook.interrupt()
    await cell.ended()

    error = await cell.error()
    assert error is not None
    assert "KeyboardInterrupt" in error["ename"] or "KeyboardInterrupt" in error["traceback"][0]
    assert len(error["traceback"]) == 1
    assert "\n" not in error["traceback"][0]
    await expect(cell.output).to_contain_text("KeyboardInterrupt")
    await expect(cell.output).not_to_contain_text("Traceback")
    await expect(cell.output).to_contain_text("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20")
    await expect(cell.output).to_contain_text("stopped")
    await expect(cell.output).to_contain_text("≈")

    await notebook.cell(3).run()
    told = json.loads(await notebook.cell(3).printed())
    assert (told["reason"], told["outcome"]) == ("stopped", "disconnected")
    assert await notebook.cell(2).is_untouched()


FAILURES = {  # model and options: what the sentence names, what stays
    "no-such-model": ("no-such-model", ""),
    "gpt-4.1#numbered,rate=200,cut=30": ("", "0 1 2 3 4 5"),
    "gpt-4.1#numbered,rate=200,error,after=30": ("", "0 1 2 3 4 5"),
    "gpt-4.1#html": ("", ""),
    "gpt-4.1 --what": ("--what", ""),
}


async def test_a_failure_is_one_sentence(open_notebook: Open) -> None:
    """The cell fails without a traceback, and what had arrived stays."""
    notebook = await open_notebook(*(f"%%stream -m {model}\nCount." for model in FAILURES))
    for number, (model, (named, kept)) in enumerate(FAILURES.items(), start=1):
        cell = notebook.cell(number)
        await cell.run()
        error = await cell.error()
        assert error is not None, model
        assert len(error["traceback"]) == 1, model
        assert "\n" not in error["traceback"][0], model
        assert named in error["traceback"][0], model
        text = await cell.output.inner_text()
        assert "Traceback" not in text, model
        assert "holystream_nb/" not in text, model
        assert kept in text, model


async def test_a_failure_ends_the_run(open_notebook: Open) -> None:
    """Queued cells behind a failed one do not run."""
    notebook = await open_notebook("%%stream -m no-such-model\nHello", "print('never')")
    await notebook.run_all()
    await notebook.cell(1).ended()
    await expect(notebook.cell(2).root.locator(".jp-InputPrompt")).not_to_contain_text("*")
    assert await notebook.cell(2).is_untouched()


FLAWED = {  # what the simulator is asked for: the words for it
    "finish=content_filter,tokens=20": "the service's filter ended it",
    "finish=wandered_off,tokens=20": 'ended by the service: "wandered_off"',
    "tokens=0": "empty answer",
    "bad-json,tokens=20": "1 piece unreadable",
}


async def test_an_end_that_is_not_normal_is_said_live_and_saved(open_notebook: Open) -> None:
    """In the same words, beside an answer that still runs and then in the file; the cell has not failed."""
    others = "-m gpt-4.1#rate=50,tokens=5000"
    notebook = await open_notebook(*(f"%%stream -m gpt-4.1#{faults} {others}\nHello" for faults in FLAWED))
    for number, words in enumerate(FLAWED.values(), start=1):
        cell = notebook.cell(number)
        await cell.start()
        lane = cell.live.locator(".hs-lane[data-state=done]")
        await expect(lane.locator(".hs-ending")).to_have_text(words)
        await expect(lane).to_have_attribute("data-flawed", "")
        await expect(cell.live.locator(".hs-lane:not([data-state=done]) .hs-ending")).to_be_hidden()
        await cell.live.locator("button.hs-stop:visible").click()
        await cell.ended()
        await expect(cell.output.locator("td", has_text=words)).to_have_count(1)
        assert await cell.error() is None


async def test_sources_are_links_and_a_small_picture_is_drawn_live_and_saved(open_notebook: Open) -> None:
    """Numbered, beside each whose it is; from the file too, and nothing is loaded from elsewhere."""
    stream = "%%stream -m gpt-4.1#citations=annotations,image,tokens=20 -m gpt-4.1#rate=50,tokens=5000\nHello"
    notebook = await open_notebook(stream)
    cell = notebook.cell(1)
    await cell.start()
    link, picture = cell.live.locator("ol.hs-sources a").first, cell.live.locator("img.hs-picture")
    await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    href = await link.get_attribute("href")
    assert href is not None
    assert href.startswith("https://example.com/")
    assert await picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 1
    await cell.live.locator("button.hs-stop:visible").click()
    await cell.ended()
    await expect(cell.output.locator(f'ol li a[href="{href}"]')).to_have_count(1)
    await expect(cell.output.locator("ol li").first).to_contain_text(" · example.com")
    assert await cell.output.locator("img[src^='data:image/png']").evaluate("(image) => image.naturalWidth") == 1
