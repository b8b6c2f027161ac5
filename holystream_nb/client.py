"""Client and Stream: policy over a transport.

Retries, time-outs, folding, stop, connections that last.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

import msgspec

from . import __version__
from .errors import (
    ConnectionFailed,
    DeadlineExceeded,
    HolystreamError,
    NotAStream,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
    SetupError,
    Stalled,
    StreamInterrupted,
    TooLarge,
)
from .events import Event, Finish, Usage
from .limiter import Limiter, Reservation
from .pricing import cost, price_card
from .providers import Key, Provider, at, credentials, endpoint
from .providers import provider as named_provider
from .reply import Fold, Progress, Reply
from .timing import Timing
from .wire.dialects import ChunkDecoder, refuses_include_usage, service_error, stray_error
from .wire.sse import Decoder
from .wire.transport import Response, Transport

Message = Mapping[str, Any]

CONNECT_S: Final = 10.0
INACTIVITY_S: Final = 60.0
RETRIES: Final = 3
BACKOFF_S: Final = 1.0
MAX_BYTES: Final = 1 << 30
"""The largest body taken (1 GiB): about four million tokens as the documents' chunks carry them."""

_LONGEST_WAIT_S: Final = 60.0
_ANSWER_TOKENS: Final = 500  # reserved at the limiter where max_tokens says nothing: the answers of document 001
_AFTER_FINISH_S: Final = 5.0
_ERROR_BODY_BYTES: Final = 64 * 1024
_RETRIED: Final = (RateLimited, ServiceUnavailable, ConnectionFailed, StreamInterrupted)
_OURS: Final = frozenset({"model", "messages", "stream"})


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked, before policy: everything a retry needs."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    provider: Provider
    model: str
    key: Key | None

    @property
    def secret(self) -> str:
        """The key, for whoever must keep it out of a message."""
        return self.key.reveal() if self.key is not None else ""


