"""What is said in a run: the messages, to be continued, and the text and reasoning of the round that is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import msgspec

from ..events import Event, Reasoning, Text
from .call import Call

Message = Mapping[str, Any]
Echo = Mapping[str, Any]


class Channel:
    """The text of all rounds, or their reasoning: with a blank line between two, whatever the service puts there."""

    def __init__(self) -> None:
        self._text = StringIO()
        self._tail = ""
        self._round_at = 0
        self._is_first = False
        self.size = 0

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def round_text(self) -> str:
        """What the last round brought."""
        return self.text[self._round_at :].lstrip("\n") if self._round_at else self.text

    def begin_round(self) -> None:
        self._round_at = self.size
        self._is_first = self.size > 0

    def add(self, piece: str) -> str:
        """Takes a piece, and returns it as the reader gets it."""
        if self._is_first:
            breaks = len(self._tail) - len(self._tail.rstrip("\n")) + len(piece) - len(piece.lstrip("\n"))
            piece = "\n" * (2 - breaks) + piece
            self._is_first = False
        self._text.write(piece)
        self._tail = (self._tail + piece)[-2:]
        self.size += len(piece)
        return piece


class Exchange:
    """Begins with the messages that ask; every round with calls adds one of the assistant, and one for each result."""

    def __init__(self, messages: str | Sequence[Message]) -> None:
        self.messages: list[Message] = (
            [{"role": "user", "content": messages}] if isinstance(messages, str) else [*messages]
        )
        self.text, self.reasoning = Channel(), Channel()
        self.echoes: list[Echo | None] = []
        """What the service wants back of each round, also of a last one that left no message."""

    def fold(self, event: Event) -> Event:
        """Takes an event, and returns it as the reader gets it: a later round's text begins with a blank line."""
        if isinstance(event, Text):
            return Text(self.text.add(event.text), event.read)
        if isinstance(event, Reasoning):
            return Reasoning(self.reasoning.add(event.text), event.read)
        return event

    def hand_back(self, calls: Sequence[Call], echo: Echo | None = None) -> None:
        """The round's calls and their results, as a request carries them; the next round begins.

        `echo` is what the service wants back of the round besides (`Reply.echo`).
        """
        entries, results = [], []
        taken: set[str] = set()
        for call in calls:
            id = call.id if call.id and call.id not in taken else f"call_{call.round}_{call.number}"
            taken.add(id)
            function = {"name": call.name, "arguments": _valid(call)}
            entries.append({"id": id, "type": "function", "function": function})
            results.append({"role": "tool", "tool_call_id": id, "content": call.parts})
        said = self.text.round_text or None
        self._add({"role": "assistant", "content": said, "tool_calls": entries}, echo)
        self.messages += results
        self.text.begin_round()
        self.reasoning.begin_round()

    def conclude(self, echo: Echo | None = None) -> None:
        """What was said last."""
        if said := self.text.round_text:
            self._add({"role": "assistant", "content": said}, echo)
        else:
            self.echoes.append(echo)

    def _add(self, message: Message, echo: Echo | None) -> None:
        self.messages.append(message if echo is None else {**message, "echo": echo})
        self.echoes.append(echo)


def _valid(call: Call) -> str:
    """The arguments as a service takes them back: many parse them, and refuse the request where that fails."""
    try:
        is_object = isinstance(msgspec.json.decode(call.arguments), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        is_object = False
    return call.arguments if is_object else "{}"
