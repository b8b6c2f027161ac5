"""A client and its tools over the Messages format, against a service that is written byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from raw_service import Asked, Writer, serving

import holystream_nb as hs
from holystream_nb import Client, Simulator
from holystream_nb.client.check import check
from holystream_nb.client.stream import Stream
from holystream_nb.errors import (
    BadRequest,
    HolystreamError,
    PromptTooLong,
    RateLimited,
    ServiceUnavailable,
    SetupError,
    StreamInterrupted,
)
from holystream_nb.events import Usage
from holystream_nb.providers.table import provider
from holystream_nb.reply import Reply

MODEL = "claude-sonnet-4-5"
KEY = "test-0123456789"


def head(usage: Any = None, id: str = "msg_1") -> dict[str, Any]:
    message = {"id": id, "type": "message", "role": "assistant", "model": f"{MODEL}-20250929", "content": []}
    usage = usage or {"input_tokens": 20, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2}
    return {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}}


def block(index: int, given: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": given},
        *({"type": "content_block_delta", "index": index, "delta": each} for each in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": each} for each in pieces))


def thinking(index: int, thought: str, signature: str) -> list[dict[str, Any]]:
    return block(
        index,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": thought},
        {"type": "signature_delta", "signature": signature},
    )


def use(index: int, id: str, name: str, *pieces: str) -> list[dict[str, Any]]:
    given = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return block(index, given, *({"type": "input_json_delta", "partial_json": each} for each in pieces))


def tail(reason: str) -> list[dict[str, Any]]:
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]


def error(type: str, message: str = "No") -> dict[str, Any]:
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_e"}


HELLO = [head(), {"type": "ping"}, *text(0, "Hel", "lo"), *tail("end_turn")]


async def stream_of(writer: Writer, events: Sequence[dict[str, Any]]) -> None:
    """A streamed answer; the connection stays."""
    await writer.head(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    for event in events:
        await writer.chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    await writer.end()


async def refuse(writer: Writer, status: int, body: dict[str, Any], headers: str = "") -> None:
    data = json.dumps(body).encode()
    await writer.head(f"HTTP/1.1 {status} No\r\ncontent-length: {len(data)}\r\n{headers}\r\n".encode() + data)


def in_turn(*answers: Sequence[dict[str, Any]]) -> Callable[[Asked, Writer], Any]:
    """Answers each request with the next of these, and then with the last."""
    left = [*answers]

    async def answer(_: Asked, writer: Writer) -> None:
        await stream_of(writer, left.pop(0) if len(left) > 1 else left[0])

    return answer


def client_at(url: str, **options: Any) -> Client:
    return Client("ollama", base_url=url, wire="messages", **{"backoff": 0.001, **options})


async def read(stream: Stream) -> Reply:
    async with stream:
        async for _ in stream:
            pass
    return stream.reply


async def test_an_answer() -> None:
    """The request goes where the format has it, with its version; the reply has what the service said."""
    async with serving(in_turn(HELLO)) as service, client_at(service.url, api_key=KEY) as client:
        reply = await read(client.stream("Hello", model=MODEL, max_tokens=50))
    asked = service.asked[0]
    assert asked.line == "POST /v1/messages HTTP/1.1"
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert asked.body == {
        "model": MODEL,
        "stream": True,
        "max_tokens": 50,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }
    assert (reply.text, reply.finish_reason, reply.wire, reply.request_id) == ("Hello", "end_turn", "messages", "req_1")
    assert (reply.served_model, reply.echo, reply.error) == (f"{MODEL}-20250929", None, None)
    assert replace_read(reply.usage) == Usage(27, 9, 36, None, 5, cache_write_tokens=2)


def replace_read(usage: Usage) -> Usage:
    return Usage(**{**{name: getattr(usage, name) for name in usage.__struct_fields__}, "read": 0})


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        (None, {"authorization": f"Bearer {KEY}", "x-api-key": KEY}),
        ("x-api-key", {"x-api-key": KEY}),
    ],
)
async def test_the_key_in_its_header(own: str | None, sent: dict[str, str]) -> None:
    """A server of one's own gets the key in both headers, a known service in its own alone."""
    async with serving(in_turn(HELLO)) as service:
        row = "http://127.0.0.1:1/v1" if own is None else service.url
        at = replace(provider("ollama"), base_url=row, messages_key_header=own)
        async with Client(at, base_url=service.url, api_key=KEY, wire="messages") as client:
            await read(client.stream("Hello", model=MODEL))
    headers = service.asked[0].headers
    assert {name: headers[name] for name in ("authorization", "x-api-key") if name in headers} == sent


@pytest.mark.parametrize("type", ["overloaded_error", "api_error", "rate_limit_error"])
async def test_an_error_first_is_tried_again(type: str) -> None:
    """Overload often comes inside a stream with status 200: nothing was shown, so it is asked again."""
    async with (
        serving(in_turn([error(type)], [head(), error(type)], HELLO)) as service,
        client_at(service.url) as client,
    ):
        reply = await read(client.stream("Hello", model=MODEL))
    assert (reply.text, reply.timing.retries, reply.error) == ("Hello", 2, None)


