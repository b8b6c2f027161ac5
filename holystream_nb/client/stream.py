"""Stream: one answer as it arrives. Retries, time-outs, folding and stop, over whatever carries it."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, Literal

from ..errors import (
    ConnectionFailed,
    DeadlineExceeded,
    HolystreamError,
    RateLimited,
    ServiceUnavailable,
    SetupError,
    Stalled,
    StreamInterrupted,
)
from ..events import Event, Finish, Usage
from ..pricing import cost, price_card
from ..providers.values import hides_reasoning, tokens_field
from ..reply import Fold, Progress, Reply
from ..timing import Timing
from .attempt import ask
from .limiter import Limiter, Reservation
from .request import Answer, Request, Service

ANSWER_TOKENS: Final = 500
"""Assumed for an answer without a limit: the length HolySheep's document 001 measured with."""

_LONGEST_WAIT_S: Final = 60.0
_AFTER_FINISH_S: Final = 5.0
_RETRIED: Final = (RateLimited, ServiceUnavailable, ConnectionFailed, StreamInterrupted)


class Stream:
    """One answer as it arrives: `async with client.stream(…) as stream: async for event in stream: …`.

    `reply` is what has arrived, at any time, also after a stop or a failure. `stop()` ends it from anywhere.
    """

    def __init__(
        self,
        service: Service,
        request: Request,
        *,
        retries: int,
        backoff: float,
        limiter: Limiter,
        timeout: float | None,
        stop_after: int | None,
        scheduled: int | None,
    ) -> None:
        self._service = service
        self._request = request
        self._most_retries = retries
        self._backoff = backoff
        self._limiter = limiter
        self._reservation: Reservation | None = None
        self._out: int | None = None
        self._timeout = timeout
        self._stop_after = stop_after
        self._scheduled = scheduled
        self._submitted = time.perf_counter_ns()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._source: AsyncGenerator[list[Event], None] | None = None
        self._ready: deque[Event] = deque()
        self._fold = Fold()
        self._answer: Answer | None = None
        self._retries = 0
        self._has_pauses = False
        self._reading: asyncio.Task[Any] | None = None
        self._abort: Literal["", "stopped", "length", "deadline", "finished"] = ""
        self._timers: list[asyncio.TimerHandle] = []
        self._closing: asyncio.Task[None] | None = None
        self._letting_go = asyncio.Lock()
        self._reply: Reply | None = None
        self._notice = ""

    @property
    def model(self) -> str:
        return self._request.model

    @property
    def provider(self) -> str:
        return self._service.provider.name

    @property
    def is_finished(self) -> bool:
        return self._reply is not None

    @property
    def is_running(self) -> bool:
        """Whether it has been neither stopped nor finished."""
        return self._reply is None and not self._abort

    @property
    def reply(self) -> Reply:
        return self._reply or self._make_reply("", whole=False, error=None)

    @property
    def progress(self) -> Progress:
        """How it stands, without the text: for a display."""
        sent = self._answer.sent if self._answer is not None else None
        first, now = self._fold.first_read, time.perf_counter_ns()
        return Progress(
            elapsed_ms=(now - self._submitted) / 1e6,
            ttft_ms=None if first is None or sent is None else (first - sent) / 1e6,
            tokens=self._fold.output_events,
            tokens_per_s=None if self._has_pauses else self._fold.events_per_s,
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
        while not self._ready:
            if self._reply is not None:
                raise StopAsyncIteration
            await self._advance()
        return self._ready.popleft()

    async def begin(self) -> None:
        """Sends the request and returns when its answer begins; iterating does this too. Raises as iterating does."""
        if self._reply is None and self._answer is None:
            await self._advance()

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        """Sends an event into the running answer: only a socket takes one. Raises SetupError, or the wire's errors."""
        if self._answer is None or self._reply is not None or self._abort:
            raise SetupError(f"{type} needs a running answer: send it while one is arriving.")
        await self._answer.send_event(type, payload)
        self._has_pauses = self._has_pauses or type == "tool_result"

    @property
    def answers_calls(self) -> bool:
        """Whether a socket waits for the results of tool calls, to be sent with `send_event`."""
        return self._request.answers_calls

    def decline_calls(self) -> None:
        """Sends no result of a tool call any more: on a socket the answer ends a second after the last call."""
        self._request = replace(self._request, answers_calls=False)
        if self._answer is not None:
            self._answer.decline_calls()

    async def settled(self) -> None:
        """After `stop()`: returns when the connection is closed, or free for another answer."""
        while self._reading is not None:  # noqa: ASYNC110  # a cancelled read ends within a few turns of the loop
            await asyncio.sleep(0)
        await self.aclose()

    # The stream's life

    async def _advance(self) -> None:
        """The next read's events become ready, or the stream ends: `_reply` says how. Raises what it fails with."""
        if self._loop is None:
            self._begin()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # inside a coroutine
        cancelled_before = task.cancelling()
        try:
            if not self._abort:
                self._reading = task
                self._ready.extend(await self._batch())
                return
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
        elif self._answer is not None:
            assert self._loop is not None  # noqa: S101  # there is an answer, so the loop is known
            self._closing = self._loop.create_task(self._answer.aclose())

    async def _conclude(self) -> None:
        """The end that is no failure on the wire: complete, truncated, stopped, or past its deadline."""
        if self._abort == "deadline":
            error = DeadlineExceeded(
                f"{self._request.model} did not finish within {self._timeout:g} s; what had arrived is kept."
            )
            await self._fail(error)
            raise error
        answer = self._answer
        if self._abort in ("stopped", "length"):
            self._finish(self._abort, whole=False, error=None)
        elif answer is not None and answer.finish_reason:
            self._finish(answer.finish_reason, whole=True, error=None)
        elif answer is not None and answer.is_whole and self._fold.output_events:
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
        used = self._fold.output_events or (self._answer is not None and error is None)
        self._settle(_tokens(self._reply.usage) if used else 0)

    def _settle(self, tokens: int) -> None:
        if self._reservation is not None:
            self._reservation.settle(tokens)

    async def _close(self) -> None:
        async with self._letting_go:
            source, answer = self._source, self._answer
            self._source = self._answer = None
            if self._closing is not None:
                await self._closing
            elif answer is not None:
                await (answer.finish() if answer.is_whole and not self._abort else answer.aclose())
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
            self._limiter.pause(asked)
        if isinstance(error, Stalled) or self._fold.output_events or self._retries >= self._most_retries:
            raise error
        # Jitter (half to whole) keeps streams that failed together from coming back together.
        delay = self._backoff * 2**self._retries * random.uniform(0.5, 1.0)  # noqa: S311  # not cryptography
        if asked is not None and asked > _LONGEST_WAIT_S:
            raise error
        delay = max(delay, asked) if asked is not None else delay
        self._retries += 1
        self._out = None
        self._settle(0)
        status = getattr(error, "status", None)
        self._notice = f"{status or 'no connection'}, again in {delay:.0f} s" if delay >= 1 else ""
        if self._answer is not None:
            await self._answer.aclose()
            self._answer = None
        await asyncio.sleep(delay)
        self._notice = ""

    async def _attempt(self) -> AsyncGenerator[list[Event], None]:
        """One request, and the events of its answer, read by read; the first batch, empty, says that it has begun."""
        while True:
            await self._permit()
            answer = self._answer = await ask(self._service, self._request, self._notify)
            yield []
            try:
                async with aclosing(answer.events()) as batches:
                    async for events in batches:
                        yield self._take(events)
            except StreamInterrupted:
                if not answer.is_stale:
                    raise
            if not answer.is_stale:
                return
            await answer.aclose()  # a kept socket had died: a new one takes its place

    async def _permit(self) -> None:
        """Waits until the limiter lets one more request go."""
        self._settle(0)
        body = self._request.body
        limit = body.get(tokens_field(self._service.provider, self._request.model))
        answer = limit if isinstance(limit, int) else ANSWER_TOKENS
        self._reservation = self._limiter.reserve(estimate_tokens(body["messages"]) + answer)
        await self._reservation.granted()
        self._out = time.perf_counter_ns()

    def _take(self, events: list[Event]) -> list[Event]:
        add = self._fold.add
        for event in events:
            add(event)
            if type(event) is Finish and self._loop is not None:
                # A service may name the reason and then neither say [DONE] nor close.
                self._timers.append(self._loop.call_later(_AFTER_FINISH_S, self._end, "finished"))
        if self._stop_after is not None and self._fold.output_events >= self._stop_after:
            self._abort = self._abort or "length"
        return events

    def _notify(self, notice: str) -> None:
        self._notice = notice

    def _make_reply(self, finish_reason: str, *, whole: bool, error: HolystreamError | None) -> Reply:
        service, request, answer = self._service, self._request, self._answer
        # What stands behind a "#" is a deployment of the model (Fireworks), or a fault of the simulator.
        card = price_card(service.provider, request.model.partition("#")[0])
        has_begun = answer is not None or self._fold.output_events  # what was refused, or never sent, cost nothing
        reply = self._fold.reply(
            finish_reason=finish_reason,
            whole=whole,
            prompt_estimate=estimate_tokens(request.body["messages"]) if has_begun else 0,
            hides_reasoning=hides_reasoning(service.provider, request.model),
            cost=lambda usage: cost(usage, card),
            model=request.model,
            provider=service.provider.name,
            stamps=Timing(
                submitted=self._submitted,
                scheduled=self._scheduled,
                permit=answer.permit if answer else None,
                sent=answer.sent if answer else None,
                headers=answer.headers_at if answer else None,
                bytes=answer.size if answer else 0,
                retries=self._retries,
            ),
            request_id=answer.request_id if answer else None,
            transport=answer.transport if answer else "ws" if request.transport == "ws" else "sse",
            error=error,
        )
        if self._has_pauses:  # a decode speed over the time in which tools ran would be false
            reply = replace(reply, timing=replace(reply.timing, visible_tokens=None))
        return reply


def _tokens(usage: Usage) -> int:
    return (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def estimate_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """Prompt tokens where nobody reported them: a quarter of the ASCII characters, and every other character."""
    text = "".join(str(message.get("content") or "") for message in messages)
    ascii_count = sum(character.isascii() for character in text)
    return len(text) - ascii_count + (ascii_count + 3) // 4
