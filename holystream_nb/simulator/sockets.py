"""The WebSocket endpoints.

`/v1/chat/stream` (A), `/v1/sessions/ID`, which a POST with agent_mode offers (B), and `/v1/responses` (OpenAI's).
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict

import msgspec
from starlette.types import Receive, Scope, Send

from .exchange import Exchange, watched
from .gate import Gate, authorize
from .messages import A, B
from .records import Records
from .refusals import Refusal
from .request import ChatRequest, faults_of
from .responses import RESPONSES
from .responses_memory import Memory
from .responses_socket import ResponsesSession
from .session import Opening, Session

STREAM = "/v1/chat/stream"
SESSIONS = "/v1/sessions/"
_GOOD_S = 30
"""How long an offered socket can be opened."""


class Sockets:
    """The endpoints, and the sockets that have been offered and not been opened yet."""

    def __init__(self, gate: Gate, records: Records, memory: Memory) -> None:
        self._gate = gate
        self._memory = memory
        self._records = records
        self._offered: OrderedDict[str, tuple[float, Opening]] = OrderedDict()

    @staticmethod
    def wanted(exchange: Exchange, request: ChatRequest) -> bool:
        """Whether the answer to a POST is the offer of a socket."""
        upgrade = exchange.header("upgrade").lower()
        return upgrade == "websocket" and request.agent_mode and not request.faults.no_socket

    def offer(self, exchange: Exchange, body: bytes, request: ChatRequest) -> tuple[str, str]:
        """The header that names the socket on which the turn of this POST will be answered."""
        faults, now = request.faults, time.monotonic()
        while self._offered and next(iter(self._offered.values()))[0] < now:
            self._offered.popitem(last=False)
        id = secrets.token_urlsafe(16)
        if not faults.socket_dead:
            speed = self._gate.speed(exchange.header("x-sim-speed"))
            opening = Opening(B, exchange.header("x-simulate"), speed, msgspec.json.decode(body))
            self._offered[id] = (now + _GOOD_S, opening)
        host = faults.socket_host or exchange.header("host")
        scheme = "ws" if host.startswith(("127.", "localhost")) else "wss"
        name = "upgrade-url" if faults.upgrade_url else "sec-websocket-url"
        return name, f"{scheme}://{host}{SESSIONS}{id}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        if await exchange.body() is None:
            exchange.record.disconnected()
            return
        await watched(exchange, self._serve(exchange))

    async def _serve(self, exchange: Exchange) -> None:
        try:
            opening = await self._opening(exchange)
            if opening is None:
                return
            session: Session | ResponsesSession
            if exchange.record.path == RESPONSES:
                session = ResponsesSession(exchange, opening, self._gate, self._records, self._memory)
            else:
                session = Session(exchange, opening, self._gate, self._records)
            exchange.record.head(101)
            exchange.record.ended("upgraded")
            exchange.connection.upgrade([(b"x-request-id", exchange.record.id.encode())], session.socket.feed)
        except Refusal as refusal:
            await exchange.respond_json(refusal.status, refusal.error, "refused")
            return
        self._records.sockets.add(exchange.record.id)
        try:
            await session.run()
        finally:
            self._records.sockets.discard(exchange.record.id)

    async def _opening(self, exchange: Exchange) -> Opening | None:
        """What the handshake asks for; None if it has been refused as it asked for."""
        path, header = exchange.record.path, exchange.header("x-simulate")
        if path.startswith(SESSIONS):
            until, opening = self._offered.pop(path.removeprefix(SESSIONS), (0.0, None))
            if opening is None or until < time.monotonic():
                raise Refusal(404, "There is no such session (any more).", code="session_not_found")
            return opening
        authorize(exchange.header("authorization"), self._gate.settings.key)
        faults = faults_of(header)
        opening = Opening(A, header, self._gate.speed(exchange.header("x-sim-speed")))
        await exchange.sleep(faults.head or 0)
        return None if await self._gate.refuses(exchange, faults, b"handshake") else opening
