"""What the two descriptions of the WebSocket call things: tokens and calls as messages, in words A and B."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .answers import Call
from .chunks import in_order, parsed
from .faults import Faults


@dataclass(frozen=True)
class Vocabulary:
    """The types of the messages of one description, and whether usage has a message of its own."""

    text: str
    reasoning: str
    call: str
    usage_apart: bool


A = Vocabulary("content_block", "reasoning_block", "function_call", usage_apart=False)
"""Document 000's words; reasoning and usage, on which it is silent, named alike."""

B = Vocabulary("token", "reasoning", "tool_call", usage_apart=True)
"""Document 001's words."""


def token_message(words: Vocabulary, kind: str, token: str, faults: Faults) -> dict[str, Any]:
    """A token of text or reasoning."""
    message: dict[str, Any] = {"type": words.text if kind == "text" else words.reasoning}
    message["refusal" if kind == "text" and faults.refusal else "content"] = token
    if faults.usage == "null":
        message["usage"] = None
    return message


def blank_message(words: Vocabulary, shape: str) -> dict[str, Any]:
    """A message of text that has none."""
    if shape.startswith("no-"):
        return {"type": words.text}
    return {"type": words.text, "content": "" if shape == "empty" else None}


def call_messages(
    words: Vocabulary, calls: Sequence[Call], start: int, whole: bool, shape: str | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Tool calls, each message with the tokens it carries: first the name, then the arguments piece by piece.

    Indices begin at `start`; `whole` False is a round that a limit cut off, whose last call never completes.
    """
    columns = [
        list(_pieces(words, call, start + index, whole or call is not calls[-1], shape))
        for index, call in enumerate(calls)
    ]
    return iter(in_order(columns, shape))


def _pieces(
    words: Vocabulary, call: Call, index: int, completes: bool, shape: str | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    place = {} if shape == "no-index" else {"index": index + (shape == "index-1")}

    def message(id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
        named = {"function": {"name": name, "arguments": arguments}}
        payload = {"payload": {"tool": name, "arguments": arguments}}
        return {"type": words.call, "call_id": id, **place, **(named if words is A else payload)}

    if shape in ("whole", "object"):
        text = "".join(call.arguments)
        yield 1 + len(call.arguments), message(call.id, call.name, parsed(text) if shape == "object" else text)
        return
    id, name = {"empty-ids": ("", ""), "null-ids": (None, None)}.get(shape or "", (call.id, call.name))
    messages = [message(call.id, call.name, ""), *(message(id, name, piece) for piece in call.arguments)]
    for each in messages:
        yield 1, {**each, "status": "completed" if completes and each is messages[-1] else "in_progress"}


def ending(words: Vocabulary, finish: str | None, usage: dict[str, Any] | None, faults: Faults) -> list[dict[str, Any]]:
    """The last messages of a turn: `done`, with the usage in it or before it."""
    done: dict[str, Any] = {"type": "done"}
    if finish is not None:
        done["finish_reason"] = finish
    messages = [] if faults.no_done else [done]
    if usage is None or faults.usage == "none":
        return messages
    if words.usage_apart and faults.usage != "finish":
        return [usage_message(usage), *messages]
    done["usage"] = usage
    return messages


def usage_message(usage: dict[str, Any]) -> dict[str, Any]:
    """A report of usage by itself."""
    return {"type": "usage", "usage": usage}


def error_message(error: dict[str, Any], status: int, wait: str | None = None) -> dict[str, Any]:
    """The error that ends a turn; `error` is OpenAI's object, `status` and `wait` what HTTP would have said."""
    inner = error["error"]
    code = inner["code"] or inner["type"]
    told = {"type": inner["type"], "code": code, "message": inner["message"], "status": status}
    return {"type": "error", "error": told if wait is None else {**told, "retry_after": wait}}
