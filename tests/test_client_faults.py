"""Every fault of the simulator against the client: right finish reason or one clear error, nothing lost, no hang."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from holystream_nb import Client, Simulator
from holystream_nb.errors import (
    BadRequest,
    HolystreamError,
    NotAStream,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
    Stalled,
    StreamInterrupted,
)
from holystream_nb.reply import Reply
from holystream_nb.simulator.faults import Faults

PROMPT = "Explain server-sent events in three sentences."
MODEL = "gpt-4.1"


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1", backoff=0.01, inactivity=0.5) as client:
        yield client


async def ask(client: Client, faults: str = "", prompt: str = PROMPT, model: str = MODEL, **more: Any) -> Reply:
    """Reads one stream to its end, whatever that is; no task may be left, and it may not take long."""
    tasks = asyncio.all_tasks()
    async with asyncio.timeout(10), client.stream(prompt, model=f"{model}#{faults}" if faults else model, **more) as s:
        raised: HolystreamError | None = None
        try:
            async for _ in s:
                pass
        except HolystreamError as exc:
            raised = exc
    assert s.reply.error is raised
    assert asyncio.all_tasks() == tasks
    return s.reply


async def running(simulator: Simulator) -> int:
    """Streams the simulator still serves, once it has had a moment to notice."""
    for _ in range(50):
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            simulator.url.replace("/v1", "/sim/active")
        ) as response:
            count = int(json.load(response)["active"])
        if not count:
            break
        await asyncio.sleep(0.02)
    return count


@pytest.fixture
async def whole(client: Client) -> str:
    return (await ask(client)).text


COMPLETE = {
    "tokens=30": "stop",
    "tokens=30,numbered": "stop",
    "rate=max": "stop",
    "group": "stop",
    "bytes": "stop",
    "bytes=7": "stop",
    "head=0.1": "stop",
    "first=0.1": "stop",
    "stall=0.2": "stop",
    "stall=0.2,after=10": "stop",
    "no-done": "stop",
    "done-open": "stop",
    "finish=length": "length",
    "whole": "stop",
    "charset": "stop",
    "crlf": "stop",
    "cr": "stop",
    "bom": "stop",
    "comments": "stop",
    "fields": "stop",
    "no-space": "stop",
    "split-utf8": "stop",
    "bad-utf8": "stop",
    "separators": "stop",
    "huge": "stop",
    "role=only": "stop",
    "role=null": "stop",
    "role=none": "stop",
    "role=joined": "stop",
    "blank=empty": "stop",
    "blank=null": "stop",
    "blank=no-choices": "stop",
    "blank=null-choices": "stop",
    "blank=no-delta": "stop",
    "blank=null-delta": "stop",
    "usage=null": "stop",
    "usage=running": "stop",
    "usage=null-counts": "stop",
    "usage=finish": "stop",
    "usage=none": "stop",
    "message": "stop",
    "parts": "stop",
    "refusal": "stop",
    "close=4429": "stop",
    "no-socket": "stop",
    "upgrade-url": "stop",
    "socket-host=example.com": "stop",
    "socket-dead": "stop",
    "binary": "stop",
    "mute": "stop",
    "deaf": "stop",
    "refuse-usage=400": "stop",
    "refuse-usage=422": "stop",
    "fail=429,tries=2,retry-after=0": "stop",
    "fail=500,tries=2": "stop",
    "fail=503,tries=3,retry-date=0": "stop",
    "fail=drop,tries=2": "stop",
}
ONE_TOKEN_MORE = {
    "split-utf8": " 🐑漢é",
    "bad-utf8": " \ufffd",
    "separators": " \u2028 \u2029 \x85",
    "huge": " b" + "a" * 1_199_999,
}


@pytest.mark.parametrize(("faults", "finish_reason"), COMPLETE.items())
async def test_what_is_normal_input_gives_the_whole_answer(
    client: Client, simulator: Simulator, whole: str, faults: str, finish_reason: str
) -> None:
    """Whatever a server does that is no failure changes neither the text nor the finish reason."""
    reply = await ask(client, faults)
    assert (reply.error, reply.finish_reason) == (None, finish_reason)
    if "tokens=" in faults:
        assert reply.usage.completion_tokens == 30
    elif faults in ONE_TOKEN_MORE:
        assert ONE_TOKEN_MORE[faults] in reply.text
        assert reply.text.replace(ONE_TOKEN_MORE[faults], "", 1) == whole
    else:
        assert reply.text == whole
    assert await running(simulator) == 0


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ("cut=5", StreamInterrupted),
        ("reset=5,rate=100", StreamInterrupted),
        ("stall=5", Stalled),
        ("error,after=5", ServiceError),
        ("error-chunk,after=5", ServiceError),
        ("error-event,after=5", ServiceError),
        ("error-field,after=5", ServiceError),
        ("bad-json,after=5", NotAStream),
    ],
)
async def test_a_failure_in_the_middle_keeps_what_arrived(
    client: Client, simulator: Simulator, whole: str, faults: str, error: type[HolystreamError]
) -> None:
    """The text so far stays, one error says what happened, and nothing is asked again."""
    reply = await ask(client, faults)
    assert isinstance(reply.error, error)
    assert reply.text
    assert whole.startswith(reply.text)
    assert reply.finish_reason == ("interrupted" if issubclass(error, StreamInterrupted) else "truncated")
    assert (reply.timing.retries, reply.usage.exact) == (0, False)
    assert await running(simulator) == 0


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ("html", NotAStream),
        ("error-200", ServiceError),
        ("redirect=302", HolystreamError),
        ("fail=400", BadRequest),
        ("fail=400,error-body=html", BadRequest),
        ("fail=429,tries=9,retry-after=0", RateLimited),
        ("fail=429,tries=9,no-retry-after", RateLimited),
        ("fail=500,tries=9,error-body=empty", ServiceUnavailable),
        ("fail=503,tries=9,error-body=html", ServiceUnavailable),
        ("fail=drop,tries=9", StreamInterrupted),
        ("head=5", Stalled),
        ("cut=0", StreamInterrupted),
        ("reset=0", StreamInterrupted),
        ("error,after=0", ServiceError),
    ],
)
async def test_a_request_that_gives_nothing_ends_in_one_clear_error(
    client: Client, simulator: Simulator, faults: str, error: type[HolystreamError]
) -> None:
    """No answer is never an empty success: one sentence says why."""
    reply = await ask(client, faults)
    assert isinstance(reply.error, error)
    assert str(reply.error).endswith((".", '."', '"'))
    assert "<" not in str(reply.error)
    assert (reply.text, reply.finish_reason) == ("", "")
    assert await running(simulator) == 0


@pytest.mark.parametrize("faults", ["end=5", "end=0", "finish=none,no-done"])
async def test_an_end_without_a_word_is_truncated(client: Client, whole: str, faults: str) -> None:
    """Neither a finish reason nor [DONE]: the answer says that it is truncated."""
    reply = await ask(client, faults)
    assert (reply.error, reply.finish_reason, reply.usage.exact) == (None, "truncated", False)
    assert whole.startswith(reply.text)


async def test_done_without_a_finish_reason_is_a_complete_answer(client: Client, whole: str) -> None:
    """[DONE] is the end of a stream."""
    reply = await ask(client, "finish=none")
    assert (reply.text, reply.finish_reason) == (whole, "stop")


@pytest.mark.parametrize("spelling", ["reasoning_content", "reasoning", "text", "summary", "both", "both-details"])
async def test_reasoning_is_found_under_every_name_and_counted_once(client: Client, spelling: str) -> None:
    """The same reasoning comes out, whatever field or fields it came in."""
    plain = await ask(client, model="sim-reasoner")
    reply = await ask(client, f"reasoning={spelling}", model="sim-reasoner")
    assert plain.reasoning
    assert (reply.reasoning, reply.text) == (plain.reasoning, plain.text)


TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.mark.parametrize(
    "shape",
    [
        "openai",
        "index-1",
        "no-index",
        "empty-ids",
        "null-ids",
        "repeat-name",
        "whole",
        "object",
        "no-arguments",
        "interleaved",
    ],
)
async def test_tool_calls_come_out_whole_in_every_shape(client: Client, shape: str) -> None:
    """Each call has its id, its name once, and arguments that are JSON (or none)."""
    reply = await ask(client, f"tools={shape}", prompt="Call weather for Oslo.", tools=[TOOL])
    assert reply.tool_calls
    for call in reply.tool_calls:
        assert call.id
        assert call.name == "weather"
        assert shape == "no-arguments" or "city" in json.loads(call.arguments)


async def test_tools_can_be_asked_for_again_and_again(client: Client) -> None:
    """Over HTTP each round of calls is an answer of its own."""
    reply = await ask(client, "rounds=2", tools=[TOOL])
    assert (reply.finish_reason, [call.name for call in reply.tool_calls]) == ("tool_calls", ["weather"])


async def test_refused_usage_is_asked_for_only_once(client: Client, simulator: Simulator) -> None:
    """A service that refuses include_usage is remembered, and tokens are marked as counted here."""
    reply = await ask(client, "refuse-usage=400")
    assert (reply.usage.exact, reply.timing.retries, client.asks_for_usage) == (False, 0, False)


def test_every_fault_of_the_simulator_is_tried_here() -> None:
    """A fault added to the simulator is added to these tables."""
    source = Path(__file__).read_text("utf-8")
    names = {field.name.replace("_", "-") for field in fields(Faults)}
    missing = {name for name in names if not re.search(rf"[\"',]{name}[=\",]", source)}
    assert not missing
