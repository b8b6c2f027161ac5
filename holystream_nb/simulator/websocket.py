"""An open WebSocket on the server's side: the client's frames by wsproto, pongs, and the closing handshake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wsproto import ConnectionType
from wsproto.connection import Connection as Frames
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from .exchange import Connection

_LARGEST = 16 * 2**20
"""Characters of the largest message that is taken."""

_CLOSING_S = 1.0
"""How long a client has for the answer to a close frame."""


class WebSocket:
    """`on_message` gets the text of each message; `on_leave` is called when the client closes or is gone.

    While it is `mute`, no ping is answered.
    """

    def __init__(self, connection: Connection, on_message: Callable[[str], None], on_leave: Callable[[], None]) -> None:
        self.connection = connection
        self.mute = False
        self._frames = Frames(ConnectionType.SERVER)
        self._on_message, self._on_leave = on_message, on_leave
        self._parts: list[str] = []
        self._size = 0
        self._answered = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    @property
    def closing(self) -> bool:
        """Whether this side has sent a close frame, after which nothing may follow."""
        return self._closing is not None

    def feed(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self._answered.is_set():
            return
        self._frames.receive_data(data)
        for event in self._frames.events():  # of a bad frame wsproto makes a CloseConnection with the code for it
            self._take(event)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, and close the connection when the client has answered it, or does not."""
        if not self.closing:
            self.connection.write(self._frames.send(CloseConnection(code, reason)))
            self._closing = asyncio.create_task(self._close())

    async def over(self) -> None:
        """Wait for the end of the connection."""
        await self.connection.lost.wait()
        self._answered.set()
        self._on_leave()
        if self._closing is not None:
            await self._closing

    def _take(self, event: object) -> None:
        match event:
            case Ping() if not self.mute and not self.closing:
                self.connection.write(self._frames.send(event.response()))
            case CloseConnection():
                self._on_leave()
                if self.closing:
                    self._answered.set()
                else:
                    self.connection.write(self._frames.send(event.response()))
                    self._closing = asyncio.create_task(self.connection.cut())
            case BytesMessage():
                self.close(CloseReason.UNSUPPORTED_DATA, "a message is text")
            case TextMessage() if not self.closing:
                self._take_text(event)

    def _take_text(self, event: TextMessage) -> None:
        self._parts.append(event.data)
        self._size += len(event.data)
        if self._size > _LARGEST:
            self.close(CloseReason.MESSAGE_TOO_BIG, f"a message has at most {_LARGEST} characters")
        elif event.message_finished:
            text, self._parts, self._size = "".join(self._parts), [], 0
            self._on_message(text)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSING_S):
                await self._answered.wait()
        except TimeoutError:
            pass
        await self.connection.cut()
