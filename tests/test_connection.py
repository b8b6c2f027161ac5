"""A connection in both directions, against the simulator: turns, events, cancel, and what it can do over SSE."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from scripted_socket import answer, serving

from holystream_nb import Client, Simulator
from holystream_nb.client.connection import Connection
from holystream_nb.errors import KeyRefused, SetupError, UnknownModel
from holystream_nb.events import Text, ToolCallEnd
from holystream_nb.live.lane import Lane

KEY = "hs_live_0123456789abcdef"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    async with Client("simulator", base_url=simulator.url, api_key=KEY, backoff=0.01, inactivity=5) as client:
        yield client


async def turn(connection: Connection, prompt: str, **more: Any) -> str:
    """One turn to its end; its text."""
    await connection.send(prompt, **more)
    return "".join([event.text async for event in connection if isinstance(event, Text)])


@pytest.mark.parametrize("transport", ["sse", "ws", "auto"])
async def test_turn_after_turn(client: Client, transport: Any) -> None:
    """Each iteration ends with its turn; the reply is the last turn's; later turns spend nothing on connecting."""
    async with client.connect(model="gpt-4.1", transport=transport, max_tokens=9) as connection:
        first = await turn(connection, "Hello")
        reply = connection.reply
        assert (first, reply.finish_reason, reply.usage.completion_tokens) == (reply.text, "length", 9)
        assert await turn(connection, "Count to 5", max_tokens=None) != first
        reply = connection.reply
        assert (reply.finish_reason, reply.transport) == ("stop", "sse" if transport == "sse" else "ws")
        assert reply.timing.connect_ms is not None
        assert reply.timing.connect_ms < 20
        assert [event async for event in connection] == []


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["ws", "auto"])
async def test_events_reach_the_running_turn(client: Client, transport: Any) -> None:
    """A context update and an interruption change what the model says, in the same turn."""
    async with client.connect(model="gpt-4.1#tokens=300,rate=1000", transport=transport) as connection:
        await connection.send("Explain SSE.")
        await anext(connection)
        await connection.send_event("context_update", {"focus": "authentication"})
        async for _ in connection:
            pass
        assert "authentication" in connection.reply.text
        await connection.send("Explain SSE.")
        await anext(connection)
        await connection.send_event("user_interruption", {"text": "Repeat after me: enough"})
        async for _ in connection:
            pass
        assert "enough" in connection.reply.text
        assert connection.reply.finish_reason == "stop"


async def test_a_tools_result_continues_the_turn(client: Client) -> None:
    """The call is complete before its result is sent, and the model goes on with it."""
    async with client.connect(model="gpt-4.1", transport="ws", tools=[TOOL]) as connection:
        await connection.send("Call weather for Oslo, then tell me.")
        ended = 0
        async for event in connection:
            if isinstance(event, ToolCallEnd):
                call = connection.reply.tool_calls[event.index]
                ended += 1
                result = {"call_id": call.id, "tool": call.name, "result": "minus four degrees"}
                await connection.send_event("tool_result", result)
    reply = connection.reply
    assert ended == len(reply.tool_calls) >= 1
    assert reply.finish_reason == "stop"
    assert reply.text


@pytest.mark.slow
async def test_a_plain_stream_ends_with_its_calls(client: Client) -> None:
    """Nobody answers there: the same finish reason as over server-sent events, and the socket stays good."""
    for transport in ("sse", "ws"):
        async with client.stream("Call weather for Oslo.", model="gpt-4.1", transport=transport, tools=[TOOL]) as s:
            async for _ in s:
                pass
        assert (s.reply.finish_reason, len(s.reply.tool_calls), s.reply.transport) == ("tool_calls", 1, transport)


async def test_cancel_keeps_the_socket(client: Client, simulator: Simulator) -> None:
    """The service ends the turn at once; the next one is on the same socket."""
    async with client.connect(model="gpt-4.1#rate=50", transport="ws") as connection:
        await connection.send("Hello")
        await anext(connection)
        await connection.cancel()
        cancelled = connection.reply
        assert (cancelled.finish_reason, cancelled.error) == ("stopped", None)
        assert cancelled.text
        await connection.send("Again")
        await anext(connection)
    first, second = (simulator.record(str(reply.request_id)) for reply in (cancelled, connection.reply))
    assert first["outcome"] == "cancelled"
    assert first["session"] == second["session"]


async def test_cancel_from_another_task_ends_the_iteration(client: Client) -> None:
    """Whoever reads sees the end of the turn, without an error."""
    async with client.connect(model="gpt-4.1#stall=30", transport="ws") as connection:
        await connection.send("Hello")
        reading = asyncio.create_task(_rest(connection))
        await asyncio.sleep(0.1)
        await connection.cancel()
        async with asyncio.timeout(2):
            await reading
        assert connection.reply.finish_reason == "stopped"


async def _rest(connection: Connection) -> None:
    async for _ in connection:
        pass


@pytest.mark.flaky(reruns=2)  # a busy machine may be late
async def test_a_service_deaf_to_the_cancel_loses_its_socket(client: Client, simulator: Simulator) -> None:
    """Cancel is not enough then: the connection is closed within 100 ms, and the next send opens another."""
    async with client.connect(model="gpt-4.1#rate=50,deaf", transport="ws") as connection:
        await connection.send("Hello")
        await anext(connection)
        stopped = time.perf_counter_ns()
        await connection.cancel()
        first = connection.reply
        for _ in range(100):
            if (left := simulator.record(str(first.request_id))["disconnected_ns"]) is not None:
                break
            await asyncio.sleep(0.01)
        assert left is not None
        assert (left - stopped) / 1e6 < 100
        await connection.send("Again")
        await anext(connection)
    assert connection.reply.error is None


