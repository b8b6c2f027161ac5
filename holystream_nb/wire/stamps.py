"""Network streams that remember when their last read returned: what every stamp of an answer is taken from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import httpcore2

_RESEND_S: Final = 1.0
"""How soon after a request the end of a kept connection says that the service had closed it, and not looked at it."""


class Exchange:
    """What happens on the wire until the head of an answer is there; stamps in ns."""

    __slots__ = ("bytes", "is_reused", "on_permit", "permit", "sent")

    def __init__(self, on_permit: Callable[[], None] | None = None) -> None:
        self.on_permit = on_permit
        self.permit: int | None = None
        self.sent: int | None = None
        self.is_reused = True
        self.bytes = 0

    @property
    def met_a_dead_connection(self) -> bool:
        """Whether a kept connection ended at once and without a byte: the request goes out again."""
        sent = self.sent
        is_soon = sent is not None and time.perf_counter_ns() - sent < _RESEND_S * 1e9
        return self.is_reused and self.bytes == 0 and is_soon


exchange_now: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class StampedStream(httpcore2.AsyncNetworkStream):
    """A network stream that remembers when its last read returned (ns)."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self.last_read = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        self.last_read = time.perf_counter_ns()
        if (exchange := exchange_now.get()) is not None:
            exchange.bytes += len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return StampedStream(await self._inner.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        return self if info == "stamped_stream" else self._inner.get_extra_info(info)


class StampingBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return StampedStream(await self._inner.connect_tcp(*args, **kwargs))

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return StampedStream(await self._inner.connect_unix_socket(*args, **kwargs))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
