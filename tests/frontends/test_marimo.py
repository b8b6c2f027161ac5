"""marimo has no IPython: `hs.stream`, the panel and a bench are drawn as its widgets, in a real page."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from browser.chromium import browsing
from browser.service import Echo, echoing
from playwright.async_api import Page, expect

from ..browser.test_hostile import CASES, NAMES, RAW, Found, Witness
from .programs import keyless, serving

pytestmark = pytest.mark.browser

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


_STOPPED: Final = """
import marimo

app = marimo.App()


@app.cell
async def _():
    import holystream_nb as hs

    reply = await hs.stream("Kangaroos", model="gpt-4.1#stall=60,after=6")
    return (reply,)



if __name__ == "__main__":
    app.run()
"""
_SECRET: Final = "not-shaped-like-a-key-71f3"
_KEYED: Final = """
import marimo

app = marimo.App()


@app.cell
async def _():
    import os
    import holystream_nb as hs

    given = {{"model": "ollama:echo", "base_url": {url!r}, "api_key": os.environ["SECRET"]}}
    await hs.stream("Kanga" + "roos are <b>marsupials</b>.", **given)
    return given, hs


@app.cell
async def _(given, hs):
    hs.ChatPanel(**given)
    return


if __name__ == "__main__":
    app.run()
"""
_HOSTILE: Final = """
import marimo

app = marimo.App()


@app.cell
async def _():
    import asyncio, json, pathlib
    import holystream_nb as hs

    answers = json.loads(pathlib.Path("answers.json").read_text())
    ask = lambda number, answer: hs.stream(answer, model=f"ollama:case-{{number}}", base_url={url!r})
    await asyncio.gather(*(ask(number, answer) for number, answer in enumerate(answers)))
    return (hs,)

{cells}

@app.cell
def _(hs):
    hs.ChatPanel(model="ollama:panel", base_url={url!r})
    return


if __name__ == "__main__":
    app.run()
"""
_CELL: Final = """
@app.cell
async def _(hs):
    await {source}
    return

"""
_ANSWERS: Final = ["\n\n".join(answer for _, answer in CASES[start::16]) for start in range(16)]
"""Several payloads in each: a page of marimo loads the whole view for each widget."""
_INSERT: Final = "(body, raw) => body.insertAdjacentHTML('beforeend', raw)"


def variables(folder: Path) -> dict[str, str]:
    """An environment in which nothing of the user's is read or changed."""
    return {**keyless(), **{f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "STATE", "CACHE", "DATA")}}


@contextmanager
def running(folder: Path, notebook: str, mode: str = "run") -> Iterator[str]:
    """The address of a notebook in this mode; what runs in `run` does when its page is opened."""
    (folder / "asked.py").write_text(notebook, "utf-8")
    options = ("--headless", "--no-token", *(("--skip-update-check",) if mode == "edit" else ()))
    with serving(folder, "marimo", "-y", mode, "asked.py", *options, variables=variables(folder)) as address:
        yield address


@asynccontextmanager
async def opened(chromium: str) -> AsyncIterator[Page]:
    async with browsing(chromium) as browser:
        yield await browser.new_page()


@pytest.fixture(scope="module")
def marimo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("marimo"), _NOTEBOOK) as address:
        yield address


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echoing() as service:
        yield service


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


async def test_an_answer_is_stopped_in_an_edited_notebook(tmp_path: Path, chromium: str) -> None:
    """By marimo's own interrupt, which the view names; what had come stays as text."""
    with running(tmp_path, _STOPPED, "edit") as address:
        async with opened(chromium) as page:
            await page.goto(address, timeout=_LATE_MS)
            await expect(page.get_by_test_id("cell-editor").first).to_be_visible(timeout=_LATE_MS)
            await page.keyboard.press("Control+Shift+R")
            lane = page.locator(".hs-lane").first
            await expect(lane).to_contain_text("A simulated answer", timeout=_LATE_MS)
            await expect(lane).to_contain_text("press ■ to stop", timeout=_LATE_MS)
            await page.get_by_test_id("interrupt-button").click()
            await expect(page.get_by_text("This cell was interrupted").first).to_be_visible(timeout=_LATE_MS)
            kept = page.locator(".console-output-area", has_text="A simulated answer")
            await expect(kept).to_contain_text("· stopped]", timeout=_LATE_MS)


