"""A function's parameters as pydantic sees them: their JSON schema, and the values in what a model wrote.

Whoever needs it imports it in a function: pydantic takes a tenth of a second.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NotRequired, Required, Union

import docstring_parser
import msgspec
import pydantic
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, to_jsonable_python
from typing_extensions import TypedDict

from ..errors import SetupError
from ..wire.calls import joined, of_python

_KINDS: Final = {
    inspect.Parameter.VAR_POSITIONAL: "*{}",
    inspect.Parameter.VAR_KEYWORD: "**{}",
    inspect.Parameter.POSITIONAL_ONLY: "{}, /",
}
_CONSTRAINTS: Final = (
    "ge",
    "gt",
    "le",
    "lt",
    "multiple_of",
    "pattern",
    "min_length",
    "max_length",
    "title",
    "description",
)
_HEADING: Final = re.compile(r"^(?:Args|Arguments|Parameters|Params):\s*$", re.MULTILINE)
_ERRORS: Final = 3
_MENDINGS: Final = 4
_NOTHING: Final = (None, "", "null", "None")
"""What models write for a default, where it is no value."""


class Arguments:
    """What a function takes: `schema` is its parameters' JSON schema, `description` its docstring without them.

    Raises SetupError where JSON has no form of them, or a model could not give them.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        plain = unbound(function)
        parameters = _parameters(name, function)
        read = _hints(name, plain)
        hints = {parameter.name: _hint(name, parameter, read) for parameter in parameters}
        self._optional = {each.name for each in parameters if each.default is not inspect.Parameter.empty}
        self._type, self.schema = _typed(name, hints)
        properties = self.schema["properties"]
        docstring = inspect.getdoc(plain if plain.__doc__ else owner(plain) or plain)
        self.description, described = _explained(docstring or "", list(hints))
        for parameter in parameters:
            entry = properties.get(parameter.name, {})  # {}: its Field gives it another name
            if parameter.name in described:
                entry.setdefault("description", described[parameter.name])
            if parameter.name in self._optional and not isinstance(parameter.default, FieldInfo):
                try:
                    entry["default"] = to_jsonable_python(parameter.default)
                except ValueError:
                    continue  # the function knows it, and the model need not

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in a model's object, each of its parameter's type.

        What a model left out is left to the function, what there is no parameter for is left out; null is a default
        where it is no value, JSON in a string is what it says where text is none, and a number is text where text is
        wanted. Raises ValueError.
        """
        written = msgspec.json.encode(given)
        for _ in range(_MENDINGS):  # what was in a string may have strings in it
            try:
                return self._type.validate_json(written)
            except pydantic.ValidationError as exc:
                errors = exc.errors(include_url=False, include_context=False, include_input=False)
            mended = self._mended(msgspec.json.decode(written), errors)
            if mended == written:
                break
            written = mended
        said = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors[:_ERRORS]]
        raise ValueError("; ".join(said).removeprefix(": "))

    def _mended(self, given: Any, errors: Sequence[ErrorDetails]) -> bytes:
        for error in errors:
            inside, name, value = None, None, given
            for step in error["loc"]:  # among them names of types
                if step in value if isinstance(value, dict) else isinstance(value, list) and step in range(len(value)):
                    inside, name, value = value, step, value[step]
            if inside is given and name in self._optional and value in _NOTHING:
                del inside[name]
            elif inside is not None and isinstance(value, str):
                inside[name] = _nested(value)
        return msgspec.json.encode(given)


def unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    """What has the types and the docstring: a partial's function, an object's call."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__name__") else function.__call__  # type: ignore[operator]


def owner(plain: Callable[..., Any]) -> type | None:
    """The class of the object whose call this is."""
    return type(plain.__self__) if plain.__name__ == "__call__" else None  # type: ignore[attr-defined]


