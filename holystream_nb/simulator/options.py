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


def delay_of(milliseconds: object) -> float:
    """A network's delay in s, from milliseconds, 0 or more."""
    return _number("network_delay_ms", milliseconds, least=0.0) / 1e3


def rate_of(megabits: object) -> float:
    """What a network carries in bytes/s, from megabits a second; inf for None."""
    return math.inf if megabits is None else _number("network_mbit_s", megabits, least=1e-3) * 1e6 / 8


def _number(name: str, value: object, *, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) < math.inf:
        raise ValueError(f"The {name} of a simulator is a number, {least:g} or more, not {value!r}.")
    return float(value)
