"""A value that fits a JSON schema: for tool calls and for answers in JSON."""

from __future__ import annotations

import re
from typing import Any

_DEPTH = 6


def value_for(schema: dict[str, Any], prompt: str) -> Any:
    """A value for `schema`, with words and numbers taken from the prompt; the same prompt gives the same value.

    Knows type, properties, required, items, enum, const, default, anyOf/oneOf/allOf (the first) and local $ref, to a
    depth of 6; what it does not know becomes a word of the prompt.
    """
    return _value(schema, schema, prompt, 0)


def _value(schema: Any, root: dict[str, Any], prompt: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH:
        return _word(prompt)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return _mentioned(schema["enum"], prompt)
    if isinstance(schema.get("$ref"), str):
        return _value(_target(schema["$ref"], root), root, prompt, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return _value(schema[key][0], root, prompt, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        names = schema.get("required") or list(properties)
        return {name: _value(properties.get(name), root, prompt, depth + 1) for name in names}
    if kind == "array":
        return [_value(schema.get("items"), root, prompt, depth + 1)]
    if kind in ("integer", "number"):
        return _number(prompt, whole=kind == "integer")
    return {"boolean": True, "null": None}.get(str(kind), _word(prompt))


def _target(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _mentioned(values: list[Any], prompt: str) -> Any:
    return next((value for value in values if isinstance(value, str) and value.lower() in prompt.lower()), values[0])


def _number(prompt: str, *, whole: bool) -> int | float:
    found = re.search(r"-?\d+(?:\.\d+)?", prompt)
    number = float(found[0]) if found else 1.0
    return int(number) if whole else number


def _word(prompt: str) -> str:
    """The first capitalised word after the first one (often a name), else the last word."""
    words = re.findall(r"\w+", prompt)
    return next((word for word in words[1:] if word[0].isupper()), words[-1] if words else "sheep")
