"""One loop in a thread of its own for all panels of the process, so that they stream whatever the cells do.

A cell that runs synchronously blocks the kernel's main loop, and not this one.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar
from weakref import WeakSet

from ..session import session
from .policy import Chat

T = TypeVar("T")

_CLOSING_S: Final = 3.0


class PanelThread:
    """The thread and its loop; it starts when the first panel does, and ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._chats: WeakSet[Chat] = WeakSet()

    def call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Calls a function there, and waits for what it returns or raises."""
        if threading.current_thread() is self._thread:
            return function(*arguments, **options)
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function(*arguments, **options))
            except BaseException as exc:
                done.set_exception(exc)

        self.hand_over(run)
        return done.result()

    def hand_over(self, function: Callable[..., object], *arguments: Any) -> None:
        """Calls a function there soon, in order, and does not wait."""
        self._running_loop().call_soon_threadsafe(function, *arguments)

    def start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Runs a coroutine there, and does not wait."""
        asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there, and waits for what it returns or raises; not to be called there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop()).result()

    def is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def add(self, chat: Chat) -> None:
        """Will be closed at the end of the process."""
        self._chats.add(chat)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="holystream panels", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            return self._loop

    def close(self) -> None:
        """Stops every stream and closes every connection."""
        with self._lock:
            loop, self._loop, thread, self._thread = self._loop, None, self._thread, None
        if loop is None or thread is None:
            return

        async def end() -> None:
            await asyncio.gather(*(chat.finish() for chat in list(self._chats)))
            await session.close()

        ending = asyncio.run_coroutine_threadsafe(end(), loop)
        ending.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        thread.join(_CLOSING_S)


panels: Final = PanelThread()
"""The thread of this process."""
