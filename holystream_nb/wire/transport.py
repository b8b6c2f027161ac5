"""The only room that opens connections: a request goes out, and the answer's reads come in, each with its stamp.

HTTP/1.1 only, one connection per running answer: closing the connection is what stops the bill (a closed HTTP/2 stream
is not reset by httpcore2 2.16, and its streams share reads, so no stamp would be true). Stamps are taken where the
network read returns (`_StampedStream`), because one read may hold many HTTP chunks.

A WebSocket begins here as a request like any other (`upgrade`); what follows on its stream is `websocket`'s.

Every error that leaves this room is one of `errors`. To fake it: an object with `post()`, `upgrade()`, `is_full` and
`aclose()` whose `post()` returns something with a `Response`'s attributes, `reads()`, `body()` and `aclose()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import httpcore2
import httpx2

from ..errors import ConnectionFailed, SetupError, Stalled, StreamInterrupted
from ..providers.address import is_loopback
from ..providers.secret import Key, Secrets

POOLS: Final[Mapping[str, tuple[int, int]]] = {"low": (10, 30), "medium": (50, 60), "high": (200, 120)}
"""Connections and kept-alive connections of a pool, by the names of HolySheep's document 002."""

_DRAIN_S: Final = 0.1
_RESEND_S: Final = 1.0
"""How soon after a request the end of a kept connection says that the service had closed it, and not looked at it."""


class _Exchange:
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request; what is secret of it is revealed where it is sent."""

    method: str
    url: str
    headers: Mapping[str, str | Key]
    query: Secrets
    body: bytes
    connect_timeout: float
    inactivity: float


_exchange: ContextVar[_Exchange | None] = ContextVar("exchange", default=None)


class _StampedStream(httpcore2.AsyncNetworkStream):
    """A network stream that remembers when its last read returned (ns)."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self.last_read = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        self.last_read = time.perf_counter_ns()
        if (exchange := _exchange.get()) is not None:
            exchange.bytes += len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return _StampedStream(await self._inner.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        return self if info == "stamped_stream" else self._inner.get_extra_info(info)


class _StampingBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return _StampedStream(await self._inner.connect_tcp(*args, **kwargs))

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return _StampedStream(await self._inner.connect_unix_socket(*args, **kwargs))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __aiter__(self) -> AsyncIterator[bytes]:
        iterator: AsyncIterator[bytes] = self._inner.__aiter__()
        return iterator

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Pool(httpx2.AsyncBaseTransport):
    """httpcore2's pools behind httpx2's client: one direct, one for each proxy the environment names."""

    def __init__(self, profile: str) -> None:
        self._connections, self._keepalive = POOLS[profile]
        self._pools: dict[tuple[str, str | None], httpcore2.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        pool = self._pool(request.url.scheme, _proxy_for(request.url))
        try:
            response = await pool.handle_async_request(_revealed(request))
        except BaseException as exc:  # a cancellation too
            _without_frames(exc)
            raise
        return httpx2.Response(
            response.status, headers=response.headers, stream=_Body(response.stream), extensions=response.extensions
        )

    @property
    def is_full(self) -> bool:
        return any(len(pool.connections) >= self._connections for pool in self._pools.values())

    @property
    def is_busy(self) -> bool:
        """Whether every connection there may be is in use: another request waits."""
        return any(
            len(pool.connections) >= self._connections and not any(each.is_idle() for each in pool.connections)
            for pool in self._pools.values()
        )

    async def drop_idle(self) -> None:
        """Closes what is kept and unused: the next request opens a connection of its own."""
        for pool in self._pools.values():
            for connection in pool.connections:
                if connection.is_idle():
                    await connection.aclose()

    def _pool(self, scheme: str, proxy: str | None) -> httpcore2.AsyncConnectionPool:
        if (scheme, proxy) not in self._pools:
            self._pools[scheme, proxy] = httpcore2.AsyncConnectionPool(
                ssl_context=_certificates() if scheme == "https" else None,
                proxy=None if proxy is None else _proxy(proxy),
                max_connections=self._connections,
                max_keepalive_connections=self._keepalive,
                keepalive_expiry=60.0,
                network_backend=_StampingBackend(),
            )
        return self._pools[scheme, proxy]

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


def _revealed(request: httpx2.Request) -> httpcore2.Request:
    """The request as it goes out. Keys are first seen here: no frame of a traceback has them, and no log of httpx2."""
    secrets: _Sealed = request.extensions.get("secrets", _Sealed())
    target = request.url.raw_path
    names = {name.lower().encode("ascii") for name, _ in secrets.headers}
    if secrets.query:
        query = urllib.parse.urlencode([(name, value.reveal()) for name, value in secrets.query])
        target += (b"&" if b"?" in target else b"?") + query.encode("ascii")
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=target
        ),
        headers=[
            *(pair for pair in request.headers.raw if pair[0].lower() not in names),
            *((name.encode("ascii"), value.reveal().encode("ascii")) for name, value in secrets.headers),
        ],
        content=request.stream,
        extensions={name: value for name, value in request.extensions.items() if name != "secrets"},
    )


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What is secret of a request, on its way to where it is sent."""

    headers: Secrets = ()
    query: Secrets = ()


def _without_frames(exc: BaseException) -> None:
    """Takes the frames below here from the error and from what caused it: their variables hold the request as sent."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            waiting += [each.__cause__, each.__context__]


