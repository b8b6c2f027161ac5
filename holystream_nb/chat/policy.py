"""What a panel does: ask, stop, ask again, cut, choose; what it tells the page and the program."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from .. import kinds
from ..errors import HolystreamError, SetupError
from ..journal.values import Origin
from ..live.heard import Heard
from ..live.lane import Lane
from ..live.questions import Questions
from ..live.where import notice
from ..money.budget import Budget
from ..reply import Reply
from ..session import Session
from ..wire.values import well_formed
from .answering import Answering, Paid
from .conversation import OPEN, Conversation, Label, Turn
from .pages import Pages
from .settings import Means, Settings
from .source import Asked
from .spent import Spent

LINGER_S: Final = 10.0
"""How long a page's answer runs on after its last view has gone: a view may come back."""

BEAT_S: Final = 1.0
"""How often pages are told how far the panel is, while they may not know."""

SILENT_S: Final = 60.0
"""How long after a change a page is told that says nothing: it may have gone without a word."""

UNASKED_S: Final = 0.5
"""How often at most the whole conversation is sent to a page that was never heard of."""


class Page(Protocol):
    """The panel's half on the page: messages in their order, and state."""

    def send(self, content: dict[str, Any]) -> None: ...

    def tell(self, **state: Any) -> None: ...


class NoPage:
    """Nobody looks on."""

    def send(self, content: dict[str, Any]) -> None:
        pass

    def tell(self, **state: Any) -> None:
        pass


@dataclass(frozen=True, slots=True)
class News:
    """How the panel stands, for the program.

    `replies` are those that have just ended in the conversation, `error` and `full_response` theirs; `paid` are all
    that have just ended and were sent. `asked_in` is the context of the program's question, None for a page's.
    """

    conversation: Conversation
    settings: Settings
    spent: Spent
    is_streaming: bool
    paid: tuple[Paid, ...] = ()
    replies: tuple[Reply, ...] = ()
    error: HolystreamError | None = None
    full_response: str = ""
    asked_in: Context | None = None


