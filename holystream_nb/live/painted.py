"""When the page painted: its clock against the kernel's, from two messages that travel anyway.

The page's clock is the kernel's plus an offset. A message from the kernel says when it was sent, by the kernel's clock:
what the page's clock showed when it came, less that, is at least the offset (`down`). The page's own message says when
it was sent by the page's clock: what the kernel's clock showed when it came, less that, is at least the offset's
negative (`up`). So the offset lies between −up and down, which are a round trip apart: the middle is the estimate, half
of the round trip is how far off it may be (as in RFC 5905, section 8). All in ms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_LONGEST_MS: Final = 60_000.0
"""A round trip longer than this comes of clocks that stood still meanwhile: a lid was closed."""


@dataclass(frozen=True, slots=True)
class Painted:
    """From the first text's read to its picture, and how far off that may be, in ms."""

    ms: float
    error_ms: float


def painted(said: Mapping[str, Any], *, came: float, read: float) -> Painted | None:
    """What a page's `painted` message says; None where it is not to be believed.

    said: `at` and `sent`, when it painted and sent this by its own clock, and `down`. came, read: when this came, and
    when the first text was read, by the kernel's clock.
    """
    at, sent, down = (said.get(name) for name in ("at", "sent", "down"))
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in (at, sent, down)):
        return None
    assert at is not None  # noqa: S101  # they are numbers
    assert sent is not None  # noqa: S101
    assert down is not None  # noqa: S101
    up = came - sent
    trip = down + up
    if not 0 <= trip <= _LONGEST_MS:
        return None
    took = at - (down - up) / 2 - read
    return Painted(max(0.0, took), trip / 2) if took >= -trip / 2 else None
