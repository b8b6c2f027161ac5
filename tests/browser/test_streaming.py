"""An answer on the screen while it arrives."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise

import pytest
from playwright.async_api import Page, expect

from .conftest import Open

APPLICATIONS = pytest.mark.parametrize("application", ["lab", "notebook7"])
NUMBERS = "%%stream -m gpt-4.1#numbered,tokens=60,rate=60 --as reply\nCount."


@APPLICATIONS
async def test_an_answer_grows_on_the_screen(open_notebook: Open, application: str) -> None:
    """Every drawn text is a beginning of the answer, the first has the first token; the saved output has all of it."""
    notebook = await open_notebook(NUMBERS, "print(reply.text)", application=application)
    recording = await notebook.cell(1).watch()
    await notebook.cell(1).run()
    await notebook.cell(2).run()

    answer = (await notebook.cell(2).printed()).strip()
    bodies = [body.strip() for body in await recording.bodies()]
    assert answer.split() == [str(number) for number in range(60)]
    assert bodies[0].split()[0] == "0"
    assert all(answer.startswith(body) for body in bodies)
    assert all(len(before) < len(after) for before, after in pairwise(bodies))
    assert len(bodies) > 5
    # The saved output replaces the view as soon as the answer has ended, at times before the page drew the last tokens.
    assert len(bodies[-1]) > len(answer) / 2
    assert answer in " ".join((await notebook.cell(1).output.inner_text()).split())


async def test_a_clock_runs_until_the_first_token(open_notebook: Open) -> None:
    """Before the first token the status line counts the seconds, and no text is there."""
    notebook = await open_notebook("%%stream -m gpt-4.1#first=1,tokens=5\nHello")
    recording = await notebook.cell(1).watch()
    await notebook.cell(1).run()

    waiting = [look.status for look in await recording.looks() if not look.body]
    clocks = [float(found[1]) for status in waiting if (found := re.search(r"(\d+\.\d) s …", status))]
    assert clocks == sorted(clocks)
    assert clocks[-1] >= 0.7
    assert len(set(clocks)) > 2


async def test_the_figures_stand_below_a_finished_answer(open_notebook: Open) -> None:
    """The status line has model, simulator, time to the first token, speed, tokens and, in the end, the cost."""
    notebook = await open_notebook(NUMBERS)
    recording = await notebook.cell(1).watch()
    await notebook.cell(1).run()

    always = (r"gpt-4\.1", "simulator", r"TTFT [\d.,]+ ms")
    running = (*always, r"≈[\d.,]+ tok/s", r"≈\d+ tokens", "Stop")
    saved = (*always, r"(?<!≈)[\d.,]+ tok/s", r"(?<!≈)60 tokens", r"(?<!≈)\$0\.0*\d\d \(simulated\)")
    lines = [look.status for look in await recording.looks()]
    assert any(all(re.search(part, line) for part in running) for line in lines), lines
    line = await notebook.cell(1).output.locator("em").last.inner_text()
    assert all(re.search(part, line) for part in saved), line


async def test_markdown_is_drawn_while_it_arrives(open_notebook: Open) -> None:
    """Headings, emphasis, lists, tables and code are elements of the page before the answer has ended."""
    notebook = await open_notebook("%%stream -m gpt-4.1#after=9999,stall=30\nA table, a list, code and maths")
    cell = notebook.cell(1)
    await cell.start()

    await expect(cell.live.locator(".hs-body strong").first).to_have_text("A simulated answer.")
    await expect(cell.live.locator("table tbody tr")).to_have_count(3)
    await expect(cell.live.locator("ul > li")).to_have_count(3)
    await expect(cell.live.locator("pre code")).to_contain_text("for number, word in enumerate(subject.split()):")
    await expect(cell.live.locator(".hs-maths").last).to_contain_text(r"\text{ms}$$")
    await cell.stop.click()
    await cell.ended()


async def test_a_busy_page_loses_nothing(open_notebook: Open, lab: Page) -> None:
    """A page that is busy while most of an answer arrives shows all of it."""
    counting = "%%stream -m gpt-4.1#numbered,tokens=1000,rate=1500,stall=30,after=1000\nCount."
    notebook = await open_notebook("%%stream -m gpt-4.1#tokens=1\nWarm the simulator.", counting)
    await notebook.cell(1).run()
    cell = notebook.cell(2)
    recording = await cell.watch()
    await cell.start()
    await lab.evaluate("() => { const end = performance.now() + 1000; while (performance.now() < end); }")
    await expect(cell.live.locator(".hs-body")).to_contain_text(" 999")

    assert (await cell.live.locator(".hs-body").inner_text()).split() == [str(number) for number in range(1000)]
    assert len((await recording.bodies())[0].split()) > 100, "the view was there in time: this proves nothing"
    await cell.stop.click()
    await cell.ended()


SLOW_SCRIPT = """() => {
  const gate = new Promise((open) => (window.hsOpen = open));
  const address = URL.createObjectURL;
  window.hsGate = gate;
  URL.createObjectURL = (blob) => {
    URL.createObjectURL = address;
    return address.call(URL, new Blob(["await window.hsGate;", blob], { type: blob.type }));
  };
}"""
"""The widget's script, which anywidget imports from a blob, takes until `hsOpen()`."""


