"""Which tool call a piece belongs to, and which arguments its pieces are. No I/O, no clock."""

from __future__ import annotations

import ast
import json
import re
import string
import warnings
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from holystream_nb.events import ToolCallPart

_SPACE: Final = re.compile(r"\s*")
_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*(?:"|$))|,(?=\s*[}\]])', re.DOTALL)
_PYTHON: Final = 50_000
"""Characters that are looked at as Python's: its parser takes a second and 500 MB for a million."""

_LENIENT: Final = json.JSONDecoder(strict=False)
_BESIDE: Final[tuple[Any, ...]] = ({}, "", None)
"""What a service may send before the real arguments, or instead of none."""


def joined(pieces: Sequence[str]) -> str:
    """The arguments in a call's pieces, as the text of one JSON object; unchanged where none can be told.

    Models and services also write them twice, `{}` before them, a string that holds the object, a fence around it,
    line breaks inside strings, a comma too many, and Python's quotes and words.
    """
    text = "".join(pieces)
    if not text or text.isspace() or is_object(text):
        return text
    last = pieces[-1]
    if len(pieces) > 1 and is_object(last) and last.startswith(text[: -len(last)]):
        return last  # a repeat of the whole, before the pieces had brought the whole
    try:
        return _object(text) or text
    except (ValueError, RecursionError):
        found = of_python(text)
        return found if is_object(found) else text


def is_object(text: Any) -> bool:
    """Whether this is the text of a JSON object, by the letter of the standard."""
    try:
        return isinstance(text, str) and isinstance(msgspec.json.decode(text), dict)
    except (ValueError, RecursionError):
        return False


def _object(text: str) -> str:
    """The only object in a text of several JSON values, one of which may be a string that holds it; "" if none is.

    Raises ValueError for what is no JSON.
    """
    text = text.strip()
    if text.startswith("```"):
        text = text.strip("`").lstrip(string.ascii_letters).strip()
    values: list[tuple[Any, str]] = []
    end = 0
    while end < len(text):
        value, stop = _LENIENT.raw_decode(text, end)
        values.append((value, text[end:stop]))
        end = _SPACE.match(text, stop).end()  # type: ignore[union-attr]  # it matches anything
    said = [each for each in values if each[0] not in _BESIDE] or [({}, "{}")]
    found, written = said[0]
    if any(value != found for value, _ in said):
        return ""
    if isinstance(found, str):
        return _object(found)
    if not isinstance(found, dict):
        return ""
    return written if is_object(written) else msgspec.json.encode(found).decode()


def of_python(text: str) -> str:
    """The JSON of an object or a list in Python's notation, or with a comma too many; "" where it is neither."""
    without = _COMMA.sub(r"\1", text)
    try:
        msgspec.json.decode(without)
    except (ValueError, RecursionError):
        pass
    else:
        return without
    if len(text) > _PYTHON:
        return ""
    try:
        with warnings.catch_warnings():  # of escapes that Python does not know
            warnings.simplefilter("ignore")
            found = ast.literal_eval(text.strip())
        return msgspec.json.encode(found).decode() if isinstance(found, dict | list) else ""
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ""


class Call:
    """A tool call as far as it has come."""

    __slots__ = ("arguments", "ended", "id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.ended = False

    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON object, so that nothing can follow."""
        return is_object(joined(self.arguments))

    def is_followed_by(self, arguments: str) -> bool:
        """Whether these arguments begin another call of the same name, although nothing but that tells them apart."""
        if not (arguments.lstrip().startswith("{") and self.is_whole()):
            return False
        if len(self.arguments) > 1:
            return joined([*self.arguments, arguments]) != joined(self.arguments)  # else it is a repeat
        return self.arguments[0].strip() != "{}" or arguments.strip() == "{}"  # else the real arguments come now


class Calls:
    """The tool calls of one answer."""

    __slots__ = ("_by_id", "_by_index", "_calls")

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, index: int) -> Call:
        return self._calls[index]

    def __contains__(self, id: str) -> bool:
        return id in self._by_id

    def part(self, index: Any, id: str, name: str, arguments: str, read: int) -> ToolCallPart:
        """The part of a call, with `id` and `name` only where they are new."""
        call = self._call(index, id, name, arguments)
        if type(index) is int:
            self._by_index[index] = call
        new_id = "" if call.id else id
        new_name = "" if call.name else name
        call.id = call.id or id
        call.name = call.name or name
        if id:
            self._by_id[id] = call
        if arguments:
            call.arguments.append(arguments)
        return ToolCallPart(call.index, new_id, new_name, arguments, read)

    def _call(self, index: Any, id: str, name: str, arguments: str) -> Call:
        """The call that a part belongs to, or a new one.

        Indexes may start anywhere, be missing, or be 0 for every call; ids may be missing, "", the same for every part,
        or another one for every part; the name may come with every part.
        """
        numbered = type(index) is int
        call = self._by_index.get(index) if numbered else self._calls[-1] if self._calls else None
        known = self._by_id.get(id) if id else None
        if known is not None and not (numbered and call is None and name):
            same = not (name and known.name and name != known.name)
            return known if same else self._new_call()
        if call is None:
            return self._new_call() if id or name or not self._calls else self._calls[-1]
        if id and call.id:  # and they differ: a new call says its name, another id alone does not make one
            return self._new_call() if name or not numbered else call
        if name and call.name and (name != call.name or call.is_followed_by(arguments)):
            return self._new_call()
        return call

    def _new_call(self) -> Call:
        self._calls.append(Call(len(self._calls)))
        return self._calls[-1]
