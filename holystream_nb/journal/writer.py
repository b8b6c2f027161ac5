"""What writes the journal: one thread of this process, in batches, never more than a quarter of a second behind.

`Entry.add` appends to a list and returns. All of SQLite is in the thread: it makes the file, writes what has come, and
goes to sleep when nothing runs. A write that fails keeps what it would have written, and is tried again.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..providers.secret import known
from ..wire.redaction import values
from .alive import Sign
from .file import FULL, File, create
from .masking import Masker, masked, stored
from .values import Origin

if TYPE_CHECKING:
    from sqlite3 import Connection

INTERVAL: Final = 0.25
"""Seconds between two batches."""

AGAIN: Final = 5.0
"""Seconds after a write that failed, until the next one."""

_FORK: Final = 1.0
"""Seconds that a fork waits for a write."""

MOST_WAITING: Final = 1000
"""Answers that wait for a disk that takes nothing; older ones that have ended are given up."""

NO_SQLITE: Final = "Answers are not written down, because this Python has no sqlite3; they stream on all the same."


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known of an answer when it is asked for."""

    id: str
    group: str
    origin: Origin
    label: str
    model: str
    provider: str
    note: str
    messages: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any]
    format: str
    began: float


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

    __slots__ = ("_begun", "_ended", "_pieces")

    def __init__(self, begun: Begun) -> None:
        self._begun = begun
        self._pieces: list[tuple[str, str]] = []
        self._ended: Ended | None = None

    @property
    def id(self) -> str:
        """Its id in all journals; "" where nothing is written."""
        return self._begun.id

    def add(self, text: str = "", reasoning: str = "") -> None:
        """What has come of it."""
        self._pieces.append((text, reasoning))

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
        if self._ended is None:
            self._ended = Ended(text, reasoning, state, ending, error, record or {}, time.time())


class Unwritten(Entry):
    """An answer that is not written down."""

    __slots__ = ()

    def add(self, text: str = "", reasoning: str = "") -> None:
        pass


@dataclass(slots=True)
class _Running:
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
        pieces = self.entry._pieces
        if not (count := len(pieces)):
            return
        taken = pieces[:count]
        del pieces[:count]
        text = self.text.feed("".join(each for each, _ in taken), hidden)
        reasoning = self.reasoning.feed("".join(each for _, each in taken), hidden)
        self.settled = self.settled[0] + text, self.settled[1] + reasoning
        self.open = self.text.shown(hidden), self.reasoning.shown(hidden)
        self.has_new = True


