"""Client: streams answers from one service, over connections that last."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

from .. import kinds
from ..errors import SetupError
from ..facts import Wire, wire_choice
from ..money.budget import Budget
from ..providers.secret import Key, sealing
from ..providers.select import address_of, at
from ..providers.table import provider as named_provider
from ..providers.values import Provider, tokens_field
from ..reply import TransportChoice, transport_choice
from ..wire.transport import Transport
from ..wire.websocket import Sockets
from .access import access_of
from .connection import Connection
from .limiter import Limiter
from .options import ClientOptions, client_options, fields_of, refuse_keys
from .request import Request, Service
from .stream import Stream

Message = Mapping[str, Any]
T = TypeVar("T")

CONNECT_S: Final = 10.0
RETRIES: Final = 3
BACKOFF_S: Final = 1.0
MAX_BYTES: Final = 1 << 30
"""The largest body taken (1 GiB): about four million tokens as the documents' chunks carry them."""


class Client:
    """Streams answers from one OpenAI-compatible service.

    Used as `async with Client(...) as client:`, in one event loop. Times are in seconds.

    provider: a name from the table (`providers.table.providers()`).
    base_url: another address, which may have a path and a query; a provider's key is never sent to another host than
        the provider's.
    api_key: instead of the provider's variable; key_variable: the name of another variable that has it.
    key_header: the header that carries the key, bare (`api-key`, `x-api-key`), instead of `Authorization`.
    headers, query: further ones. Their values are treated as keys: never shown, and sent to base_url's host alone.
    ca, cert: files: whom to trust instead of the usual, and a certificate of one's own, `cert` or `(cert, key)`.
    transport: `sse`; `ws`, the provider's WebSocket, or where it has no address the one it offers in its answer;
        `auto`, the one it offers. Where none is offered, the answer comes over `sse`. In Responses `ws` is their
        WebSocket mode, where the provider's entry has one.
    wire: the format the service is spoken to in, `chat`, `messages` or `responses`, instead of the provider's first.
    connect_timeout: limit on opening a connection.
    inactivity, progress_timeout: limits on a silence (reset by every byte; on a socket by everything but the answers to
        our own pings), and on the time without output (reset by every output event; keep-alives do not count). By
        default what the table says of the provider; an inactivity above the progress_timeout raises that too.
    retries, backoff: attempts after the first, before the first output event only; delay doubling, with jitter.
    pool: low, medium or high (`wire.pool.POOLS`).
    max_bytes: the largest answer taken.
    requests_per_minute, tokens_per_minute: sent at most by all streams together; by default what the table says of the
        provider, which is no limit unless a user has set one. Each attempt counts. Waiting is `timing.queue_ms`.
    connections, sockets: what opens connections and keeps sockets; to be replaced in tests.

    Raises SetupError for what cannot be, MissingKey where the provider needs a key and none is there.
    """

    @sealing()
    def __init__(
        self,
        provider: str | Provider = "holysheep",
        *,
        base_url: str | None = None,
        api_key: str | Key | None = None,
        key_variable: str | None = None,
        key_header: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        ca: str | Path | None = None,
        cert: str | Path | tuple[str | Path, str | Path] | None = None,
        transport: TransportChoice = "sse",
        wire: Wire | None = None,
        connect_timeout: float | None = None,
        inactivity: float | None = None,
        progress_timeout: float | None = None,
        retries: int | None = None,
        backoff: float | None = None,
        pool: str | None = None,
        max_bytes: int | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        connections: Transport | None = None,
        sockets: Sockets | None = None,
    ) -> None:
        options = client_options(
            base_url=base_url,
            api_key=api_key,
            key_variable=key_variable,
            key_header=key_header,
            headers=headers,
            query=query,
            ca=ca,
            cert=cert,
            wire=wire,
            connect_timeout=connect_timeout,
            inactivity=inactivity,
            progress_timeout=progress_timeout,
            retries=retries,
            backoff=backoff,
            pool=pool,
            max_bytes=max_bytes,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        self._set_up(provider, options, transport, connections, sockets)

    @classmethod
    def of(
        cls,
        provider: str | Provider,
        options: ClientOptions,
        *,
        transport: TransportChoice = "sse",
        connections: Transport | None = None,
        sockets: Sockets | None = None,
    ) -> Client:
        """The same from options as a value, as doors keep them (`options.client_options`)."""
        client = cls.__new__(cls)
        client._set_up(provider, options, transport, connections, sockets)
        return client

    def _set_up(
        self,
        provider: str | Provider,
        options: ClientOptions,
        transport: TransportChoice,
        connections: Transport | None,
        sockets: Sockets | None,
    ) -> None:
        named = provider if isinstance(provider, Provider) else named_provider(kinds.text("provider", provider))
        found = at(named, options.base_url)
        self.transport = transport_choice(transport)
        self.wire: Wire = options.wire or found.wire
        self.retries = _or(options.retries, RETRIES)
        self.backoff = _or(options.backoff, BACKOFF_S)
        address = address_of(found)
        self.limiter = Limiter(
            requests_per_minute=_limit(options.requests_per_minute, found.requests_per_minute),
            tokens_per_minute=_limit(options.tokens_per_minute, found.tokens_per_minute),
        )
        self._budgets: tuple[tuple[Budget, int], ...] = ()
        connections = connections or Transport(pool=options.pool or "medium", ca=options.ca, cert=options.cert)
        access = access_of(found, options)
        silence = _or(options.inactivity, found.inactivity)
        self._service = Service(
            provider=found,
            base_url=address,
            key=access.key,
            key_header=access.key_header,
            further_headers=access.headers,
            query=access.query,
            connections=connections,
            sockets=sockets or Sockets(connections),
            connect_timeout=_or(options.connect_timeout, CONNECT_S),
            inactivity=silence,
            websocket_inactivity=_or(options.inactivity, found.websocket_inactivity or silence),
            progress_timeout=_or(options.progress_timeout, max(found.progress_timeout, silence)),
            max_bytes=_or(options.max_bytes, MAX_BYTES),
            asks_for_usage=found.include_usage,
        )

    @property
    def provider(self) -> Provider:
        """The table's entry, as it is at this address."""
        return self._service.provider

    @property
    def base_url(self) -> str:
        """Where requests go, without a query."""
        return self._service.base_url

    @property
    def service(self) -> Service:
        """The service as this client reaches it, for whoever in this room asks it something else than an answer."""
        return self._service

    def through(self, connections: Transport, *, max_bytes: int) -> Client:
        """This client as it is, but over these connections, with this limit on an answer, and without retries."""
        other = copy(self)
        other.retries = 0
        other._service = replace(self._service, connections=connections, max_bytes=max_bytes)
        return other

    def within(self, *budgets: Budget, shares: int = 1) -> Client:
        """This client as it is, over the same connections, whose requests cost no more than these budgets have left.

        shares: how many requests at once may each use an equal part of what is left.
        Under a limit each round of tool calls is a request, also on a socket: what a turn costs in which results
        arrive is known at its end only.
        """
        other = copy(self)
        other._budgets = (*self._budgets, *((budget, shares) for budget in budgets))
        return other

    @property
    def asks_for_usage(self) -> bool:
        """Whether requests ask for usage; not any more once the service has refused that."""
        return self._service.asks_for_usage

    def __repr__(self) -> str:
        if not hasattr(self, "_service"):  # in a traceback from its own making
            return "Client(…)"
        return f"Client({self.provider.name!r}, base_url={self.base_url!r})"

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection; running streams are stopped. Nothing can be asked afterwards."""
        for stream in list(self._service.streams):
            await stream.aclose()
        await self._service.sockets.aclose()
        await self._service.connections.aclose()

    @sealing()
    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        model: str | None = None,
        transport: TransportChoice | None = None,
        wire: Wire | None = None,
        timeout: float | None = None,
        stop_after: int | None = None,
        scheduled: int | None = None,
        answers_calls: bool = False,
        strict: bool = False,
        keep_chunks: bool = False,
        stream: bool = True,
        parameters: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Stream:
        """Asks for an answer; nothing is sent before the stream is iterated.

        prompt: a text, or a list of messages `{"role": …, "content": …}`.
        transport, wire: instead of the client's.
        timeout: limit on the whole answer in seconds, from the beginning of the iteration; none by default.
        stop_after: output events after which it is ended from here (`length`), for services that do not keep
            max_tokens.
        scheduled: the intended start (ns of `time.perf_counter_ns`), for open-loop measurements.
        answers_calls: on a socket, the results of tool calls come from you, by the stream's `send_event`; without it
            the answer ends a second after the last call, as it does over `sse`.
        strict: whether an answer that is not sound raises: one without its end marker (`truncated`) StreamInterrupted,
            as it may be cut, and behind some proxies nothing else on the wire says so; one that the service ended
            because something failed ServiceError; and the first piece that cannot be read ends it with NotAStream.
        keep_chunks: whether `reply.chunks` has all that came, as it came, each piece with its read (ns).
        stream: False asks for the whole answer at once, for models that their service does not stream.
        fields: further fields of the request's body: temperature, max_tokens, tools, … (`options.REQUEST_FIELDS`).
        parameters: fields of any name, for what only this service knows.

        Raises SetupError for what cannot be asked; iterating raises the HolystreamError with which the answer ends.
        """
        return self._stream(
            prompt,
            model,
            transport,
            "",
            wire=wire,
            answers_calls=answers_calls,
            timeout=timeout,
            stop_after=stop_after,
            scheduled=scheduled,
            strict=strict,
            keep_chunks=keep_chunks,
            is_streamed=stream,
            fields=fields_of("Client.stream", fields, parameters, names=_STREAM),
        )

    @sealing()
    def connect(
        self,
        *,
        model: str | None = None,
        transport: TransportChoice | None = None,
        wire: Wire | None = None,
        timeout: float | None = None,
        strict: bool = False,
        keep_chunks: bool = False,
        parameters: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Connection:
        """A connection in both directions, for several turns; nothing is sent before its first `send`.

        timeout: limit on each whole turn in seconds. The rest is as for `stream`.
        """
        session = str(uuid.uuid4())
        kinds.optional_text("model", model, "model='deepseek-v3.2'")
        kinds.optional_seconds("timeout", timeout)
        if transport is not None:
            transport_choice(transport)
        if wire is not None:
            wire_choice(wire)
        of_all = fields_of("Client.connect", fields, parameters, names=_STREAM)

        @sealing()
        def start(
            prompt: str | Sequence[Message],
            *,
            model: str | None = model,
            transport: TransportChoice | None = transport,
            timeout: float | None = timeout,
            stop_after: int | None = None,
            strict: bool = strict,
            keep_chunks: bool = keep_chunks,
            parameters: Mapping[str, Any] | None = None,
            **fields: Any,
        ) -> Stream:
            own = fields_of("Connection.send", fields, parameters, names=_STREAM)
            return self._stream(
                prompt,
                model,
                transport,
                session,
                wire=wire,
                answers_calls=True,
                timeout=timeout,
                stop_after=stop_after,
                strict=strict,
                keep_chunks=keep_chunks,
                fields={**of_all, **own},
            )

        return Connection(start)

    def _stream(
        self,
        prompt: str | Sequence[Message],
        model: str | None,
        transport: TransportChoice | None,
        session: str,
        *,
        wire: Wire | None,
        answers_calls: bool,
        timeout: float | None = None,
        stop_after: int | None = None,
        scheduled: int | None = None,
        strict: bool = False,
        keep_chunks: bool = False,
        is_streamed: bool = True,
        fields: dict[str, Any],
    ) -> Stream:
        provider = self.provider
        model = kinds.optional_text("model", model, "model='deepseek-v3.2'") or provider.default_model
        if not model:
            raise SetupError(f"{provider.name} has no default model: name one (model=…).")
        refuse_keys("Client.stream", "model", model)
        if "max_tokens" in fields:
            fields[tokens_field(provider, model)] = fields.pop("max_tokens")
        body = {"model": model, "messages": kinds.messages(prompt), **fields, "stream": bool(is_streamed)}
        answers_calls = answers_calls and all(budget.limit is None for budget, _ in self._budgets)
        carrier = self.transport if transport is None else transport_choice(transport)
        return Stream(
            self._service,
            Request(
                body,
                model,
                carrier,
                session,
                answers_calls,
                wire=self.wire if wire is None else wire_choice(wire),
                keep_chunks=bool(keep_chunks),
                strict=bool(strict),
            ),
            retries=self.retries,
            backoff=self.backoff,
            limiter=self.limiter,
            timeout=kinds.optional_seconds("timeout", timeout),
            stop_after=kinds.optional_count("stop_after", stop_after, least=1),
            scheduled=scheduled,
            budgets=self._budgets,
        )


_STREAM: Final = (
    *("prompt", "model", "transport", "wire", "timeout", "stop_after", "scheduled", "answers_calls", "strict"),
    *("keep_chunks", "stream", "parameters"),
)
"""Keywords of `stream`, for a likely misspelling."""


def _or(given: T | None, default: T) -> T:
    return default if given is None else given


def _limit(own: float | None, providers: Decimal | None) -> float | None:
    return float(providers) if own is None and providers is not None else own
