"""The simulator in this process: uvicorn on a loopback socket, until interrupted."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import App
from .chat import Settings

_HOST = "127.0.0.1"
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Connection(H11Protocol):
    """An HTTP/1.1 connection that the application can reach, as `scope["state"]["connection"]`, to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make the connection known to the requests that come on it."""
        super().connection_made(transport)
        self.lost = asyncio.Event()
        self.app_state: dict[str, Any] = {**self.app_state, "connection": self}

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits for the end of the connection."""
        super().connection_lost(exc)
        self.lost.set()

    async def drain(self) -> None:
        """Wait until the socket takes more."""
        if self.flow.write_paused:
            await self.flow.drain()

    async def cut(self) -> None:
        """Send what was written, then close without the chunked terminator."""
        self.transport.close()
        await self.lost.wait()

    async def reset(self) -> None:
        """Close with a reset, after what was written has had time to arrive (a reset overtakes it)."""
        await asyncio.sleep(0.02)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()
        await self.lost.wait()


class _Server(uvicorn.Server):
    """A uvicorn server that says when it accepts connections, and is silent at its end."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").disabled = True  # it reports every stream that it cuts off
        await super().shutdown(sockets)


def run(
    *, port: int = 0, speed: float | None = 1.0, seed: int = 0, key: str | None = None, on_ready: Callable[[str], None]
) -> None:
    """Serve in the foreground until Ctrl-C, which ends it silently.

    `on_ready` gets the URL once connections are accepted; `speed` None is as fast as possible; port 0 is any free one.
    Raises OSError if the port is taken.
    """
    settings = Settings(math.inf if speed is None else speed, seed, key)
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        if sys.platform != "win32":  # there the option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        url = f"http://{_HOST}:{listener.getsockname()[1]}/v1"
        config = uvicorn.Config(
            App(settings),
            http=Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=0,
        )
        try:
            _Server(config, lambda: on_ready(url)).run([listener])
        except KeyboardInterrupt:
            return
