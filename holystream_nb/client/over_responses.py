"""An attempt over a WebSocket as OpenAI's Responses have it: a turn is a `response.create`, and its events come back.

A kept socket's service still has its newest response, whatever `store` says. Where a request goes on from exactly that
conversation, only what is new goes out, with `previous_response_id`; in every other case all of it does. Turns run one
after the other on a socket; those that run at the same time have one each.

Source: https://platform.openai.com/docs/guides/websocket-mode.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import HolystreamError, SetupError, StreamInterrupted
from ..events import Event, Text, ToolCallPart
from ..wire.calls import is_object
from ..wire.complaints import close_error
from ..wire.format import without_echo
from ..wire.responses import ResponsesDecoder
from ..wire.responses_request import body
from ..wire.values import encoded
from ..wire.websocket import Socket
from .ending import Said
from .over_socket import SocketTurn, opened
from .request import Answer, Ears, Request, Service, check_size, kept

_LIFE_S: Final = 24 * 60.0
"""How old a socket may be when a turn begins on it: xAI ends one after 25 minutes, OpenAI after 60."""

_REST_S: Final = 600.0
"""How long it waits for the next turn: tools take their time, and people too."""

_DEAD_S: Final = 1.0
"""How soon after a turn was asked for the end of a kept socket says that the service had closed it."""

_NOT_REMEMBERED: Final = "previous_response_not_found"
_TOO_OLD: Final = "websocket_connection_limit_reached"
_NOT_FOR_SOCKETS: Final = ("stream", "background")
_SETTINGS: Final = ("model", "tools", "instructions")
_ELSEWHERE: Final = ("previous_response_id", "conversation")
"""Fields that stand for a conversation which the messages do not hold."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A conversation whose end is the newest response on a socket: what was asked, and what it answered."""

    id: str
    settings: tuple[Any, ...]
    messages: Sequence[Mapping[str, Any]]
    text: str
    calls: tuple[tuple[str, str, str], ...]

    def known(self, asked: Mapping[str, Any]) -> int:
        """How many of a request's messages the service has; 0 where it does not go on from here."""
        messages, count = asked["messages"], len(self.messages)
        if len(messages) < count + 2 or _settings(asked) != self.settings or any(name in asked for name in _ELSEWHERE):
            return 0
        is_same = without_echo(messages[:count]) == self.messages and self._is_answer(messages[count])
        return count + 1 if is_same else 0

    def _is_answer(self, message: Mapping[str, Any]) -> bool:
        """Whether a message is this response, as whoever continues a conversation writes it."""
        text, calls = message.get("content") or "", message.get("tool_calls") or []
        if message["role"] != "assistant" or not isinstance(text, str) or text.strip() != self.text.strip():
            return False
        if len(calls) != len(self.calls):
            return False
        for call, (id, name, arguments) in zip(calls, self.calls, strict=True):
            function = call.get("function") or {}
            if (call.get("id"), function.get("name")) != (id, name):
                return False
            # Arguments that are no object are written anew for services that parse them.
            if function.get("arguments") != arguments and is_object(arguments):
                return False
        return True


