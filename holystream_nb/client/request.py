"""A service as a client reaches it, what is asked of it, and what both ways of asking have in common."""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Final, Literal, Protocol
from urllib.parse import urljoin, urlsplit
from weakref import WeakSet

from .. import __version__
from ..errors import HolystreamError, ServiceError, TooLarge
from ..events import Event
from ..facts import Facts, Wire
from ..parts import Opening
from ..providers.address import host_and_port
from ..providers.secret import Key, Secrets
from ..providers.table import UNLISTED
from ..providers.values import Provider
from ..reply import TransportChoice
from ..wire.complaints import service_error
from ..wire.formats import format_of
from ..wire.redaction import Hidden, concealed, hide
from ..wire.transport import Response, Transport
from ..wire.unreachable import says_that_it_speaks_tls, speaks_tls
from ..wire.websocket import Sockets
from .ending import Said

LIMITS: Final = ("max_tokens", "max_completion_tokens")
"""What services call the limit on an answer."""

_OF_RESPONSES: Final = "max_output_tokens"
"""What Responses calls it."""

_ERROR_BODY_BYTES: Final = 64 * 1024
_NO_ADDRESS: Final = re.compile(rb"not found|not allowed|endpoint|\burl\b|no route|cannot post", re.IGNORECASE)
_CARRIES_A_KEY: Final = re.compile(r"auth|key|token|cookie", re.IGNORECASE)


