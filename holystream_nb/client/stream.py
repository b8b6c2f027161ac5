"""Stream: one answer as it arrives. Retries, time-outs, folding and stop, over whatever carries it."""

from __future__ import annotations

import asyncio
import math
import random
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from ..errors import (
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
)
from ..events import Event, Usage
from ..money.budget import LEAST_OF_RESPONSES, Allowance, Budget
from ..money.card import PriceCard, price_card
from ..money.cost import Cost, cost, nothing
from ..money.tokens import estimate_prompt
from ..providers.values import hides_reasoning, tokens_field
from ..reply import OURS, Fold, Progress, Reply
from ..timing import Timing
from ..wire.endings import kind_of, telling, words_of
from ..wire.format import minted_by
from ..wire.messages_request import default_limit, thinking_budget
from ..wire.redaction import hide
from ..wire.think import Think
from .attempt import ask
from .ending import AFTER_FINISH_S, NOTHING, Cause, Ending, Said, ending
from .keeper import Keeper, keeper_of
from .limiter import Limiter, Reservation
from .request import Answer, Ears, Request, Service, lowered, tier_in
from .texts import Texts

ANSWER_TOKENS: Final = 500
"""Assumed for an answer without a limit: the length HolySheep's document 001 measured with."""

_MOST_TOKENS: Final = 10**6
"""No model writes as many: where more is paid for, nothing need be asked of the service."""

_LONGEST_WAIT_S: Final = 60.0
_LOOK_S: Final = 1.0
_SILENT_S: Final = 20.0
_DRAIN_S: Final = 0.03
_LATE_S: Final = 2.0
"""How long what has come may be read once we end it, at once or at a deadline: a stop closes within 100 ms."""

_ARRIVED_S: Final = 0.01
_GLANCE_S: Final = 0.001  # what the event loop has read already is not seen, only read

_WORDS: Final = ("finish_reason", "detail", "served_model", "service_tier", "request_id")
"""What a service says of an answer in its own words."""

_UNPAID: Final = (ServiceError, ConnectionFailed, SetupError)
"""What ends a request for which nobody is charged."""

_FAILURES: Final = (ServiceError, ConnectionFailed, StreamInterrupted)


