"""The calls of a run: written by a model, allowed by a person, run side by side."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from ..errors import SetupError
from ..events import ToolCallPart
from ..wire.calls import joined
from .call import STOPPED, Ask, Call, perform
from .function import Tool
from .mcp import ServerTool
from .results import ToolError, short

Consent = Literal["ask", "all"] | Collection[str]

_CALLS: Final = 64
"""Calls of one round that are run; the model is told that the others were not."""

_CHANGED: Final = "its MCP server describes it in another way than when it was allowed"

_KEPT: Final = _CALLS + 8
"""Calls of one round that are kept at all; what goes back has no word of the others."""


_NAME_CHARACTERS: Final = 64

_MEANT: Final = re.compile(r"(?:[\w-]+[.:/]+)*?(?P<name>[\w-]+)(?::\d+|\(\))?")
"""What models put around a name: `functions.f`, `default_api:f`, `functions.f:0`, `f()`."""

_AROUND: Final = " \t\r\n`'\""

_REFUSED: Final = re.compile(r"[^A-Za-z0-9_-]")
"""What services refuse in a name, and the whole request with it."""


class Executor:
    """Keeps every call as it stands, and runs those that it is told to.

    Calls belong to rounds; a round's results go back together. `news` has each call that runs whenever it changes, and
    None when there may be something else to look at.
    """

    def __init__(
        self, tools: Mapping[str, Tool[..., Any]], consent: Consent, ask: Ask | None, *, is_complete: bool = True
    ) -> None:
        self.news: asyncio.Queue[Call | None] = asyncio.Queue()
        self.round = 1
        self._tools = tools
        self._consent = consent
        self._allowed = _keys(allowed(consent, tools, is_complete=is_complete), tools)
        self._ask = ask
        self._calls: list[Call] = []
        self._parts: list[list[str]] = []
        self._numbers: dict[int, int] = {}
        self._first = 0
        self._begun = 0
        self._now: tuple[Call, ...] | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def offer(self, tools: Mapping[str, Tool[..., Any]], *, is_first: bool) -> None:
        """From now on these are the tools; of those that come later, or change, none may run unasked.

        Raises SetupError where there is no tool of a name that may.
        """
        self._tools = tools
        if is_first:
            self._allowed = _keys(allowed(self._consent, tools), tools)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call so far, in the model's order, as it stands now."""
        if self._now is None:
            self._now = tuple(
                replace(call, arguments="".join(self._parts[call.number])) if call.state == "writing" else call
                for call in self._calls
            )
        return self._now

    @property
    def of_round(self) -> Sequence[Call]:
        """The calls of this round."""
        return self.calls[self._first :]

    @property
    def has_begun(self) -> bool:
        """Whether a call of this round is more than written."""
        return self._begun > 0

    @property
    def is_busy(self) -> bool:
        """Whether a call runs, or its news has not been taken."""
        return any(not task.done() for task in self._tasks.values()) or not self.news.empty()

    @property
    def has_results(self) -> bool:
        """Whether every call of this round has something to go back."""
        return self.has_begun and not self.is_busy and all(call.is_final for call in self._calls[self._first :])

    # Written

    def begin_answer(self) -> None:
        """The calls' indexes begin again."""
        self._numbers = {}

    def begin_round(self) -> None:
        self.round += 1
        self._first = len(self._calls)
        self._begun = 0

    def write(self, part: ToolCallPart, at: int) -> None:
        """Takes a piece of a call that begins, or goes on, behind `at` characters of text."""
        number = self._numbers.get(part.index)
        if number is None:
            if len(self._calls) - self._first >= _KEPT:
                return
            number = self._numbers[part.index] = len(self._calls)
            self._calls.append(Call(number, self.round, at, "", "", "", "writing"))
            self._parts.append([])
        call = self._calls[number]
        if self._is_written(call):
            self._parts[number].append(part.arguments)
            self._change(number, id=call.id or part.id, name=call.name or part.name)

    def keeps(self, index: int) -> bool:
        """Whether the call that has this index in the answer is not one too many."""
        return index in self._numbers

    def number_of(self, index: int) -> int | None:
        """The number of the call that has this index in the answer, if it does not run yet."""
        number = self._numbers.get(index)
        return number if number is not None and self._is_written(self._calls[number]) else None

    def _written(self) -> list[int]:
        """The calls of this round that do not run yet."""
        return [call.number for call in self._calls[self._first :] if self._is_written(call)]

    def _is_written(self, call: Call) -> bool:
        return call.state == "writing" and call.number not in self._tasks

    # Run

    def start(self, number: int) -> None:
        """Runs a call whose arguments are whole."""
        self._begun += 1
        self._close(number)
        if not self._calls[number].name:
            self._change(number, name="unnamed")
        task = self._tasks[number] = asyncio.ensure_future(self._perform(number))
        task.add_done_callback(self.wake)

    def start_written(self) -> None:
        """Runs every call that has been written and does not run yet."""
        for number in self._written():
            self.start(number)

    def refuse(self, number: int, error: str) -> Call:
        """Ends a call that is not to run."""
        self._begun += 1
        self._close(number)
        return self._change(number, state="refused", error=error)

    def refuse_written(self, error: str) -> list[Call]:
        """The same for every call that does not run yet."""
        return [self.refuse(number, error) for number in self._written()]

    def wake(self, _: object = None) -> None:
        """Puts None into the news."""
        self.news.put_nowait(None)

    async def changes(self) -> AsyncIterator[Call]:
        """Every change until no call runs."""
        while self.is_busy:
            call = await self.news.get()
            if call is not None:
                yield call
        for task in self._tasks.values():
            if not task.cancelled():
                task.result()

    def stop(self) -> None:
        """Cancels the calls that run; what cannot be cancelled is left behind."""
        for task in self._tasks.values():
            task.cancel()

    async def aclose(self) -> None:
        """The same, and returns when they have ended; no call is open after it."""
        self.stop()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for call in self.calls:
            if not call.is_final:
                self._close(call.number)
                self._change(call.number, state="stopped", error=STOPPED)

    async def _perform(self, number: int) -> None:
        started: int | None = None

        def change(**fields: Any) -> None:
            seconds = None if started is None else (time.perf_counter_ns() - started) / 1e9
            self.news.put_nowait(self._change(number, seconds=seconds, **fields))

        call = self._calls[number]
        try:
            if number >= self._first + _CALLS:
                raise ToolError(f"not run: an answer may have {_CALLS} calls")
            tool, arguments = self._understood(call)
            note = _note(tool, call, arguments)
            refusal = await self._refusal(call, tool, change)
            if refusal:
                change(state="refused", error=refusal)
                return
            change(state="running", error="")
            started = time.perf_counter_ns()
            result = await perform(tool, arguments)
            change(state="done", result=result.text + note, images=result.images)
        except ToolError as exc:
            change(state="failed", error=str(exc))
        except asyncio.CancelledError:
            change(state="stopped", error=STOPPED)

    def _close(self, number: int) -> None:
        """Nothing more is written: the call has its arguments, and its tool's name or one that services take back."""
        written = self._calls[number].name
        name = meant(written, self._tools) or _REFUSED.sub("_", written)[:_NAME_CHARACTERS]
        self._change(number, name=name, arguments=joined(self._parts[number]))

    def _understood(self, call: Call) -> tuple[Tool[..., Any], dict[str, Any]]:
        tool = self._tools.get(call.name)
        if tool is None:
            raise ToolError(f"there is no tool {short(call.name)!r}; there are: {', '.join(self._tools)}")
        try:
            return tool, tool.arguments(call.arguments)
        except ValueError as exc:
            raise ToolError(f"the arguments do not fit {tool.name}: {short(str(exc))}") from exc

    async def _refusal(self, call: Call, tool: Tool[..., Any], change: Callable[..., None]) -> str:
        """Why a call may not run; "" where it may."""
        if _key(tool) in self._allowed:
            return ""
        changed = _CHANGED if isinstance(tool, ServerTool) and tool.has_changed else ""
        if self._ask is None:
            what = f"{changed}: check it, and restart the kernel" if changed else f"give consent=[{call.name!r}]"
            return f"{call.name} was not allowed, and nobody can be asked: {what}, or give ask=…"
        about = tool.about if isinstance(tool, ServerTool) else ""
        change(state="asking", error=". ".join(filter(None, [changed, about])))
        try:
            answer = await self._ask(self._calls[call.number])
        except SetupError as exc:
            return f"{changed}, and {exc}" if changed else str(exc)
        except Exception as exc:  # whatever the callback raises, it is not consent
            return f"asking failed with {type(exc).__name__}: {short(str(exc))}"
        if answer == "always":
            self._allowed |= {_key(tool)}
            if isinstance(tool, ServerTool):
                tool.vouch()
        return "" if answer in ("allow", "always") else "the user did not allow this call"

    def _change(self, number: int, **fields: Any) -> Call:
        self._now = None
        call = self._calls[number] = replace(self._calls[number], **fields)
        return call


