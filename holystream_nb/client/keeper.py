"""The end of an event loop: what still runs in it is closed in order, before the loop closes all generators at once.

`asyncio.run` cancels the tasks that are left, and then closes every generator at the same time: those that read through
one another fail, and each failure is printed. So a task stands by while anything runs, and closes it when cancelled.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any, Final, Protocol

_TURNS: Final = 30
"""Of the loop, in which it closes by itself the generators behind those that were closed: five, a few turns each."""


class Running(Protocol):
    """What is to be closed."""

    def aclose(self) -> Coroutine[Any, Any, None]: ...


class Keeper:
    """Stands by in one event loop. Whoever runs holds it, and is held weakly."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._running: weakref.WeakSet[Any] = weakref.WeakSet()
        self._leaving: dict[asyncio.Task[None], Running] = {}
        self._idle = loop.create_future()
        self._task = loop.create_task(self._stand_by())
        self._task._log_destroy_pending = False  # type: ignore[attr-defined]  # a loop may end without cancelling it

    @property
    def is_over(self) -> bool:
        return self._idle.done() or self._task.done()

    def add(self, running: Running) -> None:
        self._running.add(running)

    def release(self, running: Running) -> None:
        """It has ended."""
        self._running.discard(running)
        self._look()

    def sees_off(self, running: Running) -> None:
        """Closes what nobody holds any more."""
        task = asyncio.get_running_loop().create_task(running.aclose())
        self._leaving[task] = running
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            del self._leaving[task]
            self._look()

    def _look(self) -> None:
        if not self._running and not self._leaving and not self._idle.done():
            self._idle.set_result(None)

    async def _stand_by(self) -> None:
        try:
            await self._idle
        except asyncio.CancelledError:
            # A task that was cancelled before it began has closed nothing.
            running = [*self._running, *self._leaving.values()]
            await asyncio.gather(*(each.aclose() for each in running), return_exceptions=True)
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            raise


_keepers: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Keeper]]] = weakref.WeakKeyDictionary()


def keeper_of(loop: asyncio.AbstractEventLoop) -> Keeper:
    """The one that stands by in this loop."""
    found = _keepers.get(loop)
    keeper = None if found is None else found()
    if keeper is None or keeper.is_over:
        keeper = Keeper(loop)
        _keepers[loop] = weakref.ref(keeper)
    return keeper
