"""One connection of the server: HTTP/1.1 by uvicorn until a handshake makes a WebSocket of it."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from wsproto import ConnectionType
from wsproto.events import AcceptConnection
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from .refusals import Refusal

_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_GOING_AWAY = b"\x88\x02\x03\xe9"


class Connection(H11Protocol):
    """A connection that the application can reach, as `scope["state"]["connection"]`, to break or to upgrade it.

    uvicorn's own WebSocket protocol is not used: it queues without bound, answers pings by itself and hides fragments.
    Here a handshake is an ordinary request (so it is refused as one) until `upgrade`; from then on the application
    gets and writes the bytes itself, over the same transport and with the same flow control.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make the connection known to the requests that come on it."""
        super().connection_made(transport)
        self.lost = asyncio.Event()
        self._feed: Callable[[bytes], None] | None = None
        self.app_state: dict[str, Any] = {**self.app_state, "connection": self}

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of the WebSocket."""
        if self._feed is None:
            super().data_received(data)
        elif not self.transport.is_closing():
            self._feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits for the end of the connection."""
        super().connection_lost(exc)
        self.lost.set()

    def shutdown(self) -> None:
        """The server ends: an idle connection is closed, a WebSocket with the code that says so."""
        if self._feed is None:
            super().shutdown()
        else:
            self.transport.write(_GOING_AWAY)
            self.transport.close()

    def upgrade(self, headers: Iterable[tuple[bytes, bytes]], feed: Callable[[bytes], None]) -> None:
        """Answer the running request with 101; from now on, `feed` gets all bytes.

        Raises Refusal if the request is no handshake of a WebSocket.
        """
        handshake = H11Handshake(ConnectionType.SERVER)
        try:
            handshake.initiate_upgrade_connection(self.headers, self.scope["raw_path"])
        except RemoteProtocolError as exc:
            raise Refusal(426, f"This address is a WebSocket's: {exc}.") from exc
        self.transport.write(handshake.send(AcceptConnection(extra_headers=list(headers))))
        self.cycle.response_started = self.cycle.response_complete = True  # for uvicorn, the request is answered
        self._feed = feed
        self.flow.resume_reading()
        if early := self.conn.trailing_data[0]:
            feed(early)

    def write(self, data: bytes) -> None:
        """Hand bytes of the WebSocket to the socket."""
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the socket takes more."""
        if self.flow.write_paused:
            await self.flow.drain()

    async def cut(self) -> None:
        """Send what was written, then close without the chunked terminator, or a close frame."""
        self.transport.close()
        await self.lost.wait()

    async def reset(self) -> None:
        """Close with a reset, after what was written has had time to arrive (a reset overtakes it)."""
        await asyncio.sleep(0.02)
        if not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()
        await self.lost.wait()
