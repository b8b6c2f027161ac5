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
import ssl
import time
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import httpcore2
import httpx2

from ..errors import ConnectionFailed, SetupError, Stalled, StreamInterrupted
from ..providers.address import is_loopback

POOLS: Final[Mapping[str, tuple[int, int]]] = {"low": (10, 30), "medium": (50, 60), "high": (200, 120)}
"""Connections and kept-alive connections of a pool, by the names of HolySheep's document 002."""

_DRAIN_S: Final = 0.1


class _StampedStream(httpcore2.AsyncNetworkStream):
    """A network stream that remembers when its last read returned (ns)."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self.last_read = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        self.last_read = time.perf_counter_ns()
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
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        pool = self._pool(request.url.scheme, _proxy_for(request.url))
        response = await pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            response.status, headers=response.headers, stream=_Body(response.stream), extensions=response.extensions
        )

    @property
    def is_full(self) -> bool:
        return any(len(pool.connections) >= self._connections for pool in self._pools.values())

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

    `permit`, `sent` and `headers_at` are stamps (ns); `bytes` counts what has come of the body (B).
    """

    def __init__(self, response: httpx2.Response, stamps: Mapping[str, int]) -> None:
        self._response = response
        self._stream: _StampedStream = response.extensions["network_stream"].get_extra_info("stamped_stream")
        self._iterator: AsyncGenerator[bytes, None] | None = None
        self.host = response.request.url.netloc.decode("ascii")
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.permit = stamps.get("permit")
        self.sent = stamps.get("sent")
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
    """A pool of connections. `pool` names one of `POOLS`; times are in seconds."""

    def __init__(self, *, pool: str = "medium") -> None:
        if pool not in POOLS:
            raise SetupError(f"There is no connection pool {pool!r}: choose one of {', '.join(POOLS)}.")
        self._pool = _Pool(pool)
        self._client = httpx2.AsyncClient(transport=self._pool, follow_redirects=False, trust_env=False)

    @property
    def is_full(self) -> bool:
        """Whether another connection would have to wait for one that is open."""
        return self._pool.is_full

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        connect_timeout: float,
        inactivity: float,
    ) -> Response:
        """Sends a request and returns when the head of its answer has arrived.

        Raises ConnectionFailed, Stalled or StreamInterrupted.
        """
        return await self._send("POST", url, headers, body, connect_timeout, inactivity)

    async def get(self, url: str, *, headers: Mapping[str, str], connect_timeout: float, inactivity: float) -> Response:
        """Asks for what is there. Raises as `post` does."""
        return await self._send("GET", url, headers, b"", connect_timeout, inactivity)

    async def upgrade(
        self, url: str, *, headers: Mapping[str, str], connect_timeout: float, inactivity: float
    ) -> Response:
        """Asks for another protocol on a new connection (`url` is http or https); 101 says that it is granted.

        Raises as `post` does.
        """
        return await self._send("GET", url, headers, b"", connect_timeout, inactivity)

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        connect_timeout: float,
        inactivity: float,
    ) -> Response:
        stamps: dict[str, int] = {}

        async def trace(name: str, _info: object) -> None:
            stamps.setdefault("permit", time.perf_counter_ns())
            if name == "http11.send_request_headers.started":
                stamps["sent"] = time.perf_counter_ns()

        request = self._client.build_request(
            method,
            url,
            headers=dict(headers),
            content=body,
            timeout=httpx2.Timeout(inactivity, connect=connect_timeout, pool=None),
            extensions={"trace": trace},
        )
        with mapped(request.url.netloc.decode("ascii")):
            return Response(await self._client.send(request, stream=True), stamps)

    async def aclose(self) -> None:
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
