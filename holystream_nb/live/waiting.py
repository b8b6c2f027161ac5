"""One line that says what is being done, and makes room for what comes of it."""

from __future__ import annotations

import sys
from typing import Any

from .saved import printable
from .screen import screen


class WaitingLine:
    """In a notebook an output that is replaced, in a terminal the last line, written over; elsewhere nothing."""

    def __init__(self) -> None:
        self._handle: Any = None
        on = screen()
        self._is_notebook = on in ("page", "file")
        self._is_terminal = on == "text" and sys.stdout.isatty()

    def say(self, text: str) -> None:
        if self._is_notebook:
            self._put({"text/plain": printable(text)})
        elif self._is_terminal:
            sys.stdout.write(f"\r\x1b[K{printable(text)}")
            sys.stdout.flush()

    def end(self, data: dict[str, str]) -> None:
        """Puts this in the line's place; in a script it is printed."""
        if self._is_notebook:
            self._put(data)
            return
        self.clear()
        print(data["text/plain"])

    def clear(self) -> None:
        if self._is_terminal:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()

    def _put(self, data: dict[str, str]) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(data, raw=True)
