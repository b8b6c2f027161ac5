"""How much load a service bears within limits: what each probe says, which load to try next, and the answer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ...live.saved import printable
from ...money.exact import exactly
from ..values.words import counted, digits
from .error import quantiles
from .figures import Figures
from .limits import SCHEDULED, good, judged
from .notes import UNMEASURED, bursts, late
from .statistics import CONFIDENCE, Interval, Quantile, quantile, share

if TYPE_CHECKING:
    from pandas import DataFrame

By = Literal["users", "rate"]
Verdict = Literal["within", "beyond", "unclear"]

UNITS: Final[dict[By, tuple[str, str]]] = {"users": ("user", "users"), "rate": ("request/s", "requests/s")}
COLUMNS: Final = (
    "load",
    "n",
    "good",
    "failed",
    "share",
    "low",
    "high",
    "verdict",
    "ttft_p95_ms",
    "requests_per_s",
    "cost_usd",
    "warnings",
)
PRECISION: Final = 0.1
"""The search ends when its two loads are this near, as a part of the lower one (or one user apart)."""

_GROWTH: Final = 1.05
_LEAST_RATE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Probe:
    """What one load gave. `load`: users, or requests/s. `good` of `n` met all limits; `failed` are among the others.

    ttft_p95_ms: of those that succeeded; in an open loop from the scheduled start, as the limits are.
    """

    load: float
    n: int
    good: int
    failed: int
    requests_per_s: float | None = None
    ttft_p95_ms: Quantile | None = None
    cost_usd: Decimal | None = None

    @property
    def share(self) -> Interval:
        """The share of good requests in %, with its exact 95 % interval (Clopper and Pearson)."""
        return _share(self.good, self.n)

    def verdict(self, target: float) -> Verdict:
        """Whether the share of good requests is surely at least `target` (0 to 1), surely less, or neither."""
        found = self.share
        if found.low is not None and found.low >= 100 * target:
            return "within"
        return "beyond" if found.high is not None and found.high < 100 * target else "unclear"


@lru_cache
def _share(good: int, n: int) -> Interval:
    """Kept: a search asks for every probe's again at every step, and one takes a millisecond."""
    return share(good, n)


def probe(result: Figures, load: float, limits: Mapping[str, float] | None = None) -> Probe:
    """What a run of this load says: of the requests of its steady part, where that holds enough; the cost is of all.

    limits: others than its plan's.
    """
    counted = result.steady.counted(result.records)
    limits = limits or result.plan.limits
    succeeded = [trial for trial in counted if not trial.error]
    known = [cost for trial in result.records if (cost := trial.due_usd) is not None]
    with exactly():
        paid = sum(known, Decimal(0))
    return Probe(
        load=load,
        n=len(counted),
        good=sum(good(trial, limits) for trial in counted),
        failed=len(counted) - len(succeeded),
        requests_per_s=result.throughput()["requests_per_s"],
        ttft_p95_ms=quantile([ttft for trial in succeeded if (ttft := judged(trial, "ttft_ms")) is not None], 0.95),
        cost_usd=paid if len(known) == len(result.records) else None,
    )


def needed(target: float) -> int:
    """The fewest requests that can show a share of at least `target`, if all of them are good."""
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(target))


def bounds(probes: Sequence[Probe], target: float) -> tuple[Probe | None, Probe | None]:
    """The largest load surely within the limits, and the smallest one surely beyond them."""
    verdicts = {each.load: each.verdict(target) for each in probes}
    beyond = min((each for each in probes if verdicts[each.load] == "beyond"), key=_load, default=None)
    below = [each for each in probes if verdicts[each.load] == "within" and (beyond is None or each.load < beyond.load)]
    return max(below, key=_load, default=None), beyond


