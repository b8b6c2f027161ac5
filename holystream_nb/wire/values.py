"""The leaves of services' JSON, whatever they send: text, counts, usage. No I/O, no clock."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from holystream_nb.errors import SetupError
from holystream_nb.events import Event, Reasoning, Text, Usage

MOST_LEVELS: Final = 100


def parse(text: str | bytes) -> Any:
    """Any JSON value, also what only Python's parser takes: NaN, raw control characters, half surrogate pairs.

    Raises ValueError or RecursionError.
    """
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return json.loads(text, strict=False)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


MODEL_JSON: Final = json.JSONDecoder(parse_constant=_no_number)
"""What decodes it, to any depth that Python's stack allows."""


def model_json(text: str) -> Any:
    """The JSON that a model wrote.

    Raises ValueError where it is none: also for NaN and Infinity, and for more than 100 levels of lists and objects.
    """
    try:
        tree = MODEL_JSON.decode(text)
    except RecursionError:
        tree = None
        is_deep = True
    else:
        is_deep = not is_shallow(tree)
    if is_deep:
        raise ValueError(f"it has more than {MOST_LEVELS} levels")
    return tree


def is_shallow(tree: Any) -> bool:
    """Whether there are no more than 100 levels of lists and objects: whatever takes JSON can take it."""
    level = [tree]
    for _ in range(MOST_LEVELS):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [child for children in inner for child in children]
        if not level:
            return True
    return not any(isinstance(each, dict | list) for each in level)


def encoded(tree: Any) -> bytes:
    """What is to be sent, as JSON; SetupError for what JSON cannot hold."""
    try:
        return msgspec.json.encode(tree)
    except UnicodeEncodeError:
        raise SetupError("The prompt holds half a character (a lone surrogate), which cannot be sent.") from None
    except TypeError as exc:
        raise SetupError(f"The request cannot be written as JSON: {exc}.") from exc


def flat(value: Any) -> str:
    """The text in a string, a part, or a list of either."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(flat, value))
    if isinstance(value, dict):
        for name in ("text", "thinking", "reasoning", "summary", "refusal", "content"):
            text = flat(value.get(name))
            if text:
                return text
    return ""


def string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _detail(tree: dict[str, Any], details: str, name: str) -> int | None:
    part = tree.get(details)
    found = count(part.get(name)) if isinstance(part, dict) else None
    return count(tree.get(name)) if found is None else found


def usage_of(tree: Any, read: int) -> Usage | None:
    """The usage in an object; None if it holds no count.

    Some services (xAI) count reasoning beside `completion_tokens` and not within: their total tells, and it is added.
    """
    if not isinstance(tree, dict):
        return None
    prompt, completion = count(tree.get("prompt_tokens")), count(tree.get("completion_tokens"))
    total = count(tree.get("total_tokens"))
    reasoning = _detail(tree, "completion_tokens_details", "reasoning_tokens")
    cached = _detail(tree, "prompt_tokens_details", "cached_tokens")
    if cached is None:
        cached = count(tree.get("prompt_cache_hit_tokens"))
    if prompt is None and completion is None and total is None and reasoning is None and cached is None:
        return None
    if reasoning and prompt is not None and completion is not None and total == prompt + completion + reasoning:
        completion += reasoning
    return Usage(prompt, completion, total, reasoning, cached, True, read)


def well_formed(text: str) -> str:
    """The text with its surrogate pairs joined, and a half one replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Halves:
    """Surrogate pairs that a service cut in two, one half in each of two events: joined here."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[type[Text | Reasoning], str] = {}
        """Halves that wait for the other."""

    def __bool__(self) -> bool:
        """Whether half a pair waits for the other."""
        return bool(self.waiting)

    def mended(self, events: list[Event]) -> list[Event]:
        """The events with well-formed text; a half that nothing joins becomes U+FFFD."""
        mended: list[Event] = []
        for event in events:
            if isinstance(event, Text | Reasoning):
                kind = type(event)
                text = self.waiting.pop(kind, "") + event.text
                if "\ud800" <= text[-1] <= "\udbff":
                    self.waiting[kind] = text[-1]
                    text = text[:-1]
                if text:
                    mended.append(kind(well_formed(text), event.read))
            else:
                fields = msgspec.structs.asdict(event).items()
                texts = {name: well_formed(value) for name, value in fields if isinstance(value, str)}
                mended.append(msgspec.structs.replace(event, **texts))
        return mended
