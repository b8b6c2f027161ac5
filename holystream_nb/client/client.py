"""Client: streams answers from one service, over connections that last."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

from ..errors import SetupError
from ..providers.address import endpoint
from ..providers.keys import Key, credentials
from ..providers.select import at
from ..providers.table import provider as named_provider
from ..providers.values import Provider
from ..reply import TransportChoice, transport_choice
from ..wire.transport import Transport
from ..wire.websocket import Sockets
from .connection import Connection
from .limiter import Limiter
from .request import Request, Service
from .stream import Stream

Message = Mapping[str, Any]

CONNECT_S: Final = 10.0
INACTIVITY_S: Final = 60.0
RETRIES: Final = 3
BACKOFF_S: Final = 1.0
MAX_BYTES: Final = 1 << 30
"""The largest body taken (1 GiB): about four million tokens as the documents' chunks carry them."""

_OURS: Final = frozenset({"model", "messages", "stream"})


class Client:
    """Streams answers from one OpenAI-compatible service.

    Used as `async with Client(...) as client:`, in one event loop. Times are in seconds.

    provider: a name from the table (`providers.providers()`).
    base_url: another address; a provider's key is never sent to another host than the provider's.
    api_key: instead of the provider's variable.
    transport: `sse`; `ws`, the provider's WebSocket, or where it has no address the one it offers in its answer;
        `auto`, the one it offers. Where none is offered, the answer comes over `sse`.
    connect_timeout, inactivity: limits on opening a connection, and on a silence (reset by every byte; on a socket by
        everything but the answers to our own pings).
    retries, backoff: attempts after the first, before the first output event only; delay doubling, with jitter.
    pool: low, medium or high (`wire.transport.POOLS`).
    max_bytes: the largest answer taken.
    headers: further request headers.
    requests_per_minute, tokens_per_minute: sent at most by all streams together; by default what the table says of the
        provider, which is no limit unless a user has set one. Each attempt counts. Waiting is `timing.queue_ms`.
    connections, sockets: what opens connections and keeps sockets; to be replaced in tests.
    """

    def __init__(
        self,
        provider: str = "holysheep",
        *,
        base_url: str | None = None,
        api_key: str | Key | None = None,
        transport: TransportChoice = "sse",
        connect_timeout: float = CONNECT_S,
        inactivity: float = INACTIVITY_S,
        retries: int = RETRIES,
        backoff: float = BACKOFF_S,
        pool: str = "medium",
        max_bytes: int = MAX_BYTES,
        headers: Mapping[str, str] | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        connections: Transport | None = None,
        sockets: Sockets | None = None,
    ) -> None:
        found = at(named_provider(provider), base_url)
        self.transport = transport_choice(transport)
        self.retries = retries
        self.backoff = backoff
        address = endpoint(found.base_url)
        self.limiter = Limiter(
            requests_per_minute=_limit(requests_per_minute, found.requests_per_minute),
            tokens_per_minute=_limit(tokens_per_minute, found.tokens_per_minute),
        )
        connections = connections or Transport(pool=pool)
        self._service = Service(
            provider=found,
            base_url=address,
            key=credentials(found, address, api_key),
            further_headers=dict(headers or {}),
            connections=connections,
            sockets=sockets or Sockets(connections),
            connect_timeout=connect_timeout,
            inactivity=inactivity,
            max_bytes=max_bytes,
            asks_for_usage=found.include_usage,
        )

    @property
    def provider(self) -> Provider:
        return self._service.provider

    @property
    def base_url(self) -> str:
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

    @property
    def asks_for_usage(self) -> bool:
        """Whether requests ask for usage; not any more once the service has refused that."""
        return self._service.asks_for_usage

    def __repr__(self) -> str:
        return f"Client({self.provider.name!r}, base_url={self.base_url!r})"

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection, also those of running streams."""
        await self._service.sockets.aclose()
        await self._service.connections.aclose()

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        model: str | None = None,
        transport: TransportChoice | None = None,
        timeout: float | None = None,
        stop_after: int | None = None,
        scheduled: int | None = None,
        answers_calls: bool = False,
        **parameters: Any,
    ) -> Stream:
        """Asks for an answer; nothing is sent before the stream is iterated.

        prompt: a text, or a list of messages `{"role": …, "content": …}`.
        transport: instead of the client's.
        timeout: limit on the whole answer in seconds; none by default.
        stop_after: output events after which it is ended from here (`length`), for services that do not keep
            max_tokens.
        scheduled: the intended start (ns of `time.perf_counter_ns`), for open-loop measurements.
        answers_calls: on a socket, the results of tool calls come from you, by the stream's `send_event`; without it
            the answer ends a second after the last call, as it does over `sse`.
        parameters: further fields of the request's body: temperature, max_tokens, tools, …
        """
        return self._stream(
            prompt,
            model,
            transport,
            "",
            answers_calls=answers_calls,
            timeout=timeout,
            stop_after=stop_after,
            scheduled=scheduled,
            **parameters,
        )

    def connect(
        self,
        *,
        model: str | None = None,
        transport: TransportChoice | None = None,
        timeout: float | None = None,
        **parameters: Any,
    ) -> Connection:
        """A connection in both directions, for several turns; nothing is sent before its first `send`.

        timeout: limit on each whole turn in seconds. The rest is as for `stream`.
        """
        session = str(uuid.uuid4())
        start = partial(self._stream, model=model, transport=transport, session=session, answers_calls=True)
        return Connection(partial(start, timeout=timeout, **parameters))

    def _stream(
        self,
        prompt: str | Sequence[Message],
        model: str | None,
        transport: TransportChoice | None,
        session: str,
        *,
        answers_calls: bool,
        timeout: float | None = None,
        stop_after: int | None = None,
        scheduled: int | None = None,
        **parameters: Any,
    ) -> Stream:
        provider = self.provider
        model = model or provider.default_model
        if not model:
            raise SetupError(f"{provider.name} has no default model: name one with model=….")
        if taken := _OURS & parameters.keys():
            raise SetupError(f"{', '.join(sorted(taken))} cannot be a parameter: it is set by the call itself.")
        if "max_tokens" in parameters and provider.max_tokens_field != "max_tokens":
            parameters[provider.max_tokens_field] = parameters.pop("max_tokens")
        body = {"model": model, "messages": _messages(prompt), **parameters, "stream": True}
        carrier = self.transport if transport is None else transport_choice(transport)
        return Stream(
            self._service,
            Request(body, model, carrier, session, answers_calls),
            retries=self.retries,
            backoff=self.backoff,
            limiter=self.limiter,
            timeout=timeout,
            stop_after=stop_after,
            scheduled=scheduled,
        )


def _limit(own: float | None, providers: Decimal | None) -> float | None:
    return float(providers) if own is None and providers is not None else own


def _messages(prompt: str | Sequence[Message]) -> list[dict[str, Any]]:
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    messages = [dict(message) for message in prompt]
    if not messages or any("role" not in message for message in messages):
        raise SetupError('A prompt is a text or a list of messages like {"role": "user", "content": "Hello"}.')
    return messages