class Stream:
    """One answer as it arrives: `async with client.stream(…) as stream: async for event in stream: …`.

    `reply` is what has arrived, at any time, also after a stop or a failure. `stop()` ends it from anywhere. It is read
    by one task at a time; how it ends is said in `ending`.
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
        budgets: tuple[tuple[Budget, int], ...] = (),
    ) -> None:
        self._service = service
        self._request = request
        self._budgets = budgets
        self._allowances: list[Allowance] = []
        self._is_limited = False
        self._foreseen = request.limit or ANSWER_TOKENS
        self.limited_by = ""
        """The budget that limits the answer, by its name; "" where none does, or another limit is lower."""
        self._most_retries = retries
        self._backoff = backoff
        self._limiter = limiter
        self._timeout = timeout
        self._stop_after = stop_after
        self._scheduled = scheduled
        self._submitted = time.perf_counter_ns()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: Keeper | None = None
        self._reservation: Reservation | None = None
        self._source: AsyncGenerator[list[Event], None] | None = None
        self._ready: deque[Event] = deque()
        self._fold = Fold()
        self._think = Think()
        self._thoughts = [(0, self._think)]  # each with where in the answer's text it stands
        self._answer: Answer | None = None
        self._retries = self._resent = 0
        self._has_pauses = False
        self._notice = ""
        self._is_asking = False
        self._out: int | None = None
        # Who waits for the next read, and since when; what the last look saw, and how long it had waited (ns).
        self._reading: asyncio.Task[Any] | None = None
        self._waits_since = self._looked_at = 0
        self._seen = self._without_output = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        # The end: what we did, who lets the connection go, and how it ended.
        self._cause: Cause = ""
        self._drains_until = 0.0
        self._closing: asyncio.Task[None] | None = None
        self._letting_go = asyncio.Lock()
        self._reply: Reply | None = None
        self._ended_at: int | None = None
        self._unraised: HolystreamError | None = None

    def __del__(self) -> None:
        # Abandoned in the middle: what it holds is let go in order, in its own loop, and quietly.
        loop, answer, keeper = (getattr(self, name, None) for name in ("_loop", "_answer", "_keeper"))
        if answer is not None and loop is not None and keeper is not None and loop.is_running():
            with suppress(RuntimeError):  # the loop ends just now
                loop.call_soon_threadsafe(keeper.sees_off, _Abandoned(answer, self._source))

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
        return self._reply is None and not self._cause

    @property
    def reply(self) -> Reply:
        return self._reply or self._make_reply(Ending("", is_whole=False))

    @property
    def progress(self) -> Progress:
        """How it stands, without the text: for a display. After the end it stands still."""
        now = time.perf_counter_ns() if self._ended_at is None else self._ended_at
        first = self._fold.first_read
        if self._reply is not None:
            ttft_ms = self._reply.timing.ttft_ms
        else:
            sent = self._answer.sent if self._answer is not None else None
            ttft_ms = None if first is None or sent is None else (first - sent) / 1e6
        return Progress(
            elapsed_ms=(now - self._submitted) / 1e6,
            ttft_ms=ttft_ms,
            tokens=self._fold.tokens,
            tokens_per_s=None if self._has_pauses else self._fold.tokens_per_s,
            reasoning_tokens=self._fold.reasoning_tokens,
            thinking_ms=self._fold.thinking_ms,
            notice="" if self._reply is not None else self._notice or self._waiting(now),
            unanswered_ms=None if self._out is None or first is not None else (now - self._out) / 1e6,
            events=self._fold.output_events,
        )

    def _waiting(self, now: int) -> str:
        """What it waits for, in words; "" where it does not, or not for long."""
        wait = 0.0 if self._reservation is None else self._reservation.wait_s
        if wait:
            return f"waiting for the rate limit, {math.ceil(wait)} s"
        if self._is_asking and self._service.connections.is_busy:
            return f"waiting for a connection: all {self._service.connections.size} of the pool are in use"
        answer, since = self._answer, self._out
        if self._reading is None or since is None or (answer is not None and answer.waits_for_us):
            return ""
        # A sign of life is what came after the head and the last output: a comment, a ping.
        output = max(since, self._fold.last_read, 0 if answer is None else answer.headers_at or 0)
        sign = output if answer is None else max(output, answer.last_read)
        if (now - output) / 1e9 < _SILENT_S:
            return ""
        if sign > output and (now - sign) / 1e9 < _SILENT_S:
            return f"alive, no output for {_long((now - output) / 1e9)}"
        return f"no sign of life for {_long((now - sign) / 1e9)}"

    def stop(self) -> None:
        """Ends the stream and closes its connection at once; what arrived stays. From any thread; again is harmless."""
        loop = self._loop
        if loop is None:
            self._cause = self._cause or "stopped"
        elif loop is _running_loop():
            self._end("stopped")
        elif not loop.is_closed():
            with suppress(RuntimeError):  # it ends just now
                loop.call_soon_threadsafe(self._end, "stopped")

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection; an answer that was still running is `stopped`, also where another task reads it.

        Returns when the connection is closed, or free for another answer. Raises nothing of the answer's.
        """
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            self._abandon()  # its loop has ended, and the connection with it
            return
        self._end("stopped")
        while self._reading is not None:  # noqa: ASYNC110  # a cancelled read ends within a few turns of the loop
            await asyncio.sleep(0)
        if self._reply is None and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._wind_up())
        await self._close()
        self._unraised = None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._unraised is not None:
                error, self._unraised = self._unraised, None
                raise error
            if self._reply is not None:
                raise StopAsyncIteration
            await self._advance()
        return self._ready.popleft()

    def texts(self) -> Texts:
        """The pieces of the answer alone, without its reasoning: `async for text in stream.texts()`."""
        return Texts(self)

    async def begin(self) -> None:
        """Sends the request and returns when its answer begins; iterating does this too. Raises as iterating does."""
        if self._reply is None and self._answer is None:
            await self._advance()
            if self._unraised is not None:
                error, self._unraised = self._unraised, None
                raise error

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        """Sends an event into the running answer: only a socket takes one. Raises SetupError, or the wire's errors."""
        if self._answer is None or not self.is_running:
            raise SetupError(f"{type} needs a running answer: send it while one is arriving.")
        await self._answer.send_event(type, payload)
        self._has_pauses = self._has_pauses or type == "tool_result"
        if type == "tool_result":
            self._waits_since, self._without_output = time.perf_counter_ns(), 0
            self._think = Think()  # what comes now begins like an answer
            self._thoughts.append((self._fold.text_size, self._think))

    @property
    def answers_calls(self) -> bool:
        """Whether a socket waits for the results of tool calls, to be sent with `send_event`."""
        return self._request.answers_calls

    def decline_calls(self) -> None:
        """Sends no result of a tool call any more: on a socket the answer ends a second after the last call."""
        self._request = replace(self._request, answers_calls=False)
        if self._answer is not None:
            self._answer.decline_calls()

    # The stream's life

    async def _advance(self) -> None:
        """The next read's events become ready, or the stream ends: `_reply` says how, `_unraised` with what error."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # inside a coroutine
        if self._loop is not task.get_loop():
            self._begin()
        if self._reading is not None:
            raise SetupError("This answer is being read by another task: read it in one.")
        if self._cause and self._closing is None:
            self._closing = task.get_loop().create_task(self._wind_up())
        if self._closing is not None:
            await asyncio.shield(self._closing)
            return
        cancelled_before = task.cancelling()
        failure: HolystreamError | None = None
        try:
            self._reading, self._waits_since = task, time.perf_counter_ns()
            self._ready.extend(await self._batch())
            return
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError:
            # Ours (stop, deadline) is taken back as asyncio.timeout does it; anybody else's goes on.
            if not self._cause or task.uncancel() > cancelled_before:
                self._cause = self._cause or "stopped"
                self._finish(self._ended(None))
                raise
        except HolystreamError as exc:
            failure = exc
        except BaseException as exc:  # ■ of a cell that does not await comes as one, wherever we are
            self._finish(Ending("stopped" if isinstance(exc, KeyboardInterrupt) else "interrupted", is_whole=False))
            await self._close()
            raise
        finally:
            self._reading = None
        self._finish(self._ended(failure))
        await self._close()

    def _begin(self) -> None:
        if self._loop is not None:
            raise SetupError("This answer belongs to another event loop: ask again in this one.")
        self._loop = asyncio.get_running_loop()
        self._service.streams.add(self)
        self._keeper = keeper_of(self._loop)
        self._keeper.add(self)
        if self._timeout is not None:
            self._deadline = self._loop.call_later(self._timeout, _weak(self._end), "deadline")
        self._watch = self._loop.call_later(_LOOK_S, _weak(self._look))

    def _look(self) -> None:
        """Whether it has been quiet for too long. Only waiting counts, never the reader's own pauses.

        It looks once a second, so that a read costs nothing for it.
        """
        cause: Cause
        if not self.is_running:
            return
        now, answer = time.perf_counter_ns(), self._answer
        waited = now - self._waits_since if self._reading is not None and self._out is not None else 0
        seen = self._fold.output_events + self._fold.other_events
        since_last = min(waited, now - self._looked_at)
        self._without_output = waited if seen != self._seen else self._without_output + since_last
        self._seen, self._looked_at = seen, now
        if answer is not None and answer.said.is_complete:
            left, cause = AFTER_FINISH_S - waited / 1e9, "quiet"
        elif answer is not None and answer.waits_for_us:
            left, cause = _LOOK_S, ""
        else:
            left, cause = self._service.progress_timeout - self._without_output / 1e9, "stalled"
        if left <= 0:
            self._end(cause)
        elif self._loop is not None:
            self._watch = self._loop.call_later(min(left, _LOOK_S), _weak(self._look))

    def _end(self, cause: Cause) -> None:
        """Ends it from here, unless it has ended; what has come already is taken first."""
        until = time.perf_counter() + (_LATE_S if cause == "deadline" else _DRAIN_S)
        if not self.is_running:
            self._drains_until = min(self._drains_until, until)
            return
        self._cause, self._drains_until = cause, until
        if self._loop is not None:
            # A turn later: where the loop was busy, a read may have come before, whose reader has not run yet.
            self._loop.call_soon(_weak(self._leave))

    def _leave(self) -> None:
        if self._reply is not None or self._closing is not None or self._loop is None:
            return
        if self._reading is None:
            if self._answer is not None:
                self._closing = self._loop.create_task(self._wind_up())
        elif self._has_more:
            self._loop.call_soon(_weak(self._leave))
        else:
            self._reading.cancel()

    @property
    def _has_more(self) -> bool:
        """Whether more has come, and there is time to read it."""
        answer = self._answer
        return answer is not None and answer.is_readable and time.perf_counter() < self._drains_until

    async def _wind_up(self) -> None:
        """Nobody reads: takes what has come, concludes, and closes."""
        failure: HolystreamError | None = None
        source, answer = self._source, self._answer
        with suppress(TimeoutError, StopAsyncIteration):
            while source is not None and answer is not None and time.perf_counter() < self._drains_until:
                async with asyncio.timeout(_ARRIVED_S if answer.is_readable else _GLANCE_S):
                    try:
                        self._ready.extend(await anext(source))
                    except HolystreamError as exc:
                        failure = exc
                        break
        self._finish(self._ended(failure))
        await self._let_go()

    def _said(self) -> Said:
        return self._answer.said if self._answer is not None else NOTHING

    def _ended(self, failure: HolystreamError | None) -> Ending:
        self._take_rest()
        model = self._request.model
        if self._cause == "deadline":
            failure = failure or DeadlineExceeded(
                f"{model} did not finish within {self._timeout:g} s; what had arrived is kept."
            )
        elif self._cause == "stalled":
            limit = _long(self._service.progress_timeout)
            failure = Stalled(
                f"{model} is alive, but brought no output for {limit}; what had arrived is kept: "
                "raise `progress_timeout` if it may take longer."
            )
        end = ending(self._said(), self._cause, has_output=self._fold.output_events > 0, failure=failure)
        return replace(end, error=self._flaw(end)) if self._request.strict and end.error is None else end

    def _flaw(self, end: Ending) -> HolystreamError | None:
        """What is not sound in an answer: an error for whoever is strict."""
        model, kept = self._request.model, "what had arrived is kept"
        if self._is_unreadable:
            return NotAStream(f"A piece of the answer of {model} could not be read; {kept}: ask again.")
        if end.finish_reason == "truncated":
            return StreamInterrupted(
                f"The answer of {model} ended without its end marker, so it may be cut off; {kept}."
            )
        word = telling(end.finish_reason, self._answer.facts.detail if self._answer is not None else "")
        if end.finish_reason not in OURS and kind_of(word) == "failure":
            return ServiceError(f"The answer of {model} failed ({words_of(word)}); {kept}: ask again.")
        return None

    @property
    def _is_unreadable(self) -> bool:
        return self._answer is not None and self._answer.facts.unreadable > 0

    def _finish(self, end: Ending) -> None:
        if self._reply is not None:
            return
        for timer in (self._deadline, self._watch):
            if timer is not None:
                timer.cancel()
        self._take_rest()
        if len(self._thoughts) == 1:
            self._think.moved(self._fold.part())
        self._ended_at = time.perf_counter_ns()
        self._reply = self._make_reply(end)
        self._unraised = end.error
        for allowance in self._allowances:
            allowance.close(self._reply.cost)
        self._service.streams.discard(self)
        if self._keeper is not None:
            self._keeper.release(self)
        # What failed before any output, or was never sent, used no tokens.
        used = self._fold.output_events or (self._answer is not None and end.error is None)
        self._settle(_tokens(self._reply.usage) if used else 0)

    def _settle(self, tokens: int) -> None:
        if self._reservation is not None:
            self._reservation.settle(tokens)

    def _abandon(self) -> None:
        self._keeper = None  # whose loop has ended, too
        self._cause = self._cause or "stopped"
        self._finish(self._ended(None))
        self._source = self._answer = None

    async def _close(self) -> None:
        if self._closing is not None:
            await asyncio.shield(self._closing)
        await self._let_go()

    async def _let_go(self) -> None:
        async with self._letting_go:
            source, answer = self._source, self._answer
            self._source = self._answer = None
            if answer is not None:
                await (answer.finish() if answer.said.is_complete else answer.aclose())
            if source is not None:
                await source.aclose()

    # Attempts

    async def _batch(self) -> list[Event]:
        """The events of the next read; attempts are repeated until the first output event.

        Raises StopAsyncIteration at the end.
        """
        while True:
            if self._source is None:
                self._source = _attempt(weakref.ref(self))
            try:
                return await anext(self._source)
            except _FAILURES as exc:
                self._source = None
                await self._again_or_raise(exc)

    async def _again_or_raise(self, error: HolystreamError) -> None:
        asked = getattr(error, "retry_after", None)
        if isinstance(error, RateLimited) and asked is not None and asked <= _LONGEST_WAIT_S:
            self._limiter.pause(asked)
        if not _is_worth_another(error) or self._fold.output_events or self._retries >= self._most_retries:
            raise error
        # Jitter (half to whole) keeps streams that failed together from coming back together.
        delay = self._backoff * 2**self._retries * random.uniform(0.5, 1.0)  # noqa: S311  # not cryptography
        if asked is not None and asked > _LONGEST_WAIT_S:
            raise error
        delay = max(delay, asked) if asked is not None else delay
        self._retries += 1
        if isinstance(error, StreamInterrupted):
            self._paid_again()
        self._out, self._is_asking = None, False
        self._settle(0)
        why = error.status or "the service failed" if isinstance(error, ServiceError) else "no connection"
        self._notice = f"{why}, again in {delay:.0f} s" if delay >= 1 else ""
        if self._answer is not None:
            await self._answer.aclose()
            self._answer = None
        await asyncio.sleep(delay)
        self._notice = ""

    async def _asked(self) -> Answer:
        """One request, whose answer begins."""
        if self._budgets and not self._allowances:
            self._keep_to(self._budgets)
        await self._permit()
        answer = self._answer = await ask(
            self._service, self._request, Ears(_weak(self._notify), _weak(self._permitted))
        )
        self._is_asking = False
        if self._service.is_above_all(self._request):
            self.limited_by = ""
        self._think = Think()
        self._thoughts = [(0, self._think)]
        if answer.resent:
            self._resent += answer.resent
            self._limiter.charge(self._estimate)
            self._paid_again(answer.resent)
        return answer

    def _again(self) -> None:
        """A kept socket had died: a new one takes its place."""
        self._resent += 1
        self._paid_again()
        self._request = replace(self._request, is_again=True)

    def _paid_again(self, times: int = 1) -> None:
        for allowance in self._allowances * times:
            allowance.again()

    def _keep_to(self, budgets: tuple[tuple[Budget, int], ...]) -> None:
        """Lowers the limit on the answer to what the budgets pay for. Raises SetupError where one does not."""
        request, thinking = self._request, self._request.body.get("thinking")
        try:
            for budget, shares in budgets:
                if budget.limit is None:  # nothing is looked up before the request goes
                    self._allowances.append(budget.count())
                    continue
                choices = request.choices * shares
                least = max(1 + thinking_budget(thinking), LEAST_OF_RESPONSES if request.wire == "responses" else 1)
                tier = tier_in(request.body)
                allowance = budget.allow(self._card, self._prompt_tokens, choices, least=least, tier=tier)
                self._allowances.append(allowance)
        except SetupError:
            for allowance in self._allowances:
                allowance.close(nothing(self._card))
            raise
        limits = [(each.tokens, each.budget.name) for each in self._allowances if each.tokens is not None]
        if not limits:
            return
        self._is_limited = True
        tokens, name = min(limits)
        most = request.limit
        if most is None and request.wire == "messages":  # it has one in any case
            most = default_limit(request.model, thinking)
            tokens = min(tokens, most)
        if tokens > _MOST_TOKENS:
            return
        if most is None or tokens < most:
            self.limited_by = name
        ceiling = tokens if request.limit is None else None
        field = tokens_field(self._service.provider, request.model)
        body = lowered(request.body, tokens, field, request.wire)
        self._request = replace(request, body=body, ceiling=ceiling)
        self._foreseen = min(self._foreseen, tokens)

    @cached_property
    def _prompt_tokens(self) -> int:
        return estimate_prompt(self._request.body)

    @cached_property
    def _card(self) -> PriceCard:
        # What stands behind a "#" is a deployment of the model (Fireworks), or a fault of the simulator.
        return price_card(self._service.provider, self._request.model.partition("#")[0])

    def _cost(self, usage: Usage, answer: Answer | None) -> Cost:
        return cost(usage, self._card, "" if answer is None else answer.facts.service_tier)

    @property
    def _estimate(self) -> int:
        """Tokens of prompt and answers, as far as they can be foreseen."""
        return self._prompt_tokens + self._foreseen * self._request.choices

    async def _permit(self) -> None:
        """Waits until the limiter lets one more request go."""
        self._settle(0)
        self._out = None
        self._reservation = self._limiter.reserve(self._estimate)
        await self._reservation.granted()
        self._is_asking = True

    def _permitted(self) -> None:
        """The pool has room: from here on it is the service that lets wait."""
        self._is_asking = False
        self._out = self._waits_since = time.perf_counter_ns()
        self._without_output = 0

    def _take(self, events: list[Event]) -> list[Event]:
        if self._think.is_open:
            events = self._think.take(events)
        fold = self._fold
        before = fold.tokens if self._is_limited else 0
        for event in events:
            fold.add(event)
        if self._stop_after is not None and fold.output_events >= self._stop_after:
            self._cut()
        if self._is_limited and (now := fold.tokens) > before:
            more = -(-now // (fold.output_events + fold.other_events))  # an event like those before
            for allowance in self._allowances:
                if allowance.passes(now, more):
                    self.limited_by = allowance.budget.name
                    self._cut()
        return events

    def _cut(self) -> None:
        """Ends it here, unless all has come."""
        self._cause = self._cause or ("" if self._said().is_complete else "length")

    def _take_rest(self) -> None:
        """What was held back because it might have been a tag."""
        for event in self._think.close():
            self._fold.add(event)
            self._ready.append(event)

    def _notify(self, notice: str) -> None:
        self._notice = notice

    def _echo(self, answer: Answer | None) -> Mapping[str, Any] | None:
        if answer is not None:
            answer.facts.raw = self._thoughts[0][1].sent
        content = answer.echo if answer is not None else None
        if content is None:
            return None
        minted = minted_by(self._service.provider, self._request.model)
        return {"wire": self._request.wire, "from": minted, "content": content}

    def _is_paid(self, end: Ending) -> bool:
        """Whether somebody may have to pay: not for what was refused, or never sent."""
        if self._answer is not None or self._fold.output_events:
            return True
        return self._out is not None and not isinstance(end.error, _UNPAID)

    def _make_reply(self, end: Ending) -> Reply:
        service, request, answer = self._service, self._request, self._answer
        is_paid = self._is_paid(end)
        reply = self._fold.reply(
            finish_reason=end.finish_reason,
            whole=end.is_whole,
            prompt_estimate=self._prompt_tokens if is_paid else None,
            hides_reasoning=hides_reasoning(service.provider, request.model),
            unnamed=service.provider.unnamed_output,
            cost=lambda usage: self._cost(usage, answer) if is_paid else nothing(self._card),
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
                resent=self._resent,
                opening=answer.opening if answer else None,
                written=answer.written if answer else None,
            ),
            request_id=answer.request_id if answer else None,
            transport=answer.transport if answer else "ws" if request.transport == "ws" else "sse",
            error=end.error,
            wire=request.wire,
            facts=answer.facts if answer else None,
            echo=self._echo(answer) if end.is_whole else None,
            chunks=tuple(answer.chunks) if answer else (),
        )
        reply = replace(reply, asked=tuple(request.body.get("messages", ())))
        told: dict[str, Any] = {name: hide(said, service.secret) for name in _WORDS if (said := getattr(reply, name))}
        if any(said != getattr(reply, name) for name, said in told.items()):  # some services repeat keys
            reply = replace(reply, **told)
        if any(think.sent for _, think in self._thoughts):
            reply = replace(reply, raw=self._raw(reply.text))
        if self._has_pauses:  # a decode speed over the time in which tools ran would be false
            reply = replace(reply, timing=replace(reply.timing, visible_tokens=None))
        return reply

    def _raw(self, text: str) -> str:
        """The answer's text with the reasoning in it, as it was sent."""
        raw, start = "", 0
        for at, think in self._thoughts:
            raw += text[start:at] + think.sent
            start = at
        return raw + text[start:]


