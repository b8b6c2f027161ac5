"""Answers that are asked for at once are shown in the order of asking, and nobody waits for another."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import kernels
import nbformat
import pytest
from nbclient import NotebookClient

from holystream_nb.live.turns import turn

GATHER = """import asyncio, holystream_nb as hs
replies = await asyncio.gather(
    hs.stream("First", model="gpt-4.1#stall=0.5,after=6"), hs.stream("Second"), hs.stream("Third"))"""


async def test_what_comes_before_its_turn_waits_and_its_asker_does_not() -> None:
    """The second has ended while the first goes on: it is shown when the first has ended."""
    shown: list[str] = []
    second_has_ended = asyncio.Event()

    async def first() -> None:
        with turn() as ours:
            ours.show(lambda: shown.append("one"))
            await second_has_ended.wait()
            ours.show(lambda: shown.append("two"))

    async def second() -> None:
        with turn() as ours:
            ours.show(lambda: shown.append("three"))
        second_has_ended.set()

    await asyncio.gather(first(), second())
    assert shown == ["one", "two", "three"]


async def test_an_answer_within_another_is_shown_at_once() -> None:
    """A tool that asks a model is waited for by the answer that calls it."""
    shown: list[str] = []
    with turn() as outer:
        outer.show(lambda: shown.append("outer"))
        with turn() as inner:
            await inner.come()
            inner.show(lambda: shown.append("inner"))
        outer.show(lambda: shown.append("outer again"))
    assert shown == ["outer", "inner", "outer again"]


@pytest.mark.slow
def test_gathered_answers_keep_their_order_under_nbclient(tmp_path: Path) -> None:
    """The first to be asked ends last."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("%load_ext holystream_nb"), nbformat.v4.new_code_cell(GATHER)]
    )
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[1].outputs
    subjects = [re.search(r"words about \*(\w+)\*", output.data["text/plain"])[1] for output in outputs]
    assert subjects == ["First", "Second", "Third"]


@pytest.mark.slow
@pytest.mark.parametrize("metadata", [{}, {"cellId": "a"}], ids=["console", "page"])
def test_gathered_answers_keep_their_order_before_a_person(metadata: dict[str, str]) -> None:
    """Printed one after the other in a console, side by side in the order of asking on a page."""
    with kernels.kernel() as kernel:
        ran = kernel.finish(kernels.send(kernel.client, GATHER, allow_stdin=True, metadata=metadata))
    if metadata:
        assert [content["data"]["text/plain"] for content in ran.all("display_data")] == [
            "LiveView(gpt-4.1#stall=0.5,after=6)",
            "LiveView(deepseek-v3.2)",
            "LiveView(deepseek-v3.2)",
        ]
    else:
        text = ran.printed
        assert re.findall(r"words about \*(\w+)\*", text) == ["First", "Second", "Third"]
        assert [text.count(f"[{name}") for name in ("gpt-4.1#stall", "deepseek-v3.2")] == [1, 2]
        assert text.index("[gpt-4.1#stall") < text.index("Second")
