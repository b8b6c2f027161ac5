"""Answers over a WebSocket, from a service that does what it likes: the same promises as over server-sent events."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import tracemalloc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from scripted_socket import Peer, Script, Scripted, answer, done, serving, token

from holystream_nb import Client
from holystream_nb.client.stream import Stream
from holystream_nb.errors import (
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    HolystreamError,
    KeyRefused,
    NotAStream,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
    SetupError,
    Stalled,
    StreamInterrupted,
    TooLarge,
)
from holystream_nb.events import Text, ToolCallEnd
from holystream_nb.reply import Reply
from holystream_nb.wire.transport import Response, Transport
from holystream_nb.wire.websocket import Socket, Sockets

KEY = "hs_live_0123456789abcdef"

SSE = (
    b'data: {"choices":[{"delta":{"content":"over SSE"}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """After each test no task of ours runs any more."""
    yield
    for _ in range(100):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.01)
    assert not left


def client_of(service: Scripted, *, keep_s: float = 60, ping_s: float = 30, pong_s: float = 10, **more: Any) -> Client:
    connections = Transport()
    sockets = Sockets(connections, keep_s=keep_s, ping_s=ping_s, pong_s=pong_s)
    more = {"transport": "ws", "backoff": 0.001, "inactivity": 3.0, **more}
    return Client("simulator", base_url=service.url, api_key=KEY, connections=connections, sockets=sockets, **more)


async def read(stream: Stream) -> Reply:
    """One stream to its end, whatever that is."""
    async with asyncio.timeout(15), stream:
        try:
            async for _ in stream:
                pass
        except HolystreamError:
            assert stream.reply.error is not None
    return stream.reply


async def ask(client: Client, prompt: str = "Hello", **more: Any) -> Reply:
    return await read(client.stream(prompt, model="m", **more))


def saying(*texts: str) -> Script:
    """A service that gives every turn this answer."""

    async def script(peer: Peer) -> None:
        while (message := await peer.receive()) is not None:
            if message["type"] == "init":
                await peer.send(*map(token, texts), done())

    return script


async def hello(peer: Peer) -> None:
    await saying("Hel", "lo")(peer)


# A turn


async def test_a_turn_as_the_documents_describe_it() -> None:
    """The handshake carries the key, `init` the request; text, reason and usage come back."""
    got: list[Any] = []

    async def script(peer: Peer) -> None:
        got.append(await peer.receive())
        await peer.send({"type": "start", "id": "req_7"}, token("Hel"), token("lo"), done())
        await peer.receive()

    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client, temperature=0.5)
    assert (reply.text, reply.finish_reason, reply.error, reply.transport) == ("Hello", "stop", None, "ws")
    assert (reply.usage.completion_tokens, reply.usage.exact, reply.request_id) == (2, True, "req_7")
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("GET", "/v1/chat/stream")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert "content-type" not in asked.headers
    assert got == [
        {
            "type": "init",
            "model": "m",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": True,
            "parameters": {"temperature": 0.5},
        }
    ]


async def test_what_came_in_one_read_has_one_stamp_and_sent_is_before_init() -> None:
    """The same definitions as over server-sent events: connecting is in `connect`, not in TTFT."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("a"), token("b"))
        await asyncio.sleep(0.05)
        await peer.send(token("c"), done())
        await peer.receive()

    def slow(asked: Any, count: int) -> None:
        time.sleep(0.05)

    async with serving(script, shake=slow) as service, client_of(service) as client:
        events = []
        async with client.stream("Hello", model="m") as stream:
            async for event in stream:
                events.append(event)
    texts = [event for event in events if isinstance(event, Text)]
    assert texts[0].read == texts[1].read < texts[2].read
    timing = stream.reply.timing
    assert timing.connect_ms is not None
    assert timing.ttft_ms is not None
    assert timing.connect_ms >= 50 > timing.ttft_ms
    assert timing.headers is None


async def test_one_socket_serves_many_turns() -> None:
    """The second turn spends nothing on connecting; streams side by side have a socket each."""
    async with serving(hello) as service, client_of(service) as client:
        replies = [await ask(client) for _ in range(3)]
        assert len(service.peers) == 1
        assert replies[2].timing.connect_ms is not None
        assert replies[2].timing.connect_ms < 20
        assert replies[1].timing.bytes == replies[2].timing.bytes > 0
        replies += await asyncio.gather(*(ask(client) for _ in range(3)))
        assert 1 < len(service.peers) <= 3
        assert await asyncio.gather(ask(client), ask(client, transport="sse", timeout=0.01)) is not None
    assert {reply.text for reply in replies} == {"Hello"}
    assert await service.emptied()


