"""The only room that opens connections: a request goes out, and the answer's reads come in, each with its stamp.

HTTP/1.1 only, one connection per running answer: closing the connection is what stops the bill (a closed HTTP/2 stream
is not reset by httpcore2 2.16, and its streams share reads, so no stamp would be true). Stamps are taken where the
network read returns (`_StampedStream`), because one read may hold many HTTP chunks.

A WebSocket begins here as a request like any other (`upgrade`); what follows on its stream is `websocket`'s.

Every error that leaves this room is one of `errors`. To fake it: an object with `post()`, `get()`, `upgrade()`,
`is_full` and `aclose()` whose `post()` returns something with a `Response`'s attributes, `reads()`, `body()` and
`aclose()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import urllib.parse
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final

import httpcore2
import httpx2

from ..errors import HolystreamError, SetupError, Stalled, StreamInterrupted
from ..providers.secret import Key, Secrets
from .certificates import Certificates, chosen, context, trusted
from .proxies import Proxies, Proxy
from .unreachable import Route, failure, of_proxy, unanswered

POOLS: Final[Mapping[str, tuple[int, int]]] = {"low": (10, 30), "medium": (50, 60), "high": (200, 120)}
"""Connections and kept-alive connections of a pool, by the names of HolySheep's document 002."""

