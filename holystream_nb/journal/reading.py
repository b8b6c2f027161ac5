"""What is in the journal: the files of all kernels, read as one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .file import File, files, reading
from .values import Answer, Origin

_SLACK: Final = 60.0
"""Seconds by which a file server's clock may be behind."""

_FILTERS: Final = ("notebook", "cell", "execution", "kernel", "door", "conversation")


@dataclass(frozen=True, slots=True)
class Question:
    """Which answers are looked for: all that is given holds. Of `ids` their beginnings are enough. `words` are all in what was asked or in the answer."""

    ids: tuple[str, ...] | None = None
    notebook: str | None = None
    cell: str | None = None
    execution: str | None = None
    kernel: str | None = None
    door: str | None = None
    conversation: str | None = None
    words: tuple[str, ...] = ()
    limit: int | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Its part that SQLite answers."""
        asked = {name: value for name in _FILTERS if (value := getattr(self, name)) is not None}
        parts, values = [f"{name} = ?" for name in asked], [*asked.values()]
        if self.ids is not None:
            parts.append(f"({' OR '.join('id GLOB ?' for _ in self.ids) or '0'})")
            values += [f"{each}*" for each in self.ids]
        return " AND ".join(parts) or "1", values


def read(folder: Path, question: Question, own: File | None, say: Callable[[str], None]) -> list[Answer]:
    """The answers, newest first; `say` is told which files cannot be read. `own` is this process's file."""
    found: list[Answer] = []
    for file in files(folder):
        if question.limit is not None and len(found) >= question.limit and _is_older(file, found[-1]):
            break
        try:
            found += _of_file(file, question, file == own)
        except (sqlite3.Error, ValueError) as exc:
            if file.path.exists():
                say(f"A file of the journal cannot be read, and is passed over ({file.path}: {exc}).")
        found.sort(key=lambda answer: answer.began, reverse=True)
        if question.limit is not None:
            del found[question.limit :]
    return found


def _is_older(file: File, last: Answer) -> bool:
    """Whether everything in this file is older than this answer; files come in the order of their last writing."""
    return file.changed + _SLACK < last.began


def _of_file(file: File, question: Question, is_own: bool) -> list[Answer]:
    is_living = is_own or file.is_living  # before it is read: who ends meanwhile has written all
    found: list[Answer] = []
    where, values = question.where()
    with reading(file) as connection:
        if connection is None:
            return []
        connection.row_factory = sqlite3.Row
        messages = _Messages(connection)
        limit = "" if question.words or question.limit is None else f" LIMIT {question.limit}"
        query = f"SELECT * FROM answers WHERE {where} ORDER BY began DESC{limit}"  # noqa: S608
        for row in connection.execute(query, values):
            if question.limit is not None and len(found) >= question.limit:
                break
            text, reasoning = row["text"] or "", row["reasoning"] or ""
            if row["ended"] is None:
                parts = "SELECT text, reasoning FROM pieces WHERE answer = ? ORDER BY part"
                pieces = connection.execute(parts, [row["id"]]).fetchall()
                text, reasoning = "".join(each[0] for each in pieces), "".join(each[1] for each in pieces)
            if question.words and not _has(question.words, text, row, messages):
                continue
            found.append(_answer(row, text, reasoning, messages, is_living))
    return found


class _Messages:
    """The messages of one file; those of a conversation are read and parsed once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._bodies: dict[int, str] = {}
        self._parsed: dict[int, Mapping[str, Any]] = {}

    def body(self, number: int) -> str:
        if number not in self._bodies:
            found = self._connection.execute("SELECT body FROM messages WHERE id = ?", [number]).fetchone()
            self._bodies[number] = found[0] if found else "{}"
        return self._bodies[number]

    def parsed(self, number: int) -> Mapping[str, Any]:
        if number not in self._parsed:
            self._parsed[number] = json.loads(self.body(number))
        return self._parsed[number]


def _has(words: Sequence[str], text: str, row: sqlite3.Row, messages: _Messages) -> bool:
    """Whether all words are in the answer, or in what was asked with it."""
    folded = text.casefold()
    missing = [word for word in words if word not in folded]
    if not missing:
        return True
    asked = json.loads(row["messages"])[-row["asked"] or None :] if row["asked"] else []
    bodies = " ".join(content_of(messages.parsed(number)) for number in asked).casefold()
    return all(word in bodies for word in missing)


def content_of(message: Mapping[str, Any]) -> str:
    """The texts in a message, of any format."""
    return "\n".join(_texts(message.get("content", message.get("output", ""))))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, Mapping):
        yield from _texts(value.get("text", value.get("content", "")))


def _answer(row: sqlite3.Row, text: str, reasoning: str, messages: _Messages, is_living: bool) -> Answer:
    return Answer(
        id=row["id"],
        group=row["group"],
        origin=Origin(row["door"], *(row[name] for name in Origin.__dataclass_fields__ if name != "door")),
        label=row["label"],
        model=row["model"],
        provider=row["provider"],
        note=row["note"],
        messages=tuple(map(messages.parsed, json.loads(row["messages"]))),
        parameters=json.loads(row["parameters"]),
        began=row["began"],
        ended=row["ended"],
        text=text,
        reasoning=reasoning,
        state=row["state"],
        ending=row["ending"] or "",
        error=row["error"] or "",
        record=json.loads(row["record"] or "{}"),
        format=row["format"],
        is_running=is_living and row["ended"] is None,
    )


def conversation(folder: Path, name: str, notebook: str, say: Callable[[str], None]) -> str | None:
    """The state of a conversation that was written last."""
    newest: tuple[float, str] | None = None
    for file in files(folder):
        if newest is not None and file.changed + _SLACK < newest[0]:
            break
        try:
            with reading(file) as connection:
                query = "SELECT saved, state FROM conversations WHERE name = ? AND notebook = ?"
                found = connection.execute(query, [name, notebook]).fetchone() if connection else None
        except sqlite3.Error as exc:
            if file.path.exists():
                say(f"A file of the journal cannot be read, and is passed over ({file.path}: {exc}).")
            continue
        if found is not None and (newest is None or found[0] > newest[0]):
            newest = found[0], found[1]
    return None if newest is None else newest[1]
