"""Pairs of a run of two arms, in the order of its schedule and up to the first that still runs.

Those that end next are a choice of quick ones: a run that stops by what it found must not look at them.
"""

from __future__ import annotations

from collections import Counter

from .plan import Plan
from .record import Lost, Trial, Warmup
from .schedule import Slot, blocks

Pair = tuple[Trial | None, Trial | None]
"""The first and the second arm's request of one prompt and repeat; None for one that was lost and not made again."""

_MADE_AGAIN = 1
"""How often a sitting makes a request again whose worker died."""

_Key = tuple[str, str, int, int]


class Pairs:
    """Takes in what ended, in any order, and gives out pairs in theirs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._arms = list(plan.arms.values())
        self._ahead = blocks(plan)
        self._next = next(self._ahead, None)
        self._ended: dict[_Key, Trial] = {}
        self._lost: Counter[tuple[int, _Key]] = Counter()
        self._gone: set[_Key] = set()

    def add(self, record: Trial | Lost) -> list[Pair]:
        """The pairs that are whole now, and all before them."""
        if isinstance(record, Warmup) or record.repeat < 0:
            return []
        key = record.model, record.way, record.prompt, record.repeat
        if isinstance(record, Trial):
            self._ended[key] = record
        else:
            self._lost[record.session, key] += 1
            if self._lost[record.session, key] > _MADE_AGAIN:
                self._gone.add(key)
        found = []
        while self._next is not None and all(map(self._is_over, self._next)):
            slot = self._next[0]
            first, second = (self._ended.get((*arm, slot.prompt, slot.repeat)) for arm in self._arms)
            found.append((first, second))
            self._next = next(self._ahead, None)
        return found

    def _is_over(self, slot: Slot) -> bool:
        key = self._plan.models[slot.model], list(self._plan.ways)[slot.way], slot.prompt, slot.repeat
        return key in self._ended or key in self._gone
