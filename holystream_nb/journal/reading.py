"""What is in the journal: the files of all kernels, read as one."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

from ..wire.values import well_formed
from .file import File, files, reading
from .values import Answer, Origin

_SLACK: Final = 60.0
"""Seconds by which a file server's clock may be behind."""

_PAGE: Final = 20
_LARGEST_PAGE: Final = 1000
"""Answers that are read at once; a page is four times as long as the one before."""

_FILTERS: Final = ("notebook", "cell", "execution", "kernel", "door", "conversation")


@dataclass(frozen=True, slots=True)
class Question:
    """Which answers are looked for: all that is given holds.

    Of `ids` the beginnings are enough. `words` are all in what was asked or in the answer.
    """

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
        asked = {name: well_formed(value) for name in _FILTERS if (value := getattr(self, name)) is not None}
        parts, values = [f"{name} = ?" for name in asked], [*asked.values()]
        if self.ids is not None:
            parts.append(f"({' OR '.join('id GLOB ?' for _ in self.ids) or '0'})")
            values += [f"{well_formed(each)}*" for each in self.ids]
        return " AND ".join(parts) or "1", values


def read(folder: Path, question: Question, own: File | None, say: Callable[[str], None]) -> list[Answer]:
    """The answers, newest first; `say` is told which files cannot be read. `own` is this process's file."""
    return [*islice(_merged(files(folder), question, own, say), question.limit)]


def _merged(
    there: Sequence[File], question: Question, own: File | None, say: Callable[[str], None]
) -> Iterator[Answer]:
    """The answers of all files by their time; a file is opened when none of the others has a newer answer.

    Files come in the order of their last writing, before which everything in them began.
    """
    ahead = deque(there)
    heads: list[tuple[float, float, Answer, Iterator[Answer]]] = []
    for number in count():
        while ahead and (not heads or -heads[0][0] <= ahead[0].changed + _SLACK):
            file = ahead.popleft()
            _push(heads, number + len(ahead) / (len(there) + 1), _of_file(file, question, file == own, say))
        if not heads:
            return
        _, _, answer, rest = heappop(heads)
        yield answer
        _push(heads, number, rest)


def _push(heads: list[Any], number: float, answers: Iterator[Answer]) -> None:
    if (answer := next(answers, None)) is not None:
        heappush(heads, (-answer.began, number, answer, answers))


def _of_file(file: File, question: Question, is_own: bool, say: Callable[[str], None]) -> Iterator[Answer]:
    """Those of one file, read page by page, so that no file stays open while others are read."""
    before: tuple[float, str] | None = None
    size = _PAGE
    while True:
        try:
            found, before = _page(file, question, before, size, is_own)
        except (sqlite3.Error, ValueError, TypeError) as exc:
            if file.path.exists():
                say(f"A file of the journal cannot be read, and is passed over ({file.path}: {exc}).")
            return
        yield from found
        if before is None:
            return
        size = min(4 * size, _LARGEST_PAGE)


def _page(
    file: File, question: Question, before: tuple[float, str] | None, size: int, is_own: bool
) -> tuple[list[Answer], tuple[float, str] | None]:
    """The answers among the next `size`, and after which one the next page begins; None after the last."""
    is_living = is_own or file.is_living  # before it is read: who ends meanwhile has written all
    where, values = question.where()
    if before is not None:
        where, values = f"{where} AND (began, id) < (?, ?)", [*values, *before]
    rows, names = 0, []
    with reading(file) as connection:
        if connection is None:
            return [], None
        contents = Contents(connection)
        columns = "began, id, ended, text, messages, asked"  # all that is searched
        query = f"SELECT {columns} FROM answers WHERE {where} ORDER BY began DESC, id DESC LIMIT {size}"  # noqa: S608
        for began, name, ended, text, ids, asked in connection.execute(query, values):
            rows += 1
            before = began, name
            so_far = contents.so_far(name)[0] if ended is None else text or ""
            if not question.words or _has(question.words, so_far, ids, asked, contents):
                names.append(name)
        found = [contents.answer(name, is_living) for name in names]
    return found, before if rows == size else None


class Contents:
    """What is in one file; the messages of a conversation are parsed once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._parsed: dict[int, Mapping[str, Any]] = {}

    def body(self, number: int) -> str:
        found = self._connection.execute("SELECT body FROM messages WHERE id = ?", [number]).fetchone()
        return str(found[0]) if found else "{}"

    def parsed(self, number: int) -> Mapping[str, Any]:
        if number not in self._parsed:
            self._parsed[number] = json.loads(self.body(number))
        return self._parsed[number]

    def so_far(self, name: str) -> tuple[str, str]:
        """Text and reasoning of an answer that has not ended."""
        parts = "SELECT text, reasoning FROM pieces WHERE answer = ? ORDER BY part"
        pieces = self._connection.execute(parts, [name]).fetchall()
        return "".join(each[0] for each in pieces), "".join(each[1] for each in pieces)

    def answer(self, name: str, is_living: bool = False) -> Answer:
        cursor = self._connection.execute("SELECT * FROM answers WHERE id = ?", [name])
        cursor.row_factory = sqlite3.Row
        row = cursor.fetchone()
        text, reasoning = self.so_far(name) if row["ended"] is None else (row["text"] or "", row["reasoning"] or "")
        return Answer(
            id=row["id"],
            group=row["group"],
            origin=Origin(row["door"], *(row[name] for name in Origin.__dataclass_fields__ if name != "door")),
            label=row["label"],
            model=row["model"],
            provider=row["provider"],
            note=row["note"],
            messages=tuple(map(self.parsed, json.loads(row["messages"]))),
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


def _has(words: Sequence[str], text: str, ids: str, asked: int, contents: Contents) -> bool:
    """Whether all words are in the answer, or in what was asked with it."""
    folded, raw = text.casefold(), ""
    bodies: list[str] | None = None
    for word in words:
        if word in folded:
            continue
        if bodies is None:
            bodies = [contents.body(int(number)) for number in ids[1:-1].rsplit(",", asked)[-asked:]] if asked else []
            raw = " ".join(bodies).casefold()
        if word not in raw and (word.isalnum() or not _ESCAPED.search(word)):
            return False  # without parsing them
        if not any(word in content_of(json.loads(body)).casefold() for body in bodies):
            return False
    return True


_ESCAPED: Final = re.compile(r'["\\\x00-\x1f]')
"""What JSON writes in another way."""


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


def conversation(folder: Path, name: str, notebook: str, say: Callable[[str], None]) -> str | None:
    """The state of a conversation that was written last."""
    newest: tuple[float, str] | None = None
    for file in files(folder):
        if newest is not None and file.changed + _SLACK < newest[0]:
            break
        try:
            with reading(file) as connection:
                query = "SELECT saved, state FROM conversations WHERE name = ? AND notebook = ?"
                found = (
                    connection.execute(query, [well_formed(name), well_formed(notebook)]).fetchone()
                    if connection
                    else None
                )
        except sqlite3.Error as exc:
            if file.path.exists():
                say(f"A file of the journal cannot be read, and is passed over ({file.path}: {exc}).")
            continue
        if found is not None and (newest is None or found[0] > newest[0]):
            newest = found[0], found[1]
    return None if newest is None else newest[1]
