"""A typed Python function as a tool: its JSON schema from signature and docstring, its arguments from JSON."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, ParamSpec, TypeVar, overload

import msgspec

from ..errors import SetupError

P = ParamSpec("P")
R = TypeVar("R")

TIMEOUT_S: Final = 60.0

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECTION: Final = re.compile(r"\s*(?:Args|Arguments|Parameters|Params):\s*")
_DESCRIBED: Final = re.compile(r"(?P<indent>\s*)(?::param\s+)?(?P<name>\w+)(?:\s*\([^)]*\))?:\s+(?P<text>\S.*)")
_KINDS: Final = {
    inspect.Parameter.VAR_POSITIONAL: "*{}",
    inspect.Parameter.VAR_KEYWORD: "**{}",
    inspect.Parameter.POSITIONAL_ONLY: "{}, /",
}


class Tool(Generic[P, R]):
    """A function that a model may call, and that is called as before.

    `parameters` is the JSON schema of its arguments; `description` the first paragraph of its docstring; `timeout` its
    limit in seconds for one call. Names, types and descriptions go to the model's service, the function does not.
    """

    def __init__(self, function: Callable[P, R], *, timeout: float = TIMEOUT_S) -> None:
        functools.update_wrapper(self, function)
        self.name: str = getattr(function, "__name__", type(function).__name__)
        if not _NAME.fullmatch(self.name):
            raise SetupError(f"A tool needs a name of letters, digits, _ and -, and {self.name!r} is none: use def.")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise SetupError(f"{self.name} cannot be a tool: it yields. Return a list instead.")
        if not timeout > 0:
            raise SetupError(f"timeout={timeout:g} of the tool {self.name}: give seconds above 0.")
        self.function = function
        self.timeout = timeout
        self.description, described = _explained(inspect.getdoc(function) or "")
        self._arguments, self.parameters = _schema(self.name, function, described)

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
        """The arguments in a model's JSON, each of its parameter's type; a ValueError says what is wrong with them."""
        try:
            values = msgspec.json.decode(text.strip() or "{}", type=self._arguments)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as exc:
            raise ValueError(str(exc)) from exc
        given = {name: getattr(values, name) for name in self._arguments.__struct_fields__}
        return {name: value for name, value in given.items() if value is not msgspec.UNSET}


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(*, timeout: float = TIMEOUT_S) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, *, timeout: float = TIMEOUT_S) -> Any:
    """Makes a typed function, sync or async, callable by a model: `@hs.tool`, or `@hs.tool(timeout=10)`.

    The first paragraph of its docstring is its description; lines "name: text" (as below "Args:"), or
    `Annotated[…, msgspec.Meta(description="…")]`, describe its parameters. It stays callable as before.

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


def _schema(
    name: str, function: Callable[..., Any], described: Mapping[str, str]
) -> tuple[type[msgspec.Struct], dict[str, Any]]:
    """The arguments as a type, and as a JSON schema."""
    try:
        parameters = inspect.signature(function).parameters.values()
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, ValueError) as exc:
        raise SetupError(f"{name} cannot be a tool: its types cannot be read ({exc}).") from exc
    fields = [_field(name, parameter, hints) for parameter in parameters]
    arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    try:
        (own,), components = msgspec.json.schema_components((arguments,), ref_template="#/$defs/{name}")
    except TypeError as exc:
        raise SetupError(f"{name} cannot be a tool: {exc}.") from exc
    schema = components.pop(own["$ref"].rpartition("/")[2])
    properties: dict[str, Any] = schema["properties"]
    for parameter in parameters:
        entry = properties[parameter.name]
        if parameter.name in described:
            entry.setdefault("description", described[parameter.name])
        if parameter.default is not inspect.Parameter.empty and "default" not in entry:
            try:
                entry["default"] = msgspec.to_builtins(parameter.default, str_keys=True)
            except (TypeError, ValueError):
                continue  # the function knows it, and the model need not
    schema.pop("title")
    return arguments, {**schema, **({"$defs": components} if components else {})}


def _field(name: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> tuple[str, Any, Any]:
    """A parameter as a field of the arguments; one with a default is UNSET where the model leaves it out."""
    if parameter.kind in _KINDS:
        written = _KINDS[parameter.kind].format(parameter.name)
        raise SetupError(f"{name} cannot be a tool: a model gives arguments by name, which {written} does not take.")
    if parameter.name not in hints:
        raise SetupError(f"{name} cannot be a tool: {parameter.name} has no type; write e.g. {parameter.name}: str.")
    hint = hints[parameter.name]
    try:
        msgspec.json.schema_components((hint,))
    except Exception as exc:  # whatever msgspec makes of the type
        kind = getattr(hint, "__name__", None) or hint
        raise SetupError(
            f"{name} cannot be a tool: JSON has no form of {parameter.name}'s type {kind}; "
            "use str, int, float, bool, list, dict, Literal, an Enum, a dataclass or a TypedDict."
        ) from exc
    if parameter.default is inspect.Parameter.empty:
        return parameter.name, hint, msgspec.field()
    return parameter.name, hint, msgspec.field(default_factory=_unset)


def _unset() -> Any:
    return msgspec.UNSET


def _explained(docstring: str) -> tuple[str, dict[str, str]]:
    """The first paragraph, and the descriptions in lines "name: text" after it; deeper lines continue one."""
    paragraph, _, rest = docstring.partition("\n\n")
    lines = paragraph.split("\n")
    heading = next((number for number, line in enumerate(lines) if _SECTION.fullmatch(line)), None)
    if heading is not None:
        rest = "\n".join([*lines[heading:], rest])
        lines = lines[:heading]
    described: dict[str, str] = {}
    name, indent = "", -1
    for line in rest.split("\n"):
        depth = len(line) - len(line.lstrip())
        if name and line.strip() and depth > indent:
            described[name] += f" {line.strip()}"
        elif found := _DESCRIBED.fullmatch(line.rstrip()):
            name, indent = found["name"], depth
            described.setdefault(name, found["text"])
        else:
            name = ""
    return " ".join(line.strip() for line in lines).strip(), described
