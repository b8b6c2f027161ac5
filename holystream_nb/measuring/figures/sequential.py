"""Bounds that hold however often one looks: to stop a comparison, or a probe of capacity, when it is decided.

Looking at an ordinary 95 % interval after every pair, and stopping at the first that leaves out 0, finds a difference
where there is none in 35 of 100 runs of 500 pairs, not in 5. Here the evidence is a mixture of likelihood ratios (H.
Robbins, Ann. Math. Stat. 41, 1970, 1397): against "a success has at most the probability p₀" it is

    E = mean over θ, uniform between p₀ and 1, of  (θ / p₀)^k · ((1 − θ) / (1 − p₀))^(n − k)

for k successes in n. Without a difference E is a supermartingale, and by Ville's inequality it ever reaches 1 / α with
a probability of at most α, at whatever moment one stops and for whatever reason. Both directions have α / 2. A success
may be "this pair differs by more than x", which gives an interval for a median that holds at every moment (S. R. Howard
and A. Ramdas, Bernoulli 28, 2022, 1704), without any shape of the distribution, with ties and outliers.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .statistics import CONFIDENCE, Interval, point


@dataclass(frozen=True, slots=True)
class Decision:
    """The median paired difference after so many pairs, with a 95 % interval that is valid whenever one stops.

    value: None without a pair; low, high: None while there are fewer than `needed` pairs.
    pairs, prompts: how many, and of how many prompts. Where each is of another (`is_general`) the finding is for
    prompts like these, otherwise for these prompts only.
    error: the timing error in the same unit: a smaller difference is never decided.
    """

    value: float | None
    low: float | None
    high: float | None
    pairs: int
    prompts: int
    needed: int
    error: float = 0.0

    @property
    def has_interval(self) -> bool:
        return self.low is not None

    @property
    def is_general(self) -> bool:
        return self.pairs == self.prompts

    @property
    def is_decided(self) -> bool:
        """Whether the interval leaves out 0, and the difference is larger than the timing error."""
        if self.value is None or self.low is None or self.high is None:
            return False
        return (self.low > 0 or self.high < 0) and abs(self.value) > self.error


def decided(
    differences: Sequence[float],
    prompts: Sequence[Hashable] | None = None,
    *,
    error: float = 0.0,
    confidence: float = CONFIDENCE,
) -> Decision:
    """Whether pairs tell, so far, which of two is less; to be asked after every one.

    differences: b − a, or log(b / a), of the pairs so far whose two requests succeeded: in the order of the schedule
        and up to the first one that still runs, because the next to end are a choice of quick ones.
    prompts: whose pairs they are; without it each is of a prompt of its own. error: the timing error of a difference.

    The order of prompts must be random, as a schedule's is: then each pair is of any prompt by the same chance, and of
    prompts that come again the finding is for the median over these.
    """
    count = len(differences)
    kinds = count if prompts is None else len({prompt for _, prompt in zip(differences, prompts, strict=True)})
    least = _least_pairs(confidence)
    value = point(differences, 0.5) if count else None
    rank = least_successes(count, 0.5, confidence)
    if rank is None:
        return Decision(value, None, None, count, kinds, least, error)
    ordered = sorted(differences)
    return Decision(value, ordered[count - rank], ordered[rank - 1], count, kinds, least, error)


class Deciding:
    """`decided`, asked after every pair, for runs of thousands: what is known is kept in order.

    It takes nothing in any more once it is decided.
    """

    def __init__(self, *, error: float = 0.0, confidence: float = CONFIDENCE) -> None:
        self._error = error
        self._confidence = confidence
        self._ordered: list[float] = []
        self.differences: list[float] = []
        self.prompts: list[Hashable] = []
        self.is_decided = False

    def add(self, difference: float, prompt: Hashable) -> bool:
        """Whether it is decided, with the pairs so far and this one."""
        if self.is_decided:
            return True
        self.differences.append(difference)
        self.prompts.append(prompt)
        insort(self._ordered, difference)
        count = len(self._ordered)
        rank = least_successes(count, 0.5, self._confidence)
        if rank is not None and (self._ordered[count - rank] > 0 or self._ordered[rank - 1] < 0):
            self.is_decided = self.decision.is_decided
        return self.is_decided

    @property
    def decision(self) -> Decision:
        """As `decided` has it."""
        return decided(self.differences, self.prompts, error=self._error, confidence=self._confidence)


def share_decided(good: int, n: int, target: float, confidence: float = CONFIDENCE) -> bool | None:
    """Whether the share of good requests is above `target` % (True) or below (False); None: not yet.

    To be called after every request. A wrong word is spoken in at most 5 % of probes, looks included, if each request
    is good by the same chance whatever the ones before it were. 105 good ones and no other show 95 %; 6 bad ones of 20
    speak against it.
    """
    if not 0 < target < 100:
        raise ValueError("target is a share in %, between 0 and 100.")
    limit = math.log(2 / (1 - confidence))
    if log_evidence(good, n, target / 100) >= limit:
        return True
    return False if log_evidence(n - good, n, 1 - target / 100) >= limit else None


def share_always(good: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """The share of so many in so many, in %, with an interval that is valid whenever one stops."""
    from scipy.optimize import brentq

    if not n:
        return Interval(None, None, None, 0, 1)
    limit = math.log(2 / (1 - confidence))

    def lowest(successes: int) -> float:
        if not successes:
            return 0.0
        return float(brentq(lambda p: log_evidence(successes, n, p) - limit, 1e-12, min(successes / n, 1 - 1e-12)))

    return Interval(100 * good / n, 100 * lowest(good), 100 * (1 - lowest(n - good)), n, 1)


def log_evidence(successes: int, n: int, p: float) -> float:
    """log E against "a success has at most the probability p": E ≥ 20 comes in at most 5 % of all runs, ever."""
    from scipy.special import betaincc, betaln

    a, b = successes + 1, n - successes + 1
    above = float(betaincc(a, b, p))
    if above <= 0:
        return -math.inf
    base = successes * math.log(p) + (n - successes) * math.log1p(-p)
    return float(betaln(a, b)) + math.log(above) - math.log1p(-p) - base


@lru_cache(maxsize=100_000)
def least_successes(n: int, p: float, confidence: float = CONFIDENCE) -> int | None:
    """The fewest successes of n that speak against "at most p", in one of two directions; None if n are too few."""
    limit = math.log(2 / (1 - confidence))
    low, high = math.floor(n * p), n + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if log_evidence(middle, n, p) >= limit else (middle, high)
    return high if high <= n else None


@lru_cache
def _least_pairs(confidence: float) -> int:
    return next(n for n in range(1, 10_000) if least_successes(n, 0.5, confidence) is not None)
