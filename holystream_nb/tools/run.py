"""A model's answer with tools: request, calls, results, the next request, until the model ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, Protocol

import msgspec

from ..errors import DeadlineExceeded, HolystreamError, SetupError
from ..events import Event, Text, ToolCallPart
from ..reply import Progress, Reply
from .call import Ask, Call, ToolError, perform, short
from .function import Tool, named
from .sums import progress_of, reply_of

Message = Mapping[str, Any]
Consent = Literal["ask", "all"] | Collection[str]

MAX_ROUNDS: Final = 8
_CALLS: Final = 64
"""Calls of one answer that are run; the model is told that the others were not."""

_BROKEN_OFF: Final = ("length", "content_filter", "stopped", "interrupted", "truncated", "")


class Round(Protocol):
    """One request's answer as it arrives: a client's Stream."""

    @property
    def model(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def reply(self) -> Reply: ...
    @property
    def progress(self) -> Progress: ...

    def stop(self) -> None: ...

    async def aclose(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[Event]: ...


class Streams(Protocol):
    """Whoever can be asked for an answer: a Client, or what stands for one."""

    def stream(self, prompt: Sequence[Message], *, model: str | None, **parameters: Any) -> Round: ...


def run_tools(
    client: Streams,
    messages: str | Sequence[Message],
    *,
    tools: Iterable[Callable[..., Any]],
    model: str | None = None,
    consent: Consent = "ask",
    ask: Ask | None = None,
    max_rounds: int = MAX_ROUNDS,
    timeout: float | None = None,
    **parameters: Any,
) -> ToolRun:
    """Asks for an answer in which the model may call Python functions: `reply = await hs.run_tools(…)`.

    Nothing is sent before it is awaited or iterated; `async for` gives the events of all rounds, and every call as it
    changes. Nothing is shown: `hs.stream(…, tools=[…])` does the same on the screen.

    messages: a text, or a list of messages.
    tools: typed functions, decorated with `@hs.tool` or not.
    consent: what may run unasked: nothing ("ask"), these names, or everything ("all").
    ask: is asked for every other call; an async function that takes a Call and returns "allow", "always" (this tool, in
        this run) or "refuse". Without it, such calls are refused, and the model is told so.
    max_rounds: requests at most; the calls of the last one are not run.
    timeout: limit in seconds on everything together, waiting for consent included.
    parameters: further fields of every request (a `tool_choice` that forces a call, of the first one only).

    Raises SetupError for a function that can be no tool, and for a name in `consent` that none has.
    """
    return ToolRun(
        client,
        messages,
        tools=named(tools),
        model=model,
        consent=consent,
        ask=ask,
        max_rounds=max_rounds,
        timeout=timeout,
        parameters=parameters,
    )


class ToolRun:
    """An answer in rounds, as it arrives: awaited, it is its Reply.

    `reply` sums up all requests so far (see `sums.reply_of`), `replies` has each one's; `messages` is the exchange, to
    be continued; `calls` are the calls so far. `stop()` ends the request and the calls that run, from anywhere.
    """

    def __init__(
        self,
        client: Streams,
        messages: str | Sequence[Message],
        *,
        tools: Mapping[str, Tool[..., Any]],
        model: str | None,
        consent: Consent,
        ask: Ask | None,
        max_rounds: int,
        timeout: float | None,
        parameters: Mapping[str, Any],
    ) -> None:
        if not tools:
            raise SetupError("There is no tool: give tools=[…], or ask without.")
        if max_rounds < 1:
            raise SetupError(f"max_rounds={max_rounds}: give 1 or more.")
        self._client = client
        self._tools = tools
        self._allowed = _allowed(consent, tools)
        self._ask = ask
        self._max_rounds = max_rounds
        self._timeout = timeout
        self._parameters = dict(parameters)
        self.messages: list[Message] = (
            [{"role": "user", "content": messages}] if isinstance(messages, str) else [*messages]
        )
        self.replies: list[Reply] = []
        self._calls: list[Call] = []
        self._parts: dict[int, list[str]] = {}
        self._numbers: dict[int, int] = {}
        self._at = 0
        self._progresses: list[Progress] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._submitted = time.perf_counter_ns()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._source: AsyncGenerator[Event | Call, None] | None = None
        self._is_read = False
        self._abort: Literal["", "stopped", "deadline"] = ""
        self._error: HolystreamError | None = None
        self._reply: Reply | None = None
        self._stream: Round | None = None
        self._stream = first = self._request(model)
        self.model = first.model
        self.provider = first.provider

    def __repr__(self) -> str:
        return f"<ToolRun {self.provider}:{self.model} {len(self.replies)} rounds, {len(self._calls)} calls>"

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call so far, in the model's order, as it stands now."""
        return tuple(
            replace(call, arguments="".join(self._parts[call.number])) if call.state == "writing" else call
            for call in self._calls
        )

    @property
    def reply(self) -> Reply:
        """All requests so far as one Reply."""
        return self._reply or self._make_reply("")

    @property
    def progress(self) -> Progress:
        """How it stands, without the text: for a display."""
        now = [] if self._stream is None else [self._stream.progress]
        elapsed_ms = (time.perf_counter_ns() - self._submitted) / 1e6
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
                left = self._timeout - (time.perf_counter_ns() - self._submitted) / 1e9
                self._timer = self._loop.call_later(max(0.0, left), self._end, "deadline")
            self._source = self._exchange()
        self._is_read = True
        try:
            return await anext(self._source)
        finally:
            self._is_read = False

    # The exchange

    async def _exchange(self) -> AsyncGenerator[Event | Call, None]:
        try:
            while True:
                async with contextlib.aclosing(self._arriving()) as events:
                    async for event in events:
                        yield event
                numbers, hindrance = self._asked_for(), self._hindrance()
                if hindrance:
                    for number in numbers:
                        yield self._change(number, state="refused", error=hindrance)
                if hindrance or not numbers or self._abort:
                    break
                async with contextlib.aclosing(self._performed(numbers)) as changes:
                    async for call in changes:
                        yield call
                if self._abort:
                    break
                self._hand_back(numbers)
            if self._abort == "deadline":
                raise DeadlineExceeded(
                    f"{self.model} and its tools did not finish within {self._timeout:g} s; what had arrived is kept."
                )
        except HolystreamError as exc:
            self._error = exc
            raise
        except BaseException:
            self._abort = self._abort or "stopped"
            raise
        finally:
            self._conclude()

    def _request(self, model: str | None) -> Round:
        """The next round; nothing is sent before it is read."""
        parameters = dict(self._parameters)
        if self.replies and parameters.get("tool_choice") not in ("auto", "none"):
            parameters.pop("tool_choice", None)  # a call that is forced every time never ends
        tools = [tool.specification for tool in self._tools.values()]
        return self._client.stream(self.messages, model=model, tools=tools, **parameters)

    async def _arriving(self) -> AsyncGenerator[Event, None]:
        """The events of one answer. Text after an earlier round's begins with a blank line."""
        stream = self._stream = self._stream or self._request(self.model)
        self._numbers = {}
        is_first_text = self._at > 0
        try:
            async for event in stream:
                if isinstance(event, Text):
                    if is_first_text:
                        event = Text(f"\n\n{event.text}", event.read)
                    is_first_text = False
                    self._at += len(event.text)
                elif isinstance(event, ToolCallPart):
                    self._write(event)
                yield event
        finally:
            await stream.aclose()
            self.replies.append(stream.reply)
            # A stream that has ended has closed its response, and with it what its progress knows of the first token.
            self._progresses.append(replace(stream.progress, ttft_ms=stream.reply.timing.ttft_ms))
            self._stream = None

    def _write(self, part: ToolCallPart) -> None:
        number = self._numbers.get(part.index)
        if number is None:
            number = self._numbers[part.index] = len(self._calls)
            self._calls.append(Call(number, len(self.replies) + 1, self._at, "", "", "", "writing"))
            self._parts[number] = []
        call = self._calls[number]
        self._calls[number] = replace(call, id=call.id or part.id, name=call.name or part.name)
        self._parts[number].append(part.arguments)

    def _asked_for(self) -> list[int]:
        """The calls of the answer that has ended, now with all of their arguments, each with an id of its own."""
        numbers = [number for _, number in sorted(self._numbers.items())]
        taken: set[str] = set()
        for number in numbers:
            call = self._calls[number]
            id = call.id if call.id and call.id not in taken else f"call_{call.round}_{number}"
            taken.add(id)
            self._calls[number] = replace(call, id=id, arguments="".join(self._parts[number]))
        return numbers

    def _hindrance(self) -> str:
        """Why no call of the last answer is run, if so."""
        if self._abort:
            return ""
        reason = self.replies[-1].finish_reason
        if reason in _BROKEN_OFF:
            return f"not run: the answer ended ({reason or 'interrupted'}) before the call was whole"
        if len(self.replies) >= self._max_rounds:
            return f"not run: the limit of {self._max_rounds} rounds is reached"
        return ""

    async def _performed(self, numbers: Sequence[int]) -> AsyncGenerator[Call, None]:
        """Runs calls side by side, and gives each one whenever it changes."""
        news: asyncio.Queue[Call | None] = asyncio.Queue()
        self._tasks = [asyncio.ensure_future(self._perform(number, news.put_nowait)) for number in numbers]
        together = asyncio.gather(*self._tasks)
        together.add_done_callback(lambda _: news.put_nowait(None))
        try:
            while (call := await news.get()) is not None:
                yield call
            await together
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, together, return_exceptions=True)
            self._tasks = []

    async def _perform(self, number: int, tell: Callable[[Call], None]) -> None:
        started: int | None = None

        def change(**fields: Any) -> None:
            seconds = None if started is None else (time.perf_counter_ns() - started) / 1e9
            tell(self._change(number, seconds=seconds, **fields))

        call = self._calls[number]
        try:
            if call.number >= min(self._numbers.values()) + _CALLS:
                raise ToolError(f"not run: an answer may have {_CALLS} calls")
            tool, arguments = self._understood(call)
            refusal = await self._refusal(call, change)
            if refusal:
                change(state="refused", error=refusal)
                return
            change(state="running")
            started = time.perf_counter_ns()
            result = await perform(tool, arguments)
            change(state="done", result=result)
        except ToolError as exc:
            change(state="failed", error=str(exc))
        except asyncio.CancelledError:
            change(state="stopped", error="stopped before it had a result")

    def _understood(self, call: Call) -> tuple[Tool[..., Any], dict[str, Any]]:
        tool = self._tools.get(call.name)
        if tool is None:
            raise ToolError(f"there is no tool {short(call.name)!r}; there are: {', '.join(self._tools)}")
        try:
            return tool, tool.arguments(call.arguments)
        except ValueError as exc:
            raise ToolError(f"the arguments do not fit {tool.name}: {short(str(exc))}") from exc

    async def _refusal(self, call: Call, change: Callable[..., None]) -> str:
        """Why a call may not run; "" where it may."""
        if call.name in self._allowed:
            return ""
        if self._ask is None:
            return f"{call.name} was not allowed, and nobody can be asked: give consent=[{call.name!r}], or ask=…"
        change(state="asking")
        try:
            answer = await self._ask(self._calls[call.number])
        except SetupError as exc:
            return str(exc)
        except Exception as exc:  # whatever the callback raises, it is not consent
            return f"asking failed with {type(exc).__name__}: {short(str(exc))}"
        if answer == "always":
            self._allowed |= {call.name}
        return "" if answer in ("allow", "always") else "the user did not allow this call"

    def _hand_back(self, numbers: Sequence[int]) -> None:
        """The answer's calls and their results, as the next request carries them."""
        calls = [self._calls[number] for number in numbers]
        self.messages.append(
            {
                "role": "assistant",
                "content": self.replies[-1].text or None,
                "tool_calls": [
                    {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _valid(call)}}
                    for call in calls
                ],
            }
        )
        self.messages += [{"role": "tool", "tool_call_id": call.id, "content": call.content} for call in calls]

    # The end

    def _end(self, reason: Literal["stopped", "deadline"]) -> None:
        if self._abort or self._reply is not None:
            return
        self._abort = reason
        if self._stream is not None:
            self._stream.stop()
        for task in self._tasks:
            task.cancel()

    def _conclude(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for call in self.calls:
            if not call.is_final:
                self._calls[call.number] = replace(call, state="stopped", error="stopped before it had a result")
        if self.replies and self.replies[-1].text:
            self.messages.append({"role": "assistant", "content": self.replies[-1].text})
        ours = {"stopped": "stopped", "deadline": "truncated", "": ""}[self._abort]
        last = self.replies[-1].finish_reason if self.replies else ""
        self._reply = self._make_reply(ours or last)

    def _make_reply(self, finish_reason: str) -> Reply:
        now = [] if self._stream is None else [self._stream.reply]
        return reply_of([*self.replies, *now], finish_reason=finish_reason, error=self._error)

    def _change(self, number: int, **fields: Any) -> Call:
        call = self._calls[number] = replace(self._calls[number], **fields)
        return call

    def _notice(self) -> str:
        if self._stream is not None:
            return self._stream.progress.notice
        running = [call.name for call in self._calls if call.state == "running"]
        return f"running {', '.join(dict.fromkeys(running))}" if running else ""


def _allowed(consent: Consent, tools: Mapping[str, Tool[..., Any]]) -> frozenset[str]:
    if consent == "ask":
        return frozenset()
    if consent == "all":
        return frozenset(tools)
    names = frozenset([consent] if isinstance(consent, str) else consent)
    if unknown := names - tools.keys():
        raise SetupError(
            f"{', '.join(sorted(unknown))} cannot be allowed: there is no such tool (there are: {', '.join(tools)})."
        )
    return names


def _valid(call: Call) -> str:
    """The arguments as a service takes them back: many parse them, and refuse the request where that fails."""
    try:
        is_object = isinstance(msgspec.json.decode(call.arguments), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        is_object = False
    return call.arguments if is_object else "{}"
