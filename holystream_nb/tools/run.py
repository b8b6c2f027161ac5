"""A model's answer with tools: calls, results, and on, until the model ends.

Over server-sent events each round is a request: its answer ends with calls, and the next request carries the results.
Over a socket all rounds are one request and one turn: a call runs as soon as its own arguments are whole, and the
results go back in the turn, together, when every call has one and the model has been silent for `_SILENCE_S`. The
silence is what ends a round there: nothing that a service sends says that it waits. Where a turn ends without its
results (the service does not wait for them, or they are not to go there), the next request carries them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, Final, Protocol, runtime_checkable

from .. import kinds
from ..client.ending import NOTHING, Cause, Said, ending
from ..client.keeper import Keeper, keeper_of
from ..client.options import REQUEST_FIELDS, fields_of
from ..client.texts import Texts
from ..errors import DeadlineExceeded, HolystreamError, SetupError
from ..events import Event, Finish, ToolCallEnd, ToolCallPart, Usage
from ..facts import Wire, wire_choice
from ..providers.secret import sealing
from ..reply import OURS, Progress, Reply, ToolCall, TransportChoice, transport_choice
from .call import Ask, Call
from .exchange import Echo, Exchange, Message
from .executor import Consent, Executor
from .function import Tool, named
from .mcp import are_stale, offered, starting
from .mcp_servers import Server, split
from .sums import progress_of, reply_of

MAX_ROUNDS: Final = 8

_SILENCE_S: Final = 0.1
"""Several times the pause between two tokens, also of the slower models of the documents; a model that has results to
read thinks longer before it goes on."""

_BROKEN_OFF: Final = ("length", "filter", "failure", None)
"""Kinds of an end after which a call may not be whole; None is an end of ours."""


class Request(Protocol):
    """One request's answer as it arrives: a client's Stream.

    `answers_calls` says that results may go back by `send_event`, on a socket.
    """

    @property
    def model(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def reply(self) -> Reply: ...
    @property
    def progress(self) -> Progress: ...
    @property
    def answers_calls(self) -> bool: ...
    @property
    def limited_by(self) -> str: ...

    def stop(self) -> None: ...

    def decline_calls(self) -> None: ...

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None: ...

    async def aclose(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __anext__(self) -> Event: ...


class Streams(Protocol):
    """Whoever can be asked for an answer: a Client, or what stands for one."""

    def stream(
        self, prompt: Sequence[Message], *, model: str | None, answers_calls: bool, **parameters: Any
    ) -> Request: ...


@runtime_checkable
class SplitStreams(Streams, Protocol):
    """One that shares requests out among services, and keeps those of a `conversation` on one of them: a Rollout."""

    def new_conversation(self) -> str: ...


@sealing()
def run_tools(
    client: Streams,
    messages: str | Sequence[Message],
    *,
    tools: Iterable[Callable[..., Any] | Server],
    model: str | None = None,
    consent: Consent = "ask",
    ask: Ask | None = None,
    max_rounds: int = MAX_ROUNDS,
    timeout: float | None = None,
    transport: TransportChoice | None = None,
    wire: Wire | None = None,
    strict: bool = False,
    keep_chunks: bool = False,
    conversation: str | int | None = None,
    parameters: Mapping[str, Any] | None = None,
    **fields: Any,
) -> ToolRun:
    """Asks for an answer in which the model may call Python functions.

        @hs.tool
        def get_weather(city: str) -> str:
            "Says what the weather is."
            return f"sunny in {city}"

        async with hs.Client("simulator", base_url=simulator.url) as client:
            reply = await hs.run_tools(client, "Use get_weather for Paris", tools=[get_weather], consent="all")

    Nothing is sent before it is awaited or iterated; `async for` gives the events of all rounds, and every call as it
    changes. Nothing is shown: `hs.stream(…, tools=[…])` does the same on the screen.

    messages: a text, or a list of messages.
    tools: typed functions, decorated with `@hs.tool` or not, and MCP servers (`hs.mcp`).
    consent: what may run unasked: nothing ("ask"), these names, or everything ("all").
    ask: is asked for every other call; an async function that takes a Call and returns "allow", "always" (this tool, in
        this run) or "refuse". Without it, such calls are refused, and the model is told so.
    max_rounds: how often the model may go on with results, and its first answer; the calls of the last round are not
        run.
    timeout: limit in seconds on everything together, waiting for consent included.
    transport: instead of the client's: `sse`, `ws` or `auto`. On a socket results go back in the turn that asked for
        them, and a call may run before the model has written its next one; else in the next request.
    wire: the format, instead of the client's: `chat`, `messages` or `responses`.
    strict, keep_chunks: of every request, as for `Client.stream`.
    conversation: where the client is a Rollout, what keeps its requests on one side.
    fields: further fields of every request (a `tool_choice` that forces a call, of the first one only).
    parameters: fields of any name, for what only this service knows.

    Raises SetupError for a function that can be no tool, and for a name in `consent` that none has.
    """
    if not callable(getattr(client, "stream", None)):
        raise SetupError(f"The client of hs.run_tools is {kinds.kind(client)}: give a Client, or a Rollout.")
    asked = fields_of("hs.run_tools", fields, parameters, names=_KEYWORDS)
    uncommon = {name: value for name, value in asked.items() if name not in REQUEST_FIELDS}
    handed: dict[str, Any] = {name: value for name, value in asked.items() if name in REQUEST_FIELDS}
    handed |= {"parameters": uncommon} if uncommon else {}
    handed |= {"transport": transport_choice(transport)} if transport is not None else {}
    handed |= {"wire": wire_choice(wire)} if wire is not None else {}
    handed |= {name: True for name, given in (("strict", strict), ("keep_chunks", keep_chunks)) if given}
    handed |= {"conversation": conversation} if conversation is not None else {}
    functions, servers = split(tools)
    return ToolRun(
        client,
        kinds.messages(messages, "The messages of hs.run_tools"),
        tools=named(functions),
        servers=servers,
        model=kinds.optional_text("model", model, "model='gpt-4.1'"),
        consent=consent,
        ask=ask,
        max_rounds=kinds.count("max_rounds", max_rounds, least=1),
        timeout=kinds.optional_seconds("timeout", timeout),
        parameters=handed,
    )


_KEYWORDS: Final = frozenset(signature(run_tools).parameters) - {"fields"}


class ToolRun:
    """An answer in rounds, as it arrives: awaited, it is its Reply.

    `reply` sums up all requests so far (see `sums.reply_of`), `replies` has each one's, as it arrived: over a socket,
    one for all rounds of its turn. `messages` is the exchange, to be continued, the same over either; `calls` are the
    calls so far. `stop()` ends the request and the calls that run, from anywhere.
    """

    def __init__(
        self,
        client: Streams,
        messages: str | Sequence[Message],
        *,
        tools: Mapping[str, Tool[..., Any]],
        servers: Sequence[Server] = (),
        model: str | None,
        consent: Consent,
        ask: Ask | None,
        max_rounds: int,
        timeout: float | None,
        parameters: Mapping[str, Any],
    ) -> None:
        if not tools and not servers:
            raise SetupError("There is no tool: give tools=[…], or ask without.")
        if max_rounds < 1:
            raise SetupError(f"max_rounds={max_rounds}: give 1 or more.")
        self._client = client
        self._functions = tools
        self._servers = servers
        self._offering: asyncio.Future[dict[str, Tool[..., Any]]] | None = None
        self._has_offers = False
        self._specifications = [tool.specification for tool in tools.values()]
        self._calls = Executor(tools, consent, ask, is_complete=not servers)
        self._max_rounds = max_rounds
        self._timeout = timeout
        self._parameters = dict(parameters)
        if isinstance(client, SplitStreams) and self._parameters.get("conversation") is None:
            self._parameters["conversation"] = client.new_conversation()
        self._model = model
        self.replies: list[Reply] = []
        self._limited_by = ""
        self._said = Exchange(messages)
        self._progresses: list[Progress] = []
        self._is_silent_at = 0.0
        self._is_unread = False
        self._is_one_round = True
        self._submitted = time.perf_counter_ns()
        self._ended_at: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: Keeper | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._source: AsyncGenerator[Event | Call, None] | None = None
        self._is_read = False
        self._cause: Cause = ""
        self._error: HolystreamError | None = None
        self._reply: Reply | None = None
        self._stream: Request | None = None
        self._stream = first = self._request()
        self.model = first.model
        self.provider = first.provider

    def __repr__(self) -> str:
        return f"<ToolRun {self.provider}:{self.model} {self._calls.round} rounds, {len(self.calls)} calls>"

    @property
    def messages(self) -> list[Message]:
        """The exchange so far."""
        return self._said.messages

    @property
    def echoes(self) -> list[Echo | None]:
        """What the service wants back of each round, also of a last one whose calls have not gone back."""
        return self._said.echoes

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call so far, in the model's order, as it stands now."""
        return self._calls.calls

    @property
    def limited_by(self) -> str:
        """The budget that limits the last request's answer, by its name; "" where none does."""
        return self._limited_by if self._stream is None else self._stream.limited_by

    @property
    def reply(self) -> Reply:
        """All requests so far as one Reply."""
        return self._reply or self._make_reply("")

    @property
    def progress(self) -> Progress:
        """How it stands, without the text: for a display. After the end it stands still."""
        now = [] if self._stream is None else [self._stream.progress]
        ended = time.perf_counter_ns() if self._ended_at is None else self._ended_at
        elapsed_ms = (ended - self._submitted) / 1e6
        return progress_of([*self._progresses, *now], elapsed_ms, self._notice())

    def stop(self) -> None:
        """Ends it at once; what arrived stays. From any thread; again is harmless.

        A sync function that runs is left behind in its thread: nothing can end it.
        """
        loop = self._loop
        if loop is None:
            self._end("stopped")
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._end, "stopped")

    def __await__(self) -> Generator[Any, None, Reply]:
        return self._drained().__await__()

    async def _drained(self) -> Reply:
        async with self:
            async for _ in self:
                pass
        return self.reply

    async def __aenter__(self) -> ToolRun:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection; an answer that was still running is `stopped`."""
        if self._is_read:
            self._end("stopped")  # the reader comes to the end now
        elif self._source is not None:
            await self._source.aclose()
        elif self._stream is not None:
            await self._stream.aclose()

    def __aiter__(self) -> AsyncIterator[Event | Call]:
        return self

    async def __anext__(self) -> Event | Call:
        if self._source is None:
            self._loop = asyncio.get_running_loop()
            if self._timeout is not None:
                self._timer = self._loop.call_later(self._timeout, self._end, "deadline")
            self._source = self._exchange()
            self._keeper = keeper_of(self._loop)
            self._keeper.add(self)
        self._is_read = True
        try:
            return await anext(self._source)
        finally:
            self._is_read = False

    def texts(self) -> Texts:
        """The pieces of the answers alone, without its reasoning: `async for text in run.texts()`."""
        return Texts(self)

    # The exchange

    async def _exchange(self) -> AsyncGenerator[Event | Call, None]:
        try:
            while True:
                await self._look_at_servers()
                async with contextlib.aclosing(self._arriving()) as events:
                    async for event in events:
                        yield event
                hindrance = "" if self._cause else self._hindrance()
                if hindrance:
                    for call in self._calls.refuse_written(hindrance):
                        yield call
                    self._calls.stop()
                elif not self._cause:
                    self._calls.start_written()
                async for call in self._calls.changes():
                    yield call
                if self._cause or hindrance or not self._goes_on():
                    break
            if self._cause == "deadline" and not self._last_said().is_complete:
                raise DeadlineExceeded(
                    f"{self.model} and its tools did not finish within {self._timeout:g} s; what had arrived is kept."
                )
        except HolystreamError as exc:
            self._error = exc
            raise
        except BaseException:
            self._cause = self._cause or "stopped"
            raise
        finally:
            try:
                await self._calls.aclose()
            finally:
                self._conclude()

    async def _look_at_servers(self) -> None:
        """Before a request: the MCP servers' tools, where they may be others than at the last one.

        Raises SetupError for a server that does not start, and for a tool that is to be allowed and is not there.
        """
        if not self._servers or self._cause or (self._has_offers and not are_stale(self._servers)):
            return
        self._offering = asyncio.ensure_future(offered(self._functions, self._servers))
        try:
            tools = await self._offering
        except asyncio.CancelledError:
            if self._cause:
                return
            raise
        finally:
            self._offering = None
        self._calls.offer(tools, is_first=not self._has_offers)
        self._has_offers = True
        self._specifications = [tool.specification for tool in tools.values()]
        if self._stream is not None:  # the first request, which was made without them
            await self._stream.aclose()
            self._stream = self._request()

    def _request(self) -> Request:
        """The next request; nothing is sent before it is read."""
        parameters = dict(self._parameters)
        if self.replies and parameters.get("tool_choice") not in ("auto", "none"):
            parameters.pop("tool_choice", None)  # a call that is forced every time never ends, nor does it in one turn
        is_free = parameters.get("tool_choice") in (None, "auto", "none")
        return self._client.stream(
            self.messages, model=self._model, answers_calls=is_free, tools=self._specifications, **parameters
        )

    async def _arriving(self) -> AsyncGenerator[Event | Call, None]:
        """The events of one request's answer; on a socket also its calls as they change."""
        stream = self._stream = self._stream or self._request()
        calls = self._calls
        calls.begin_answer()
        self._is_unread, self._is_one_round = False, True
        reading: asyncio.Task[Event | None] | None = None
        try:
            while True:
                if reading is None and not calls.has_begun:
                    event = await _next(stream)
                else:
                    if reading is None:
                        reading = asyncio.ensure_future(_next(stream))
                        reading.add_done_callback(calls.wake)
                    try:
                        async with asyncio.timeout(self._until_silent(stream)):
                            change = await calls.news.get()
                    except TimeoutError:
                        await self._send_results(stream)
                        continue
                    if change is not None:
                        yield change
                    if change is not None or not reading.done():
                        continue
                    event, reading = reading.result(), None
                if event is None:
                    return
                event = self._fold(event)
                refused = self._written(event, stream) if isinstance(event, ToolCallEnd) else []
                yield event
                for call in refused:
                    yield call
                self._is_silent_at = time.perf_counter() + _SILENCE_S
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await stream.aclose()
            async for event in stream:  # what had arrived when it was stopped
                self._fold(event)
            self.replies.append(stream.reply)
            self._limited_by = stream.limited_by
            # A stream that has ended has closed its response, and with it what its progress knows of the first token.
            self._progresses.append(replace(stream.progress, ttft_ms=stream.reply.timing.ttft_ms))
            self._stream = None

    def _fold(self, event: Event) -> Event:
        """Takes an event, and returns it as the reader gets it."""
        self._is_unread = self._is_unread and isinstance(event, Usage | Finish)
        if isinstance(event, ToolCallPart):
            self._calls.write(event, self._said.text.size)
        return self._said.fold(event)

    def _written(self, end: ToolCallEnd, stream: Request) -> list[Call]:
        """Runs a call that is whole, in the middle of the turn; returns it if it is not to run."""
        if not self._calls.keeps(end.index):
            stream.decline_calls()  # a turn that waits for its result would never end
        number = self._calls.number_of(end.index)
        if number is None or self._cause:
            return []
        if limit := self._limit():
            stream.decline_calls()
            return [self._calls.refuse(number, limit)]
        self._calls.start(number)
        return []

    def _until_silent(self, stream: Request) -> float | None:
        """Seconds until the results go back if nothing arrives; None where they do not."""
        if self._cause or not (stream.answers_calls and self._calls.has_results):
            return None
        return max(0.0, self._is_silent_at - time.perf_counter())

    async def _send_results(self, stream: Request) -> None:
        """Gives the round's results back in the turn, and begins the next round."""
        try:
            for call in self._calls.of_round:
                id = {"call_id": call.id} if call.id else {}
                await stream.send_event("tool_result", {**id, "tool": call.name, "result": call.content})
        except SetupError:
            stream.decline_calls()  # the turn has ended meanwhile: the next request carries them
            return
        except HolystreamError:
            if self._cause:
                return
            raise
        self._hand_back()
        self._is_unread, self._is_one_round = True, False

    def _goes_on(self) -> bool:
        """Whether there is something that only another request can carry to the model."""
        if self._calls.of_round:
            self._hand_back(self._echo())
            return True
        # A service that does not wait for results may have ended its turn before they came.
        return self._is_unread and self.replies[-1].end == "tool_calls"

    def _hindrance(self) -> str:
        """Why no call that does not run yet is to run, now that the answer has ended."""
        last = self.replies[-1]
        if last.end in _BROKEN_OFF:
            return f"not run: the answer ended ({last.finish_reason or 'interrupted'}) before the call was whole"
        return self._limit()

    def _limit(self) -> str:
        is_reached = self._calls.round >= self._max_rounds
        return f"not run: the limit of {self._max_rounds} rounds is reached" if is_reached else ""

    def _hand_back(self, echo: Echo | None = None) -> None:
        self._said.hand_back(self._calls.of_round, echo)
        self._calls.begin_round()

    def _echo(self) -> Echo | None:
        """What the service wants back of the last request's answer, where that was one round."""
        return self.replies[-1].echo if self.replies and self._is_one_round else None

    # The end

    def _end(self, reason: Cause) -> None:
        if self._cause or self._reply is not None:
            return
        self._cause = reason
        if self._offering is not None:
            self._offering.cancel()
        if self._stream is not None:
            self._stream.stop()
        self._calls.stop()

    def _conclude(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._keeper is not None:
            self._keeper.release(self)
        self._said.conclude(self._echo())
        last = self._last_said()
        if self._error is not None and last.finish_reason == "stopped":
            last = Said("interrupted")  # a result could not be sent, which the stream did not notice itself
        end = ending(last, self._cause, has_output=bool(self.replies and last.finish_reason), failure=self._error)
        self._error = end.error
        self._ended_at = time.perf_counter_ns()
        self._reply = self._make_reply(end.finish_reason)

    def _last_said(self) -> Said:
        """What the service has said of the end: all has come with an answer that is whole, and calls nothing."""
        if not self.replies:
            return NOTHING
        last = self.replies[-1]
        is_whole = last.finish_reason not in OURS and last.error is None
        return Said(last.finish_reason, is_whole and not self._calls.of_round and not self._is_unread)

    def _make_reply(self, finish_reason: str) -> Reply:
        now = [] if self._stream is None else [self._stream.reply]
        return reply_of(
            [*self.replies, *now],
            text=self._said.text.text,
            reasoning=self._said.reasoning.text,
            tool_calls=tuple(ToolCall(call.id, call.name, call.arguments) for call in self._calls.of_round),
            finish_reason=finish_reason,
            error=self._error,
        )

    def _notice(self) -> str:
        if self._stream is not None and (notice := self._stream.progress.notice):
            return notice
        if self._reply is not None:
            return ""
        if self._offering is not None and (notice := starting(self._servers)):
            return notice
        running = [call.name for call in self.calls if call.state == "running"]
        return f"running {', '.join(dict.fromkeys(running))}" if running else ""


async def _next(stream: Request) -> Event | None:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return None
