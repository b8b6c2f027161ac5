"""The context that sums of money are done in: the caller's own may keep two digits, round up, or trap."""

from __future__ import annotations

from contextlib import AbstractContextManager
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from numbers import Real
from typing import Final

from .. import kinds
from ..errors import SetupError

_CONTEXT: Final = Context(60, ROUND_HALF_EVEN, traps=[DivisionByZero, InvalidOperation, Overflow])
"""Sixty digits hold every price times every count of tokens that there is."""


def exactly() -> AbstractContextManager[Context]:
    """`with exactly():` the sums inside are exact, and what does not come out even is rounded at the 60th digit."""
    return localcontext(_CONTEXT)


def written(value: Decimal, least: int = 0) -> str:
    """For a reader: `1,250`, `12.60`, `0.00012`: hundredths, or two significant digits where there is less.

    value: finite. least: digits behind the point, where fewer are given.
    """
    with exactly():
        most = max(2, 1 - value.adjusted()) if value else 2
        given = -int(value.as_tuple().exponent)
        return f"{value:,.{min(most, max(least, given))}f}"


def decimal(name: str, value: object, wanted: str, *, text: bool = False) -> Decimal:
    """A finite number, numpy's too, digit by digit as it is written; with `text` also a text that is one.

    wanted: what to give, for the sentence that refuses anything else.
    """
    is_number = isinstance(value, Real | Decimal) and not isinstance(value, bool)
    found = None
    if is_number or (text and isinstance(value, str)):
        with exactly():
            try:
                found = Decimal(str(value).strip())
            except InvalidOperation:
                found = None
    if found is None or not found.is_finite():
        raise SetupError(f"{name}={kinds.shown(value)}: give {wanted}.")
    return found
