"""What is forgotten: by the user, by age, by size. Its bytes are overwritten, also in files that others write.

A file that a living process writes is emptied and stays; what it goes on to write of a forgotten answer is dropped.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..wire.values import well_formed
from .file import ENDING, FULL, File, connected, files, has_tables, reading
from .repeated import Repeated

STILL_OPEN: Final = (
    "A kernel that has this conversation still runs, and writes what was forgotten again with the next question there: "
    "restart it first, then forget."
)

Say = Callable[[str], None]

ALL: Final = "1"
_BATCH: Final = 200
"""Answers that are deleted from our own file at once: its writer waits meanwhile."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Which answers go, and which conversations; in SQL, with its values."""

    answers: str
    conversations: str
    values: tuple[Any, ...] = ()

    @property
    def is_all(self) -> bool:
        return self.answers == ALL


def condition(ids: Sequence[str] | None, before: float | None, notebook: str | None) -> Condition:
    """All of it holds for what goes; ids name answers only."""
    answers: list[str] = []
    conversations: list[str] = []
    values: list[Any] = []
    if before is not None:
        answers.append("began < ?")
        conversations.append("saved < ?")
        values.append(before)
    if notebook is not None:
        answers.append("notebook = ?")
        conversations.append("notebook = ?")
        values.append(well_formed(notebook))
    if ids is not None:
        quoted = ", ".join("'" + each.replace("'", "''") + "'" for each in ids)
        answers.append(f"id IN ({quoted})")
        conversations.append("0")
    return Condition(" AND ".join(answers) or ALL, " AND ".join(conversations) or ALL, tuple(values))


def forget(folder: Path, what: Condition, own: File | None, say: Say) -> int:
    """Erases it in all files, with all that repeats it; how many answers are gone."""
    repeated = Repeated()
    gone, is_open = 0, False
    for file in [] if what.is_all else files(folder):
        with suppress(sqlite3.DatabaseError), reading(file) as connection:  # it is said below
            if connection is not None and repeated.gather(connection, what.answers, what.values):
                is_open |= _is_used(file, own)
    for file in files(folder):
        before = repeated.marks
        try:
            gone += _erase(file, what, own, repeated)
            is_open |= repeated.marks > before and _is_used(file, own)
        except sqlite3.DatabaseError as exc:
            if what.is_all and not _is_used(file, own):
                file.remove()  # damaged, or of a newer version
            elif file.path.exists():
                say(f"A file of the journal cannot be erased ({file.path}: {exc}).")
    if is_open:
        say(STILL_OPEN)
    return gone


def _is_used(file: File, own: File | None) -> bool:
    return file == own or file.is_living


def _erase(file: File, what: Condition, own: File | None, repeated: Repeated) -> int:
    with closing(connected(file)) as connection:
        is_ready = has_tables(connection)
        gone = _delete(connection, what, repeated) if is_ready else 0
        is_empty = not is_ready or not connection.execute(FULL).fetchone()[0]
    if is_empty and not _is_used(file, own):
        file.remove()
    return gone


def _delete(connection: sqlite3.Connection, what: Condition, repeated: Repeated) -> int:
    connection.execute("BEGIN IMMEDIATE")
    chosen = f"SELECT id FROM answers WHERE {what.answers}"  # noqa: S608
    connection.execute(f"DELETE FROM pieces WHERE answer IN ({chosen})", what.values)  # noqa: S608
    gone = connection.execute(f"DELETE FROM answers WHERE {what.answers}", what.values).rowcount  # noqa: S608
    where = what.conversations
    closed = connection.execute(f"DELETE FROM conversations WHERE {where}", what.values).rowcount  # noqa: S608
    is_marked = bool(repeated) and repeated.mark(connection)
    if gone or is_marked:
        _drop_messages(connection)
    connection.execute("COMMIT")
    if gone or closed or is_marked:
        _scrub(connection)
    return gone


