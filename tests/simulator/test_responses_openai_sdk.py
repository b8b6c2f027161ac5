"""The official SDK against Responses: used as its users use it, over SSE and on its WebSocket, without a complaint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import openai
import pytest
from openai.lib.responses_websocket import (
    ResponsesWebSocketAccumulator,
    ResponsesWebSocketError,
    ResponsesWebSocketLimits,
    ResponsesWebSocketSession,
)
from pydantic import BaseModel, Field

from holystream_nb.simulator import Simulator

# the SDK opens its own socket in a way that websockets 17.1 deprecates
pytestmark = pytest.mark.filterwarnings("error", r"ignore:connect\(\) must be used as:DeprecationWarning")

PROMPT = "Explain sheep in two sentences."
TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather somewhere.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": False,
    }
]


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulator.url, api_key="key", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=simulator.url, api_key="key", max_retries=0) as client:
        yield client


def test_creates_and_streams(client: openai.OpenAI) -> None:
    """Streamed and not, the same response; nothing unknown but what OpenAI sends and the SDK has no field for."""
    whole = client.responses.create(model="gpt-4.1", input=PROMPT)
    events = list(client.responses.create(model="gpt-4.1", input=PROMPT, stream=True))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == whole.output_text
    assert last.response.to_dict() == whole.to_dict()
    assert whole.output_text.count("sheep") >= 1
    assert whole._request_id is not None
    assert whole.model_extra == {"store": True}
    assert {name for event in events for name in event.model_extra or {}} == {"obfuscation"}
    plain = client.responses.create(
        model="gpt-4.1", input=PROMPT, stream=True, stream_options={"include_obfuscation": False}
    )
    assert not any(event.model_extra for event in plain)


def test_every_object_is_as_it_is_typed(client: openai.OpenAI) -> None:
    """The SDK builds objects without looking; looked at closely, each event and response is valid."""
    options: dict[str, Any] = {"model": "sim-reasoner", "tools": TOOLS, "reasoning": {"summary": "auto"}}
    for prompt in ("get_weather in Paris", PROMPT):
        for event in client.responses.create(input=prompt, stream=True, store=False, **options):
            type(event).model_validate(event.to_dict())


def test_log_probabilities(client: openai.OpenAI) -> None:
    """Where they are asked for, each delta has its token's, the part all of them; they are as they are typed."""
    options: dict[str, Any] = {"model": "gpt-4.1", "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    events = list(client.responses.create(input=PROMPT, stream=True, **options))
    for event in events:
        type(event).model_validate(event.to_dict())
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert all([item.token for item in event.logprobs] == [event.delta] for event in deltas)
    part = events[-1].response.output[0].content[0]
    assert [item.token for item in part.logprobs] == [event.delta for event in deltas]
    assert {len(item.top_logprobs) for item in part.logprobs} == {2}
    assert part.text == client.responses.create(model="gpt-4.1", input=PROMPT).output_text


@pytest.mark.parametrize("store", [True, False])
async def test_a_tool_round_with_reasoning(async_client: openai.AsyncOpenAI, store: bool) -> None:
    """The stream helper puts the call together; the output goes back as the SDK's own objects, and is taken."""
    context: list[Any] = [{"role": "user", "content": "get_weather in Paris"}]
    options: dict[str, Any] = {"model": "sim-reasoner", "tools": TOOLS, "store": store}
    async with async_client.responses.stream(input=context, reasoning={"summary": "auto"}, **options) as stream:
        types = [event.type async for event in stream]
        first = await stream.get_final_response()
    assert "response.reasoning_summary_text.delta" in types
    reasoning, call = first.output
    assert (reasoning.type, call.type) == ("reasoning", "function_call")
    assert isinstance(reasoning, openai.types.responses.ResponseReasoningItem)
    assert bool(reasoning.encrypted_content) is not store
    assert isinstance(call, openai.types.responses.ResponseFunctionToolCall)
    assert json.loads(call.arguments) == {"city": "Paris"}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"}
    second = await async_client.responses.create(input=[*context, *first.output, result], **options)
    assert "12 degrees" in second.output_text
    if store:
        third = await async_client.responses.create(input=[result], previous_response_id=first.id, **options)
        assert third.output_text == second.output_text


class Place(BaseModel):
    city: str
    country: Literal["France", "Norway"]
    visits: int = Field(description="how often")


def test_parses(client: openai.OpenAI) -> None:
    """`responses.parse` gets an object of the model's class, also while streaming."""
    parsed = client.responses.parse(model="gpt-4.1", input="Was he in Oslo, Norway?", text_format=Place)
    assert parsed.output_parsed is not None
    assert parsed.output_parsed.country == "Norway"
    with client.responses.stream(model="gpt-4.1", input="Was he in Oslo, Norway?", text_format=Place) as stream:
        assert stream.get_final_response().output_parsed == parsed.output_parsed


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("gpt-99", openai.NotFoundError),
        ("gpt-4.1#fail=429", openai.RateLimitError),
        ("gpt-4.1#fail=503", openai.InternalServerError),
        ("gpt-4.1#nonsense", openai.BadRequestError),
        ("gpt-4.1#fail=drop", openai.APIConnectionError),
    ],
)
def test_errors_have_the_sdk_s_own_classes(client: openai.OpenAI, model: str, error: type[openai.APIError]) -> None:
    """Each refusal arrives as the exception that the SDK's users catch."""
    with pytest.raises(error):
        client.responses.create(model=model, input=f"respond {error.__name__}", stream=True)


