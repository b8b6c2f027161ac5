"""What a terminal says while it waits."""

from __future__ import annotations

import asyncio

import pytest
from foreign import Given, answering, streamed
from raw_service import Asked, Writer, serving

from holystream_nb import Client
from holystream_nb.live.lane import NOTHING_CAME, Lane
from holystream_nb.live.saved import bundle
from holystream_nb.live.terminal import print_lanes
from holystream_nb.simulator import Simulator


async def test_a_terminal_says_once_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a silence there is a line that says so, and the answer goes on below it."""
    monkeypatch.setattr("holystream_nb.live.terminal._LOOK_S", 0.02)
    monkeypatch.setattr("holystream_nb.client.stream._SILENT_S", 0.1)

    async def answer(asked: Asked, out: Writer) -> None:
        await out.head()
        await asyncio.sleep(0.4)
        await out.text("late")
        await out.finish()
        await out.event("[DONE]")
        await out.end()

    async with serving(answer) as service, Client("ollama", base_url=service.url) as client:
        await print_lanes([Lane(client.stream("Hello", model="m"), label="m", provider="ollama")])
    said = capsys.readouterr().out
    assert said.count("no sign of life for") == 1
    assert said.index("no sign of life") < said.index("late")


async def test_what_stands_alone_has_no_lines_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning, or a call, where there is no text."""
    with answering(lambda asked: Given([b": nothing\n\n"])) as service:
        async with Client("ollama", base_url=service.url, retries=0) as client:
            await print_lanes([Lane(client.stream("Hello", model="m"), label="m", provider="ollama")])
    assert capsys.readouterr().out.startswith(f"{NOTHING_CAME}\n\n[m · ")


async def test_reasoning_of_space_alone_leaves_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer stands where it begins."""
    chunks = [{"choices": [{"delta": delta}]} for delta in ({"reasoning_content": "\n\n"}, {"content": "Hi"})]
    with answering(lambda asked: streamed(*chunks)) as service:
        async with Client("ollama", base_url=service.url) as client:
            await print_lanes([Lane(client.stream("Hello", model="m"), label="m", provider="ollama")])
    assert capsys.readouterr().out.startswith("Hi\n\n[m · ")


async def test_a_failure_stands_where_the_answer_would_and_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty lines before its line; under several no empty verdict, and no figures of what did not come.

    The kind: marks and lines drawn around nothing (two blank lines in a terminal, `**` and `≈0` in a file).
    """

    with answering(lambda asked: Given([b"{}"], 404)) as service:
        client = Client("ollama", base_url=service.url)
        lanes = [Lane(client.stream("Hello", model="m"), label=label, provider="ollama") for label in ("a", "b")]
        await print_lanes(lanes[:1])
        assert capsys.readouterr().out == "[a · failed]\n"
        await print_lanes(lanes[1:])
        await client.aclose()
    data, _ = bundle(lanes)
    assert data["text/markdown"].endswith("| b | – | – | – | – | failed |")
    assert not data["text/plain"].endswith("[]")


async def test_several_answers_stand_apart(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty line between one's last words and the next one's title."""
    async with Client("simulator", base_url=simulator.url) as client:
        models = ("gpt-4.1", "gpt-4.1#tokens=0", "gpt-4.1#finish=content_filter")
        await print_lanes(
            [Lane(client.stream("Hello", model=model), label=model, provider="simulator") for model in models]
        )
    said = capsys.readouterr().out
    assert said.count("\n\n== ") == 2
    assert "\n\n\n" not in said
