"""One file of the journal: its tables, and how it is made, opened and found.

Each process writes a file of its own, so that no two ever wait for each other; whoever reads merges them. A file in
rollback mode is one whose folder is not surely on a local disk: SQLite's write-ahead log needs shared memory, which no
network has.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .alive import Sign, is_local, lives

if TYPE_CHECKING:
    from sqlite3 import Connection

VERSION: Final = 1
ENDING: Final = ".sqlite"
FULL: Final = "SELECT EXISTS (SELECT 1 FROM answers) OR EXISTS (SELECT 1 FROM conversations)"
"""Asks whether there is anything in a file."""

_TABLES: Final = """
CREATE TABLE messages (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TABLE answers (
    id TEXT PRIMARY KEY, "group" TEXT, door TEXT, notebook TEXT, cell TEXT, execution TEXT, kernel TEXT,
    conversation TEXT, label TEXT, model TEXT, provider TEXT, note TEXT,
    messages TEXT,  -- their ids, as JSON
    asked INTEGER,  -- how many of them, at the end, were new with this answer
    parameters TEXT, began REAL, ended REAL, text TEXT, reasoning TEXT, state TEXT, ending TEXT, error TEXT,
    record TEXT, format TEXT
);
CREATE INDEX answers_began ON answers (began, id);
CREATE INDEX answers_cell ON answers (cell, began, id);
CREATE TABLE pieces (  -- of answers that have not ended; the last part is written anew with the one after it
    answer TEXT, part INTEGER, text TEXT, reasoning TEXT, PRIMARY KEY (answer, part)
) WITHOUT ROWID;
CREATE TABLE conversations (name TEXT, notebook TEXT, state TEXT, saved REAL, PRIMARY KEY (name, notebook));
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the journal, by its path; it may go at any time."""

    path: Path

    @property
    def sign(self) -> Path:
        return self.path.with_suffix(".lock")

    @property
    def parts(self) -> list[Path]:
        """Everything on the disk that belongs to it."""
        beside = [self.path.with_name(self.path.name + each) for each in ("-wal", "-shm", "-journal")]
        return [self.path, *beside, self.sign]

    @property
    def is_living(self) -> bool:
        """Whether the process that writes it still lives."""
        return lives(self.sign)

    @property
    def changed(self) -> float:
        """When it was written last, in seconds since 1970; nothing in it began later."""
        return max((stat.st_mtime for stat in map(_stat, self.parts[:2]) if stat), default=0.0)

    @property
    def size(self) -> int:
        """Its bytes on the disk."""
        return sum(stat.st_size for stat in map(_stat, self.parts) if stat)

    def remove(self) -> None:
        for each in self.parts:
            each.unlink(missing_ok=True)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def files(folder: Path) -> list[File]:
    """All of a folder, the one that was written last first."""
    try:
        found = [File(each) for each in folder.iterdir() if each.suffix == ENDING and each.is_file()]
    except OSError:
        return []
    return sorted(found, key=lambda file: file.changed, reverse=True)


def create(folder: Path) -> tuple[File, Sign, Connection]:
    """A new file of this process, locked and open; raises OSError or sqlite3.Error where it cannot be."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    local = is_local(folder)
    stem = f"{datetime.fromtimestamp(time.time(), UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{secrets.token_hex(3)}"
    file = File(folder / (stem + ENDING))
    sign = Sign(file.sign, is_local=local)
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        os.close(os.open(file.path, flags, 0o600))  # SQLite makes what is beside it alike
        connection = connected(file)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(f"PRAGMA journal_mode = {'WAL' if local else 'DELETE'}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {VERSION};COMMIT;")
    except BaseException:
        sign.close()
        file.remove()
        raise
    return file, sign, connection


def connected(file: File) -> Connection:
    """An open file, which is there already; what is deleted in it is overwritten."""
    import sqlite3

    connection = sqlite3.connect(f"{file.path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=2)
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


@contextmanager
def reading(file: File) -> Iterator[Connection | None]:
    """An open file as it is at one moment; None where it has no tables yet.

    Raises sqlite3.Error where it is damaged, of a newer version, or gone.
    """
    with closing(connected(file)) as connection:
        connection.execute("BEGIN")
        yield connection if has_tables(connection) else None


def has_tables(connection: Connection) -> bool:
    """Whether its file has been made ready. Raises sqlite3.DatabaseError where a newer version did so."""
    import sqlite3

    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, VERSION):
        raise sqlite3.DatabaseError("a newer version of holystream_nb wrote it")
    return bool(version)
