"""A conversation as a value: questions, the answers of one to four models to each, and which of them goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any, Final

from ..errors import SetupError
from ..live.beside import Citation, Picture
from ..live.cards import browser_length, card
from ..live.figures import record
from ..live.lane import FINAL, Lane, State, drawn_picture, drawn_source
from ..tools.call import STOPPED, Call
from ..tools.exchange import Exchange, Message

MOST_LANES: Final = 4
OPEN: Final = -1
"""`Turn.chosen` while it is not decided which answer goes on."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a model is called in a turn; `note` is "simulator" for the simulator."""

    label: str
    provider: str
    note: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model answered, whole or not, with its figures in words and its record (`live.figures.record`).

    `elapsed_ms` is since the request began; `units` are output events; `thought` is the reasoning's tokens and time in
    words; `calls` are those of tools, in the text's order; `ending` says how it ended, where that must be said;
    `sources` and `pictures` are what it cites and shows. `echoes` are what the service wants back of each round, and
    of what was said last, where the conversation goes on with its model.
    """

    label: str
    provider: str
    note: str
    model: str
    state: State
    text: str
    reasoning: str = ""
    error: str = ""
    figures: tuple[str, ...] = ()
    thought: str = ""
    elapsed_ms: float = 0.0
    units: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()
    echoes: tuple[dict[str, Any] | None, ...] = ()
    ending: str = ""
    sources: tuple[Citation, ...] = ()
    pictures: tuple[Picture, ...] = ()

    @classmethod
    def of(cls, lane: Lane) -> Answer:
        """A lane as it stands."""
        drawn = lane.snapshot()
        return cls(
            lane.label,
            lane.provider,
            lane.note,
            lane.reply.model,
            lane.state,
            drawn["text"],
            drawn["reasoning"],
            drawn["error"],
            tuple(drawn["figures"]),
            drawn["thought"],
            drawn["elapsed_ms"],
            drawn["units"],
            record(lane.reply),
            lane.calls,
            getattr(lane.source, "echoes", ()) if lane.is_final else (),
            lane.ending,
            lane.sources,
            lane.pictures,
        )

    @property
    def is_something(self) -> bool:
        """Whether a model may be told that this was said."""
        return bool(self.text.strip()) or any(call.name for call in self.calls)

    @property
    def messages(self) -> list[Message]:
        """It as a model is told: the text, with the calls and their results where they were."""
        exchange = Exchange([])
        start = rounds = 0
        for rounds, of_round in groupby(self.calls, key=lambda call: call.round):
            calls = [call for call in of_round if call.name]  # of one that broke off at once there is none
            if calls:
                if text := self.text[start : calls[-1].at]:
                    exchange.text.add(text)
                exchange.hand_back(calls, self._echo(rounds - 1))
                start = calls[-1].at
        if text := self.text[start:]:
            exchange.text.add(text)
        exchange.conclude(self._echo(rounds))
        return exchange.messages

    def _echo(self, index: int) -> Mapping[str, Any] | None:
        return self.echoes[index] if 0 <= index < len(self.echoes) else None

    def drawn(self) -> dict[str, Any]:
        """It as a view's lane (`LaneState` of the front-end)."""
        return {
            "text": self.text,
            "reasoning": self.reasoning,
            "state": self.state,
            "figures": list(self.figures),
            "ending": self.ending,
            "error": self.error,
            "elapsed_ms": self.elapsed_ms,
            "units": self.units,
            "thought": self.thought,
            "sources": [drawn_source(source) for source in self.sources],
            "pictures": [drawn_picture(picture) for picture in self.pictures],
            "calls": [{**card(call), "at": browser_length(self.text[: call.at])} for call in self.calls],
        }

    def ended(self) -> Answer:
        """It as nothing runs any more: what still did is truncated, its calls are stopped."""
        if self.state in FINAL and all(call.is_final for call in self.calls):
            return self
        calls = (
            call if call.is_final else replace(call, state="stopped", result="", error=STOPPED) for call in self.calls
        )
        return replace(self, state=self.state if self.state in FINAL else "truncated", calls=tuple(calls))


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and the answers to it, in the order of `lanes`; there are none while they arrive.

    `chosen` is the answer that the conversation goes on with, OPEN while that is not decided; `verdict` compares
    several in words.
    """

    id: str
    question: str
    lanes: tuple[Label, ...]
    answers: tuple[Answer, ...] = ()
    chosen: int = OPEN
    verdict: str = ""

    def answer_for(self, label: str) -> Answer | None:
        """What this model is told was answered: the chosen answer, else its own, else the first that says anything."""
        if self.chosen != OPEN and self.answers:
            answer = self.answers[self.chosen]
            return answer if answer.is_something else None
        said = [answer for answer in self.answers if answer.is_something]
        return next((answer for answer in said if answer.label == label), said[0] if said else None)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in their order. Every method returns a new value, or raises SetupError for a turn that is not there."""

    turns: tuple[Turn, ...] = ()

    def index(self, turn_id: str) -> int:
        for index in range(len(self.turns) - 1, -1, -1):
            if self.turns[index].id == turn_id:
                return index
        raise SetupError("This part of the conversation is not there any more.")

    def added(self, turn: Turn) -> Conversation:
        return Conversation((*self.turns, turn))

    def cut(self, at: int) -> Conversation:
        """Without the turns from that index on."""
        return Conversation(self.turns[:at])

    def answered(self, turn_id: str, answers: Sequence[Answer], verdict: str = "") -> Conversation:
        return self._with(turn_id, answers=tuple(answers), verdict=verdict)

    def chose(self, turn_id: str, lane: int) -> Conversation:
        count = len(self.turns[self.index(turn_id)].lanes)
        if lane not in range(OPEN, count):
            raise SetupError(f"There is no answer {lane} to choose: this question has {count}.")
        return self._with(turn_id, chosen=lane)

    def history(self, label: str, system: str = "") -> list[Message]:
        """What a model is told of it: OpenAI's messages, calls of tools and their results among them.

        A question that got no answer is left out with its empty answer; a broken-off answer is told as far as it came.
        """
        messages: list[Message] = [{"role": "system", "content": system}] if system.strip() else []
        for turn in self.turns:
            answer = turn.answer_for(label)
            if answer is not None:
                messages += [{"role": "user", "content": turn.question}, *answer.messages]
        return messages

    def messages(self) -> list[dict[str, Any]]:
        """Everything that was asked and answered, with figures; also what failed, and what was not chosen."""
        messages: list[dict[str, Any]] = []
        for turn in self.turns:
            messages.append({"role": "user", "content": turn.question})
            for index, answer in enumerate(turn.answers):
                messages.append(
                    {
                        "role": "assistant",
                        "content": answer.text,
                        "reasoning": answer.reasoning,
                        "model": answer.label,
                        "provider": answer.provider,
                        "state": answer.state,
                        "ending": answer.ending,
                        "error": answer.error,
                        "chosen": turn.chosen == index,
                        "calls": [asdict(call) for call in answer.calls],
                        "figures": dict(answer.record),
                    }
                )
        return messages

    def ended(self) -> Conversation:
        """It without answers that still run."""
        return Conversation(
            tuple(replace(turn, answers=tuple(answer.ended() for answer in turn.answers)) for turn in self.turns)
        )

    def _with(self, turn_id: str, **changes: Any) -> Conversation:
        index = self.index(turn_id)
        turn = replace(self.turns[index], **changes)
        return Conversation((*self.turns[:index], turn, *self.turns[index + 1 :]))
