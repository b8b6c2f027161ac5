"""What a panel of the same name goes on with: its conversation, written into the journal at each change."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime

import msgspec

from ..errors import SetupError
from ..journal.journal import journal
from ..journal.values import Answer as Written
from ..journal.values import Origin
from ..live.lane import FINAL, State
from .conversation import MOST_LANES, Answer, Conversation, Label, Turn
from .files import VERSION, Saved, checked
from .settings import Settings
from .spent import Spent


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the journal holds; `given` are the settings that the code gave."""

    given: Settings
    panel: Saved


class Kept:
    """The conversation of one panel in the journal; of a panel without a name nothing is kept.

    given: the settings that the code gives it.
    """

    def __init__(self, where: Origin, given: Settings) -> None:
        self._name = where.conversation
        self._notebooks: tuple[str, ...] = (where.notebook,)
        self.given = given

    @property
    def is_kept(self) -> bool:
        return bool(self._name) and _is_on()

    def begin(self, file: Saved | None) -> Saved:
        """What a panel begins with: what a file says, or what one of its name left, or nothing."""
        found = self.find()
        if file is None:
            return found or Saved(VERSION, self.given, Spent(), ())
        if found is not None and found.turns not in ((), file.turns):
            self.set_aside(Conversation(found.turns), found.settings, found.spent)
        return file

    def find(self) -> Saved | None:
        """What a panel of this name left, with the settings that hold now; None where there was none.

        What this version cannot read is set aside.
        """
        text = journal.conversation(_key(self._name), self._notebooks[0]) if self.is_kept else None
        if text is None:
            return None
        try:
            state = msgspec.json.decode(text, type=_State)
            panel = msgspec.structs.replace(state.panel, turns=self._filled(state.panel.turns))
            panel = checked(panel, f"The conversation {self._name!r} in the journal")
        except (msgspec.DecodeError, UnicodeError, RecursionError, SetupError) as exc:
            warnings.warn(f"{exc} {self._aside(text)}", stacklevel=5)
            return None
        return msgspec.structs.replace(panel, settings=settled(self.given, state.given, panel.settings))

    def write(self, conversation: Conversation, settings: Settings, spent: Spent) -> None:
        """It as it stands; of an answer that still arrives the journal has the text by itself."""
        if self.is_kept:
            self._write(self._name, self._state(conversation, settings, spent))

    def also_at(self, notebook: str) -> None:
        """From now on it is written for this path of the notebook too."""
        self._notebooks = tuple(dict.fromkeys((*self._notebooks, notebook)))

    def _write(self, name: str, state: str) -> None:
        for notebook in self._notebooks:
            journal.keep_conversation(_key(name), notebook, state)

    def set_aside(self, conversation: Conversation, settings: Settings, spent: Spent) -> str:
        """Keeps it under another name, and says under which; "" where nothing is kept."""
        return self._aside(self._state(conversation, settings, spent)) if self.is_kept else ""

    def _aside(self, state: str) -> str:
        name = f"{self._name} {datetime.now():%Y-%m-%d %H:%M:%S}"
        self._write(name, state)
        return f'The conversation before is kept: hs.ChatPanel(name="{name}") opens it.'

    def _state(self, conversation: Conversation, settings: Settings, spent: Spent) -> str:
        state = _State(self.given, Saved(VERSION, settings, spent, conversation.turns))
        return msgspec.json.encode(state).decode()

    def _filled(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """The turn whose answers were still arriving gets what the journal has of them."""
        if all(turn.answers for turn in turns):
            return turns
        written = journal.answers(door="panel", conversation=self._name, notebook=self._notebooks[0], limit=MOST_LANES)
        return tuple(turn if turn.answers else _answered(turn, written) for turn in turns)


def _key(name: str) -> str:
    """What the journal calls it: the conversations of `--chat` have names of their own."""
    return f"panel {name}"


def _is_on() -> bool:
    try:
        return journal.settings.is_on
    except SetupError:  # of the environment or the site's file: whoever asks is told
        return False


def settled(given: Settings, before: Settings, now: Settings) -> Settings:
    """What holds of each setting: what the code gives, where that is not what it gave before; else what was set."""
    changed = {
        field.name: value
        for field in fields(Settings)
        if (value := getattr(given, field.name)) != getattr(before, field.name)
    }
    return replace(now, **changed)


def _answered(turn: Turn, written: Sequence[Written]) -> Turn:
    found = {each.label: each for each in written if each.group == turn.id}
    return replace(turn, answers=tuple(_answer(label, found.get(label.label)) for label in turn.lanes))


def _answer(label: Label, written: Written | None) -> Answer:
    """As far as it had come when its kernel ended."""
    lost = Answer(label.label, label.provider, label.note, "", "lost", "")
    if written is None:
        return lost
    lost = replace(lost, model=written.model, text=written.text, reasoning=written.reasoning, record=written.record)
    state: State = next((each for each in FINAL if written.ended is not None and each == written.state), "lost")
    return replace(lost, state=state, ending=written.ending, error=written.error)