async def test_what_it_waits_for_after_an_error_first() -> None:
    """The notice says that the service failed; there was a connection."""
    async with serving(in_turn([error("overloaded_error")])) as service, client_at(service.url, backoff=60.0) as client:
        stream = client.stream("Hello", model=MODEL)
        reading = asyncio.create_task(read(stream))
        async with asyncio.timeout(5):
            while not (notice := stream.progress.notice):  # noqa: ASYNC110  # nothing tells of a notice
                await asyncio.sleep(0.005)
        stream.stop()
        await reading
    assert notice.startswith("the service failed, again in ")


async def test_an_error_in_the_middle_keeps_what_came() -> None:
    """It is not asked again: the reader has seen the beginning."""
    half = [head(), *text(0, "Hel")[:2], error("overloaded_error", "Overloaded")]
    async with serving(in_turn(half)) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model=MODEL)
        with pytest.raises(ServiceUnavailable, match="is overloaded: wait a little and try again"):
            await read(stream)
    assert (stream.reply.text, stream.reply.timing.retries, len(service.asked)) == ("Hel", 0, 1)


async def test_another_answer_in_the_middle_is_an_interruption() -> None:
    """What a gateway joins is no answer of one request."""
    joined = [head(), *text(0, "Hel")[:2], head(id="msg_2"), *text(0, "Other"), *tail("end_turn")]
    async with serving(in_turn(joined)) as service, client_at(service.url) as client:
        stream = client.stream("Hello", model=MODEL)
        with pytest.raises(StreamInterrupted, match="Another answer begins"):
            await read(stream)
    assert (stream.reply.text, stream.reply.finish_reason) == ("Hel", "interrupted")


@pytest.mark.parametrize(
    ("status", "said", "headers", "kind", "words", "tries"),
    [
        (529, error("overloaded_error"), "", ServiceUnavailable, "is overloaded (529)", 2),
        (529, error("overloaded_error"), "x-should-retry: false\r\n", ServiceUnavailable, "is overloaded (529)", 1),
        (413, error("request_too_large"), "", BadRequest, "(413) as too long", 1),
        (429, error("rate_limit_error"), "retry-after-ms: 5\r\n", RateLimited, "takes no more requests", 2),
        (400, error("invalid_request_error", "max_tokens: 9 > 8, which is the maximum"), "", BadRequest, "9 > 8", 1),
        (
            400,
            error("invalid_request_error", "prompt is too long: 9000 tokens > 8000 maximum"),
            "",
            PromptTooLong,
            "",
            1,
        ),
        (
            400,
            {"error": {"code": 400, "message": "No", "type": "invalid_request_error"}},
            "",
            BadRequest,
            "change what it names",
            1,
        ),
    ],
)
async def test_refusals(
    status: int, said: dict[str, Any], headers: str, kind: type[HolystreamError], words: str, tries: int
) -> None:
    """Anthropic's shape of an error and its headers, and OpenAI's shape, which llama.cpp has here too."""

    async def answer(_: Asked, writer: Writer) -> None:
        await refuse(writer, status, said, headers)

    async with serving(answer) as service, client_at(service.url, retries=1) as client:
        stream = client.stream("Hello", model=MODEL)
        with pytest.raises(kind) as caught:
            await read(stream)
    assert words in str(caught.value)
    assert len(service.asked) == tries


async def test_a_field_without_a_place_sends_nothing() -> None:
    """It is said before anything goes out."""
    async with serving(in_turn(HELLO)) as service, client_at(service.url) as client:
        with pytest.raises(SetupError, match="seed has no place in the Messages format"):
            await read(client.stream("Hello", model=MODEL, seed=7))
    assert service.asked == []


async def test_an_unstreamed_answer() -> None:
    """`stream=False` gives the same reply from one JSON object."""
    message = {**head()["message"], "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}
    message["usage"] = {"input_tokens": 20, "output_tokens": 9}

    async def answer(_: Asked, writer: Writer) -> None:
        await refuse(writer, 200, message, "content-type: application/json\r\n")

    async with serving(answer) as service, client_at(service.url) as client:
        reply = await read(client.stream("Hello", model=MODEL, stream=False))
    assert (service.asked[0].body["stream"], reply.text, reply.finish_reason) == (False, "Hello", "end_turn")
    assert (reply.usage.completion_tokens, reply.request_id) == (9, "msg_1")


# --- tools ------------------------------------------------------------------------------------------------------------


@hs.tool
def get_weather(city: str) -> str:
    """Says what the weather is."""
    return f"sunny in {city}"


@hs.tool
def get_time() -> str:
    """Says what time it is."""
    raise ValueError("no clock")


CALLS = [
    head(),
    *text(0, "Let me look."),
    *use(1, "toolu_1", "get_weather", "", '{"city": "Pa', 'ris"}'),
    *use(2, "toolu_2", "get_time", ""),
    *tail("tool_use"),
]


async def test_a_tool_run() -> None:
    """Calls run, also one without arguments; all results go back in one message, and a failure is marked."""
    async with serving(in_turn(CALLS, HELLO)) as service, client_at(service.url) as client:
        reply = await hs.run_tools(client, "Hi", tools=[get_weather, get_time], consent="all", model=MODEL)
    first, second = (asked.body for asked in service.asked)
    assert [tool["name"] for tool in first["tools"]] == ["get_weather", "get_time"]
    assert first["tools"][0]["input_schema"]["required"] == ["city"]
    assert second["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "toolu_2", "name": "get_time", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "sunny in Paris"}],
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "text", "text": "Error: ValueError: no clock"}],
                    "is_error": True,
                },
            ],
        },
    ]
    assert (reply.text, reply.finish_reason) == ("Let me look.\n\nHello", "end_turn")


