"""JSON in answers, as models write it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from raw_service import Asked, Writer, serving

from holystream_nb import Client
from holystream_nb.errors import NotJSON
from holystream_nb.live.answered_json import json_in
from holystream_nb.live.lane import Lane
from holystream_nb.live.terminal import print_lanes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("3", 3),
        (" [1, 2]\n", [1, 2]),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("```\n[1]\n```", [1]),
        ('Here you are:\n\n```json\n{"a": {"b": 2}}\n```\nIs that {all}?', {"a": {"b": 2}}),
        ('Sure, here it is: {"a": "}"} – ask if {x} is unclear [1].', {"a": "}"}),
        ('The rows: [{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ('```json {"a": 1} ```', {"a": 1}),
        ('```json\n{"a": 1}', {"a": 1}),
        ('{"draft": 1}</think>{"a": 1}', {"a": 1}),
        ('{"tag": "</think>"}', {"tag": "</think>"}),
        ('{"code": "a\n\tb"}', {"code": "a\n\tb"}),
        ('```python\nx = {"b": 2}\n```\n```json\n{"a": 1}\n```', {"a": 1}),
    ],
)
def test_the_value_in_an_answer(text: str, value: Any) -> None:
    """Alone, in a fence, behind a sentence, behind reasoning."""
    assert json_in(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON at all",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": Infinity, "b": {"c": 1}}',
        '```json\n{"a": NaN}\n```',
        'It is {"a": NaN}',
        '{"a": {"b": 1}, ',
        'Here: {"a": {"b": 1}, "c"',
        '{"a": 1}\n{"b": 2}',
        '{"a": 1} or {"a": 2}',
        "[1] and [2]",
    ],
)
def test_an_answer_without_one(text: str) -> None:
    """Not a number, cut off, several: what could be taken out of it was not meant."""
    with pytest.raises(ValueError, match=r"."):
        json_in(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 1_200, "[" * 101 + "]" * 101, '{"a":' * 5_000 + "1" + "}" * 5_000, "x " + "[" * 100_000, 'x {"a":' * 50_000],
)
def test_what_is_nested_without_end_is_an_error_at_once(text: str) -> None:
    """Of one line, whatever the depth."""
    started = time.perf_counter()
    with pytest.raises(ValueError, match=r".") as error:
        json_in(text)
    assert "\n" not in str(error.value)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("piece", ["{", "```a\n", "{ ", "[x", "```\n"])
def test_much_of_what_looks_like_a_beginning_takes_no_time(piece: str) -> None:
    """Half a megabyte of braces, or of fences."""
    started = time.perf_counter()
    with pytest.raises(ValueError, match=r"."):
        json_in(piece * (500_000 // len(piece)) + "x")
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("text", ["[" * 1_200, '{"a": NaN}', "<think>[1]</think>no"])
async def test_an_answer_that_is_no_json_ends_in_a_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With its text, and an error of one line; nothing waits for ever."""

    async def answer(_: Asked, out: Writer) -> None:
        await out.whole(text)

    async with serving(answer) as service, Client("ollama", base_url=service.url) as client:
        lane = Lane(client.stream("Hello", model="m"), label="m", provider="ollama", format="json")
        async with asyncio.timeout(5):
            await print_lanes([lane])
    assert isinstance(lane.error, NotJSON)
    assert "\n" not in str(lane.error)
    assert capsys.readouterr().out.splitlines()[-1].startswith("[m · ")


@pytest.mark.parametrize(("finish", "said"), [("length", "(length limit reached)"), ("stop", "(Expecting ")])
async def test_json_that_a_limit_cut_is_said_to_be_cut(
    finish: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model's JSON may have been fine."""

    async def answer(_: Asked, out: Writer) -> None:
        await out.head()
        await out.text('{"a": [1')
        await out.finish(finish)
        await out.event("[DONE]")
        await out.end()

    async with serving(answer) as service, Client("ollama", base_url=service.url) as client:
        lane = Lane(client.stream("Hello", model="m"), label="m", provider="ollama", format="json")
        await print_lanes([lane])
    assert said in str(lane.error)
    assert capsys.readouterr().out


async def test_reasoning_in_tags_is_not_in_the_json() -> None:
    """The object behind it is the answer's data."""

    async def answer(_: Asked, out: Writer) -> None:
        await out.whole('<think>{"draft": 1}</think>\n```json\n{"a": 1}\n```')

    async with serving(answer) as service, Client("ollama", base_url=service.url) as client:
        stream = client.stream("Hello", model="m")
        lane = Lane(stream, label="m", provider="ollama", format="json")
        async for _ in stream:
            pass
        lane.end(None)
    assert lane.reply.data == {"a": 1}
