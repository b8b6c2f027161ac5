"""Network streams that remember when their last read returned: what every stamp of an answer is taken from."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final

import anyio
import httpcore2

from ..parts import Opening

_RESEND_S: Final = 1.0
"""How soon after a request the end of a kept connection says that the service had closed it, and not looked at it."""


_START_S: Final = 0.25
"""How long an address is tried alone before the next one is tried beside it (RFC 8305, section 5)."""


class Exchange:
    """What happens on the wire until the head of an answer is there; stamps in ns.

    `dns`, `tcp` and `tls` are how long each took (ns), None where it was not needed; `tunnel` is what the proxy took to
    open the way to the service.
    """

    __slots__ = ("bytes", "dns", "is_reused", "on_permit", "permit", "sent", "tcp", "tls", "tunnel", "written")

    def __init__(self, on_permit: Callable[[], None] | None = None) -> None:
        self.on_permit = on_permit
        self.permit: int | None = None
        self.sent: int | None = None
        self.written: int | None = None
        self.dns: int | None = None
        self.tcp: int | None = None
        self.tls: int | None = None
        self.tunnel: int | None = None
        self.is_reused = True
        self.bytes = 0

    @property
    def opening(self) -> Opening | None:
        """What opening the connection took; None on a kept one."""
        return None if self.is_reused else Opening(self.dns, self.tcp, self.tunnel, self.tls)

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
        began = time.perf_counter_ns()
        stream = await self._inner.start_tls(*args, **kwargs)
        if (exchange := exchange_now.get()) is not None:
            exchange.tls = (exchange.tls or 0) + time.perf_counter_ns() - began
        return StampedStream(stream)

    def get_extra_info(self, info: str) -> Any:
        return self if info == "stamped_stream" else self._inner.get_extra_info(info)


class StampingBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections as httpcore2's own backend does, but looks the name up first, so that both are measured."""

    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        exchange = exchange_now.get() or Exchange()
        options = list(socket_options or ())
        try:
            with anyio.fail_after(timeout):
                began = time.perf_counter_ns()
                addresses = await _addresses(host, port, local_address)
                found = time.perf_counter_ns()
                stream = await self._first_of(addresses, port, local_address, options)
        except TimeoutError as exc:
            raise httpcore2.ConnectTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore2.ConnectError(str(exc)) from exc
        exchange.tcp = time.perf_counter_ns() - found
        if addresses != [host]:
            exchange.dns = found - began
        return StampedStream(stream)

    async def _first_of(
        self, addresses: list[str], port: int, local_address: str | None, options: list[Any]
    ) -> httpcore2.AsyncNetworkStream:
        """The first connection that comes about: each address gets its start before the next begins (RFC 8305)."""
        if len(addresses) == 1:
            return await self._inner.connect_tcp(addresses[0], port, None, local_address, options)
        won: list[httpcore2.AsyncNetworkStream] = []
        failed: list[Exception] = []

        async def attempt(address: str, over: anyio.Event) -> None:
            try:
                stream = await self._inner.connect_tcp(address, port, None, local_address, options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as exc:
                failed.append(exc)
            else:
                if won:
                    await stream.aclose()
                else:
                    won.append(stream)
                    attempts.cancel_scope.cancel()
            finally:
                over.set()

        try:
            async with anyio.create_task_group() as attempts:
                for address in addresses:
                    over = anyio.Event()
                    attempts.start_soon(attempt, address, over)
                    with anyio.move_on_after(_START_S):
                        await over.wait()
        except BaseException:
            for stream in won:
                await stream.aclose()
            raise
        if won:
            return won[0]
        raise OSError("All connection attempts failed") from ExceptionGroup("each address", failed)

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return StampedStream(await self._inner.connect_unix_socket(*args, **kwargs))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _addresses(host: str, port: int, local_address: str | None) -> list[str]:
    """A host's addresses, the first of IPv6 before the first of IPv4; an address is its own. Raises OSError."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [host]
    family = socket.AF_UNSPEC
    if local_address:
        family = socket.AF_INET6 if ":" in local_address else socket.AF_INET
    found = await anyio.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    by_family: dict[int, list[str]] = {socket.AF_INET6: [], socket.AF_INET: []}
    for kind, *_, place in found:
        by_family.setdefault(kind, []).append(str(place[0]))
    six, four, *_ = by_family.values()
    return list(dict.fromkeys([*six[:1], *four[:1], *six[1:], *four[1:]]))