@dataclass(slots=True)
class Service:
    """One service as a client reaches it: address, key, connections, limits (s, B), and what it was found to refuse.

    `inactivity` is the limit on a silence, `websocket_inactivity` the one on a socket, `progress_timeout` the limit on
    the time without output.
    """

    provider: Provider
    base_url: str
    key: Key | None
    key_header: str | None
    further_headers: Secrets
    query: Secrets
    connections: Transport
    sockets: Sockets
    connect_timeout: float
    inactivity: float
    websocket_inactivity: float
    progress_timeout: float
    max_bytes: int
    asks_for_usage: bool
    asks_for_socket: bool = True
    unstreamed: set[str] = field(default_factory=set)
    """Models that the service has refused to stream."""
    tokens_fields: dict[str, str] = field(default_factory=dict)
    """What the service has said a model's limit on its answer is called."""
    refused_limits: dict[str, int] = field(default_factory=dict)
    """Limits on an answer that the service has refused, as the model writes less in any case."""
    echoes: dict[str, dict[str, bool]] = field(default_factory=dict)
    """What of earlier turns the service has said it wants back for a model, or refuses."""
    streams: WeakSet[Any] = field(default_factory=WeakSet, repr=False)
    """Those that run."""

    @property
    def headers(self) -> dict[str, str | Key]:
        """The headers of a request to base_url, with the key; what is secret is revealed where it is sent."""
        return {**self._headers_with_key, **{name.lower(): value for name, value in self.further_headers}}

    def headers_of(self, wire: Wire) -> dict[str, str | Key]:
        """The headers of a request in a format: Messages may want the key in one of its own."""
        if wire != "messages" or self.key is None or self.key_header != self.provider.key_header:
            return self.headers
        own = self.provider.messages_key_header
        if own is None:  # nobody knows which of the two a server of one's own wants
            return {"x-api-key": self.key, **self.headers} if self.provider.source == UNLISTED else self.headers
        headers = {name: value for name, value in self.headers.items() if name != "authorization"}
        return {own.lower(): self.key, **headers}

    def provider_of(self, model: str) -> Provider:
        """The provider, as its service is known to take this model's earlier turns."""
        said = self.echoes.get(model)
        if not said:
            return self.provider
        kept = [name for name in self.provider.echo if said.get(name, True)]
        echo = (*kept, *(name for name, is_wanted in said.items() if is_wanted and name not in kept))
        if not said.get("reasoning_content"):
            return replace(self.provider, echo=echo)
        return replace(self.provider, echo=echo, echo_turns="all", no_echo_models=())

    def is_above_all(self, request: Request) -> bool:
        """Whether the limit that a budget has set is known to be above the model's own."""
        refused = self.refused_limits.get(request.model)
        return refused is not None and request.ceiling is not None and request.ceiling >= refused

    def known(self, request: Request) -> Request:
        """The request, without a limit that is known to be above the model's own."""
        return request.without_limit if self.is_above_all(request) else request

    def address(self, wire: Wire) -> str:
        """What stands before a format's path."""
        own = {"messages": self.provider.messages_url, "responses": self.provider.responses_url}.get(wire)
        return urljoin(self.base_url, own) if own else self.base_url

    def headers_at(self, url: str) -> dict[str, str | Key]:
        """The same for a socket, which on another host than base_url's gets the key alone."""
        return self.headers if self._is_own(url) else self._headers_with_key

    def query_at(self, url: str) -> Secrets:
        """The query for a socket: none on another host than base_url's."""
        return self.query if self._is_own(url) else ()

    def _is_own(self, url: str) -> bool:
        return host_and_port(url) == host_and_port(self.base_url)

    @property
    def _headers_with_key(self) -> dict[str, str | Key]:
        headers: dict[str, str | Key] = {"user-agent": f"holystream_nb/{__version__}"}
        if self.key is not None and self.key_header is not None:
            headers[self.key_header.lower()] = self.key
        elif self.key is not None:
            headers["authorization"] = Key(f"Bearer {self.key.reveal()}")
        return headers

    @property
    def secret(self) -> tuple[Key, ...]:
        """All that is secret, for whoever must keep it out of a message."""
        own = () if self.key is None else (self.key,)
        return (*own, *(value for _, value in (*self.further_headers, *self.query)))


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, before policy: everything a retry needs.

    `session` is the id of a connection; "" outside of one. `answers_calls`: the results of tool calls come back on the
    socket; without, a second of silence after the last call ends the answer. `is_again`: it went out before, and met a
    kept socket that was dead, or whose service had forgotten the conversation: it takes no kept one now.
    `keep_chunks`: the answer's pieces are kept as they came. `strict`: the first one that cannot be read ends it.
    `ceiling`: the limit on the answer that a budget has set where the user has set none.
    """

    body: Mapping[str, Any]
    model: str
    transport: TransportChoice
    session: str = ""
    answers_calls: bool = False
    is_again: bool = False
    wire: Wire = "chat"
    keep_chunks: bool = False
    strict: bool = False
    ceiling: int | None = None

    @property
    def without_limit(self) -> Request:
        """The same without the limit that a budget has set."""
        body = {name: value for name, value in self.body.items() if name not in LIMITS}
        return replace(self, body=body, ceiling=None)

    @property
    def choices(self) -> int:
        return choices_in(self.body)

    @property
    def limit(self) -> int | None:
        """The limit on the answer (tokens), by whatever name, the lowest of several; None where there is none."""
        return min(limits_in(self.body, self.wire).values(), default=None)

    def is_ended_by(self, facts: Facts) -> bool:
        """Whether nothing after the last piece is wanted, since it could not be read."""
        return self.strict and facts.unreadable > 0


def choices_in(fields: Mapping[str, Any]) -> int:
    """How many choices the fields of a request ask for (`n`)."""
    n = fields.get("n")
    return max(1, n) if isinstance(n, int) else 1


def tier_in(fields: Mapping[str, Any]) -> str:
    """How they ask to be served, which decides what it costs."""
    wanted = (fields.get(name) for name in ("speed", "service_tier"))
    return next((each for each in wanted if isinstance(each, str)), "")


def limits_in(fields: Mapping[str, Any], wire: Wire = "responses") -> dict[str, int]:
    """The limits on the answer among the fields of a request in that format: -1, with some services, is none."""
    limits = {}
    for name in (*LIMITS, _OF_RESPONSES) if wire == "responses" else LIMITS:
        value = fields.get(name)
        if isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < math.inf:
            limits[name] = int(float(value))
    return limits


def lowered(fields: Mapping[str, Any], tokens: int, name: str, wire: Wire) -> dict[str, Any]:
    """The fields of a request with the limit on its answer at most `tokens`: by the name it has there, else by `name`.

    A name that only another format reads limits nothing.
    """
    limits = limits_in(fields)
    if not limits_in(fields, wire):
        limits[name] = tokens
    return {**fields, **{each: min(limit, tokens) for each, limit in limits.items()}}


@dataclass(frozen=True, slots=True)
class Ears:
    """Who hears of an attempt on its way: `notify` takes a word for the reader, `on_permit` that the pool has room."""

    notify: Callable[[str], None]
    on_permit: Callable[[], None]


class Answer(Protocol):
    """An answer whose head has arrived. `permit`, `sent`, `written` (None where that is not seen) and `headers_at` are
    stamps (ns), `size` what has come (B); `opening` is what opening the connection took, None on a kept one.

    `resent` counts requests that met a dead kept connection and went out again; `is_stale` says that this one did, on a
    kept socket, or that its service had forgotten what it was to go on from. `last_read` is when the network last
    brought something (ns), `is_readable` whether more has come.
    `facts` are what the service said beside the answer, `echo` what it wants back of it. `chunks` are its pieces, where
    they are kept, each with its stamp (ns): as they came, without the keys.
    `waits_for_us` says that the service owes nothing now: its silence is not limited.
    """

    permit: int | None
    sent: int | None
    headers_at: int | None
    opening: Opening | None
    written: int | None
    resent: int
    chunks: list[tuple[int, str]]

    @property
    def transport(self) -> Literal["sse", "ws"]: ...
    @property
    def size(self) -> int: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def said(self) -> Said: ...
    @property
    def facts(self) -> Facts: ...
    @property
    def echo(self) -> Any: ...
    @property
    def last_read(self) -> int: ...
    @property
    def is_readable(self) -> bool: ...
    @property
    def waits_for_us(self) -> bool: ...
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


async def error_body(response: Response, secret: Hidden = ()) -> bytes:
    """What a refusal says, without what is secret: some services repeat keys."""
    try:
        return concealed(await response.body(_ERROR_BODY_BYTES), secret)
    finally:
        await response.aclose()


def refusal(service: Service, request: Request, response: Response, said: bytes) -> HolystreamError:
    if says_that_it_speaks_tls(response.status, said):
        return speaks_tls(response.host)
    is_nowhere = response.status in (404, 405) and _NO_ADDRESS.search(said) and b"model" not in said.lower()
    has_path = bool(urlsplit(service.address(request.wire)).path)
    if is_nowhere and (request.wire != "chat" or not has_path):
        other = next((wire for wire in service.provider.wires if wire != request.wire), "")
        use = f'use wire="{other}", or ' if other else ""
        return ServiceError(
            f"{response.host} has no {format_of(request.wire).path} at this address ({response.status}), so it may not "
            f"speak this format: {use}check the base URL{'' if has_path else ', which has no /v1 at its end'}.",
            status=response.status,
        )
    lets_in = (*service.further_headers, *service.query)
    return service_error(
        response.status,
        response.headers,
        said,
        model=request.model,
        now=time.time(),
        key=service.secret,
        sent_key=service.key is not None or any(_CARRIES_A_KEY.search(name) for name, _ in lets_in),
        variable=service.provider.key_variable,
    )


def kept(service: Service, stamp: int, piece: str | bytes) -> tuple[int, str]:
    """A piece of an answer as it is kept: as it came, without the keys."""
    text = piece.decode("utf-8-sig", "replace") if isinstance(piece, bytes) else piece
    return stamp, hide(text, service.secret)


def check_size(service: Service, size: int) -> None:
    if size > service.max_bytes:
        raise TooLarge(
            f"The answer is larger than {service.max_bytes:,} bytes; what had arrived is kept: "
            "ask for less with max_tokens, or raise `max_bytes`."
        )