async def test_an_exported_notebook_has_the_text_and_no_key(tmp_path: Path, echo: Echo) -> None:
    """Once as text in .ipynb, where marimo's widgets would be its tags; in the view in .html."""
    (tmp_path / "asked.py").write_text(_KEYED.format(url=echo.url), "utf-8")
    environment = {**variables(tmp_path), "SECRET": _SECRET}
    notebook = await exported(tmp_path, environment, "ipynb", "--include-outputs")
    page = await exported(tmp_path, environment, "html")
    assert _SECRET not in notebook + page
    outputs = [output for cell in json.loads(notebook)["cells"] for output in cell["outputs"]]
    said = " ".join(map(text_of, outputs))
    assert said.count("Kangaroos are") == 1
    assert "marimo-anywidget" not in said
    assert "await panel.send" in said
    assert "Kangaroos are" in page
    assert "<b>marsupials" not in page


async def exported(folder: Path, environment: Mapping[str, str], form: str, *options: str) -> str:
    """What `marimo export` writes."""
    command = (sys.executable, "-m", "marimo", "-y", "export", form, "asked.py", "-f", "-o", f"out.{form}", *options)
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment)
    assert await process.wait() == 0
    return (folder / f"out.{form}").read_text("utf-8")


def text_of(output: dict[str, Any]) -> str:
    return "".join(output.get("text", ())) + "".join("".join(part) for part in output.get("data", {}).values())


async def test_hostile_answers_do_nothing_in_marimo(tmp_path: Path, chromium: str, echo: Echo) -> None:
    """Live, ended, in a panel and with everything in them clicked; in a model's name too. What would act is seen."""
    (tmp_path / "answers.json").write_text(json.dumps(_ANSWERS), "utf-8")
    asked = [f"hs.stream('Named', model={f'ollama:{name}'!r}, base_url={echo.url!r})" for name in NAMES]
    cells = "".join(_CELL.format(source=source) for source in asked)
    found, panels = Found(), Found()
    with running(tmp_path, _HOSTILE.format(cells=cells, url=echo.url)) as address:
        own = re.compile(
            re.escape(address) + r"($|\?|assets/|api/|ws|health$|@file/|[\w-]+\.(css|ico|png|json|svg)($|\?))"
        )
        async with opened(chromium) as page:
            witness = await Witness.of(page, lambda url: bool(own.match(url)) or url.startswith(("blob:", "data:")))
            await page.goto(address, timeout=_LATE_MS)
            views = page.locator(".holystream", has_text="case-")
            await expect(views).to_have_count(len(_ANSWERS), timeout=2 * _LATE_MS)
            await expect(views.locator(".hs-lane:not([data-state=done])")).to_have_count(0, timeout=_LATE_MS)
            named = page.locator(".holystream", has_text="Named")
            for name in NAMES:
                await expect(named.locator(".hs-label").get_by_text(name, exact=True)).to_be_visible(timeout=_LATE_MS)
            await found.look(views)
            panel = page.locator(".hs-chat")
            await panel.get_by_role("textbox", name="your question").fill(_ANSWERS[0])
            await page.keyboard.press("Enter")
            await expect(panel.locator(".hs-lane")).to_have_attribute("data-state", "done", timeout=_LATE_MS)
            await panels.look(panel)
            assert found.clicks > len(CASES)
            assert len(found.texts) == len(_ANSWERS)
            assert [*found.complaints.items(), *panels.complaints.items()] == []
            assert await page.evaluate("[...hsPassing]") == []
            assert witness.testify() == []

            await views.first.locator(".hs-body").evaluate(_INSERT, RAW)
            await found.look(views.first)
            assert "alert(1)" in " ".join(witness.testify())
            assert await page.evaluate("[...hsPassing]")
