"""What people have their questions in, as the prompts of a plan: texts, messages, tables, files.

A table is a pandas or polars DataFrame, a pyarrow Table, a `datasets.Dataset`, or a list of rows; a column alone is a
Series, an array or an Index. None of these libraries is imported here: each is known by what it can do. Files are CSV
(with commas, semicolons or tabs), JSON Lines, JSON and plain text. `hs.history`, or replies in a list, are what they
answered.

The forms of conversations: OpenAI's `messages` ({"role": …, "content": …}, as in its fine-tuning files, and in the
`body` of its batch files, of which nothing else is taken), and ShareGPT's `conversations` ({"from": "human",
"value": …}). Of a recorded conversation all is sent up to what the user said last, since that is the question; the
answer that was recorded after it is left out, and so is what a file keeps beside a message (times, addresses, ratings).
"""

from __future__ import annotations

import os.path
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from ... import kinds
from ...errors import SetupError
from ...reply import Reply
from .plan import Prompt
from .turns import Conversation, Turn, message_of
from .words import counted

COLUMNS: Final = ("prompt", "messages", "conversations", "conversation", "question", "text")
"""Where questions stand in a table, in capitals or not; the first of these that is there is taken."""

_MESSAGES: Final = ("messages", "conversations", "conversation")
"""Columns whose texts may be messages, as JSON."""

FILES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt")

_NAMED_FILES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
"""A text that ends so is a file's name: a question rarely does."""

_EXAMPLE: Final = 'like ["Hello", [{"role": "user", "content": "Hello"}]]'


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts as a plan takes them. names: what each is called where it was given a name, else empty. source: what was
    read, in words; "" where the prompts were given as they are. times: of a trace, when each is asked, in s.
    """

    prompts: tuple[Prompt, ...]
    names: tuple[str, ...] = ()
    source: str = ""
    times: tuple[float, ...] = ()

    def __repr__(self) -> str:
        """What was read: all prompts of a trace would be a screen for each."""
        return self.source or counted(len(self.prompts), "prompt")

    def repeats(self, requests: int, users: int = 1) -> int:
        """How often each is asked for so many requests, and for a conversation, or a prompt, for each of the users."""
        return max(-(-requests // len(self.prompts)), -(-users // len(self._units)))

    def part(self, requests: int) -> Prompts:
        """Of more prompts than requests so many, chosen at random, and always the same; conversations stay whole."""
        if len(self.prompts) <= requests or self.times:
            return self
        units = self._units
        Random("part").shuffle(units)  # noqa: S311  # a choice, not a secret
        taken: list[int] = []
        while len(taken) < requests:
            taken += units.pop()
        taken.sort()
        names = tuple(self.names[number] for number in taken) if self.names else ()
        said = f"{len(taken):,} of {self.source}" if self.source else ""
        return Prompts(tuple(self.prompts[number] for number in taken), names, said)

    @property
    def _units(self) -> list[range]:
        """As `Plan.units`."""
        starts = [number for number, each in enumerate(self.prompts) if not (isinstance(each, Turn) and each.number)]
        return [range(start, end) for start, end in pairwise([*starts, len(self.prompts)])]


def table_of(door: str, path: Path) -> list[Mapping[str, Any]]:
    """The rows of a CSV or JSON Lines file."""
    if path.suffix.lower() in (".csv", ".tsv"):
        return _csv(path)
    rows = _values(path, _text(path), is_lines=path.suffix.lower() != ".json")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise SetupError(f"{path.name} has no rows that {door} could read.")
    return rows


def read_prompts(door: str, given: object) -> Prompts:
    """Prompts of whatever kind; see above. A Path is a file, and so is a text that is the name of one that is there, or
    ends in one of `_NAMED_FILES`.

    Rows in which nothing is asked are left out, and counted in `source`. Raises SetupError, one sentence, for what
    holds no prompts; for a table without one of `COLUMNS` it names those that are there.
    """
    if isinstance(given, Prompts):
        return given
    if isinstance(given, Conversation):
        return Prompts(given.turns)
    if callable(spoken := getattr(given, "to_messages", None)):  # a ChatPanel
        return Prompts(Conversation(spoken()).turns)
    if isinstance(given, deque) and given and all(isinstance(each, Reply) for each in given):  # hs.history
        given = _asked(given)
    if isinstance(given, Path) or (isinstance(given, str) and _is_file_name(given)):
        return _of_file(door, Path(os.path.expanduser(given)))  # noqa: PTH111  # Path's raises for a ~ that is no name
    if isinstance(given, str):
        kinds.messages(given)
        return Prompts((str(given),))
    if (names := _column_names(given)) is not None:
        return _of_table(door, given, names)
    if (values := kinds.unpacked(given)) is not given:
        return _of_column(door, given, values)
    return _of_list(door, given)


def _is_file_name(text: str) -> bool:
    if len(text) > 1000 or not text.isprintable():
        return False
    # Path's is_file raises for a name that is too long.
    return text.lower().endswith(_NAMED_FILES) or os.path.isfile(os.path.expanduser(text))  # noqa: PTH111, PTH113


# Lists, as they are given


def _of_list(door: str, given: object) -> Prompts:
    if not isinstance(given, list | tuple) or not given:
        raise SetupError(
            f"The prompts of {door} are {kinds.kind(given)}: give a text, a list of texts or lists of messages, "
            f"{_EXAMPLE}, a DataFrame, a Series, or the path of a file ({', '.join(FILES)})."
        )
    if all(isinstance(each, Mapping) for each in given):
        if any("role" in each for each in given):
            raise SetupError(f"The prompts of {door} are messages: put them into a list of prompts, {_EXAMPLE}.")
        return _of_rows(door, given, "a list of rows")
    return Prompts(tuple(prompt for each in given for prompt in _as_given(each)))


def _as_given(each: object) -> Sequence[Prompt]:
    if isinstance(each, Conversation):
        return each.turns
    if isinstance(each, Reply) and each.asked:
        return (kinds.messages(list(each.asked)),)
    if isinstance(each, str):
        kinds.messages(each)
        return (str(each),)  # numpy's texts are no others
    return (kinds.messages(kinds.plain(each)),)


def _asked(replies: Iterable[Reply]) -> list[list[Mapping[str, Any]]]:
    """What was asked, each question once: models side by side were asked the same."""
    unique: list[list[Mapping[str, Any]]] = []
    for reply in replies:
        if reply.asked and (asked := list(reply.asked)) not in unique:
            unique.append(asked)
    return unique


# Tables and columns


def _column_names(given: object) -> list[str] | None:
    """The names of a table's columns, None for what is none."""
    if isinstance(given, list | tuple | Mapping | str) or not hasattr(given, "__getitem__"):
        return None
    names = getattr(given, "column_names", None)
    if names is None:
        names = getattr(given, "columns", None)
    if names is None or isinstance(names, Mapping):
        return None
    return [str(name) for name in names]