def _parameters(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    """What a model can give, without what a partial has bound."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as exc:
        raise SetupError(f"{name} cannot be a tool: its parameters cannot be read ({exc}).") from exc
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound |= function.keywords.keys()
        function = function.func
    for parameter in parameters:
        if parameter.kind in _KINDS and parameter.name not in bound:
            written = _KINDS[parameter.kind].format(parameter.name)
            raise SetupError(
                f"{name} cannot be a tool: a model gives arguments by name, which {written} does not take."
            )
    return [parameter for parameter in parameters if parameter.name not in bound]


def _hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The types of its parameters; names in them may also be local where the tool is made."""
    try:
        try:
            return typing.get_type_hints(function, include_extras=True)
        except NameError:
            return typing.get_type_hints(function, localns=_names_around(), include_extras=True)
    except (NameError, TypeError, ValueError, SyntaxError, AttributeError) as exc:
        raise SetupError(f"{name} cannot be a tool: its types cannot be read ({exc}).") from exc


def _names_around() -> dict[str, Any]:
    """The local names of the code that called this package."""
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{__name__.partition('.')[0]}."):
        frame = frame.f_back
    return dict(frame.f_locals)


def _hint(name: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    """A parameter's type with what describes it, as pydantic reads it."""
    hint = hints.get(parameter.name, parameter.annotation)
    if hint is inspect.Parameter.empty or isinstance(hint, str):
        if parameter.name in ("self", "cls"):
            raise SetupError(
                f"{name} cannot be a tool: it is a method; give the one of an object, tools=[thing.{name}]."
            )
        raise SetupError(f"{name} cannot be a tool: {parameter.name} has no type; write e.g. {parameter.name}: str.")
    if typing.get_origin(hint) is Annotated:
        hint = Annotated[(hint.__origin__, *map(_mark, hint.__metadata__))]
    if isinstance(parameter.default, FieldInfo):
        return Annotated[hint, parameter.default]
    return hint if parameter.default is inspect.Parameter.empty else NotRequired[hint]


def _with_typed_dicts(hint: Any) -> Any:
    """The same with typing_extensions' TypedDict for typing's, which says too little to pydantic before Python 3.12."""
    if typing.is_typeddict(hint) and type(hint).__module__ == "typing":
        fields = typing.get_type_hints(hint, include_extras=True)
        for name, each in fields.items():
            is_said = name in hint.__required_keys__ or typing.get_origin(each) in (Required, NotRequired)
            fields[name] = _with_typed_dicts(each) if is_said else NotRequired[_with_typed_dicts(each)]
        return _typed_dict(hint.__name__, fields)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (None, Literal) or not inner:
        return hint
    if origin is Annotated:
        return Annotated[(_with_typed_dicts(inner[0]), *inner[1:])]
    known = tuple(map(_with_typed_dicts, inner))
    if known == inner:
        return hint
    if origin in (Union, types.UnionType):
        return Union[known]  # noqa: UP007  # there may be any number
    return origin[known[0] if len(known) == 1 else known]


def _mark(mark: Any) -> Any:
    """What stands in Annotated: a text describes, msgspec's Meta says what a Field of pydantic's says."""
    if isinstance(mark, str):
        return pydantic.Field(description=mark)
    if isinstance(mark, msgspec.Meta):
        said = {name: value for name in _CONSTRAINTS if (value := getattr(mark, name)) is not None}
        return pydantic.Field(examples=mark.examples, json_schema_extra=mark.extra_json_schema, **said)
    return mark


def _typed(name: str, hints: Mapping[str, Any]) -> tuple[pydantic.TypeAdapter[dict[str, Any]], dict[str, Any]]:
    """The arguments as a type, and as a JSON schema."""
    try:
        adapter, schema = _adapter(name, hints)
    except Exception as exc:  # whatever pydantic, or a type itself, makes of it
        for parameter, hint in hints.items():
            try:
                _adapter(name, {parameter: hint})
            except Exception as own:
                bare = typing.get_args(hint)[0] if typing.get_origin(hint) is NotRequired else hint
                kind = getattr(bare, "__name__", None) or bare
                raise SetupError(
                    f"{name} cannot be a tool: JSON has no form of {parameter}'s type {kind}; use str, int, float, "
                    "bool, list, dict, Literal, an Enum, a dataclass, a TypedDict or a pydantic model."
                ) from own
        raise SetupError(f"{name} cannot be a tool: its types have no JSON schema ({exc}).") from exc
    definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return adapter, {
        "type": "object",
        "properties": schema["properties"],
        **({"required": schema["required"]} if "required" in schema else {}),
        "additionalProperties": False,
        **definitions,
    }


def _adapter(name: str, hints: Mapping[str, Any]) -> tuple[pydantic.TypeAdapter[dict[str, Any]], dict[str, Any]]:
    if sys.version_info < (3, 12):
        hints = {parameter: _with_typed_dicts(hint) for parameter, hint in hints.items()}
    typed = _typed_dict(name, hints)
    typed.__pydantic_config__ = pydantic.ConfigDict(coerce_numbers_to_str=True)  # a house number, a year, an id
    adapter: pydantic.TypeAdapter[dict[str, Any]] = pydantic.TypeAdapter(typed)
    return adapter, adapter.json_schema(schema_generator=_Schema)


def _typed_dict(name: str, fields: Mapping[str, Any]) -> Any:
    make: Any = TypedDict  # whose fields are known only now
    return make(name, dict(fields))


class _Schema(GenerateJsonSchema):
    """Without titles that only repeat the names, and without warnings: what has no JSON form is simply not said."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default", "skipped-discriminator"}  # noqa: RUF012  # pydantic's own way

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _nested(text: str) -> Any:
    """The object or the list that a string holds as JSON, or that a string in it does; else the string."""
    value: Any = text
    while isinstance(value, str):  # each is shorter than the one it is in
        try:
            written = joined([value])
            value = msgspec.json.decode(of_python(written) or written)
        except (ValueError, RecursionError):
            return text
    return value if isinstance(value, dict | list) else text


def _explained(docstring: str, names: list[str]) -> tuple[str, dict[str, str]]:
    """The text of a docstring, and what it says of these parameters.

    In Google's, NumPy's, Sphinx's or Epydoc's form, or in lines "name: text" of which deeper lines go on.
    """
    parsed = docstring_parser.parse(f"Tool.\n\n{docstring}")  # one may begin with its sections, which would not be read
    described = {each.arg_name: " ".join((each.description or "").split()) for each in parsed.params}
    text = parsed.long_description or ""
    for name in names:
        line = re.compile(
            rf"^(?P<indent>[ \t]*){name}:[ \t]+(?P<text>\S.*(?:\n(?P=indent)[ \t]+\S.*)*)\n?", re.MULTILINE
        )
        if name not in described and (found := line.search(text)):
            described[name] = " ".join(found["text"].split())
            text = text[: found.start()] + text[found.end() :]
    text = _HEADING.sub("", text)
    paragraph, _, rest = text.strip().partition("\n\n")
    paragraphs = [" ".join(paragraph.split()), rest.strip("\n")]
    return "\n\n".join(filter(None, paragraphs)), {name: said for name, said in described.items() if said}
