"""Did the limits hold? Each stated limit against what was measured, with its interval: held, broken, or unclear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, Literal

from ...errors import SetupError
from ..values.plan import LIMITS
from ..values.words import counted, digits
from .capacity import needed as needed_of_a_share
from .figures import Figures
from .limits import SCHEDULED
from .statistics import FOR_A_MEAN, Interval, Quantile, in_words, share
from .statistics import needed as needed_for
from .summary import WORDS, waits

Verdict = Literal["held", "broken", "unclear"]

_WORDS: Final = {"good_share": "good requests (%)"}
SHARES: Final = ("good_share", "error_rate")
_SINCE: Final = ", from the scheduled start"
_TEXTS: Final = frozenset({"ended", "price_source", "price_as_of"})


@dataclass(frozen=True, slots=True)
class Check:
    """One limit of one arm. `found` is what was measured, in words; `verdict` follows from its interval alone.

    needed: requests of the arm that may decide what is unclear, 0 where that is not known.
    """

    arm: str
    name: str
    limit: float
    found: str
    verdict: Verdict
    needed: int = 0

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
    if unknown := next((name for name in limits if name not in names()), None):
        begun = [name for name in names() if unknown and name.startswith(unknown)]
        near = begun or get_close_matches(unknown, names(), n=1)
        instead = f"did you mean {near[0]}?" if near else f"choose among {', '.join(names())}."
        raise SetupError(f"There is no figure {unknown} to limit: {instead}")
    return (
        {name: limit for name, limit in limits.items() if name in LIMITS},
        {name: limit for name, limit in limits.items() if name not in LIMITS},
    )


def fewest(name: str, limit: float) -> int:
    """The fewest requests that can show that a limit is kept; 1 where any number can.

    limit: of `good_share` and `error_rate` in %.
    """
    if name in SHARES:
        least = (100 - limit if name == "error_rate" else limit) / 100
        return needed_of_a_share(least) if 0 < least < 1 else 1
    if part := re.search(r"_p(\d\d)_", name):
        return needed_for(int(part[1]) / 100)
    return FOR_A_MEAN if "_mean_" in name else 1


def checks(result: Figures, columns: Mapping[str, float], least: float) -> list[Check]:
    """Of each arm: the share of requests that kept the plan's limits, at least `least` (0 to 1); then each column.

    A figure holds a limit if its whole 95 % interval does, breaks it if none of it does. One without an interval at
    this size is unclear. A plain number has no interval, and is compared as it is. Rates (`…_per_s`) are to be at least
    their limit, everything else at most. In an open loop TTFT, TTFA and E2E are from the scheduled start, which
    `found` says.
    """
    found = []
    for arm in result.arms:
        label = result.label(arm)
        if result.plan.limits:
            rows = result.rows(arm)
            good, of = int(rows["meets_limits"].astype(bool).sum()), len(rows)
            part = share(good, of)
            verdict = _verdict(part, 100 * least, is_floor=True)
            more = _more("good_share", of - good, of, 100 * least) if verdict == "unclear" else 0
            is_from_then = result.plan.rate is not None and not SCHEDULED.keys().isdisjoint(result.plan.limits)
            words = _good(part, good, of) + (_SINCE if is_from_then else "") + _at_least(more)
            found.append(Check(label, "good_share", 100 * least, words, verdict, more))
        waited = {} if result.plan.rate is None else waits(result, arm, result.steady)
        for name, limit in columns.items():
            value = waited.get(name, result.cells[arm][name])
            verdict = _verdict(value, limit, is_floor=_is_floor(name))
            said = _in_words(value) + (_SINCE if name in waited else "")
            more, words = 0, ""
            if verdict == "unclear" and name == "error_rate":
                records = result.of(arm)
                more = _more(name, sum(bool(trial.error) for trial in records), len(records), limit)
                words = _at_least(more)
            elif verdict == "unclear" and _has_interval(value) and not value.has_interval:
                of = len(result.of(arm))
                more = value.needed + of - value.n
                words = _at_least(value.needed) if value.n == of else _of_part(value.n, of, value.needed)
            found.append(Check(label, name, limit, said + words, verdict, more))
    return found


def _more(name: str, bad: int, of: int, limit: float) -> int:
    """About how many requests decide a share, if they go on like these; 0 where no hundred times as many do."""
    if not bad and (all_kept := fewest(name, limit)) > of:
        return all_kept
    n = of
    while of and n < 100 * of:
        n += max(1, n // 50)
        worse = -(-n * bad // of)
        count = worse if name == "error_rate" else n - worse
        if _verdict(share(count, n), limit, is_floor=_is_floor(name)) != "unclear":
            return n
    return 0


def _at_least(requests: int) -> str:
    return f"; about {counted(requests, 'request')} would show it" if requests > 1 else ""


def _of_part(n: int, of: int, needed: int) -> str:
    return f"; it is of {n:,} of {of:,} requests, those of the steady part that succeeded, and {needed:,} are needed"


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
