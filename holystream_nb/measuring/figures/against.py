"""One run against an earlier one: what got better, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median as middle
from typing import TYPE_CHECKING, Any, Final

from ...errors import SetupError
from ..values.record import Trial
from ..values.words import counted
from .comparison import WORDS
from .figures import Figures
from .notes import bursts
from .statistics import Interval, Quantile, median, needed, quantile, share
from .tables import Text, legend, shown
from .unpaired import subtracted, subtracted_share

if TYPE_CHECKING:
    from pandas import DataFrame

METRICS: Final = ("ttft_ms", "e2e_s", "tpot_ms", "decode_tokens_per_s")
COLUMNS: Final = (
    "model",
    "figure",
    "before",
    "after",
    "difference",
    "low",
    "high",
    "n_before",
    "n_after",
    "method",
    "verdict",
)

BETTER: Final = "better"
WORSE: Final = "worse"
NO_DIFFERENCE: Final = "no difference shown"
NO_INTERVAL: Final = "no interval at this size"
_WARNING: Final = "WARNING:"
_PERCENTILES: Final = ((0.5, "p50"), (0.95, "p95"))
_LOAD: Final = (
    "concurrency",
    "pause",
    "rate",
    "rate_to",
    "arrivals",
    "transport",
    "wire",
    "cache",
    "caches",
    "reuse",
    "parameters",
    "retries",
    "timeout",
    "simulator",
)
"""Fields of a plan that make another question of it, though the prompts are the same."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one arm in both runs. `method`: unpaired, or by prompt (the median of the prompts' differences)."""

    arm: str
    figure: str
    unit: str
    before: Quantile | Interval
    after: Quantile | Interval
    difference: Quantile | Interval
    method: str
    more_is_better: bool
    error: float = 0.0

    @property
    def verdict(self) -> str:
        """`BETTER`, `WORSE`, `NO_DIFFERENCE` or `NO_INTERVAL`: by the interval, beyond the timing error."""
        low, high, value = self.difference.low, self.difference.high, self.difference.value
        if low is None or high is None or value is None:
            return NO_INTERVAL
        if low <= 0 <= high or abs(value) <= self.error:
            return NO_DIFFERENCE
        return BETTER if (value > 0) == self.more_is_better else WORSE

    @property
    def words(self) -> str:
        """The figure and its unit."""
        return f"{self.figure} ({self.unit})"

    @property
    def cells(self) -> tuple[str, ...]:
        """For a reader: before, after, difference with its interval, verdict."""
        sign = "+" if (self.difference.value or 0) > 0 else ""
        known = [shown(each.value) for each in (self.before, self.after)]
        return (*known, f"{sign}{shown(self.difference)}", self.verdict)


