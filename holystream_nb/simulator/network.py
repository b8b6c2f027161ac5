"""A network between the simulator and its clients: bytes that arrive late, and one after the other."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any


class Network(asyncio.Protocol):
    """A protocol's connection over a network: `delay_s` each way, at most `bytes_per_s` each way.

    What happens on it happens that much later on the other side, in its order: bytes, and the connection's end. Opening
    one takes no time: on loopback, the system has accepted a connection before anybody is told.
    """

    def __init__(self, inner: asyncio.Protocol, delay_s: float, bytes_per_s: float = math.inf) -> None:
        self._inner = inner
        self._there, self._back = _Line(delay_s, bytes_per_s), _Line(delay_s, bytes_per_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(_Far(transport, self._back))  # type: ignore[arg-type]  # a transport by delegation

    def data_received(self, data: bytes) -> None:
        self._there.put(len(data), self._inner.data_received, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._there.put(0, self._inner.connection_lost, exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class _Line:
    """One direction."""

    def __init__(self, delay_s: float, bytes_per_s: float) -> None:
        self._delay_s, self._bytes_per_s = delay_s, bytes_per_s
        self._loop = asyncio.get_running_loop()
        self._free_at = 0.0
        self._under_way: deque[tuple[float, Callable[..., object], tuple[Any, ...]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, size: int, action: Callable[..., object], *args: Any) -> None:
        """Do this at the other end, once its `size` bytes are there, and after all that was put before."""
        self._free_at = max(self._free_at, self._loop.time()) + size / self._bytes_per_s
        self._under_way.append((self._free_at + self._delay_s, action, args))
        self._wait()

    def _wait(self) -> None:
        if self._timer is None and self._under_way:
            self._timer = self._loop.call_at(self._under_way[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        while self._under_way and self._under_way[0][0] <= self._loop.time():
            _, action, args = self._under_way.popleft()
            action(*args)
        self._wait()


class _Far:
    """A transport whose bytes, and whose end, go over a line."""

    def __init__(self, transport: Any, line: _Line) -> None:
        self._transport, self._line = transport, line
        self._is_closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._line.put(len(data), self._write, bytes(data))

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()

    def close(self) -> None:
        self._is_closing = True
        self._line.put(0, self._transport.close)

    def abort(self) -> None:
        self._is_closing = True
        self._line.put(0, self._transport.abort)
