"""Of which kind a value at a door must be: each function returns it, or says in one sentence what is wrong with it.

numpy's numbers are numbers here. A value that is refused is repeated only where it is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from numbers import Integral, Real
from typing import Any, Final, TypeVar, overload

from .errors import SetupError

T = TypeVar("T", bound=str)

_WORDS: Final = {str: "a text", bytes: "bytes", bool: "True or False", list: "a list", dict: "a mapping"}


def count(name: str, value: object, *, least: int = 0) -> int:
    """A whole number, `least` or more."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise SetupError(f"{_given(name, value)}: give a whole number, {least} or more.")
    return int(value)


def optional_count(name: str, value: object, *, least: int = 0) -> int | None:
    return None if value is None else count(name, value, least=least)


def number(name: str, value: object, *, above: float | None = None, unit: str = "") -> float:
    """A finite number: above `above`, or not negative."""
    is_number = isinstance(value, Real | Decimal) and not isinstance(value, bool)
    found = float(value) if is_number else math.nan  # type: ignore[arg-type]  # both have __float__
    wanted = f"above {above:g}" if above is not None else "0 or more"
    if not math.isfinite(found) or (found <= above if above is not None else found < 0):
        raise SetupError(f"{_given(name, value)}: give a number{unit and f' of {unit}'}, {wanted}.")
    return found


def seconds(name: str, value: object) -> float:
    """A time in seconds, above 0."""
    return number(name, value, above=0, unit="seconds")


def optional_seconds(name: str, value: object) -> float | None:
    return None if value is None else seconds(name, value)


Span = str | float | timedelta
"""A time at a door: "10s", "30min", "2h", "1d", seconds, or a timedelta."""

_UNITS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def span(name: str, value: object) -> float:
    """A `Span` in seconds, above 0."""
    if isinstance(value, timedelta):
        return seconds(name, value.total_seconds())
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*", value)
        if not found or not float(found[1]):
            raise SetupError(f'{name} is {shown(value)}: give seconds, or a text like "30min", "2h".')
        return float(found[1]) * _UNITS[found[2]]
    return seconds(name, value)


def optional_span(name: str, value: object) -> float | None:
    return None if value is None else span(name, value)


def money(name: str, value: object) -> Decimal:
    """An amount in USD above 0, exact: a Decimal, a number, or its text."""
    amount = Decimal("NaN")
    if isinstance(value, Decimal | str) or (isinstance(value, Real) and not isinstance(value, bool)):
        try:
            amount = value if isinstance(value, Decimal) else Decimal(str(value).strip())
        except InvalidOperation:
            amount = Decimal("NaN")
    if not amount.is_finite() or amount <= 0:
        raise SetupError(f"{_given(name, value)}: give an amount in USD above 0, as 0.05.")
    return amount


def optional_money(name: str, value: object) -> Decimal | None:
    return None if value is None else money(name, value)


def text(name: str, value: object, example: str = "") -> str:
    """A text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise SetupError(f"{name} is {kind(value)}: give a text{example and f', as {example}'}.")
    return value


def optional_text(name: str, value: object, example: str = "") -> str | None:
    return None if value is None else text(name, value, example)


def switch(name: str, value: object) -> bool:
    value = plain(value)
    if not isinstance(value, bool):
        raise SetupError(f"{name} is {kind(value)}: give True or False.")
    return value


@overload
def choice(name: str, value: object, among: Sequence[T]) -> T: ...
@overload
def choice(name: str, value: object, among: Mapping[T, Any]) -> T: ...
def choice(name: str, value: object, among: Sequence[T] | Mapping[T, Any]) -> T:
    """One of a few words."""
    for word in among:
        if isinstance(value, str) and value == word:
            return word
    raise SetupError(f"{name} is {shown(value)}: choose one of {', '.join(among)}.")


_LIST: Final = '[{"role": "user", "content": "Hello"}]'


def messages(value: object, name: str = "The prompt") -> list[dict[str, Any]]:
    """A prompt as messages: a text is one of the user's."""
    if isinstance(value, str):
        if not value.strip():
            raise SetupError(f"{name} is empty: give a text, or a list of messages like {_LIST}.")
        return [{"role": "user", "content": value}]
    is_list = isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview)
    if not is_list or not value:
        raise SetupError(f"{name} is {kind(value)}: give a text, or a list of messages like {_LIST}.")
    for each in value:  # type: ignore[attr-defined]  # a Sequence
        if not isinstance(each, Mapping) or not isinstance(each.get("role"), str):
            raise SetupError(
                f"{name} is a list with {kind(each)} in it: give a text, or a list of messages like {_LIST}."
            )
    return [dict(each) for each in value]  # type: ignore[attr-defined]


def unpacked(value: Any) -> Any:
    """A Series, an array, an Index or a column of pandas, polars, numpy, pyarrow or datasets as a list; else itself."""
    if isinstance(value, str | list | tuple | Mapping) or not hasattr(value, "__len__"):
        return value
    for name in ("tolist", "to_list", "to_pylist"):
        if callable(method := getattr(value, name, None)):
            found = method()
            return found if isinstance(found, list) else value
    return list(value) if type(value).__module__.split(".")[0] == "datasets" else value


def plain(value: Any) -> Any:
    """A value for JSON: numpy's and pandas' numbers, texts and arrays inside of it as Python's own, and whole numbers
    that are names as texts."""
    if isinstance(value, Mapping):
        return {
            str(name) if isinstance(name, Integral) and not isinstance(name, bool) else name: plain(each)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "dtype") and callable(getattr(value, "tolist", None)):
        return plain(value.tolist()) if hasattr(value, "__len__") and not isinstance(value, str) else value.item()
    return value


def kind(value: object) -> str:
    """What a value is, in words that do not repeat it."""
    if value is None:
        return "None"
    if isinstance(value, list | tuple | dict | str) and not value:
        return f"an empty {'mapping' if isinstance(value, dict) else 'text' if isinstance(value, str) else 'list'}"
    if isinstance(value, dict) and "role" not in value:
        return "a mapping without a role"
    return _WORDS.get(type(value), f"of type {type(value).__name__}")


def _given(name: str, value: object) -> str:
    """`n=0`, and `n is a list`."""
    what = shown(value)
    is_written = isinstance(value, Real | Decimal | bool) or what.startswith(("'", '"'))
    return f"{name}={what}" if is_written else f"{name} is {what}"


def shown(value: object) -> str:
    """A number or a short word as it is written; anything else as what it is."""
    if isinstance(value, Real | Decimal) and not isinstance(value, bool):
        return f"{value}"[:40]
    is_word = isinstance(value, str) and len(value) <= 20 and value.isprintable()
    return repr(value) if is_word or isinstance(value, bool) else kind(value)
