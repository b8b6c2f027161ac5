"""Whether a request met the limits that a plan states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..values.record import Trial

_SCHEDULED: Final = {"ttft_ms": "ttft_scheduled_ms", "e2e_s": "e2e_scheduled_s"}
"""In an open loop a user waits from the moment when the request was due: judged from when it was sent, one that a
limiter or a busy machine held back would look good (coordinated omission)."""


def good(trial: Trial, limits: Mapping[str, float]) -> bool:
    """Whether a request meets all limits; a failure does not, nor one whose figure is unknown.

    TTFT and E2E are those from the scheduled start, where there is one.
    """
    if trial.error:
        return False
    names = limits if trial.scheduled is None else (_SCHEDULED.get(name, name) for name in limits)
    figures = (getattr(trial.timing, name) for name in names)
    return all(figure is not None and figure <= limit for figure, limit in zip(figures, limits.values(), strict=True))
