"""What never prints: a key, and the values of headers and queries, which are treated as keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, NoReturn, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class Key:
    """A key that never prints: not in text, tracebacks, pickles or JSON. `reveal()` gives it.

    White space around it is dropped. Keys are compared by identity.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str | Key) -> None:
        self.__value: str = value.reveal() if isinstance(value, Key) else value.strip()

    def reveal(self) -> str:
        """The key itself: for the request's header only."""
        return self.__value

    def __repr__(self) -> str:
        return "Key(…)"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __getstate__(self) -> NoReturn:
        raise TypeError("A key is never copied or pickled.")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A key is never copied or pickled.")


class Sealed:
    """Any value that a door was given and that may hold a key, until it is read; it never prints."""

    __slots__ = ("__value",)

    def __init__(self, value: object) -> None:
        self.__value = value

    def open(self) -> object:
        return self.__value

    def __repr__(self) -> str:
        return "Sealed(…)"

    def __getstate__(self) -> NoReturn:
        raise TypeError("What may hold a key is never copied or pickled.")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("What may hold a key is never copied or pickled.")


Secrets = tuple[tuple[str, Key], ...]
"""Names with values that are treated as keys: those of headers and of a query."""


SECRET: Final = frozenset({"api_key", "headers", "query", "base_url"})
"""Keywords of doors that may hold keys; a base_url may have them in its query."""


def sealing(door: F) -> F:
    """A door whose frame shows no key in a traceback: what may hold one arrives `Sealed`, also in mappings."""

    @wraps(door)
    def sealed(*given: Any, **keywords: Any) -> Any:
        given = tuple(_sealed("", each) for each in given)
        for name in keywords:
            keywords[name] = _sealed(name, keywords[name])
        return door(*given, **keywords)

    return cast(F, sealed)


def _sealed(name: str, value: Any) -> Any:
    if name in SECRET:
        return value if value is None or isinstance(value, Key | Sealed) else Sealed(value)
    if type(value) is dict and value.keys() & SECRET:
        return {each: _sealed(each, inner) for each, inner in value.items()}
    if type(value) is list and any(type(each) is dict and each.keys() & SECRET for each in value):
        return [_sealed("", each) for each in value]
    return value


def merged(below: Secrets, above: Secrets) -> Secrets:
    """Both, with those of `above` where a name is in both, in any case."""
    names = {name.lower() for name, _ in above}
    return (*(pair for pair in below if pair[0].lower() not in names), *above)