@pytest.mark.parametrize("death", ["close", "cut", "fin", "message", "half", "next turn", "close at next turn"])
async def test_a_socket_that_died_at_rest_is_replaced_without_a_word(death: str) -> None:
    """However it died, the next turn has no error and no retry."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hello"), done())
        if len(service.peers) > 1:
            await peer.receive()
        elif death == "close":
            await peer.close(1001)
        elif death == "cut":
            peer.cut()
        elif death == "fin":
            peer.writer.write_eof()
            await peer.receive()
        elif death == "message":
            await peer.send(token("out of turn"))
            await peer.receive()
        elif death == "half":
            await peer.raw(peer.frame(token("never ends"))[:9])
            await peer.receive()
        else:
            await peer.receive()
            await peer.close() if "close" in death else peer.cut()

    async with serving(script) as service, client_of(service) as client:
        assert (await ask(client)).text == "Hello"
        await asyncio.sleep(0.05)
        reply = await ask(client)
    assert (reply.text, reply.error, reply.timing.retries, len(service.peers)) == ("Hello", None, 0, 2)


async def test_where_turns_have_names_what_comes_before_one_is_left_from_another() -> None:
    """A turn that says something after its end does not say it in the next."""

    async def script(peer: Peer) -> None:
        turns = 0
        while await peer.receive() is not None:
            turns += 1
            if turns == 2:
                await peer.send({"type": "usage", "usage": {"completion_tokens": 2000}}, token("LATE"), done("late"))
            await peer.send({"type": "start", "id": f"req_{turns}"}, token(f"turn {turns}"), {"type": "done"})

    async with serving(script) as service, client_of(service) as client:
        await ask(client)
        reply = await ask(client)
    assert (reply.text, reply.finish_reason, reply.usage.exact) == ("turn 2", "stop", False)
    assert (len(service.peers), reply.request_id) == (1, "req_2")


async def test_an_error_is_heard_also_before_the_name_of_its_turn() -> None:
    """A service that refuses a turn may not give it a name first."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send({"type": "start", "id": "req_1"}, token("Hello"), done())
        await peer.receive()
        await peer.send({"type": "error", "error": {"code": "invalid_request", "message": "no"}})
        await peer.receive()

    async with serving(script) as service, client_of(service) as client:
        await ask(client)
        assert isinstance((await ask(client)).error, BadRequest)


async def test_a_socket_does_not_rest_for_ever() -> None:
    """After its time it is closed, also if nobody asks again."""
    async with serving(hello) as service, client_of(service, keep_s=0.1, ping_s=0.2, pong_s=0.1) as client:
        await ask(client)
        await service.peers[0].left()
        assert service.peers[0].close_code == 1000
        assert (await ask(client)).text == "Hello"
        assert len(service.peers) == 2


async def test_a_resting_socket_answers_pings_and_is_used_again() -> None:
    """A service that asks whether we are there is told so."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hello"), done())
        for _ in range(3):
            await peer.ping()
            await asyncio.sleep(0.1)
        await hello(peer)

    async with serving(script) as service, client_of(service, ping_s=0.08, pong_s=0.08) as client:
        await ask(client)
        await asyncio.sleep(0.4)
        assert (await ask(client)).text == "Hello"
        assert len(service.peers) == 1
        assert service.peers[0].pongs >= 2
        assert service.peers[0].pings >= 2


async def test_resting_sockets_make_room_for_others() -> None:
    """A full pool never waits for what rests."""
    async with serving(hello, post=(answer("200 OK", SSE, "text/event-stream"),)) as service:
        connections = Transport(pool="low")
        sockets = Sockets(connections)
        async with Client(
            "simulator", base_url=service.url, api_key=KEY, connections=connections, sockets=sockets
        ) as client:
            await asyncio.gather(*(ask(client, transport="ws") for _ in range(10)))
            async with asyncio.timeout(5):
                replies = await asyncio.gather(*(ask(client, transport="sse") for _ in range(10)))
    assert {reply.text for reply in replies} == {"over SSE"}


async def test_closing_the_client_closes_running_turns() -> None:
    """A reader comes to the end, and does not hang: what had arrived is kept."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hello"))
        await peer.receive()

    async with serving(script) as service:
        client = client_of(service)
        async with client.stream("Hello", model="m") as stream:
            await anext(stream)
            asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(client.aclose()))
            assert [event async for event in stream] == []
        assert await service.emptied()
    assert (stream.reply.finish_reason, stream.reply.text) == ("stopped", "Hello")


