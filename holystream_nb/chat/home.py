"""Where a panel's program lives: it is told what happened there, in order, never beside its own code.

In a kernel that is the main loop: what a program observes changes, and its callbacks run, between its cells and while
one awaits. In a script without a running loop it is whoever waits for a reply.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context

from ..live.screen import current_shell


class Home:
    """A queue of calls that is emptied on the program's thread."""

    def __init__(self) -> None:
        self._loop = _main_loop()
        self._thread = threading.main_thread() if _kernel() is not None else threading.current_thread()
        self._calls: deque[tuple[Context, Callable[[], None]]] = deque()

    @property
    def is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def post(self, call: Callable[[], None], context: Context | None = None) -> None:
        """From any thread. What is printed by the call lands where the context was copied."""
        self._calls.append((context or copy_context(), call))
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.empty)

    def empty(self) -> None:
        """Does everything that waits, if this is the program's thread."""
        if not self.is_here:
            return
        while self._calls:
            context, call = self._calls.popleft()
            context.copy().run(call)


def _kernel() -> object:
    return getattr(current_shell(), "kernel", None)


def _main_loop() -> asyncio.AbstractEventLoop | None:
    loop: asyncio.AbstractEventLoop | None = getattr(getattr(_kernel(), "io_loop", None), "asyncio_loop", None)
    if loop is not None:
        return loop
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