@pytest.mark.parametrize("transport", ["sse", "ws"])
@pytest.mark.flaky(reruns=2)  # a busy machine may be late
async def test_stop_reaches_the_service_within_100_ms(client: Client, simulator: Simulator, transport: Any) -> None:
    """By the simulator's own record, while its answer stalls and somebody reads."""
    async with client.stream("Hello", model="gpt-4.1#stall=30,after=4", transport=transport) as stream:
        for _ in range(4):
            await anext(stream)
        asyncio.get_running_loop().call_later(0.05, stream.stop)
        stopped = time.perf_counter_ns() + 50_000_000
        assert [event async for event in stream if isinstance(event, Text)] == []
    for _ in range(100):
        record = simulator.record(str(stream.reply.request_id))
        if record["outcome"] != "running":
            break
        await asyncio.sleep(0.01)
    assert record["outcome"] == ("disconnected" if transport == "sse" else "cancelled")
    ended = record["disconnected_ns"] or record["body_end_ns"]
    assert (ended - stopped) / 1e6 < 100


async def test_over_sse_an_event_says_what_it_needs(simulator: Simulator) -> None:
    """The sentence says how to get a socket; the answer goes on."""
    async with Client("simulator", base_url=simulator.url, api_key=KEY) as client:
        async with client.connect(model="gpt-4.1") as connection:
            await connection.send("Hello")
            with pytest.raises(SetupError, match='transport="ws"'):
                await connection.send_event("context_update", {"focus": "x"})
            await _rest(connection)
        assert connection.reply.finish_reason == "stop"


async def test_over_sse_the_requests_say_that_they_belong_together() -> None:
    """The documents' third way (003): headers and a field, one id for all turns of a connection."""
    sse = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    async def script(peer: Any) -> None: ...

    async with (
        serving(script, post=(answer("200 OK", sse, "text/event-stream"),)) as service,
        Client("simulator", base_url=service.url, api_key=KEY) as client,
    ):
        async with client.connect(model="m") as connection:
            assert [await turn(connection, "a"), await turn(connection, "b")] == ["Hi", "Hi"]
        async with client.stream("c", model="m") as stream:
            async for _ in stream:
                pass
    first, second, plain = service.asked
    assert first.headers["x-session-id"] == second.headers["x-session-id"]
    assert first.headers["x-streaming-mode"] == "websocket-emulation"
    assert first.json["stream_mode"] == "websocket-compatible"
    assert "x-session-id" not in plain.headers
    assert "stream_mode" not in plain.json


async def test_what_has_no_turn_says_so(client: Client) -> None:
    """Before the first send, while a turn runs, and after its end."""
    async with client.connect(model="gpt-4.1#rate=100", transport="ws") as connection:
        connection.stop()
        for early in (lambda: connection.reply, lambda: connection.progress):
            with pytest.raises(SetupError, match="send"):
                early()
        with pytest.raises(SetupError, match="send"):
            await anext(connection)
        await connection.send("Hello")
        with pytest.raises(SetupError, match="still running"):
            await connection.send("Again")
        await connection.cancel()
        with pytest.raises(SetupError, match="running answer"):
            await connection.send_event("context_update", {"focus": "x"})


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_a_refusal_is_raised_and_kept_and_the_connection_goes_on(client: Client, transport: Any) -> None:
    """The reply of a failed turn has its error; the next turn works."""
    async with client.connect(model="gpt-4.1", transport=transport) as connection:
        with pytest.raises(UnknownModel):
            await turn(connection, "Hello", model="gpt-17")
        assert isinstance(connection.reply.error, UnknownModel)
        assert await turn(connection, "Hello")


async def test_a_refused_key_is_raised_by_send(simulator: Simulator) -> None:
    """Nothing has begun, so `send` itself fails."""
    async with Client("simulator", base_url=simulator.url, api_key="bad-0123456789", transport="ws") as client:
        async with client.connect(model="gpt-4.1") as connection:
            with pytest.raises(KeyRefused):
                await connection.send("Hello")
        assert connection.reply.finish_reason == ""


async def test_a_turn_can_be_drawn_and_is_forgotten_by_nobody(client: Client) -> None:
    """A connection is a source for the live view, with the figures of its running turn."""
    async with client.connect(model="gpt-4.1", transport="ws") as connection:
        await connection.send("Hello")
        lane = Lane(connection, label="gpt-4.1", provider=connection.provider)
        async for event in lane.source:
            assert event.read
        lane.end(None)
    assert lane.state == "done"
    assert "ws" in lane.status()["figures"]
    assert lane.snapshot()["text"] == connection.reply.text


async def test_leaving_the_block_ends_the_turn(client: Client, simulator: Simulator) -> None:
    """A turn that was left is `stopped`, and the service knows."""
    async with client.connect(model="gpt-4.1#rate=50", transport="ws") as connection:
        await connection.send("Hello")
        await anext(connection)
    assert connection.reply.finish_reason == "stopped"
    assert simulator.record(str(connection.reply.request_id))["outcome"] in ("cancelled", "disconnected")


@pytest.mark.parametrize("transport", ["", "websocket", "SSE"])
async def test_a_transport_that_does_not_exist_is_refused(simulator: Simulator, transport: Any) -> None:
    """By name, with those that do."""
    with pytest.raises(SetupError, match="sse, ws, auto"):
        Client("simulator", base_url=simulator.url, transport=transport)
    async with Client("simulator", base_url=simulator.url) as client:
        with pytest.raises(SetupError, match="sse, ws, auto"):
            client.stream("Hello", model="m", transport=transport)
