"""The official SDK as a foreign client: used as its users use it, it has nothing to complain about."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field

from holystream_nb.simulator import Simulator

pytestmark = pytest.mark.filterwarnings("error")

MESSAGES = [{"role": "user", "content": "Explain sheep in two sentences."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather somewhere.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
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


def test_streams(client: openai.OpenAI) -> None:
    """A stream has text, a finish reason and usage, all in typed objects that keep nothing unknown at the top."""
    stream = client.chat.completions.create(
        model="gpt-4.1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.count("sheep") >= 1
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert not any(chunk.model_extra for chunk in [*chunks, last])


async def test_streams_async(async_client: openai.AsyncOpenAI) -> None:
    """The same, asynchronously, and unstreamed with the same text."""
    stream = await async_client.chat.completions.create(model="gpt-4.1", messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    whole = await async_client.chat.completions.create(model="gpt-4.1", messages=MESSAGES)
    assert whole.choices[0].message.content == text
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 20
    assert whole._request_id is not None
    assert whole._request_id.startswith("req_")


async def test_stream_helper_with_tools(async_client: openai.AsyncOpenAI) -> None:
    """The SDK's own accumulator puts a streamed call together; its message goes back with a result, and is answered."""
    messages: list[Any] = [{"role": "user", "content": "get_weather in Paris"}]
    async with async_client.chat.completions.stream(model="gpt-4.1", messages=messages, tools=TOOLS) as stream:
        async for _ in stream:
            pass
        completion = await stream.get_final_completion()
    assert completion.choices[0].finish_reason == "tool_calls"
    (call,) = completion.choices[0].message.tool_calls or []
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    messages += [completion.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}]
    async with async_client.chat.completions.stream(model="gpt-4.1", messages=messages, tools=TOOLS) as stream:
        completion = await stream.get_final_completion()
    assert completion.choices[0].finish_reason == "stop"
    assert "18 degrees" in (completion.choices[0].message.content or "")


def test_lists_models(client: openai.OpenAI) -> None:
    """Models are listed and retrieved."""
    assert "deepseek-v3.2" in {model.id for model in client.models.list()}
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"


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
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": error.__name__}], stream=True)


def test_key_refused(simulator: Simulator) -> None:
    """A bad key is the SDK's AuthenticationError."""
    with (
        openai.OpenAI(base_url=simulator.url, api_key="bad-key", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_error_in_the_stream(client: openai.OpenAI) -> None:
    """An error object in the middle of a stream is the SDK's APIError, after the text before it."""
    stream = client.chat.completions.create(model="gpt-4.1#error", messages=MESSAGES, stream=True)
    assert all(next(stream).choices[0].delta.content is not None for _ in range(1 + 3))
    with pytest.raises(openai.APIError, match="error while processing"):
        next(stream)


def test_retries_end_well(simulator: Simulator) -> None:
    """The SDK's own retries get through a service that fails twice."""
    with openai.OpenAI(base_url=simulator.url, api_key="key", max_retries=3) as client:
        completion = client.chat.completions.create(
            model="gpt-4.1#fail=429,tries=2,retry-after=0.01", messages=[{"role": "user", "content": "retry"}]
        )
    assert completion.choices[0].message.content


def test_typed_answers_keep_their_constraints(client: openai.OpenAI) -> None:
    """`parse` gets what a model with bounds, a pattern and recursion demands, for each of two choices."""

    class Sheep(BaseModel):
        name: str = Field(min_length=8)
        age: int = Field(ge=40, multiple_of=3)
        tag: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")
        lambs: list[Sheep] = Field(max_length=2)

    Sheep.model_rebuild(_types_namespace={"Sheep": Sheep})
    messages = [{"role": "user", "content": "I met Dolly, aged 6"}]
    completion = client.chat.completions.parse(model="gpt-4.1", messages=messages, response_format=Sheep, n=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert all(choice.message.parsed.age == 42 for choice in completion.choices)


def test_two_choices_are_streamed(client: openai.OpenAI) -> None:
    """The SDK's accumulator tells two choices apart, each with text, finish reason and log probabilities."""
    with client.chat.completions.stream(model="gpt-4.1", messages=MESSAGES, n=2, logprobs=True) as stream:
        for _ in stream:
            pass
        completion = stream.get_final_completion()
    assert [choice.finish_reason for choice in completion.choices] == ["stop", "stop"]
    for choice in completion.choices:
        assert "".join(item.token for item in choice.logprobs.content) == choice.message.content


def test_embeddings_are_refused_clearly(client: openai.OpenAI) -> None:
    """What is not there is the SDK's NotFoundError, with a sentence."""
    with pytest.raises(openai.NotFoundError, match="The simulator has no /v1/embeddings"):
        client.embeddings.create(model="x", input="sheep")
