"""An attempt over a WebSocket: one turn on a socket, which then serves the next turn of its place."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final

from ..errors import HolystreamError, ServiceError, SetupError, Stalled, StreamInterrupted
from ..events import Event, Finish, Usage
from ..facts import Facts
from ..wire.chat import ChunkDecoder
from ..wire.complaints import close_error
from ..wire.responses import ResponsesDecoder
from ..wire.sheep import CANCEL, MessageDecoder, event_message, init_message
from ..wire.websocket import Socket
from .ending import Said
from .request import Answer, Ears, Request, Service, check_size, error_body, kept, refusal

_CANCEL_S: Final = 0.05
_DEAD_S: Final = 1.0
"""How soon after a turn was asked for the end of a kept socket says that the service had closed it."""

_AFTER_CALLS_S: Final = 1.0
_CANCELLED: Final = frozenset({"cancelled", "canceled"})


class SocketTurn:
    """What turns on a socket have in common, whatever is spoken on it."""

    transport: Final = "ws"
    headers_at: int | None = None
    _decoder: MessageDecoder | ResponsesDecoder

    def __init__(
        self, service: Service, request: Request, socket: Socket, *, permit: int | None, is_first: bool
    ) -> None:
        self.permit = permit
        self.sent, self.written = socket.asked, socket.written
        self.opening = socket.opening if is_first else None
        self.resent = 0
        self.chunks: list[tuple[int, str]] = []
        self._service, self._request, self._socket = service, request, socket
        self._before = 0 if is_first else socket.bytes
        self._is_closed = False

    @property
    def size(self) -> int:
        return self._socket.bytes - self._before

    @property
    def request_id(self) -> str | None:
        return self._decoder.id or self._socket.headers.get("x-request-id")

    @property
    def facts(self) -> Facts:
        return self._decoder.facts

    @property
    def last_read(self) -> int:
        return self._socket.last_read

    def _decoded(
        self, messages: Sequence[str | bytes], stamp: int, take: Callable[[str | bytes, int], list[Event]]
    ) -> list[Event]:
        events: list[Event] = []
        for message in messages:
            events += take(message, stamp)
            if self._request.is_ended_by(self.facts):
                break
        return events

    @property
    def is_readable(self) -> bool:
        return self._socket.has_unread


class SocketAnswer(SocketTurn):
    """One turn on a socket, which then serves the next turn of its `place`."""

    echo: Final = None
    _decoder: MessageDecoder

    def __init__(
        self, service: Service, request: Request, socket: Socket, place: str, *, permit: int | None, is_first: bool
    ) -> None:
        super().__init__(service, request, socket, permit=permit, is_first=is_first)
        self._decoder = MessageDecoder(asked=request.model, key=service.secret, awaits_start=socket.names_turns)
        self._place = place
        self._is_first = is_first
        self._answers_calls = request.answers_calls
        self._results = 0
        self._result_at: float | None = None
        self._owed_end = False

    @property
    def said(self) -> Said:
        decoder = self._decoder
        return Said(decoder.finish_reason or "", decoder.done or decoder.finish_reason is not None)

    @property
    def waits_for_us(self) -> bool:
        """Whether it waits for the results of calls."""
        has_spoken = not self._decoder.open_calls
        return self._answers_calls and has_spoken and self._decoder.ended_calls > self._results

    @property
    def is_stale(self) -> bool:
        if self._is_first or not self._decoder.empty or self._socket.is_open:
            return False
        return self.sent is not None and self._socket.last_read - self.sent < _DEAD_S * 1e9

    async def begin(self) -> None:
        """Asks for the turn."""
        self.opening = self._socket.with_upgrade if self._is_first else None
        self.sent = await self._socket.send(init_message(self._request.body), self._service.websocket_inactivity)
        self.written = time.perf_counter_ns()

    async def events(self) -> AsyncGenerator[list[Event], None]:
        decoder, stamp = self._decoder, 0
        while True:
            is_declined = not self._answers_calls and decoder.ended_calls > 0 and not decoder.open_calls
            try:
                came = await self._socket.read(_AFTER_CALLS_S if is_declined else self._patience())
            except Stalled:
                if is_declined:
                    # Nobody will answer the calls on this socket, so for this stream they end the turn, as over SSE.
                    usage = [event for event in await self._cancelled(_AFTER_CALLS_S) if isinstance(event, Usage)]
                    decoder.finish_reason = "tool_calls"
                    yield [*usage, Finish("tool_calls", stamp)]
                    return
                if self.waits_for_us or (self._result_at is not None and self._patience() > 0):
                    continue
                raise
            if came is None:
                break
            self._result_at = None
            check_size(self._service, self.size)
            (stamp, messages), came = came, None
            events = self._decoded(messages, stamp, decoder.feed)
            if self._request.keep_chunks:
                self.chunks += [kept(self._service, stamp, message) for message in messages]
            messages = []  # a service may repeat a key in one, and a traceback shows it
            if events:
                yield events
                events = []
            if decoder.error is not None:
                raise decoder.error
            if decoder.done or self._request.is_ended_by(decoder.facts):
                return
        code, reason = self._socket.closed or (1005, "")
        error = close_error(code, reason, asked=self._request.model, key=self._service.secret)
        if error is not None:
            raise error

    def _patience(self) -> float:
        """How long a silence may last from now, in seconds: a result that was sent since the last read begins it."""
        whole = self._service.websocket_inactivity
        return whole if self._result_at is None else max(0.0, whole - (time.perf_counter() - self._result_at))

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        if self._is_closed or self._decoder.done:
            raise SetupError(f"{type} comes too late: this turn has ended.")
        await self._socket.send(
            event_message(type, payload, int(time.time() * 1e3)), self._service.websocket_inactivity
        )
        if type == "tool_result":
            self._results += 1
            self._result_at = time.perf_counter()

    def decline_calls(self) -> None:
        self._answers_calls = False

    async def finish(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        is_free = False
        try:
            await self._cancelled(_CANCEL_S)
            is_free = self._has_ended and not self._owed_end and self._socket.is_open
            self._socket.names_turns = self._socket.names_turns or self._decoder.is_named
        finally:
            await (self._service.sockets.keep(self._place, self._socket) if is_free else self._socket.aclose())

    async def _cancelled(self, seconds: float) -> list[Event]:
        """Tells the service to end the turn, unless it has; the events until then, where it does so in time."""
        events: list[Event] = []
        if self._decoder.error is not None and not self._has_ended:
            return events  # what comes cannot be read, not even the answer to a cancel
        with contextlib.suppress(TimeoutError, HolystreamError):
            async with asyncio.timeout(seconds):
                if self._socket.is_open and not self._has_ended and not self._owed_end:
                    self._owed_end = True
                    await self._socket.send(CANCEL, _CANCEL_S)
                while self._socket.is_open and not self._has_ended:
                    stamp, messages = await self._socket.read(None) or (0, [])
                    for message in messages:
                        events += self._decoder.feed(message, stamp)
                if self._decoder.finish_reason in _CANCELLED:
                    self._owed_end = False  # any other end crossed the cancel, whose own would end the next turn
        return events

    @property
    def _has_ended(self) -> bool:
        return self._decoder.done or isinstance(self._decoder.error, ServiceError)


async def on_kept_socket(service: Service, request: Request, place: str, ears: Ears) -> tuple[Answer | None, int]:
    """The turn on a socket that an earlier one left open, and how often it went out in vain.

    None where there is no socket, or where it took nothing: a new one is for the next try.
    """
    socket = await service.sockets.take(place)
    if socket is None:
        return None, 0
    ears.on_permit()
    answer = SocketAnswer(service, request, socket, place, permit=time.perf_counter_ns(), is_first=False)
    try:
        return await _begun(answer), 0
    except StreamInterrupted:
        return None, 1


async def turn(service: Service, request: Request, socket: Socket, place: str, resent: int) -> Answer:
    answer = SocketAnswer(service, request, socket, place, permit=socket.permit, is_first=True)
    answer.resent = resent
    return await _begun(answer)


async def _begun(answer: SocketAnswer) -> Answer:
    try:
        await answer.begin()
    except BaseException:
        await answer.aclose()
        raise
    return answer


async def opened(service: Service, request: Request, url: str, ears: Ears) -> Socket:
    """A new socket; what refuses it is an error."""
    socket = await service.sockets.open(
        url,
        headers=service.headers_at(url),
        query=service.query_at(url),
        connect_timeout=service.connect_timeout,
        inactivity=service.websocket_inactivity,
        on_permit=ears.on_permit,
    )
    if isinstance(socket, Socket):
        return socket
    if 200 <= socket.status < 300 and "json" in socket.headers.get("content-type", ""):
        decoder = ChunkDecoder(asked=request.model, key=service.secret)
        decoder.whole(await error_body(socket, service.secret), socket.headers_at)
        if isinstance(decoder.error, ServiceError):
            raise decoder.error
    if socket.status == 404 or socket.status < 400:
        await socket.aclose()
        raise ServiceError(
            f"{socket.host} opened no WebSocket (it answered {socket.status}): check the address, "
            'or use transport="sse".',
            status=socket.status,
        )
    raise refusal(service, request, socket, await error_body(socket, service.secret))
