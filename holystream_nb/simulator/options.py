"""What a simulator may be given; each function raises ValueError, in one sentence, for what it cannot be."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Final

_LAST_PORT: Final = 65_535


def speed_of(speed: object) -> float | None:
    """A factor above 0; None for as fast as possible, which is written "max", None or inf."""
    if speed is None or speed == "max":
        return None
    if isinstance(speed, bool) or not isinstance(speed, Real) or not float(speed) > 0:
        raise ValueError(f'The speed of a simulator is a number above 0, or "max", not {speed!r}.')
    factor = float(speed)
    return None if math.isinf(factor) else factor


def port_of(port: object) -> int:
    """A port, or 0 for any free one."""
    if isinstance(port, bool) or not isinstance(port, Integral) or not 0 <= int(port) <= _LAST_PORT:
        raise ValueError(f"The port of a simulator is a whole number from 0 (any) to {_LAST_PORT:,}, not {port!r}.")
    return int(port)


def seed_of(seed: object) -> int:
    """A whole number."""
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise ValueError(f"The seed of a simulator is a whole number, not {seed!r}.")
    return int(seed)


def key_of(key: object) -> str:
    """A key that fits into a header; the message does not repeat it."""
    if not isinstance(key, str) or not key.strip() or not key.isascii() or not key.isprintable():
        raise ValueError("The key of a simulator is a text of ASCII characters, or None to accept any.")
    return key
