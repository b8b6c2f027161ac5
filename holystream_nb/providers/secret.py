"""What never prints: a key, and the values of headers and queries, which are treated as keys."""

from __future__ import annotations

from typing import NoReturn


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


Secrets = tuple[tuple[str, Key], ...]
"""Names with values that are treated as keys: those of headers and of a query."""


def merged(below: Secrets, above: Secrets) -> Secrets:
    """Both, with those of `above` where a name is in both, in any case."""
    names = {name.lower() for name, _ in above}
    return (*(pair for pair in below if pair[0].lower() not in names), *above)