def _of_table(door: str, given: Any, names: list[str]) -> Prompts:
    if not hasattr(given, "__len__"):
        raise SetupError(f"The prompts of {door} are {kinds.kind(given)}, which has no length: collect a part of it.")
    words = f"a {type(given).__name__}"
    column = _chosen(door, names, words)
    values = kinds.unpacked(given[column])
    return _read(door, values, _index(given), words, column)


def _of_column(door: str, given: Any, values: list[Any]) -> Prompts:
    name = getattr(given, "name", None)
    words = f"a {type(given).__name__}" if type(given).__name__ != "ndarray" else "an array"
    return _read(door, values, _index(given), words, "" if name is None or callable(name) else str(name))


def _index(given: Any) -> list[str]:
    """The names in a pandas index, where it has any that are not the rows' own numbers."""
    index = getattr(given, "index", None)
    if index is None or callable(index) or not hasattr(index, "tolist"):
        return []
    names = index.tolist()
    return [] if names == list(range(len(names))) else [_named(name) for name in names]


def _named(name: object) -> str:
    return " · ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _of_rows(door: str, given: Sequence[Mapping[str, Any]], source: str) -> Prompts:
    rows = [_row(each) for each in given]
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    column = _chosen(door, names, source)
    called = [str(row["id"]) for row in rows if isinstance(row.get("id"), str | int)]
    is_named = len(called) == len(set(called)) == len(rows)
    return _read(door, [row.get(column) for row in rows], called if is_named else [], source, column)


