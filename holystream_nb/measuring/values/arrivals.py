"""When requests arrive in an open loop: each arm of a plan by a process of its own, a pure function of the seed.

Arrivals are drawn for a rate of 1 and then stretched to the plan's: a gamma renewal process, whose shape is
`burstiness` (1 is Poisson, below 1 comes in bursts, above 1 is more even; as vLLM's `--burstiness`), or a beat with a
random first moment. Under a ramp from a to b requests a second the k-th arrival comes when the load that has been
offered, the integral of the rate, is that of the k-th arrival at rate 1 (Çinlar's inversion, Lewis & Shedler 1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Final

from ... import kinds
from ...errors import SetupError
from .plan import Plan

KINDS: Final = ("poisson", "constant")


def arrivals_of(given: object, rate: float | None, before: Plan | None) -> str | float | None:
    """Arrivals as given, one of `KINDS` or their burstiness; a run of the first version goes on as it began."""
    if given is not None and rate is None:
        raise SetupError("arrivals are those of an open loop: give rate, in requests a second, as well.")
    if isinstance(given, str):
        return kinds.choice("arrivals", given, KINDS)
    if given is not None:
        return kinds.number("arrivals", given, above=0, unit="burstiness (1 is Poisson, below 1 comes in bursts)")
    return None if rate is None or (before is not None and before.arrivals is None) else KINDS[0]


def rates_of(given: object) -> tuple[float | None, float | None]:
    """A rate as it is given: requests a second, or a pair for a ramp from one to the other."""
    if given is None:
        return None, None
    given = kinds.unpacked(given)
    if isinstance(given, list | tuple):
        if len(given) != 2:
            raise SetupError("rate is a list: give requests a second, or a pair like (1, 10) for a ramp.")
        first, last = (kinds.number("rate", each, above=0, unit="requests a second") for each in given)
        return first, last
    return kinds.number("rate", given, above=0, unit="requests a second"), None


def arrivals(plan: Plan, arm: int) -> Iterator[float]:
    """The moments of an arm's requests, in s after the start, rising, without end.

    A ramp ends with the plan's last request, or its duration where only that ends it; from there its last rate holds.
    """
    rng = Random(f"arrivals {plan.seed} {arm}")  # noqa: S311  # a load, not a secret
    first = plan.rate or 1.0
    last = first if plan.rate_to is None else plan.rate_to
    # At the mean of both rates the ramp ends as the last request is due.
    length = 2 * plan.each / (first + last) if plan.repeats or plan.duration is None else plan.duration
    for offered in _offered(plan.arrivals or KINDS[0], rng):
        yield _moment(offered, first, last, length)


def _offered(kind: str | float, rng: Random) -> Iterator[float]:
    """Arrivals at a rate of 1."""
    if kind == "constant":
        yield from count(rng.random())
    shape = kind if isinstance(kind, float | int) else 1.0
    at = 0.0
    while True:
        at += rng.gammavariate(shape, 1 / shape) if shape != 1 else rng.expovariate(1.0)
        yield at


def _moment(offered: float, first: float, last: float, length: float) -> float:
    """When so many requests have been offered, under a rate that goes from first to last in `length` seconds."""
    if first == last:
        return offered / first
    slope = (last - first) / length
    until = (first + last) / 2 * length
    if offered >= until:
        return length + (offered - until) / last
    return (math.sqrt(first * first + 2 * slope * offered) - first) / slope
