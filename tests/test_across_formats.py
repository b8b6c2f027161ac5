"""The same in every format: faults, tools, pictures in results, conversations that change their format."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from fault_table import CASES

import holystream_nb as hs
from holystream_nb import Client, Simulator
from holystream_nb.client.stream import Stream
from holystream_nb.errors import HolystreamError
from holystream_nb.money.budget import Budget
from holystream_nb.reply import Reply

pytestmark = pytest.mark.slow  # a process of its own

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAYS: tuple[Any, ...] = (("chat", "sse"), ("messages", "sse"), ("responses", "sse"), ("responses", "ws"))
ways = pytest.mark.parametrize(("wire", "transport"), WAYS)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(speed=None) as simulator:
        yield simulator


def client_of(simulator: Simulator, wire: Any, transport: Any, **more: Any) -> Client:
    more = {"backoff": 0.01, "inactivity": 1.0, **more}
    return Client("simulator", base_url=simulator.url, wire=wire, transport=transport, **more)


async def read(stream: Stream) -> Reply:
    async with asyncio.timeout(20), stream:
        try:
            async for _ in stream:
                pass
        except HolystreamError:
            assert stream.reply.error is not None
    return stream.reply


# Faults

FAULTS = [(case.options, fault) for case in CASES if "sse" in case.expected for fault in case.variants]
ENDS_WITHOUT_A_WORD = "no-done"
"""Only the last event of Responses says that one is whole."""


async def _came(simulator: Simulator, wire: Any, options: Mapping[str, Any], fault: str) -> dict[str, Any]:
    asked = fault if "tools" in options else f"tokens=10,numbered,{fault}"
    headers = {"X-Simulate": asked.strip(","), "X-Sim-Run": uuid.uuid4().hex}
    async with client_of(simulator, wire, "sse", headers=headers) as client:
        reply = await read(client.stream(**{"prompt": "Hello", "model": "gpt-4.1", **options}))
    return {
        "text": reply.text.partition("</think>\n\n")[2] or reply.text,
        "calls": [(call.name, json.loads(call.arguments or "{}")) for call in reply.tool_calls],
        "error": type(reply.error),
        "end": reply.ending_words.partition(" (")[0] if reply.end else reply.finish_reason,
        "unreadable": reply.unreadable,
        "retries": reply.timing.retries,
    }


async def test_a_fault_is_the_same_in_every_format(simulator: Simulator) -> None:
    """What is kept, the kind of the end and of the error, and the retries, whatever the service speaks."""
    at_a_time = asyncio.Semaphore(6)

    async def one(options: Mapping[str, Any], fault: str) -> list[dict[str, Any]]:
        async with at_a_time:
            wires = ("chat", "messages", "responses")
            return await asyncio.gather(*(_came(simulator, wire, options, fault) for wire in wires))

    came = await asyncio.gather(*(one(*each) for each in FAULTS))
    for (_, fault), (chat, messages, responses) in zip(FAULTS, came, strict=True):
        assert messages == chat, fault
        if fault == ENDS_WITHOUT_A_WORD:
            assert responses == {**chat, "end": "truncated"}
        else:
            assert responses == chat, fault


# Tools and conversations


@hs.tool
def plot(city: str) -> Any:
    """Draws a plot."""
    from holystream_nb.tools.results import Image

    return [f"weather in {city}", Image("image/png", PIXEL)]


@ways
async def test_a_tool_returns_a_picture(simulator: Simulator, wire: str, transport: str) -> None:
    """Each format has a place of its own for it, and the simulator refuses it in any other."""
    async with client_of(simulator, wire, transport) as client:
        prompt = "Use plot for Paris, and use plot for Rome"
        run = hs.run_tools(client, prompt, tools=[plot], model="gpt-4.1#tools=interleaved", consent="all")
        reply = await run
    assert [len(call.images) for call in run.calls] == [1, 1]
    assert (reply.error, len(run.replies)) == (None, 2)


@ways
async def test_a_conversation_that_another_format_began(simulator: Simulator, wire: str, transport: str) -> None:
    """Ids that the service did not give, the same in each of its turns, and echoes of another format."""
    messages: list[Any] = []
    async with client_of(simulator, "chat", "sse") as client:
        for model in ("sim-reasoner#tools=empty-ids", "gpt-4.1#tools=null-ids"):
            asked = [*messages, {"role": "user", "content": "Use plot for Paris"}]
            run = hs.run_tools(client, asked, tools=[plot], model=model, consent="all")
            await run
            messages = list(run.messages)
    async with client_of(simulator, wire, transport) as client:
        for model in ("sim-reasoner", "gpt-4.1"):
            asked = [*messages, {"role": "user", "content": "count to 3"}]
            reply = await read(client.stream(asked, model=model, tools=[plot.specification]))
            assert (reply.error, "1, 2, 3" in reply.text) == (None, True)


@pytest.mark.parametrize(("wire", "transport"), [*WAYS, ("chat", "ws"), ("messages", "ws")])
async def test_turns_on_a_connection(simulator: Simulator, wire: str, transport: str) -> None:
    """What is Chat Completions' own, as the documents' emulation of a socket is, goes out in no other format."""
    async with client_of(simulator, wire, transport) as client, client.connect(model="gpt-4.1") as connection:
        for count, said in (("3", "1, 2, 3"), ("4", "1, 2, 3, 4")):
            await connection.send(f"count to {count}")
            async for _ in connection:
                pass
            assert (connection.reply.text, connection.reply.wire) == (said, wire)


@ways
async def test_a_limit_on_cost_holds(simulator: Simulator, wire: str, transport: str) -> None:
    """A service is told the limit by the name it reads, whatever other names the user gives."""
    budget = Budget(Decimal("0.0004"), "max_cost")
    async with client_of(simulator, wire, transport) as client:
        fields = {} if wire == "messages" else {"max_output_tokens": 5000}
        reply = await read(client.within(budget).stream("Hello", model="gpt-4.1#tokens=3000", **fields))
    assert reply.cost.usd is not None
    assert 0 < reply.cost.usd <= Decimal("0.0004")
    assert reply.usage.completion_tokens is not None
    assert reply.usage.completion_tokens < 60


@ways
async def test_json_is_asked_for(simulator: Simulator, wire: str, transport: str) -> None:
    """As a field where the format has one, else in words that the model obeys."""
    async with client_of(simulator, wire, transport) as client:
        wanted = {"type": "json_object"}
        reply = await read(client.stream("Tell me something", model="gpt-4.1", response_format=wanted))
    assert (reply.text[:1], reply.error) == ("{", None)


@pytest.mark.parametrize("wire", ["chat", "messages", "responses"])
async def test_the_simulator_counts_tools_as_part_of_the_prompt(simulator: Simulator, wire: str) -> None:
    """In every format, so that a comparison of their costs with tools means something."""
    function = {"name": "look", "description": "Looks " * 60, "parameters": {"type": "object", "properties": {}}}
    async with client_of(simulator, wire, "sse") as client:
        reply = await read(client.stream("Hello", model="gpt-4.1", tools=[{"type": "function", "function": function}]))
    assert reply.usage.prompt_tokens == pytest.approx(90, abs=15)
