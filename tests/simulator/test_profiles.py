"""Latency profiles and the schedules made of them."""

from __future__ import annotations

import math
from itertools import islice
from statistics import mean

import pytest

from holystream_nb.simulator.faults import Faults, parse
from holystream_nb.simulator.profiles import PROFILES, schedule


@pytest.mark.parametrize(
    ("model", "first", "gap"),
    [
        ("gpt-4.1", 1240, 48),
        ("claude-sonnet-4.5", 980, 42),
        ("gemini-2.5-flash", 380, 18),
        ("deepseek-v3.2", 290, 12),
        ("gpt-4o", 1247, 28),
    ],
)
def test_profiles_are_the_documents(model: str, first: float, gap: float) -> None:
    """First token and gap are the documents' figures, and the jitter keeps them as means."""
    profile = PROFILES[model]
    assert (profile.first_ms, profile.gap_ms) == (first, gap)
    schedules = [schedule(profile, 1, Faults(), f"seed {n}") for n in range(2000)]
    assert mean(each.first for each in schedules) == pytest.approx(first / 1000, rel=0.03)
    assert mean(islice(schedules[0].gaps, 5000)) == pytest.approx(gap / 1000, rel=0.03)


def test_gaps_spread_as_the_documents_say() -> None:
    """The p99 of the gaps is about 2.4 times their median."""
    gaps = sorted(islice(schedule(PROFILES["gpt-4o"], 1, Faults(), "x").gaps, 20_000))
    assert gaps[19_800] / gaps[10_000] == pytest.approx(2.37, rel=0.08)


def test_same_seed_same_times() -> None:
    """A schedule depends on its seed alone; the speed divides it."""
    one, again, other = (schedule(PROFILES["gpt-4.1"], 1, Faults(), seed) for seed in ("a", "a", "b"))
    fast = schedule(PROFILES["gpt-4.1"], 20, Faults(), "a")
    assert one.first == again.first != other.first
    assert fast.first == pytest.approx(one.first / 20)
    gaps = list(islice(one.gaps, 20))
    assert gaps == list(islice(again.gaps, 20))
    assert [gap * 20 for gap in islice(fast.gaps, 20)] == pytest.approx(gaps)


def test_rate_and_first_are_exact() -> None:
    """`rate` is even and starts at once, `first` is as asked, neither is scaled; full speed waits for nothing."""
    paced = schedule(PROFILES["gpt-4.1"], 20, parse("rate=100"), "a")
    assert (paced.first, list(islice(paced.gaps, 3))) == (0, [0.01] * 3)
    assert schedule(PROFILES["gpt-4.1"], 20, parse("first=2"), "a").first == 2
    fast = schedule(PROFILES["gpt-4.1"], math.inf, Faults(), "a")
    assert (fast.first, list(islice(fast.gaps, 3))) == (0, [0] * 3)
    assert next(schedule(PROFILES["gpt-4.1"], 1, parse("rate=max"), "a").gaps) == 0
