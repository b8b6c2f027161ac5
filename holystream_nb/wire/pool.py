"""Pools of connections: a direct one, one for each proxy and choice of certificates. Here a request's keys are seen."""

from __future__ import annotations

import asyncio
import sys
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import httpcore2
import httpx2

from ..providers.secret import Secrets
from .certificates import Certificates, context
from .proxies import Proxy
from .stamps import StampingBackend
from .unreachable import Route

POOLS: Final[Mapping[str, tuple[int, int]]] = {"low": (10, 30), "medium": (50, 60), "high": (200, 120)}
"""Connections and kept-alive connections of a pool, by the names of HolySheep's document 002."""

KEEPALIVE_S: Final = 1.5
"""A connection is kept so long, which is shorter than the shortest time known that a server keeps an idle one.

gunicorn 2 s, also with uvicorn's worker (LiteLLM's --run_gunicorn); uvicorn (vLLM, SGLang), cpp-httplib (llama.cpp),
Node (LM Studio) and Apache 5 s; AWS's balancer 60 s, nginx 75 s; Go (Ollama) and hyper (TGI) do not end. People pause
longer between two prompts than any of the short ones, and programs that ask again at once find it open.
"""


class _Body(httpx2.AsyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __aiter__(self) -> AsyncIterator[bytes]:
        iterator: AsyncIterator[bytes] = self._inner.__aiter__()
        return iterator

    async def aclose(self) -> None:
        await self._inner.aclose()


class Pool(httpx2.AsyncBaseTransport):
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
            without_frames(exc, outer)
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
                    network_backend=StampingBackend(),
                ),
            )
        return self._pools[place]

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


def _revealed(request: httpx2.Request) -> httpcore2.Request:
    """The request as it goes out. Keys are first seen here: no frame of a traceback has them, and no log of httpx2."""
    secrets: Credentials = request.extensions.get("secrets", Credentials())
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
class Credentials:
    """What is secret of a request, on its way to where it is sent."""

    headers: Secrets = ()
    query: Secrets = ()


def without_frames(exc: BaseException, outer: BaseException | None) -> None:
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
