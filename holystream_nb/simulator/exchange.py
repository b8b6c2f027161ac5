"""One request and its answer on the wire: every byte handed over is stamped in the record first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import msgspec
from starlette.types import Receive, Scope, Send

from .records import Record
from .script import End


class Connection(Protocol):
    """What the server lets an endpoint do to its connection, beyond ASGI; `lost` is set at its end."""

    lost: asyncio.Event

    def upgrade(self, headers: Iterable[tuple[bytes, bytes]], feed: Callable[[bytes], None]) -> None:
        """Make a WebSocket of it, whose bytes `feed` gets; raises Refusal if that is not what was asked for."""

    def write(self, data: bytes) -> None:
        """Hand bytes of the WebSocket to the socket."""

    async def drain(self) -> None:
        """Wait until the socket takes more."""

    async def cut(self) -> None:
        """Send what was written, then close the connection in the middle of the body."""

    async def reset(self) -> None:
        """Close the connection with a reset."""


class Exchange:
    """A request, its record, and the ways to answer it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.record: Record = scope["state"]["record"]
        self.connection: Connection = scope["state"]["connection"]
        self.receive = receive
        self._send = send
        self._headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }

    def header(self, name: str) -> str:
        """A header of the request, or ""; `name` in lower case."""
        return self._headers.get(name, "")

    async def body(self) -> bytes | None:
        """The whole request body, or None if the client went away before its end."""
        found = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return None
            found += message.get("body", b"")
            if not message.get("more_body"):
                return bytes(found)

    async def head(self, status: int, content_type: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send the response head."""
        wanted = [("content-type", content_type), ("x-request-id", self.record.id), *headers]
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in wanted]
        self.record.head(status)
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, data: bytes, kinds: tuple[str, ...]) -> None:
        """Send a part of the body that completes events of these `kinds`."""
        await self.connection.drain()
        self.record.sent(kinds)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, outcome: str, last: bytes = b"") -> None:
        """Send the end of the body."""
        self.record.ended(outcome)
        await self._send({"type": "http.response.body", "body": last})

    async def respond(
        self, status: int, content_type: str, body: bytes, outcome: str, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Send an answer in one piece."""
        await self.head(status, content_type, [("content-length", str(len(body))), *headers])
        self.record.sent(("other",))
        await self.end(outcome, body)

    async def respond_json(self, status: int, body: Any, outcome: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a JSON answer in one piece."""
        await self.respond(status, "application/json", msgspec.json.encode(body), outcome, headers)

    async def break_off(self, outcome: str) -> None:
        """Close the connection without an end of the body; `outcome` reset does it with a reset."""
        self.record.ended(outcome)
        await (self.connection.reset() if outcome == "reset" else self.connection.cut())

    @property
    def stopped(self) -> bool:
        """A client can only leave an HTTP answer, and that cancels its task."""
        return False

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(max(seconds, 0))

    async def results(self) -> None:
        """Over HTTP the results of tools come with the next request: nothing to wait for."""

    async def finish(self, end: End) -> None:
        """End the answer in this way."""
        await (self.break_off(end.outcome) if end.outcome in ("cut", "reset") else self.end(end.outcome))


async def watched(exchange: Exchange, answering: Coroutine[Any, Any, None]) -> None:
    """Run the answering of a request; when the client leaves before its end, note that and end it at once."""
    task = asyncio.ensure_future(answering)
    watching = asyncio.create_task(_watch(exchange, task))
    try:
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
    finally:
        watching.cancel()
        task.cancel()


async def _watch(exchange: Exchange, answering: asyncio.Future[None]) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    if exchange.record.outcome == "running":
        exchange.record.disconnected()
        answering.cancel()
