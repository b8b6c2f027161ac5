"""Responses on a WebSocket, as OpenAI's "WebSocket mode" has it: turns in lanes, steering, a memory of its own.

Facts: https://developers.openai.com/api/docs/guides/websocket-mode, and the types of the openai package.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from .answers import answer
from .channel import SocketChannel
from .exchange import Exchange
from .faults import DROP
from .frames import MessageFraming
from .framing import Failure
from .gate import Gate, retry_after
from .play import play
from .profiles import schedule
from .records import Record, Records
from .refusals import Refusal, error_object, failure
from .request import faults_of
from .responses import NOTHING
from .responses_events import ResponseStream
from .responses_memory import Items, Memory, Mint
from .responses_request import read_responses
from .script import End, script
from .session import Opening, of_suffix
from .websocket import WebSocket

Frame = dict[str, Any]

IN_FLIGHT: Final = 16
"""How many turns run at the same time on one socket; more wait."""
NAMED_LANES: Final = 32
PENDING_STEERS: Final = 16
_LIFE_S: Final = 3600.0
_LANE: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")


@dataclass
class _Steer:
    """Input that is queued for the response with the id `target`."""

    id: str
    target: str
    input: Any


@dataclass
class _Lane:
    """Turns that run one after the other; `newest` is the last response and all items up to its end."""

    name: str | None
    queue: asyncio.Queue[tuple[Frame, Record]] = field(default_factory=asyncio.Queue)
    newest: tuple[str, Items] | None = None
    running: ResponseStream | None = None
    steers: list[_Steer] = field(default_factory=list)


class ResponsesSession:
    """One open socket."""

    def __init__(self, exchange: Exchange, opening: Opening, gate: Gate, records: Records, memory: Memory) -> None:
        self._exchange, self._opening, self._gate, self._records = exchange, opening, gate, records
        self._memory, self._mint = memory, Mint(gate.settings.seed)
        faults = faults_of(opening.header)
        self._life = _LIFE_S if faults.life is None else faults.life
        self.socket = WebSocket(exchange.connection, self._received, self._left)
        self.socket.mute = faults.mute
        self._lanes: dict[str | None, _Lane] = {}
        self._waiting: dict[str, list[_Steer]] = {}
        self._open: set[Record] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        self._turns = asyncio.Semaphore(IN_FLIGHT)

    async def run(self) -> None:
        """Serve until the connection is gone."""
        self._spawn(self._limit())
        await self.socket.over()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # What the client sends

    def _received(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "response.create":
            self._create(message, len(text.encode()))
        elif kind == "response.steer":
            self._steer(message)
        else:
            known = "'response.create' and 'response.steer'"
            told = f"Invalid value: '{kind}'. Supported values are: {known}."
            self._say(_error(error_object(told, 400, param="type", code="invalid_value"), 400))

    def _create(self, message: Frame, size: int) -> None:
        name = message.pop("stream_id", None)
        if name is not None and not (isinstance(name, str) and _LANE.fullmatch(name)):
            told = f"Invalid 'stream_id': expected {_LANE.pattern}."
            self._say(_error(error_object(told, 400, param="stream_id", code="invalid_stream_id"), 400))
            return
        lane = self._lanes.get(name)
        if lane is None:
            if name is not None and len(self._lanes.keys() - {None}) == NAMED_LANES:
                told = f"A WebSocket connection has at most {NAMED_LANES} streams."
                code = "websocket_stream_limit_reached"
                self._say(_error(error_object(told, 400, param="stream_id", code=code), 400, name))
                return
            lane = self._lanes[name] = _Lane(name)
            self._spawn(self._serve(lane))
        record = self._record()
        record.received(size)
        lane.queue.put_nowait((message, record))

    def _steer(self, message: Frame) -> None:
        target, given = message.get("previous_response_id"), message.get("input")
        lanes = self._lanes.values()
        lane = next((each for each in lanes if each.running is not None and each.running.id == target), None)
        if lane is None or lane.running is None:
            known = any(each.newest is not None and each.newest[0] == target for each in lanes)
            code = "response_already_completed" if known else "response_not_found"
            type, fields = _steer_failed(code, _Steer("", str(target), given))
            self._say({"type": type, **fields, "sequence_number": 0})
            return
        stream = lane.running
        if stream.faults.deaf:
            return
        steer = _Steer(f"steer_{stream.id.removeprefix('resp_')}{len(lane.steers)}", stream.id, given)
        wrong = "" if _is_steering(message) else "invalid_input"
        if len(lane.steers) == PENDING_STEERS:
            wrong = "too_many_pending_steers"
        if wrong:
            stream.notices.append(_steer_failed(wrong, _Steer("", stream.id, given)))
            return
        lane.steers.append(steer)
        stream.steered = True
        told = {"id": steer.id, "previous_response_id": stream.id}
        stream.notices.append(("response.steer.accepted", {"steer": told}))

    # What the socket does

    async def _serve(self, lane: _Lane) -> None:
        """The turns of one lane, and after a steered one its successor."""
        while True:
            body, record = await lane.queue.get()
            async with self._turns:
                successor = await self._turn(lane, body, record)
                while successor is not None:
                    successor = await self._turn(lane, successor, self._record())

    async def _turn(self, lane: _Lane, body: Frame, record: Record) -> Frame | None:
        """One turn; returns the request of its successor, if it was steered."""
        channel = _LaneChannel(self.socket, record, self._writing)
        record.head(101)
        try:
            return await self._answer(lane, body, channel)
        except Exception:
            record.outcome = "broken"
            self.socket.close(1011, "a defect of the simulator")
            raise
        finally:
            channel.release()
            lane.running, lane.steers = None, []
            self._open.discard(record)
            self._records.active.discard(record.id)

    async def _answer(self, lane: _Lane, body: Frame, channel: _LaneChannel) -> Frame | None:
        opening, settings, record = self._opening, self._gate.settings, channel.record
        start, named = time.perf_counter(), body.get("previous_response_id")
        first = self._waiting.pop(named, []) if isinstance(named, str) else []
        if first:
            body = {**body, "input": [*_items(each.input for each in first), *_items([body.get("input") or []])]}
        asked = {name: value for name, value in body.items() if name != "type"} | {"stream": True}
        try:
            request = read_responses(asked, opening.header, self._memory, self._recall, self._mint)
            before = of_suffix(body)
        except Refusal as refusal:
            if first:
                self._waiting[str(named)] = first
            await self._refuse(lane, channel, named, _error(refusal.error, refusal.status, lane.name))
            return None
        chat, faults = request.chat, request.faults
        record.model = chat.profile.model
        self.socket.mute = faults.mute
        if before.head:
            await channel.sleep(before.head)
            start += before.head
        if self._gate.fails(self._exchange, before, msgspec.json.encode(body)):
            if before.fail == DROP:
                await channel.finish(End("dropped"))
                return None
            status = before.fail or 500
            frame = _error(failure(status), status, lane.name, retry_after(before))
            await self._refuse(lane, channel, named, frame)
            return None
        id = f"resp_{record.id.removeprefix('req_')}"

        def keep(items: Items) -> None:
            lane.newest = id, items
            if request.store:
                self._memory.keep(id, items)

        seed = settings.seed if chat.seed is None else chat.seed
        said = answer(chat, seed, 0) if request.generate else NOTHING
        pace = schedule(chat.profile, opening.speed, faults, f"pace {seed} {chat.digest}")
        stream = lane.running = ResponseStream(request, said, pace, id, self._mint, keep, lane.name)
        await play(channel, script(faults, stream.chunks(), MessageFraming(faults, _failure(stream, lane.name))), start)
        if record.outcome == "failed":
            self._evict(lane, named)
        return await self._steered(lane, body, stream, channel)

    async def _steered(self, lane: _Lane, body: Frame, stream: ResponseStream, channel: _LaneChannel) -> Frame | None:
        """What becomes of the input that was accepted meanwhile: a successor, or it waits for the results of tools."""
        steers, successor = lane.steers, None
        calls = [item for item in stream.output if item["type"] == "function_call"]
        if steers and (lane.newest is None or lane.newest[0] != stream.id):
            stream.notices += [_steer_failed("successor_creation_failed", steer) for steer in steers]
        elif steers and calls:
            wanted = [{name: each[name] for name in ("call_id", "name")} for each in calls]
            required = [{"type": "function_call_output", **each} for each in wanted]
            for steer in steers:
                told = {"id": steer.id, "previous_response_id": steer.target}
                why = {"reason": "waiting_for_required_input", "required_input": required}
                stream.notices.append(("response.steer.pending", {"steer": told, **why}))
            self._waiting[stream.id] = steers
        elif steers:
            settings = {name: value for name, value in body.items() if name not in ("input", "generate")}
            successor = settings | {"previous_response_id": stream.id, "input": _items(each.input for each in steers)}
        for type, fields in stream.notices:
            await channel.send(stream.event(type, fields))
        return successor

    async def _refuse(self, lane: _Lane, channel: _LaneChannel, named: object, frame: Frame) -> None:
        """End a turn before it has begun; a continuation that fails takes what it named out of the lane's memory."""
        self._evict(lane, named)
        await channel.send(frame)
        channel.record.ended("refused")

    @staticmethod
    def _evict(lane: _Lane, named: object) -> None:
        if lane.newest is not None and lane.newest[0] == named:
            lane.newest = None

    def _recall(self, id: str) -> Items | None:
        """A response that a lane has newest, whatever its `store`; or one that is stored."""
        for lane in self._lanes.values():
            if lane.newest is not None and lane.newest[0] == id:
                return lane.newest[1]
        return self._memory.recall(id)

    async def _limit(self) -> None:
        """The end of the connection's life, also of an idle one."""
        await asyncio.sleep(self._life)
        told = "Responses websocket connection limit reached. Create a new websocket connection to continue."
        await self._send(_error(error_object(told, 400, code="websocket_connection_limit_reached"), 400))
        for record in self._open:
            record.ended("closed")
        self.socket.close(1000, "connection limit reached")

    def _record(self) -> Record:
        opened = self._exchange.record
        record = self._records.open("WS", opened.path, opened.host, opened.has_key)
        record.session, record.stream = opened.id, True
        self._open.add(record)
        self._records.active.add(record.id)
        return record

    def _say(self, frame: Frame) -> None:
        self._spawn(self._send(frame))

    async def _send(self, frame: Frame) -> None:
        """Send a frame that belongs to no turn, between the messages of those that run."""
        async with self._writing:
            if not self.socket.closing:
                await self.socket.connection.drain()
                self.socket.connection.write(b"".join(MessageFraming(faults_of("")).pieces(frame)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _left(self) -> None:
        for record in self._open:
            if record.outcome == "running":
                record.disconnected()
            self._records.active.discard(record.id)
        for task in self._tasks:
            asyncio.get_running_loop().call_soon(task.cancel)


class _LaneChannel(SocketChannel):
    """A turn among others on its socket: a message in several fragments is not mixed with theirs."""

    def __init__(self, socket: WebSocket, record: Record, writing: asyncio.Lock) -> None:
        super().__init__(socket, record)
        self._writing = writing
        self._has_begun = False

    async def write(self, data: bytes, kinds: tuple[str, ...]) -> None:
        """Send bytes that complete messages of these `kinds`, or a part of one."""
        if not self._has_begun:
            await self._writing.acquire()
            self._has_begun = True
        await super().write(data, kinds)
        if kinds:
            self.release()

    async def send(self, frame: Frame) -> None:
        """Send a frame as it should be."""
        await self.write(b"".join(MessageFraming(faults_of("")).pieces(frame)), ("other",))

    def release(self) -> None:
        """Let the others write."""
        if self._has_begun:
            self._has_begun = False
            self._writing.release()


def _failure(stream: ResponseStream, lane: str | None) -> Failure:
    """How a turn reports an error: with a frame of the socket, or with the response's own last event."""

    def told(fault: str, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        return [_error(failure(500), 500, lane)] if fault == "error" else stream.failure(fault, body)

    return told


def _error(error: Mapping[str, Any], status: int, lane: str | None = None, wait: str | None = None) -> Frame:
    """The error that ends a turn; `error` is OpenAI's object, `status` and `wait` what HTTP would have said."""
    frame: Frame = {"type": "error", "status": status, **error}
    if wait is not None:
        frame["headers"] = {"retry-after": wait}
    return frame if lane is None else {**frame, "stream_id": lane}


def _steer_failed(code: str, steer: _Steer) -> tuple[str, dict[str, Any]]:
    """The type and fields of the event that gives back input which will not be used."""
    told = {"previous_response_id": steer.target, "input": steer.input, **({"id": steer.id} if steer.id else {})}
    message = f"The steering input was not used: {code.replace('_', ' ')}."
    error = {"type": "invalid_request_error", "code": code, "message": message}
    return "response.steer.failed", {"steer": told, "error": error}


def _is_steering(message: Frame) -> bool:
    """Whether a `response.steer` has nothing but messages of the user."""
    given = message.get("input")
    if message.keys() > {"type", "previous_response_id", "input"} or not given:
        return False
    return isinstance(given, str) or (
        isinstance(given, list)
        and all(
            isinstance(each, dict)
            and each.keys() <= {"type", "role", "content"}
            and each.get("type", "message") == "message"
            and each.get("role") == "user"
            and isinstance(each.get("content"), str | list)
            for each in given
        )
    )


def _items(inputs: Any) -> list[Any]:
    """The items of several inputs, each text or items."""
    return [
        item for given in inputs for item in ([{"role": "user", "content": given}] if isinstance(given, str) else given)
    ]
