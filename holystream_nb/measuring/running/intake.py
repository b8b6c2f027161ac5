"""What a worker may do next, as its parent tells it while it works."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec

from ..values.schedule import Lease, Slot


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line from the parent. Moments are ns after the session's origin.

    start, until: when the run begins, and when nothing new does any more. leases: slots to do, in this order. stopped:
    arms (indices of a model and a way) that are asked no more. pauses: until when a provider wants silence. is_last:
    nothing more comes. is_stop: what runs ends at once (children of the local pool are ended by their pipe).
    """

    start: int | None = None
    until: int | None = None
    leases: tuple[Lease, ...] = ()
    stopped: tuple[tuple[int, int], ...] = ()
    pauses: dict[str, int] = {}  # msgspec copies it
    is_last: bool = False
    is_stop: bool = False


class Intake:
    """Leases in their order. `rest` has those that were taken and not begun. In one event loop.

    ends: when a batch of work is long enough (ns after the session's origin): only what follows on something that a
    user has begun is begun after it.
    """

    def __init__(self) -> None:
        self._leases: deque[Lease] = deque()
        self._stopped: set[tuple[int, int]] = set()
        self._news = asyncio.Event()
        self._is_last = False
        self._start: int | None = None
        self.until: int | None = None
        self.ends: int | None = None
        self.pauses: dict[str, int] = {}
        self.rest: list[Slot] = []

    def hear(self, word: Word) -> None:
        if word.start is not None:
            self._start, self.until = word.start, word.until
        self._leases.extend(word.leases)
        self._stopped.update(word.stopped)
        for provider, moment in word.pauses.items():
            self.pause(provider, moment)
        self._is_last = self._is_last or word.is_last
        self._news.set()

    def pause(self, provider: str, moment: int) -> None:
        self.pauses[provider] = max(self.pauses.get(provider, 0), moment)

    async def begin(self) -> int:
        """The moment at which the run begins, once it is told."""
        while self._start is None:
            await self._next()
        return self._start

    async def take(self) -> list[Lease]:
        """What one user does next, one after another, when there is something; nothing once no more will come."""
        while not self._leases:
            if self._is_last:
                return []
            await self._next()
        found = [self._leases.popleft()]
        while found[-1].more and self._leases:
            found.append(self._leases.popleft())
        return found

    def is_off(self, slot: Slot, now: int, *, follows: bool = False) -> bool:
        """Whether it must not begin any more; it is then in `rest`. follows: a user goes on with it."""
        limits = [limit for limit in (self.until, None if follows else self.ends) if limit is not None]
        if (slot.model, slot.way) in self._stopped or (limits and now >= min(limits)):
            self.rest.append(slot)
            return True
        return False

    def left(self) -> Iterable[Slot]:
        """All that was not begun."""
        return [*self.rest, *(lease.slot for lease in self._leases)]

    async def _next(self) -> None:
        self._news.clear()
        await self._news.wait()
