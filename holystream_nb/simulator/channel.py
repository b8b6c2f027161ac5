"""One turn on a socket, as the channel on which its script is played."""

from __future__ import annotations

import asyncio

from .records import Record
from .script import End
from .websocket import WebSocket


class SocketChannel:
    """Writes into a socket, each message stamped in the turn's record first."""

    def __init__(self, socket: WebSocket, record: Record) -> None:
        self.record = record
        self._socket = socket
        self._cancelled = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether the client has cancelled the turn."""
        return self._cancelled.is_set()

    async def write(self, data: bytes, kinds: tuple[str, ...]) -> None:
        """Send bytes that complete messages of these `kinds`, once the socket takes them."""
        await self._socket.connection.drain()
        if self._socket.closing:
            return
        if kinds:
            self.record.sent(kinds)
        self._socket.connection.write(data)

    async def sleep(self, seconds: float) -> None:
        """Let time pass, at most until the turn is cancelled."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._cancelled.wait()
        except TimeoutError:
            pass

    async def results(self) -> None:
        """Nothing to wait for, where results of tools come with the next request."""

    async def finish(self, end: End) -> None:
        """End the turn: on an open socket, with a close frame, or with the connection."""
        self.record.ended(end.outcome)
        connection = self._socket.connection
        match end.outcome:
            case "ended" | "closed":
                self._socket.close(end.code)
            case "cut" | "dropped":
                await asyncio.shield(connection.cut())
            case "reset":
                await asyncio.shield(connection.reset())
