"""The conversations of `--chat NAME`; a notebook's are kept in the journal, and go on after a restart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from .journal.values import Origin

Message = Mapping[str, Any]

_NOTHING: Final = '{"messages": [], "asked": []}'


class Conversations(dict[str, list[Message]]):
    """The messages of each conversation of this kernel, by its name.

    It remembers which cell asked what: a cell that is run again after a restart, as Run All does, asks in its own
    place, and what came after it goes. Without a notebook's path nothing is kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, list[tuple[str, int]]] = {}

    def recall(self, name: str, where: Origin) -> bool:
        """Brings one back that an earlier kernel of this notebook had; whether there is something to go on from.

        It reads the journal, in a thread where answers are running.
        """
        if name in self or not where.notebook:
            return False
        messages, asked = _read(_journal().conversation(name, where.notebook))
        for number, (cell, before) in enumerate(asked):
            if cell and cell == where.cell:
                messages, asked = messages[:before], asked[:number]
                break
        if all(message["role"] == "system" for message in messages):
            return False
        self[name], self._asked[name] = messages, asked
        return True

    def keep(self, name: str, messages: list[Message], where: Origin, before: int) -> None:
        """Sets one to these messages, of which the first `before` were there when this cell asked."""
        self[name] = messages
        asked = self._asked.setdefault(name, [])
        asked.append((where.cell, before))
        self._write(name, where)

    def mend(self, before: str, after: str, where: Origin) -> None:
        """Puts an answer that was continued in the place of what it was."""
        for name, messages in self.items():
            last = messages[-1] if messages else {}
            if last.get("role") == "assistant" and last.get("content") == before:
                messages[-1] = {**last, "content": after}
                self._write(name, where)

    def forget(self, name: str, where: Origin) -> bool:
        """Erases one, also what is kept of it; whether there was one."""
        was_here = self.pop(name, None) is not None
        self._asked.pop(name, None)
        was_kept = bool(where.notebook) and _journal().conversation(name, where.notebook) is not None
        if was_kept:
            _journal().forget_conversation(name, where.notebook)
        return was_here or was_kept

    def _write(self, name: str, where: Origin) -> None:
        if not where.notebook:
            return
        has_parts = any(isinstance(message.get("content"), list) for message in self[name])
        try:
            state = "" if has_parts else json.dumps({"messages": self[name], "asked": self._asked.get(name, [])})
        except (TypeError, ValueError):
            state = ""
        # Pictures are not kept, and what is kept without them is another conversation: then it is none.
        _journal().keep_conversation(name, where.notebook, state or _NOTHING)


def _read(state: str | None) -> tuple[list[Message], list[tuple[str, int]]]:
    """What was kept; nothing where it is none of ours."""
    try:
        kept = json.loads(state or "{}")
        messages: list[Message] = [dict(message) for message in kept["messages"]]
        asked = [(str(cell), int(before)) for cell, before in kept["asked"]]
    except (KeyError, TypeError, ValueError):
        return [], []
    whole = all(isinstance(message.get("role"), str) and "content" in message for message in messages)
    return (messages, asked) if whole else ([], [])


def _journal() -> Any:
    from .journal.journal import journal

    return journal
