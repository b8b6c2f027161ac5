"""Rollout: a client's `stream` over two clients, which share the traffic; the new one on probation."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Final, Literal, NamedTuple
from weakref import WeakKeyDictionary

from .. import kinds
from ..client.client import Client, Message
from ..client.stream import Stream
from ..client.texts import Texts
from ..errors import SetupError
from ..events import Event
from ..providers.secret import opened, sealing
from ..reply import Progress, Reply
from .guard import Finding, Guard, Watch, Window, outcome
from .state import Happening, Point, State
from .view import Screen, bundle

Side = Literal["old", "new"]

STEP: Final = 25
"""Points a step up adds by default: HolySheep's document 004, where the next one follows 48 hours later."""

_POINTS: Final = 400
_LOOKS: Final = 100


class Route(NamedTuple):
    """One side of a rollout: `(client, weight)`, or `(client, weight, model)` where the model has another name."""

    client: Client
    weight: float
    model: str | None = None


class Rollout:
    """Splits traffic over an old and a new client, and rolls back by itself.

    `Rollout([(old, 95), (new, 5)])` has a Client's `stream`, and stands where the Client stood. In one event loop; from
    as many tasks as there are. The clients stay the caller's, who closes them.

    routes: the old side first; weights are percent and add up to 100. A route's model stands over the call's, because a
        model has another name elsewhere: `(new, 5, "deepseek-v3.2")`. An application with several models has a Rollout
        for each, whose windows then hold what can be compared.
    guard: when to roll back (`Guard`); its rules are in `migration.guard`.
    note: said on every picture, for instance "simulator ×20".
    seed: of the split of requests that have no conversation.
    clock: seconds, never going back.

    There is no background task: the guard looks at every request that begins, speaks or ends, and whenever `state` is
    read. Where no request begins there is nothing to protect.

    A request that fails on the new side is not sent to the old one behind the caller's back: it would be paid twice and
    hide what the rollout is to find out. Its client's own retries apply, and its error is the caller's. Answers that
    are running when it is rolled back end where they began.
    """

    @sealing()
    def __init__(
        self,
        routes: Sequence[Route | tuple[Client, float] | tuple[Client, float, str | None]],
        *,
        guard: Guard | None = None,
        note: str = "",
        seed: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(routes, list | tuple) or len(routes) != 2:
            raise SetupError("A rollout has two routes, the old side first: [(old, 95), (new, 5)].")
        old, new = (_route(route) for route in routes)
        if old.weight < 0 or new.weight < 0 or old.weight + new.weight != 100:
            raise SetupError("The weights of a rollout are percent and add up to 100: [(old, 95), (new, 5)].")
        if guard is not None and not isinstance(guard, Guard):
            raise SetupError(f"The guard of a rollout is {kinds.kind(guard)}: give an hs.Guard(…), or none.")
        self.guard = guard or Guard()
        self.note = note
        self._routes: dict[Side, Route] = {"old": old, "new": new}
        self._windows: dict[Side, Window] = {"old": Window(self.guard), "new": Window(self.guard)}
        self._watch = Watch(self.guard)
        self._share = float(new.weight)
        self._reason = ""
        self._clock = clock
        self._started = clock()
        self._random = random.Random(seed)  # noqa: S311  # a split, not a secret
        # Weak: a stream that was dropped unread does not wait for ever.
        self._waiting: WeakKeyDictionary[RolloutStream, float] = WeakKeyDictionary()
        self._events: deque[Happening] = deque()
        self._history: list[Point] = []
        self._screen = Screen(lambda: bundle(self.state, self.note))
        self._say("started", f"{self._share:g} % to {_name(new)}, the rest to {_name(old)}")

    @sealing()
    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        model: str | None = None,
        conversation: str | int | None = None,
        **options: Any,
    ) -> RolloutStream:
        """Asks for an answer, as `Client.stream` does, on the side whose turn it is.

        conversation: the sticky key. The same one keeps its side, in every process, while the shares allow it: a step
            up moves only as many as must move, from old to new, and a roll back moves all to the old side.
        """
        self._look()
        side = self._side(conversation)
        route = self._routes[side]
        stream = route.client.stream(
            prompt, model=route.model or model, **{name: opened(value) for name, value in options.items()}
        )
        return RolloutStream(self, side, stream)

    def new_conversation(self) -> str:
        """A `conversation` that no other request has, for requests that belong together: a tool run's rounds."""
        return f"{self._random.getrandbits(64):016x}"

    def step_up(self, points: float = STEP) -> float:
        """Sends so many more percent to the new side, up to all; returns its share. On command only.

        Raises SetupError after a roll back: when its cause is gone, begin again with a new Rollout.
        """
        self._look()
        if self._reason:
            raise SetupError(
                f"It was rolled back ({self._reason}): when the cause is gone, begin again with a new Rollout."
            )
        if not 0 < points <= 100:
            raise SetupError("A step up is above 0 and at most 100 percent.")
        self._share = min(100.0, self._share + points)
        standing = f", while this alert stands: {'; '.join(self._watch.alerts.values())}" if self._watch.alerts else ""
        self._say("stepped up", f"to {self._share:g} %{standing}")
        return self._share

    def roll_back(self, reason: str) -> None:
        """Sends everything to the old side from now on; once: the first reason stays."""
        if not self._reason:
            self._reason = reason
            self._share = 0.0
            self._say("rolled back", reason)

    def trip(self, complaint: str) -> None:
        """Rolls back for the quality of the answers, which only a human can judge: `trip("complaints up 20 %")`."""
        self.roll_back(f"quality: {complaint}")

    @property
    def share(self) -> float:
        """Percent of the traffic that goes to the new side."""
        return self._share

    @property
    def state(self) -> State:
        """How it stands now; the guard looks too."""
        self._look()
        now = self._clock()
        over = None if self._reason else self._watch.over_since
        return State(
            stage="rolled back" if self._reason else "complete" if self._share >= 100 else "running",
            share=self._share,
            elapsed_s=now - self._started,
            old=self._windows["old"].figures(now, self._waits_ms("old", now)),
            new=self._windows["new"].figures(now, self._waits_ms("new", now)),
            alerts=() if self._reason else tuple(self._watch.alerts.values()),
            over_s=0.0 if over is None else now - over,
            reason=self._reason,
            events=tuple(self._events),
            history=tuple(self._history),
            names=(_name(self._routes["old"]), _name(self._routes["new"])),
            guard=self.guard,
        )

    def show(self) -> None:
        """Shows the state here and keeps it up to date in place, a few times a second at most.

        In a terminal it is printed once. What is saved is the last state, as plain output.
        """
        self._screen.open()

    def __repr__(self) -> str:
        return bundle(self.state, self.note)["text/plain"]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return bundle(self.state, self.note)

    # The split

    def _side(self, conversation: str | int | None) -> Side:
        if conversation is None:
            place = self._random.random() * 100
        else:
            digest = hashlib.blake2b(str(conversation).encode(), digest_size=8).digest()
            place = int.from_bytes(digest) / 2**64 * 100
        return "new" if place < self._share else "old"

    # What streams tell

    def _began(self, stream: RolloutStream) -> None:
        self._waiting[stream] = self._clock()
        self._look()

    def _spoke(self, stream: RolloutStream) -> None:
        """Its first output has come."""
        self._waiting.pop(stream, None)
        ttft = stream.progress.ttft_ms
        if ttft is not None:
            self._windows[stream.side].heard(self._clock(), ttft)
        self._look()

    def _ended(self, stream: RolloutStream) -> None:
        now, reply, window = self._clock(), stream.reply, self._windows[stream.side]
        how = outcome(reply)
        since = self._waiting.pop(stream, None)
        if since is not None and reply.error is not None and how not in ("fine", "refused"):
            window.heard(now, float("inf"))
        elif since is not None and how != "refused" and _wait_ms(stream, now - since) > self.guard.alert_ms:
            window.heard(now, _wait_ms(stream, now - since))
        window.ended(now, how)
        self._look()

    def _waits_ms(self, side: Side, now: float) -> list[float]:
        """How long requests have been waiting for their first output, of those that may be over the alert's limit."""
        waits = []
        for stream, since in self._waiting.items():  # the oldest first
            if (now - since) * 1e3 <= self.guard.alert_ms:
                break
            if stream.side == side:
                waits.append(_wait_ms(stream, now - since))
        return waits

    # The guard

    def _look(self) -> None:
        now = self._clock()
        self._note_point(now)
        if not self._reason:
            for finding in self._watch.judge(now, self._windows["new"], self._waits_ms("new", now)):
                self._act(finding)
        self._screen.update()

    def _act(self, finding: Finding) -> None:
        if finding.kind == "rolled back":
            self.roll_back(finding.text)
        else:
            self._say(finding.kind, finding.text)

    def _say(self, kind: Any, text: str) -> None:
        now = self._clock()
        self._events.append(Happening(now - self._started, kind, text))
        self._note_point(now, at_once=True)
        self._screen.update()

    def _note_point(self, now: float, *, at_once: bool = False) -> None:
        """Adds to the course of it, at most every hundredth of `for_s`; where it grows long, every other one goes."""
        at = now - self._started
        if not at_once and self._history and at - self._history[-1].at_s < self.guard.for_s / _LOOKS:
            return
        old, new = (self._windows[side].figures(now).p95_ttft_ms for side in ("old", "new"))
        self._history.append(Point(at, self._share, old, new))
        if len(self._history) > _POINTS:
            del self._history[1:-1:2]