@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "refusal"])
async def test_a_call_that_breaks_off_does_not_run(reason: str) -> None:
    """Where the answer ends before its time, its last call may not be what the model meant."""
    cut = [head(), *use(0, "toolu_1", "get_weather", '{"city": "P"}'), *tail(reason)]
    async with serving(in_turn(cut)) as service, client_at(service.url) as client:
        run = hs.run_tools(client, "Hi", tools=[get_weather], consent="all", model=MODEL)
        reply = await run
    assert (reply.finish_reason, len(service.asked)) == (reason, 1)
    assert [(call.state, call.error) for call in run.calls] == [
        ("refused", f"not run: the answer ended ({reason}) before the call was whole")
    ]


async def test_thinking_goes_back_with_its_signature() -> None:
    """A reply's echo, put into the assistant's message, is what the service wrote, to the letter and in its order."""
    redacted = {"type": "redacted_thinking", "data": "EmwK"}
    thinks = [
        head(),
        *thinking(0, "Hm.", "EqQB"),
        *block(1, redacted),
        *use(2, "toolu_1", "get_time"),
        *tail("tool_use"),
    ]
    async with serving(in_turn(thinks, HELLO)) as service, client_at(service.url) as client:
        reply = await read(client.stream("Hi", model=MODEL))
        call = {"id": "toolu_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
        conversation = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call], "echo": reply.echo},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "12:00"},
        ]
        await read(client.stream(conversation, model=MODEL))
        await read(client.stream(conversation, model="claude-opus-4-5"))
    own = {"type": "tool_use", "id": "toolu_1", "name": "get_time", "input": {}}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}
    assert (reply.reasoning, [call.name for call in reply.tool_calls]) == ("Hm.", ["get_time"])
    assert service.asked[1].body["messages"][1]["content"] == [thought, redacted, own]
    assert service.asked[2].body["messages"][1]["content"] == [own]


async def test_a_tool_run_that_thinks(simulator: Simulator) -> None:
    """Two rounds of thinking and a call, at a service as strict as Anthropic's: each thought goes back as it came."""
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1", wire="messages") as client:
        run = hs.run_tools(
            client,
            "Use get_weather for Paris and then use get_time",
            tools=[get_weather, get_time],
            consent="all",
            model="claude-sonnet-4.5",
            thinking={"type": "enabled", "budget_tokens": 2_000},
        )
        reply = await run
    assert [(call.name, call.state) for call in run.calls] == [("get_weather", "done"), ("get_time", "failed")]
    assert (reply.finish_reason, len(run.replies)) == ("end_turn", 3)
    assert all(each.reasoning for each in run.replies)


# --- check ------------------------------------------------------------------------------------------------------------


async def test_check_reads_the_format() -> None:
    """The probes of `check` go in the client's format, and its end is known."""

    async def answer(asked: Asked, writer: Writer) -> None:
        if asked.line.startswith("GET"):
            await refuse(writer, 200, {"data": [{"id": MODEL}]})
        elif asked.body["model"] != MODEL:
            await refuse(writer, 404, error("not_found_error", f"model: {asked.body['model']}"))
        elif asked.body.get("tools"):
            assert asked.body["tool_choice"] == {"type": "any"}
            await stream_of(writer, [head(), *use(0, "t", "get_weather", '{"city": "Paris"}'), *tail("tool_use")])
        else:
            await stream_of(writer, HELLO)

    async with serving(answer) as service, client_at(service.url) as client:
        found = await check(client, MODEL, timeout=5)
    assert {row.name for row in found.findings if row.verdict not in ("ok", "unknown")} == set()
    assert found["end"].seen == "finish reason end_turn, then message_stop"
    assert found["format"].seen == 'it is read as wire="messages"'
    assert found["usage"].seen == "27 prompt + 9 output tokens, reported"
    assert found["tools"].seen.startswith("called get_weather(")
    assert found["errors"].seen.startswith("an unknown model is 404")