@cache
def _certificates() -> ssl.SSLContext:
    """Reading them takes some 20 ms, in which no stream is read: only where they are used, and once a process."""
    return httpx2.create_ssl_context()


def _proxy_for(url: httpx2.URL) -> str | None:
    """The proxy the environment names for `url`; loopback never has one."""
    if is_loopback(str(url)) or urllib.request.proxy_bypass(url.host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


def _proxy(address: str) -> httpcore2.Proxy:
    url = httpx2.URL(address if "://" in address else f"http://{address}")
    if url.scheme.startswith("socks"):
        raise SetupError(
            f"The proxy {url.scheme}://{url.host} of your environment is a SOCKS proxy, which is not supported: "
            "name an HTTP proxy in HTTPS_PROXY, or add the service's host to NO_PROXY."
        )
    return httpcore2.Proxy(
        httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"),
        auth=(url.username, url.password) if url.username else None,
    )


class Response:
    """An answer whose head has arrived.

    `permit`, `sent` and `headers_at` are stamps (ns); `bytes` counts what has come of the body (B); `resent` how often
    the request met a kept connection that the service had closed, and went out again (0 or 1).
    """

    def __init__(self, response: httpx2.Response, exchange: _Exchange, resent: int) -> None:
        self._response = response
        self._stream: _StampedStream = response.extensions["network_stream"].get_extra_info("stamped_stream")
        self._iterator: AsyncGenerator[bytes, None] | None = None
        self.host = response.request.url.netloc.decode("ascii")
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.permit, self.sent, self.resent = exchange.permit, exchange.sent, resent
        self.headers_at = self._stream.last_read
        self.bytes = 0

    @property
    def stream(self) -> httpcore2.AsyncNetworkStream:
        """The connection itself, once the answer is 101: what is read from it was not read as an answer."""
        stream: httpcore2.AsyncNetworkStream = self._response.extensions["network_stream"]
        return stream

    @property
    def last_read(self) -> int:
        """When the connection's last read returned (ns)."""
        return self._stream.last_read

    @property
    def is_readable(self) -> bool:
        """Whether more has come than was read."""
        return bool(self._response.extensions["network_stream"].get_extra_info("is_readable"))

    async def reads(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """The body as it arrives: (stamp of the network read in ns, bytes).

        Raises Stalled when no byte came for the inactivity limit, StreamInterrupted when the connection broke.
        """
        stream, response = self._stream, self._response
        encoded = response.headers.get("content-encoding", "identity") != "identity"
        self._iterator = response.aiter_bytes() if encoded else response.aiter_raw()
        with mapped(self.host):
            async for chunk in self._iterator:
                self.bytes += len(chunk)
                yield stream.last_read, chunk

    async def body(self, limit: int) -> bytes:
        """The first `limit` bytes of the body."""
        parts: list[bytes] = []
        async with contextlib.aclosing(self.reads()) as reads:
            async for _, chunk in reads:
                parts.append(chunk)
                if self.bytes >= limit:
                    break
        return b"".join(parts)[:limit]

    async def finish(self) -> None:
        """Reads the few bytes that end a complete answer, so that the connection can be used again, and closes."""
        self._iterator = self._iterator or self._response.aiter_raw()
        with contextlib.suppress(TimeoutError, *BROKEN):
            async with asyncio.timeout(_DRAIN_S):
                async for _ in self._iterator:
                    pass
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection if the answer is not complete: this is what stops the bill."""
        with contextlib.suppress(*BROKEN):
            if self._iterator is not None:
                await self._iterator.aclose()
            await self._response.aclose()


BROKEN: Final[tuple[type[Exception], ...]] = (
    httpcore2.NetworkError,
    httpcore2.TimeoutException,
    httpcore2.ProtocolError,
    httpx2.HTTPError,
    OSError,
)


class Transport:
    """A pool of connections. `pool` names one of `POOLS`; times are in seconds.

    Used in one event loop at a time: in another one, when the first has ended, it begins anew.
    """

    def __init__(
        self, *, pool: str = "medium", ca: str | None = None, cert: str | tuple[str, str] | None = None
    ) -> None:
        if pool not in POOLS:
            raise SetupError(f"There is no connection pool {pool!r}: choose one of {', '.join(POOLS)}.")
        self._profile = pool
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._renew()

    def _renew(self) -> None:
        self._pool = _Pool(self._profile)
        self._client = httpx2.AsyncClient(transport=self._pool, follow_redirects=False, trust_env=False)

    @property
    def is_full(self) -> bool:
        """Whether another connection would have to wait for one that is open."""
        return self._pool.is_full

    @property
    def is_busy(self) -> bool:
        """Whether another request would have to wait for one that runs."""
        return self._pool.is_busy

    @property
    def size(self) -> int:
        """How many connections there may be."""
        return POOLS[self._profile][0]

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str | Key],
        body: bytes,
        connect_timeout: float,
        inactivity: float,
        query: Secrets = (),
        on_permit: Callable[[], None] | None = None,
    ) -> Response:
        """Sends a request and returns when the head of its answer has arrived.

        on_permit: called when the pool has given a connection, or room for a new one.
        A kept connection that the service has closed is nobody's failure: where it ends before any byte of an answer
        and at once, the request goes out again on a new one, once. Raises ConnectionFailed, Stalled,
        StreamInterrupted, or SetupError for a transport that is closed.
        """
        self._enter()
        asked = _Asked("POST", url, headers, query, body, connect_timeout, inactivity)
        with mapped(httpx2.URL(url).netloc.decode("ascii")):
            exchange = _Exchange(on_permit)
            try:
                return await self._send(asked, exchange)
            except BROKEN:
                if not exchange.met_a_dead_connection:
                    raise
            await self._pool.drop_idle()
            return await self._send(asked, _Exchange(on_permit), resent=1)

    async def upgrade(
        self,
        url: str,
        *,
        headers: Mapping[str, str | Key],
        connect_timeout: float,
        inactivity: float,
        query: Secrets = (),
        on_permit: Callable[[], None] | None = None,
    ) -> Response:
        """Asks for another protocol on a new connection (`url` is http or https); 101 says that it is granted.

        Raises as `post` does.
        """
        self._enter()
        asked = _Asked("GET", url, headers, query, b"", connect_timeout, inactivity)
        with mapped(httpx2.URL(url).netloc.decode("ascii")):
            return await self._send(asked, _Exchange(on_permit))

    def _enter(self) -> None:
        """Begins anew where the event loop of before has ended; SetupError where it runs elsewhere, or is closed."""
        if self._is_closed:
            raise SetupError("This client is closed: make a new one, or ask before its `async with` ends.")
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            if not self._loop.is_closed():
                raise SetupError("This client is in use in another event loop: make one client for each loop.")
            self._renew()
        self._loop = loop

    async def _send(self, asked: _Asked, exchange: _Exchange, resent: int = 0) -> Response:
        async def trace(name: str, _info: object) -> None:
            if exchange.permit is None:
                exchange.permit = time.perf_counter_ns()
                if exchange.on_permit is not None:
                    exchange.on_permit()
            if name.endswith("connect_tcp.started"):
                exchange.is_reused = False
            elif name == "http11.send_request_headers.started":
                exchange.sent = time.perf_counter_ns()

        secrets = tuple((name, value) for name, value in asked.headers.items() if isinstance(value, Key))
        request = self._client.build_request(
            asked.method,
            asked.url,
            headers={name: value for name, value in asked.headers.items() if isinstance(value, str)},
            content=asked.body,
            timeout=httpx2.Timeout(asked.inactivity, connect=asked.connect_timeout, pool=None),
            extensions={"trace": trace, "secrets": _Sealed(secrets, asked.query)},
        )
        before = _exchange.set(exchange)
        try:
            return Response(await self._client.send(request, stream=True), exchange, resent)
        except RuntimeError as exc:  # httpx2's word for a client that was closed meanwhile
            if self._is_closed:
                raise SetupError("The client was closed while it asked.") from exc
            raise
        finally:
            _exchange.reset(before)

    async def aclose(self) -> None:
        """Closes every connection, also of running answers; in another event loop there is nothing to close."""
        self._is_closed = True
        if self._loop is None or self._loop is asyncio.get_running_loop():
            await self._client.aclose()


@contextlib.contextmanager
def mapped(host: str) -> Iterator[None]:
    """httpx2's and httpcore2's errors -> ours."""
    try:
        yield
    except (httpcore2.ReadTimeout, httpcore2.WriteTimeout) as exc:
        raise Stalled(
            f"Nothing arrived from {host} for the inactivity limit: raise `inactivity` or try again."
        ) from exc
    except (httpcore2.ConnectTimeout, httpcore2.PoolTimeout) as exc:
        raise ConnectionFailed(
            f"{host} did not answer in time: check the address, your network and your proxy."
        ) from exc
    except httpcore2.ConnectError as exc:
        raise ConnectionFailed(f"No connection to {host} ({_cause(exc)}): check the address and your network.") from exc
    except (httpcore2.ProxyError, httpcore2.UnsupportedProtocol) as exc:
        raise ConnectionFailed(f"No connection to {host} ({_cause(exc)}): check your proxy settings.") from exc
    except BROKEN as exc:
        raise StreamInterrupted(f"The connection to {host} broke; what had arrived is kept: try again.") from exc


def _cause(exc: BaseException) -> str:
    seen: Iterable[BaseException] = (exc, exc.__cause__ or exc)
    return next((text for text in (str(e).splitlines()[0] if str(e) else "" for e in seen) if text), type(exc).__name__)
