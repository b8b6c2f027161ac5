"""One try: a request goes out over server-sent events or a WebSocket, and its answer comes back as batches of events.

What the two have in common is `Answer`; which one it becomes is decided by `ask`. Retries, stop and limits on the whole
are `streams`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from . import __version__
from .errors import HolystreamError, NotAStream, ServiceError, SetupError, Stalled, StreamInterrupted, TooLarge
from .events import Event, Finish, Usage
from .providers import Key, Provider, offered_socket, socket_address
from .reply import TransportChoice
from .wire.complaints import close_error, redirect_error, refuses_include_usage, service_error
from .wire.dialects import ChunkDecoder, stray_error
from .wire.frames import CANCEL, MessageDecoder, event_message, init_message
from .wire.sse import Decoder
from .wire.transport import Response, Transport
from .wire.values import encoded
from .wire.websocket import Socket, Sockets

_OF_SSE: Final = {
    "Accept": "text/event-stream",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_ERROR_BODY_BYTES: Final = 64 * 1024
_CANCEL_S: Final = 0.05
_AFTER_CALLS_S: Final = 1.0
_CANCELLED: Final = frozenset({"cancelled", "canceled"})
_NOT_UNDERSTOOD: Final = frozenset({400, 405, 415, 422, 426, 501})
"""What services answer to a field or a header they do not know."""


@dataclass(slots=True)
class Service:
    """One service as a client reaches it: address, key, connections, limits (s, B), and what it was found to refuse."""

    provider: Provider
    base_url: str
    key: Key | None
    further_headers: Mapping[str, str] = field(repr=False)
    connections: Transport
    sockets: Sockets
    connect_timeout: float
    inactivity: float
    max_bytes: int
    asks_for_usage: bool
    asks_for_socket: bool = True

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request, with the key."""
        headers = {"User-Agent": f"holystream_nb/{__version__}", **self.further_headers}
        return headers if self.key is None else {**headers, "Authorization": f"Bearer {self.key.reveal()}"}

    @property
    def secret(self) -> str:
        """The key, for whoever must keep it out of a message."""
        return self.key.reveal() if self.key is not None else ""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, before policy: everything a retry needs.

    `session` is the id of a connection; "" outside of one. `answers_calls`: the results of tool calls come back on the
    socket; without, a second of silence after the last call ends the answer.
    """

    body: Mapping[str, Any]
    model: str
    transport: TransportChoice
    session: str = ""
    answers_calls: bool = False


class Answer(Protocol):
    """An answer whose head has arrived. `permit`, `sent` and `headers_at` are stamps (ns), `size` what has come (B).

    `is_whole` says that the service ended it; `is_stale` that it died on a kept socket before it began.
    """

    permit: int | None
    sent: int | None
    headers_at: int | None

    @property
    def transport(self) -> Literal["sse", "ws"]: ...
    @property
    def size(self) -> int: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def finish_reason(self) -> str | None: ...
    @property
    def is_whole(self) -> bool: ...
    @property
    def is_stale(self) -> bool: ...

    def events(self) -> AsyncGenerator[list[Event], None]:
        """The events, read by read."""
        ...

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        """Sends an event into the running answer; SetupError where it has no way in."""
        ...

    def decline_calls(self) -> None:
        """No result of a tool call will be sent any more."""
        ...

    async def finish(self) -> None:
        """Closes a complete answer, so that its connection can be used again."""
        ...

    async def aclose(self) -> None:
        """Ends the answer at once, within 100 ms for the service."""
        ...


async def ask(service: Service, request: Request, notify: Callable[[str], None]) -> Answer:
    """Sends a request; `notify` takes a word on why it did not go as asked.

    Raises the errors of the wire, and ServiceError for a refusal.
    """
    if request.transport == "sse":
        return await _over_sse(service, request)
    own = socket_address(service.provider) if request.transport == "ws" else None
    place = own or service.base_url
    kept = await _on_kept_socket(service, request, place)
    if kept is not None:
        return kept
    if own is not None:
        socket = await _opened(service, request, own)
        return await _turn(service, request, socket, place)
    return await _negotiated(service, request, place, notify)


# Server-sent events


class _SSEAnswer:
    """The body of an HTTP answer."""

    transport: Final = "sse"
    is_stale: Final = False

    def __init__(self, service: Service, request: Request, response: Response) -> None:
        self.permit, self.sent, self.headers_at = response.permit, response.sent, response.headers_at
        self._service, self._request, self._response = service, request, response
        self._decoder = ChunkDecoder(asked=request.model, key=service.secret)

    @property
    def size(self) -> int:
        return self._response.bytes

    @property
    def request_id(self) -> str | None:
        return self._response.headers.get("x-request-id") or self._decoder.id

    @property
    def finish_reason(self) -> str | None:
        return self._decoder.finish_reason

    @property
    def is_whole(self) -> bool:
        return self._decoder.done or self._decoder.finish_reason is not None

    async def events(self) -> AsyncGenerator[list[Event], None]:
        decoder = self._decoder
        async with contextlib.aclosing(self._response.reads()) as reads:
            stamp, chunk, opening = await self._head(reads)
            if opening in (b"{", b"["):
                stamp, chunk = await self._whole(reads, stamp, chunk)
                yield decoder.whole(chunk, stamp)
                if decoder.error is not None:
                    raise decoder.error
                return
            lines = Decoder()
            while True:
                _check_size(self._service, self.size)
                events: list[Event] = []
                for event in lines.feed(chunk):
                    events += decoder.feed(event, stamp)
                    if decoder.done or decoder.error is not None:
                        break
                if events:
                    yield events
                if decoder.error is not None:
                    raise decoder.error
                if decoder.done:
                    return
                try:
                    stamp, chunk = await anext(reads)
                except StopAsyncIteration:
                    break
                except StreamInterrupted:
                    if decoder.finish_reason is None:
                        raise
                    return  # it broke behind the end that the service had named
        for event in lines.close():
            yield decoder.feed(event, stamp, cut=True)
        asked, key = self._request.model, self._service.secret
        error = decoder.error or stray_error(lines.ignored, empty=decoder.empty, asked=asked, key=key)
        if error is not None:
            raise error

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        raise SetupError(
            f"{type} needs a socket, and this answer comes over server-sent events: "
            'connect(transport="ws") opens one where the service has it.'
        )

    def decline_calls(self) -> None:
        """Over server-sent events tool calls end the answer anyway."""

    async def finish(self) -> None:
        await self._response.finish()

    async def aclose(self) -> None:
        await self._response.aclose()

    async def _head(self, reads: AsyncIterator[tuple[int, bytes]]) -> tuple[int, bytes, bytes]:
        """The body as far as its first character: the stamp, the bytes, and that character (none in an empty body)."""
        stamp, head, opening = 0, b"", b""
        while not opening:
            try:
                stamp, chunk = await anext(reads)
            except StopAsyncIteration:
                break
            head += chunk
            opening = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if opening == b"<":
            raise NotAStream(
                f"{self._service.base_url} answered with a web page, not with a chat completion: check the address."
            )
        return stamp, head, opening

    async def _whole(self, reads: AsyncIterator[tuple[int, bytes]], stamp: int, head: bytes) -> tuple[int, bytes]:
        """The last stamp and the whole body of an answer that was not streamed although that was asked for."""
        parts = [head]
        async for stamp, chunk in reads:  # noqa: B007  # the last read's stamp is the answer's
            parts.append(chunk)
            _check_size(self._service, self.size)
        return stamp, b"".join(parts)


async def _over_sse(service: Service, request: Request) -> Answer:
    return _SSEAnswer(service, request, await _posted(service, request, offer=False))


async def _posted(service: Service, request: Request, *, offer: bool) -> Response:
    """The head of an answer that is a success; `offer` asks for the offer of a socket instead of the answer (B)."""
    offer = offer and service.asks_for_socket
    is_refused = False
    await service.sockets.make_room()
    while True:
        headers, body = {**_OF_SSE, **service.headers}, dict(request.body)
        usage = service.asks_for_usage and "stream_options" not in body
        if usage:
            body["stream_options"] = {"include_usage": True}
        if offer:
            headers["Upgrade"] = "websocket"
            body["agent_mode"] = True
        elif request.session and service.provider.websocket_emulation:
            headers |= {"X-Session-ID": request.session, "X-Streaming-Mode": "websocket-emulation"}
            body["stream_mode"] = "websocket-compatible"
        response = await service.connections.post(
            f"{service.base_url}/chat/completions",
            headers=headers,
            body=encoded(body),
            connect_timeout=service.connect_timeout,
            inactivity=service.inactivity,
        )
        if 200 <= response.status < 300:
            service.asks_for_socket = service.asks_for_socket and not is_refused
            return response
        if "location" in response.headers:
            await response.aclose()
            raise redirect_error(response.status, response.headers["location"], service.base_url, service.secret)
        said = await _error_body(response)
        if usage and refuses_include_usage(response.status, said):
            service.asks_for_usage = False
        elif offer and response.status in _NOT_UNDERSTOOD:
            offer, is_refused = False, True
        else:
            raise _refusal(service, request, response, said)


async def _error_body(response: Response) -> bytes:
    try:
        return await response.body(_ERROR_BODY_BYTES)
    finally:
        await response.aclose()


def _refusal(service: Service, request: Request, response: Response, said: bytes) -> ServiceError:
    return service_error(
        response.status, response.headers, said, model=request.model, now=time.time(), key=service.secret
    )


def _check_size(service: Service, size: int) -> None:
    if size > service.max_bytes:
        raise TooLarge(
            f"The answer is larger than {service.max_bytes:,} bytes; what had arrived is kept: "
            "ask for less with max_tokens, or raise `max_bytes`."
        )


# WebSocket


class _SocketAnswer:
    """One turn on a socket, which then serves the next turn of its `place`."""

    transport: Final = "ws"
    headers_at: int | None = None

    def __init__(
        self, service: Service, request: Request, socket: Socket, place: str, *, permit: int | None, is_first: bool
    ) -> None:
        self.permit = permit
        self.sent = socket.asked
        self._service, self._request, self._socket, self._place = service, request, socket, place
        self._decoder = MessageDecoder(asked=request.model, key=service.secret, awaits_start=socket.names_turns)
        self._is_first = is_first
        self._before = 0 if is_first else socket.bytes
        self._answers_calls = request.answers_calls
        self._results = 0
        self._result_at: float | None = None
        self._owed_end = False
        self._is_closed = False

    @property
    def size(self) -> int:
        return self._socket.bytes - self._before

    @property
    def request_id(self) -> str | None:
        return self._decoder.id or self._socket.headers.get("x-request-id")

    @property
    def finish_reason(self) -> str | None:
        return self._decoder.finish_reason

    @property
    def is_whole(self) -> bool:
        return self._decoder.done or self._decoder.finish_reason is not None

    @property
    def is_stale(self) -> bool:
        return not self._is_first and self._decoder.empty and not self._socket.is_open

    async def begin(self) -> None:
        """Asks for the turn."""
        self.sent = await self._socket.send(init_message(self._request.body), self._service.inactivity)

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
                if self._owes_results or (self._result_at is not None and self._patience() > 0):
                    continue
                raise
            if came is None:
                break
            self._result_at = None
            stamp, messages = came
            _check_size(self._service, self.size)
            events: list[Event] = []
            for message in messages:
                events += decoder.feed(message, stamp)
            if events:
                yield events
            if decoder.error is not None:
                raise decoder.error
            if decoder.done:
                return
        code, reason = self._socket.closed or (1005, "")
        error = close_error(code, reason, asked=self._request.model, key=self._service.secret)
        if error is not None:
            raise error

    @property
    def _owes_results(self) -> bool:
        """Whether the service waits for us, so that its silence is not limited."""
        has_spoken = not self._decoder.open_calls
        return self._answers_calls and has_spoken and self._decoder.ended_calls > self._results

    def _patience(self) -> float:
        """How long a silence may last from now, in seconds: a result that was sent since the last read begins it."""
        whole = self._service.inactivity
        return whole if self._result_at is None else max(0.0, whole - (time.perf_counter() - self._result_at))

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        if self._is_closed or self._decoder.done:
            raise SetupError(f"{type} comes too late: this turn has ended.")
        await self._socket.send(event_message(type, payload, int(time.time() * 1e3)), self._service.inactivity)
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


async def _on_kept_socket(service: Service, request: Request, place: str) -> Answer | None:
    """The turn on a socket that an earlier one left open; None where there is none that works."""
    while (socket := await service.sockets.take(place)) is not None:
        answer = _SocketAnswer(service, request, socket, place, permit=time.perf_counter_ns(), is_first=False)
        with contextlib.suppress(StreamInterrupted):
            return await _begun(answer)
    return None


async def _turn(service: Service, request: Request, socket: Socket, place: str) -> Answer:
    return await _begun(_SocketAnswer(service, request, socket, place, permit=socket.permit, is_first=True))


async def _begun(answer: _SocketAnswer) -> Answer:
    try:
        await answer.begin()
    except BaseException:
        await answer.aclose()
        raise
    return answer


async def _opened(service: Service, request: Request, url: str) -> Socket:
    """A new socket; what refuses it is an error."""
    socket = await service.sockets.open(
        url, headers=service.headers, connect_timeout=service.connect_timeout, inactivity=service.inactivity
    )
    if isinstance(socket, Socket):
        return socket
    if 200 <= socket.status < 300 and "json" in socket.headers.get("content-type", ""):
        decoder = ChunkDecoder(asked=request.model, key=service.secret)
        decoder.whole(await _error_body(socket), socket.headers_at)
        if isinstance(decoder.error, ServiceError):
            raise decoder.error
    if socket.status == 404 or socket.status < 400:
        await socket.aclose()
        raise ServiceError(
            f"{socket.host} opened no WebSocket (it answered {socket.status}): check the address, "
            'or use transport="sse".',
            status=socket.status,
        )
    raise _refusal(service, request, socket, await _error_body(socket))


async def _negotiated(service: Service, request: Request, place: str, notify: Callable[[str], None]) -> Answer:
    """The turn on the socket that the service offers; where it offers none, the ordinary answer."""
    response = await _posted(service, request, offer=True)
    offered = response.headers.get("sec-websocket-url") or response.headers.get("upgrade-url")
    if not offered:
        if request.transport == "ws":
            notify("no socket is offered: over SSE")
        return _SSEAnswer(service, request, response)
    await response.finish()
    url = offered_socket(service.provider, offered)
    if url is None:
        notify("the offered socket is on a host that is not the provider's: over SSE")
        return await _over_sse(service, request)
    try:
        socket = await _opened(service, request, url)
    except HolystreamError:
        notify("the offered socket could not be opened: over SSE")
        return await _over_sse(service, request)
    # The turn that the POST asked for begins when its socket is opened.
    return _SocketAnswer(service, request, socket, place, permit=response.permit, is_first=True)