@dataclass(frozen=True, repr=False)
class Against:
    """A later run against an earlier one, arm by arm. It shows itself as a sentence for each arm and a table, in a
    notebook and by `print`.

    changes: p50 and p95 of TTFT, E2E, TPOT and the decode rate, and the share of errors; `table()` has them as numbers.
    notes: what else differs between the runs.
    """

    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    def table(self) -> DataFrame:
        """A row an arm and figure (`COLUMNS`), in the figure's unit; difference is after − before, with its 95 %
        interval where both samples are large enough.
        """
        from pandas import DataFrame

        return DataFrame([_row(change) for change in self.changes], columns=list(COLUMNS))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came out, one for each arm."""
        return tuple(f"{arm}: {_outcome(changes)}." for arm, changes in self._by_arm.items())

    @property
    def _by_arm(self) -> dict[str, list[Change]]:
        found: dict[str, list[Change]] = {}
        for change in self.changes:
            found.setdefault(change.arm, []).append(change)
        return found

    @property
    def text(self) -> Text:
        """The same for a reader: what to be warned of, the sentences, and a group of rows for each arm."""
        rows: list[tuple[str, ...]] = []
        for arm, changes in self._by_arm.items():
            rows += [(arm,), *((each.words, *each.cells) for each in changes)]
        warnings = [note for note in self.notes if note.startswith(_WARNING)]
        return Text(
            ("before", "after", "difference", "verdict"),
            tuple(rows),
            tuple(legend(rows)),
            tuple(note for note in self.notes if note not in warnings),
            (*warnings, *self.sentences),
        )

    def __repr__(self) -> str:
        return self.text.plain()

    def _repr_markdown_(self) -> str:
        return self.text.markdown()


def _outcome(changes: Sequence[Change]) -> str:
    """The verdicts in words, the worse first; of figures without an interval how many requests of how many it takes."""
    parts = []
    for verdict in (WORSE, BETTER):
        by = [f"{each.figure} by {each.cells[2]} {each.unit}" for each in changes if each.verdict == verdict]
        parts += [f"{verdict} in {', '.join(by)}"] if by else []
    same = [each.figure for each in changes if each.verdict == NO_DIFFERENCE]
    parts += [f"{NO_DIFFERENCE} in {', '.join(same)}"] if same else []
    few = [each for each in changes if each.verdict == NO_INTERVAL]
    for least in sorted({each.difference.needed for each in few}):
        those = [each for each in few if each.difference.needed == least]
        n = min(each.difference.n for each in those)
        parts.append(f"too few requests for {', '.join(each.figure for each in those)} ({n} of {least})")
    return "; ".join(parts)


def against(before: Figures, after: Figures) -> Against:
    """The later run against the earlier one; SetupError where their prompts differ or they have no arm in common."""
    if before.plan.prompts != after.plan.prompts:
        raise SetupError(
            f"These runs asked different prompts ({before.path.name}, {after.path.name}): their difference says "
            "nothing about the service. Ask the same prompts again."
        )
    arms = [arm for arm in after.arms if arm in before.arms]
    if not arms:
        raise SetupError(
            f"These runs have no model in common: {', '.join(before.arms)} before, {', '.join(after.arms)} after."
        )
    changes = [change for arm in arms for change in _changes(before, after, arm)]
    return Against(tuple(changes), tuple(_notes(before, after, arms)))


def _changes(before: Figures, after: Figures, arm: str) -> list[Change]:
    label = after.label(arm)
    old, new = (run.steady.counted(run.of(arm)) for run in (before, after))
    found = []
    for metric in METRICS:
        name, unit, *_ = WORDS[metric]
        more_is_better = metric.endswith("_per_s")
        error = _timing_error(before, metric) + _timing_error(after, metric)
        a, b = _values(old, metric), _values(new, metric)
        for p, words in _PERCENTILES[: 1 if more_is_better else 2]:
            if not a or not b:
                continue
            was, now = quantile(a, p), quantile(b, p)
            by_prompt = _by_prompt(old, new, metric) if p == 0.5 else []
            is_paired = len(by_prompt) >= needed(0.5)
            gap = median(by_prompt) if is_paired else subtracted(was, now)
            method = "by prompt" if is_paired else "unpaired"
            found.append(Change(label, f"{name} {words}", unit, was, now, gap, method, more_is_better, error))
    whole = (run.of(arm) for run in (before, after))
    failed, fails = (share(sum(bool(trial.error) for trial in trials), len(trials)) for trials in whole)
    found.append(Change(label, "error rate", "%", failed, fails, subtracted_share(failed, fails), "unpaired", False))
    return found


def _values(trials: Sequence[Trial], metric: str) -> list[float]:
    return [value for trial in trials if not trial.error and (value := getattr(trial.timing, metric)) is not None]


def _by_prompt(old: Sequence[Trial], new: Sequence[Trial], metric: str) -> list[float]:
    """For each prompt that both answered: its median after − its median before."""
    prompts = sorted({trial.prompt for trial in old} & {trial.prompt for trial in new})
    pairs = [
        [_values([trial for trial in trials if trial.prompt == prompt], metric) for trials in (old, new)]
        for prompt in prompts
    ]
    return [middle(b) - middle(a) for a, b in pairs if a and b]


def _timing_error(result: Figures, metric: str) -> float:
    """The calibration's median, in the figure's unit; 0 where it is not known."""
    calibration = result.calibration
    if calibration is None:
        return 0.0
    return {"ttft_ms": calibration.ttft_ms[0], "e2e_s": calibration.e2e_ms[0] / 1e3}.get(metric, 0.0)


def _notes(before: Figures, after: Figures, arms: Sequence[str]) -> list[str]:
    different = [name for name in before.plan.difference(after.plan) if name in _LOAD]
    notes = []
    if different:
        each = ", ".join(f"{name} {_said(before, name)} before, {_said(after, name)} after" for name in different)
        notes.append(f"{_WARNING} not the same question: {each}.")
    sides = (("Before", before), ("After", after))
    notes += [f"{side}: {word}" for side, result in sides for word in bursts(result)]
    if alone := [arm for arm in (*before.arms, *after.arms) if arm not in arms]:
        notes.append(f"In one of the two only, and left out: {', '.join(alone)}.")
    old, new = before.sessions[0], after.sessions[0]
    asked = [name for name in old.addresses if new.addresses.get(name, old.addresses[name]) != old.addresses[name]]
    if not after.simulator:
        notes += [f"{name} was asked at {old.addresses[name]} before, {new.addresses[name]} after." for name in asked]
    if (old.os, old.cpu) != (new.os, new.cpu):
        notes.append("They were measured from different machines.")
    notes.append(f"Differences are after ({_begun(after)}) − before ({_begun(before)}).")
    prompts = counted(len(after.plan.prompts), "prompt")
    notes.append(
        f"It holds for the {prompts} that both runs asked, and for their two times: how much the service differs from "
        "one hour to the next, two runs cannot show."
    )
    return notes


def _begun(result: Figures) -> str:
    return f"{result.sessions[0].started[:16].replace('T', ' ')} UTC"


def _said(result: Figures, name: str) -> Any:
    return getattr(result.plan, name)


def _row(change: Change) -> dict[str, Any]:
    return {
        "model": change.arm,
        "figure": change.words,
        "before": change.before.value,
        "after": change.after.value,
        "difference": change.difference.value,
        "low": change.difference.low,
        "high": change.difference.high,
        "n_before": change.before.n,
        "n_after": change.after.n,
        "method": change.method,
        "verdict": change.verdict,
    }