def next_load(probes: Sequence[Probe], *, target: float, by: By, start: float, most: float) -> float | str:
    """The load to try next, or why there is none: found, saturated, not reached, unclear, none.

    Doubling, until a load is surely beyond the limits; halving, while none is surely within. Then the gap between the
    surely-within and its next neighbour is bisected, and the gap below the surely-beyond: what lies between the two, or
    above the one where there is no other, is what so many requests cannot decide.
    """
    if not probes:
        return min(start, most)
    within, beyond = bounds(probes, target)
    ordered = sorted(each.load for each in probes)
    if beyond is None:
        if ordered[-1] < most:
            return "saturated" if _is_saturated(probes) else min(2 * ordered[-1], most)
        if within is None:
            return "unclear"
        if within.load == ordered[-1]:
            return "not reached"
    elif within is None:
        least = 1 if by == "users" else _LEAST_RATE
        return "none" if ordered[0] <= least else max(least, _whole(ordered[0] / 2, by))
    gaps = [(within.load, next(load for load in ordered if load > within.load))]
    if beyond is not None:
        gaps.append((max(load for load in ordered if load < beyond.load), beyond.load))
    for low, high in gaps:
        if (middle := _middle(low, high, by)) is not None:
            return middle
    return "unclear" if beyond is None else "found"


def _middle(low: float, high: float, by: By) -> float | None:
    """A load between two, or None where they are near enough."""
    least = 1 if by == "users" else 0.0
    if high - low <= max(least, PRECISION * low) * (1 + 1e-9):
        return None
    return _whole((low + high) / 2, by)


def _whole(load: float, by: By) -> float:
    return math.floor(load) if by == "users" else float(f"{load:.3g}")


def _is_saturated(probes: Sequence[Probe]) -> bool:
    """Whether throughput at the last two increases of the load was less than 5 % above the best before: more only waits
    longer. One that fell and came back has not grown.
    """
    rates = [each.requests_per_s or 0.0 for each in sorted(probes, key=_load)]
    return len(rates) >= 3 and all(rates[last] < _GROWTH * max(rates[:last]) for last in (-2, -1))


def _load(each: Probe) -> float:
    return each.load


@dataclass(frozen=True)
class CapacityFigures:
    """How many users, or requests/s, a model bears within limits.

    within: the largest load at which the 95 % interval of the share of good requests lies above `share`, None where
        there is none; beyond: the smallest at which it lies below, None where none was met.
    reason: why the search ended: found (within and beyond are near, or what lies between cannot be decided by so many
        requests), not reached (the largest load allowed is within), unclear (that one cannot be decided by so many),
        saturated (throughput grows no more, and no load was surely beyond), none (no load surely keeps them), max_cost,
        stopped.
    probes: what each load gave, by rising load. results: their runs; path: the folder of their files.
    """

    model: str
    limits: dict[str, float]
    share: float
    by: By
    reason: str
    probes: tuple[Probe, ...]
    results: tuple[Figures, ...]
    path: Path

    @property
    def within(self) -> float | None:
        low, _ = bounds(self.probes, self.share)
        return None if low is None else low.load

    @property
    def beyond(self) -> float | None:
        _, high = bounds(self.probes, self.share)
        return None if high is None else high.load

    def table(self) -> DataFrame:
        """A row a load (`COLUMNS`): good of n requests met all limits, share, low and high in % (95 % interval), what
        that says, p95 TTFT of those that succeeded (by rate from the scheduled start), requests/s that succeeded, their
        cost, and how many warnings the load's run has in its notes.
        """
        from pandas import DataFrame

        return DataFrame([self._row(each) for each in self.probes], columns=list(COLUMNS))

    def _row(self, each: Probe) -> dict[str, Any]:
        found = each.share
        return {
            "load": each.load,
            "n": each.n,
            "good": each.good,
            "failed": each.failed,
            "share": found.value,
            "low": found.low,
            "high": found.high,
            "verdict": each.verdict(self.share),
            "ttft_p95_ms": None if each.ttft_p95_ms is None else each.ttft_p95_ms.value,
            "requests_per_s": each.requests_per_s,
            "cost_usd": each.cost_usd,
            "warnings": sum(map(_is_warning, self._notes(each))),
        }

    def _run(self, each: Probe | None) -> Figures | None:
        if each is None:
            return None
        return next((run for run in self.results if (run.plan.rate or run.plan.concurrency) == each.load), None)

    def _notes(self, each: Probe | None) -> tuple[str, ...]:
        run = self._run(each)
        return () if run is None else run.notes

    @property
    def warnings(self) -> list[str]:
        """What the notes of the loads on either side of the answer warn of, each kind once: `At 38 users: WARNING: …`.

        And that the timing error of the one beyond was not measured, where that is so.
        """
        low, high = bounds(self.probes, self.share)
        found: dict[str, str] = {}
        for each in filter(None, (high, low)):
            for note in self._notes(each):
                if _is_warning(note) or (each is high and note == UNMEASURED):
                    found.setdefault(re.sub(r"[\d.,]+", "", note), f"At {self._loads(each.load)}: {note}")
        return list(found.values())

    @property
    def may_be_ours(self) -> bool:
        """Whether the limits may have been broken by the machine that measured, or by what lies before the service:
        answers came in bursts, requests went out late, or without the timing error the load would not be beyond.
        """
        _, high = bounds(self.probes, self.share)
        run = self._run(high)
        if high is None or run is None:
            return False
        return bool(bursts(run)) or late(run) is not None or _within_error(run, high.load, self.share)

    @property
    def sentence(self) -> str:
        """The answer with its uncertainty, in words."""
        low, high = bounds(self.probes, self.share)
        asked = f"at least {100 * self.share:g} % of requests with {limits_in_words(self.limits, self.by)}"
        if low is None and high is None:
            head = f"Nothing is decided yet about {self.model} ({asked})"
        elif low is None and high is not None:
            head = f"{self.model} bears not even {self._loads(high.load)} ({asked}): {said(high)}"
        elif low is not None and high is None:
            head = f"{self.model} bears at least {self._loads(low.load)} ({asked}): {said(low)}"
        else:
            assert low is not None and high is not None  # noqa: S101, PT018  # the last of four cases
            head = (
                f"{self.model} bears {self._loads(low.load)}, but not {high.load:,g} ({asked}): {said(low)} at "
                f"{low.load:,g}, {said(high)} at {high.load:,g}"
            )
        ours = "This may be limited by this machine, and not by the model." if self.may_be_ours else ""
        return " ".join(filter(None, (f"{head}.", ours, self._unclear(), _REASONS[self.reason], self._simulated())))

    def _unclear(self) -> str:
        unclear = [f"{each.load:,g}" for each in self.probes if each.verdict(self.share) == "unclear"]
        return f"Unclear by so many requests: {', '.join(unclear)}." if unclear else ""

    def _simulated(self) -> str:
        found = next((result.simulator for result in self.results if result.simulator), "")
        return f"{found}: no model answered." if found else ""

    def _loads(self, load: float) -> str:
        one, several = UNITS[self.by]
        return f"{load:,g} {one if load == 1 else several}"

    def __repr__(self) -> str:
        return "\n".join(map(printable, (self.sentence, *self.warnings)))


