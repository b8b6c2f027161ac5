"""marimo has no IPython: `hs.stream`, the panel and a bench are drawn as its widgets, in a real page."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest
from browser.chromium import browsing
from playwright.async_api import expect

pytestmark = pytest.mark.browser

_READY_S: Final = 60.0
_LATE_MS: Final = 60_000
_NOTEBOOK: Final = """
import marimo

app = marimo.App()


@app.cell
def _():
    import asyncio
    import holystream_nb as hs
    return asyncio, hs


@app.cell
async def _(hs):
    reply = await hs.stream("Kept in a variable", model="gpt-4.1#stall=12,after=6")
    return (reply,)


@app.cell
async def _(asyncio, hs, reply):
    reply
    _both = await asyncio.gather(hs.stream("The first"), hs.stream("The second"))
    return


@app.cell
async def _(hs, reply):
    reply
    await hs.stream("Given as a value", model="sim-reasoner")
    return


@app.cell
def _(hs, reply):
    reply
    hs.ChatPanel(model="gpt-4.1#stall=12,after=6")
    return


@app.cell
async def _(hs, reply):
    reply
    result = await hs.bench("gpt-4.1", "Hi", repeats=3)
    return (result,)


@app.cell
def _(result):
    result.plot()
    return


if __name__ == "__main__":
    app.run()
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def marimo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a notebook that runs when its page is opened."""
    folder = tmp_path_factory.mktemp("marimo")
    (folder / "asked.py").write_text(_NOTEBOOK, "utf-8")
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    mine = {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "STATE", "CACHE", "DATA")}
    command = [sys.executable, "-m", "marimo", "-y", "run", "asked.py", "--headless", "--no-token", f"--port={port}"]
    log = folder / "marimo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, **mine, "HOLYSTREAM_SIMULATOR_SPEED": "max"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        end = time.monotonic() + _READY_S
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


async def test_answers_a_panel_and_a_bench_are_drawn_in_marimo(marimo: str, chromium: str) -> None:
    """Live, each once, in the order of asking; a Reply that is a cell's value is drawn as the answer it is."""
    async with browsing(chromium) as browser:
        page = await browser.new_page()
        await page.goto(marimo, timeout=_LATE_MS)
        lanes = page.locator(".hs-lane")
        first = lanes.filter(has_text="A simulated answer").first
        await expect(first).to_be_visible(timeout=_LATE_MS)
        assert "Kept in a variable" not in await first.inner_text()  # the rest is held back: this is live
        await expect(first).to_contain_text("Kept in a variable", timeout=_LATE_MS)
        panel = page.locator(".hs-chat")
        await panel.get_by_role("textbox", name="your question").fill("Kangaroos?", timeout=_LATE_MS)
        await expect(page.locator("img")).to_have_count(1, timeout=_LATE_MS)  # the chart: all cells have run
        said = " ".join(await lanes.all_inner_texts())
        subjects = re.findall(r"words about (.+?): this", said)
        assert subjects == ["Kept in a variable", "The first", "The second", "Given as a value"]
        await expect(page.get_by_text("done · 3 of 3")).to_be_visible()
        await page.keyboard.press("Enter")
        answer = panel.get_by_role("article")
        await expect(answer.get_by_text("A simulated answer")).to_be_visible(timeout=10_000)
        await expect(answer).to_contain_text("words about Kangaroos", timeout=_LATE_MS)
