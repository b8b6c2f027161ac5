"""A text that matches a regular expression, written from the tree that Python's own parser makes of it."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from importlib import import_module
from typing import Any

_PARSER = import_module("re._parser")
_LETTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits + string.punctuation + " "
_CLASSES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_WORD": lambda letter: letter.isalnum() or letter == "_",
}


def matching(pattern: str, least: int, most: int | None, turn: int) -> str:
    """A text of `least` to `most` characters in which `pattern` is found; `turn` asks for different ones.

    Looks around and back at groups are not planned for, only hoped for: where no try fits, the last one comes.
    """
    try:
        tree = _PARSER.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return ""
    text = ""
    for more in range(200):
        text = _Writer(more, turn).written(tree)
        if not re.search(pattern, text):
            continue
        if len(text) < least and not pattern.endswith("$"):
            text += "a" * (least - len(text))
        if len(text) >= least and (most is None or len(text) <= most) and re.search(pattern, text):
            return text
    return text


class _Writer:
    """Writes one text; repetitions go `more` times round beyond their least, as long as they may."""

    def __init__(self, more: int, turn: int) -> None:
        self._more, self._turn = more, turn
        self._groups: dict[int, str] = {}

    def written(self, tree: Any) -> str:
        return "".join(self._part(str(name), value) for name, value in tree)

    def _part(self, name: str, value: Any) -> str:
        match name:
            case "LITERAL":
                return chr(value)
            case "NOT_LITERAL":
                return self._letter([("NEGATE", None), ("LITERAL", value)])
            case "ANY":
                return self._letter([("NEGATE", None)])
            case "IN":
                return self._letter([(str(kind), what) for kind, what in value])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                low, high, tree = value
                return "".join(self.written(tree) for _ in range(min(low + self._more, int(high))))
            case "BRANCH":
                return self.written(value[1][self._turn % len(value[1])])
            case "SUBPATTERN":
                group, *_, tree = value
                text = self.written(tree)
                self._groups[group] = text
                return text
            case "ATOMIC_GROUP":
                return self.written(value)
            case "GROUPREF":
                return self._groups.get(value, "")
        return ""  # anchors and looks around

    def _letter(self, wanted: list[tuple[str, Any]]) -> str:
        """A letter of a set, the `turn`-th of those that there are."""
        negated = wanted[0][0] == "NEGATE"
        extra = [chr(what[0] if kind == "RANGE" else what) for kind, what in wanted if kind in ("RANGE", "LITERAL")]
        fitting = [
            letter
            for letter in dict.fromkeys([*_LETTERS, *extra])
            if any(_is_in(letter, kind, what) for kind, what in wanted) != negated
        ]
        return fitting[self._turn % len(fitting)] if fitting else ""


def _is_in(letter: str, kind: str, what: Any) -> bool:
    match kind:
        case "LITERAL":
            return bool(ord(letter) == what)
        case "RANGE":
            return bool(what[0] <= ord(letter) <= what[1])
        case "CATEGORY":
            name = str(what)
            known = _CLASSES[name.replace("_NOT_", "_")](letter)
            return known != ("_NOT_" in name)
    return False
