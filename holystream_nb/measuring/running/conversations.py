"""What was said in the conversations of a worker, so that the next turn of each can bring it along."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...reply import Reply
from ..values.plan import Plan
from ..values.schedule import Slot

_Key = tuple[int, int, int, int]


class Conversations:
    """Of each conversation that has begun and not ended, by model, first turn, repeat and way: the number of its next
    turn, and the messages before that.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._said: dict[_Key, tuple[int, list[dict[str, Any]]]] = {}

    def messages(self, slot: Slot, repeat: int | str) -> list[dict[str, Any]]:
        """What is sent for a slot: of a conversation all that was said, and the next turn. A label as `repeat` is a
        warm-up's, which is in no conversation.
        """
        new = self._plan.messages(slot.prompt, repeat, slot.way, self._plan.models[slot.model])
        if not self._plan.number(slot.prompt) or not isinstance(repeat, int):
            return new
        _, said = self._said.get(self._key(slot, repeat), (0, []))
        return [*said, *new]

    def remember(
        self, slot: Slot, repeat: int | str, messages: list[dict[str, Any]], reply: Reply, *, failed: bool
    ) -> None:
        """What goes on: the messages and their answer; where that failed, what was there before them."""
        number = self._plan.number(slot.prompt)
        if number is None or not isinstance(repeat, int):
            return
        key = self._key(slot, repeat)
        if slot.prompt + 1 == len(self._plan.prompts) or not self._plan.number(slot.prompt + 1):
            self._said.pop(key, None)
        elif not failed and reply.text:
            answer = {"role": "assistant", "content": reply.text}
            self._said[key] = number + 1, [*messages, {**answer, "echo": reply.echo} if reply.echo else answer]
        else:
            # The first turn's system message stays; its question goes, as every other that was not answered.
            self._said[key] = number + 1, messages[:-1]

    def forgotten(self, slot: Slot) -> list[Slot]:
        """The turns before a slot's that have to be asked again, since nobody here knows their answers."""
        number = self._plan.number(slot.prompt)
        if not number:
            return []
        key = self._key(slot, slot.repeat)
        following, _ = self._said.get(key, (0, []))
        if following > number:
            del self._said[key]
            following = 0
        return [replace(slot, prompt=slot.prompt - number + turn) for turn in range(following, number)]

    def _key(self, slot: Slot, repeat: int) -> _Key:
        return slot.model, slot.prompt - (self._plan.number(slot.prompt) or 0), repeat, slot.way