_REASONS: Final = {
    "found": "",
    "unclear": "",
    "none": "",
    "not reached": "Its limit was not reached: that was the largest load allowed.",
    "saturated": "Throughput grows no more: more load only waits longer.",
    "max_cost": "max_cost, or the session's budget, ended the search.",
    "stopped": "The search was stopped; it goes on with path=.",
}


def _is_warning(note: str) -> bool:
    return note.startswith("WARNING")


def _within_error(result: Figures, load: float, target: float) -> bool:
    """Whether the load is no longer beyond limits that are as much wider as the timing error is, at p95."""
    if result.calibration is None:
        return False
    rows = [quantiles(result.calibration, name) for name in ("ttft", "e2e", "gap")]
    ttft, e2e, gap = (row[1].value or 0.0 if row else 0.0 for row in rows)
    slack = {"ttft_ms": ttft, "e2e_s": e2e / 1e3, "tpot_ms": gap}
    limits = {name: limit + slack[name] for name, limit in result.plan.limits.items()}
    return probe(result, load, limits).verdict(target) != "beyond"


def said(each: Probe) -> str:
    """`98 of 100 good (93.0 to 99.8 %)`"""
    found = each.share
    edges = "" if found.low is None or found.high is None else f" ({found.low:.1f} to {found.high:.1f} %)"
    return f"{each.good:,} of {counted(each.n, 'request')} good{edges}"


def limits_in_words(limits: dict[str, float], by: By) -> str:
    """`TTFT up to 800 ms and E2E up to 5.00 s`, by rate `TTFT from the scheduled start up to 800 ms`."""
    words = {"ttft_ms": ("TTFT", "ms"), "tpot_ms": ("TPOT", "ms"), "e2e_s": ("E2E", "s")}
    parts = []
    for name, limit in limits.items():
        word, unit = words.get(name, (name, ""))
        word += " from the scheduled start" if by == "rate" and name in SCHEDULED else ""
        parts.append(f"{word} up to {digits(limit)} {unit}".rstrip())
    return " and ".join(parts)
