"""May this call run? A tool run asks, a person answers in the view or the terminal; where nobody can, it may not."""

from __future__ import annotations

import asyncio
from typing import Final, get_args

from ..errors import SetupError
from ..tools.call import Answer, Call

NOBODY: Final = "nobody can be asked where this runs"
DEAF: Final = "this kernel hears no click while a cell runs"

_ANSWERS: Final = frozenset(get_args(Answer))


class Questions:
    """The open questions of one run; `ask` is what the run is given. All methods belong to the loop's thread."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Call, asyncio.Future[Answer]]] = {}
        self._closed = ""

    async def ask(self, call: Call) -> Answer:
        """The answer, however long it takes; SetupError where nobody can give one."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open[call.number] = call, future
        if self._closed:
            self.close(self._closed)
        try:
            return await future
        finally:
            del self._open[call.number]

    def waits_for(self, call: Call) -> bool:
        """Whether somebody should answer."""
        return call.number in self._open and not self._open[call.number][1].done()

    def answer(self, number: object, answer: object) -> None:
        """A person's answer to the call of this number; `always` is one for the same tool's other open calls too."""
        if not isinstance(number, int) or number not in self._open:
            return
        if not isinstance(answer, str) or answer not in _ANSWERS:
            return
        asked, _ = self._open[number]
        for call, future in self._open.values():
            if not future.done() and (call is asked or (answer == "always" and call.name == asked.name)):
                future.set_result(answer)  # type: ignore[arg-type]  # it is one of them

    def close(self, why: str) -> None:
        """Nobody can answer, so no call that has to be asked for may run."""
        self._closed = why
        for call, future in self._open.values():
            if not future.done():
                future.set_exception(
                    SetupError(f"{why}: allow it beforehand, with --allow {call.name} or allow=[{call.name!r}]")
                )

    def reopen(self) -> None:
        """Somebody can answer after all."""
        self._closed = ""