async def test_a_view_that_appears_late_loses_nothing(open_notebook: Open, lab: Page) -> None:
    """Where the widget's script is loaded only after the last token, the view starts with the whole answer."""
    arrived = asyncio.Event()

    def hear(payload: str | bytes) -> None:
        if b" 199 " in (payload if isinstance(payload, bytes) else payload.encode()):
            arrived.set()

    lab.once("websocket", lambda socket: socket.on("framereceived", hear))
    notebook = await open_notebook("%%stream -m gpt-4.1#numbered,tokens=200,rate=400,stall=30,after=200\nCount.")
    cell = notebook.cell(1)
    await lab.evaluate(SLOW_SCRIPT)
    await cell.start()
    async with asyncio.timeout(20):
        await arrived.wait()
    assert await cell.live.count() == 0, "the view was there in time: this proves nothing"
    await lab.evaluate("hsOpen()")

    await expect(cell.live.locator(".hs-body")).to_contain_text(" 199")
    assert (await cell.live.locator(".hs-body").inner_text()).split() == [str(number) for number in range(200)]
    await cell.stop.click()
    await cell.ended()


async def test_python_gets_the_same_view(open_notebook: Open) -> None:
    """`await hs.stream(…)` draws live, leaves the same output, and returns the reply."""
    notebook = await open_notebook(
        "import holystream_nb as hs\nreply = await hs.stream('Count.', model='gpt-4.1#numbered,tokens=40,rate=80')",
        "import json; print(json.dumps([reply.text, hs.history[-1] is reply]))",
    )
    recording = await notebook.cell(1).watch()
    await notebook.cell(1).run()
    await notebook.cell(2).run()

    text, is_newest = json.loads(await notebook.cell(2).printed())
    assert is_newest
    assert len(await recording.bodies()) > 2
    assert (await recording.bodies())[-1].strip() == text.strip()
    [output] = await notebook.cell(1).outputs()
    assert text.strip() in "".join(output["data"]["text/markdown"])


async def test_the_paint_is_a_part_of_the_answer(open_notebook: Open) -> None:
    """The page says when it painted the first text; the wall clock, which both have here, says much the same."""
    told = "import time\np = reply.timing.parts\nprint(p.paint_ms, p.paint_error_ms, "
    told += "(time.time_ns() - time.perf_counter_ns() + reply.timing.reads[0]) / 1e6)"
    notebook = await open_notebook("%%stream -m gpt-4.1#first=1,tokens=90,rate=60 --as reply\nCount.", told)
    recording = await notebook.cell(1).watch()
    await notebook.cell(1).run()
    await notebook.cell(2).run()

    paint_ms, error_ms, read_at = map(float, (await notebook.cell(2).printed()).split())
    origin = await notebook.page.evaluate("performance.timeOrigin")
    drawn_at = next(look.at for look in await recording.looks() if look.body) + origin
    assert 0 < error_ms < 500
    assert 0 < paint_ms < 2000
    assert abs(paint_ms - (drawn_at - read_at)) < error_ms + 150  # drawn, and painted with one of the next frames


async def test_a_running_cell_keeps_its_star(open_notebook: Open) -> None:
    """It has no number before its end."""
    notebook = await open_notebook("%%stream -m gpt-4.1#rate=30,numbered,tokens=60\nCount.")
    cell = notebook.cell(1)
    await cell.start()
    await expect(cell.live.locator(".hs-body")).to_contain_text(" 30 ", timeout=20_000)
    assert "[*]" in await cell.root.locator(".jp-InputPrompt").inner_text()
    await cell.ended()
    await expect(cell.live).to_have_count(0)
