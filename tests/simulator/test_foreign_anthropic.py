"""Anthropic's own SDK as a foreign client of the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import anthropic
import pytest

from holystream_nb.simulator import Simulator

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error")]

MODEL = "claude-sonnet-4.5"
TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather somewhere.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
    {"name": "get_time", "input_schema": {"type": "object", "properties": {}}},
]


@pytest.fixture(scope="module")
def client(simulator: Simulator) -> Iterator[Any]:
    url = simulator.url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=url, api_key="key", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("thinking", [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}, None])
def test_a_conversation_with_tools(client: Any, thinking: Any) -> None:
    """The SDK streams two calls, gives its own accumulated content back with their results, and gets an answer."""
    options: dict[str, Any] = {"model": MODEL, "max_tokens": 4096, "tools": TOOLS}
    options |= {"thinking": thinking} if thinking else {}
    messages: list[Any] = [{"role": "user", "content": "Use get_weather and get_time in Paris"}]
    with client.messages.stream(messages=messages, **options) as stream:
        kinds = {event.type for event in stream}
        first = stream.get_final_message()
    assert {"message_start", "content_block_stop", "input_json", "message_stop"} <= kinds
    assert ("thinking" in kinds) == ("signature" in kinds) == bool(thinking)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [("get_weather", {"city": "Paris"}), ("get_time", {})]
    assert first.stop_reason == "tool_use"
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "18"} for call in calls]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    with client.messages.stream(messages=messages, **options) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert "The tool get_weather returned `18`." in text
    assert (last.stop_reason, last.usage.input_tokens > 0, last.usage.output_tokens > 20) == ("end_turn", True, True)
    assert not last.model_extra


def test_its_own_tool_loop(client: Any) -> None:
    """The SDK's tool runner calls a function and comes to an answer by itself."""

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather somewhere."""
        return f"18 degrees in {city}"

    message = [{"role": "user", "content": "Use get_weather in Paris"}]
    runner = client.beta.messages.tool_runner(
        model=MODEL, max_tokens=2000, tools=[get_weather], messages=message, thread=False
    )
    assert "`18 degrees in Paris`" in runner.until_done().content[0].text


def test_unstreamed_typed_and_counted(client: Any) -> None:
    """A whole message, tokens counted before, and an answer in a model's shape."""
    from pydantic import BaseModel

    class Sheep(BaseModel):
        name: str
        kind: Literal["ewe", "ram"]

    messages = [{"role": "user", "content": "I met Dolly"}]
    whole = client.messages.create(model=MODEL, max_tokens=100, messages=messages)
    assert client.messages.count_tokens(model=MODEL, messages=messages).input_tokens == whole.usage.input_tokens
    assert whole._request_id.startswith("req_")
    parsed = client.messages.parse(model=MODEL, max_tokens=100, messages=messages, output_format=Sheep)
    assert (parsed.parsed_output.name, parsed.parsed_output.kind) == ("Dolly", "ewe")


def test_typed_answers_keep_their_constraints(client: Any) -> None:
    """The SDK writes them into descriptions, as Messages take no schema with them, and checks what comes."""
    from pydantic import BaseModel, Field

    class Sheep(BaseModel):
        age: Annotated[int, Field(ge=3, le=5, description="In years.")]
        weight: Annotated[float, Field(gt=0, lt=1, multiple_of=0.25)]
        tag: Annotated[str, Field(pattern=r"^[A-Z]{3}, \d{4}$")]
        name: Annotated[str, Field(min_length=3, max_length=5)]
        lambs: Annotated[list[Sheep], Field(max_length=2)]

    messages = [{"role": "user", "content": "I met Dolly"}]
    parsed = client.messages.parse(model=MODEL, max_tokens=2000, messages=messages, output_format=Sheep)
    assert parsed.parsed_output.age in (3, 4, 5)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("gpt-99", "NotFoundError"),
        (f"{MODEL}#fail=429", "RateLimitError"),
        (f"{MODEL}#fail=529", "OverloadedError"),
        (f"{MODEL}#fail=drop", "APIConnectionError"),
        (f"{MODEL}#nonsense", "BadRequestError"),
    ],
)
def test_errors_have_the_sdk_s_own_classes(client: Any, model: str, error: str) -> None:
    """Each refusal arrives as the exception that the SDK's users catch."""
    wanted = getattr(anthropic, error, None) or anthropic._exceptions.OverloadedError
    with pytest.raises(wanted):
        client.messages.create(model=model, max_tokens=10, messages=[{"role": "user", "content": error}])


def test_overload_in_the_stream(client: Any) -> None:
    """An overload inside a 200 is the SDK's APIStatusError, before anything or after some text."""
    for place in ("0", "3"):
        messages = [{"role": "user", "content": "hi"}]
        with (
            pytest.raises(anthropic.APIStatusError, match="overloaded_error"),
            client.messages.stream(model=f"{MODEL}#error,after={place}", max_tokens=10, messages=messages) as stream,
        ):
            list(stream)
