"""Whether a request met the limits that a plan states."""

from __future__ import annotations

from collections.abc import Mapping

from ...timing import Timing
from ..values.record import Trial


def good(trial: Trial, timing: Timing, limits: Mapping[str, float]) -> bool:
    """Whether a request meets all limits; a failure does not, nor one whose figure is unknown."""
    if trial.error:
        return False
    figures = (getattr(timing, name) for name in limits)
    return all(figure is not None and figure <= limit for figure, limit in zip(figures, limits.values(), strict=True))
