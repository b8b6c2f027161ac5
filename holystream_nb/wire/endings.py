"""Why services say that an answer ended: their words, each by its kind, and what a reader is told. No I/O, no clock."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["stop", "length", "tool_calls", "filter", "failure", "pause", "unknown"]
"""`stop` and `tool_calls` are normal ends; of what is `unknown` the service's own word is shown."""

_NORMAL: Final = ""

# By the words in small letters: Chat Completions, Messages' stop_reason, Responses' status and incomplete_details, and
# what gateways let through of others (Gemini, Bedrock, Cohere, TGI).
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
    "model_context_window_exceeded": ("length", "the model's context is full"),
    **dict.fromkeys(
        ("content_filter", "content_filtered", "safety", "image_safety", "sensitive", "blocklist"),
        ("filter", "the service's filter ended it"),
    ),
    "prohibited_content": ("filter", "the service's filter ended it"),
    "guardrail_intervened": ("filter", "the service's guardrail ended it"),
    "recitation": ("filter", "the service's filter ended it: it recited a text that is not free"),
    "spii": ("filter", "the service's filter ended it: personal data"),
    "language": ("filter", "the service's filter ended it: a language that it does not take"),
    "refusal": ("filter", "refused"),
    "insufficient_system_resource": ("failure", "the service ran out of resources"),
    "network_error": ("failure", "the service's own network failed"),
    **dict.fromkeys(("error", "failed", "engine_overloaded"), ("failure", "the service failed in the middle")),
    **dict.fromkeys(("timeout", "time_limit"), ("failure", "the service's time limit was reached")),
    "malformed_function_call": ("failure", "the model wrote a malformed call"),
    "unexpected_tool_call": ("failure", "the model called a tool that there is not"),
    "too_many_tool_calls": ("failure", "the model called too many tools"),
    "missing_thought_signature": ("failure", "the service missed a signature of an earlier round"),
    **dict.fromkeys(("abort", "cancelled", "canceled"), ("failure", "the service broke it off")),
    "incomplete": ("failure", "the service left it unfinished"),
    "max_messages": ("failure", "the service's limit on messages was reached"),
    "pause_turn": ("pause", "paused: send it back to go on"),
}

_WORD_CHARACTERS: Final = 60


def kind_of(word: str) -> Kind:
    """What kind of end a service's word for it is."""
    return _ENDINGS.get(word.lower(), ("unknown", ""))[0]


def words_of(word: str) -> str:
    """What a reader is told of an end; "" for a normal one."""
    known = _ENDINGS.get(word.lower())
    return known[1] if known is not None else f'ended by the service: "{word[:_WORD_CHARACTERS]}"'