def test_errors_in_the_stream(client: openai.OpenAI) -> None:
    """The live, nested error is the SDK's APIError; the documented, flat one its error event."""
    stream = client.responses.create(model="gpt-4.1#error", input=PROMPT, stream=True)
    with pytest.raises(openai.APIError, match="error while processing"):
        list(stream)
    *_, flat = client.responses.create(model="gpt-4.1#error-event", input=PROMPT, stream=True)
    assert flat.type == "error"
    assert flat.code == "server_error"


def _settled(events: Iterator[Any]) -> tuple[list[Any], Any]:
    found = []
    for event in events:
        found.append(event)
        if event.type in ("response.completed", "response.incomplete", "response.failed", "error"):
            break
    return found, found[-1]


@pytest.mark.slow
def test_connect_holds_a_conversation_with_a_tool_call(client: openai.OpenAI) -> None:
    """WebSocket mode: call, result and one more turn, each sending only what is new; every event as it is typed."""
    options: dict[str, Any] = {"model": "sim-reasoner", "tools": TOOLS, "store": False}
    with client.responses.connect() as connection:
        connection.response.create(input="get_weather in Paris", reasoning={"summary": "auto"}, **options)
        events, first = _settled(iter(connection))
        for event in events:
            type(event).model_validate(event.to_dict())
        accumulator = ResponsesWebSocketAccumulator()
        for event in events:
            accumulator.add_event(event)
        call = accumulator.get_final_response().output[-1]
        assert call.type == "function_call"
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"}
        connection.response.create(input=[result], previous_response_id=first.response.id, **options)
        _, second = _settled(iter(connection))
        assert "12 degrees" in second.response.output_text
        connection.response.create(input=PROMPT, previous_response_id=second.response.id, **options)
        assert _settled(iter(connection))[1].response.status == "completed"
        connection.response.create(input=PROMPT, previous_response_id=first.response.id, **options)
        error = _settled(iter(connection))[1].error
        assert (error.code, error.type) == ("previous_response_not_found", "invalid_request_error")


async def test_connect_async_and_steer(async_client: openai.AsyncOpenAI) -> None:
    """A running answer is steered: accepted, incomplete, and a successor of which the SDK knows every event."""
    async with async_client.responses.connect() as connection:
        await connection.response.create(model="gpt-4.1#rate=400", input="Tell me about sheep")
        seen: list[Any] = []
        async for event in connection:
            type(event).model_validate(event.to_dict())
            seen.append(event)
            if event.type == "response.content_part.added" and len(seen) == 4:
                await connection.response.steer(previous_response_id=seen[0].response.id, input="Tell me about goats")
            if event.type == "response.completed":
                break
    steered = next(event for event in seen if event.type == "response.incomplete")
    assert steered.response.incomplete_details.reason == "steered"
    assert "*goats*" in seen[-1].response.output_text


def test_the_sdk_s_lanes(client: openai.OpenAI) -> None:
    """The SDK's session runs two lanes on one connection, and an error of one is not the other's."""
    limits = ResponsesWebSocketLimits(
        max_lanes=4, max_events_per_lane=1000, max_events=4000, max_bytes_per_lane=1 << 24, max_bytes=1 << 26
    )
    with client.responses.connect() as connection, ResponsesWebSocketSession(connection, limits=limits) as session:
        one, two = session.lane("one"), session.lane("two")
        one.send({"type": "response.create", "model": "gpt-4.1#rate=300", "input": PROMPT})
        two.send({"type": "response.create", "model": "gpt-4.1#error", "input": PROMPT})
        with pytest.raises(ResponsesWebSocketError):
            two.get_final_response(timeout=10)
        assert one.get_final_response(timeout=10).output_text.count("sheep") >= 1
