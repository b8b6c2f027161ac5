"""The leaves of services' JSON, whatever they send: text, counts, usage. No I/O, no clock."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from holystream_nb.errors import SetupError
from holystream_nb.events import Event, Reasoning, Text, Usage


def parse(text: str | bytes) -> Any:
    """Any JSON value, also what only Python's parser takes: NaN, raw control characters, half surrogate pairs.

    Raises ValueError or RecursionError.
    """
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return json.loads(text, strict=False)


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

    __slots__ = ("_halves",)

    def __init__(self) -> None:
        self._halves: dict[type[Text | Reasoning], str] = {}

    def __bool__(self) -> bool:
        """Whether half a pair waits for the other."""
        return bool(self._halves)

    def mended(self, events: list[Event]) -> list[Event]:
        """The events with well-formed text; a half that nothing joins becomes U+FFFD."""
        mended: list[Event] = []
        for event in events:
            if isinstance(event, Text | Reasoning):
                kind = type(event)
                text = self._halves.pop(kind, "") + event.text
                if "\ud800" <= text[-1] <= "\udbff":
                    self._halves[kind] = text[-1]
                    text = text[:-1]
                if text:
                    mended.append(kind(well_formed(text), event.read))
            else:
                fields = msgspec.structs.asdict(event).items()
                texts = {name: well_formed(value) for name, value in fields if isinstance(value, str)}
                mended.append(msgspec.structs.replace(event, **texts))
        return mended