class Writer:
    """The thread and the file of this process in one folder. `say` is told what keeps it from writing."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.images = False
        self.file: File | None = None
        self._say = say
        self._sign: Sign | None = None
        self._identity = (0, 0)
        self._new: list[Entry] = []
        self._running: list[_Running] = []
        self._conversations: dict[tuple[str, str], str] = {}
        self._thread: threading.Thread | None = None
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._rounds = threading.Condition()
        self._writing, self._forking = threading.Lock(), threading.local()
        self._started = self._done = 0
        self._is_retired = self._is_closing = False
        self.is_gone = False
        self._failed_at: float | None = None
        self._seen: dict[bytes, bytes] = {}

    def take(self, entry: Entry) -> None:
        """Writes this entry from now on."""
        self._new.append(entry)
        self._start()

    def keep(self, name: str, notebook: str, state: str) -> None:
        """Writes a conversation's state."""
        self._conversations[name, notebook] = state
        self._start()

    def drop(self, name: str, notebook: str) -> None:
        """Does not write what was kept last."""
        self._conversations.pop((name, notebook), None)

    def flush(self, timeout: float) -> bool:
        """Waits until all that is there now is written; whether it is."""
        if self._thread is None:
            return True
        with self._rounds:
            wanted = self._started + 1
            self._hurry.set()
            self._wake.set()
            is_done = self._rounds.wait_for(lambda: self._done >= wanted or self.is_gone, timeout)
        return is_done and self._failed_at is None

    def retire(self) -> None:
        """Ends as soon as nothing runs any more."""
        self._is_retired = True
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Writes what is there, and ends: nothing comes any more."""
        self._is_closing = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def pause(self) -> None:
        """Before a fork: whatever SQLite holds in the middle of a write would be held for ever in the child."""
        self._forking.is_waited_for = self._writing.acquire(timeout=_FORK)

    def resume(self) -> None:
        """After it, in the parent."""
        if self._forking.is_waited_for:
            self._writing.release()

    def forsake(self) -> None:
        """In a forked child: the parent goes on alone."""
        if self._sign is not None:
            self._sign.close()

    def _start(self) -> None:
        with self._rounds:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="holystream-journal", daemon=True)
                self._thread.start()
        self._wake.set()

    @property
    def _is_busy(self) -> bool:
        return bool(self._new or self._running or self._conversations)

    def _run(self) -> None:
        connection: Connection | None = None  # never in an attribute: a forked child must not close it
        try:
            while True:
                is_last = self._is_closing or (self._is_retired and not self._is_busy)
                with self._rounds:
                    self._started += 1
                with self._writing:
                    connection = self._round(connection)
                with self._rounds:
                    self._done = self._started
                    self._rounds.notify_all()
                if is_last:
                    break
                if not self._is_busy and not self._is_retired:
                    self._wake.wait()
                self._hurry.wait(INTERVAL)
                self._wake.clear()
                self._hurry.clear()
        finally:
            self.is_gone = True
            self._leave(connection)

    def _round(self, connection: Connection | None) -> Connection | None:
        """Writes what has come; the connection it was written by."""
        if not self._is_busy:
            return connection
        if self._failed_at is not None and time.monotonic() - self._failed_at < AGAIN and not self._is_closing:
            return connection
        try:
            import sqlite3
        except ImportError:
            self._fail(NO_SQLITE)
            return None
        try:
            if connection is None or not self._is_there():
                if connection is not None:
                    connection.close()
                    connection = None
                connection = self._create()
            self._write(connection)
            self._failed_at = None
        except (sqlite3.Error, OSError) as exc:
            if connection is not None and connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return connection  # somebody erases; next time
            self._fail(getattr(exc, "strerror", None) or str(exc))
        except Exception as exc:  # what cannot be written at all must not keep the rest from it
            if connection is not None and connection.in_transaction:
                connection.execute("ROLLBACK")
            self._fail(f"{type(exc).__name__}: {exc}")
            self._running.clear()
            self._conversations.clear()
        return connection

    def _fail(self, why: str) -> None:
        self._failed_at = time.monotonic()
        if why == NO_SQLITE:
            self._say(why)
        else:
            self._say(f"Answers are not written down ({self.folder}: {why}); they stream on all the same.")
        self._take()
        ended = [each for each in self._running if each.entry._ended is not None]
        for each in ended[:-MOST_WAITING]:
            self._running.remove(each)

    def _is_there(self) -> bool:
        """Whether our file still lies where it was made: somebody may have removed the folder."""
        try:
            found = self.file.path.stat() if self.file else None
        except OSError:
            return False
        return found is not None and (found.st_dev, found.st_ino) == self._identity

    def _create(self) -> Connection:
        if self._sign is not None:
            self._sign.close()
            self._sign = None
        self.file, self._sign, connection = create(self.folder)
        found = self.file.path.stat()
        self._identity = found.st_dev, found.st_ino
        for each in self._running:  # what of them was in the file before comes again with their end
            each.is_there, each.part = False, 0
        return connection

    def _take(self) -> None:
        count = len(self._new)
        images = self.images
        self._running += [_Running(each, Masker(images=images), Masker(images=images)) for each in self._new[:count]]
        del self._new[:count]

    def _write(self, connection: Connection) -> None:
        self._take()
        hidden = values(known())
        conversations = dict(self._conversations)
        ended = {id(each): each.entry._ended for each in self._running}
        for each in self._running:
            if ended[id(each)] is None:
                each.drain(hidden)
        if self._sign is not None:
            self._sign.beat()
        connection.execute("BEGIN IMMEDIATE")
        for each in self._running:
            if not each.is_there:
                self._insert(connection, each.entry._begun, hidden)
            if (end := ended[id(each)]) is not None:
                self._finish(connection, each.entry.id, end, hidden)
            elif each.has_new:
                self._append(connection, each)
        for (name, notebook), state in conversations.items():
            row = name, notebook, self._state(state, hidden), time.time()
            connection.execute("INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?)", row)
        connection.execute("COMMIT")
        for each in self._running:
            each.is_there = True
            each.part += any(each.settled)
            each.settled, each.has_new = ("", ""), False
        self._running = [each for each in self._running if ended[id(each)] is None]
        for key, state in conversations.items():
            if self._conversations.get(key) is state:
                del self._conversations[key]

    def _insert(self, connection: Connection, begun: Begun, hidden: list[str]) -> None:
        ids = [self._message(connection, each, hidden) for each in begun.messages]
        roles = [each.get("role") for each in reversed(begun.messages)]
        asked = roles.index("assistant") if "assistant" in roles else len(roles)
        origin = begun.origin
        row = {
            "id": begun.id,
            "group": begun.group,
            "door": origin.door,
            "notebook": origin.notebook,
            "cell": origin.cell,
            "execution": origin.execution,
            "kernel": origin.kernel,
            "conversation": origin.conversation,
            "label": begun.label,
            "model": begun.model,
            "provider": begun.provider,
            "note": begun.note,
            "messages": _json(ids),
            "asked": asked,
            "parameters": _json(stored(begun.parameters, hidden, images=self.images)),
            "began": begun.began,
            "state": "streaming",
            "format": begun.format,
        }
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR IGNORE INTO answers ({names}) VALUES ({marks})", [*row.values()])  # noqa: S608

    def _message(self, connection: Connection, message: Mapping[str, Any], hidden: list[str]) -> int:
        """The id of this message; in a conversation each is there once, whatever is asked after it."""
        given = _hash(_json([self.images, _plain(message)]))
        if (known := self._seen.get(given)) is not None:
            found = connection.execute("SELECT id FROM messages WHERE hash = ?", [known]).fetchone()
            if found is not None:
                return int(found[0])
        body = _json(stored(message, hidden, images=self.images))
        digest = _hash(body)
        connection.execute("INSERT OR IGNORE INTO messages (hash, body) VALUES (?, ?)", [digest, body])
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen[given] = digest
        return int(connection.execute("SELECT id FROM messages WHERE hash = ?", [digest]).fetchone()[0])

    def _append(self, connection: Connection, running: _Running) -> None:
        """The part that was open last is written anew, settled, and what is open now behind it."""
        insert = (
            "INSERT OR REPLACE INTO pieces SELECT ?, ?, ?, ? "
            "WHERE EXISTS (SELECT 1 FROM answers WHERE id = ?)"  # it may have been forgotten
        )
        part, name = running.part, running.entry.id
        if any(running.settled):
            connection.execute(insert, [name, part, *running.settled, name])
            part += 1
        connection.execute(insert, [name, part, *running.open, name])

    def _finish(self, connection: Connection, name: str, end: Ended, hidden: list[str]) -> None:
        connection.execute(
            "UPDATE answers SET ended = ?, text = ?, reasoning = ?, state = ?, ending = ?, error = ?, record = ? "
            "WHERE id = ?",
            [
                end.ended,
                masked(end.text, hidden, images=self.images),
                masked(end.reasoning, hidden, images=self.images),
                end.state,
                masked(end.ending, hidden),
                masked(end.error, hidden),
                _json(stored(end.record, hidden, images=self.images)),
                name,
            ],
        )
        connection.execute("DELETE FROM pieces WHERE answer = ?", [name])

    def _state(self, state: str, hidden: list[str]) -> str:
        try:
            value = json.loads(state)
        except ValueError:
            return masked(state, hidden)
        return _json(stored(value, hidden, images=self.images))

    def _leave(self, connection: Connection | None) -> None:
        """Closes the file, and removes it where nothing is in it."""
        if connection is None or self.file is None:
            return
        import sqlite3

        with suppress(sqlite3.Error, OSError):
            is_empty = not connection.execute(FULL).fetchone()[0]
            with suppress(sqlite3.OperationalError):  # somebody reads it
                connection.execute("PRAGMA journal_mode = DELETE")  # so that reading it makes no files
            connection.close()
            if is_empty:
                self.file.remove()
            self.file.sign.unlink(missing_ok=True)
        if self._sign is not None:
            self._sign.close()


_SEEN: Final = 10_000


def _json(value: Any) -> str:
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
