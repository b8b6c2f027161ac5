"""hs.run: the one bridge from synchronous code, to an awaitable or to a stream; one loop per thread."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import threading
import weakref
from collections.abc import AsyncIterable, Awaitable, Iterator
from typing import Any, TypeVar, overload

from .errors import SetupError

T = TypeVar("T")

_thread = threading.local()
_WATCH_S = 0.05
_ENDING_S = 3.0


@overload
def run(source: Awaitable[T]) -> T: ...
@overload
def run(source: AsyncIterable[T]) -> Iterator[T]: ...
def run(source: Awaitable[T] | AsyncIterable[T]) -> T | Iterator[T]:
    """Runs an awaitable to its end and returns its result, also where an event loop is already running.

    Of a stream, or of anything else for `async for`, it makes a plain one: `for event in hs.run(client.stream("Hi"))`;
    it goes on while the next event is waited for, and is closed when the loop over it is left.

    Without a running loop it uses one loop of its own per thread, which stays as long as the thread, so that
    connections stay warm. Ctrl-C and ■ cancel what runs, wait for its clean-up, and raise KeyboardInterrupt.
    """
    if inspect.isawaitable(source):
        return _run(source)
    if isinstance(source, AsyncIterable):
        return _iterated(source)
    raise SetupError(f"hs.run takes what you could await, or read with `async for`, and not {type(source).__name__}.")


def _run(awaitable: Awaitable[T]) -> T:
    loop = None
    with contextlib.suppress(RuntimeError):  # left before anything runs: an error would name it as its context
        loop = asyncio.get_running_loop()
    if loop is None:
        return _until_complete(_own_loop(), awaitable, outer=None)
    outer = asyncio.current_task(loop)
    _allow_nesting(loop)
    return _until_complete(loop, awaitable, outer)


def _iterated(source: AsyncIterable[T]) -> Iterator[T]:
    thread = threading.get_ident()
    try:
        events = aiter(source)
        while True:
            try:
                event = _run(anext(events))
            except StopAsyncIteration:
                return
            yield event
    finally:
        close, stop = getattr(source, "aclose", None), getattr(source, "stop", None)
        if sys.is_finalizing():
            pass  # the thread's loop has ended, and all in it
        elif close is not None and thread == threading.get_ident():
            _run(close())
        elif stop is not None:  # a dropped iterator may be collected in any thread, and the stream's loop is not there
            stop()


def _own_loop() -> asyncio.AbstractEventLoop:
    own: _Own | None = getattr(_thread, "own", None)
    if own is None or own.loop.is_closed():
        own = _thread.own = _Own(asyncio.new_event_loop())
    return own.loop


class _Own:
    """The loop of a thread. It is dropped when the thread ends, and the loop is closed then: each keeps three files."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        if threading.current_thread() is threading.main_thread():
            weakref.finalize(self, _end, loop)
        else:
            # A thread that is ending is no place to run a loop in; at the interpreter's end a daemon's may still run.
            weakref.finalize(self, _end_elsewhere, loop).atexit = False


def _end_elsewhere(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError):  # the interpreter is ending, and takes no new thread
        threading.Thread(target=_end, args=(loop,), name="holystream loop's end", daemon=True).start()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancels what is left, lets generators close what they hold (the session's clients among it), closes the loop."""
    if loop.is_closed() or loop.is_running():
        return
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait_for(_gone(left), _ENDING_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
    except (TimeoutError, RuntimeError):
        pass
    finally:
        loop.close()


async def _gone(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _allow_nesting(loop: asyncio.AbstractEventLoop) -> None:
    import nest_asyncio2  # late: it patches asyncio, and only a synchronous call inside a running loop needs that

    try:
        nest_asyncio2.apply(loop)
    except ValueError as exc:
        raise SetupError(
            f"hs.run cannot nest inside a {type(loop).__module__} loop: write `await …` instead of `hs.run(…)`."
        ) from exc


def _until_complete(loop: asyncio.AbstractEventLoop, awaitable: Awaitable[T], outer: asyncio.Task[Any] | None) -> T:
    async def main() -> T:
        if outer is None:
            return await awaitable
        watch = asyncio.ensure_future(_follow(outer, inner))
        try:
            return await awaitable
        finally:
            watch.cancel()

    inner: asyncio.Task[T] = loop.create_task(main())
    try:
        return loop.run_until_complete(inner)
    except KeyboardInterrupt:
        if not inner.done():
            inner.cancel()
            with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
                loop.run_until_complete(inner)
        raise
    except asyncio.CancelledError as exc:
        if inner.cancelling() if outer is None else outer.cancelling():
            raise KeyboardInterrupt from exc
        raise


async def _follow(outer: asyncio.Task[Any], inner: asyncio.Task[Any]) -> None:
    """Hands a cancellation of the task that waits in `run` on to the one that runs inside it."""
    while not outer.cancelling():  # noqa: ASYNC110  # a task tells nobody that it was cancelled
        await asyncio.sleep(_WATCH_S)
    inner.cancel()