class Client:
    """Streams answers from one OpenAI-compatible service.

    Used as `async with Client(...) as client:`, in one event loop. Times are in seconds.

    provider: a name from the table (`providers.providers()`).
    base_url: another address; a provider's key is never sent to another host than the provider's.
    api_key: instead of the provider's variable.
    connect_timeout, inactivity: limits on opening a connection, and on a silence (reset by every byte).
    retries, backoff: attempts after the first, before the first output event only; delay doubling, with jitter.
    pool: low, medium or high (`wire.transport.POOLS`).
    max_bytes: the largest response body taken.
    headers: further request headers.
    requests_per_minute, tokens_per_minute: sent at most by all streams together; by default what the table says of the
        provider, which is no limit unless a user has set one. Each attempt counts. Waiting is `timing.queue_ms`.
    """

    def __init__(
        self,
        provider: str = "holysheep",
        *,
        base_url: str | None = None,
        api_key: str | Key | None = None,
        connect_timeout: float = CONNECT_S,
        inactivity: float = INACTIVITY_S,
        retries: int = RETRIES,
        backoff: float = BACKOFF_S,
        pool: str = "medium",
        max_bytes: int = MAX_BYTES,
        headers: Mapping[str, str] | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.provider = at(named_provider(provider), base_url)
        self.base_url = endpoint(self.provider.base_url)
        self._key = credentials(self.provider, self.base_url, api_key)
        self.connect_timeout = connect_timeout
        self.inactivity = inactivity
        self.retries = retries
        self.backoff = backoff
        self.max_bytes = max_bytes
        self._headers = dict(headers or {})
        self.limiter = Limiter(
            requests_per_minute=_limit(requests_per_minute, self.provider.requests_per_minute),
            tokens_per_minute=_limit(tokens_per_minute, self.provider.tokens_per_minute),
        )
        self._transport = transport or Transport(pool=pool)
        self.asks_for_usage = self.provider.include_usage

    def __repr__(self) -> str:
        return f"Client({self.provider.name!r}, base_url={self.base_url!r})"

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection, also those of running streams."""
        await self._transport.aclose()

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        model: str | None = None,
        timeout: float | None = None,
        stop_after: int | None = None,
        scheduled: int | None = None,
        **parameters: Any,
    ) -> Stream:
        """Asks for an answer; nothing is sent before the stream is iterated.

        prompt: a text, or a list of messages `{"role": …, "content": …}`.
        timeout: limit on the whole answer in seconds; none by default.
        stop_after: output events after which it is stopped from here, for services that do not keep max_tokens.
        scheduled: the intended start (ns of `time.perf_counter_ns`), for open-loop measurements.
        parameters: further fields of the request's body: temperature, max_tokens, tools, …
        """
        model = model or self.provider.default_model
        if not model:
            raise SetupError(f"{self.provider.name} has no default model: name one with model=….")
        if taken := _OURS & parameters.keys():
            raise SetupError(f"{', '.join(sorted(taken))} cannot be a parameter: it is set by the call itself.")
        if "max_tokens" in parameters and self.provider.max_tokens_field != "max_tokens":
            parameters[self.provider.max_tokens_field] = parameters.pop("max_tokens")
        body = {"model": model, "messages": _messages(prompt), **parameters, "stream": True}
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"holystream_nb/{__version__}",
            **self._headers,
        }
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        request = _Request(f"{self.base_url}/chat/completions", headers, body, self.provider, model, self._key)
        return Stream(self, self._transport, request, timeout=timeout, stop_after=stop_after, scheduled=scheduled)


class Stream:
    """One answer as it arrives: `async with client.stream(…) as stream: async for event in stream: …`.

    `reply` is what has arrived, at any time, also after a stop or a failure. `stop()` ends it from anywhere.
    """

    def __init__(
        self,
        client: Client,
        transport: Transport,
        request: _Request,
        *,
        timeout: float | None,
        stop_after: int | None,
        scheduled: int | None,
    ) -> None:
        self._client = client
        self._transport = transport
        self._request = request
        self._timeout = timeout
        self._stop_after = stop_after
        self._scheduled = scheduled
        self._submitted = time.perf_counter_ns()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._source: AsyncGenerator[list[Event], None] | None = None
        self._ready: deque[Event] = deque()
        self._fold = Fold()
        self._response: Response | None = None
        self._decoder: ChunkDecoder | None = None
        self._received = 0
        self._retries = 0
        self._reading: asyncio.Task[Any] | None = None
        self._abort: Literal["", "stopped", "deadline", "finished"] = ""
        self._timers: list[asyncio.TimerHandle] = []
        self._closing: asyncio.Task[None] | None = None
        self._reply: Reply | None = None
        self._notice = ""
        self._reservation: Reservation | None = None
        self._out: int | None = None

    @property
    def model(self) -> str:
        return self._request.model

    @property
    def provider(self) -> str:
        return self._request.provider.name

    @property
    def is_finished(self) -> bool:
        return self._reply is not None

    @property
    def reply(self) -> Reply:
        return self._reply or self._make_reply("", whole=False, error=None)

    @property
    def progress(self) -> Progress:
        """How it stands, without the text: for a display."""
        sent = self._response.sent if self._response is not None else None
        first, now = self._fold.first_read, time.perf_counter_ns()
        return Progress(
            elapsed_ms=(now - self._submitted) / 1e6,
            ttft_ms=None if first is None or sent is None else (first - sent) / 1e6,
            tokens=self._fold.output_events,
            tokens_per_s=self._fold.events_per_s,
            reasoning_tokens=self._fold.reasoning_events,
            thinking_ms=self._fold.thinking_ms,
            notice=self._notice or self._waiting(),
            unanswered_ms=None if self._out is None or first is not None else (now - self._out) / 1e6,
        )

    def _waiting(self) -> str:
        wait = 0.0 if self._reservation is None else self._reservation.wait_s
        return f"waiting for the rate limit, {math.ceil(wait)} s" if wait else ""

    def stop(self) -> None:
        """Ends the stream and closes its connection at once; what arrived stays. From any thread; again is harmless."""
        loop = self._loop
        if loop is None:
            self._abort = self._abort or "stopped"
        elif loop is _running_loop():
            self._end("stopped")
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._end, "stopped")

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection; an answer that was still running is `stopped`."""
        if self._reply is None:
            self._finish("stopped", whole=False, error=None)
        await self._close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._ready:
            return self._ready.popleft()
        if self._reply is not None:
            raise StopAsyncIteration
        if self._loop is None:
            self._begin()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # inside a coroutine
        cancelled_before = task.cancelling()
        try:
            if not self._abort:
                self._reading = task
                while not self._ready:
                    self._ready.extend(await self._batch())
                return self._ready.popleft()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            # Ours (stop, deadline) is taken back as asyncio.timeout does it; anybody else's goes on.
            self._reading = None
            if not self._abort or task.uncancel() > cancelled_before:
                self._finish("stopped", whole=False, error=None)
                raise
        except HolystreamError as exc:
            self._reading = None
            await self._fail(exc)
            raise
        except BaseException:
            self._finish("interrupted", whole=False, error=None)
            await self._close()
            raise
        finally:
            self._reading = None
        await self._conclude()
        raise StopAsyncIteration

    # The stream's life

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._timeout is not None:
            elapsed = (time.perf_counter_ns() - self._submitted) / 1e9
            self._timers.append(self._loop.call_later(max(0.0, self._timeout - elapsed), self._end, "deadline"))

    def _end(self, reason: Literal["stopped", "deadline", "finished"]) -> None:
        if self._abort or self._reply is not None:
            return
        self._abort = reason
        if self._reading is not None:
            self._reading.cancel()
        elif self._response is not None:
            assert self._loop is not None  # noqa: S101  # there is a response, so the loop is known
            self._closing = self._loop.create_task(self._response.aclose())

    async def _conclude(self) -> None:
        """The end that is no failure on the wire: complete, truncated, stopped, or past its deadline."""
        if self._abort == "deadline":
            error = DeadlineExceeded(
                f"{self._request.model} did not finish within {self._timeout:g} s; what had arrived is kept."
            )
            await self._fail(error)
            raise error
        decoder = self._decoder
        if self._abort == "stopped":
            self._finish("stopped", whole=False, error=None)
        elif decoder is not None and decoder.finish_reason:
            self._finish(decoder.finish_reason, whole=True, error=None)
        elif decoder is not None and decoder.done and self._fold.output_events:
            self._finish("stop", whole=True, error=None)
        else:
            self._finish("truncated", whole=False, error=None)
        await self._close()

    async def _fail(self, error: HolystreamError) -> None:
        reason = "interrupted" if isinstance(error, StreamInterrupted) else "truncated"
        self._finish(reason if self._fold.output_events else "", whole=False, error=error)
        await self._close()

    def _finish(self, finish_reason: str, *, whole: bool, error: HolystreamError | None) -> None:
        for timer in self._timers:
            timer.cancel()
        self._reply = self._reply or self._make_reply(finish_reason, whole=whole, error=error)
        # What failed before any output, or was never sent, used no tokens.
        used = self._fold.output_events or (self._response is not None and error is None)
        self._settle(_tokens(self._reply.usage) if used else 0)

    def _settle(self, tokens: int) -> None:
        if self._reservation is not None:
            self._reservation.settle(tokens)

    async def _close(self) -> None:
        source, response = self._source, self._response
        self._source = self._response = None
        if self._closing is not None:
            await self._closing
        elif response is not None:
            complete = self._decoder is not None and (self._decoder.done or self._decoder.finish_reason is not None)
            await (response.finish() if complete and not self._abort else response.aclose())
        if source is not None:
            await source.aclose()

    # Attempts

    async def _batch(self) -> list[Event]:
        """The events of the next read; attempts are repeated until the first output event.

        Raises StopAsyncIteration at the end.
        """
        while True:
            if self._source is None:
                self._source = self._attempt()
            try:
                return await anext(self._source)
            except _RETRIED as exc:
                self._source = None
                await self._again_or_raise(exc)

    async def _again_or_raise(self, error: HolystreamError) -> None:
        asked = getattr(error, "retry_after", None)
        if isinstance(error, RateLimited) and asked is not None and asked <= _LONGEST_WAIT_S:
            self._client.limiter.pause(asked)
        if isinstance(error, Stalled) or self._fold.output_events or self._retries >= self._client.retries:
            raise error
        # Jitter (half to whole) keeps streams that failed together from coming back together.
        delay = self._client.backoff * 2**self._retries * random.uniform(0.5, 1.0)  # noqa: S311  # not cryptography
        if asked is not None and asked > _LONGEST_WAIT_S:
            raise error
        delay = max(delay, asked) if asked is not None else delay
        self._retries += 1
        self._out = None
        self._settle(0)
        status = getattr(error, "status", None)
        self._notice = f"{status or 'no connection'}, again in {delay:.0f} s" if delay >= 1 else ""
        if self._response is not None:
            await self._response.aclose()
            self._response = None
        await asyncio.sleep(delay)
        self._notice = ""

    async def _attempt(self) -> AsyncGenerator[list[Event], None]:
        """One request, and the events of its answer, read by read."""
        response = await self._open()
        decoder = self._decoder = ChunkDecoder(asked=self._request.model, key=self._request.secret)
        async with contextlib.aclosing(response.reads()) as reads:
            stamp, chunk, opening = await self._head(reads)
            if opening in (b"{", b"["):
                stamp, chunk = await self._whole(response, reads, stamp, chunk)
                yield self._take(decoder.whole(chunk, stamp))
                if decoder.error is not None:
                    raise decoder.error
                return
            lines = Decoder()
            while True:
                self._check_size(response)
                events: list[Event] = []
                for event in lines.feed(chunk):
                    events += decoder.feed(event, stamp)
                    if decoder.done or decoder.error is not None:
                        break
                if events:
                    yield self._take(events)
                if decoder.error is not None:
                    raise decoder.error
                if decoder.done:
                    return
                try:
                    stamp, chunk = await anext(reads)
                except StopAsyncIteration:
                    break
        for event in lines.close():
            yield self._take(decoder.feed(event, stamp, cut=True))
        asked, key = self._request.model, self._request.secret
        error = decoder.error or stray_error(lines.ignored, empty=decoder.empty, asked=asked, key=key)
        if error is not None:
            raise error

    async def _open(self) -> Response:
        """The head of an answer that is a success."""
        while True:
            asks = self._client.asks_for_usage and "stream_options" not in self._request.body
            options = {"stream_options": {"include_usage": True}} if asks else {}
            await self._permit()
            response = self._response = await self._transport.post(
                self._request.url,
                headers=self._request.headers,
                body=_encode({**self._request.body, **options}),
                connect_timeout=self._client.connect_timeout,
                inactivity=self._client.inactivity,
            )
            if 200 <= response.status < 300:
                return response
            if "location" in response.headers:
                raise ServiceError(
                    f"{self._client.base_url} redirects to {response.headers['location'][:200]}, which is not followed "
                    "because of the key: if you trust that address, give it as base_url.",
                    status=response.status,
                )
            body = await response.body(_ERROR_BODY_BYTES)
            await response.aclose()
            if asks and refuses_include_usage(response.status, body):
                self._client.asks_for_usage = False
                continue
            raise service_error(
                response.status,
                response.headers,
                body,
                model=self._request.model,
                now=time.time(),
                key=self._request.secret,
            )

    async def _permit(self) -> None:
        """Waits until the limiter lets one more request go."""
        self._settle(0)
        body = self._request.body
        limit = body.get(self._request.provider.max_tokens_field)
        answer = limit if isinstance(limit, int) else _ANSWER_TOKENS
        self._reservation = self._client.limiter.reserve(estimate_tokens(body["messages"]) + answer)
        await self._reservation.granted()
        self._out = time.perf_counter_ns()

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
                f"{self._client.base_url} answered with a web page, not with a chat completion: check the address."
            )
        return stamp, head, opening

    async def _whole(
        self, response: Response, reads: AsyncIterator[tuple[int, bytes]], stamp: int, head: bytes
    ) -> tuple[int, bytes]:
        """The last stamp and the whole body of an answer that was not streamed although that was asked for."""
        parts = [head]
        async for stamp, chunk in reads:  # noqa: B007  # the last read's stamp is the answer's
            parts.append(chunk)
            self._check_size(response)
        return stamp, b"".join(parts)

    def _take(self, events: list[Event]) -> list[Event]:
        add = self._fold.add
        for event in events:
            add(event)
            if type(event) is Finish and self._loop is not None:
                # A service may name the reason and then neither say [DONE] nor close.
                self._timers.append(self._loop.call_later(_AFTER_FINISH_S, self._end, "finished"))
        if self._stop_after is not None and self._fold.output_events >= self._stop_after:
            self._abort = self._abort or "stopped"
        return events

    def _check_size(self, response: Response) -> None:
        if response.bytes > self._client.max_bytes:
            raise TooLarge(
                f"The answer is larger than {self._client.max_bytes:,} bytes; what had arrived is kept: "
                "ask for less with max_tokens, or raise `max_bytes`."
            )

    def _make_reply(self, finish_reason: str, *, whole: bool, error: HolystreamError | None) -> Reply:
        request, response, decoder = self._request, self._response, self._decoder
        # What stands behind a "#" is a deployment of the model (Fireworks), or a fault of the simulator.
        card = price_card(request.provider, request.model.partition("#")[0])
        request_id = response.headers.get("x-request-id") if response is not None else None
        return self._fold.reply(
            finish_reason=finish_reason,
            whole=whole,
            prompt_estimate=estimate_tokens(request.body["messages"]),
            hides_reasoning=any(fnmatchcase(request.model, glob) for glob in request.provider.reasoning_models),
            cost=lambda usage: cost(usage, card),
            model=request.model,
            provider=request.provider.name,
            stamps=Timing(
                submitted=self._submitted,
                scheduled=self._scheduled,
                permit=response.permit if response else None,
                sent=response.sent if response else None,
                headers=response.headers_at if response else None,
                bytes=response.bytes if response else 0,
                retries=self._retries,
            ),
            request_id=request_id or (decoder.id if decoder else None),
            error=error,
        )


def _limit(own: float | None, providers: Decimal | None) -> float | None:
    return float(providers) if own is None and providers is not None else own


def _tokens(usage: Usage) -> int:
    return (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise SetupError("The prompt holds half a character (a lone surrogate), which cannot be sent.") from None
    except TypeError as exc:
        raise SetupError(f"The request cannot be written as JSON: {exc}.") from exc


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _messages(prompt: str | Sequence[Message]) -> list[dict[str, Any]]:
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    messages = [dict(message) for message in prompt]
    if not messages or any("role" not in message for message in messages):
        raise SetupError('A prompt is a text or a list of messages like {"role": "user", "content": "Hello"}.')
    return messages


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Prompt tokens where nobody reported them: a quarter of the ASCII characters, and every other character."""
    text = "".join(str(message.get("content") or "") for message in messages)
    ascii_count = sum(character.isascii() for character in text)
    return len(text) - ascii_count + (ascii_count + 3) // 4
