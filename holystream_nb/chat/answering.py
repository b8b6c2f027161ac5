"""A turn's answers while they arrive: lanes, their feed, and whoever waits for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..ask import Ask
from ..journal.journal import journal
from ..journal.values import Origin
from ..live.feed import Feed
from ..live.lane import Lane
from ..live.questions import NOBODY
from ..live.show import draw
from ..reply import Reply
from .conversation import Answer, Turn
from .source import Asked

Send = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Paid:
    """An answer that was sent for, what it was asked with, and the replies of its requests: with tools several."""

    reply: Reply
    ask: Ask
    requests: tuple[Reply, ...]


class Answering:
    """Runs a turn's lanes to their end. All methods belong to the loop's thread; `done` may be waited for anywhere.

    `asked_in` is the context in which the program asked; None tells that a page did, for somebody who looks on. `where`
    is the panel's place: the answers are written into the journal as from there.
    """

    def __init__(
        self,
        turn: Turn,
        lanes: Sequence[Lane],
        send: Send,
        keyframe: Callable[[], None],
        asked_in: Context | None,
        where: Origin,
    ):
        self.turn = turn
        self.lanes = lanes
        for lane in lanes:
            if isinstance(lane.source, Asked):
                lane.begin = partial(
                    journal.begin,
                    where,
                    group=turn.id,
                    messages=lane.source.messages,
                    parameters=lane.source.parameters,
                )
        self.asked_in = asked_in
        self.done: Future[tuple[Reply, ...]] = Future()
        self.feed = Feed(_Envelope(turn.id, send, keyframe), lanes)

    async def run(self) -> None:
        self.feed.start()
        try:
            await draw(self.feed, self.lanes)
        finally:
            self.feed.close()

    def stop(self) -> None:
        for lane in self.lanes:
            lane.source.stop()

    def hear(self, message: dict[str, Any]) -> None:
        """What the page's feed of this turn says: `ready`, `missed`, `stop`, `consent`."""
        self.feed.hear(None, message)

    def keyframe(self) -> dict[str, Any]:
        self.feed.flush()
        return self.feed.snapshot()

    @property
    def answers(self) -> tuple[Answer, ...]:
        """As far as they have come."""
        self.feed.flush()
        return tuple(map(Answer.of, self.lanes))

    @property
    def verdict(self) -> str:
        """Who of several was first, fastest and cheapest; "" until all have ended."""
        return self.feed.verdict

    @property
    def replies(self) -> tuple[Reply, ...]:
        return tuple(lane.reply for lane in self.lanes)

    @property
    def paid(self) -> tuple[Paid, ...]:
        """Those that were sent at all."""
        asked = [lane.source for lane in self.lanes if isinstance(lane.source, Asked)]
        return tuple(Paid(each.reply, each.ask, each.requests) for each in asked if each.requests)

    def nobody_looks_on(self) -> None:
        """No call of a tool can be asked for."""
        for lane in self.lanes:
            lane.questions.close(NOBODY)

    def somebody_looks_on(self) -> None:
        for lane in self.lanes:
            lane.questions.reopen()


class _Envelope:
    """A feed's view: its messages travel as the turn's."""

    def __init__(self, turn_id: str, send: Send, keyframe: Callable[[], None]) -> None:
        self._turn_id = turn_id
        self._send = send
        self._wanted = keyframe

    @property
    def keyframe(self) -> dict[str, Any]:
        return {}

    @keyframe.setter
    def keyframe(self, _state: dict[str, Any]) -> None:
        self._wanted()

    def send(self, content: dict[str, Any]) -> None:
        self._send({"kind": "turn", "turn": self._turn_id, "message": content})

    def close(self) -> None:
        pass

    def forget(self) -> None:
        pass
