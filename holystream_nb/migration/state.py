"""How a rollout stands: its sides, its course, what has happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .guard import Figures, Guard

Stage = Literal["running", "complete", "rolled back"]


@dataclass(frozen=True, slots=True)
class Happening:
    """An entry of a rollout's log; `at_s` is since its start."""

    at_s: float
    kind: Literal["started", "stepped up", "alert", "recovered", "rolled back"]
    text: str


@dataclass(frozen=True, slots=True)
class Point:
    """How it stood at one moment; p95 of TTFT in ms, None where unknown."""

    at_s: float
    share: float
    old_ms: float | None
    new_ms: float | None


@dataclass(frozen=True, slots=True)
class State:
    """How a rollout stands.

    share: percent of the traffic that goes to the new side. alerts: those that stand, in words. reason: why it was
    rolled back, or "". over_s: for how long p95 has been over its limit. names: of both sides, `provider:model`.
    history: the course of it, thinned out evenly as it grows long.
    """

    stage: Stage
    share: float
    elapsed_s: float
    old: Figures
    new: Figures
    alerts: tuple[str, ...]
    over_s: float
    reason: str
    events: tuple[Happening, ...]
    history: tuple[Point, ...]
    names: tuple[str, str]
    guard: Guard