class Chat:
    """A panel's policy, without a widget and without a thread: all methods belong to one loop.

    report: is told all that concerns the program, in order.
    save_copy: writes the conversation to a new file, and says where.
    set_aside: keeps a conversation that makes room for a new one, and says where; "" where nothing is kept.
    where: the panel's place, for the journal.
    Its methods raise SetupError where what is asked for cannot be; `hear` shows that to the reader.
    """

    def __init__(
        self,
        session: Session,
        settings: Settings,
        *,
        report: Callable[[News], None],
        save_copy: Callable[[Conversation], str],
        set_aside: Callable[[Conversation, Settings, Spent], str],
        means: Means | None = None,
        conversation: Conversation | None = None,
        spent: Spent | None = None,
        where: Origin | None = None,
        linger_s: float = LINGER_S,
    ) -> None:
        self._session = session
        self.settings = settings
        self.conversation = conversation or Conversation()
        self.spent = spent or Spent()
        self._where = where or Origin("panel")
        self._report = report
        self._save_copy = save_copy
        self._set_aside = set_aside
        self._means = means or Means()
        self._budget = self._limited()
        self._linger_s = linger_s
        self._page: Page = NoPage()
        self._pages = Pages()
        self._heard_of = False
        self._looks_on = False
        self._next_unasked = 0.0
        self._seq = 0
        self._told = 0
        self._state: dict[str, Any] = {}
        self._last_said: dict[str, Any] | None = None
        self._heard = Heard()
        self._heard_at: dict[str, float] = {}
        self._changed_at = 0.0
        self._have: dict[str, tuple[object, object, object]] = {}
        self._beating: asyncio.TimerHandle | None = None
        self._drawn: dict[str, int] = {}
        self._running: Answering | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._lingering: asyncio.TimerHandle | None = None
        self.opened: Callable[[str], object] = lambda provider: None
        """Is told the name of a provider whose models the reader is looking for."""
        self.context: Callable[[], str] = lambda: ""
        """What a question's system prompt ends with."""

    # What program and reader ask for

    def send(self, question: str, *, asked_in: Context | None = None) -> Answering:
        """Asks the models of the settings, side by side; `asked_in` is the program's context, None for a page."""
        self._check_open()
        if self._running is not None:
            raise SetupError("An answer is still arriving: wait for it, or stop it first.")
        question = _question(question)
        settings = self.settings.checked()
        self._budget.check()
        lanes = [self._lane(model, question, settings) for model in settings.models]
        labels = tuple(Label(lane.label, lane.provider, lane.note) for lane in lanes)
        turn = Turn(secrets.token_hex(6), question, labels, chosen=0 if len(lanes) == 1 else OPEN)
        running = self._running = Answering(turn, lanes, self._page_send, self._keyframe_wanted, asked_in, self._where)
        if not self._looks_on:
            running.nobody_looks_on()
        self.conversation = self.conversation.added(turn)
        self._number("added", turn=self._drawing(turn))
        self.tell(is_streaming=True)
        self._news()
        self._start(self._answer(running))
        return running

    def regenerate(self, turn_id: str | None = None, *, asked_in: Context | None = None) -> Answering:
        """Asks a question again (the last), the models of the settings now; what came after it goes."""
        turn = self._turn(turn_id)
        return self.edit(turn.id, turn.question, asked_in=asked_in)

    def edit(self, turn_id: str, question: str, *, asked_in: Context | None = None) -> Answering:
        """Asks another question in a turn's place; what came after it goes."""
        self._check_open()
        question = _question(question)
        self.settings.checked()
        self._budget.check()
        self.delete(turn_id)
        return self.send(question, asked_in=asked_in)

    def delete(self, turn_id: str) -> None:
        """Takes a turn away, and all after it; what runs there is stopped."""
        self._cut(self.conversation.index(turn_id))

    def begin_anew(self) -> None:
        """A new conversation; what was spent stays, and what was said is set aside."""
        said = self._set_aside(self.standing().ended(), self.settings, self.spent) if self.conversation.turns else ""
        self._cut(0)
        if said:
            self.say(said)

    def choose(self, turn_id: str, lane: int) -> None:
        """Goes on with one answer of several, and with its model."""
        turn = self.conversation.turns[self.conversation.index(turn_id)]
        self.conversation = self.conversation.chose(turn_id, lane)
        self._number("chosen", turn=turn_id, lane=lane)
        if lane != OPEN:
            self.configure(replace(self.settings, models=(turn.lanes[lane].label,)))
        else:
            self._news()

    def configure(self, settings: Settings) -> None:
        """What the next question is asked with."""
        self.settings = settings.checked()
        self._tell_settings()
        self._news()

    def stop(self) -> None:
        """Ends what runs; what arrived stays."""
        if self._running is not None:
            self._running.stop()

    def close(self) -> None:
        """Stops, and takes no question any more. The conversation stays."""
        self._closed = True
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        self.stop()

    def go_on(
        self,
        settings: Settings,
        means: Means,
        *,
        report: Callable[[News], None],
        set_aside: Callable[[Conversation, Settings, Spent], str],
        where: Origin,
    ) -> None:
        """Another panel of the program takes it over, with what is arriving; nothing of the one before counts any more.

        Where no view of the new panel appears, an answer that a page had asked for ends, as when its last view goes.
        """
        self._report = report
        self._set_aside = set_aside
        self._where = where
        self._means = means
        self._budget = self._limited()
        self._page = NoPage()
        self._pages = Pages()
        self._heard = Heard()
        self._heard_at = {}
        self._have = {}
        self._last_said = None
        self._heard_of = self._closed = False
        self.settings = settings
        self._linger()
        self._news()

    async def finish(self) -> None:
        """Stops, and waits until nothing of it runs."""
        self.close()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def standing(self) -> Conversation:
        """The conversation with what has arrived so far."""
        if self._running is None:
            return self.conversation
        return self.conversation.answered(self._running.turn.id, self._running.answers)

    # The page

    def attach(self, page: Page) -> None:
        """Shows everything on this page from now on."""
        self._page = page
        self._somebody_looks_on()
        self._tell_settings()
        self.tell(is_streaming=self._running is not None, total=self._total())

    def tell(self, **state: Any) -> None:
        """Sets the page's traits; `told` counts how often, so that it knows when it has missed some."""
        self._told += 1
        self._state.update(state)
        self._page.tell(**state, told=self._told)
        self._changed()

    def displayed(self, *, is_copied: bool = True) -> None:
        """The panel is being displayed: the page that appears next keeps the saved copy up to date, if there is one."""
        self._pages.displayed(is_copied=is_copied)
        self._somebody_looks_on()

    def say(self, text: str, level: str = "info") -> None:
        """A line for the reader that belongs to no answer."""
        self._number("said", text=text, level=level)
        self._last_said = {"kind": "said", "seq": self._seq, "text": text, "level": level}

    def hear(self, content: dict[str, Any]) -> None:
        """A message from a view; one that cannot be followed is answered with a line for the reader."""
        sender = content.get("from")
        if isinstance(sender, str):
            self._heard_at[sender] = asyncio.get_running_loop().time()
        try:
            if self._heard.is_next(content):
                self._heed(content)
        except HolystreamError as exc:
            self.say(str(exc), "error")
        if "number" in content:
            self._beat()

    def _hear_settings(self, changes: dict[str, Any]) -> None:
        """What a page has set; what cannot be is set back."""
        try:
            if isinstance(changes.get("models"), list):
                changes["models"] = tuple(changes["models"])
            settings = self.settings = replace(self.settings, **changes).checked()
        except HolystreamError:
            self._told += 1  # a change without an update: nothing but the whole state sets the page right
            self._tell_all()
            raise
        self._news()  # first: once a page sees the names, the program reads the same
        self.tell(**{name: value for name, value in _traits(settings).items() if name in changes}, **self._names())

    def _heed(self, content: dict[str, Any]) -> None:
        match content:
            case {"kind": "ready", "page": str(page)}:
                self._appeared(page, str(content.get("view", "")))
            case {"kind": "gone", "page": str(page)}:
                self._left(page, str(content.get("view", "")))
            case {"kind": "missed"}:
                self._heard_of = True
                self._tell_all(known=content.get("told"))
            case {"kind": "have", "from": str(sender), "seq": seq, "told": told, "at": at}:
                self._have[sender] = seq, told, at
            case {"kind": "set"}:
                self._hear_settings({name: content[name] for name in _traits(self.settings) if name in content})
            case {"kind": "turn", "turn": str(turn), "message": dict(message)}:
                self._hear_turn(turn, message)
            case {"kind": "send", "text": str(text)}:
                self.send(text)
            case {"kind": "stop"}:
                self.stop()
            case {"kind": "regenerate", "turn": str(turn)}:
                self.regenerate(turn)
            case {"kind": "edit", "turn": str(turn), "text": str(text)}:
                self.edit(turn, text)
            case {"kind": "delete", "turn": str(turn)}:
                self.delete(turn)
            case {"kind": "begin_anew"}:
                self.begin_anew()
            case {"kind": "choose", "turn": str(turn), "lane": int(lane)}:
                self.choose(turn, lane)
            case {"kind": "open", "provider": str(provider)}:
                self.opened(provider)
            case {"kind": "save_copy"}:
                self.say(self._save_copy(self.standing().ended()))

    def _appeared(self, page: str, view: str) -> None:
        self._heard_of = True
        self._somebody_looks_on()
        self._pages.ready(page, view)
        self.tell(stale=self._pages.stale)
        self._tell_all()

    def _left(self, page: str, view: str) -> None:
        self._pages.gone(page, view)
        self.tell(stale=self._pages.stale)
        if not self._pages.is_seen:
            self._linger()

    def _linger(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        self._lingering = asyncio.get_running_loop().call_later(self._linger_s, self._abandoned)

    def _somebody_looks_on(self) -> None:
        self._looks_on = True
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if self._running is not None:
            self._running.somebody_looks_on()

    def _abandoned(self) -> None:
        """No view has come back: an answer that was asked for on a page is for nobody now."""
        self._looks_on = False
        if self._running is None:
            return
        if self._running.asked_in is None:
            self._running.stop()
        else:
            self._running.nobody_looks_on()

    def _hear_turn(self, turn_id: str, message: dict[str, Any]) -> None:
        if self._running is not None and self._running.turn.id == turn_id:
            self._running.hear(message)
        elif message.get("kind") == "missed":
            turn = next((turn for turn in self.conversation.turns if turn.id == turn_id), None)
            if turn is None:  # that it is gone has been missed too
                self._tell_all()
                return
            snapshot = {"kind": "snapshot", **self._drawing(turn)["keyframe"]}
            self._page.send({"kind": "turn", "turn": turn_id, "message": snapshot})

    def _tell_all(self, known: object = None) -> None:
        """All there is; `known` is the change of the traits up to which a page has them."""
        turns = [self._drawing(turn) for turn in self.conversation.turns]
        state = {} if known == self._told else self._state
        standing = {"seq": self._seq, "told": self._told, "state": state, "said": self._last_said}
        self._page.send({"kind": "conversation", "turns": turns, **standing})

    def _changed(self) -> None:
        """Pages that have been heard of are told how far it is, until they have said that they have everything."""
        self._changed_at = asyncio.get_running_loop().time()
        self._beat_soon()

    def _beat_soon(self) -> None:
        if self._beating is None and self._heard.heard and not self._closed:
            self._beating = asyncio.get_running_loop().call_later(BEAT_S, self._beat_on)

    def _beat_on(self) -> None:
        self._beating = None
        now = asyncio.get_running_loop().time()
        awake = [sender for sender, at in self._heard_at.items() if now - max(at, self._changed_at) < SILENT_S]
        if self._running is not None or any(self._have.get(sender) != self._standing_at() for sender in awake):
            self._beat()
            self._beat_soon()

    def _standing_at(self) -> tuple[int, int, int]:
        """How far it is: messages, changes of the traits, and messages of the last turn's feed."""
        turns = self.conversation.turns
        if not turns:
            return self._seq, self._told, 0
        running = self._running
        if running is not None and running.turn.id == turns[-1].id:
            return self._seq, self._told, running.feed.seq
        return self._seq, self._told, self._drawn.get(turns[-1].id, 0)

    def _beat(self) -> None:
        seq, told, at = self._standing_at()
        turn = self.conversation.turns[-1].id if self.conversation.turns else ""
        heard = dict(self._heard.heard)
        self._page.send({"kind": "beat", "seq": seq, "told": told, "turn": turn, "at": at, "heard": heard})

    def _keyframe_wanted(self) -> None:
        """A kernel that hears nothing while its cell runs sends the whole now and then, as a live view's does."""
        now = asyncio.get_running_loop().time()
        if not self._heard_of and now >= self._next_unasked:
            self._next_unasked = now + UNASKED_S
            self._tell_all()

    def _drawing(self, turn: Turn) -> dict[str, Any]:
        """A turn as the page takes it."""
        running = self._running
        if running is not None and running.turn.id == turn.id:
            keyframe = running.keyframe()
        else:
            lanes = [answer.drawn() for answer in turn.answers]
            keyframe = {
                "seq": self._drawn.get(turn.id, 0),
                "lanes": lanes,
                "verdict": turn.verdict,
                "whole": True,
            }
        return {
            "id": turn.id,
            "question": turn.question,
            "lanes": [{"label": lane.label, "provider": lane.provider, "note": lane.note} for lane in turn.lanes],
            "format": "markdown",
            "keyframe": keyframe,
            "chosen": turn.chosen,
        }

    def _page_send(self, content: dict[str, Any]) -> None:
        """What a turn's feed sends, while the turn is there."""
        if self._running is not None and self._running.turn.id == content["turn"]:
            self._page.send(content)

    def _number(self, kind: str, **content: Any) -> None:
        self._seq += 1
        self._page.send({"kind": kind, "seq": self._seq, **content})
        self._changed()

    def _tell_settings(self) -> None:
        self.tell(**_traits(self.settings), **self._names())

    def _names(self) -> dict[str, str]:
        """What the page calls the panel."""
        models = self.settings.models
        return {"title": f"Chat with {', '.join(models)}", "note": self._note(models)}

    def _note(self, models: tuple[str, ...]) -> str:
        """ "simulator" where every model is the simulator's."""
        notes = {self._place(model)[1] for model in models}
        return notes.pop() if len(notes) == 1 else ""

    # Turns

    def _turn(self, turn_id: str | None) -> Turn:
        turns = self.conversation.turns
        if not turns:
            raise SetupError("Nothing was asked yet: there is no question to ask again.")
        return turns[-1] if turn_id is None else turns[self.conversation.index(turn_id)]

    def _lane(self, model: str, question: str, settings: Settings) -> Lane:
        provider, note = self._place(model)
        system = "\n\n".join(filter(None, (settings.system, self.context())))
        history = self.conversation.history(model, system)
        questions = Questions()
        source = Asked(
            self._session,
            [*history, {"role": "user", "content": question}],
            model=model,
            provider=provider,
            means=self._means,
            parameters=settings.parameters,
            questions=questions,
            budget=None if self._budget.limit is None else self._budget,
            shares=len(settings.models),
        )
        carrier = self._means.transport
        return Lane(source, label=model, provider=provider, note=note, transport=carrier, questions=questions)

    def _limited(self) -> Budget:
        return Budget(
            self._means.max_cost,
            "max_cost",
            mend="Make a new panel, or save this one and load it with a higher max_cost.",
            spent=self.spent.usd,
        )

    def _total(self) -> str:
        """What was spent, and of how much."""
        limit = self._budget.limit
        return str(self.spent) if limit is None or not self.spent.requests else f"{self.spent} of at most ${limit:f}"

    def _place(self, model: str) -> tuple[str, str]:
        """Provider and note; of a model that cannot be, whose answer will say why, neither."""
        try:
            place = self._session.located(model, self._means.options)
            return place.provider.name, self._session.first_note(model, self._means.options, place)
        except SetupError:
            return "", ""

    def _cut(self, at: int) -> None:
        running = self._running
        gone = self.conversation.turns[at:]
        self.conversation = self.conversation.cut(at)
        for turn in gone:
            self._drawn.pop(turn.id, None)
        if running is not None and any(turn.id == running.turn.id for turn in gone):
            self._running = None
            running.stop()
            self.tell(is_streaming=False)
        self._number("cut", **{"from": at})
        self._news()

    async def _answer(self, running: Answering) -> None:
        try:
            await running.run()
        except Exception as exc:  # a defect of ours: the panel must say so, and go on
            self.say(f"The answer could not be drawn ({type(exc).__name__}: {exc}).", "error")
        finally:
            self._ended(running)
            if self._looks_on and (said := notice()):
                self.say(said)

    def _ended(self, running: Answering) -> None:
        replies = running.replies
        try:
            self._keep(running, replies)
        finally:  # whatever fails above: the panel goes on, and whoever waits is told
            is_kept = self._running is not running
            if not is_kept:
                self._running = None
            running.done.set_result(replies)
            if not is_kept:
                self.tell(is_streaming=False)
                self._news()

    def _keep(self, running: Answering, replies: tuple[Reply, ...]) -> None:
        """What a turn brought becomes part of the conversation, unless it was cut off meanwhile."""
        paid = running.paid
        for reply in (request for each in paid for request in each.requests):
            self.spent = self.spent.plus(reply)
        self.tell(total=self._total())
        if self._running is running:
            self.conversation = self.conversation.answered(running.turn.id, running.answers, running.verdict)
            self._drawn[running.turn.id] = running.feed.seq
            self._running = None
            self.tell(is_streaming=False)
            self._news(paid=paid, replies=replies, asked_in=running.asked_in)
        else:
            self._news(paid=paid)

    def _news(
        self, paid: tuple[Paid, ...] = (), replies: tuple[Reply, ...] = (), asked_in: Context | None = None
    ) -> None:
        said = [reply.text for reply in replies if reply.text]
        self._report(
            News(
                self.conversation,
                self.settings,
                self.spent,
                self._running is not None,
                paid,
                replies,
                next((reply.error for reply in replies if reply.error is not None), None),
                said[0] if said else "",
                asked_in,
            )
        )

    def _check_open(self) -> None:
        if self._closed:
            raise SetupError("This panel is closed: make a new one (save the conversation, and ChatPanel.load it).")

    def _start(self, answer: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(answer)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _traits(settings: Settings) -> dict[str, Any]:
    """Settings as the page's traits have them."""
    return {
        "models": list(settings.models),
        "system": settings.system,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    }


def _question(text: object) -> str:
    """It with half characters replaced by U+FFFD; SetupError where it is none."""
    if not isinstance(text, str):
        raise SetupError(f"The question is {kinds.kind(text)}: give a text.")
    if not text.strip():
        raise SetupError("The question is empty: write something.")
    return well_formed(text)
