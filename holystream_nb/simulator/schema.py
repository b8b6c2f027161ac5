"""A value that fits a JSON schema: for tool calls and for answers in JSON."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

import msgspec

from .pattern import matching

_DEPTH = 6
_TERMS = {"anyOf", "oneOf", "allOf", "$ref"}
_FORMATS = {
    "date-time": "2026-01-{:02}T12:00:00Z",
    "date": "2026-01-{:02}",
    "time": "12:00:{:02}Z",
    "duration": "PT{}S",
    "email": "sheep{}@example.com",
    "hostname": "sheep{}.example.com",
    "ipv4": "192.0.2.{}",
    "ipv4network": "192.0.{}.0/24",
    "ipv4interface": "192.0.2.{}/24",
    "ipv6": "2001:db8::{}",
    "ipv6network": "2001:db8:{}::/48",
    "ipv6interface": "2001:db8::{}/48",
    "uri": "https://example.com/{}",
    "uuid": "00000000-0000-4000-8000-{:012}",
    "uuid1": "00000000-0000-1000-8000-{:012}",
    "uuid3": "00000000-0000-3000-8000-{:012}",
    "uuid4": "00000000-0000-4000-8000-{:012}",
    "uuid5": "00000000-0000-5000-8000-{:012}",
    "json-string": "{}",
    "regex": "sheep{}",
    "file-path": ".",
    "directory-path": ".",
}
"""Texts of each format, with the number of the text in it; pydantic's own formats too."""


_DESCRIBED = re.compile(r"(?:\A|\n\n)\{(.*)\}\Z", re.S)
_NAMED = re.compile(
    r"(?:\A|, )(minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf|minLength|maxLength|pattern"
    r"|minItems|maxItems|uniqueItems): "
)


def _described(description: Any) -> dict[str, Any]:
    """The rules in `{minimum: 3, pattern: ^a}` at the end of a description: Messages take no schema with them."""
    found = _DESCRIBED.search(description) if isinstance(description, str) else None
    _, *rules = _NAMED.split(found[1]) if found else [""]
    return {name: _read(text) for name, text in zip(rules[::2], rules[1::2], strict=True)}


