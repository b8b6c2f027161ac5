"""Whose turn it is: answers that one cell asks for at once stand in the order of asking, and none inside another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from .screen import current_shell


class Turn:
    """An answer's place in its cell. What is shown before its turn waits, and nobody waits for it."""

    def __init__(self, queue: deque[Turn]) -> None:
        self._queue = queue
        self._waiting: list[Callable[[], object]] = []
        self._is_over = False
        self._has_come = asyncio.Event()
        queue.append(self)
        if queue[0] is self:
            self._has_come.set()

    def show(self, draw: Callable[[], object]) -> None:
        """Calls `draw`, now or when all that was asked for before has been shown."""
        if self._has_come.is_set():
            draw()
        else:
            self._waiting.append(draw)

    async def come(self) -> None:
        """Waits for its turn."""
        await self._has_come.wait()

    def end(self) -> None:
        """What waited behind it is shown."""
        self._is_over = True
        while self._queue and self._queue[0]._is_over:
            self._queue.popleft()
            if self._queue:
                self._queue[0]._begin()

    def _begin(self) -> None:
        self._has_come.set()
        waiting, self._waiting = self._waiting, []
        for draw in waiting:
            draw()


_queues: Final[dict[object, deque[Turn]]] = {}
_outer: Final[ContextVar[bool]] = ContextVar("inside another answer's turn", default=False)


@contextmanager
def turn() -> Iterator[Turn]:
    """The next place in this cell. An answer that another one's tool asks for has none: it is shown at once."""
    cell = _cell()
    queue = deque[Turn]() if _outer.get() else _queues.setdefault(cell, deque())
    token = _outer.set(True)
    taken = Turn(queue)
    try:
        yield taken
    finally:
        _outer.reset(token)
        taken.end()
        if not queue:
            _queues.pop(cell, None)


def _cell() -> object:
    kernel = getattr(current_shell(), "kernel", None)
    if kernel is None:
        return asyncio.get_running_loop()
    return kernel.get_parent("shell").get("header", {}).get("msg_id")
