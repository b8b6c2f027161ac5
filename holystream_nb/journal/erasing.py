"""What is forgotten: by the user, by age, by size. Its bytes are overwritten, also in files that others write."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from .file import VERSION, File, connected, files

_IDS: Final = 500


def forget(folder: Path, where: str, values: Sequence[Any], own: File | None, say: Callable[[str], None]) -> list[str]:
    """Erases the answers that a condition holds for; their ids."""
    gone: list[str] = []
    for file in files(folder):
        try:
            gone += _erase(file, where, values, file == own)
        except sqlite3.Error as exc:
            if file.path.exists():
                say(f"A file of the journal cannot be erased ({file.path}: {exc}).")
    return gone


def _erase(file: File, where: str, values: Sequence[Any], is_own: bool) -> list[str]:
    with closing(connected(file)) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            return []
        connection.execute("BEGIN IMMEDIATE")
        ids = [row[0] for row in connection.execute(f"SELECT id FROM answers WHERE {where}", values)]  # noqa: S608
        for name in ids:
            connection.execute("DELETE FROM pieces WHERE answer = ?", [name])
            connection.execute("DELETE FROM answers WHERE id = ?", [name])
        if ids:
            _drop_messages(connection)
        connection.execute("COMMIT")
        if ids:
            _shrink(connection)
        full = "SELECT EXISTS (SELECT 1 FROM answers) OR EXISTS (SELECT 1 FROM conversations)"
        is_empty = not connection.execute(full).fetchone()[0]
    if is_empty and not is_own and not file.is_living:
        file.remove()
    return ids


def _drop_messages(connection: sqlite3.Connection) -> None:
    """Those that no answer has any more."""
    needed = {each for (ids,) in connection.execute("SELECT messages FROM answers") for each in json.loads(ids)}
    there = [number for (number,) in connection.execute("SELECT id FROM messages")]
    connection.executemany("DELETE FROM messages WHERE id = ?", [[each] for each in there if each not in needed])


def _shrink(connection: sqlite3.Connection) -> None:
    """Leaves no copy of what was deleted: neither in the file nor in the log beside it."""
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def forget_conversation(folder: Path, name: str, notebook: str, say: Callable[[str], None]) -> None:
    """Erases a conversation's state in all files."""
    for file in files(folder):
        try:
            with closing(connected(file)) as connection:
                if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                    continue
                values = [name, notebook]
                done = connection.execute("DELETE FROM conversations WHERE name = ? AND notebook = ?", values)
                if done.rowcount:
                    _shrink(connection)
        except sqlite3.Error as exc:
            if file.path.exists():
                say(f"A file of the journal cannot be erased ({file.path}: {exc}).")


def before(days: float) -> float:
    return time.time() - days * 86400