def _drop_messages(connection: sqlite3.Connection) -> None:
    """Those that no answer has any more."""
    needed = {each for (ids,) in connection.execute("SELECT messages FROM answers") for each in json.loads(ids)}
    there = [number for (number,) in connection.execute("SELECT id FROM messages")]
    connection.executemany("DELETE FROM messages WHERE id = ?", [[each] for each in there if each not in needed])


def _scrub(connection: sqlite3.Connection) -> None:
    """Leaves no copy of what was deleted: neither in the file nor in the log beside it."""
    connection.execute("VACUUM")
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise sqlite3.OperationalError("deleted, but not yet overwritten: somebody is reading it; try again")


def forget_conversation(folder: Path, name: str, notebook: str, own: File | None, say: Say) -> None:
    """Erases a conversation's state in all files."""
    forget(
        folder,
        Condition("0 AND ? = ?", "name = ? AND notebook = ?", (well_formed(name), well_formed(notebook))),
        own,
        say,
    )


def prune(folder: Path, days: float, megabytes: float, own: File | None, say: Say) -> None:
    """Deletes what is too old, then what is too much, the oldest first; other living processes' files stay whole."""
    try:
        _remove_strays(folder)
        before = time.time() - days * 86400
        for file in files(folder):
            _prune(file, before, own)
        limit = megabytes * 1e6
        while (at := _cutoff(folder, limit, own)) is not None:
            if not sum(_prune(file, at, own) for file in files(folder)):
                break
    except (sqlite3.Error, OSError) as exc:
        say(f"The journal cannot be kept within its limits ({folder}: {exc}).")


def _remove_strays(folder: Path) -> None:
    """Locks of files that are gone."""
    for each in folder.glob("*.lock"):
        if not each.with_suffix(ENDING).exists() and not File(each.with_suffix(ENDING)).is_living:
            each.unlink(missing_ok=True)


def _cutoff(folder: Path, limit: float, own: File | None) -> float | None:
    """The time before which answers must go, so that nine tenths of the limit are left; None if they are within it."""
    there = files(folder)
    total = float(sum(file.size for file in there))
    if total <= limit:
        return None
    found: list[tuple[float, float]] = []
    for file in there:
        if file == own or not file.is_living:
            began = _times(file)
            found += [(each, file.size / len(began)) for each in began]
    at = None
    for began_at, size in sorted(found):
        if total <= 0.9 * limit:
            break
        total -= size
        at = began_at
    return None if at is None else at + 1e-6


def _times(file: File) -> list[float]:
    """When its answers began, of those that have ended."""
    try:
        with closing(connected(file)) as connection:
            return [row[0] for row in connection.execute("SELECT began FROM answers WHERE ended IS NOT NULL")]
    except sqlite3.DatabaseError:
        return []


def _prune(file: File, before: float, own: File | None) -> int:
    """Deletes what began before; how much that was."""
    try:
        if file == own:
            return _prune_own(file, before)
        if file.is_living:
            return 0
        if file.changed < before:
            file.remove()
            return 1
        return _erase(file, condition(None, before, None), own, Repeated())
    except sqlite3.DatabaseError:
        return 0  # whoever reads it says so


def _prune_own(file: File, before: float) -> int:
    """The same in small steps, between which the writer writes."""
    chosen = "SELECT id FROM answers WHERE began < ? AND ended IS NOT NULL LIMIT ?"
    gone = 0
    with closing(connected(file)) as connection:
        while True:
            done = connection.execute(f"DELETE FROM answers WHERE id IN ({chosen})", [before, _BATCH]).rowcount  # noqa: S608
            gone += done
            if done < _BATCH:
                break
            time.sleep(0.05)
        if gone:
            connection.execute("BEGIN IMMEDIATE")
            _drop_messages(connection)
            connection.execute("COMMIT")
            connection.executescript("PRAGMA incremental_vacuum")  # `execute` gives back one page only
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return gone
