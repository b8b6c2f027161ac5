"""Figures and counts as people read them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .plan import Plan
    from .record import Trial

_MOST: Final = 4


def digits(value: float) -> str:
    """A figure with three significant digits, and all of those before the point: 1,240 · 28.4 · 0.00352."""
    if math.isinf(value) or math.isnan(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "none"
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    rounded = float(f"{value:.2e}")  # 99.97 is 100
    places = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{places}f}"


def counted(number: int, noun: str) -> str:
    """`1 request`, `1,200 requests`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def endings(trials: Sequence[Trial]) -> str:
    """`2 length limit reached, 1 empty answer`: how answers ended that did not as answers do; "" where all did."""
    found = Counter(trial.ended for trial in trials if trial.ended)
    parts = [f"{count:,} {words}" for words, count in found.most_common(_MOST)]
    others = found.total() - sum(count for _, count in found.most_common(_MOST))
    return ", ".join([*parts, *([f"{others:,} otherwise"] if others else [])])


def asked(plan: Plan) -> list[str]:
    """How much was asked and at what load, in words."""
    prompts = _prompts(plan)
    found = [f"{prompts} × {plan.repeats}" if plan.repeats else prompts]
    found.append(load(plan))
    found += [f"a pause of {plan.pause:g} s between a user's requests"] if plan.pause else []
    return [*found, f"for {plan.duration:g} s"] if plan.duration is not None else found


def _prompts(plan: Plan) -> str:
    """`3 prompts`, `1 conversation of 3 turns`."""
    turns = [number for prompt in range(len(plan.prompts)) if (number := plan.number(prompt)) is not None]
    talks = f"{counted(turns.count(0), 'conversation')} of {counted(len(turns), 'turn')}" if turns else ""
    alone = len(plan.prompts) - len(turns)
    return " and ".join([*([counted(alone, "prompt")] if alone else []), *([talks] if talks else [])])


def load(plan: Plan) -> str:
    """How much is asked at once: `16 at once`, `2 requests/s each, constant arrivals`."""
    if plan.rate is None:
        return f"{plan.concurrency} at once"
    several = len(plan.arms) > 1
    if plan.times:
        return f"a trace of {digits(plan.rate)} requests/s{' each' if several else ''}"
    rate = f"{plan.rate:g}" if plan.rate_to is None else f"{plan.rate:g} to {plan.rate_to:g}"
    each = "" if not several else " together" if plan.arrivals is None else " each"
    kind = plan.arrivals if isinstance(plan.arrivals, str) else f"burstiness {plan.arrivals:g}" if plan.arrivals else ""
    return f"{rate} requests/s{each}{f', {kind} arrivals' if kind not in ('', 'poisson') else ''}"
