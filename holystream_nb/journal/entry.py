"""An answer that is being written down, as whoever asks for it sees it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .values import Begun


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended; `text` and `reasoning` are the whole."""

    text: str
    reasoning: str
    state: str
    ending: str
    error: str
    record: Mapping[str, Any]
    ended: float


class Entry:
    """An answer that is being written down. `add` costs a list's append, and can be called from any thread."""

    __slots__ = ("_pieces", "begun", "ended")

    def __init__(self, begun: Begun) -> None:
        self.begun = begun
        self._pieces: list[tuple[str, str]] = []
        self.ended: Ended | None = None

    @property
    def id(self) -> str:
        """Its id in all journals; "" where nothing is written."""
        return self.begun.id

    def add(self, text: str = "", reasoning: str = "") -> None:
        """What has come of it."""
        self._pieces.append((text, reasoning))

    def taken(self) -> list[tuple[str, str]]:
        """What has come since this was called last: text and reasoning of each piece."""
        count = len(self._pieces)
        taken = self._pieces[:count]
        del self._pieces[:count]
        return taken

    def end(
        self,
        *,
        text: str,
        reasoning: str = "",
        state: str,
        ending: str = "",
        error: str = "",
        record: Mapping[str, Any] | None = None,
    ) -> None:
        """Its end, with the whole text, in which is right what was parted as reasoning. The first end counts."""
        if self.ended is None:
            self.ended = Ended(text, reasoning, state, ending, error, record or {}, time.time())


class Unwritten(Entry):
    """An answer that is not written down."""

    __slots__ = ()

    def add(self, text: str = "", reasoning: str = "") -> None:
        pass