KEEPALIVE_S: Final = 1.5
"""A connection is kept so long, which is shorter than the shortest time known that a server keeps an idle one.

gunicorn 2 s, also with uvicorn's worker (LiteLLM's --run_gunicorn); uvicorn (vLLM, SGLang), cpp-httplib (llama.cpp),
Node (LM Studio) and Apache 5 s; AWS's balancer 60 s, nginx 75 s; Go (Ollama) and hyper (TGI) do not end. People pause
longer between two prompts than any of the short ones, and programs that ask again at once find it open.
"""

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

    @property
    def host(self) -> str:
        return urllib.parse.urlsplit(self.url).netloc


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
    """httpcore2's pools behind httpx2's client: one direct, one for each proxy and each choice of certificates."""

    def __init__(self, profile: str) -> None:
        self._connections, self._keepalive = POOLS[profile]
        self._pools: dict[tuple[str, Proxy | None, Certificates], httpcore2.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        pool = await self._pool(request.url.scheme, request.extensions["route"])
        outer = sys.exception()
        try:
            response = await pool.handle_async_request(_revealed(request))
        except BaseException as exc:  # a cancellation too
            _without_frames(exc, outer)
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

    async def _pool(self, scheme: str, route: Route) -> httpcore2.AsyncConnectionPool:
        place = (scheme, route.proxy, route.files)
        if place not in self._pools:
            # Reading certificates takes some 20 ms, in which other streams go on.
            ours = await asyncio.to_thread(context, route.files) if scheme == "https" else None
            proxy = None if route.proxy is None else await asyncio.to_thread(_proxy, route.proxy, route.files)
            self._pools.setdefault(
                place,
                httpcore2.AsyncConnectionPool(
                    ssl_context=ours,
                    proxy=proxy,
                    max_connections=self._connections,
                    max_keepalive_connections=self._keepalive,
                    keepalive_expiry=KEEPALIVE_S,
                    network_backend=_StampingBackend(),
                ),
            )
        return self._pools[place]

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


def _without_frames(exc: BaseException, outer: BaseException | None) -> None:
    """Takes the frames below here from the error and from what caused it: their variables hold the request as sent.

    `outer` is what was being handled before; it is the caller's.
    """
    seen = {id(outer)}
    waiting: list[BaseException | None] = [exc]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            waiting += [each.__cause__, each.__context__]


def _proxy(proxy: Proxy, files: Certificates) -> httpcore2.Proxy:
    """httpcore2's words for it; whom we are is the service's to know, not the proxy's."""
    url = httpcore2.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/")
    tls = context(replace(files, cert=None, key=None)) if proxy.scheme == "https" else None
    return httpcore2.Proxy(url, auth=proxy.auth, ssl_context=tls)


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
        outer = sys.exception()
        with mapped(self.host):
            try:
                async for chunk in self._iterator:
                    self.bytes += len(chunk)
                    yield stream.last_read, chunk
            except BaseException as exc:  # a cancellation too
                _without_frames(exc, outer)
                raise

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

    ca: a file or a folder of whom to trust, instead of the environment's choice and the system's.
    cert: a PEM file with a certificate of ours and its key, or `(certificate, key)`.
    """

    def __init__(
        self,
        *,
        pool: str = "medium",
        ca: str | os.PathLike[str] | None = None,
        cert: str | os.PathLike[str] | tuple[str, str] | None = None,
    ) -> None:
        if pool not in POOLS:
            raise SetupError(f"There is no connection pool {pool!r}: choose one of {', '.join(POOLS)}.")
        self._profile = pool
        self._files = chosen(ca, cert)
        self._proxies = Proxies()
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
        return await self._answered(_Asked("POST", url, headers, query, body, connect_timeout, inactivity), on_permit)

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str | Key],
        connect_timeout: float,
        inactivity: float,
        query: Secrets = (),
    ) -> Response:
        """Asks for what is there, as `post` does."""
        return await self._answered(_Asked("GET", url, headers, query, b"", connect_timeout, inactivity), None)

    async def _answered(self, asked: _Asked, on_permit: Callable[[], None] | None) -> Response:
        self._enter()
        with mapped(asked.host, unanswered(asked.url, asked.host)):
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
        with mapped(asked.host, unanswered(url, asked.host)):
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
        route = Route(asked.url, asked.host, asked.connect_timeout, trusted(self._files, os.environ))
        loop = asyncio.get_running_loop()

        async def trace(name: str, info: Mapping[str, Any]) -> None:
            if exchange.permit is None:
                exchange.permit = time.perf_counter_ns()
                if exchange.on_permit is not None:
                    exchange.on_permit()
            if not name.endswith(".started"):
                return
            route.step = name.removesuffix(".started")
            if route.step.endswith(".connect_tcp"):
                exchange.is_reused = False
                limit.reschedule(loop.time() + asked.connect_timeout)
            elif route.step == "http11.send_request_headers" and info["request"].method != b"CONNECT":
                exchange.sent = time.perf_counter_ns()
                limit.reschedule(None)

        secrets = tuple((name, value) for name, value in asked.headers.items() if isinstance(value, Key))
        request = self._client.build_request(
            asked.method,
            asked.url,
            headers={name: value for name, value in asked.headers.items() if isinstance(value, str)},
            content=asked.body,
            timeout=httpx2.Timeout(asked.inactivity, connect=asked.connect_timeout, pool=None),
            extensions={"trace": trace, "route": route, "secrets": _Sealed(secrets, asked.query)},
        )
        before = _exchange.set(exchange)
        try:
            with self._told(route):
                route.proxy = await self._proxies.find(asked.url)
                async with asyncio.timeout(None) as limit:  # the whole way: a proxy's part has no other
                    response = Response(await self._client.send(request, stream=True), exchange, resent)
        except RuntimeError as exc:  # httpx2's word for a client that was closed meanwhile
            if self._is_closed:
                raise SetupError("The client was closed while it asked.") from exc
            raise
        finally:
            _exchange.reset(before)
        if response.status == 407 and route.proxy is not None:
            await response.aclose()
            raise of_proxy("407", route)
        return response

    @contextlib.contextmanager
    def _told(self, route: Route) -> Iterator[None]:
        """What kept the request from being sent, as ConnectionFailed."""
        try:
            yield
        except (HolystreamError, asyncio.CancelledError):
            raise
        except Exception as exc:
            error = failure(exc, route)
            if error is None:
                raise
            self._proxies.forget()
            raise error from exc

    async def aclose(self) -> None:
        """Closes every connection, also of running answers; in another event loop there is nothing to close."""
        self._is_closed = True
        if self._loop is None or self._loop is asyncio.get_running_loop():
            await self._client.aclose()


@contextlib.contextmanager
def mapped(host: str, unanswered: str = "") -> Iterator[None]:
    """httpx2's and httpcore2's errors -> ours. `unanswered` is the sentence for what ended before any byte."""
    try:
        yield
    except (httpcore2.ReadTimeout, httpcore2.WriteTimeout) as exc:
        raise Stalled(
            f"Nothing arrived from {host} for the inactivity limit: raise `inactivity` or try again."
        ) from exc
    except BROKEN as exc:
        said = unanswered or f"The connection to {host} broke; what had arrived is kept: try again."
        raise StreamInterrupted(said) from exc
