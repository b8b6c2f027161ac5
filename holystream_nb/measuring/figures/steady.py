"""The steady part of a closed loop: without the burst in which all users begin, and the end, when few are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ..values.record import Trial
from ..values.run import Run
from ..values.words import counted, digits

LEAST: Final = 20
"""Answers of each arm that the steady part must hold to stand for the run; an arm without any hinders no other."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The windows of a run's steady part, and whether its percentiles are of the requests that began in them.

    windows: of each sitting, from the moment all users had had their first answer to the moment the first user had
        nothing left, in ns after the sitting's origin. Empty in an open loop and with a single user, where all is
        steady.
    is_used: whether every arm that answered at all did so at least `LEAST` times in it; otherwise percentiles are of
        all requests.
    requests, of: how many began in it, of how many.
    """

    windows: Mapping[int, tuple[int, int]]
    is_used: bool
    requests: int
    of: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return sum(max(0, end - start) for start, end in self.windows.values()) / 1e9

    def holds(self, trial: Trial) -> bool:
        """Whether a request began in it."""
        if not self.windows:
            return True
        start, end = self.windows[trial.session]
        return start <= trial.begun <= end

    def counted(self, trials: Sequence[Trial]) -> list[Trial]:
        """The requests of these that percentiles, means and extremes are of."""
        return [trial for trial in trials if self.holds(trial)] if self.is_used else list(trials)

    @property
    def sentence(self) -> str:
        """What percentiles are of, in words; "" where there is nothing to say."""
        if not self.windows or not self.of:
            return ""
        if self.is_used:
            return (
                f"Percentiles are of the steady part ({digits(self.seconds)} s, {self.requests:,} of "
                f"{counted(self.of, 'request')}): all users had had their first answer, and none had nothing left; "
                "the others are in the table of trials, and in pairs."
            )
        return (
            f"Percentiles are of all requests, the burst of the start too: the steady part holds fewer than {LEAST} "
            "answers of some row."
        )

    def __str__(self) -> str:
        return self.sentence or "All is steady: requests came at their own times, or one after the other."


NONE: Final = Steady({}, is_used=True, requests=0, of=0)
"""Of requests that have no part in it."""


def steady(run: Run) -> Steady:
    """The steady part of a run."""
    windows = {}
    if (run.plan.concurrency or 1) > 1:
        for trials in sittings(run):
            firsts, lasts = _users(trials)
            windows[trials[0].session] = max(firsts), min(lasts)
    found = Steady(windows, is_used=True, requests=0, of=len(run.records))
    held = [trial for trial in run.records if found.holds(trial)]
    answered = {
        arm: sum(not trial.error and found.holds(trial) for trial in run.of(arm))
        for arm in run.arms
        if any(not trial.error for trial in run.of(arm))
    }
    is_used = min(answered.values(), default=0) >= LEAST
    return Steady(windows, is_used=is_used, requests=len(held), of=len(run.records))


def sittings(run: Run) -> list[list[Trial]]:
    """The requests of each sitting that made any, with the failures that a later one made again: they took time too."""
    ordered = sorted((*run.records, *run.contents.retried), key=lambda trial: trial.session)
    return [list(trials) for _, trials in groupby(ordered, key=lambda trial: trial.session)]


def _users(trials: Sequence[Trial]) -> tuple[list[int], list[int]]:
    """When each user's first request was over, and when the last one was."""
    first: dict[tuple[int, int], Trial] = {}
    last: dict[tuple[int, int], int] = {}
    for trial in trials:
        user = trial.worker, trial.stream
        if user not in first or trial.begun < first[user].begun:
            first[user] = trial
        last[user] = max(last.get(user, 0), trial.over)
    return [trial.over for trial in first.values()], list(last.values())