def meant(name: str, tools: Collection[str]) -> str | None:
    """The tool that a model means by a name, also in other letters or with what its own format puts around it.

    None where there is none, or more than one.
    """
    if name in tools:
        return name
    found = _MEANT.fullmatch(name.partition("<|")[0].strip(_AROUND))
    if found is None or found["name"] in tools:
        return found and found["name"]
    alike = [tool for tool in tools if tool.casefold() == found["name"].casefold()]
    return alike[0] if len(alike) == 1 else None


def _note(tool: Tool[..., Any], call: Call, arguments: Collection[str]) -> str:
    """What a model is told of what it gave and its tool did not get, as there is no such parameter."""
    names = ", ".join(name for name in tool.unknown(call.arguments) if name not in arguments)
    return f"\n[left out, {tool.name} has no such parameter: {short(names)}]" if names else ""


def _key(tool: Tool[..., Any]) -> Hashable:
    """What consent for a tool binds."""
    return tool.key if isinstance(tool, ServerTool) else tool.name


def _keys(names: frozenset[str], tools: Mapping[str, Tool[..., Any]]) -> frozenset[Hashable]:
    """The same for those of these names, without one that has changed since it was first allowed."""
    found: set[Hashable] = set()
    for tool in (tools[name] for name in names & tools.keys()):
        if isinstance(tool, ServerTool):
            if tool.has_changed:
                continue
            tool.vouch()
        found.add(_key(tool))
    return frozenset(found)


def allowed(consent: Consent, tools: Mapping[str, Tool[..., Any]], *, is_complete: bool = True) -> frozenset[str]:
    """The names of the tools that may run unasked; SetupError for one that there is not, if these are all."""
    if consent == "ask":
        return frozenset()
    if consent == "all":
        return frozenset(tools)
    is_listed = isinstance(consent, list | tuple | set | frozenset) and all(isinstance(name, str) for name in consent)
    if not is_listed and not isinstance(consent, str):
        raise SetupError(
            f'consent is of type {type(consent).__name__}: give "ask", "all", or a list of the names of tools.'
        )
    names = frozenset([consent] if isinstance(consent, str) else consent)
    if is_complete and (unknown := names - tools.keys()):
        raise SetupError(
            f"{', '.join(sorted(unknown))} cannot be allowed: there is no such tool (there are: {', '.join(tools)})."
        )
    return names
