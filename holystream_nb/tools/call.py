"""One call of a tool: how it stands, whether it may run, and what goes back to the model."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from .function import Tool
from .results import Image, Result, ToolError, result_of, short

State = Literal["writing", "asking", "running", "done", "failed", "refused", "stopped"]
Answer = Literal["allow", "always", "refuse"]

STOPPED: Final = "stopped before it had a result"
"""The error of a call that was stopped."""

_CLEANUP_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a model asked for.

    `number` counts the run's calls from 0, `round` from 1 the rounds in which results go back together; `at` is the
    length of the run's text before it, in characters. `name` and `arguments` (JSON text) are as the model writes them,
    and once it has written them as it means them: the tool's own name, one object. `result` is what the function
    returned, as text, and `images` the pictures in it; `error` why there is none (state `failed`, `refused` or
    `stopped`), and while it asks, what its MCP server says of the tool. `seconds` is the function's own time.
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
    images: tuple[Image, ...] = ()

    @property
    def is_final(self) -> bool:
        return self.state not in ("writing", "asking", "running")

    @property
    def content(self) -> str:
        """What goes back to the model, as text."""
        return self.result if self.state == "done" else f"Error: {self.error}"

    @property
    def parts(self) -> str | list[dict[str, Any]]:
        """The same as a message's content: with images a list of parts, as OpenAI's Chat Completions has them."""
        if not self.images:
            return self.content
        pictures = [{"type": "image_url", "image_url": {"url": image.url}} for image in self.images]
        return [{"type": "text", "text": self.content}, *pictures]


Ask = Callable[[Call], Awaitable[Answer]]
"""Asks a person whether a call may run. SetupError: nobody can be asked, and its sentence says what to do instead."""


async def perform(function: Tool[..., Any], arguments: dict[str, Any]) -> Result:
    """Calls the function and returns what goes back; raises ToolError, fit for a model and for a reader.

    A sync function runs in a thread of its own; a call past its time, or one that is cancelled, is left behind where it
    does not end by itself.
    """
    work = asyncio.ensure_future(_called(function, arguments))
    try:
        await asyncio.wait({work}, timeout=function.timeout)
        if not work.done():
            raise ToolError(f"{function.name} took longer than {function.timeout:g} s.")
        return work.result()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ToolError(f"{function.name} was cancelled.") from None
    except ToolError:
        raise
    except Exception as exc:  # whatever a function raises is an answer to the model
        raise ToolError(_words(exc)) from exc
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait({work}, timeout=_CLEANUP_S)
            work.add_done_callback(_forget)


async def _called(function: Tool[..., Any], arguments: dict[str, Any]) -> Result:
    call = partial(function, **arguments)
    try:
        is_async = inspect.iscoroutinefunction(inspect.unwrap(function.function))
        value = await call() if is_async else await _in_thread(function.name, call)
        value = await value if inspect.isawaitable(value) else value
        result: Result = await _in_thread(function.name, partial(result_of, function.name, value))  # it may take long
        return result
    except (Exception, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as exc:  # SystemExit would end the loop, and what a test's `skip` raises the run
        raise ToolError(_words(exc)) from exc


def _words(exc: BaseException) -> str:
    kind = type(exc).__name__
    try:
        said = str(exc)
    except Exception:
        said = ""
    return f"{kind}: {short(said)}" if said else kind


async def _in_thread(name: str, work: Callable[[], Any]) -> Any:
    """Does it in a thread that nothing else needs: one that hangs blocks neither the loop's pool nor the exit."""
    outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def call() -> None:
        try:
            outcome.set_result(context.run(work))
        except StopIteration as exc:  # no future of asyncio takes one; the word that a coroutine has for it (PEP 479)
            outcome.set_exception(RuntimeError(f"{name} raised StopIteration").with_traceback(exc.__traceback__))
        except BaseException as exc:  # it is the caller's
            outcome.set_exception(exc)

    threading.Thread(target=call, name=f"tool {name}", daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _forget(work: asyncio.Future[Any]) -> None:
    """An end that nobody waits for any more is no news."""
    if not work.cancelled():
        work.exception()
