"""A socket's conversation: one turn at a time, each with a record of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec

from .channel import SocketChannel
from .exchange import Exchange
from .faults import DROP, Faults
from .frames import MessageFraming
from .gate import Gate, retry_after
from .messages import Vocabulary, error_message
from .play import play
from .records import Record, Records
from .refusals import Refusal, failure
from .request import faults_of
from .script import End, script
from .turn import Turn
from .websocket import WebSocket

BEFORE = frozenset({"head", "fail", "tries", "retry_after", "retry_date", "no_retry_after", "error_body"})
"""Faults that the handshake's header asks of the handshake, and a model's suffix in `init` of the turn."""


@dataclass(frozen=True)
class Opening:
    """How a socket was opened: its words, the header of faults and the speed of its turns, the first turn's body."""

    words: Vocabulary
    header: str
    speed: float
    first: dict[str, Any] | None = None


class Session:
    """One open socket."""

    def __init__(self, exchange: Exchange, opening: Opening, gate: Gate, records: Records) -> None:
        self._exchange, self._opening, self._gate, self._records = exchange, opening, gate, records
        self.socket = WebSocket(exchange.connection, self._received, self._left)
        self.socket.mute = faults_of(opening.header).mute
        self._running: _Running | None = None
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until the connection is gone."""
        if self._opening.first is not None:
            self._start(self._opening.first, 0, negotiated=True)
        await self.socket.over()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _received(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self.socket.close(1003, "a message is one JSON object with a type")
        elif message["type"] == "init":
            parameters = message.get("parameters")
            named = {name: message[name] for name in ("model", "messages") if name in message}
            self._start({**(parameters if isinstance(parameters, dict) else {}), **named}, len(text.encode()))
        elif self._running is not None:
            self._running.take(message["type"], message.get("payload"))

    def _start(self, body: dict[str, Any], size: int, *, negotiated: bool = False) -> None:
        if self._running is not None:
            self.socket.close(1002, "one turn at a time")
            return
        opened = self._exchange.record
        record = self._records.open("WS", opened.path, opened.host, opened.has_key)
        record.session, record.stream = opened.id, True
        record.received(size)
        self._records.active.add(record.id)
        self._running = _Running(self.socket, record)
        self._task = asyncio.create_task(self._turn(self._running, body, negotiated))

    async def _turn(self, running: _Running, body: dict[str, Any], negotiated: bool) -> None:
        """One turn; whatever happens, it ends before the next can start."""
        record = running.record
        try:
            await self._answer(running, body, negotiated)
        except asyncio.CancelledError:  # only by `_left`
            if record.outcome == "running":
                record.disconnected()
        except Exception:
            record.outcome = "broken"
            self.socket.close(1011, "a defect of the simulator")
            raise
        finally:
            self._records.active.discard(record.id)
            self._running = None

    async def _answer(self, running: _Running, body: dict[str, Any], negotiated: bool) -> None:
        opening, settings, record = self._opening, self._gate.settings, running.record
        start = record.received_ns / 1e9
        try:
            turn = Turn(opening.words, body, opening.header, opening.speed, settings.seed)
        except Refusal as refusal:
            await running.announce()
            await running.refuse(error_message(refusal.error, refusal.status))
            return
        running.turn, record.model = turn, turn.request.profile.model
        self.socket.mute = turn.request.faults.mute
        before = Faults() if negotiated else of_suffix(body)
        if before.head:
            await running.sleep(before.head)
            start += before.head
        if self._gate.fails(self._exchange, before, msgspec.json.encode(body)):
            if before.fail == DROP:
                await running.finish(End("dropped"))
                return
            await running.announce()
            status = before.fail or 500
            await running.refuse(error_message(failure(status), status, retry_after(before)))
            return
        await running.announce()
        faults = turn.request.faults
        await play(running, script(faults, turn.chunks(), MessageFraming(faults)), start)
        if running.stopped:
            for message in turn.ending("cancelled"):
                await running.send(message, str(message["type"]))
            record.ended("cancelled")

    def _left(self) -> None:
        if self._running is not None and self._task is not None:
            # not at once: a task that is cancelled before its first step would leave its record open
            asyncio.get_running_loop().call_soon(self._task.cancel)


class _Running(SocketChannel):
    """The turn that runs."""

    def __init__(self, socket: WebSocket, record: Record) -> None:
        super().__init__(socket, record)
        self.turn: Turn | None = None
        self._news = asyncio.Event()

    def take(self, kind: str, payload: Any) -> None:
        """What the client sends in the middle of the turn."""
        if self.turn is None or self.turn.request.faults.deaf:
            return
        if kind == "cancel":
            self._cancelled.set()
        elif isinstance(payload, dict):
            self.turn.take(kind, payload)
        self._news.set()

    async def announce(self) -> None:
        """Send the `start` message, which says the id of the turn's record."""
        self.record.head(101)
        await self.send({"type": "start", "id": self.record.id}, "start")

    async def refuse(self, error: dict[str, Any]) -> None:
        """Send the error that ends the turn before it has said anything."""
        await self.send(error, "other")
        self.record.ended("refused")

    async def send(self, message: dict[str, Any], kind: str) -> None:
        """Send a message as it should be, or in the turn's own style."""
        faults = Faults() if self.turn is None else self.turn.request.faults
        await self.write(b"".join(MessageFraming(faults).pieces(message)), (kind,))

    async def results(self) -> None:
        """Wait for the results of all calls, an interruption, or a cancel."""
        while self.turn is not None and self.turn.waits and not self.stopped:
            self._news.clear()
            await self._news.wait()


def of_suffix(body: dict[str, Any]) -> Faults:
    """Of the faults in the model's suffix, those that come before a turn."""
    asked = faults_of(str(body.get("model", "")).partition("#")[2])
    return replace(Faults(), **{each.name: getattr(asked, each.name) for each in fields(Faults) if each.name in BEFORE})
