"""Responses over server-sent events, from a service that a test writes byte by byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from raw_service import Asked, Service, Writer, serving

from holystream_nb import Client
from holystream_nb.client.check import check
from holystream_nb.client.stream import Stream
from holystream_nb.errors import (
    BadRequest,
    HolystreamError,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
    StreamInterrupted,
    UnknownModel,
)
from holystream_nb.reply import Reply

KEY = "hs_live_0123456789abcdef"


def of(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def answer(text: str = "Hello", *, before: Sequence[Any] = (), after: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The events of a whole answer: items `before` its message, and `after` it."""
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
    }
    output = [*before, message, *after]
    events = [of("created", response={"id": "resp_1", "model": "m-1"})]
    events += [of("output_item.done", output_index=place, item=item) for place, item in enumerate(before)]
    events += [of("output_text.delta", output_index=len(before), delta=piece) for piece in (text[:2], text[2:])]
    events += [
        of("output_item.done", output_index=place, item=item)
        for place, item in enumerate(output)
        if place >= len(before)
    ]
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    return [*events, of("completed", response={"id": "resp_1", "status": "completed", "output": [], "usage": usage})]


async def write(writer: Writer, events: Sequence[Any]) -> None:
    await writer.head()
    for event in events:
        await writer.event(event)
    await writer.end()


def client_of(service: Service, **more: Any) -> Client:
    return Client("simulator", base_url=service.url, api_key=KEY, wire="responses", backoff=0.001, **more)


async def read(stream: Stream) -> Reply:
    async with stream:
        try:
            async for _ in stream:
                pass
        except HolystreamError:
            assert stream.reply.error is not None
    return stream.reply


async def test_a_request_and_its_answer() -> None:
    """The path, the key and the items go out; text, usage, model and the whole end come back."""

    async def play(asked: Asked, writer: Writer) -> None:
        await write(writer, answer())

    async with serving(play) as service, client_of(service) as client:
        reply = await read(
            client.stream(
                [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}], model="m", max_tokens=9
            )
        )
        again = await read(client.stream("Hi", model="m"))
    asked = service.asked[0]
    assert asked.line == "POST /v1/responses HTTP/1.1"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "m",
        "instructions": "Be short.",
        "input": [{"role": "user", "content": "Hi"}],
        "max_output_tokens": 9,
        "store": False,
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }
    assert (reply.text, reply.finish_reason, reply.error, reply.wire, reply.transport) == (
        "Hello",
        "stop",
        None,
        "responses",
        "sse",
    )
    assert (reply.served_model, reply.usage.total_tokens, reply.usage.exact) == ("m-1", 7, True)
    assert (again.text, service.connections) == ("Hello", 1)


