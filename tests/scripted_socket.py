"""A scripted WebSocket service in the test's own loop, for what no decent server does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError, generate_accept_token

Script = Callable[["Peer"], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Peer:
    """The server's side of one socket. `left_ns` is when the client said that it leaves, or was gone."""

    def __init__(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked = asked
        self.writer = writer
        self.is_mute = False
        self.pongs = 0
        self.pings = 0
        self.written = 0
        self.close_code: int | None = None
        self.left_ns: int | None = None
        self._frames = Connection(ConnectionType.SERVER)
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(reader))

    async def receive(self) -> Any:
        """The client's next message; None once it has left."""
        return await self._messages.get()

    async def send(self, *messages: Any) -> None:
        """Messages, each in a frame of its own, in one write."""
        await self.raw(b"".join(self.frame(message) for message in messages))

    def frame(self, message: Any, *, is_last: bool = True) -> bytes:
        text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
        return self._frames.send(TextMessage(text, message_finished=is_last))

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        self.written += len(data)

    async def ping(self) -> None:
        await self.raw(self._frames.send(Ping(b"are you there")))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.raw(self._frames.send(CloseConnection(code, reason)))
        self.writer.close()

    def cut(self) -> None:
        self.writer.transport.abort()

    async def left(self) -> int:
        """When the client was gone (ns), once it is."""
        async with asyncio.timeout(5):
            while self.left_ns is None:  # noqa: ASYNC110  # tests poll
                await asyncio.sleep(0.005)
        return self.left_ns

    async def end(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self.cut()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        parts: list[str] = []
        with contextlib.suppress(OSError, LocalProtocolError):
            while data := await reader.read(65536):
                self._frames.receive_data(data)
                for event in self._frames.events():
                    if isinstance(event, TextMessage):
                        parts.append(event.data)
                        if event.message_finished:
                            self._messages.put_nowait(json.loads("".join(parts)))
                            parts = []
                    elif isinstance(event, Ping):
                        self.pings += 1
                        if not self.is_mute:
                            self.writer.write(self._frames.send(event.response()))
                    elif isinstance(event, Pong):
                        self.pongs += 1
                    elif isinstance(event, CloseConnection):
                        self.close_code = event.code
                        self.left_ns = time.perf_counter_ns()
        self.left_ns = self.left_ns or time.perf_counter_ns()
        self._messages.put_nowait(None)


@dataclass
class Scripted:
    """What the service has seen: its requests, its sockets, and how many connections are open now."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    open: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    async def emptied(self) -> bool:
        """Whether every connection is closed, after a moment."""
        for _ in range(200):
            if not self.open:
                return True
            await asyncio.sleep(0.01)
        return False


@asynccontextmanager
async def serving(
    script: Script,
    *,
    shake: Callable[[Asked, int], bytes | None] = lambda asked, count: None,
    post: tuple[bytes, ...] = (),
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Scripted]:
    """A running service: `script` plays on each socket, `shake` may answer a handshake otherwise.

    `shake` gets the request and the number of handshakes before it, and no answer (b"") hangs. `post` are the answers
    to POSTs, the last for all that follow.
    """
    service = Scripted()
    running: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        service.open += 1
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        task.add_done_callback(running.discard)
        try:
            while (asked := await _request(reader)) is not None:
                service.asked.append(asked)
                if asked.method == "POST":
                    count = sum(each.method == "POST" for each in service.asked)
                    writer.write(post[min(count, len(post)) - 1].replace(b"PORT", str(service.port).encode()))
                    await writer.drain()
                    continue
                before = sum(each.method == "GET" for each in service.asked) - 1
                refusal = shake(asked, before)
                token = generate_accept_token(asked.headers["sec-websocket-key"].encode()).decode()
                accepted = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + token
                if refusal == b"":
                    await reader.read()
                    break
                writer.write(refusal or f"HTTP/1.1 101 Switching Protocols\r\n{accepted}\r\n\r\n".encode())
                await writer.drain()
                if refusal is None:
                    peer = Peer(asked, reader, writer)
                    service.peers.append(peer)
                    try:
                        await script(peer)
                    finally:
                        await peer.end()
                break
        except (OSError, LocalProtocolError, asyncio.CancelledError):  # the client has left, or we cancel it, below
            pass
        finally:
            service.open -= 1
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    service.scheme = "https" if tls else "http"
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body)


def answer(status: str, body: bytes = b"", kind: str = "application/json", **headers: str) -> bytes:
    """An HTTP answer; in header names an underscore is a dash."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def token(text: str) -> dict[str, str]:
    return {"type": "content_block", "content": text}


def done(reason: str = "stop") -> dict[str, Any]:
    return {"type": "done", "finish_reason": reason, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