@pytest.mark.slow
async def test_a_forgotten_stream_takes_its_socket_along() -> None:
    """Nobody closed it, and nobody can: the connection does not live on by its pings."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hello"))
        await peer.receive()

    async with serving(script) as service:
        client = client_of(service)
        stream = client.stream("Hello", model="m")
        await anext(stream)
        socket = weakref.ref(stream._answer._socket)  # type: ignore[union-attr]  # nothing public leads there
        del stream
        gc.collect()
        await asyncio.sleep(0.05)
        gc.collect()
        assert socket() is None
        await client.aclose()
        assert await service.emptied()


# The offered socket


def offer(**headers: str) -> bytes:
    return answer("200 OK", **headers)


@pytest.mark.parametrize("name", ["Sec_WebSocket_URL", "Upgrade_URL"])
@pytest.mark.parametrize("address", ["ws://127.0.0.1:PORT/s/1", "http://127.0.0.1:PORT/s/1", "/s/1"])
@pytest.mark.parametrize("transport", ["auto", "ws"])
async def test_the_offered_socket_is_taken(name: str, address: str, transport: str) -> None:
    """Its turn begins by itself; the next one on the same socket is asked for with `init`."""

    async def script(peer: Peer) -> None:
        await peer.send({"type": "token", "content": "first"}, {"type": "done", "finish_reason": "stop"})
        await saying("second")(peer)

    provider = "simulator" if transport == "auto" else "ollama"  # whose row names no socket of its own
    async with (
        serving(script, post=(offer(**{name: address}),)) as service,
        Client(provider, base_url=service.url, api_key=KEY) as client,
    ):
        first = await ask(client, transport=transport)
        second = await ask(client, transport=transport)
    assert (first.text, first.transport, second.text, second.transport) == ("first", "ws", "second", "ws")
    post, get = service.asked
    assert (post.headers["upgrade"], post.json["agent_mode"]) == ("websocket", True)
    assert "connection" not in post.headers or "upgrade" not in post.headers["connection"].lower()
    assert (get.path, get.headers["authorization"]) == ("/s/1", f"Bearer {KEY}")
    assert second.timing.connect_ms is not None
    assert second.timing.connect_ms < 20


async def test_without_an_offer_the_answer_is_the_stream_itself() -> None:
    """One request, no second."""
    async with (
        serving(hello, post=(answer("200 OK", SSE, "text/event-stream"),)) as service,
        client_of(service) as client,
    ):
        reply = await ask(client, transport="auto")
    assert (reply.text, reply.transport, reply.finish_reason) == ("over SSE", "sse", "stop")
    assert len(service.asked) == 1


async def test_ws_where_there_is_no_socket_says_a_word() -> None:
    """Asked for by name and not to be had: the answer comes all the same."""
    posts = (answer("200 OK", SSE, "text/event-stream"),)
    async with (
        serving(hello, post=posts) as service,
        Client("ollama", base_url=service.url, transport="ws") as client,
        client.stream("Hello", model="m") as stream,
    ):
        notices = [stream.progress.notice async for _ in stream]
    assert (stream.reply.text, stream.reply.transport) == ("over SSE", "sse")
    assert "no socket" in notices[0]


@pytest.mark.parametrize(
    "address",
    [
        "wss://evil.example/s/1",
        "ws://evil.example/s/1",
        "ws://127.0.0.1:1/s/1",
        "ws://localhost:PORT/s/1",
        "ws://127.0.0.1:PORT@evil.example/s/1",
        "ws://user:pass@127.0.0.1:PORT/s/1",
        "file:///etc/passwd",
        "ws://[::1",
        "ws://127.0.0.1:PORT/s/1#fragment",
    ],
)
async def test_an_offer_on_a_foreign_host_is_not_taken(address: str) -> None:
    """The answer is asked for over server-sent events, with a word about it, and the key goes nowhere else."""
    posts = offer(Sec_WebSocket_URL=address), answer("200 OK", SSE, "text/event-stream")
    async with (
        serving(hello, post=posts) as service,
        client_of(service, transport="auto") as client,
        client.stream("Hello", model="m") as stream,
    ):
        seen = [stream.progress.notice async for _ in stream]
    assert (stream.reply.text, stream.reply.transport) == ("over SSE", "sse")
    assert "over SSE" in seen[0]
    assert [asked.json.get("agent_mode") for asked in service.asked] == [True, None]


async def test_an_offered_socket_that_cannot_be_opened_goes_on_over_sse() -> None:
    """It has gone, or nobody listens: one more request, and a word about it."""
    posts = offer(Sec_WebSocket_URL="ws://127.0.0.1:PORT/dead"), answer("200 OK", SSE, "text/event-stream")
    async with (
        serving(hello, post=posts, shake=lambda asked, count: answer("404 Not Found")) as service,
        client_of(service, transport="auto") as client,
        client.stream("Hello", model="m") as stream,
    ):
        notices = [stream.progress.notice async for _ in stream]
    assert (stream.reply.text, stream.reply.transport, stream.reply.timing.retries) == ("over SSE", "sse", 0)
    assert "could not be opened" in notices[0]
    assert [asked.method for asked in service.asked] == ["POST", "GET", "POST"]


@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable", "426 Upgrade Required", "501 No"])
async def test_a_service_that_does_not_know_the_offer_is_asked_again_without(status: str) -> None:
    """It refuses the field: the ordinary request follows, and the client remembers."""
    refusal = answer(status, b'{"error": {"message": "Unrecognized request argument: agent_mode"}}')
    posts = refusal, answer("200 OK", SSE, "text/event-stream")
    async with serving(hello, post=posts) as service, client_of(service, transport="auto") as client:
        assert (await ask(client)).text == "over SSE"
        assert (await ask(client)).text == "over SSE"
    assert [asked.json.get("agent_mode") for asked in service.asked] == [True, None, None]


async def test_a_refusal_for_another_reason_stays_what_it_is() -> None:
    """The second request's own error is what the user sees."""
    refusal = answer("400 Bad Request", b'{"error": {"message": "max_tokens is too large"}}')
    async with serving(hello, post=(refusal,)) as service, client_of(service, transport="auto") as client:
        reply = await ask(client)
    assert isinstance(reply.error, BadRequest)
    assert "max_tokens" in str(reply.error)


