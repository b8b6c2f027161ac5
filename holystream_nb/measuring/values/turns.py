"""Conversations that are asked turn by turn: each question waits for the answer before, and brings it along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ... import kinds
from ...errors import SetupError

_SHAREGPT: Final = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}
"""Who speaks in ShareGPT's files, and in those that were made after them."""

_SENT: Final = (
    *("role", "content", "name", "refusal", "reasoning_content"),
    *("tool_calls", "tool_call_id", "function_call", "echo"),
)
"""What a service is sent of a recorded message. Files keep more beside it, as WildChat the users' addresses, and
OpenAI's fine-tuning files weights, and OpenAI refuses fields that it does not know."""


class Turn(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="turn"):
    """A question of a conversation, as a prompt of a plan: those of one conversation stand one after another.

    number: from 0. system: what stands before the first.
    """

    text: str
    number: int
    system: str = ""


class Conversation:
    """A conversation as a prompt for `hs.bench`: `prompts=[hs.Conversation(["Hello", "And then?"])]`.

    turns: what the user says; or messages, of which it is those of the user, and the system's: the recorded answers
        are left out, since each model gives its own. Messages are OpenAI's, or ShareGPT's:
        `[hs.Conversation(each) for each in frame["conversations"]]`.
    system: what stands before the first turn.

    Each turn is a request with its own figures, `turn` in the trials (from 1), after the user's `pause`. A turn whose
    answer failed is left out of what is sent with the next one. Tools are not called. A conversation needs a closed
    loop.
    """

    def __init__(self, turns: Sequence[Any], *, system: str = "") -> None:
        said = [turns] if isinstance(turns, str) else kinds.unpacked(turns)
        if not isinstance(said, list | tuple) or not said:
            raise SetupError(f"The turns of a conversation are {kinds.kind(turns)}: give a list of texts or messages.")
        if all(isinstance(each, Mapping) for each in said):
            messages = kinds.messages([message_of(each) for each in kinds.plain(said)])
            system = system or "\n".join(_text(each) for each in messages if each["role"] in ("system", "developer"))
            said = [_text(each) for each in messages if each["role"] == "user"]
        texts = [kinds.text("A turn", each) for each in said]
        if not texts:
            raise SetupError("A conversation needs at least one message of the user's.")
        self.turns = tuple(Turn(text, number, "" if number else system) for number, text in enumerate(texts))

    def __repr__(self) -> str:
        return f"<Conversation of {len(self.turns)} turns>"


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if not isinstance(content, str):
        raise SetupError("A conversation is asked in texts: a message of parts cannot be one of its turns.")
    return content


def message_of(each: Mapping[str, Any]) -> dict[str, Any]:
    """A message of a file, also of ShareGPT's form. Columns have None where another row's message has a field."""
    if "role" not in each and isinstance(each.get("from"), str):
        speaker = each["from"].lower()
        return {"role": _SHAREGPT.get(speaker, speaker), "content": each.get("value") or ""}
    return {name: each[name] for name in _SENT if each.get(name) is not None}