class RolloutStream:
    """One answer as it arrives, on one side: a client's Stream, which also tells the rollout how it goes."""

    def __init__(self, rollout: Rollout, side: Side, stream: Stream) -> None:
        self.side: Side = side
        self._rollout = rollout
        self._stream = stream
        self._state: Literal["new", "waiting", "speaking", "ended"] = "new"

    @property
    def model(self) -> str:
        return self._stream.model

    @property
    def provider(self) -> str:
        return self._stream.provider

    @property
    def is_finished(self) -> bool:
        return self._stream.is_finished

    @property
    def reply(self) -> Reply:
        return self._stream.reply

    @property
    def progress(self) -> Progress:
        return self._stream.progress

    @property
    def limited_by(self) -> str:
        return self._stream.limited_by

    def stop(self) -> None:
        """Ends the stream and closes its connection at once, as a client's does."""
        self._stream.stop()

    @property
    def answers_calls(self) -> bool:
        return self._stream.answers_calls

    def decline_calls(self) -> None:
        self._stream.decline_calls()

    async def send_event(self, type: str, payload: Mapping[str, Any]) -> None:
        """Sends an event into the running answer, as a client's stream does."""
        await self._stream.send_event(type, payload)

    async def __aenter__(self) -> RolloutStream:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection; an answer that was still running is `stopped`."""
        await self._stream.aclose()
        self._end()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._state == "new":
            self._state = "waiting"
            self._rollout._began(self)
        try:
            event = await anext(self._stream)
        except BaseException:
            self._end()
            raise
        if self._state == "waiting" and self._stream.progress.ttft_ms is not None:
            self._state = "speaking"
            self._rollout._spoke(self)
        return event

    def texts(self) -> Texts:
        """The pieces of the answer alone, without its reasoning: `async for text in stream.texts()`."""
        return Texts(self)

    def _end(self) -> None:
        if self._state in ("waiting", "speaking"):
            self._state = "ended"
            self._rollout._ended(self)


def _wait_ms(stream: RolloutStream, since_s: float) -> float:
    """A stream's wait for its first output, without the limiter's; it began `since_s` ago."""
    return min(since_s * 1e3, stream.progress.unanswered_ms or 0.0)


def _route(route: object) -> Route:
    """A route as it is given; SetupError for what is none."""
    if not isinstance(route, tuple | list) or not 2 <= len(route) <= 3:
        raise SetupError(f"A route of a rollout is {kinds.kind(route)}: give (client, weight), or with a model's name.")
    client, weight, *model = route
    if not callable(getattr(client, "stream", None)) or not hasattr(client, "provider"):
        raise SetupError(f"A route's client is {kinds.kind(client)}: give an hs.Client(…).")
    name = kinds.optional_text("A route's model", model[0] if model else None)
    if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
        raise SetupError(f"A route's weight is {kinds.shown(weight)}: give percent, as in [(old, 95), (new, 5)].")
    return Route(client, float(weight), name)


def _name(route: Route) -> str:
    provider = route.client.provider
    return f"{provider.name}:{route.model or provider.default_model or 'the model asked for'}"
