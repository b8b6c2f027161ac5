"""Short sittings of one bench over hours or days: a row each, and when something changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...live.saved import printable
from ..values.words import counted, digits
from .changes import FALSE_ALARMS, Change, changes, fewest
from .comparison import WORDS
from .figures import Figures
from .statistics import Quantile, quantile

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS: Final = ("sitting", "started", "model", "n", "failed", "median", "low", "high", "reason")


@dataclass(frozen=True)
class WatchFigures:
    """Sittings of the same prompts and models, in the order of their times.

    metric: whose medians are watched, one of `comparison.WORDS`. planned: how many sittings there are to be.
    results: by sitting (the first is 1), the runs that are there; failed: by sitting, why there is none.
    path: the folder of their files.
    """

    metric: str
    planned: int
    results: Mapping[int, Figures]
    failed: Mapping[int, str]
    path: Path

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm for result in self.results.values() for arm in result.arms))

    def medians(self, arm: str) -> dict[int, Quantile]:
        """The figure's median of each sitting that has one, with its 95 % interval where n permits."""
        found = {}
        for sitting, result in self.results.items():
            timings = [trial.timing for trial in result.steady.counted(result.of(arm)) if not trial.error]
            known = [value for timing in timings if (value := getattr(timing, self.metric)) is not None]
            if known:
                found[sitting] = quantile(known, 0.5)
        return found

    @cached_property
    def changes(self) -> dict[str, list[Change]]:
        """When an arm's median changed: `index` is the first sitting that is another (see `changes.changes`).

        The chance of a false alarm is 5 % for all arms together.
        """
        found = {}
        for arm in self.arms:
            medians = self.medians(arm)
            places = list(medians)
            values = [each.value for each in medians.values() if each.value is not None]
            level = FALSE_ALARMS / len(self.arms)
            found[arm] = [
                Change(places[each.index], each.before, each.after, each.p) for each in changes(values, level=level)
            ]
        return found

    def table(self) -> DataFrame:
        """A row a sitting and arm (`COLUMNS`): the median of the watched figure with its 95 % interval, and of a
        sitting that failed the reason.
        """
        from pandas import DataFrame

        rows: list[list[Any]] = []
        for sitting in sorted({*self.results, *self.failed}):
            if sitting in self.failed:
                rows.append([sitting, "", "", 0, 0, None, None, None, self.failed[sitting]])
                continue
            result = self.results[sitting]
            for arm in result.arms:
                trials = result.of(arm)
                failed = sum(bool(trial.error) for trial in trials)
                found = self.medians(arm).get(sitting)
                figures = [None] * 3 if found is None else [found.value, found.low, found.high]
                started = result.sessions[0].started
                rows.append([sitting, started, result.label(arm), len(trials), failed, *figures, ""])
        return DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(("median", "low", "high"), float))

    @property
    def sentences(self) -> list[str]:
        """What changed, and what is missing."""
        name, unit, *_ = WORDS[self.metric]
        found = []
        for arm, each in self.changes.items():
            count = len(self.medians(arm))
            for change in each:
                started = self.results[change.index].sessions[0].started
                found.append(
                    f"{arm}: {name} changed at sitting {change.index} ({started}): median {digits(change.before)} "
                    f"{unit} before, {digits(change.after)} {unit} from then on (p = {change.p:.4f})."
                )
            if not each:
                least = fewest(FALSE_ALARMS / len(self.arms))
                few = f"; {least} are the fewest that can show one" if count < least else ""
                found.append(f"{arm}: no change of {name} in {counted(count, 'sitting')}{few}.")
        if self.failed:
            found.append(
                f"{counted(len(self.failed), 'sitting')} failed: {', '.join(dict.fromkeys(self.failed.values()))}"
            )
        left = self.planned - len(self.failed) - sum(not is_cut(result) for result in self.results.values())
        if left:
            found.append(
                f"{counted(left, 'sitting')} of {self.planned} still to come: the same call with path= goes on."
            )
        simulator = next((result.simulator for result in self.results.values() if result.simulator), "")
        return [*found, f"{simulator}: no model answered."] if simulator else found

    def __str__(self) -> str:
        return "\n".join(map(printable, self.sentences)) or "No sitting yet."

    __repr__ = __str__


def is_cut(result: Figures) -> bool:
    """Whether ■, or the end of its kernel, ended a sitting: it is still to come, with what it has."""
    ends = result.contents.ends
    return not ends or ends[-1].reason == "cancelled"
