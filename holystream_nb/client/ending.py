"""How an answer ended: one rule, for a request and for a run of several.

What the service has said outranks what we did, and what the network did: an answer whose end has arrived is whole,
whoever ended it. Only where the service has not said its end does it count who or what ended it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ..errors import HolystreamError, ServiceError, StreamInterrupted

Cause = Literal["", "stopped", "length", "deadline", "stalled", "quiet"]
"""What we did: a stop, `stop_after`, `timeout`, too long without output, or without anything after the end."""

AFTER_FINISH_S: Final = 5.0
"""How long usage, an end marker or a further choice may let wait for itself once every choice has finished."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the service has said of the end: its word for why, "" if none, and whether all of the answer has come."""

    finish_reason: str = ""
    is_complete: bool = False


NOTHING: Final = Said()


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended: `finish_reason` as in `Reply`, whether it is whole, and the error it failed with."""

    finish_reason: str
    is_whole: bool
    error: HolystreamError | None = None


def ending(
    said: Said,
    cause: Cause,
    *,
    has_output: bool,
    failure: HolystreamError | None = None,
) -> Ending:
    """The rule. `failure` is what was raised on the way, or by us (a deadline), of whatever origin."""
    if said.is_complete and not isinstance(failure, ServiceError):
        if said.finish_reason or has_output:
            return Ending(said.finish_reason or "stop", is_whole=True)
        return Ending("truncated", is_whole=False, error=failure)
    if cause in ("stopped", "length"):
        return Ending(cause, is_whole=False)
    if failure is not None:
        broken = "interrupted" if isinstance(failure, StreamInterrupted) else "truncated"
        return Ending(broken if has_output else "", is_whole=False, error=failure)
    return Ending(said.finish_reason or "truncated", is_whole=bool(said.finish_reason))
