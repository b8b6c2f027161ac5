"""What is repeated of answers that are forgotten: by later questions of a conversation, and by what is kept of it.

A mark takes the place of what was asked and answered, so that the conversation goes on without it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .reading import Contents, content_of
from .tables import compact, message_id

FORGOTTEN: Final = "[forgotten]"

Message = Mapping[str, Any]


class Repeated:
    """Gathers answers of conversations that are to be forgotten, then marks what repeats them."""

    def __init__(self) -> None:
        self._answers: dict[str, list[tuple[Sequence[Message], str]]] = defaultdict(list)
        self._lanes: dict[str, set[str]] = defaultdict(set)
        self.marks = 0

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def gather(self, connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> bool:
        """Those of one file for which the condition holds; whether there are any."""
        contents = Contents(connection)
        chosen = f"SELECT id, asked FROM answers WHERE conversation <> '' AND {where}"  # noqa: S608
        found = connection.execute(chosen, values).fetchall()
        for name, count in found:
            answer = contents.answer(name)
            asked = answer.messages[len(answer.messages) - count :]
            if asked:
                self._answers[_key(asked[-1])].append((asked, answer.text.strip()))
            self._lanes[answer.group].add(answer.label)
        return bool(found)

    def mark(self, connection: sqlite3.Connection) -> bool:
        """Marks them in one file, in the answers and conversations that stay; whether there was anything."""
        contents, before = Contents(connection), connection.total_changes
        for name, ids, asked in connection.execute("SELECT id, messages, asked FROM answers").fetchall():
            if ids.count(",") < asked:
                continue  # nothing before it
            messages = [contents.parsed(number) for number in json.loads(ids)]
            if (marked := self._marked(messages)) != messages:
                changed = compact([message_id(connection, compact(each)) for each in marked])
                connection.execute("UPDATE answers SET messages = ? WHERE id = ?", [changed, name])
        for number, text in connection.execute("SELECT rowid, state FROM conversations").fetchall():
            if (state := self._of_state(text)) != text:
                connection.execute("UPDATE conversations SET state = ? WHERE rowid = ?", [state, number])
        marks = connection.total_changes - before
        self.marks += marks
        return marks > 0

    def _marked(self, messages: Sequence[Message]) -> list[Message]:
        """A conversation's messages, as many as before."""
        found = list(messages)
        for number, message in enumerate(messages):
            end = number + 1
            while end < len(messages) and messages[end].get("role") != "user":
                end += 1
            for asked, text in self._answers.get(_key(message), ()):
                if end > number + 1 and all(_is_of(text, each) for each in messages[number + 1 : end]):
                    begin = number
                    while begin and messages[begin - 1].get("role") == "user" and messages[begin - 1] in asked:
                        begin -= 1
                    found[begin:end] = map(_mark, messages[begin:end])
        return found

    def _of_state(self, text: str) -> str:
        """A kept conversation: of `--chat` its messages (`conversations`), of a panel its turns (`chat.kept`)."""
        try:
            state = json.loads(text)
            if "panel" in state:
                for turn in state["panel"]["turns"]:
                    self._mark_turn(turn)
            else:
                state["messages"] = self._marked(state["messages"])
            return compact(state)
        except (ValueError, TypeError, KeyError, AttributeError):
            return text  # none of ours

    def _mark_turn(self, turn: dict[str, Any]) -> None:
        """A panel's turn; its question goes with the last answer to it."""
        if not (gone := self._lanes.get(turn["id"])):
            return
        for answer in turn["answers"]:
            if answer["label"] in gone:
                kept = {name: answer[name] for name in ("label", "provider", "note", "model", "state")}
                answer.clear()
                answer.update(kept, text=FORGOTTEN)
        before = {answer["label"] for answer in turn["answers"] if answer["text"] == FORGOTTEN}
        if {lane["label"] for lane in turn["lanes"]} <= gone | before:
            turn["question"] = FORGOTTEN


def _is_of(answer: str, message: Message) -> bool:
    """Whether a message is a part of this answer, or this answer and what continued it; a tool's result is."""
    said = content_of(message).strip()
    return message.get("role") != "assistant" or said in answer or bool(answer and answer in said)


def _mark(message: Message) -> Message:
    return {"role": "user" if message.get("role") == "user" else "assistant", "content": FORGOTTEN}


def _key(message: Message) -> str:
    return json.dumps(message, sort_keys=True)