async def _attempt(stream: weakref.ref[Stream]) -> AsyncGenerator[list[Event], None]:
    """One request, and the events of its answer, read by read; the first batch, empty, says that it has begun.

    Weakly: whoever reads holds the stream, and one that nobody holds goes at once, with its connection.
    """
    while True:
        answer = await stream()._asked()  # type: ignore[union-attr]  # the reader holds it
        yield []
        try:
            async with aclosing(answer.events()) as batches:
                async for events in batches:
                    yield stream()._take(events)  # type: ignore[union-attr]
        except StreamInterrupted:
            if not answer.is_stale:
                raise
        if not answer.is_stale:
            return
        await answer.aclose()
        stream()._again()  # type: ignore[union-attr]


def _weak(method: Callable[..., None]) -> Callable[..., None]:
    """The method of a stream, which does not keep the stream."""
    weak = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        if (bound := weak()) is not None:
            bound(*arguments)

    return call


def _is_worth_another(error: HolystreamError) -> bool:
    """Whether asking again may help: the service's own word, else what the error is."""
    told = getattr(error, "should_retry", None)
    if told is not None:
        return bool(told)
    if isinstance(error, Stalled):
        return False  # the service may be at work on it still, and every try is paid for
    return isinstance(error, RateLimited | ServiceUnavailable | ConnectionFailed | StreamInterrupted)


class _Abandoned:
    """What a stream held that nobody holds."""

    def __init__(self, answer: Answer, source: AsyncGenerator[list[Event], None] | None) -> None:
        self._answer, self._source = answer, source
        self._closing = asyncio.Lock()

    async def aclose(self) -> None:
        async with self._closing:
            with suppress(Exception):
                await self._answer.aclose()
            if self._source is not None:
                with suppress(Exception):
                    await self._source.aclose()


def _long(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _tokens(usage: Usage) -> int:
    return (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
