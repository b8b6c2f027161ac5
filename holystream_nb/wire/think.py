"""Reasoning that stands in tags at the start of an answer's text, as local models write it. No I/O, no clock.

    think = Think()
    events = think.take(events)   # while `think.is_open`
    events = think.close()        # at the end of the answer

`<think>` (DeepSeek R1, Qwen, GLM, MiniMax, …), `<thinking>`, `<thought>` (Gemini), `<seed:think>`, `◁think▷` (Kimi),
`[THINK]` (Mistral) and their like count only before anything else is said, also several times: later they are text.
An end tag with nothing before it is none either: its beginning, and what was thought, went elsewhere. One with text
before it has come where a template began the reasoning for the model: `parted` parts the two once all has come, as the
text has been shown as the answer until then.
"""

from __future__ import annotations

import re
from typing import Final

from holystream_nb.events import Event, Finish, Reasoning, Text, ToolCallPart, Usage

_TAGS: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "◁think▷": "◁/think▷",
    "[THINK]": "[/THINK]",
}
END_TAG: Final = "</think>"
_ALONE: Final = re.compile(rf"\n[ \t]*{END_TAG}[ \t]*(?:\n\s*|$)")
_FENCE: Final = re.compile(r"^ *```", re.MULTILINE)
_MARKS: Final = (*_TAGS, *_TAGS.values())
_PARAGRAPH: Final = "\n\n"
_SPACE: Final = 200
"""Characters of space before a tag: an answer of nothing else is not held back for long."""


class Think:
    """The state of one answer. `is_open` says that more events are to be taken: after the reasoning none need be.

    `sent` is the answer's beginning as it was sent, as far as it is not in the text: tags, reasoning, space around it.
    An answer without tags comes out event by event as it came, its first ones a little later. Tags around nothing but
    space are no reasoning.
    """

    __slots__ = ("_begun", "_end", "_gap", "_has_spoken", "_held", "_is_inside", "_read", "_sent", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        self._begun: list[Text] = []  # what may be the beginning of a tag
        self._end = ""  # the tag that ends the reasoning, once it has begun
        self._is_inside = False
        self._has_spoken = False  # the reasoning in these tags has more than space
        self._gap = ""  # what stands between it and the reasoning before it
        self._held = ""  # what may be the beginning of that tag
        self._read = 0
        self._sent: list[str] = []

    @property
    def sent(self) -> str:
        return "".join(self._sent)

    def moved(self, sent: str) -> None:
        """More of the answer's beginning, as it was sent, that is no text after all."""
        self._sent.append(sent)

    def take(self, events: list[Event]) -> list[Event]:
        """The events, with the reasoning in tags as reasoning."""
        taken: list[Event] = []
        for event in events:
            if not self.is_open:
                taken.append(event)
            elif isinstance(event, Text):
                self._read = event.read
                if self._is_inside:
                    self._reason(event.text, taken)
                elif self._end and not self._begun:
                    self._answer(event.text, taken)
                else:
                    self._begin(event, taken)
            else:
                if isinstance(event, Finish | ToolCallPart):
                    taken += self.close()
                elif not isinstance(event, Usage):
                    taken += self._begun
                    self._begun = []
                taken.append(event)
        return taken

    def close(self) -> list[Event]:
        """What was held back: nothing more is to be taken."""
        closed: list[Event] = [*self._begun]
        if self._held:
            self._sent.append(self._held)
            closed.append(Reasoning(self._held, self._read))
        self._begun, self._held, self.is_open = [], "", False
        return closed

    def _begin(self, event: Text, taken: list[Event]) -> None:
        self._begun.append(event)
        text = "".join(each.text for each in self._begun)
        start = text.lstrip()
        if len(text) - len(start) > _SPACE or not any(_begins(start, mark) for mark in _MARKS):
            taken += self.close()
            return
        for mark in _MARKS:
            if start.startswith(mark):
                rest = start[len(mark) :]
                self._begun, self._end = [], _TAGS.get(mark, mark)
                self._is_inside, self._has_spoken = mark in _TAGS, False
                self._sent.append(text[: len(text) - len(rest)])
                (self._reason if self._is_inside else self._answer)(rest, taken)
                return

    def _reason(self, piece: str, taken: list[Event]) -> None:
        text = self._held + piece
        reasoning, tag, rest = text.partition(self._end)
        if not tag:
            held = next(n for n in range(len(self._end) - 1, -1, -1) if text.endswith(self._end[:n]))
            reasoning = text[: len(text) - held]
        self._held = text[len(reasoning) :] if not tag else ""
        self._sent.append(reasoning + tag)
        if not self._has_spoken:
            reasoning = reasoning.lstrip()
        if reasoning:
            taken.append(Reasoning(reasoning if self._has_spoken else self._gap + reasoning, self._read))
            self._has_spoken, self._gap = True, _PARAGRAPH
        if tag:
            self._is_inside = False
            self._answer(rest, taken)

    def _answer(self, text: str, taken: list[Event]) -> None:
        """What follows the reasoning, without the space before it: more of it, or the answer."""
        answer = text.lstrip()
        self._sent.append(text[: len(text) - len(answer)])
        if answer:
            self._begin(Text(answer, self._read), taken)


def parted(text: str) -> tuple[str, str, str] | None:
    """Reasoning that only an end tag marks, all of that as it was sent, and the answer behind it; None where none does.

    The tag stands on a line of its own, in no code, and no other tag before it.
    """
    if END_TAG not in text or (found := _ALONE.search(text)) is None:
        return None
    reasoning = text[: found.start()]
    is_text = not reasoning.strip() or any(mark in reasoning for mark in _MARKS) or len(_FENCE.findall(reasoning)) % 2
    return None if is_text else (reasoning, text[: found.end()], text[found.end() :])


def _begins(text: str, mark: str) -> bool:
    """Whether a text begins with the mark, as far as it goes."""
    return text.startswith(mark) or mark.startswith(text)
