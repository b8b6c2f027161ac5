"""The one place that knows what of a run is left: its requests, its budget, its rate limits, its failures in a row.

Workers of any kind, local or of a cluster, are leased slots a little ahead, and give them back by ending them
(`settle`), by not beginning them (`give_back`), or by dying (`lost`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from ..values.plan import Plan
from ..values.record import Lost, Trial, Warmup
from ..values.schedule import Lease, Slot, chains
from ..values.words import counted
from .budget import Budget
from .pace import Pace
from .row import Row

_HORIZON_NS: Final = 500_000_000
"""How far ahead of the moment that a limiter allows a slot is leased in a closed loop."""

_SCAN: Final = 1_000
"""How many slots of models that must wait are passed over."""

SlotId = tuple[int, int, int, int]
Arm = tuple[int, int]


@dataclass(slots=True)
class _Out:
    """A slot that a worker has. `begun` is when it was, in ns after the session's origin.

    chain: those of one number are done one after another by one user; `leads`: it is the first of them.
    """

    slot: Slot
    chain: int
    leads: bool = True
    begun: int | None = None


@dataclass(slots=True)
class _Health:
    """How an arm does: failures in a row, whether it ever succeeded, how many of its requests are out."""

    row: Row = field(default_factory=Row)
    is_sound: bool = False
    out: int = 0


class Dispatcher:
    """Deals a plan's slots.

    blocks: what is to be made, in order. budget: of the run. paces: of each provider that has a limit, or asked for a
    pause. tokens: what a request is estimated to use, for limits. planned: how many slots there are, if that is known.
    streams: of all workers together. together: whether a block's slots go to one worker. now: ns after the session's
    origin.
    """

    def __init__(
        self,
        plan: Plan,
        blocks: Iterable[Sequence[Slot]],
        budget: Budget,
        paces: Mapping[str, Pace],
        *,
        now: Callable[[], int],
        session: int = 0,
        tokens: Callable[[Slot], int] = lambda slot: 0,
        planned: int | None = None,
        streams: int = 1,
        together: bool = False,
    ) -> None:
        self._plan = plan
        groups = blocks if together else (chain for block in blocks for chain in chains(plan, block))
        self._ahead: Iterator[Sequence[Slot]] = iter(groups)
        self._waiting: deque[Sequence[Slot]] = deque()
        self._out: dict[int, dict[SlotId, _Out]] = {}
        self._budget = budget
        self._providers = [plan.split(model)[0] for model in plan.models]
        self._paces = {name: paces.get(name) or Pace(None, None) for name in self._providers}
        self._now = now
        self._session = session
        self._tokens = tokens
        self._streams = streams
        self._left = planned
        self._models = {model: number for number, model in enumerate(plan.models)}
        self._ways = {way: number for number, way in enumerate(plan.ways)}
        self._health = {arm: _Health() for arm in self._arms()}
        self._again: set[SlotId] = set()
        self._chains = count()
        self._given_up = 0
        self._is_exhausted = self._is_spent = False
        self.closed = ""
        """Why nothing is leased any more, whatever is left: the reason that `close` was given."""
        self.stopped: dict[Arm, str] = {}
        """Arms that are asked no more, each with the sentence that says why."""

    def _arms(self) -> list[Arm]:
        return [(model, way) for model in range(len(self._plan.models)) for way in range(len(self._plan.ways))]

    # What workers get

    def lease(self, worker: int, most: int, due_s: float = math.inf) -> list[Lease]:
        """Slots for up to `most` streams (rounded up to whole blocks where they stay together), fewer where a limit
        says so. A conversation's turns, and a cold request and its warm one, are for one stream, and come together.

        due_s: of an open loop only those that are due until then, in s after the start.
        """
        found: list[Lease] = []
        while heads(found) < most and not (self.closed or self._is_spent):
            group = self._next(due_s)
            if group is None:
                break
            leases = self._granted(worker, group)
            if leases is None:
                self._waiting.appendleft(group)
                break
            self._note(worker, leases)
            if self._left is not None:
                self._left -= len(leases)
            found += leases
        return found

    def lease_warmup(self, worker: int, slot: Slot) -> Lease | None:
        """A warm-up, when the limiter allows it. Its cost was foreseen with the whole run's."""
        pace = self._paces[self._providers[slot.model]]
        at = pace.grant((worker, slot.id), self._tokens(slot), self._now())
        if at is None:
            return None
        self._budget.reserve(slot.model, forced=True)
        lease = Lease(slot, at if pace.is_limited else 0)
        self._note(worker, [lease])
        return lease

    def _note(self, worker: int, leases: Sequence[Lease]) -> None:
        out = self._out.setdefault(worker, {})
        leads, chain = True, 0
        for lease in leases:
            chain = next(self._chains) if leads else chain
            out[lease.slot.id] = _Out(lease.slot, chain, leads)
            self._health[_arm(lease.slot)].out += 1
            leads = not lease.more

    def _next(self, due_s: float) -> Sequence[Slot] | None:
        """The next slots of an arm that may be asked; those of others wait in their order."""
        index = 0
        while index < len(self._waiting):
            group = self._waiting[index]
            if group[0].wait_s > due_s and self._plan.rate is not None:
                return None
            if any(self._must_wait(slot) for slot in group):
                index += 1
                continue
            del self._waiting[index]
            if living := self._living(group):
                return living
        while len(self._waiting) < _SCAN:
            group = next(self._ahead, ())
            if not group:
                self._is_exhausted = True
                return None
            if not (group := self._living(group)):
                continue
            is_late = self._plan.rate is not None and group[0].wait_s > due_s
            if is_late or any(self._must_wait(slot) for slot in group):
                self._waiting.append(group)
                if is_late:
                    return None
                continue
            return group
        return None

    def _living(self, group: Sequence[Slot]) -> Sequence[Slot]:
        return [slot for slot in group if _arm(slot) not in self.stopped] if self.stopped else group

    def _must_wait(self, slot: Slot) -> bool:
        """Whether so many requests of a doubtful arm are out that, if all failed, it would be asked too often."""
        health, most = self._health[_arm(slot)], self._plan.max_failures
        if most is None or (health.is_sound and not health.row) or _arm(slot) in self.stopped:
            return False
        return health.out + len(health.row) >= max(most, self._streams)

    def _granted(self, worker: int, group: Sequence[Slot]) -> list[Lease] | None:
        """The leases of slots that the budget and every limiter allow, which count from now on; None is not now."""
        now, leases = self._now(), list[Lease]()
        last = {chain[-1].id for chain in chains(self._plan, group)}
        for slot in group:
            follows = bool(leases) and leases[-1].more
            if not self._budget.reserve(slot.model, follows=follows):
                if not any(self._out.values()):
                    self._is_spent = True
                self._undo(worker, leases)
                return None
            pace = self._paces[self._providers[slot.model]]
            at = pace.grant((worker, slot.id), self._tokens(slot), now)
            is_far = at is not None and self._plan.rate is None and not follows and at > now + _HORIZON_NS
            if at is None or is_far:
                self._forget(worker, slot)
                self._undo(worker, leases)
                return None
            leases.append(Lease(slot, at if pace.is_limited or at > now else 0, slot.id not in last))
        return leases

    def _undo(self, worker: int, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self._forget(worker, lease.slot)

    def _forget(self, worker: int, slot: Slot) -> None:
        self._budget.release(slot.model)
        self._paces[self._providers[slot.model]].release((worker, slot.id))

    # What workers say

    def begun(self, worker: int, slot: Slot, at: int) -> None:
        """A worker begins a request now (`at`, ns after the session's origin)."""
        out = self._out.setdefault(worker, {})
        if slot.id not in out:  # it was begun before the word came that it should not be
            self._budget.reserve(slot.model, forced=True)
            out[slot.id] = _Out(slot, next(self._chains))
            self._health[_arm(slot)].out += 1
        out[slot.id].begun = at
        self._paces[self._providers[slot.model]].begin((worker, slot.id), self._tokens(slot), at)

    def settle(self, trial: Trial) -> None:
        """A request has ended, whatever came of it."""
        slot_id = self._models[trial.model], trial.prompt, trial.repeat, self._ways[trial.way]
        arm = slot_id[0], slot_id[3]
        pace = self._paces[self._providers[arm[0]]]
        now = self._now()
        if trial.retry_after:
            pace.paused_until = max(pace.paused_until, now + round(trial.retry_after * 1e9))
        used = None if trial.prompt_tokens is None else trial.prompt_tokens + (trial.output_tokens or 0)
        pace.settle(
            (trial.worker, slot_id), 0 if trial.error and used is None else used, trial.retries + trial.resent, now
        )
        out = self._out.get(trial.worker, {}).pop(slot_id, None)
        if out is None:  # it was begun unheard
            self._budget.reserve(arm[0], forced=True)
        else:
            self._health[arm].out -= 1
        self._budget.settle(arm[0], trial.due_usd, again=trial.resent)
        if isinstance(trial, Warmup):
            self._health[arm].is_sound |= not trial.error
        else:
            self._judge(arm, trial, trial.begun if out is None or out.begun is None else out.begun)

    def _judge(self, arm: Arm, trial: Trial, begun: int) -> None:
        health, most = self._health[arm], self._plan.max_failures
        health.row.add(begun, failed=bool(trial.error))
        if not trial.error:
            health.is_sound = True
            return
        row = max(1, len(health.row))  # itself, where one that was begun later has been answered
        if most is not None and row >= most and arm not in self.stopped:
            name = self._plan.arm(self._plan.models[arm[0]], list(self._plan.ways)[arm[1]])
            self.stopped[arm] = (
                f"{name} was asked no more after {counted(row, 'failure')} in a row ({trial.error}: {trial.message})"
            )
            for worker, out in self._out.items():
                mine = [each.slot for each in out.values() if each.begun is None and _arm(each.slot) == arm]
                self._take_back(worker, mine)

    def give_back(self, worker: int, slots: Iterable[Slot]) -> None:
        """Slots that a worker was leased and did not begin: others get them."""
        self._wait(self._take_back(worker, slots))

    def _wait(self, slots: Sequence[Slot]) -> None:
        """These are the next to be leased."""
        self._waiting.extendleft(reversed(chains(self._plan, slots)))

    def _take_back(self, worker: int, slots: Iterable[Slot]) -> list[Slot]:
        taken = [slot for slot in slots if self._out.get(worker, {}).pop(slot.id, None) is not None]
        for slot in taken:
            self._health[_arm(slot)].out -= 1
            self._forget(worker, slot)
        return taken

    def lost(self, worker: int, why: str, *, unheard: int = 0) -> list[Lost]:
        """A worker is gone, and this is what it had begun: each counts as paid for, and is made again once by another.

        unheard: so many of the next ones may have been begun too, before anybody heard of it.
        """
        out = list(self._out.pop(worker, {}).values())
        begun = [each for each in out if each.begun is not None]
        begun += [each for each in out if each.begun is None][:unheard]
        counting = [each.slot for each in begun if each.slot.repeat >= 0]
        again = [slot for slot in counting if slot.id not in self._again]
        unbegun = [each.slot for each in out if each not in begun and each.slot.repeat >= 0]
        ids = {slot.id for slot in (*again, *unbegun)}
        self._wait([each.slot for each in out if each.slot.id in ids])
        records = []
        for each in out:
            self._health[_arm(each.slot)].out -= 1
            if each not in begun:
                self._forget(worker, each.slot)
                continue
            slot, cost = each.slot, self._budget.expected(each.slot.model)
            pace = self._paces[self._providers[slot.model]]
            if each.begun is None:
                pace.begin((worker, slot.id), self._tokens(slot), self._now())
            pace.settle((worker, slot.id), None, self._plan.retries, self._now())
            self._budget.settle(slot.model, None)
            records.append(
                Lost(
                    model=self._plan.models[slot.model],
                    prompt=slot.prompt,
                    repeat=slot.repeat,
                    way=list(self._plan.ways)[slot.way],
                    session=self._session,
                    worker=worker,
                    begun=each.begun,
                    usd=cost,
                    why=why,
                )
            )
        self._again |= {slot.id for slot in again}
        self._given_up += len(counting) - len(again)
        return records

    def close(self, why: str = "duration") -> None:
        """Nothing more is leased: the time is up, or it is enough; the first reason counts."""
        self.closed = self.closed or why

    # How it stands

    @property
    def pauses(self) -> dict[str, int]:
        """Until when each provider asked for silence, in ns after the session's origin."""
        now = self._now()
        return {name: pace.paused_until for name, pace in self._paces.items() if pace.paused_until > now}

    def waiting(self, worker: int) -> int:
        """For how many streams it has something that it has not begun, as far as is known."""
        return sum(each.leads and each.begun is None for each in self._out.get(worker, {}).values())

    def running(self, worker: int) -> int:
        """How many streams have begun something and not ended it, as far as is known."""
        return len({each.chain for each in self._out.get(worker, {}).values()}) - self.waiting(worker)

    @property
    def has_ended(self) -> bool:
        """Whether nothing will be leased any more: a worker that is lost brings nothing back either."""
        return bool(self.closed) or (not any(self._out.values()) and (self._is_spent or not self._is_more))

    @property
    def _is_more(self) -> bool:
        """Whether there are slots of living arms that no worker has."""
        return not self._is_exhausted or any(map(self._living, self._waiting))

    @property
    def left(self) -> int | None:
        """How many of the planned no worker has been leased yet; None where only the duration ends it."""
        return None if self._left is None else max(0, self._left)

    @property
    def is_cut_off(self) -> bool:
        """Whether something is left to do that nothing forbids: its workers are gone, or were lost with it twice."""
        return (self._is_more or self._given_up > 0) and not (self.closed or self._is_spent)

    @property
    def reason(self) -> str:
        """Why it ended, once it has: complete, failures (every arm was dead), max_cost, duration, or decided."""
        if self.closed and self.closed != "duration":
            return self.closed
        if len(self.stopped) == len(self._health):
            return "failures"
        if self._is_spent:
            return "max_cost"
        return "duration" if self.closed and self._is_more else "complete"


def heads(leases: Sequence[Lease]) -> int:
    """For how many streams these are."""
    return sum(not lease.more for lease in leases)


def _arm(slot: Slot) -> Arm:
    return slot.model, slot.way


def deal(dispatcher: Dispatcher, wanted: Mapping[int, int], due_s: float = math.inf) -> dict[int, list[Lease]]:
    """Leases workers what they want, in turns, so that none has all of what is left."""
    found: dict[int, list[Lease]] = {worker: [] for worker in wanted}
    hungry = {worker: most for worker, most in wanted.items() if most > 0}
    while hungry:
        for worker in list(hungry):
            leases = dispatcher.lease(worker, 1, due_s)
            if not leases:
                hungry.clear()
                break
            found[worker] += leases
            hungry[worker] -= heads(leases)
            if hungry[worker] <= 0:
                del hungry[worker]
    return {worker: leases for worker, leases in found.items() if leases}
