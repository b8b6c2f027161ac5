"""The simulator in this process: uvicorn on a loopback socket, until interrupted."""

from __future__ import annotations

import logging
import math
import socket
import sys
from collections.abc import Callable
from typing import Any, Literal

import uvicorn

from .app import App
from .connection import Connection
from .gate import Settings
from .network import Network
from .options import delay_of, key_of, port_of, rate_of, seed_of, speed_of

_HOST = "127.0.0.1"


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
    *,
    port: int = 0,
    speed: float | Literal["max"] | None = 1.0,
    seed: int = 0,
    key: str | None = None,
    network_delay_ms: float = 0.0,
    network_mbit_s: float | None = None,
    on_ready: Callable[[str], None],
) -> None:
    """Serve in the foreground until Ctrl-C, which ends it silently.

    `on_ready` gets the URL once connections are accepted; the rest is as for `Simulator`; port 0 is any free one.
    Raises ValueError for settings that cannot be, and OSError if the port is taken.
    """
    factor, port = speed_of(speed), port_of(port)
    settings = Settings(math.inf if factor is None else factor, seed_of(seed), None if key is None else key_of(key))
    delay_s, bytes_per_s = delay_of(network_delay_ms), rate_of(network_mbit_s)

    def far(*args: Any, **options: Any) -> Network:
        return Network(Connection(*args, **options), delay_s, bytes_per_s)

    is_near = not delay_s and math.isinf(bytes_per_s)
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        if sys.platform != "win32":  # there the option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        url = f"http://{_HOST}:{listener.getsockname()[1]}/v1"
        config = uvicorn.Config(
            App(settings),
            http=Connection if is_near else far,  # type: ignore[arg-type]  # it is only called
            ws="none",  # `Connection` makes its own
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
