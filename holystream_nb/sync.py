"""hs.run(awaitable): the one bridge from synchronous code, one loop per thread."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Awaitable
from typing import Any, TypeVar

from .errors import SetupError

T = TypeVar("T")

_thread = threading.local()
_WATCH_S = 0.05


def run(awaitable: Awaitable[T]) -> T:
    """Runs an awaitable to its end and returns its result, also where an event loop is already running.

    Without a running loop it uses one loop of its own per thread, which stays, so that connections stay warm.
    Ctrl-C and ■ cancel the awaitable, wait for its clean-up, and raise KeyboardInterrupt.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _until_complete(_own_loop(), awaitable, outer=None)
    outer = asyncio.current_task(loop)
    _allow_nesting(loop)
    return _until_complete(loop, awaitable, outer)


def _own_loop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop | None = getattr(_thread, "loop", None)
    if loop is None or loop.is_closed():
        loop = _thread.loop = asyncio.new_event_loop()
        atexit.register(loop.close)
    return loop


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
        if outer is not None and outer.cancelling():
            raise KeyboardInterrupt from exc
        raise


async def _follow(outer: asyncio.Task[Any], inner: asyncio.Task[Any]) -> None:
    """Hands a cancellation of the task that waits in `run` on to the one that runs inside it."""
    while not outer.cancelling():  # noqa: ASYNC110  # a task tells nobody that it was cancelled
        await asyncio.sleep(_WATCH_S)
    inner.cancel()