def _read(text: str) -> Any:
    try:
        return msgspec.json.decode(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


def value_for(schema: dict[str, Any], prompt: str) -> Any:
    """A value for `schema`, with words and numbers taken from the prompt; the same prompt gives the same value.

    Knows types, enum, const, default, local $ref, anyOf and oneOf (the first that ends), allOf, the bounds of numbers,
    texts, arrays and objects, multipleOf, pattern, format, uniqueItems, prefixItems, patternProperties and
    propertyNames; also bounds and patterns that stand in a description alone, as Anthropic's SDK writes them there. A
    schema that refers to itself is followed to a depth of 6, or as far as it must be.
    """
    return _Writer(schema, prompt).value(schema, 0, 0)


class _Writer:
    """Writes values for the parts of one schema; `turn` makes those of one array differ."""

    def __init__(self, root: dict[str, Any], prompt: str) -> None:
        self._root = root
        self._words = re.findall(r"\w+", prompt)
        self._prompt = prompt

    def value(self, schema: Any, depth: int, turn: int) -> Any:
        if not isinstance(schema, dict) or (depth > _DEPTH and math.isinf(self._height(schema, ()))):
            return self._word(turn)
        schema = self._resolved(schema, depth)
        schema = {**_described(schema.get("description")), **schema}
        if "const" in schema:
            return schema["const"]
        values = schema.get("enum")
        if isinstance(values, list) and values:
            return self._mentioned(values, turn)
        if "default" in schema and not turn:
            return schema["default"]
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth, turn)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return self._number(schema, turn, whole=kind == "integer")
        if kind in ("boolean", "null"):
            return turn % 2 == 0 if kind == "boolean" else None
        return self._text(schema, turn)

    def _resolved(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """The schema with its references, alternatives and conjunctions put in the place of their names."""
        for _ in range(100):  # a reference may lead to itself and nothing else
            if not _TERMS & schema.keys():
                return schema
            own = {name: value for name, value in schema.items() if name not in _TERMS}
            parts = [self._target(schema["$ref"])] if isinstance(schema.get("$ref"), str) else []
            parts += schema["allOf"] if isinstance(schema.get("allOf"), list) else []
            for key in ("anyOf", "oneOf"):
                if isinstance(schema.get(key), list) and schema[key]:
                    parts.append(self._chosen(schema[key], depth))
            schema = _merged([*parts, own])
        return {}

    def _chosen(self, alternatives: list[Any], depth: int) -> Any:
        """The first alternative; in the depth the one that ends soonest."""
        if depth <= _DEPTH:
            return alternatives[0]
        return min(alternatives, key=lambda each: self._height(each, ()))

    def _height(self, schema: Any, above: tuple[str, ...]) -> float:
        """How deep the smallest value of a schema is; infinite where it has none that ends."""
        if not isinstance(schema, dict):
            return 0
        heights: list[float] = [0]
        reference = schema.get("$ref")
        if isinstance(reference, str):
            seen = reference in above
            heights.append(math.inf if seen else self._height(self._target(reference), (*above, reference)))
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                heights.append(min(self._height(each, above) for each in schema[key]))
        heights += [self._height(each, above) for each in schema.get("allOf") or []]
        properties = schema.get("properties") or {}
        heights += [1 + self._height(properties.get(name), above) for name in schema.get("required") or []]
        if schema.get("minItems"):
            heights.append(1 + self._height(schema.get("items"), above))
        return max(heights)

    def _target(self, reference: str) -> Any:
        found: Any = self._root
        for step in filter(None, reference.removeprefix("#").split("/")):
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _object(self, schema: dict[str, Any], depth: int, turn: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        names = list(required) if required else [] if depth > _DEPTH else list(properties)
        found = {name: self.value(properties.get(name), depth + 1, turn) for name in names}
        least = _count(schema, "minProperties", 0)
        others = schema.get("additionalProperties", True)
        keys, others = self._keys(schema, others)
        if not properties and isinstance(others, dict) and depth <= _DEPTH:
            least = max(least, min(1, _count(schema, "maxProperties", 1)))
        for number in range(10 * least):
            if len(found) >= least or others is False:
                break
            name = self.value(keys, depth + 1, number)
            found[str(name)] = self.value(others if isinstance(others, dict) else {}, depth + 1, number)
        return found

    @staticmethod
    def _keys(schema: dict[str, Any], others: Any) -> tuple[Any, Any]:
        """The schemas of the further names of an object, and of what stands under them."""
        patterns = schema.get("patternProperties")
        if isinstance(patterns, dict) and patterns:
            pattern, values = next(iter(patterns.items()))
            return {"type": "string", "pattern": pattern}, values
        return schema.get("propertyNames", {}), others

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        first = first if isinstance(first, list) else []
        least = _count(schema, "minItems", 0)
        usual = 0 if depth > _DEPTH else max(1, len(first))
        size = min(max(least, usual), _count(schema, "maxItems", max(least, usual)))
        items = [self.value(each, depth + 1, 0) for each in first[:size]]
        turn = 0
        while len(items) < size and turn < 10 * size:
            item = self.value(schema.get("items"), depth + 1, turn)
            turn += 1
            if item not in items or not schema.get("uniqueItems"):
                items.append(item)
        return items

    def _number(self, schema: dict[str, Any], turn: int, *, whole: bool) -> int | float:
        spoken = re.search(r"-?\d+(?:\.\d+)?", self._prompt)
        wanted = Fraction(spoken[0]) if spoken else Fraction(1)
        unit = _bound(schema, "multipleOf")
        if unit is None and not whole and not turn and _is_within(schema, wanted):
            return float(wanted)
        if whole:
            steps = [Fraction(unit.numerator) if unit else Fraction(1)]
        else:
            steps = [unit] if unit else [Fraction(1, 10**places) for places in range(20)]
        fitting = (_multiple(schema, wanted, step, turn) for step in steps)
        number = next((each for each in fitting if each is not None), wanted)
        return int(number) if whole else float(number)

    def _text(self, schema: dict[str, Any], turn: int) -> str:
        least, most = _count(schema, "minLength", 0), schema.get("maxLength")
        most = most if isinstance(most, int) else None
        pattern, form = schema.get("pattern"), schema.get("format")
        if isinstance(pattern, str):
            word = self._word(turn)
            fits = re.search(pattern, word) and least <= len(word) and (most is None or len(word) <= most)
            return word if fits else matching(pattern, least, most, turn)
        if isinstance(form, str) and form in _FORMATS:
            return _FORMATS[form].format(turn + 1)
        word = self._word(turn)
        while len(word) < least:
            word += word or "x"
        return word[: max(least, most)] if most is not None else word

    def _mentioned(self, values: list[Any], turn: int) -> Any:
        if turn:
            return values[turn % len(values)]
        text = self._prompt.lower()
        return next((value for value in values if isinstance(value, str) and value.lower() in text), values[0])

    def _word(self, turn: int) -> str:
        """The first capitalised word after the first one (often a name), else the last word; then the others."""
        words = self._words
        if turn:
            return f"{words[turn % len(words)]}{turn}" if words else f"sheep{turn}"
        return next((word for word in words[1:] if word[0].isupper()), words[-1] if words else "sheep")


def _merged(schemas: list[Any]) -> dict[str, Any]:
    """One schema that says what all of these say, where they speak of different things."""
    whole: dict[str, Any] = {}
    for schema in schemas:
        if isinstance(schema, dict):
            properties = {**whole.get("properties", {}), **(schema.get("properties") or {})}
            required = [*whole.get("required", []), *(schema.get("required") or [])]
            whole |= schema
            whole |= {"properties": properties} if properties else {}
            whole |= {"required": list(dict.fromkeys(required))} if required else {}
    return whole


def _count(schema: dict[str, Any], name: str, otherwise: int) -> int:
    value = schema.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _bound(schema: dict[str, Any], name: str) -> Fraction | None:
    value = schema.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return Fraction(str(value))


def _is_within(schema: dict[str, Any], number: Fraction) -> bool:
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    over, under = _bound(schema, "exclusiveMinimum"), _bound(schema, "exclusiveMaximum")
    return not (
        (low is not None and number < low)
        or (high is not None and number > high)
        or (over is not None and number <= over)
        or (under is not None and number >= under)
    )


def _multiple(schema: dict[str, Any], wanted: Fraction, step: Fraction, turn: int) -> Fraction | None:
    """The multiple of `step` within the bounds that is next to `wanted`, or the `turn`-th after it, round and round."""
    low, high = _bound(schema, "minimum"), _bound(schema, "maximum")
    over, under = _bound(schema, "exclusiveMinimum"), _bound(schema, "exclusiveMaximum")
    least = [math.ceil(low / step)] if low is not None else []
    least += [math.floor(over / step) + 1] if over is not None else []
    most = [math.floor(high / step)] if high is not None else []
    most += [math.ceil(under / step) - 1] if under is not None else []
    factor = math.floor(wanted / step)
    first = max(least) if least else None
    last = min(most) if most else None
    if first is not None and last is not None:
        if first > last:
            return None
        factor = min(max(factor, first), last)
        return (first + (factor + turn - first) % (last - first + 1)) * step
    if last is not None:
        return (min(factor, last) - turn) * step
    return (max(factor, first) if first is not None else factor) * step + turn * step
