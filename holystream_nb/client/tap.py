"""Connections that keep what went over them: for whoever has to see an answer's bytes, as they came."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ..wire.transport import Response, Transport


@dataclass(slots=True)
class Exchange:
    """A request's fields, and its answer as far as it has come; `reads` are (stamp in ns, bytes)."""

    fields: Mapping[str, Any]
    status: int
    headers: Mapping[str, str] = field(repr=False)
    reads: list[tuple[int, bytes]] = field(default_factory=list, repr=False)

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.reads)


class Tap:
    """Stands for a `Transport`, through which everything goes unchanged; `exchanges` are what was posted."""

    def __init__(self, connections: Transport) -> None:
        self._connections = connections
        self.exchanges: list[Exchange] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connections, name)

    async def post(self, url: str, *, body: bytes, **options: Any) -> Response:
        response = await self._connections.post(url, body=body, **options)
        self.exchanges.append(Exchange(json.loads(body), response.status, response.headers))
        return _Tapped(response, self.exchanges[-1])  # type: ignore[return-value]  # what Transport says of its fakes

    async def aclose(self) -> None:
        """The connections are somebody else's."""


class _Tapped:
    def __init__(self, response: Response, exchange: Exchange) -> None:
        self._response = response
        self._exchange = exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    async def reads(self) -> AsyncGenerator[tuple[int, bytes], None]:
        async with aclosing(self._response.reads()) as reads:
            async for stamp, data in reads:
                self._exchange.reads.append((stamp, data))
                yield stamp, data

    async def body(self, limit: int) -> bytes:
        data = await self._response.body(limit)
        self._exchange.reads.append((self._response.last_read, data))
        return data
