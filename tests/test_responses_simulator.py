"""Responses against the simulator, which is as strict with what comes back as the service: the same over both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import holystream_nb as hs
from holystream_nb import Client, Simulator
from holystream_nb.client.stream import Stream
from holystream_nb.errors import HolystreamError
from holystream_nb.reply import Reply

pytestmark = pytest.mark.slow  # a process of its own


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(speed=None) as simulator:
        yield simulator


@pytest.fixture(params=["sse", "ws"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def client_of(simulator: Simulator, transport: Any, **more: Any) -> Client:
    more = {"backoff": 0.01, "inactivity": 5.0, **more}
    return Client("simulator", base_url=simulator.url, wire="responses", transport=transport, **more)


async def read(stream: Stream) -> Reply:
    async with asyncio.timeout(20), stream:
        try:
            async for _ in stream:
                pass
        except HolystreamError:
            assert stream.reply.error is not None
    return stream.reply


@hs.tool
def get_weather(city: str) -> str:
    """Says what the weather is."""
    return f"sunny in {city}"


DIALECTS = ["", "#dialect=llama.cpp", "#dialect=openrouter", "#dialect=copilot", "#dialect=vllm", "#reasoning=both"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_log_probabilities_are_those_of_the_text(simulator: Simulator, transport: str, dialect: str) -> None:
    """Asked for as in chat completions."""
    async with client_of(simulator, transport) as client:
        reply = await read(client.stream("Hello", model=f"deepseek-v3.2{dialect}", logprobs=True, top_logprobs=2))
    assert "".join(item["token"] for item in reply.logprobs) == reply.text
    assert {len(item["top_logprobs"]) for item in reply.logprobs} == {2}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_that_the_limit_cut_is_said_to_be_cut(
    simulator: Simulator, transport: str, dialect: str
) -> None:
    """Also where its service says `completed`."""
    async with client_of(simulator, transport) as client:
        reply = await read(client.stream("Hello", model=f"deepseek-v3.2{dialect}", max_tokens=5))
    assert (reply.end, reply.usage.completion_tokens) == ("length", 5)
    assert reply.ending_words.startswith("length limit reached")


@pytest.mark.parametrize("dialect", [*DIALECTS, "#bytes=1", "#blank=null", "#separators", "#comments"])
async def test_every_dialect_brings_the_same_answer(simulator: Simulator, transport: str, dialect: str) -> None:
    """Reasoning, text, usage and an end, however a service numbers, repeats and ends its items."""
    async with client_of(simulator, transport) as client:
        plain = await read(client.stream("Hello", model="sim-reasoner", reasoning={"summary": "auto"}))
        other = await read(client.stream("Hello", model=f"sim-reasoner{dialect}", reasoning={"summary": "auto"}))
    assert plain.text.startswith("🐑 **A simulated answer.**")
    assert plain.reasoning
    extra = "\u2028\u2029\u0085" if dialect == "#separators" else ""
    assert (other.reasoning, other.finish_reason, other.error) == (plain.reasoning, "stop", None)
    assert all(mark in other.text for mark in extra)
    assert extra or other.text == plain.text
    assert other.usage.exact
    assert other.usage.reasoning_tokens == plain.usage.reasoning_tokens or dialect == "#dialect=llama.cpp"
    assert other.transport == transport


@pytest.mark.parametrize("shape", ["openai", "index-1", "no-index", "null-ids", "whole", "object", "interleaved"])
async def test_rounds_with_tools(simulator: Simulator, transport: str, shape: str) -> None:
    """Calls in every shape run, and the simulator takes what comes back."""
    async with client_of(simulator, transport) as client:
        model = f"sim-reasoner#tools={shape}"
        run = hs.run_tools(client, "Use get_weather for Paris", tools=[get_weather], model=model, consent="all")
        reply = await run
    assert reply.error is None
    assert {(call.name, call.result) for call in run.calls} == {("get_weather", "sunny in Paris")}
    assert [each.finish_reason for each in run.replies] == ["tool_calls", "stop"]


async def test_encrypted_reasoning_is_taken_back(simulator: Simulator, transport: str) -> None:
    """Unchanged, followed by the call it led to: the simulator refuses anything else."""
    async with client_of(simulator, transport) as client:
        tools = [get_weather.specification]
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Use get_weather for Paris"}]
        first = await read(client.stream(messages, model="sim-reasoner", tools=tools))
        assert first.echo is not None
        assert [item["type"] for item in first.echo["content"]] == ["reasoning", "function_call"]
        (call,) = first.tool_calls
        function = {"name": call.name, "arguments": call.arguments}
        calls = [{"id": call.id, "type": "function", "function": function}]
        messages += [
            {"role": "assistant", "content": None, "tool_calls": calls, "echo": first.echo},
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ]
        second = await read(client.stream(messages, model="sim-reasoner", tools=tools))
        # From nothing, by another client: what the socket knew is in the messages too.
        async with client_of(simulator, transport) as other:
            third = await read(other.stream(messages, model="sim-reasoner", tools=tools))
    assert (second.error, second.finish_reason, third.error, third.text) == (None, "stop", None, second.text)


@pytest.mark.parametrize("fault", ["error", "error-chunk", "cut=5", "end=5", "no-done", "bad-json", "fail=503"])
async def test_faults_are_what_they_are_in_every_format(simulator: Simulator, transport: str, fault: str) -> None:
    """What had arrived is kept, and the end is said as over Chat Completions."""
    async with client_of(simulator, transport, inactivity=1.0) as client:
        reply = await read(client.stream("Hello", model=f"gpt-4.1#{fault}"))
    if fault == "bad-json":
        assert (reply.unreadable, reply.finish_reason) == (1, "stop")
    elif fault == "fail=503":
        assert (reply.error, reply.timing.retries) == (None, 1)
    else:
        assert reply.text
        assert reply.finish_reason in ("interrupted", "truncated")
        assert (reply.error is None) == (fault == "end=5" or (fault == "no-done" and transport == "sse"))


async def test_a_running_answer_is_steered(simulator: Simulator) -> None:
    """The answer goes on in the next response, and the conversation goes on from there."""
    async with client_of(simulator, "ws") as client, client.connect(model="gpt-4.1#rate=200") as connection:
        await connection.send("Tell me something.")
        await connection.send_event("steer", {"input": "count to 5"})
        async for _ in connection:
            pass
        first = connection.reply
        said = {"role": "assistant", "content": first.text, "echo": first.echo}
        more = [{"role": "user", "content": "Tell me something."}, said, {"role": "user", "content": "count to 3"}]
        await connection.send(more)
        async for _ in connection:
            pass
    assert "1, 2, 3, 4, 5" in first.text
    assert (first.finish_reason, connection.reply.error) == ("stop", None)
    assert "1, 2, 3" in connection.reply.text
