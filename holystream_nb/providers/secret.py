"""What never prints: a key, and the values of headers and queries, which are treated as keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Final, NoReturn, TypeVar, cast

from ..errors import HolystreamError, SetupError

F = TypeVar("F", bound=Callable[..., Any])


class Key:
    """A key that never prints: not in text, tracebacks, pickles or JSON. `reveal()` gives it.

    White space around it is dropped. Keys are compared by identity.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str | Key) -> None:
        self.__value: str = value.reveal() if isinstance(value, Key) else value.strip()
        _known.pop(mark := hash(self.__value), None)
        _known[mark] = self
        if len(_known) > _MOST_KNOWN:
            _known.pop(next(iter(_known)), None)

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


_known: Final[dict[int, Key]] = {}
_MOST_KNOWN: Final = 500


def known() -> list[Key]:
    """The newest keys that this process was given, for taking them out of texts.

    Values that may be everyday words are not among them: shorter ones than 8 characters, and shorter than 20 without a
    letter and a digit (a header may say `application/json`, or a date).
    """
    return [key for key in [*_known.values()] if _is_secret(key.reveal())]


def _is_secret(value: str) -> bool:
    has_both = any(map(str.isalpha, value)) and any(map(str.isdigit, value))
    return len(value) >= 20 or (len(value) >= 8 and has_both)


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


SECRET: Final = frozenset({"api_key", "headers", "query", "base_url", "parameters"})
"""Keywords of doors that may hold keys; a base_url may have them in its query."""


def sealing(*names: str) -> Callable[[F], F]:
    """A door whose frame shows no key in a traceback: what may hold one arrives `Sealed`.

    That is what has one of these names or of `SECRET`'s, and every keyword that the door itself does not name, since it
    may be a misspelt one. All others arrive open, also from a door that was given them sealed.
    """

    def decorated(door: F) -> F:
        parameters = signature(door).parameters.values()
        order = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        closed = SECRET.union(names)
        plain = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD} - closed

        @wraps(door)
        def sealed_door(*given: Any, **keywords: Any) -> Any:
            named = tuple(sealed(value) if name in closed else value for name, value in zip(order, given, strict=False))
            given = named + given[len(named) :]
            keywords = {name: (opened if name in plain else sealed)(value) for name, value in keywords.items()}
            try:
                return door(*given, **keywords)
            except HolystreamError as exc:  # a key may be given where none is looked for: as a model, as a provider
                failure = exc.with_traceback(None)
                failure.__context__ = failure.__cause__ = None
            except TypeError:
                if not (misfit := _misfit(door, given, keywords)):
                    raise
                failure = SetupError(misfit)
            given, named, keywords = (), (), {}  # this frame is in the traceback
            raise failure

        return cast(F, sealed_door)

    return decorated


def _misfit(door: Callable[..., Any], given: tuple[Any, ...], keywords: dict[str, Any]) -> str:
    """Why a door cannot be called like this, without any value; "" where it can."""
    name = door.__qualname__.removesuffix(".__init__").replace("Session.", "hs.")
    name = name if "." in name or name[0].isupper() else f"hs.{name}"
    form = signature(door)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in form.parameters.values())
    if not takes_any and (unknown := [each for each in keywords if each not in form.parameters]):
        from difflib import get_close_matches

        likely = get_close_matches(unknown[0], form.parameters, n=1)
        return f"{name} does not know {unknown[0]}: {f'did you mean {likely[0]}?' if likely else 'leave it out.'}"
    try:
        form.bind(*given, **keywords)
    except TypeError as exc:
        return f"{name} cannot be called like this: {exc}."
    return ""


def sealed(value: Any) -> Any:
    """The value Sealed, unless there is none, or it never prints anyway."""
    return value if value is None or isinstance(value, Key | Sealed) else Sealed(value)


def opened(value: Any) -> Any:
    """What was sealed, or the value itself."""
    return value.open() if isinstance(value, Sealed) else value


def merged(below: Secrets, above: Secrets) -> Secrets:
    """Both, with those of `above` where a name is in both, in any case."""
    names = {name.lower() for name, _ in above}
    return (*(pair for pair in below if pair[0].lower() not in names), *above)
