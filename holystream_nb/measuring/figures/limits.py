"""What limits are of, and whether a request met those that a plan states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..values.record import Trial

SCHEDULED: Final = {"ttft_ms": "ttft_scheduled_ms", "ttfa_ms": "ttfa_scheduled_ms", "e2e_s": "e2e_scheduled_s"}
"""In an open loop a user waits from the moment when the request was due: judged from when it was sent, one that a
limiter or a busy machine held back would look good (coordinated omission)."""


def good(trial: Trial, limits: Mapping[str, float]) -> bool:
    """Whether a request meets all limits; a failure does not, nor one whose figure is unknown."""
    if trial.error:
        return False
    figures = ((judged(trial, name), limit) for name, limit in limits.items())
    return all(figure is not None and figure <= limit for figure, limit in figures)


def judged(trial: Trial, name: str) -> float | None:
    """The figure of a request that a limit is of: TTFT, TTFA and E2E from the scheduled start, where there is one."""
    figure: float | None = getattr(trial.timing, name if trial.scheduled is None else SCHEDULED.get(name, name))
    return figure