# Handshakes that are refused


@pytest.mark.parametrize(
    ("refusal", "kind", "handshakes"),
    [
        (answer("401 Unauthorized", b'{"error": {"message": "no"}}'), KeyRefused, 1),
        (answer("403 Forbidden"), KeyRefused, 1),
        (answer("404 Not Found", b"<html>nginx</html>", "text/html"), ServiceError, 1),
        (answer("429 Too Many Requests", Retry_After="0"), RateLimited, 4),
        (answer("503 Service Unavailable", b"<html>"), ServiceUnavailable, 4),
        (answer("200 OK", b"<html><body>Please log in</body></html>", "text/html"), ServiceError, 1),
        (answer("302 Found", Location="https://evil.example/"), ServiceError, 1),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", ServiceError, 1),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n", HolystreamError, None),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", StreamInterrupted, 4),
    ],
)
async def test_a_refused_handshake_is_one_clear_error(
    refusal: bytes, kind: type[HolystreamError], handshakes: int | None
) -> None:
    """In the same classes as over HTTP; what may pass is tried three times more."""
    async with serving(hello, shake=lambda asked, count: refusal) as service, client_of(service) as client:
        reply = await ask(client)
        assert isinstance(reply.error, kind)
        assert (reply.text, reply.finish_reason, reply.transport) == ("", "", "ws")
        assert handshakes in (None, len(service.asked))
        assert KEY not in str(reply.error)
        assert await service.emptied()


@pytest.mark.parametrize(
    ("location", "address"),
    [
        (f"https://evil.example/?k={KEY}", "https://evil.example,"),
        (f"//user:{KEY}@evil.example:8443/{KEY}", "http://evil.example:8443,"),
        (f"https://{KEY}.evil.example/", "https://….evil.example,"),
        (f"/{KEY}", "http://127.0.0.1:"),
        (f"http://[{KEY}", "another address,"),
    ],
)
async def test_a_redirect_is_named_by_its_host_alone(location: str, address: str) -> None:
    """A service may put the key it was sent into the address."""
    async with (
        serving(hello, post=(answer("307 Temporary Redirect", Location=location),)) as service,
        client_of(service, transport="sse") as client,
    ):
        reply = await ask(client)
    assert isinstance(reply.error, ServiceError)
    assert f"redirects to {address}" in str(reply.error)
    assert KEY not in str(reply.error)


async def test_nobody_listens() -> None:
    """A refused connection on this machine is one sentence with the host, at once."""
    async with Client(
        "simulator", base_url="http://127.0.0.1:9/v1", api_key=KEY, transport="ws", backoff=0.001
    ) as client:
        reply = await ask(client)
    assert isinstance(reply.error, ConnectionFailed)
    assert reply.timing.retries == 0


@pytest.mark.slow
async def test_retry_after_of_a_handshake_is_obeyed() -> None:
    """As over HTTP: the pause is in `queue`."""
    busy = answer("429 Too Many Requests", Retry_After="1")
    async with (
        serving(hello, shake=lambda asked, count: None if count else busy) as service,
        client_of(service) as client,
    ):
        reply = await ask(client)
    assert (reply.text, reply.timing.retries) == ("Hello", 1)
    assert reply.timing.queue_ms is not None
    assert reply.timing.queue_ms >= 1000


