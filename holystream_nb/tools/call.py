"""One call of a tool: how it stands, whether it may run, and what goes back to the model."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import json
import os
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from ..wire.redaction import redact, redact_marked
from .function import Tool

State = Literal["writing", "asking", "running", "done", "failed", "refused", "stopped"]
Answer = Literal["allow", "always", "refuse"]

RESULT_BYTES: Final = 64 * 1024
"""The longest result that goes back to a model; what is cut off is said."""

STOPPED: Final = "stopped before it had a result"
"""The error of a call that was stopped."""

_ERROR_CHARACTERS: Final = 300
_CLEANUP_S: Final = 0.05
_SECRET: Final = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|_PAT|_PASS|_CREDENTIALS)$", re.IGNORECASE)
_LOGIN: Final = re.compile(r'(?<=://)[^/@\s"]+(?=@)')


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a model asked for.

    `number` counts the run's calls from 0, `round` from 1 the rounds in which results go back together; `at` is the
    length of the run's text before it, in characters. `arguments` is JSON text as the model wrote it. `result` is what
    the function returned, as text; `error` why there is none (state `failed`, `refused` or `stopped`). `seconds` is the
    function's own time.
    """

    number: int
    round: int
    at: int
    id: str
    name: str
    arguments: str
    state: State
    result: str = ""
    error: str = ""
    seconds: float | None = None

    @property
    def is_final(self) -> bool:
        return self.state not in ("writing", "asking", "running")

    @property
    def content(self) -> str:
        """What goes back to the model."""
        return self.result if self.state == "done" else f"Error: {self.error}"


Ask = Callable[[Call], Awaitable[Answer]]
"""Asks a person whether a call may run. SetupError: nobody can be asked, and its sentence says what to do instead."""


async def perform(function: Tool[..., Any], arguments: dict[str, Any]) -> str:
    """Calls the function and returns its result as text; raises ToolError, fit for a model and for a reader.

    A sync function runs in a thread of its own; a call past its time, or one that is cancelled, is left behind where it
    does not end by itself.
    """
    work = asyncio.ensure_future(_called(function, arguments))
    try:
        await asyncio.wait({work}, timeout=function.timeout)
        if not work.done():
            raise ToolError(f"{function.name} took longer than {function.timeout:g} s.")
        return as_text(function.name, work.result())
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ToolError(f"{function.name} was cancelled.") from None
    except ToolError:
        raise
    except Exception as exc:  # whatever a function raises is an answer to the model
        raise ToolError(f"{type(exc).__name__}: {short(str(exc))}" if str(exc) else type(exc).__name__) from exc
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait({work}, timeout=_CLEANUP_S)
            work.add_done_callback(_forget)


class ToolError(Exception):
    """Why a call has no result: one short sentence, without a traceback or secrets."""


async def _called(function: Tool[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        if inspect.iscoroutinefunction(inspect.unwrap(function.function)):
            return await function(**arguments)
        result = await _in_thread(function, arguments)
        return await result if inspect.isawaitable(result) else result
    except SystemExit as exc:  # out of a task it would end the loop
        raise ToolError(f"SystemExit: {exc}") from exc


async def _in_thread(function: Tool[..., Any], arguments: dict[str, Any]) -> Any:
    """Calls it in a thread that nothing else needs: one that hangs blocks neither the loop's pool nor the exit."""
    outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def call() -> None:
        try:
            outcome.set_result(context.run(function, **arguments))
        except StopIteration as exc:  # no future of asyncio takes one; the word that a coroutine has for it (PEP 479)
            outcome.set_exception(
                RuntimeError(f"{function.name} raised StopIteration").with_traceback(exc.__traceback__)
            )
        except BaseException as exc:  # it is the caller's
            outcome.set_exception(exc)

    threading.Thread(target=call, name=f"tool {function.name}", daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _forget(work: asyncio.Future[Any]) -> None:
    """An end that nobody waits for any more is no news."""
    if not work.cancelled():
        work.exception()


def as_text(name: str, value: Any) -> str:
    """A result as text or JSON, in whole characters, cut at 64 KiB. Raises ToolError where JSON has no form of it."""
    if isinstance(value, str):
        data = value.encode("utf-8", "replace")
    else:
        try:
            data = msgspec.json.encode(value)
        except Exception as exc:  # whatever msgspec makes of it
            raise ToolError(
                f"{name} returned {type(value).__name__}, which JSON has no form of: return text, lists or dicts."
            ) from exc
    text = redact_marked(_without_secrets(data.decode()))  # before the cut, which could go through a secret
    data = text.encode()
    if len(data) <= RESULT_BYTES:
        return text
    return f"{data[:RESULT_BYTES].decode('utf-8', 'ignore')}\n[cut here: {RESULT_BYTES:,} of {len(data):,} bytes]"


def short(text: str) -> str:
    """The first line of a message, without keys, of at most 300 characters."""
    line = " ".join(text.strip().partition("\n")[0].split())
    line = redact(_without_secrets(line))
    line = line.encode("utf-8", "replace").decode()
    return line if len(line) <= _ERROR_CHARACTERS else f"{line[:_ERROR_CHARACTERS]} …"


def _without_secrets(text: str) -> str:
    """The text without logins in addresses and the values of variables that are called like a secret, also in JSON."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET.search(name):
            for form in (value, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]):
                text = text.replace(form, "…")
    return _LOGIN.sub("…", text)
