"""How a search or a watch stands between its benches: one output that is replaced, or a line for each step."""

from __future__ import annotations

from typing import Any, Protocol

from ..live.saved import printable
from ..live.screen import screen


class Shown(Protocol):
    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any: ...


class Board:
    """In a notebook what is known is one output of the cell; elsewhere each step is a line."""

    def __init__(self) -> None:
        self._is_notebook = screen() in ("page", "file")
        self._handle: Any = None

    def show(self, line: str, found: Shown) -> None:
        """line: the step that was made; found: all that is known, with its own table and chart."""
        if not self._is_notebook:
            print(printable(line), flush=True)
        elif self._handle is None:
            from IPython.display import display

            self._handle = display(found, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(found)

    def end(self, found: Shown) -> None:
        """found: the answer, whose first line takes the place of what was known before it: the cell's last line shows
        all that it has, which would be in the file twice. A terminal gets it from whoever asked.
        """
        if self._handle is not None:
            self._handle.update({"text/plain": repr(found).partition("\n")[0]}, raw=True)