def _row(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of OpenAI's batch files is its body, called by its custom_id; others are as they are."""
    body = given.get("body")
    return {"id": given.get("custom_id"), **body} if isinstance(body, Mapping) else given


def _chosen(door: str, names: Sequence[str], source: str) -> str:
    for column in COLUMNS:
        found = [name for name in names if name == column] or [name for name in names if _is_called(name, column)]
        if len(found) > 1:
            raise SetupError(
                f"The prompts of {door} are {source} with {len(found)} columns {column}: give one of them."
            )
        if found:
            return found[0]
    shown = ", ".join(name[:40] for name in names[:12]) or "none"
    raise SetupError(
        f"The prompts of {door} are {source} without a column of prompts ({', '.join(COLUMNS)}), but with {shown}: "
        'rename one, or give it alone, as frame["x"].'
    )


def _is_called(name: str, column: str) -> bool:
    return name.strip().lower() == column


def _read(door: str, values: Iterable[Any], names: Sequence[str], source: str, column: str) -> Prompts:
    """The values of a column as prompts; those in which nothing is asked are left out."""
    is_json = any(_is_called(column, each) for each in _MESSAGES)
    plain = [_decoded(door, value, source) if is_json else kinds.plain(value) for value in values]
    found = [_recorded(door, value, source) for value in plain]
    kept = [number for number, prompt in enumerate(found) if prompt]
    if not kept:
        raise SetupError(f"The prompts of {door} are {source} in which nothing is asked.")
    words = f"{counted(len(kept), 'prompt')} from {source}"
    words += f", column {column}" if column else ""
    if len(kept) < len(found):
        words += f"; {counted(len(found) - len(kept), 'row')} left out, in which nothing is asked"
    prompts = tuple(prompt for prompt in found if prompt)
    return Prompts(prompts, tuple(names[number] for number in kept) if names else (), words)


def _recorded(door: str, value: object, source: str) -> Prompt | None:
    """One cell as a prompt; None where nothing is asked in it."""
    if value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType":
        return None
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        messages = [message_of(each) for each in value]
        while messages and not _asks(messages[-1]):
            messages.pop()
        return kinds.messages(messages) if messages else None
    raise SetupError(
        f"The prompts of {door} are {source} with {kinds.kind(value)} in it: a prompt is a text or a list of messages."
    )


def _decoded(door: str, value: object, source: str) -> object:
    """A cell of messages, which a CSV holds as JSON."""
    if not isinstance(value, str) or not value.lstrip().startswith("[{"):
        return kinds.plain(value)
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as exc:
        raise SetupError(
            f"The prompts of {door} are {source} with messages that are no JSON in it ({exc}): give it as JSON Lines."
        ) from exc


def _asks(message: Mapping[str, Any]) -> bool:
    """Whether it is the user's, with something in it."""
    content = message.get("content")
    return message.get("role") == "user" and bool(content.strip() if isinstance(content, str) else content)


# Files


def _of_file(door: str, path: Path) -> Prompts:
    kind = path.suffix.lower()
    if kind not in FILES:
        raise SetupError(
            f"The prompts of {door} are in a file of a kind that is not read here, {path.name}: give one of "
            f"{', '.join(FILES)}, or what pandas reads from it."
        )
    if kind in (".csv", ".tsv"):
        return _of_rows(door, _csv(path), path.name)
    text = _text(path)
    if kind == ".txt":
        return _read(door, text.removesuffix("\n").split("\n"), [], path.name, "")
    return _of_values(door, _values(path, text, is_lines=kind != ".json"), path.name)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError as exc:
        where = "this folder" if path.parent == Path() else str(path.parent)
        raise SetupError(
            f"There is no file {path.name} in {where}: a prompt that ends so is given inside of a list."
        ) from exc
    except OSError as exc:
        raise SetupError(f"{path} cannot be read ({exc.strerror}).") from exc
    except UnicodeDecodeError as exc:
        raise SetupError(f"{path} is not in UTF-8: save it in that encoding.") from exc


def _csv(path: Path) -> list[Mapping[str, Any]]:
    """Rows of texts, between whichever of comma, semicolon and tab the header has most of."""
    from io import StringIO

    from pandas import read_csv
    from pandas.errors import EmptyDataError, ParserError

    text = _text(path)
    head = next((line for line in text.split("\n") if line.strip()), "")
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=head.count)
    try:
        # With a header pandas would take a longer row's first cells for an index, and a question without its quotation
        # marks for what stands behind its last comma.
        frame = read_csv(StringIO(text), header=None, sep=separator, dtype=str, keep_default_na=False)
    except (EmptyDataError, ParserError) as exc:
        said = str(exc).splitlines()[0].removeprefix("Error tokenizing data. C error: ")
        hint = " (a text with a separator in it stands in quotation marks)" if "fields" in said else ""
        raise SetupError(f"{path} cannot be read as CSV: {said}{hint}.") from exc
    names, *rows = frame.to_numpy().tolist()
    return [dict(zip(names, row, strict=True)) for row in rows]


def _of_values(door: str, values: object, name: str) -> Prompts:
    """What JSON holds: rows, texts, or lists of messages."""
    if not isinstance(values, list) or not values:
        raise SetupError(f"The prompts of {door} are {name}, which holds {kinds.kind(values)}: it must be a list.")
    if all(isinstance(each, Mapping) and "role" not in each for each in values):
        return _of_rows(door, values, name)
    if any(isinstance(each, Mapping) for each in values):
        raise SetupError(f"The prompts of {door} are {name}, in which rows are mixed with messages or texts.")
    return _read(door, values, [], name, "")


def _values(path: Path, text: str, *, is_lines: bool) -> object:
    """The values of JSON Lines, or of JSON; a file named .json may hold lines as well."""
    decoder = msgspec.json.Decoder()
    try:
        return decoder.decode_lines(text) if is_lines else decoder.decode(text)
    except msgspec.DecodeError as exc:
        flaw = exc
    values = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            values += [decoder.decode(line)] if line.strip() else []
        except msgspec.DecodeError as exc:
            said = f"line {number}: {exc}" if is_lines or number > 1 else str(flaw)
            raise SetupError(f"{path} is no JSON that can be read ({said}).") from exc
    return values
