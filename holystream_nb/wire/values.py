"""The leaves of services' JSON, whatever they send: text, counts, usage. No I/O, no clock."""

from __future__ import annotations

import json
import math
from decimal import Decimal, localcontext
from numbers import Integral, Real
from typing import Any, Final

import msgspec

from holystream_nb.errors import SetupError
from holystream_nb.events import Event, Reasoning, Text, Usage

_MOST_USD: Final = 10**6
"""No request costs as much: what says so is no amount in USD."""

_MOST: Final = 10**18
"""No count of anything is as high."""

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


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is more than a number can be")
    return number


MODEL_JSON: Final = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite, strict=False)
"""What decodes it, to any depth that Python's stack allows; models write line ends in texts as they are."""


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
        return msgspec.json.encode(tree, enc_hook=_plain)
    except UnicodeEncodeError:
        raise SetupError("The prompt holds half a character (a lone surrogate), which cannot be sent.") from None
    except TypeError as exc:
        raise SetupError(f"The request cannot be written as JSON: {exc}.") from exc


def _plain(value: Any) -> Any:
    """numpy's numbers are numbers."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


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
    """A number of something; some services write 12.0 for 12."""
    if type(value) is float and value.is_integer() and value < _MOST:
        value = int(value)
    return value if type(value) is int and 0 <= value < _MOST else None


def _detail(tree: dict[str, Any], details: str, name: str) -> int | None:
    found = count(_part(tree, details).get(name))
    return count(tree.get(name)) if found is None else found


def _part(tree: dict[str, Any], name: str) -> dict[str, Any]:
    part = tree.get(name)
    return part if isinstance(part, dict) else {}


def usage_of(tree: Any, read: int) -> Usage | None:
    """The usage in an object of Chat Completions' shape; None if it holds neither a count nor a cost.

    What services leave out is put in: output is all that the total has beyond the input. Reasoning counted beside
    `completion_tokens` (xAI) is known by its own number; what no number names is `other_tokens` (Gemini's thinking).
    """
    if not isinstance(tree, dict):
        return None
    prompt, completion = count(tree.get("prompt_tokens")), count(tree.get("completion_tokens"))
    total = count(tree.get("total_tokens"))
    reasoning = _detail(tree, "completion_tokens_details", "reasoning_tokens")
    cached = _detail(tree, "prompt_tokens_details", "cached_tokens")
    if cached is None:
        cached = count(tree.get("prompt_cache_hit_tokens"))
    asked, answered = _part(tree, "prompt_tokens_details"), _part(tree, "completion_tokens_details")
    found = (_detail(tree, "prompt_tokens_details", name) for name in _WRITTEN)
    written = next((each for each in found if each is not None), None)
    by_age = _part(asked, "cache_creation_token_details") or _part(asked, "cache_creation")
    cost = cost_of(tree)
    if all(found is None for found in (prompt, completion, total, reasoning, cached, written, cost)):
        return None
    completion, other = output_of(prompt, completion, total, reasoning)
    return Usage(
        prompt,
        completion,
        total,
        reasoning,
        cached,
        True,
        read,
        cache_write_tokens=written,
        other_tokens=other,
        cost=cost,
        cache_write_1h_tokens=count(by_age.get("ephemeral_1h_input_tokens")),
        prompt_audio_tokens=count(asked.get("audio_tokens")),
        completion_audio_tokens=count(answered.get("audio_tokens")),
        web_searches=count(_part(tree, "server_tool_use").get("web_search_requests", tree.get("num_search_queries"))),
    )


_WRITTEN: Final = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
"""Tokens that were written to a cache: OpenRouter's and Responses' word, LiteLLM's, and Qwen's."""


def output_of(
    prompt: int | None, completion: int | None, total: int | None, reasoning: int | None
) -> tuple[int | None, int | None]:
    """All output that is billed, and the part of it that no count names; None is unknown, or nothing of the kind."""
    if prompt is None or total is None:
        return completion, None
    if completion is None:
        return max(0, total - prompt), None
    gap = total - prompt - completion
    if gap <= 0:
        return completion, None
    is_beside = reasoning is not None and (reasoning == gap or completion < reasoning < gap)
    return completion + gap, (gap - (reasoning or 0) if is_beside else gap) or None


def cost_of(usage: dict[str, Any]) -> Decimal | None:
    """What a service says that a request cost, in USD; None where it says nothing.

    `cost` is OpenRouter's, and Perplexity's, which has a `total_cost` in it; `estimated_cost` is DeepInfra's, and
    `cost_in_usd_ticks`, of which 10^10 are a dollar, xAI's. With a key of one's own behind OpenRouter (`is_byok`) its
    cost is the fee alone, and what that key pays stands beside it.
    """
    ticks = count(usage.get("cost_in_usd_ticks"))
    if ticks is not None and ticks < _MOST_USD * 10**10:
        return Decimal(f"{ticks}e-10")
    said = usage.get("cost")
    said = said.get("total_cost") if isinstance(said, dict) else said
    found = next((each for each in map(_amount, (said, usage.get("estimated_cost"))) if each is not None), None)
    if found is not None and usage.get("is_byok") is True:
        with localcontext(prec=60):  # the caller's own decimal context must not round money
            found += _amount(_part(usage, "cost_details").get("upstream_inference_cost")) or 0
    return found


def _amount(value: Any) -> Decimal | None:
    if type(value) not in (int, float) or not 0 <= value < _MOST_USD:
        return None
    return Decimal(str(value))


def well_formed(text: str) -> str:
    """The text with its surrogate pairs joined, and a half one replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


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
