"""What writes the journal: one thread of this process, in batches, never more than a quarter of a second behind.

`Entry.add` appends to a list and returns. All of SQLite is in the thread: it makes the file, writes what has come, and
goes to sleep when nothing runs. A write that fails keeps what it would have written, and is tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..providers.secret import known
from ..wire.redaction import values
from .alive import Sign
from .entry import Ended, Entry
from .file import FULL, File, create
from .masking import Masker
from .tables import Running, Tables

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


class Writer:
    """The thread and the file of this process in one folder. `say` is told what keeps it from writing."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.tables = Tables()
        self.file: File | None = None
        self._say = say
        self._sign: Sign | None = None
        self._identity = (0, 0)
        self._new: list[Entry] = []
        self._running: list[Running] = []
        self._conversations: dict[tuple[str, str], str] = {}
        self._thread: threading.Thread | None = None
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._rounds = threading.Condition()
        self._writing, self._forking = threading.Lock(), threading.local()
        self._started = self._done = 0
        self._is_retired = self._is_closing = False
        self.is_gone = False
        self._failed_at: float | None = None

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
            if not isinstance(exc, sqlite3.OperationalError | OSError):
                self.file = None  # it is damaged: the next try makes a new one
            self._fail(getattr(exc, "strerror", None) or str(exc))
        return connection

    def _fail(self, why: str) -> None:
        self._failed_at = time.monotonic()
        if why == NO_SQLITE:
            self._say(why)
        else:
            self._say(f"Answers are not written down ({self.folder}: {why}); they stream on all the same.")
        self._take()
        ended = [each for each in self._running if each.entry.ended is not None]
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
        for each in self._running:
            each.restart()
        return connection

    def _take(self) -> None:
        count = len(self._new)
        images = self.tables.images
        self._running += [Running(each, Masker(images=images), Masker(images=images)) for each in self._new[:count]]
        del self._new[:count]

    def _write(self, connection: Connection) -> None:
        self._take()
        hidden = values(known())
        conversations = dict(self._conversations)
        ended = {each.entry.id: each.entry.ended for each in self._running}
        if self._sign is not None:
            self._sign.beat()
        connection.execute("BEGIN IMMEDIATE")
        written = [each for each in self._running if self._can(self._write_answer, connection, each, ended, hidden)]
        for (name, notebook), state in conversations.items():
            self._can(self.tables.keep, connection, name, notebook, state, hidden)
        connection.execute("COMMIT")
        for each in written:
            each.is_written()
        self._running = [each for each in written if ended[each.entry.id] is None]
        for key, state in conversations.items():
            if self._conversations.get(key) is state:
                del self._conversations[key]

    def _write_answer(
        self, connection: Connection, running: Running, ended: Mapping[str, Ended | None], hidden: list[str]
    ) -> None:
        if (end := ended[running.entry.id]) is None:
            running.drain(hidden)
        self.tables.write(connection, running, end, hidden)

    def _can(self, write: Callable[..., None], *given: Any) -> bool:
        """Writes it; False for what no file can hold, which must not keep the rest from it."""
        import sqlite3

        try:
            write(*given)
        except Exception as exc:
            if isinstance(exc, OSError | sqlite3.DatabaseError) and not isinstance(exc, sqlite3.DataError):
                raise
            self._say(f"An answer or a conversation cannot be written down ({type(exc).__name__}: {exc}).")
            return False
        return True

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
