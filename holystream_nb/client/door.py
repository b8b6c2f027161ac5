"""A door whose errors have no frame with what it was given: a traceback shows local variables, and they may be keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import HolystreamError

P = ParamSpec("P")
T = TypeVar("T")


def door(function: Callable[P, T]) -> Callable[P, T]:
    """The function, of whose HolystreamErrors the traceback begins where it was called."""

    @wraps(function)
    def opened(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except HolystreamError as exc:
            failure = exc.with_traceback(None)
            failure.__context__ = failure.__cause__ = None
            args, kwargs = (), {}  # type: ignore[assignment]  # this frame is in the traceback
        raise failure

    return opened
