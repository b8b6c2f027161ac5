"""Why services say that an answer ended: their words, each by its kind, and what a reader is told. No I/O, no clock."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

Kind = Literal["stop", "length", "tool_calls", "filter", "failure", "pause", "unknown"]
"""`stop` and `tool_calls` are normal ends; of what is `unknown` the service's own word is shown."""

_NORMAL: Final = ""

# By the words as `_plain` makes them: Chat Completions, Messages' stop_reason, Responses' status and reason, and what
# gateways let through of others (Gemini, Bedrock, Cohere, TGI).
_ENDINGS: Final[dict[str, tuple[Kind, str]]] = {
    **dict.fromkeys(
        ("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed", "done", "end", "steered"),
        ("stop", _NORMAL),
    ),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use", "tool_call"), ("tool_calls", _NORMAL)),
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "max_completion_tokens", "model_length", "max_length"),
        ("length", "length limit reached"),
    ),
    **dict.fromkeys(
        ("model_context_window_exceeded", "context_length_exceeded", "error_limit"),
        ("length", "the model's context is full"),
    ),
    **dict.fromkeys(
        (
            "content_filter",
            "content_filtered",
            "safety",
            "image_safety",
            "sensitive",
            "blocklist",
            "prohibited_content",
        ),
        ("filter", "the service's filter ended it"),
    ),
    **dict.fromkeys(
        ("image_prohibited_content", "image_recitation", "model_armor", "error_toxic", "moderation"),
        ("filter", "the service's filter ended it"),
    ),
    "guardrail_intervened": ("filter", "the service's guardrail ended it"),
    "recitation": ("filter", "the service's filter ended it: it recited a text that is not free"),
    "spii": ("filter", "the service's filter ended it: personal data"),
    "language": ("filter", "the service's filter ended it: a language that it does not take"),
    "refusal": ("filter", "refused"),
    "insufficient_system_resource": ("failure", "the service ran out of resources"),
    "network_error": ("failure", "the service's own network failed"),
    **dict.fromkeys(("error", "failed", "engine_overloaded"), ("failure", "the service failed in the middle")),
    **dict.fromkeys(("timeout", "time_limit"), ("failure", "the service's time limit was reached")),
    **dict.fromkeys(("malformed_function_call", "malformed_tool_use"), ("failure", "the model wrote a malformed call")),
    **dict.fromkeys(
        ("malformed_response", "malformed_model_output"), ("failure", "the model wrote a malformed answer")
    ),
    "repetition": ("failure", "the model repeated itself"),
    "no_image": ("failure", "the model made no picture"),
    "unexpected_tool_call": ("failure", "the model called a tool that there is not"),
    "too_many_tool_calls": ("failure", "the model called too many tools"),
    "missing_thought_signature": ("failure", "the service missed a signature of an earlier round"),
    **dict.fromkeys(
        ("abort", "aborted", "cancelled", "canceled", "user_cancel"), ("failure", "the service broke it off")
    ),
    "incomplete": ("failure", "the service left it unfinished"),
    "max_messages": ("failure", "the service's limit on messages was reached"),
    "pause_turn": ("pause", "paused: send it back to go on"),
}

_NO_WORD: Final = frozenset({"", "null", "none", "finish_reason_unspecified"})
"""What some services send in every chunk, or where they have no word for the end."""

_OURS: Final = frozenset({"stopped", "interrupted", "truncated"})
"""What we call ends that no service said (`reply.OURS`)."""

_WORD_CHARACTERS: Final = 60


def word_in(said: Any) -> str:
    """A service's word for the end, on one printable line and not too long; "" where it says none."""
    if not isinstance(said, str) or _plain(said) in _NO_WORD:
        return ""
    word = "".join(each if each.isprintable() else "\ufffd" for each in said.strip()[: 2 * _WORD_CHARACTERS])
    return f"{word} by the service" if word in _OURS else word


def telling(word: str, behind: str) -> str:
    """The word that tells more: the one `behind` (`native_finish_reason`) where that alone says what failed."""
    is_vague = kind_of(word) in ("stop", "tool_calls", "failure", "unknown")
    return behind if is_vague and kind_of(behind) in ("length", "filter", "failure", "pause") else word


def kind_of(word: str) -> Kind:
    """What kind of end a service's word for it is."""
    return _ENDINGS.get(_plain(word), ("unknown", ""))[0]


def words_of(word: str) -> str:
    """What a reader is told of an end; "" for a normal one."""
    known = _ENDINGS.get(_plain(word))
    return known[1] if known is not None else f'ended by the service: "{word[:_WORD_CHARACTERS]}"'


def _plain(word: str) -> str:
    """However it is written: MAX_TOKENS, max-tokens, maxTokens, "max tokens"."""
    word = word.strip()
    if not word.isupper():
        word = _HUMP.sub("_", word)
    return word.lower().replace("-", "_").replace(" ", "_")


_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
