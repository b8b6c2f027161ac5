"""Figures and counts as people read them."""

from __future__ import annotations

import math


def digits(value: float) -> str:
    """A figure with three significant digits, and all of those before the point: 1,240 · 28.4 · 0.00352."""
    if math.isinf(value) or math.isnan(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "none"
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{places}f}"


def counted(number: int, noun: str) -> str:
    """`1 request`, `1,200 requests`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
