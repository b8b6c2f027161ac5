"""The simulator's models: how long to the first token, how long between tokens. Data, and the schedule made of it.

Jitter is log-normal with the profile's figure as its mean: `exp(N(-s²/2, s))` times the figure. The spreads are the
documents' own: s = 0.37 between tokens makes p99/p50 = 2.4 (002: 67/28, 74/31, 58/25, 41/18, 33/14), s = 0.24 for the
first token makes p95/mean = 1.44 (003: 412/287).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from random import Random

from .faults import Faults

FIRST_SPREAD = 0.24
GAP_SPREAD = 0.37


@dataclass(frozen=True)
class Profile:
    """One model: mean first-token latency and mean gap between tokens, both in ms, and where the figures come from."""

    model: str
    first_ms: float
    gap_ms: float
    source: str
    reasons: bool = False


PROFILES: dict[str, Profile] = {
    profile.model: profile
    for profile in (
        Profile("gpt-4.1", 1240, 48, "HolySheep document 001"),
        Profile("claude-sonnet-4.5", 980, 42, "HolySheep document 001"),
        Profile("gemini-2.5-flash", 380, 18, "HolySheep document 001"),
        Profile("deepseek-v3.2", 290, 12, "HolySheep document 001"),
        # 002 gives gpt-4o a chunk latency (p50) of 28 ms, taken as the gap; the 87 tok/s of the same row does not
        # follow from it (28 ms are 36 a second).
        Profile("gpt-4o", 1247, 28, "HolySheep document 002"),
        Profile("sim-reasoner", 600, 20, "made up for this simulator", reasons=True),
    )
}


@dataclass(frozen=True)
class Schedule:
    """When each token is due: `first` seconds after the request, then one token per item of `gaps` (seconds)."""

    first: float
    gaps: Iterator[float]


def schedule(profile: Profile, speed: float, faults: Faults, seed: str) -> Schedule:
    """The due times of one answer; `speed` is a factor (inf: everything at once), `seed` fixes the jitter.

    `rate` and `first` of the request are real figures: the speed factor does not change them.
    """
    rng = Random(seed)  # noqa: S311 - jitter, not a secret
    first = profile.first_ms / 1000 * _jitter(rng, FIRST_SPREAD) / speed
    gaps: Iterator[float]
    if faults.rate is not None:
        first, gaps = 0.0, repeat(1 / faults.rate)
    elif math.isinf(speed):
        gaps = repeat(0.0)
    else:
        gaps = _jittered(rng, profile.gap_ms / 1000 / speed)
    return Schedule(first if faults.first is None else faults.first, gaps)


def _jittered(rng: Random, mean: float) -> Iterator[float]:
    while True:
        yield mean * _jitter(rng, GAP_SPREAD)


def _jitter(rng: Random, spread: float) -> float:
    return rng.lognormvariate(-spread * spread / 2, spread)
