"""The JSON in an answer, as models write it: alone, fenced, or behind a sentence."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from ..wire.values import MODEL_JSON, MOST_LEVELS, is_shallow, model_json

_OPENING: Final = re.compile(r"[{\[]\s*")
_OPENINGS: Final = 1_000
"""Braces and brackets of the text around it that are looked at."""

_THOUGHT: Final = "</think>"


def json_in(text: str) -> Any:
    """The one value in it; ValueError says in a few words why there is none.

    A value stands alone, or in the only fence (the only one that says `json`, where any does); else one object, or one
    list of objects, stands in other words. Reasoning that ends with a tag is not looked into.
    """
    text = text.strip()
    if not text:
        raise ValueError("it is empty")
    try:
        return model_json(text)
    except ValueError as exc:
        flaw = exc
    if _THOUGHT in text:
        return json_in(text.rpartition(_THOUGHT)[2])
    fenced = _fenced(text)
    named = [block for info, block in fenced if info.startswith("json")]
    blocks = named or [block for _, block in fenced]
    if len(blocks) == 1:
        return model_json(blocks[0])
    found = [value for value in _values(text) if isinstance(value, dict) or _is_of_objects(value)]
    if len(found) > 1:
        raise ValueError("there are several objects in it")
    if not found:
        raise flaw
    if not is_shallow(found[0]):
        raise ValueError(f"it has more than {MOST_LEVELS} levels")
    return found[0]


def _fenced(text: str) -> list[tuple[str, str]]:
    """What stands between fences, each on a line of its own, with the word beside the first one."""
    blocks: list[tuple[str, str]] = []
    info = ""
    block: list[str] | None = None
    for line in text.split("\n"):
        mark = line.strip()
        if block is None:
            info, block = (mark.strip("` ").lower(), []) if mark.startswith("```") else ("", None)
        elif mark == "```":
            blocks.append((info, "\n".join(block)))
            block = None
        else:
            block.append(line)
    return blocks


def _values(text: str) -> list[Any]:
    """The objects and lists in a text; a brace or bracket that no JSON follows is the text's own.

    Raises ValueError for one that begins like JSON and is none: what is inside of it was not meant alone.
    """
    found: list[Any] = []
    at = 0
    for _ in range(_OPENINGS):
        opening = _OPENING.search(text, at)
        if opening is None:
            break
        try:
            value, at = MODEL_JSON.raw_decode(text, opening.start())
        except json.JSONDecodeError as exc:
            if exc.pos > opening.end():
                raise
            at = opening.start() + 1
        except RecursionError:
            raise ValueError(f"it has more than {MOST_LEVELS} levels") from None
        else:
            found.append(value)
    return found


def _is_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
