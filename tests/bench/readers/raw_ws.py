"""The least that reads a stream of WebSocket messages: asyncio's own stream, wsproto, each message decoded by msgspec.

It takes only what the simulator sends by default, and knows no errors, usage, stamps or stop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage


class Message(msgspec.Struct, gc=False):
    type: str
    content: str = ""

    def piece(self) -> str | None:
        return self.content if self.type == "content_block" else None


INIT = {"type": "init", "messages": [{"role": "user", "content": "Count."}], "stream": True}


@asynccontextmanager
async def reader(
    url: str, path: str = "/v1/chat/stream", asked: Mapping[str, Any] = INIT, kind: Any = Message, end: str = "done"
) -> AsyncIterator[Callable[[str], Awaitable[tuple[int, str]]]]:
    decode = msgspec.json.Decoder(kind).decode
    address = urlsplit(url)
    socket = WSConnection(ConnectionType.CLIENT)
    incoming, outgoing = await asyncio.open_connection(address.hostname, address.port)
    key = [(b"Authorization", b"Bearer sim-key-1")]
    outgoing.write(socket.send(Request(host=address.netloc, target=path, extra_headers=key)))
    socket.receive_data(await incoming.readuntil(b"\r\n\r\n"))
    assert any(isinstance(event, AcceptConnection) for event in socket.events())

    async def read(model: str) -> tuple[int, str]:
        parts: list[str] = []
        outgoing.write(socket.send(TextMessage(json.dumps({"model": model, **asked}))))
        text = ""
        while data := await incoming.read(65536):
            socket.receive_data(data)
            for event in socket.events():
                assert isinstance(event, TextMessage)
                text += event.data
                if not event.message_finished:
                    continue
                message, text = decode(text), ""
                if piece := message.piece():
                    parts.append(piece)
                elif message.type == end:
                    return len(parts), "".join(parts)
        raise ConnectionError("The socket closed before the turn was done.")

    yield read
    outgoing.close()