async def test_the_next_request_carries_the_output_items_unchanged() -> None:
    """Encrypted reasoning goes back to the service and model that made it, and to no other."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAwhole=="}

    async def play(asked: Asked, writer: Writer) -> None:
        await write(writer, answer(before=[thought]))

    async with serving(play) as service, client_of(service) as client:
        first = await read(client.stream("Hi", model="m"))
        said = {"role": "assistant", "content": first.text, "echo": first.echo}
        messages = [{"role": "user", "content": "Hi"}, said, {"role": "user", "content": "And?"}]
        await read(client.stream(messages, model="m"))
        await read(client.stream(messages, model="other"))
        await read(client.stream(messages, model="m", wire="chat"))
    items = service.asked[1].body["input"]
    assert items[1] == thought
    assert [item.get("type") for item in items] == [None, "reasoning", "message", None]
    assert [item.get("type") for item in service.asked[2].body["input"]] == [None, "message", None]
    assert "gAAA" not in json.dumps(service.asked[3].body)


async def test_an_answer_that_was_not_streamed() -> None:
    """stream=False asks for the whole response at once."""

    async def play(asked: Asked, writer: Writer) -> None:
        assert asked.body["stream"] is False
        message = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
        body = json.dumps({"id": "resp_1", "status": "completed", "output": [message]}).encode()
        writer.raw.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )

    async with serving(play) as service, client_of(service) as client:
        reply = await read(client.stream("Hi", model="m", stream=False))
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")


@pytest.mark.parametrize(
    ("last", "error"),
    [
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "slow"}}, RateLimited),
        (of("failed", response={"error": {"code": "server_error", "message": "sorry"}}), ServiceUnavailable),
    ],
)
async def test_an_error_in_the_stream_keeps_what_had_arrived(last: Any, error: type[HolystreamError]) -> None:
    """Inside a 200: it is raised once, and nothing is asked again after output."""

    async def play(asked: Asked, writer: Writer) -> None:
        await write(writer, [*answer()[:3], last, of("failed", response={"error": {"message": "again"}})])

    async with serving(play) as service, client_of(service) as client:
        reply = await read(client.stream("Hi", model="m"))
    assert (reply.text, len(service.asked)) == ("Hello", 1)
    assert isinstance(reply.error, error)


async def test_an_error_before_any_output_is_tried_again() -> None:
    """An overload is often the first event of a stream that said 200."""

    async def play(asked: Asked, writer: Writer) -> None:
        first = [{"type": "error", "error": {"code": "server_is_overloaded", "message": "busy"}}]
        await write(writer, first if len(service.asked) == 1 else answer())

    async with serving(play) as service, client_of(service) as client:
        reply = await read(client.stream("Hi", model="m"))
    assert (reply.text, reply.error, reply.timing.retries) == ("Hello", None, 1)


async def test_a_stream_without_its_terminal_event_is_truncated() -> None:
    """Its end is no end, whatever the connection says; strict raises."""

    async def play(asked: Asked, writer: Writer) -> None:
        await write(writer, answer()[:3])

    async with serving(play) as service, client_of(service) as client:
        assert (await read(client.stream("Hi", model="m"))).finish_reason == "truncated"
        assert isinstance((await read(client.stream("Hi", model="m", strict=True))).error, StreamInterrupted)


async def test_a_refusal_is_one_sentence() -> None:
    """The service's own words are in it."""

    async def play(asked: Asked, writer: Writer) -> None:
        body = json.dumps({"error": {"message": "Unknown parameter: 'sparkle'.", "code": "unknown_parameter"}}).encode()
        writer.raw.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with serving(play) as service, client_of(service) as client:
        reply = await read(client.stream("Hi", model="m", parameters={"sparkle": 1}))
    assert isinstance(reply.error, BadRequest)
    assert "Unknown parameter: 'sparkle'." in str(reply.error)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (b"404 page not found", ServiceError, 'so it may not speak this format: use wire="chat", or check the'),
        (b'{"detail":"Not Found"}', ServiceError, "has no /responses at this address"),
        (b'{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}', UnknownModel, "model"),
    ],
)
async def test_a_service_without_the_format_is_no_unknown_model(
    said: bytes, kind: type[HolystreamError], words: str
) -> None:
    """An address that is not there says nothing about the model."""

    async def play(asked: Asked, writer: Writer) -> None:
        writer.raw.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n" % len(said) + said)

    async with serving(play) as service, client_of(service) as client:
        reply = await read(client.stream("Hi", model="m"))
    assert type(reply.error) is kind
    assert words in str(reply.error)


async def test_no_socket_is_asked_for_in_the_request() -> None:
    """`auto` takes what a service offers in its answer, which none does here: the request is an ordinary one."""

    async def play(asked: Asked, writer: Writer) -> None:
        await write(writer, answer())

    async with serving(play) as service, client_of(service, transport="auto") as client:
        reply = await read(client.stream("Hi", model="m"))
    assert (reply.transport, "upgrade" in service.asked[0].headers, "agent_mode" in service.asked[0].body) == (
        "sse",
        False,
        False,
    )


async def test_ws_is_answered_over_sse_where_a_provider_has_no_socket() -> None:
    """A server of one's own, of which nobody has said that it has one; the reader is told."""

    async def play(asked: Asked, writer: Writer) -> None:
        await write(writer, answer())

    async with (
        serving(play) as service,
        Client("ollama", base_url=service.url, wire="responses", transport="ws") as client,
    ):
        stream = client.stream("Hi", model="m")
        await stream.begin()
        assert stream.progress.notice == "no socket is offered: over SSE"
        assert (await read(stream)).transport == "sse"


@pytest.mark.parametrize("end", ["completed", "incomplete"])
async def test_check_knows_the_ends_of_the_format(end: str) -> None:
    """Its probe is cut by a limit of its own: `response.incomplete` is an end like another."""

    async def play(asked: Asked, writer: Writer) -> None:
        why = {"reason": "max_output_tokens"} if end == "incomplete" else None
        last = of(end, response={"id": "resp_1", "status": end, "incomplete_details": why})
        await write(writer, [*answer()[:-1], last])

    async with serving(play) as service, client_of(service) as client:
        found = await check(client, "m", timeout=5)
    assert (found["end"].verdict, found["end"].seen.partition(", ")[2]) == ("ok", f"then response.{end}")