@pytest.mark.parametrize("url", ["http://api.example.com/v1", "http://192.168.0.7:8000/v1"])
async def test_an_unencrypted_socket_over_a_network_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ws` is for this machine only; nothing is sent."""
    (tmp_path / "providers.toml").write_text(f'[lan]\nbase_url = "{url}"\nwebsocket = "/socket"\n')
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(tmp_path / "providers.toml"))
    monkeypatch.setattr(Transport, "_send", None)
    async with Client("lan", transport="ws") as client:
        reply = await ask(client)
    assert isinstance(reply.error, SetupError)


# Connections that break


@pytest.mark.parametrize("cuts", [1, 3, 4])
async def test_reconnecting_before_the_first_output(cuts: int) -> None:
    """Three more attempts, then the error."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        if len(service.peers) <= cuts:
            peer.cut()
        else:
            await peer.send(token("Hello"), done())
            await peer.receive()

    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client)
    assert reply.timing.retries == min(cuts, 3)
    assert len(service.peers) == min(cuts, 3) + 1
    if cuts > 3:
        assert isinstance(reply.error, StreamInterrupted)
    else:
        assert (reply.text, reply.error) == ("Hello", None)


@pytest.mark.parametrize("end", ["cut", "fin"])
async def test_nothing_is_asked_again_after_the_first_output(end: str) -> None:
    """The text stays, and says that it was interrupted."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hel"))
        await asyncio.sleep(0.05)
        peer.cut() if end == "cut" else peer.writer.close()

    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client)
    assert isinstance(reply.error, StreamInterrupted)
    assert (reply.text, reply.finish_reason, len(service.peers), reply.usage.exact) == ("Hel", "interrupted", 1, False)


@pytest.mark.parametrize(
    ("code", "kind", "attempts"),
    [
        (1000, None, 1),
        (1001, ServiceUnavailable, 4),
        (1008, KeyRefused, 1),
        (4401, KeyRefused, 1),
        (4403, KeyRefused, 1),
        (4429, RateLimited, 4),
        (1013, RateLimited, 4),
        (1009, BadRequest, 1),
        (1011, ServiceUnavailable, 4),
    ],
)
@pytest.mark.parametrize("has_spoken", [False, True])
async def test_close_codes(code: int, kind: type[HolystreamError] | None, attempts: int, has_spoken: bool) -> None:
    """What each means, before the first output and after it."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        if has_spoken:
            await peer.send(token("Hel"))
        await peer.close(code, "because")

    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client)
    assert (reply.error is None) if kind is None else isinstance(reply.error, kind)
    assert reply.text == ("Hel" if has_spoken else "")
    assert len(service.peers) == (1 if has_spoken else attempts)
    assert reply.finish_reason == ("truncated" if has_spoken or kind is None else "")


# Life


@pytest.mark.slow
@pytest.mark.parametrize("how", ["at once", "late", "after a message"])
async def test_a_kept_socket_that_dies_is_asked_again_only_at_once_and_unread(how: str) -> None:
    """The service had closed it, and the close was on its way: a new socket, at once, once; else it is a failure."""
    opened: list[Peer] = []

    async def script(peer: Peer) -> None:
        opened.append(peer)
        await peer.receive()
        await peer.send(token("Hello"), done())
        await peer.receive()
        if len(opened) > 1:
            return
        if how == "late":
            await asyncio.sleep(1.1)
        elif how == "after a message":
            await peer.send({"type": "start", "id": "req_2"})
        peer.writer.transport.abort()

    async with serving(script) as service, client_of(service, retries=0) as client:
        first, second = await ask(client), await ask(client)
    assert (first.text, first.timing.resent) == ("Hello", 0)
    if how == "at once":
        assert (second.text, second.error, second.timing.resent, second.timing.retries) == ("Hello", None, 1, 0)
    else:
        assert isinstance(second.error, StreamInterrupted)
        assert (second.timing.resent, len(opened)) == (0, 1)


async def test_a_kept_socket_that_takes_nothing_counts_where_the_answer_is_asked_for_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the service offers no other socket then, or one again: the request went out once more."""

    async def dead(*_: object) -> tuple[None, int]:
        return None, 1

    monkeypatch.setattr("holystream_nb.client.attempt.on_kept_socket", dead)
    post = answer("200 OK", SSE, "text/event-stream")
    async with serving(hello, post=(post,)) as service, client_of(service, transport="auto") as client:
        reply = await read(client.stream("Hello", model="m"))
    assert (reply.text, reply.timing.resent, reply.timing.retries) == ("over SSE", 1, 0)


async def test_a_service_that_answers_no_ping_is_dead() -> None:
    """Before the first output it is asked again elsewhere, after it the answer is interrupted."""

    async def script(peer: Peer) -> None:
        peer.is_mute = True
        await peer.receive()
        if len(service.peers) > 1:
            await peer.send(token("Hel"))
        await peer.receive()

    async with serving(script) as service, client_of(service, ping_s=0.1, pong_s=0.1, inactivity=30) as client:
        reply = await ask(client)
        assert await service.emptied()
    assert isinstance(reply.error, StreamInterrupted)
    assert "ping" in str(reply.error)
    assert (reply.text, reply.finish_reason, reply.timing.retries) == ("Hel", "interrupted", 1)


@pytest.mark.slow
async def test_any_bytes_are_life() -> None:
    """A service that answers no ping and yet sends something is not dead."""

    async def script(peer: Peer) -> None:
        peer.is_mute = True
        await peer.receive()
        for i in range(12):
            await peer.send(token(f"{i} "))
            await asyncio.sleep(0.05)
        await peer.send(done())
        await peer.receive()

    async with serving(script) as service, client_of(service, ping_s=0.1, pong_s=0.1) as client:
        reply = await ask(client)
    assert (reply.finish_reason, reply.error) == ("stop", None)


async def test_no_ping_is_judged_while_the_reader_is_slow() -> None:
    """What waits to be read is life, however long it waits."""

    async def script(peer: Peer) -> None:
        peer.is_mute = True
        await peer.receive()
        await peer.send(token("a"))
        await asyncio.sleep(0.05)
        await peer.send(token("b"))
        await asyncio.sleep(0.05)
        await peer.send(token("c"), done())
        await peer.receive()

    async with (
        serving(script) as service,
        client_of(service, ping_s=0.1, pong_s=0.1) as client,
        client.stream("Hello", model="m") as stream,
    ):
        await anext(stream)
        await asyncio.sleep(0.6)
        async for _ in stream:
            pass
    assert (stream.reply.text, stream.reply.finish_reason) == ("abc", "stop")


class Ponging:
    """A connection that gives a pong when it is told to, not before."""

    host, headers, permit, sent, headers_at, last_read, opening = "simulator", {}, 0, 0, 0, 0, None

    def __init__(self) -> None:
        self.stream = self
        self.written = asyncio.Event()
        self.came = asyncio.Event()
        self.is_closed = False
        self.looks = 0
        self.is_readable_at = 0

    async def read(self, limit: int, timeout: float | None) -> bytes:
        self.looks += 1
        try:
            await asyncio.wait_for(self.came.wait(), timeout)
        except TimeoutError:
            if self.looks == self.is_readable_at:
                self.came.set()
            raise Stalled("Nothing came.") from None
        if self.is_closed:
            return b""
        self.came.clear()
        self.last_read = time.perf_counter_ns()
        return b"\x8a\x00"

    async def write(self, data: bytes, timeout: float) -> None:
        self.written.set()

    def get_extra_info(self, name: str) -> bool:
        return self.looks == self.is_readable_at and self.looks > 0

    async def aclose(self) -> None:
        self.is_closed = True
        self.came.set()


@pytest.mark.parametrize("reads", [True, False], ids=["in a turn", "at rest"])
async def test_no_ping_is_judged_because_our_own_loop_stood(reads: bool) -> None:
    """A cell that computes for longer than an answer may take has not made the service dead."""
    connection = Ponging()
    socket = Socket(cast(Response, connection), ping_s=0.04, pong_s=0.02)
    turn = asyncio.create_task(socket.read(None)) if reads else None
    await connection.written.wait()
    # Whatever has come is handed over before the timers run, and read only after them.
    asyncio.get_running_loop().call_soon(connection.came.set)
    connection.written.clear()
    time.sleep(0.1)  # noqa: ASYNC251  # the cell
    async with asyncio.timeout(5):
        await connection.written.wait()
        assert socket.is_open
        while socket.is_open:  # noqa: ASYNC110  # no further ping is answered
            await asyncio.sleep(0.01)
        if turn is not None:
            with pytest.raises(StreamInterrupted, match="ping"):
                await turn
    await socket.aclose()


async def test_a_pong_that_comes_as_a_socket_wakes_is_no_word_of_the_service() -> None:
    """It serves the next turn."""
    connection = Ponging()
    connection.is_readable_at = 1
    socket = Socket(cast(Response, connection))
    socket.rest(60)
    assert await socket.wakes()
    assert connection.looks == 3
    await socket.aclose()


async def test_the_answers_to_our_own_pings_do_not_hide_a_silence() -> None:
    """A service that only answers pings is stalled, as one that keeps a connection open and says nothing."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hel"))
        await peer.receive()

    async with serving(script) as service, client_of(service, ping_s=0.05, pong_s=0.05, inactivity=0.3) as client:
        reply = await ask(client)
        assert service.peers[0].pings >= 2
    assert isinstance(reply.error, Stalled)
    assert (reply.text, reply.finish_reason, reply.timing.retries) == ("Hel", "interrupted", 0)


@pytest.mark.slow
async def test_the_services_own_pings_are_life_and_are_answered() -> None:
    """As comments are over server-sent events."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        for _ in range(6):
            await asyncio.sleep(0.1)
            await peer.ping()
        await peer.send(token("Hello"), done())
        await peer.receive()

    async with serving(script) as service, client_of(service, inactivity=0.3) as client:
        reply = await ask(client)
        assert service.peers[0].pongs >= 5
    assert reply.text == "Hello"


@pytest.mark.slow
async def test_a_slow_reader_slows_the_socket() -> None:
    """Of 100 MB that a service would send, only what the system's own buffers hold is taken; nothing piles up here."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        piece = peer.frame(token("x" * 100_000))
        for _ in range(1000):
            await peer.raw(piece)

    async with (
        serving(script) as service,
        client_of(service, ping_s=0.1, pong_s=0.1) as client,
        client.stream("Hello", model="m") as stream,
    ):
        await anext(stream)
        await asyncio.sleep(0.1)
        tracemalloc.start()
        for _ in range(5):
            await anext(stream)
            await asyncio.sleep(0.1)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert service.peers[0].written < 16_000_000
        assert stream.reply.timing.bytes < 2_000_000
        assert held < 4_000_000


async def test_an_answer_over_the_limit_ends_with_its_text_kept() -> None:
    """Also where it is one message without end."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hello"))
        with_end = peer.frame('{"type": "token", "content": "', is_last=False)
        await peer.raw(with_end)
        while peer.left_ns is None:
            await peer.raw(peer.frame("x" * 10_000, is_last=False))

    async with serving(script) as service, client_of(service, max_bytes=100_000) as client:
        reply = await ask(client)
    assert isinstance(reply.error, TooLarge)
    assert (reply.text, reply.finish_reason) == ("Hello", "truncated")
    assert reply.timing.bytes < 300_000


async def test_the_deadline_ends_the_whole_answer() -> None:
    """With its own error, and the socket closed."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        while peer.left_ns is None:
            await peer.send(token("x"))
            await asyncio.sleep(0.02)

    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client, timeout=0.2)
        await service.peers[0].left()
    assert isinstance(reply.error, DeadlineExceeded)
    assert reply.text


# Stop


@pytest.mark.parametrize("is_reading", [True, False])
@pytest.mark.parametrize("obeys", [True, False])
@pytest.mark.flaky(reruns=2)  # a busy machine may be late
async def test_stop_reaches_the_service_within_100_ms(is_reading: bool, obeys: bool) -> None:
    """A service that ends the turn at once keeps its socket; from another the connection is closed."""
    cancelled: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hel"))
        while (message := await peer.receive()) is not None:
            if message["type"] == "cancel":
                cancelled.append(time.perf_counter_ns())
                if obeys:
                    await peer.send(token("late"), done("cancelled"))
            else:
                await peer.send(token("next"), done())

    async with (
        serving(script) as service,
        client_of(service) as client,
        client.stream("Hello", model="m") as stream,
    ):
        await anext(stream)
        if is_reading:
            asyncio.get_running_loop().call_later(0.05, stream.stop)
            stopped = time.perf_counter_ns() + 50_000_000
        else:
            stopped = time.perf_counter_ns()
            stream.stop()
            await asyncio.sleep(0.15)
        assert [event async for event in stream] == []
        assert (stream.reply.text, stream.reply.finish_reason, stream.reply.error) == ("Hel", "stopped", None)
        if obeys:
            assert (cancelled[0] - stopped) / 1e6 < 100
        else:
            assert (await service.peers[0].left() - stopped) / 1e6 < 150
        assert (await ask(client, stop_after=1)).text == ("next" if obeys else "Hel")
        assert len(service.peers) == (1 if obeys else 2)


async def test_an_end_that_crosses_the_stop_does_not_leave_the_stop_s_own_to_the_next_turn() -> None:
    """The service had ended the turn before the cancel came: its answer to that ends nothing else."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("one"))
        if len(service.peers) == 1:
            assert (await peer.receive())["type"] == "cancel"
            await peer.send(done("stop"))
            if await peer.receive() is not None:
                await peer.send(done("cancelled"))
        await peer.send(done("stop"))
        await peer.receive()

    async with serving(script) as service, client_of(service) as client:
        async with client.stream("Hello", model="m") as stream:
            await anext(stream)
            stream.stop()
            await stream.aclose()
        reply = await ask(client)
        assert (reply.text, reply.finish_reason) == ("one", "stop")
        assert len(service.peers) == 2


@pytest.mark.slow
async def test_a_cancel_is_sent_once() -> None:
    """Also where the service does not answer the one that ends a turn of unanswered calls."""
    got: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(call())
        while (message := await peer.receive()) is not None:
            got.append(message["type"])

    async with serving(script) as service, client_of(service, inactivity=30) as client:
        assert (await ask(client)).finish_reason == "tool_calls"
        await service.peers[0].left()
    assert got == ["cancel"]


async def test_stop_after_some_tokens_and_a_break() -> None:
    """Both end the turn at the service."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        while peer.left_ns is None:
            await peer.send(token("x"))
            await asyncio.sleep(0.005)

    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client, stop_after=5)
        assert reply.finish_reason == "length"
        assert 5 <= len(reply.text) < 50
        async with client.stream("Hello", model="m") as stream:
            async for _ in stream:
                break
        assert stream.reply.finish_reason == "stopped"
        for peer in service.peers:
            await peer.left()


async def test_stop_before_the_socket_is_open() -> None:
    """A handshake that hangs ends at the stop."""

    def hang(asked: Any, count: int) -> bytes:
        return b""

    async def script(peer: Peer) -> None: ...

    async with (
        serving(script, shake=hang) as service,
        client_of(service) as client,
        client.stream("Hello", model="m") as stream,
    ):
        asyncio.get_running_loop().call_later(0.05, stream.stop)
        async with asyncio.timeout(5):
            assert [event async for event in stream] == []
    assert (stream.reply.finish_reason, stream.reply.error) == ("stopped", None)


async def test_a_cancelled_task_closes_the_socket() -> None:
    """■ arrives as a cancellation: it goes on, and leaves a `stopped` reply."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(token("Hel"))
        while await peer.receive() is not None:
            pass

    async with serving(script) as service, client_of(service) as client:
        stream = client.stream("Hello", model="m")
        task = asyncio.create_task(read(stream))
        while not service.peers or not stream.reply.text:  # noqa: ASYNC110  # tests poll
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await service.peers[0].left()
    assert (stream.reply.text, stream.reply.finish_reason) == ("Hel", "stopped")


# Frames


@pytest.mark.parametrize(
    "bad",
    [
        b"\x81\x02\xff\xfe",  # text that is not UTF-8
        b"\x83\x00",  # an opcode that does not exist
        b"\xf1\x02hi",  # reserved bits
        b"\x81\x80abcd",  # masked, which a server never does
        b"\x80\x02hi",  # the continuation of nothing
        b"\x89\x7e\x01\x00" + b"x" * 256,  # a control frame that is too long
    ],
)
async def test_bytes_that_are_no_message_end_in_one_error(bad: bytes) -> None:
    """After the text that came before them, in the same read."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.raw(peer.frame(token("Hel")) + bad + peer.frame(token("lo")))
        heard.append(await peer.receive())

    heard: list[Any] = []
    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client)
        assert await service.emptied()
    assert heard == [None]  # the client has left; a cancel could not be answered so that it is understood
    assert isinstance(reply.error, NotAStream)
    assert (reply.text, reply.finish_reason) == ("Hel", "truncated")


@pytest.mark.parametrize("strict", [False, True])
async def test_text_that_is_no_message_is_counted(strict: bool) -> None:
    """The rest is kept; a strict reader gets an error instead of it, which does not blame the address."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.raw(peer.frame(token("Hel")) + b"\x81\x04oops" + peer.frame(token("lo")))
        await peer.send({"type": "done", "finish_reason": "stop"})

    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client, strict=strict)
    assert (reply.text, reply.unreadable) == ("Hel" if strict else "Hello", 1)
    assert (type(reply.error) if strict else reply.error) == (NotAStream if strict else None)
    assert "base URL" not in str(reply.error)


async def test_fragments_and_reads_at_any_byte() -> None:
    """Characters, frames and messages cut anywhere come out whole."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        data = b""
        for message in (token("🐑 漢"), token("é."), done()):
            text = json.dumps(message, ensure_ascii=False)
            data += b"".join(peer.frame(letter, is_last=False) for letter in text) + peer.frame("")
        for i in range(len(data)):
            await peer.raw(data[i : i + 1])
            if not i % 50:
                await asyncio.sleep(0)
        await peer.receive()

    async with serving(script) as service, client_of(service) as client:
        reply = await ask(client)
    assert (reply.text, reply.finish_reason, reply.error) == ("🐑 漢é.", "stop", None)


@pytest.mark.slow
async def test_a_cut_at_every_byte_keeps_what_was_whole() -> None:
    """Never a hang, never a lost or doubled character, at any byte of a turn."""
    texts = ["Hel", "lo ", "🐑", "!"]

    async def script(peer: Peer) -> None:
        await peer.receive()
        frames = [peer.frame(message) for message in (*map(token, texts), done())]
        whole = b"".join(frames)
        cut = cuts[0]
        ends = [len(b"".join(frames[: i + 1])) for i in range(len(frames))]
        sizes.append((len(whole), sum(end <= cut for end in ends)))
        await peer.raw(whole[:cut])
        peer.writer.close()

    sizes: list[tuple[int, int]] = []
    cuts = [0]
    async with serving(script) as service, client_of(service, retries=0) as client:
        while not sizes or cuts[0] <= sizes[0][0]:
            reply = await ask(client)
            complete = sizes[-1][1]
            assert reply.text == "".join(texts[:complete])
            assert (reply.error is None) == (complete == 5)
            cuts[0] += 1


# Tools


def call(status: str | None = None, id: str = "c1", index: int = 0) -> dict[str, Any]:
    message = {
        "type": "function_call",
        "call_id": id,
        "index": index,
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
    }
    return message if status is None else {**message, "status": status}


@pytest.mark.slow
async def test_calls_end_the_answer_of_a_stream_that_cannot_answer_them() -> None:
    """A moment after the last one, with the reason that server-sent events give; the turn is cancelled."""
    got: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(call())
        await asyncio.sleep(0.1)
        await peer.send(call(id="c2", index=1))
        got.append((await peer.receive())["type"])
        await peer.send(done("cancelled"))
        await peer.receive()

    async with serving(script) as service, client_of(service, inactivity=30) as client:
        reply = await ask(client)
    assert (reply.finish_reason, [each.id for each in reply.tool_calls], got) == (
        "tool_calls",
        ["c1", "c2"],
        ["cancel"],
    )


@pytest.mark.slow
async def test_a_connection_answers_calls_in_the_middle_of_the_turn() -> None:
    """The result goes back on the socket, and the same turn goes on; meanwhile silence has no limit."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(call())
        result = await peer.receive()
        assert isinstance(result["timestamp"], int)
        await peer.send(token(f"It is {result['payload']['result']}."), done())
        await peer.receive()

    async with (
        serving(script) as service,
        client_of(service, inactivity=0.2) as client,
        client.connect(model="m") as connection,
    ):
        await connection.send("Weather?")

        async def run_tool() -> None:
            await asyncio.sleep(0.5)
            await connection.send_event("tool_result", {"call_id": "c1", "tool": "weather", "result": "cold"})

        tasks = []
        async for event in connection:
            if isinstance(event, ToolCallEnd):
                tasks.append(asyncio.create_task(run_tool()))
        await asyncio.gather(*tasks)
    assert (connection.reply.text, connection.reply.finish_reason) == ("It is cold.", "stop")
    assert connection.reply.tool_calls[0].arguments == '{"city": "Oslo"}'


async def test_a_service_that_goes_silent_within_a_call_is_not_waited_for() -> None:
    """Also if an earlier call of the round is still to be answered: it is not for us to speak."""

    async def script(peer: Peer) -> None:
        await peer.receive()
        await peer.send(call(), call("in_progress", id="c2", index=1))
        while await peer.receive() is not None:
            pass

    async with (
        serving(script) as service,
        client_of(service, inactivity=0.2) as client,
        client.connect(model="m") as connection,
    ):
        await connection.send("Weather?")
        async with asyncio.timeout(5):
            with pytest.raises(Stalled):
                async for _ in connection:
                    pass