class ResponsesAnswer(SocketTurn):
    """One turn on a socket, which then serves the next one of its address."""

    waits_for_us: Final = False
    _decoder: ResponsesDecoder

    def __init__(
        self, service: Service, request: Request, socket: Socket, url: str, ears: Ears, *, known: int | None
    ) -> None:
        """`known` is how many of the messages the service has, on a kept socket; None is a new one."""
        is_first = known is None
        permit = socket.permit if is_first else time.perf_counter_ns()
        super().__init__(service, request, socket, permit=permit, is_first=is_first)
        self._url, self._ears = url, ears
        self._decoder = ResponsesDecoder(asked=request.model, key=service.secret, limit=request.limit)
        self._known = known
        self._said: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._held: list[Any] = []

    @property
    def said(self) -> Said:
        return Said(self._decoder.finish_reason or "", self._decoder.is_complete)

    @property
    def echo(self) -> Any:
        return self._decoder.echo()

    @property
    def is_stale(self) -> bool:
        """Whether a kept socket had died, was too old, or its service had forgotten: before anything was answered."""
        if self._known is None or not self._decoder.empty:
            return False
        code = getattr(self._decoder.error, "code", None)
        if code == _TOO_OLD or (code == _NOT_REMEMBERED and self._known):
            return True
        is_dead = self.sent is not None and self._socket.last_read - self.sent < _DEAD_S * 1e9
        return self._decoder.error is None and not self._socket.is_open and is_dead

    async def begin(self, frame: str) -> None:
        """Asks for the turn."""
        self.opening = self._socket.with_upgrade if self._known is None else None
        self._socket.memory = None  # a turn that fails takes with it what it went on from
        self.sent = await self._socket.send(frame, self._service.websocket_inactivity)
        self.written = time.perf_counter_ns()

    async def events(self) -> AsyncGenerator[list[Event], None]:
        decoder = self._decoder
        while (came := await self._socket.read(self._service.websocket_inactivity)) is not None:
            check_size(self._service, self.size)
            (stamp, messages), came = came, None
            events = self._decoded(messages, stamp, decoder.take)
            if self._request.keep_chunks:
                self.chunks += [kept(self._service, stamp, message) for message in messages]
            messages = []  # a service may repeat a key in one, and a traceback shows it
            if events:
                self._remember(events)
                yield events
                events = []
            if self._held:
                await self._steer()
            while decoder.notices:
                self._ears.notify(decoder.notices.pop(0))
            if decoder.done or self.is_stale or self._request.is_ended_by(decoder.facts):
                return
            if getattr(decoder.error, "code", None) == _TOO_OLD:
                raise StreamInterrupted(
                    f"{self._socket.host} ended the connection, which had been open for too long; what had arrived is "
                    "kept: try again."
                ) from decoder.error
            if decoder.error is not None:
                raise decoder.error
        code, reason = self._socket.closed or (1005, "")
        error: HolystreamError | None = close_error(code, reason, asked=self._request.model, key=self._service.secret)
        if error is None and decoder.empty:
            error = StreamInterrupted(f"{self._socket.host} closed the connection before it answered: try again.")
        if error is not None:
            raise error

    def _remember(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is Text:
                self._said.append(event.text)
            elif isinstance(event, ToolCallPart):
                call = self._calls.setdefault(event.index, ["", "", ""])
                call[0], call[1], call[2] = call[0] or event.id, call[1] or event.name, call[2] + event.arguments

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        if type != "steer":
            raise SetupError(
                f"{type} is no event of a Responses socket: steer is the one; a tool's result stands in the messages "
                "of the next turn."
            )
        given = payload.get("input") if isinstance(payload, Mapping) else None
        if not given or not isinstance(given, str | list):
            raise SetupError('steer needs its input: give {"input": "a text"}, or a list of messages of the user.')
        if self._is_closed or self._decoder.is_complete or self._decoder.error is not None:
            raise SetupError("steer comes too late: this answer has ended.")
        encoded(given)  # or raises
        self._held.append(given)
        await self._steer()

    async def _steer(self) -> None:
        """Sends the input that is held, once the response has the id which it must name."""
        while self._held and self._decoder.id is not None:
            given = self._held.pop(0)
            self._decoder.steer(given)
            frame = {"type": "response.steer", "previous_response_id": self._decoder.id, "input": given}
            await self._socket.send(encoded(frame).decode(), self._service.websocket_inactivity)

    def decline_calls(self) -> None:
        """Tool calls end the answer anyway: the next turn carries their results."""

    async def finish(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Keeps the socket of a turn that has ended. Closing it is what ends any other: no event cancels a turn."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._decoder.done or self._decoder.error is not None or not self._socket.is_open:
            await self._socket.aclose()
            return
        asked = self._request.body
        if self._decoder.id is not None and not any(name in asked for name in _ELSEWHERE):
            self._socket.memory = Remembered(
                self._decoder.id,
                _settings(asked),
                without_echo(asked["messages"]),
                "".join(self._said),
                tuple((id, name, arguments) for _, (id, name, arguments) in sorted(self._calls.items())),
            )
        await self._service.sockets.keep(self._url, self._socket, _REST_S)


def _settings(asked: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(asked.get(name) for name in _SETTINGS)


async def over_responses(service: Service, request: Request, url: str, ears: Ears) -> Answer:
    """The turn on the kept socket that knows most of it, else on a new one."""
    whole, resent = _frame(service, request), 0
    if not request.is_again and (socket := await _kept(service, request, url)) is not None:
        ears.on_permit()
        known = _known(socket, request)
        frame = _frame(service, request, known, socket.memory.id) if known else whole
        try:
            return await _begun(ResponsesAnswer(service, request, socket, url, ears, known=known), frame)
        except StreamInterrupted:
            resent = 1  # it took nothing
    socket = await opened(service, request, url, ears)
    answer = await _begun(ResponsesAnswer(service, request, socket, url, ears, known=None), whole)
    answer.resent = resent
    return answer


def _frame(service: Service, request: Request, known: int = 0, previous: str = "") -> str:
    """The message that asks for a turn, which goes on from a response if the service has `known` messages."""
    written = body(service.known(request).body, service.provider_of(request.model), known)
    frame = {name: value for name, value in written.items() if name not in _NOT_FOR_SOCKETS}
    if known:
        frame["previous_response_id"] = previous
    return encoded({"type": "response.create", **frame}).decode()


def _known(socket: Socket, request: Request) -> int:
    return socket.memory.known(request.body) if isinstance(socket.memory, Remembered) else 0


async def _kept(service: Service, request: Request, url: str) -> Socket | None:
    while (socket := await service.sockets.take(url, lambda each: _known(each, request))) is not None:
        if socket.opened is None or time.perf_counter_ns() - socket.opened < _LIFE_S * 1e9:
            return socket
        await socket.aclose()
    return None


async def _begun(answer: ResponsesAnswer, frame: str) -> ResponsesAnswer:
    try:
        await answer.begin(frame)
    except BaseException:
        await answer.aclose()
        raise
    return answer
