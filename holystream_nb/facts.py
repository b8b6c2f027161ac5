"""What a service says beside its answer: who answered, of what the answer speaks, and how much of it was unreadable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from .errors import SetupError

Wire = Literal["chat", "messages", "responses"]
"""The format a service is spoken to in: OpenAI's Chat Completions, Anthropic's Messages, OpenAI's Responses."""

WIRES: Final[tuple[Wire, ...]] = get_args(Wire)


def wire_choice(text: str) -> Wire:
    """The text, if it names a format; SetupError names those there are."""
    if text not in WIRES:
        raise SetupError(f"There is no wire format {text!r}: choose one of {', '.join(WIRES)}.")
    return text


@dataclass(slots=True)
class Facts:
    """Gathered while an answer arrives; a `Reply` has them as fields.

    model: as the service names it, which may be a dated version of what was asked for.
    service_tier: as the service names it.
    detail: its own further word on the end: why it was incomplete, a category of refusal, the native finish reason.
    refusal: the text of a refusal; it is in the answer's text too.
    citations: sources that the answer names, as the service sends them, in its order.
    logprobs: an entry a token, as the service sends them.
    images: pictures in the answer, as data:, https: or http: addresses. Nothing loads them.
    timings: the engine's own figures (llama.cpp's `timings`, Groq's `x_groq`, Cerebras' `time_info`).
    unreadable: pieces that could not be read, and were left out.
    raw: the beginning of the answer's text, as sent, that is reasoning and no text (`<think>…</think>`), else "";
        a Reply's is the whole text with it.
    """

    model: str = ""
    service_tier: str = ""
    detail: str = ""
    refusal: str = ""
    citations: list[Mapping[str, Any]] = field(default_factory=list)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    timings: Mapping[str, Any] = field(default_factory=dict)
    unreadable: int = 0
    raw: str = ""
