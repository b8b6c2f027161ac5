"""What services want back in the next request, and how they refuse one that lacks it: `echo=SERVICE`.

Their sentences are the services' own, but for those that say nothing and answer worse (Mistral, MiniMax).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from .faults import Faults
from .refusals import Refusal
from .signatures import is_ours, sign

SPELLINGS = {
    "deepseek": "reasoning_content",
    "kimi": "reasoning_content",
    "gemini": "hidden",
    "openrouter": "text",
    "mistral": "parts",
    "minimax": "think",
    "groq": "reasoning",
}
"""How each service spells its reasoning: a value of the fault `reasoning`, or hidden."""

_UNSIGNED = "skip_thought_signature_validator"
"""Gemini's word for a call that another model made."""

_GROQ_KNOWS = frozenset({"role", "content", "name", "tool_calls", "reasoning"})


def spelling(faults: Faults) -> str:
    """How the reasoning is spelt: a value of the fault `reasoning`, hidden, or "" where nothing was asked for."""
    return faults.reasoning or SPELLINGS.get(faults.echo or "", "")


def call_signature(name: str, arguments: str) -> str:
    """Gemini's signature of a call, whatever the white space of its arguments."""
    with suppress(msgspec.DecodeError):
        arguments = msgspec.json.encode(msgspec.json.decode(arguments), order="deterministic").decode()
    return sign(f"{name} {arguments}")


def check(service: str, messages: Sequence[Any]) -> None:
    """Refuse a history that this service would refuse; what was thought before the last question may lack."""
    users = [n for n, each in enumerate(messages) if isinstance(each, dict) and each.get("role") == "user"]
    for number, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "assistant":
            calls = message.get("tool_calls")
            is_earlier = bool(users) and number < users[-1]
            if is_earlier and service in ("openrouter", "mistral") and not message.get("reasoning_details"):
                continue
            complaint = _complaint(service, number, message, calls if isinstance(calls, list) else [])
            if complaint:
                raise Refusal(400, complaint, param=f"messages[{number}]")


def _complaint(service: str, number: int, message: Mapping[str, Any], calls: list[Any]) -> str:
    match service:
        case "deepseek" if not isinstance(message.get("reasoning_content"), str):
            return "The `reasoning_content` in the thinking mode must be passed back to the API."
        case "kimi" if calls and not message.get("reasoning_content"):
            return (
                f"thinking is enabled but reasoning_content is missing in assistant tool call message at index {number}"
            )
        case "gemini" if calls:
            return _gemini(calls[0])
        case "openrouter" if calls:
            return _openrouter(number, message.get("reasoning_details"))
        case "mistral" if calls and not _has_thinking_part(message.get("content")):
            return f"The simulator wants back the thinking part of messages[{number}]; Mistral's API says nothing."
        case "minimax" if not str(message.get("content", "")).startswith("<think>"):
            return f"The simulator wants back the <think> of messages[{number}]; MiniMax's API says nothing."
        case "groq":
            for name in message.keys() - _GROQ_KNOWS:
                where = f"messages.{number}"
                unsupported = f"('{where}' : property '{name}' is unsupported)"
                return f"'{where}' : for 'role:assistant' the following must be satisfied[{unsupported}]"
    return ""


def _gemini(call: Any) -> str:
    """The first call of a round has the signature."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return ""
    given: Any = call
    for name in ("extra_content", "google", "thought_signature"):
        given = given.get(name) if isinstance(given, dict) else None
    if not given:
        return (
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work "
            "correctly, and missing thought_signature may lead to degraded model performance. Additional data, "
            f"function call `default_api:{function.get('name')}`."
        )
    right = given in (_UNSIGNED, call_signature(str(function.get("name")), str(function.get("arguments"))))
    return "" if right else "Thought signature is not valid."


def _openrouter(number: int, details: Any) -> str:
    """The fragments are one detail again, with the text and its signature."""
    items = details if isinstance(details, list) else []
    if not items or not isinstance(items[0], dict):
        found = "Expected `thinking` or `redacted_thinking`, but found `tool_use`"
        return f"messages.{number}.content.0.type: {found}"
    for item in items:
        if item.get("type") == "reasoning.encrypted":
            right = is_ours(item.get("data"))
        else:
            right = item.get("signature") == sign(str(item.get("text", "")))
        if not right:
            return f"messages.{number}.content.0: Invalid `signature` in `thinking` block"
    return ""


def _has_thinking_part(content: Any) -> bool:
    parts = content if isinstance(content, list) else []
    return any(isinstance(part, dict) and part.get("type") == "thinking" and part.get("thinking") for part in parts)
