"""What a batch writes into a file's tables: answers that began, came on or ended, and conversations; masked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from ..wire.values import well_formed
from .entry import Ended, Entry
from .masking import Masker, masked, stored
from .values import Begun

if TYPE_CHECKING:
    from sqlite3 import Connection

_SEEN: Final = 10_000
"""Messages that are remembered, so that those of a long conversation are not masked with each answer."""

_PIECE: Final = (
    "INSERT OR REPLACE INTO pieces SELECT ?, ?, ?, ? "
    "WHERE EXISTS (SELECT 1 FROM answers WHERE id = ?)"  # it may have been forgotten
)


@dataclass(slots=True)
class Running:
    """An entry as far as it is written."""

    entry: Entry
    text: Masker
    reasoning: Masker
    settled: tuple[str, str] = ("", "")
    open: tuple[str, str] = ("", "")
    part: int = 0
    is_there: bool = False
    has_new: bool = False

    def drain(self, hidden: list[str]) -> None:
        """Takes what has come since."""
        if not (pieces := self.entry.taken()):
            return
        texts, reasonings = zip(*pieces, strict=True)
        text = self.text.feed("".join(texts), hidden)
        reasoning = self.reasoning.feed("".join(reasonings), hidden)
        self.settled = self.settled[0] + text, self.settled[1] + reasoning
        self.open = self.text.shown(hidden), self.reasoning.shown(hidden)
        self.has_new = True

    def is_written(self) -> None:
        """What was taken is on the disk."""
        self.is_there = True
        self.part += any(self.settled)
        self.settled, self.has_new = ("", ""), False

    def restart(self) -> None:
        """The file is gone: what was in it comes again with the end."""
        self.is_there, self.part = False, 0


class Tables:
    """Those of one writer's file. hidden: the known keys, as `redaction.values` gives them."""

    def __init__(self) -> None:
        self.images = False
        self._seen: dict[bytes, bytes] = {}

    def write(self, connection: Connection, running: Running, end: Ended | None, hidden: list[str]) -> None:
        """What is new of an answer."""
        if not running.is_there:
            self._insert(connection, running.entry.begun, hidden)
        if end is not None:
            self._finish(connection, running.entry.id, end, hidden)
        elif running.has_new:
            _append(connection, running)

    def keep(self, connection: Connection, name: str, notebook: str, state: str, hidden: list[str]) -> None:
        """The newest state of a conversation."""
        try:
            body = self._json(json.loads(state), hidden)
        except ValueError:
            body = masked(state, hidden)
        row = well_formed(name), well_formed(notebook), body, time.time()
        connection.execute("INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?)", row)

    def _insert(self, connection: Connection, begun: Begun, hidden: list[str]) -> None:
        ids = [self._message(connection, each, hidden) for each in begun.messages]
        roles = [each.get("role") for each in reversed(begun.messages)]
        row = {
            "id": begun.id,
            "group": begun.group,
            **{name: well_formed(text) for name, text in asdict(begun.origin).items()},
            "label": masked(begun.label, hidden),
            "model": masked(begun.model, hidden),
            "provider": begun.provider,
            "note": begun.note,
            "messages": compact(ids),
            "asked": roles.index("assistant") if "assistant" in roles else len(roles),
            "parameters": self._json(begun.parameters, hidden),
            "began": begun.began,
            "state": "streaming",
            "format": begun.format,
        }
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR IGNORE INTO answers ({names}) VALUES ({marks})", [*row.values()])  # noqa: S608

    def _message(self, connection: Connection, message: Mapping[str, Any], hidden: list[str]) -> int:
        """The id of this message; in a conversation each is there once, whatever is asked after it."""
        given = _hash(compact([self.images, _plain(message)]))
        if (known := self._seen.get(given)) is not None:
            found = connection.execute("SELECT id FROM messages WHERE hash = ?", [known]).fetchone()
            if found is not None:
                return int(found[0])
        body = self._json(message, hidden)
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen[given] = _hash(body)
        return message_id(connection, body)

    def _finish(self, connection: Connection, name: str, end: Ended, hidden: list[str]) -> None:
        row = {
            "ended": end.ended,
            "text": masked(end.text, hidden, images=self.images),
            "reasoning": masked(end.reasoning, hidden, images=self.images),
            "state": end.state,
            "ending": masked(end.ending, hidden),
            "error": masked(end.error, hidden),
            "record": self._json(end.record, hidden),
        }
        changes = ", ".join(f"{column} = ?" for column in row)
        connection.execute(f"UPDATE answers SET {changes} WHERE id = ?", [*row.values(), name])  # noqa: S608
        connection.execute("DELETE FROM pieces WHERE answer = ?", [name])

    def _json(self, value: Any, hidden: list[str]) -> str:
        return compact(stored(value, hidden, images=self.images))


def message_id(connection: Connection, body: str) -> int:
    """The id of a message, which is written where it is not there yet."""
    digest = _hash(body)
    connection.execute("INSERT OR IGNORE INTO messages (hash, body) VALUES (?, ?)", [digest, body])
    return int(connection.execute("SELECT id FROM messages WHERE hash = ?", [digest]).fetchone()[0])


def _append(connection: Connection, running: Running) -> None:
    """The part that was open last is written anew, settled, and what is open now behind it."""
    part, name = running.part, running.entry.id
    if any(running.settled):
        connection.execute(_PIECE, [name, part, *running.settled, name])
        part += 1
    connection.execute(_PIECE, [name, part, *running.open, name])


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """A value that JSON can hold, for telling it from others."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_plain, value)]
    return value if value is None or isinstance(value, str | bool | int | float) else repr(value)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
