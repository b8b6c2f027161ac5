"""A typed Python function as a tool: its JSON schema from signature and docstring, its arguments from JSON."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, ParamSpec, TypeVar, overload

import msgspec

from ..errors import SetupError
from ..wire.calls import joined

P = ParamSpec("P")
R = TypeVar("R")

TIMEOUT_S: Final = 60.0

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tool(Generic[P, R]):
    """A function that a model may call, and that is called as before.

    `parameters` is the JSON schema of its arguments; `description` the text of its docstring, without its sections;
    `timeout` its limit in seconds for one call. Names, types and descriptions go to the model's service, the function
    does not.
    """

    def __init__(self, function: Callable[P, R], *, timeout: float = TIMEOUT_S) -> None:
        from .schema import Arguments, owner, unbound

        functools.update_wrapper(self, function, updated=())  # an object's own fields stay its own
        plain = unbound(function)
        self.name: str = getattr(function, "__name__", None) or (owner(plain) or plain).__name__
        if not _NAME.fullmatch(self.name):
            raise SetupError(f"A tool needs a name of letters, digits, _ and -, and {self.name!r} is none: use def.")
        if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
            raise SetupError(f"{self.name} cannot be a tool: it yields. Return a list instead.")
        if not timeout > 0:
            raise SetupError(f"timeout={timeout:g} of the tool {self.name}: give seconds above 0.")
        self.function = function
        self.timeout = timeout
        self._arguments = Arguments(self.name, function)
        self.parameters: dict[str, Any] = self._arguments.schema
        self.description = self._arguments.description

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Tool {self.name}{inspect.signature(self.function)}>"

    @property
    def specification(self) -> dict[str, Any]:
        """What a request says of it, in OpenAI's form."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": {key: value for key, value in function.items() if value != ""}}

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments in a model's JSON, each of its parameter's type; a ValueError says what is wrong with them.

        What is meant is taken: "2" or 2.0 for an int, "true" for a bool, null for a default, an object in a string.
        What the function has no parameter for is left out (see `unknown`).
        """
        given = _object(text)
        try:
            return self._arguments.values(given)
        except ValueError:
            raise
        except Exception as exc:  # a type's own validation may raise anything
            raise ValueError(f"{type(exc).__name__}: {exc}") from exc

    def unknown(self, text: str) -> list[str]:
        """The names in a model's JSON that the function has no parameter for."""
        return [name for name in _object(text) if name not in self.parameters["properties"]]


def _object(text: str) -> dict[str, Any]:
    """The object that a model's JSON is; a ValueError says why it is none."""
    try:
        value = msgspec.json.decode(joined([text]).strip() or "{}")
    except (ValueError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc
    if not isinstance(value, dict):
        raise ValueError("Expected a JSON object")
    return value


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(*, timeout: float = TIMEOUT_S) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, *, timeout: float = TIMEOUT_S) -> Any:
    """Makes a typed function, sync or async, callable by a model: `@hs.tool`, or `@hs.tool(timeout=10)`.

    Its docstring describes it and its parameters (Google's, NumPy's, Sphinx's or Epydoc's form, or lines "name:
    text"), as does `Annotated[…, pydantic.Field(description="…", ge=1)]`. A type may be whatever pydantic knows: its
    models, dataclasses, TypedDicts, enums, Literal, dates, Decimal, Path. A method is one of an object; what a
    `functools.partial` has bound is not offered. The function stays callable as before.

    timeout: seconds that one call may take (60). A sync function runs in a thread, which nothing can end: past its
    time the model goes on without it.

    Raises SetupError for a signature that JSON cannot carry.
    """
    if function is None:
        return functools.partial(tool_of, timeout=timeout)
    return tool_of(function, timeout=timeout)


def tool_of(function: Any, *, timeout: float = TIMEOUT_S) -> Tool[..., Any]:
    """The tool that a function is, or becomes. Raises SetupError where it can be none."""
    if isinstance(function, Tool):
        return function
    if not callable(function) or inspect.isclass(function):
        raise SetupError(f"A tool is a typed Python function, not {function!r:.80}.")
    return Tool(function, timeout=timeout)


def named(functions: Iterable[Any]) -> dict[str, Tool[..., Any]]:
    """Tools by their names. Raises SetupError where two have the same one."""
    if callable(functions):
        functions = (functions,)
    if not isinstance(functions, Iterable) or isinstance(functions, str | bytes | Mapping):
        raise SetupError(
            f"tools is of type {type(functions).__name__}: give typed Python functions, tools=[get_weather]."
        )
    tools: dict[str, Tool[..., Any]] = {}
    for function in functions:
        found = tool_of(function)
        if tools.setdefault(found.name, found) is not found:
            raise SetupError(f"Two tools are called {found.name}: a model could not tell them apart.")
    return tools
