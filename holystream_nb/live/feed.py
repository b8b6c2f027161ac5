"""Deltas to a view: coalesced, numbered, with a guaranteed last flush; only new text ever travels.

A view that appears late, or again, asks (`ready`) and gets a snapshot. A kernel that cannot hear while its cell runs
(ipykernel 6, or 7.0 to 7.3 without subshells) sends keyframes instead: often at first, when the page is still building
the view, then whenever the text has doubled, so that all keyframes together are no longer than a few times the text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from .figures import verdict
from .lane import Lane
from .painted import painted
from .questions import DEAF

FLUSH_S: Final = 0.03
_STATUS_S: Final = 0.25
_DEAF_S: Final = 10.0
_KEYFRAME_S: Final = 0.1
_EARLY_S: Final = 5.0


class View(Protocol):
    """What a feed needs of a widget."""

    keyframe: dict[str, Any]
    verdict: str

    def send(self, content: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class Feed:
    """Sends what lanes draw to a view. All methods but `hear` belong to the loop's thread."""

    def __init__(self, view: View, lanes: Sequence[Lane], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._lanes = lanes
        self._clock = clock
        self._loop = asyncio.get_running_loop()
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
        self._views = 0
        self._heard_of = False
        self._ended = False

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
        """Sends the whole state: what was drawn is no longer so."""
        self.flush()
        self._view.send({"kind": "snapshot", "sent": _now_ms(), **self.snapshot()})

    def snapshot(self) -> dict[str, Any]:
        """The whole state, up to and including message `seq`."""
        return {"seq": self._seq, "lanes": [lane.snapshot() for lane in self._lanes]}

    def compare(self) -> None:
        """Says who was first, fastest and cheapest, once all lanes have ended."""
        if len(self._lanes) > 1:
            self._view.verdict = verdict({lane.label: lane.reply for lane in self._lanes})

    def close(self) -> None:
        """The last flush; nothing is sent by itself afterwards."""
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        self.flush()

    def end(self) -> None:
        """The output has been replaced: the widget closes when the last view of it has gone from its page.

        A page that came back, or a tab opened again, got no display update, and keeps the live one.
        """
        self._ended = True
        self._leave()

    def _leave(self) -> None:
        if self._ended and self._views <= 0:
            self._view.close()

    def hear(self, _view: object, content: dict[str, Any], _buffers: object = None) -> None:
        """A message from a view. It may come on a subshell's thread, so it only hands over."""
        self._loop.call_soon_threadsafe(self._heard, content, _now_ms())

    def _heard(self, content: dict[str, Any], came: float) -> None:
        kind = content.get("kind")
        if kind == "gone":
            self._views -= 1
            self._leave()
        elif kind in ("ready", "missed"):
            self._views += kind == "ready"
            self._heard_of = True
            for lane in self._lanes:
                lane.questions.reopen()
            self.redraw()
        elif kind == "stop" and content.get("lane") in range(len(self._lanes)):
            self._lanes[content["lane"]].source.stop()
        elif kind == "consent" and content.get("lane") in range(len(self._lanes)):
            self._lanes[content["lane"]].questions.answer(content.get("call"), content.get("answer"))

        elif kind == "painted" and content.get("lane") in range(len(self._lanes)):
            lane, read = self._lanes[content["lane"]], self._first_reads.get(content["lane"])
            if lane.painted is None and read is not None:
                lane.painted = painted(content, came=came, read=read / 1e6)

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
        self._ticker = self._loop.call_later(_STATUS_S, self._tick)


def _now_ms() -> float:
    """The clock of the reads."""
    return time.perf_counter_ns() / 1e6
