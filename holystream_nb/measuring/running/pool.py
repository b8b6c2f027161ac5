"""The workers of one sitting, whatever they run on: warmed up, leased what they can use, followed, and missed."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from ... import errors
from ...errors import HolystreamError
from ..values.plan import Plan
from ..values.record import Begun, Broken, Done, Line, Lost, Ready, Trial, Unknown, Warmup, decode, encoder
from ..values.schedule import Slot
from ..values.words import counted
from .dispatch import Dispatcher, deal
from .intake import Word
from .worker import Job

Keep = Callable[[bytes, Trial | Lost], None]

FOLLOW_S: Final = 0.05
_AHEAD_S: Final = 1.0
"""A worker has as much work as it begins in this time: a parent that draws for so long leaves no stream waiting."""

_DUE_S: Final = 2.0
_MOST: Final = 1_000_000
_QUICK_S: Final = 0.005
_HEADSTART_NS: Final = 50_000_000


class Member(ABC):
    """One worker, as its parent sees it."""

    end_s: ClassVar[float]
    """How long it may take to end once it is told to."""

    def __init__(self, job: Job) -> None:
        self.worker = job.worker
        self.streams = len(job.starts)
        self.ready: Ready | None = None
        self.done: Done | None = None
        self.broken: Broken | None = None
        self.is_gone = False
        self.ended: deque[float] = deque()
        """When its latest requests ended, in s of `time.monotonic`."""
        self.warm_s: float | None = None
        """How long its latest warm-up took."""

    @abstractmethod
    def start(self) -> None: ...

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """False once nothing more will come from it than what `lines` has."""

    @abstractmethod
    def tell(self, word: Word) -> None: ...

    @abstractmethod
    def new_lines(self) -> list[bytes]:
        """What it has said since the last call."""

    @abstractmethod
    def close(self) -> None:
        """Asks it to end at once."""

    @abstractmethod
    def kill(self) -> None:
        """What is left of it is ended, or given up; without waiting."""

    def forget(self) -> None:  # noqa: B027  # not all leave something
        """Clears away what it leaves behind, once all of it is kept."""

    @abstractmethod
    def complaint(self) -> str:
        """Why it ended before its time. What is the same for several workers names none."""

    def exception(self) -> str:
        assert self.broken is not None  # noqa: S101  # asked only where it is
        found = self.broken
        return f"worker {self.worker} ended by {found.error}: {found.message} ({found.where})"

    def unheard(self, running: int) -> int:
        """How many more requests than those known (`running`) it may have begun without having been heard."""
        return 0

    def lines(self) -> list[tuple[bytes, Line]]:
        """New lines and what they say; what it says of itself is noted, and left out."""
        found: list[tuple[bytes, Line]] = []
        for line in self.new_lines():
            known = decode(line)
            if isinstance(known, Ready):
                self.ready = known
            elif isinstance(known, Done):
                self.done = known
            elif isinstance(known, Broken):
                self.broken = known
            elif known is not None and not isinstance(known, Unknown):
                found.append((line, known))
        return found


class Pool:
    """The workers of one sitting, what they are leased, and what they say.

    warm: the warm-ups of each, as many as its job says. `keep` gets every record with its line as it is seen. `losses`
    gets a sentence for all that died early of the same cause.
    """

    def __init__(
        self,
        members: Sequence[Member],
        plan: Plan,
        origin_ns: int,
        warm: Sequence[Slot],
        dispatcher: Dispatcher,
        keep: Keep,
        losses: list[str],
    ) -> None:
        self._members = members
        self._plan = plan
        self._origin = origin_ns
        self._warm = warm
        self._dispatcher = dispatcher
        self._keep = keep
        self._losses = losses
        self._is_last = False
        self._made: set[tuple[str, str, int, int]] = set()

    async def run(self) -> None:
        """Warms up and carries out what the dispatcher deals.

        Raises the error of a warm-up that nothing can follow, and what `keep` raises (a full disk). A cancellation ends
        the workers within two seconds; what they had finished is kept, and what they had begun is noted.
        """
        try:
            for member in self._members:
                member.start()
            await self._warm_up()
            self._check()
            start = time.perf_counter_ns() - self._origin + _HEADSTART_NS
            until = None if self._plan.duration is None else start + round(self._plan.duration * 1e9)
            for member in self._members:
                member.tell(Word(start=start, until=until))
            while any(member.done is None and not member.is_gone for member in self._members):
                self._follow()
                self._deal(start, until)
                await asyncio.sleep(FOLLOW_S)
        finally:
            await self._end()

    async def _warm_up(self) -> None:
        """Leases each worker its warm-ups as the limiters allow, and waits until all are ready, or dead."""
        due = {member.worker: deque(self._warm) for member in self._members}
        while True:
            for member in self._members:
                slots = due[member.worker]
                leases = []
                while slots and (lease := self._dispatcher.lease_warmup(member.worker, slots[0])) is not None:
                    leases.append(lease)
                    slots.popleft()
                if leases:
                    member.tell(Word(leases=tuple(leases)))
            self._follow()
            if all(member.ready is not None or member.is_gone for member in self._members):
                return
            await asyncio.sleep(FOLLOW_S)

    def _follow(self) -> None:
        """Takes in what workers wrote, and what those that died had begun."""
        stopped = len(self._dispatcher.stopped)
        pauses = self._dispatcher.pauses
        gone: dict[str, list[Lost]] = {}
        for member in self._members:
            is_alive = member.is_running
            self._take_in(member)
            if not is_alive and member.done is None and not member.is_gone:
                member.close()  # so that it begins nothing more, should it live
                member.is_gone = True
                why = member.complaint()
                gone.setdefault(why, []).extend(self._lose(member, why))
        for why, lost in gone.items():
            in_flight = f", and {counted(len(lost), 'request')} in flight with it" if lost else ""
            self._losses.append(f"{why}{in_flight}")
        if len(self._dispatcher.stopped) > stopped or self._dispatcher.pauses != pauses:
            word = Word(stopped=tuple(self._dispatcher.stopped), pauses=self._dispatcher.pauses)
            for member in self._members:
                member.tell(word)

    def _take_in(self, member: Member) -> None:
        for line, known in member.lines():
            if isinstance(known, Begun):
                self._dispatcher.begun(member.worker, known.slot, known.at)
            elif isinstance(known, Trial):
                self._dispatcher.settle(known)
                self._record(line, known)
                if isinstance(known, Warmup):
                    member.warm_s = (known.over - known.submitted) / 1e9
                else:
                    member.ended.append(time.monotonic())
        if member.done is not None:
            self._dispatcher.give_back(member.worker, member.done.rest)

    def _record(self, line: bytes, trial: Trial) -> None:
        """Keeps a record. One of a request that a worker made which was taken for lost is a cost, and no figure."""
        slot = trial.model, trial.way, trial.prompt, trial.repeat
        if isinstance(trial, Warmup) or slot not in self._made:
            if not isinstance(trial, Warmup):
                self._made.add(slot)
            self._keep(line, trial)
            return
        twice = Lost(
            model=trial.model,
            prompt=trial.prompt,
            repeat=trial.repeat,
            way=trial.way,
            session=trial.session,
            worker=trial.worker,
            begun=trial.submitted,
            usd=trial.due_usd,
            why="it was made twice: its worker was taken for lost, and was not",
        )
        self._keep(encoder.encode(twice), twice)

    def _lose(self, member: Member, why: str) -> list[Lost]:
        running = self._dispatcher.running(member.worker)
        lost = self._dispatcher.lost(member.worker, why, unheard=member.unheard(running))
        for record in lost:
            self._keep(encoder.encode(record), record)
        return lost

    # What workers get

    def _deal(self, start: int, until: int | None) -> None:
        now = time.perf_counter_ns() - self._origin
        if until is not None and now >= until:
            self._dispatcher.close()
        alive = [member for member in self._members if member.done is None and not member.is_gone]
        if self._dispatcher.closed not in ("", "duration") and not self._is_last:
            for member in alive:
                member.tell(Word(start=start, until=now))
        if self._plan.rate is not None:
            due_s = (now - start) / 1e9 + _DUE_S
            due_s = due_s if self._plan.duration is None else min(due_s, self._plan.duration)
            wanted = {member.worker: _MOST for member in alive}
        else:
            due_s = math.inf
            wanted = {member.worker: self._wanted(member, len(alive)) for member in alive}
        for worker, leases in deal(self._dispatcher, wanted, due_s).items():
            member = next(each for each in alive if each.worker == worker)
            member.tell(Word(leases=tuple(leases)))
        if not self._is_last and self._dispatcher.has_ended:
            self._is_last = True
            for member in alive:
                member.tell(Word(is_last=True))

    def _wanted(self, member: Member, alive: int) -> int:
        """How many more a member should have: one for each idle stream, and what it begins within the next second.

        Towards the end less, so that no stream is idle while another member has slots left (guided self-scheduling).
        """
        now = time.monotonic()
        while member.ended and member.ended[0] < now - _AHEAD_S:
            member.ended.popleft()
        rate = float(len(member.ended))
        if not member.ended:
            rate = member.streams / max(member.warm_s, _QUICK_S) if member.warm_s is not None else 10.0 * member.streams
        left = self._dispatcher.left
        ahead = (rate if left is None else min(rate, left / (2 * alive))) / self._plan.in_a_row
        idle = member.streams - self._dispatcher.running(member.worker)
        return idle + max(1, math.ceil(ahead)) - self._dispatcher.waiting(member.worker)

    def _check(self) -> None:
        """Raises what makes it useless to begin: a refused key, an unknown model, not one worker that came up."""
        for member in self._members:
            if member.ready is not None and member.ready.error:
                raise getattr(errors, member.ready.error, HolystreamError)(member.ready.message)
        if any(member.ready is not None for member in self._members):
            return
        for member in self._members:
            if member.broken is not None and (known := getattr(errors, member.broken.error, None)) is not None:
                raise known(member.broken.message)
        raise HolystreamError(f"No worker came up: {self._losses[0]}.")

    async def _end(self) -> None:
        is_full = isinstance(sys.exception(), OSError)  # what `keep` could not write is still in the part-files
        for member in self._members:
            member.close()
        try:
            until = time.monotonic() + max(member.end_s for member in self._members)
            while time.monotonic() < until and any(member.is_running for member in self._members):
                await asyncio.sleep(FOLLOW_S)
                for member in self._members:
                    if not is_full:
                        self._take_in(member)
        finally:
            for member in self._members:
                member.kill()
            if not is_full:
                self._take_leave()

    def _take_leave(self) -> None:
        for member in self._members:
            self._take_in(member)
            if not member.is_gone:
                self._lose(member, "the run was stopped")
            member.forget()
