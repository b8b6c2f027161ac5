"""Did the limits hold? Each stated limit against what was measured, with its interval: held, broken, or unclear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from ...errors import SetupError
from ..values.plan import LIMITS
from ..values.words import digits
from .figures import Figures
from .statistics import Interval, Quantile, in_words, share
from .summary import WORDS

Verdict = Literal["held", "broken", "unclear"]

_WORDS: Final = {"good_share": "good requests (%)"}
_TEXTS: Final = frozenset({"ended", "price_source", "price_as_of"})


@dataclass(frozen=True, slots=True)
class Check:
    """One limit of one arm. `found` is what was measured, in words; `verdict` follows from its interval alone."""

    arm: str
    name: str
    limit: float
    found: str
    verdict: Verdict

    @property
    def sentence(self) -> str:
        sides = "at least" if _is_floor(self.name) else "at most"
        words = _WORDS.get(self.name) or WORDS[self.name]
        return f"{self.verdict}: {self.arm}: {words} {sides} {self.limit:g}: {self.found}"


def names() -> list[str]:
    """What a limit may be of: a good request's figures, and the columns of the summary."""
    return [*LIMITS, *(name for name in WORDS if name not in _TEXTS)]


def split(limits: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Limits of each request, and those of columns; SetupError names what there is."""
    if unknown := [name for name in limits if name not in names()]:
        raise SetupError(f"There is no figure {', '.join(unknown)} to limit: choose among {', '.join(names())}.")
    return (
        {name: limit for name, limit in limits.items() if name in LIMITS},
        {name: limit for name, limit in limits.items() if name not in LIMITS},
    )


def checks(result: Figures, columns: Mapping[str, float], least: float) -> list[Check]:
    """Of each arm: the share of requests that kept the plan's limits, at least `least` (0 to 1); then each column.

    A figure holds a limit if its whole 95 % interval does, breaks it if none of it does. One without an interval at
    this size is unclear. A plain number has no interval, and is compared as it is. Rates (`…_per_s`) are to be at least
    their limit, everything else at most.
    """
    found = []
    for arm in result.arms:
        label = result.label(arm)
        if result.plan.limits:
            rows = result.rows(arm)
            good, of = int(rows["meets_limits"].astype(bool).sum()), len(rows)
            part = share(good, of)
            verdict = _verdict(part, 100 * least, is_floor=True)
            found.append(Check(label, "good_share", 100 * least, _good(part, good, of), verdict))
        for name, limit in columns.items():
            value = result.cells[arm][name]
            verdict = _verdict(value, limit, is_floor=_is_floor(name))
            found.append(Check(label, name, limit, _in_words(value), verdict))
    return found


def _in_words(value: Any) -> str:
    if value is None:
        return "unknown"
    return in_words(value) if _has_interval(value) else digits(float(value))


def _good(part: Interval, good: int, of: int) -> str:
    edges = "" if part.low is None or part.high is None else f" ({part.low:.1f} to {part.high:.1f} %)"
    return f"{good:,} of {of:,} requests kept the limits{edges}"


def _verdict(value: Any, limit: float, *, is_floor: bool) -> Verdict:
    if value is None or (_has_interval(value) and not value.has_interval):
        return "unclear"
    edges = (value.low, value.high) if _has_interval(value) else (float(value),)
    held = [edge >= limit if is_floor else edge <= limit for edge in edges]
    return "held" if all(held) else "unclear" if any(held) else "broken"


def _has_interval(value: Quantile | Interval | Decimal | float) -> bool:
    return isinstance(value, Quantile | Interval)


def _is_floor(name: str) -> bool:
    return name.endswith("_per_s") or name == "good_share"
