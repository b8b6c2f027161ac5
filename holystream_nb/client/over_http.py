"""An attempt over HTTP: the request is posted, and its answer comes back as server-sent events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final

from ..errors import NotAStream, SetupError
from ..events import Event
from ..facts import Facts
from ..providers.secret import Key
from ..wire.chat import stray_error
from ..wire.complaints import redirect_error
from ..wire.format import Decoder
from ..wire.formats import format_of
from ..wire.refusals import names_echo, names_tokens_field, refuses_include_usage, refuses_limit, refuses_streaming
from ..wire.sse import Decoder as Lines
from ..wire.transport import Response
from ..wire.values import encoded
from .ending import Said
from .request import LIMITS, Answer, Ears, Request, Service, check_size, error_body, kept, refusal

_OF_SSE: Final = {
    "Accept": "text/event-stream",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_NOT_UNDERSTOOD: Final = frozenset({400, 405, 415, 422, 426, 501})
"""What services answer to a field or a header they do not know."""


class SSEAnswer:
    """The body of an HTTP answer."""

    transport: Final = "sse"
    is_stale: Final = False
    waits_for_us: Final = False

    def __init__(self, service: Service, request: Request, response: Response) -> None:
        self.permit, self.sent, self.headers_at = response.permit, response.sent, response.headers_at
        self.resent = response.resent
        self.opening, self.written = response.opening, response.written
        self.chunks: list[tuple[int, str]] = []
        self._service, self._request, self._response = service, request, response
        make = format_of(request.wire).decoder
        self._decoder: Decoder = make(
            asked=request.model, key=service.secret, choices=request.choices, limit=request.limit
        )

    @property
    def size(self) -> int:
        return self._response.bytes

    @property
    def request_id(self) -> str | None:
        headers = self._response.headers
        return headers.get("x-request-id") or headers.get("request-id") or self._decoder.id

    @property
    def said(self) -> Said:
        return Said(self._decoder.finish_reason or "", self._decoder.is_complete)

    @property
    def facts(self) -> Facts:
        return self._decoder.facts

    @property
    def echo(self) -> Any:
        return self._decoder.echo()

    @property
    def last_read(self) -> int:
        return self._response.last_read

    @property
    def is_readable(self) -> bool:
        return self._response.is_readable

    async def events(self) -> AsyncGenerator[list[Event], None]:
        decoder = self._decoder
        async with contextlib.aclosing(self._response.reads()) as reads:
            stamp, chunk, opening = await self._head(reads)
            if opening in (b"{", b"["):
                stamp, chunk = await self._whole(reads, stamp, chunk)
                if self._request.keep_chunks:
                    self.chunks.append(kept(self._service, stamp, chunk))
                yield decoder.whole(chunk, stamp)
                chunk = b""  # a service may repeat a key in it, and a traceback shows it
                if decoder.error is not None:
                    raise decoder.error
                return
            lines = Lines()
            while True:
                check_size(self._service, self.size)
                events = self._decoded(lines, chunk, stamp)
                chunk = b""
                if events:
                    yield events
                    events = []
                if decoder.error is not None:
                    raise decoder.error
                if decoder.done or self._request.is_ended_by(self.facts):
                    return
                try:
                    stamp, chunk = await anext(reads)
                except StopAsyncIteration:
                    break
        for events in [decoder.feed(event, stamp, cut=True) for event in lines.close()]:
            yield events
            events = []
        asked, key = self._request.model, self._service.secret
        error = decoder.error or stray_error(lines.ignored, empty=decoder.empty, asked=asked, key=key)
        if error is not None:
            raise error

    def _decoded(self, lines: Lines, chunk: bytes, stamp: int) -> list[Event]:
        events: list[Event] = []
        keeps = self._request.keep_chunks
        for event in lines.feed(chunk):
            if keeps:
                self.chunks.append(kept(self._service, stamp, event.data))
            events += self._decoder.feed(event, stamp)
            if self._decoder.done or self._decoder.error is not None or self._request.is_ended_by(self.facts):
                break
        return events

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
        stamp, parts, opening = 0, [b""], b""
        while not opening:
            try:
                stamp, chunk = await anext(reads)
            except StopAsyncIteration:
                break
            check_size(self._service, self.size)
            opening = chunk.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
            parts.append(chunk)
        if opening == b"<":
            parts, chunk = [], b""
            raise NotAStream(
                f"{self._service.base_url} answered with a web page, not with an answer of a model: check the address."
            )
        return stamp, b"".join(parts), opening

    async def _whole(self, reads: AsyncIterator[tuple[int, bytes]], stamp: int, head: bytes) -> tuple[int, bytes]:
        """The last stamp and the whole body of an answer that was not streamed although that was asked for."""
        parts = [head]
        async for stamp, chunk in reads:  # noqa: B007  # the last read's stamp is the answer's
            parts.append(chunk)
            check_size(self._service, self.size)
        return stamp, b"".join(parts)


async def over_sse(service: Service, request: Request, ears: Ears) -> Answer:
    return SSEAnswer(service, request, await posted(service, request, ears, offer=False))


async def posted(service: Service, request: Request, ears: Ears, *, offer: bool) -> Response:
    """The head of an answer that is a success; `offer` asks for the offer of a socket instead of the answer (B).

    What a service refuses by name is left out, or called as it wants it, and asked once more: the report of usage, the
    limit's field, a limit of ours above its own, what goes back of earlier turns, streaming itself.
    """
    offer = offer and service.asks_for_socket
    is_refused = False
    wire = format_of(request.wire)
    await service.sockets.make_room()
    while True:
        headers: dict[str, str | Key] = {**_OF_SSE, **wire.headers, **service.headers_of(request.wire)}
        body = _body(service, request)
        usage = "stream_options" in body and "stream_options" not in request.body
        if offer:
            headers["Upgrade"] = "websocket"
            body["agent_mode"] = True
        elif request.session and request.wire == "chat" and service.provider.websocket_emulation:
            headers |= {"X-Session-ID": request.session, "X-Streaming-Mode": "websocket-emulation"}
            body["stream_mode"] = "websocket-compatible"
        written = _written(service, request, body)
        response = await service.connections.post(
            service.address(request.wire) + wire.path,
            headers=headers,
            body=encoded(written),
            connect_timeout=service.connect_timeout,
            inactivity=service.inactivity,
            on_permit=ears.on_permit,
            query=service.query,
        )
        if 200 <= response.status < 300:
            service.asks_for_socket = service.asks_for_socket and not is_refused
            return response
        if "location" in response.headers:
            await response.aclose()
            raise redirect_error(response.status, response.headers["location"], service.base_url, service.secret)
        said = await error_body(response, service.secret)
        if usage and refuses_include_usage(response.status, said):
            service.asks_for_usage = False
        elif _renames_limit(service, request, body, response.status, said):
            pass
        elif request.ceiling is not None and (of := refuses_limit(response.status, said, request.ceiling)) is not None:
            if of == "model":
                service.refused_limits[request.model] = request.ceiling
            request = request.without_limit  # the model's own holds, which is lower
        elif _says_of_echo(service, request, response.status, said):
            if written == _written(service, request, body):
                raise refusal(service, request, response, said)
        elif body["stream"] and refuses_streaming(response.status, said):
            service.unstreamed.add(request.model)
            ears.notify("the service does not stream this model: its whole answer was asked for")
        elif offer and response.status in _NOT_UNDERSTOOD:
            offer, is_refused = False, True
        else:
            raise refusal(service, request, response, said)


def _body(service: Service, request: Request) -> dict[str, Any]:
    """The request's body as this service is known to take it."""
    body = dict(service.known(request).body)
    if request.model in service.unstreamed:
        body["stream"] = False
    if not body["stream"]:
        body.pop("stream_options", None)
    elif request.wire == "chat" and service.asks_for_usage and "stream_options" not in body:
        body["stream_options"] = {"include_usage": True}
    wanted = service.tokens_fields.get(request.model)
    for name in LIMITS:
        if wanted and name != wanted and name in body:
            body[wanted] = body.pop(name)
    return body


def _written(service: Service, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body in its format, with what this service is known to want back of earlier turns."""
    return format_of(request.wire).body(body, service.provider_of(request.model))


def _renames_limit(service: Service, request: Request, body: Mapping[str, Any], status: int, said: bytes) -> bool:
    """Whether a refusal names the field that the limit on the answer should go by: once a model."""
    wanted = names_tokens_field(status, said)
    if wanted is None or wanted in body or request.model in service.tokens_fields:
        return False
    service.tokens_fields[request.model] = wanted
    return any(name in body for name in LIMITS)


def _says_of_echo(service: Service, request: Request, status: int, said: bytes) -> bool:
    """Whether a refusal says what it wants back of earlier turns, or does not: each once a model."""
    named = names_echo(status, said)
    known = service.echoes.setdefault(request.model, {})
    if named is None or named[0] in known:
        return False
    known[named[0]] = named[1]
    return True
