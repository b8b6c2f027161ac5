"""What the endpoints of all formats have in common: the body is read, the answering watched, the record closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from starlette.types import Receive, Scope, Send

from .exchange import Exchange, watched
from .gate import Gate
from .records import Records

UNBUFFERED: Final = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
"""What engines send with a stream: a cache must not keep it, nginx must not collect it."""


class Endpoint(ABC):
    """A raw ASGI endpoint, so that each event is stamped right before it is handed to the socket.

    A client's leaving is seen at once, also in a pause.
    """

    def __init__(self, gate: Gate, records: Records) -> None:
        self._gate = gate
        self._records = records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        body = await exchange.body()
        if body is None:
            exchange.record.disconnected()
            return
        record = exchange.record
        record.received(len(body))
        record.session = exchange.header("x-session-id")
        self._records.active.add(record.id)
        try:
            await watched(exchange, self._answer(exchange, body))
        except Exception:
            record.outcome = "broken"
            raise
        finally:
            self._records.active.discard(record.id)

    @abstractmethod
    async def _answer(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request whose body this is."""
