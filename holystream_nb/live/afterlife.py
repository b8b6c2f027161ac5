"""A thread for what outlives its event loop: the views of answers that have ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final


class Afterlife:
    """The thread starts when it is first needed, and ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Calls a function there after so many seconds."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="holystream views", daemon=True).start()
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, action)


afterlife: Final = Afterlife()
"""That of this process."""
