"""What is normal input over server-sent events is so over a socket: the simulator's faults on both transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from test_client_faults import COMPLETE, ask

from holystream_nb import Client, Simulator
from holystream_nb.errors import (
    HolystreamError,
    NotAStream,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
    Stalled,
    StreamInterrupted,
)

OTHERWISE = {
    "whole",  # answers a POST at once, and no socket is ever offered
    "no-done",  # a finish reason ends an answer over SSE; on a socket `done` does
    "bad-utf8",  # replaced in an event stream; on a socket, by the standard, the end
    "close=4429",
    "no-socket",
    "socket-dead",
    "socket-host=example.com",
}


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1", backoff=0.01, inactivity=0.5) as client:
        yield client


WORDS_OF_B = ("tokens=30,numbered", "group", "bytes=7", "split-utf8", "usage=running", "parts", "fail=503,tries=3")
"""Faults to be tried on an offered socket too, whose vocabulary is another."""


@pytest.mark.parametrize(
    ("transport", "faults"),
    [
        *(("ws", faults) for faults in COMPLETE if faults not in OTHERWISE),
        *(("auto", faults) for faults in WORDS_OF_B),
    ],
)
async def test_the_same_answer_over_a_socket(client: Client, faults: str, transport: Any) -> None:
    """Text, reasoning, finish reason and tokens are those that server-sent events bring."""
    over_sse = await ask(client, faults)
    reply = await ask(client, faults, transport=transport)
    assert (reply.error, reply.transport) == (None, "ws")
    assert (reply.finish_reason, reply.reasoning) == (over_sse.finish_reason, over_sse.reasoning)
    assert (reply.text, reply.usage.completion_tokens) == (over_sse.text, over_sse.usage.completion_tokens)


@pytest.mark.parametrize(
    ("faults", "error", "reason"),
    [
        ("cut=5", StreamInterrupted, "interrupted"),
        ("reset=5,rate=100", StreamInterrupted, "interrupted"),
        ("stall=5", Stalled, "interrupted"),
        ("no-done", Stalled, "interrupted"),
        ("error,after=5", ServiceError, "truncated"),
        ("error-chunk,after=5", ServiceError, "truncated"),
        ("bad-json,after=5", NotAStream, "truncated"),
        ("bad-utf8", NotAStream, "truncated"),
        ("close=1011,after=5", ServiceUnavailable, "truncated"),
        ("end=5", None, "truncated"),
        ("close=1001,after=5", None, "truncated"),
    ],
)
@pytest.mark.parametrize("transport", ["ws", "auto"])
async def test_a_failure_in_the_middle_keeps_what_arrived(
    client: Client, faults: str, error: type[HolystreamError] | None, reason: str, transport: Any
) -> None:
    """The text so far stays, and nothing is asked again."""
    whole = (await ask(client)).text
    reply = await ask(client, faults, transport=transport)
    assert (reply.error is None) if error is None else isinstance(reply.error, error)
    assert reply.text
    assert whole.startswith(reply.text)
    assert (reply.finish_reason, reply.timing.retries, reply.usage.exact) == (reason, 0, False)


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ("fail=429,tries=9,retry-after=0", RateLimited),
        ("fail=503,tries=9", ServiceUnavailable),
        ("fail=drop,tries=9", StreamInterrupted),
        ("cut=0", StreamInterrupted),
        ("error,after=0", ServiceError),
    ],
)
async def test_a_turn_that_gives_nothing_ends_in_one_clear_error(
    client: Client, faults: str, error: type[HolystreamError]
) -> None:
    """Never an empty success."""
    reply = await ask(client, faults, transport="ws")
    assert isinstance(reply.error, error)
    assert (reply.text, reply.finish_reason) == ("", "")


@pytest.mark.parametrize("faults", ["no-socket", "socket-dead", "socket-host=evil.example"])
async def test_auto_falls_back_to_sse(client: Client, faults: str) -> None:
    """The same answer, and the reply says what carried it."""
    whole = (await ask(client)).text
    reply = await ask(client, faults, transport="auto")
    assert (reply.text, reply.transport, reply.error, reply.timing.retries) == (whole, "sse", None, 0)


async def test_the_other_name_of_the_header(client: Client) -> None:
    """Document 001 knows two."""
    assert (await ask(client, "upgrade-url", transport="auto")).transport == "ws"


SHAPES = ("openai", "index-1", "no-index", "empty-ids", "null-ids", "whole", "object", "no-arguments", "interleaved")


async def test_tool_calls_come_out_whole_in_every_shape(simulator: Simulator) -> None:
    """The same calls as over server-sent events."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1") as client:

        async def calls(shape: str, transport: Any) -> list[tuple[str, str]]:
            stream = client.stream(
                "Weather for Oslo.", model=f"gpt-4.1#tools={shape}", transport=transport, tools=[tool]
            )
            async with stream:
                async for _ in stream:
                    pass
            assert stream.reply.finish_reason == "tool_calls"
            return [(call.name, call.arguments) for call in stream.reply.tool_calls]

        over_sse = await asyncio.gather(*(calls(shape, "sse") for shape in SHAPES))
        assert await asyncio.gather(*(calls(shape, "ws") for shape in SHAPES)) == over_sse
        assert all(over_sse)
