"""The only room that opens connections: a request goes out, and the answer's reads come in, each with its stamp.

HTTP/1.1 only, one connection per running answer: closing the connection is what stops the bill (a closed HTTP/2 stream
is not reset by httpcore2 2.16, and its streams share reads, so no stamp would be true). Stamps are taken where the
network read returns (`stamps`), because one read may hold many HTTP chunks.

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
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpcore2
import httpx2

from ..errors import HolystreamError, SetupError, Stalled, StreamInterrupted
from ..providers.secret import Key, Secrets
from .certificates import chosen, trusted
from .pool import POOLS, Credentials, Pool, without_frames
from .proxies import Proxies
from .stamps import Exchange, StampedStream, exchange_now
from .unreachable import Route, failure, of_proxy, unanswered

_DRAIN_S: Final = 0.1

_TUNNELLED: Final = ("http11.receive_response_headers.complete", "socks.setup_socks5_connection.complete")
"""What ends the asking of a proxy for a way; the first of them also ends that of the service, which is later."""


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


class Response:
    """An answer whose head has arrived.

    `permit`, `sent` and `headers_at` are stamps (ns); `bytes` counts what has come of the body (B); `resent` how often
    the request met a kept connection that the service had closed, and went out again (0 or 1). `opening` is what
    opening the connection took, None on a kept one, and `written` when the request had been handed to the system (ns).
    """

    def __init__(self, response: httpx2.Response, exchange: Exchange, resent: int) -> None:
        self._response = response
        self._stream: StampedStream = response.extensions["network_stream"].get_extra_info("stamped_stream")
        self._iterator: AsyncGenerator[bytes, None] | None = None
        self.host = response.request.url.netloc.decode("ascii")
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.permit, self.sent, self.resent = exchange.permit, exchange.sent, resent
        self.opening, self.written = exchange.opening, exchange.written
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
                without_frames(exc, outer)
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
        self._pool = Pool(self._profile)
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
            exchange = Exchange(on_permit)
            try:
                return await self._send(asked, exchange)
            except BROKEN:
                if not exchange.met_a_dead_connection:
                    raise
            await self._pool.drop_idle()
            return await self._send(asked, Exchange(on_permit), resent=1)

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
            return await self._send(asked, Exchange(on_permit))

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

    async def _send(self, asked: _Asked, exchange: Exchange, resent: int = 0) -> Response:
        route = Route(asked.url, asked.host, asked.connect_timeout, trusted(self._files, os.environ))
        loop = asyncio.get_running_loop()

        asks_since: int | None = None  # the proxy for a way

        async def trace(name: str, info: Mapping[str, Any]) -> None:
            nonlocal asks_since
            if exchange.permit is None:
                exchange.permit = time.perf_counter_ns()
                if exchange.on_permit is not None:
                    exchange.on_permit()
            if not name.endswith(".started"):
                if name == "http11.send_request_body.complete" and exchange.sent is not None:
                    exchange.written = time.perf_counter_ns()
                elif name in _TUNNELLED and asks_since is not None and exchange.tunnel is None:
                    exchange.tunnel = time.perf_counter_ns() - asks_since
                return
            route.step = name.removesuffix(".started")
            if route.step.endswith(".connect_tcp"):
                exchange.is_reused = False
                limit.reschedule(loop.time() + asked.connect_timeout)
            elif route.step == "socks.setup_socks5_connection":
                asks_since = time.perf_counter_ns()
            elif route.step != "http11.send_request_headers":
                return
            elif info["request"].method == b"CONNECT":
                asks_since = time.perf_counter_ns()
            else:
                exchange.sent = time.perf_counter_ns()
                limit.reschedule(None)

        secrets = tuple((name, value) for name, value in asked.headers.items() if isinstance(value, Key))
        request = self._client.build_request(
            asked.method,
            asked.url,
            headers={name: value for name, value in asked.headers.items() if isinstance(value, str)},
            content=asked.body,
            timeout=httpx2.Timeout(asked.inactivity, connect=asked.connect_timeout, pool=None),
            extensions={"trace": trace, "route": route, "secrets": Credentials(secrets, asked.query)},
        )
        before = exchange_now.set(exchange)
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
            exchange_now.reset(before)
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
