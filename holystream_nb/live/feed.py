"""Deltas to a view: coalesced, numbered, with a guaranteed last flush; only new text ever travels.

A view that appears late, or again, asks (`ready`) and gets a snapshot. Any message may be lost on its way, the last one
too: beats say how far the feed has come and what of a page was heard, and after the end they go on until each view has
said that it has everything (`have`). A view that is silent for long is given up: it keeps what it shows.

A kernel that cannot hear while its cell runs (ipykernel 6, or 7.0 to 7.3 without subshells) sends keyframes instead:
often at first, when the page is still building the view, then whenever the text has doubled, so that all keyframes
together are no longer than a few times the text.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from .afterlife import afterlife
from .figures import verdict
from .heard import Heard
from .lane import Lane
from .painted import painted
from .questions import DEAF

FLUSH_S: Final = 0.03
BEAT_S: Final = 1.0
"""How often a view is told how far the feed is, while it may not know."""
LINGER_S: Final = 60.0
"""How long an ended feed answers views that say nothing."""
_REPLACED_AGAIN: Final = (1, 2, 4, 8, 16)
"""At which beats after the end the output is replaced again, where a view has stayed."""
_STATUS_S: Final = 0.25
_DEAF_S: Final = 10.0
_KEYFRAME_S: Final = 0.1
_EARLY_S: Final = 5.0


class View(Protocol):
    """What a feed needs of a widget."""

    keyframe: dict[str, Any]

    def send(self, content: dict[str, Any]) -> None: ...

    def close(self) -> None:
        """Takes it from every page."""

    def forget(self) -> None:
        """Closes it in the kernel; pages keep what they show."""


class Feed:
    """Sends what lanes draw to a view.

    All methods but `hear` belong to the loop's thread; once the feed has ended it needs no loop any more.
    later: calls a function after so many seconds, on any thread, when the loop may have ended.
    """

    def __init__(
        self,
        view: View,
        lanes: Sequence[Lane],
        *,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], object]], object] = afterlife.later,
    ) -> None:
        self._view = view
        self._lanes = lanes
        self._clock = clock
        self._later = later
        self._loop = asyncio.get_running_loop()
        self._lock = threading.RLock()
        self._pending: list[tuple[list[str], list[str]]] = [([], []) for _ in lanes]
        self._called: set[int] = set()
        self._first_reads: dict[int, int] = {}
        self._seq = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._last_flush = 0.0
        self._started = clock()
        self._keyframe_at = 0.0
        self._keyframe_size = 0
        self._heard = Heard()
        self._heard_of = False
        self._heard_at = clock()
        self._beat_at = clock()
        self._views: dict[str, str] = {}
        self._have: set[str] = set()
        self._is_whole = False
        self._has_ended = False
        self._has_moved = False
        self._replace: Callable[[], object] = lambda: None
        self._lingered = 0
        self._is_closed = False
        self.verdict = ""
        """Who of several was first, fastest and cheapest; "" until all have ended."""

    @property
    def seq(self) -> int:
        """The number of the last message that counts."""
        return self._seq

    def start(self) -> None:
        self._tick()

    def draw(self, lane: int, text: str = "", reasoning: str = "", *, read: int = 0) -> None:
        """Adds to a lane what a read (ns) brought: the first after a pause goes out at once, the rest within 30 ms."""
        self._first_reads.setdefault(lane, read)
        texts, reasonings = self._pending[lane]
        if text:
            texts.append(text)
        if reasoning:
            reasonings.append(reasoning)
        self._soon()

    def draw_calls(self, lane: int) -> None:
        """A piece of a call has come: its lane's status goes out with the next flush."""
        self._lanes[lane].drew("", "")
        self._called.add(lane)
        self._soon()

    def _soon(self) -> None:
        if self._timer is None:
            wait = self._last_flush + FLUSH_S - self._clock()
            self._timer = self._loop.call_later(max(0.0, wait), self.flush)

    def flush(self) -> None:
        """Sends everything that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for index, (texts, reasonings) in enumerate(self._pending):
            if texts or reasonings:
                text, reasoning = "".join(texts), "".join(reasonings)
                texts.clear()
                reasonings.clear()
                lane = self._lanes[index]
                stamp = {} if lane.text_drawn or lane.reasoning_drawn else {"sent": _now_ms()}
                lane.drew(text, reasoning)
                self._send("delta", lane=index, text=text, reasoning=reasoning, **stamp)
        for index in sorted(self._called):
            lane = self._lanes[index]
            self._send("status", lane=index, **lane.status(), calls=lane.changed_cards())
        self._called.clear()
        self._last_flush = self._clock()
        if not self._heard_of:
            self._send_keyframe()

    def status(self, lane: int) -> None:
        """Sends how a lane stands, with those of its calls that changed; everything drawn before goes out first."""
        self._called.add(lane)
        self.flush()

    def redraw(self) -> None:
        """Sends the whole state: what was drawn is no longer so. It counts: where it is lost, it is missed."""
        self.flush()
        self._seq += 1
        self._send_snapshot()

    def _send_snapshot(self) -> None:
        self._view.send({"kind": "snapshot", "sent": _now_ms(), **self.snapshot()})

    def snapshot(self) -> dict[str, Any]:
        """The whole state, up to and including message `seq`."""
        lanes = [lane.snapshot() for lane in self._lanes]
        return {"seq": self._seq, "lanes": lanes, "verdict": self.verdict, "whole": self._is_whole}

    def close(self) -> None:
        """The last flush, and who was first, fastest and cheapest; nothing is drawn afterwards."""
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        self.flush()
        if len(self._lanes) > 1:
            self.verdict = verdict({lane.label: lane.reply for lane in self._lanes})
        self._is_whole = True
        self._send("whole", verdict=self.verdict)
        if not self._heard_of:
            self._view.keyframe = self.snapshot()

    def end(self, replace: Callable[[], object] = lambda: None) -> None:
        """Replaces the output: the widget closes when the last view of it has gone from its page.

        replace: puts the plain output in the widget's place; where a view stays, it may have been lost, and goes again,
        and the view says that it stays.

        A page that came back, or a tab opened again, got no display update, and keeps the live one. It is answered as
        long as it says something; LINGER_S later the kernel forgets the widget, and the page keeps what it shows.
        """
        with self._lock:
            self._has_ended = True
            self._heard_at = self._clock()
            self._replace = replace
            replace()
            if not self._has_moved:  # else its cell may have been cut, and be pasted yet
                self._leave()
            self._linger()

    @property
    def is_astray(self) -> bool:
        """Whether a view is left after the end, in a cell that was moved before: no display update has reached it."""
        return self._has_ended and self._has_moved and bool(self._views)

    @property
    def _is_over(self) -> bool:
        """Nothing is drawn any more, and there may be no loop."""
        return self._has_ended or self._loop.is_closed()

    def _leave(self) -> None:
        if self._has_ended and self._heard_of and not self._views and not self._is_closed:
            self._is_closed = True
            self._view.close()

    def _linger(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            if self._clock() - self._heard_at < LINGER_S:
                if not self._have.issuperset(self._views.values()):
                    self._beat()
                if self._views and self._lingered in _REPLACED_AGAIN:
                    self._replace()
                    if self._lingered > _REPLACED_AGAIN[0]:
                        self._view.send({"kind": "stays"})
                self._lingered += 1
                self._later(BEAT_S, self._linger)
                return
            self._is_closed = True
            if self._views:
                self._view.send({"kind": "closed"})
                self._view.forget()
            else:
                self._view.close()

    def hear(self, _view: object, content: dict[str, Any], _buffers: object = None) -> None:
        """A message from a view. It may come on any thread, and after the loop's end."""
        came = _now_ms()
        if not self._has_ended:
            with contextlib.suppress(RuntimeError):  # the loop is closed: an answer was left in its middle
                self._loop.call_soon_threadsafe(self._take, content, came)
                return
        self._take(content, came)

    def _take(self, content: dict[str, Any], came: float) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._heard_at = self._clock()
            if self._heard.is_next(content):
                self._heed(content, came)
            if "number" in content and not self._is_closed:
                self._beat()

    def _heed(self, content: dict[str, Any], came: float) -> None:
        kind, sender, view = content.get("kind"), str(content.get("from", "")), str(content.get("view", ""))
        if kind == "have":
            if content.get("seq") == self._seq:
                self._have.add(sender)
        elif kind == "gone":
            self._has_moved = self._has_moved or not self._has_ended
            self._views.pop(view, None)
            self._leave()
        elif kind in ("ready", "missed"):
            if kind == "ready":
                self._views[view] = sender
            self._have.discard(sender)
            self._heard_of = True
            if not self._is_over:
                for lane in self._lanes:
                    lane.questions.reopen()
                self.flush()
            self._send_snapshot()
        elif content.get("lane") in range(len(self._lanes)) and not self._is_over:
            self._heed_lane(self._lanes[content["lane"]], content, came)

    def _heed_lane(self, lane: Lane, content: dict[str, Any], came: float) -> None:
        kind = content.get("kind")
        if kind == "stop":
            lane.source.stop()
        elif kind == "consent":
            lane.questions.answer(content.get("call"), content.get("answer"))
        elif kind == "painted":
            read = self._first_reads.get(content["lane"])
            if lane.painted is None and read is not None:
                lane.painted = painted(content, came=came, read=read / 1e6)

    def _beat(self) -> None:
        """How far the feed is, and how far each page was heard."""
        self._beat_at = self._clock()
        self._view.send({"kind": "beat", "seq": self._seq, "heard": dict(self._heard.heard)})

    def _send(self, kind: str, **content: Any) -> None:
        self._seq += 1
        self._view.send({"kind": kind, "seq": self._seq, **content})

    def _send_keyframe(self) -> None:
        now = self._clock()
        size = sum(lane.text_drawn + lane.reasoning_drawn + lane.cards_drawn for lane in self._lanes)
        early = now - self._started < _EARLY_S and now - self._keyframe_at >= _KEYFRAME_S
        if size > self._keyframe_size and (early or size >= 2 * self._keyframe_size):
            self._keyframe_at, self._keyframe_size = now, size
            self._view.keyframe = self.snapshot()

    def _tick(self) -> None:
        is_deaf = not self._heard_of and self._clock() - self._started > _DEAF_S
        for index, lane in enumerate(self._lanes):
            if is_deaf:
                lane.questions.close(DEAF)
            if not lane.is_final:
                self.status(index)
        if self._heard.heard and self._clock() - self._beat_at >= BEAT_S:
            self._beat()
        self._ticker = self._loop.call_later(_STATUS_S, self._tick)


def _now_ms() -> float:
    """The clock of the reads."""
    return time.perf_counter_ns() / 1e6
