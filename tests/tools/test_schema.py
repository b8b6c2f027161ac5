"""What a model is told of a function: signatures and docstrings as people write them."""

from __future__ import annotations

import datetime
import enum
import functools
import json
import pathlib
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import msgspec
import openai
import pydantic
import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Tool as TheirTool

import holystream_nb as hs
from holystream_nb.errors import SetupError
from holystream_nb.tools.call import perform
from holystream_nb.tools.function import named


class Unit(enum.Enum):
    """How warmth is said."""

    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(BaseModel):
    """Somewhere."""

    city: str = Field(description="its name", min_length=1)
    near: Optional[Place] = None  # noqa: UP045  # as people write it


@dataclass
class Point:
    x: float
    y: float = 0.0


ORIGIN = Point(1.0)


class Span(TypedDict):
    start: datetime.date
    days: NotRequired[int]


def google(city: str, unit: Unit = Unit.CELSIUS, days: Annotated[int, Field(ge=1, le=9)] = 3) -> str:
    """Says what the weather
    will be.

    Only for *cities*:
      - no villages

    Args:
        city: the name of
            the city: e.g. Paris
        unit (Unit): how to say it
        days (int, optional): how far to look. Defaults to 3.

    Returns:
        A sentence.

    Raises:
        ValueError: Never.
    """
    return ""


def numpy(city: str, unit: Unit = Unit.CELSIUS, days: Annotated[int, Field(ge=1, le=9)] = 3) -> str:
    """Says what the weather
    will be.

    Only for *cities*:
      - no villages

    Parameters
    ----------
    city : str
        the name of
        the city: e.g. Paris
    unit : Unit
        how to say it
    days : int, optional
        how far to look. Defaults to 3.

    Returns
    -------
    str
        A sentence.
    """
    return ""


def sphinx(city: str, unit: Unit = Unit.CELSIUS, days: Annotated[int, Field(ge=1, le=9)] = 3) -> str:
    """Says what the weather
    will be.

    Only for *cities*:
      - no villages

    :param city: the name of
        the city: e.g. Paris
    :param Unit unit: how to say it
    :param days: how far to look. Defaults to 3.
    :type days: int
    :returns: A sentence.
    """
    return ""


def epydoc(city: str, unit: Unit = Unit.CELSIUS, days: Annotated[int, Field(ge=1, le=9)] = 3) -> str:
    """Says what the weather
    will be.

    Only for *cities*:
      - no villages

    @param city: the name of
        the city: e.g. Paris
    @param unit: how to say it
    @type unit: Unit
    @param days: how far to look. Defaults to 3.
    @return: A sentence.
    """
    return ""


def house(city: str, unit: Unit = Unit.CELSIUS, days: Annotated[int, Field(ge=1, le=9)] = 3) -> str:
    """Says what the weather
    will be.

    Only for *cities*:
      - no villages

    city: the name of
        the city: e.g. Paris
    unit: how to say it
    days: how far to look. Defaults to 3.
    """
    return ""


@pytest.mark.parametrize("function", [google, numpy, sphinx, epydoc, house])
def test_docstrings_are_read_in_every_form(function: Callable[..., str]) -> None:
    """What describes the function without its sections, and each parameter on one line."""
    tool = hs.tool(function)
    assert tool.description == "Says what the weather will be.\n\nOnly for *cities*:\n  - no villages"
    assert {name: entry["description"] for name, entry in tool.parameters["properties"].items()} == {
        "city": "the name of the city: e.g. Paris",
        "unit": "how to say it",
        "days": "how far to look. Defaults to 3.",
    }


def test_a_docstring_may_be_only_of_its_parameters() -> None:
    """Or have no blank line before them, or nothing at all."""

    def alone(city: str) -> None:
        """
        Args:
            city: the city
        """

    def close(city: str) -> None:
        """Says.
        Args:
            city: the city
        """

    def none(city: str) -> None: ...

    assert (hs.tool(alone).description, hs.tool(close).description, hs.tool(none).description) == ("", "Says.", "")
    assert [hs.tool(each).parameters["properties"]["city"].get("description") for each in (alone, close, none)] == [
        "the city",
        "the city",
        None,
    ]
    assert "description" not in hs.tool(none).specification["function"]


def plain_schema(schema: dict[str, Any]) -> Any:
    """Without titles, which only repeat names, and with the words that mean the same alike."""
    if isinstance(schema, list):
        return [plain_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: plain_schema(each) for name, each in schema.items() if name != "title" or isinstance(each, dict)}


def everything(
    place: Place,
    span: Annotated[int, Field(description="in days", ge=1, le=9)],
    unit: Unit,
    point: Point,
    how: Literal["long", "short"],
    when: datetime.datetime,
    tags: list[str],
    counts: dict[str, int],
    id: uuid.UUID,
    path: pathlib.Path,
    note: str | None = None,
    units: tuple[Unit, ...] = (),
    price: float = 1.5,
) -> str:
    """Says everything.

    Args:
        place: where
        unit: how to say it
    """
    return ""


def test_the_schema_is_what_pydantic_ai_makes_of_the_same_function() -> None:
    """The parameters, to the last word except titles."""
    theirs = TheirTool(everything).function_schema.json_schema
    assert plain_schema(hs.tool(everything).parameters) == plain_schema(theirs)


def test_the_schema_is_what_the_openai_sdk_makes_of_the_same_fields() -> None:
    """It takes a model instead of a function, and asks for strict arguments, where everything is required."""
    model = pydantic.create_model(
        "weather",
        place=(Place, Field(description="where")),
        days=(Annotated[int, Field(ge=1, le=9)], Field(description="how far")),
        unit=(Unit, ...),
        tags=(list[str], ...),
    )

    def weather(
        place: Annotated[Place, "where"],
        days: Annotated[int, Field(ge=1, le=9, description="how far")],
        unit: Unit,
        tags: list[str],
    ) -> None: ...

    ours = plain_schema(hs.tool(weather).parameters)
    theirs = plain_schema(openai.pydantic_function_tool(model)["function"]["parameters"])
    assert ours["required"] == theirs["required"]
    for name, entry in theirs["properties"].items():
        if name != "place":  # they write it out where it stands, for the description beside a $ref
            assert ours["properties"][name] == entry
    assert ours["properties"]["place"] == {"$ref": "#/$defs/Place", "description": "where"}
    assert ours["$defs"]["Unit"] == theirs["$defs"]["Unit"]


def test_a_mark_in_annotated_describes_and_bounds() -> None:
    """A text, pydantic's Field, msgspec's Meta; and a Field where the default stands. All win over the docstring."""

    def find(
        a: Annotated[str, "from a text"],
        b: Annotated[int, Field(description="from Field", gt=0)],
        c: Annotated[int, msgspec.Meta(description="from Meta", lt=9)],
        d: int = Field(3, description="from the default", le=5),
    ) -> None:
        """Finds.

        Args:
            a: from the docstring
            b: from the docstring
            c: from the docstring
            d: from the docstring
        """

    tool = hs.tool(find)
    assert tool.parameters["properties"] == {
        "a": {"type": "string", "description": "from a text"},
        "b": {"type": "integer", "description": "from Field", "exclusiveMinimum": 0},
        "c": {"type": "integer", "description": "from Meta", "exclusiveMaximum": 9},
        "d": {"type": "integer", "description": "from the default", "maximum": 5, "default": 3},
    }
    assert tool.parameters["required"] == ["a", "b", "c"]
    assert tool.arguments('{"a": "x", "b": 1, "c": 2}') == {"a": "x", "b": 1, "c": 2, "d": 3}
    with pytest.raises(ValueError, match="c: Input should be less than 9"):
        tool.arguments('{"a": "x", "b": 1, "c": 9}')


def weather(city: str, unit: str, days: int = 3) -> str:
    """Says what the weather will be.

    Args:
        city: the city
    """
    return f"{city} {unit} {days}"


class Station:
    """Measures."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arguments = "an object's own field"

    def measure(self, unit: str) -> str:
        """Measures now."""
        return f"{self.name} {unit}"

    @classmethod
    def find(cls, city: str) -> str:
        """Finds one."""
        return f"{cls.__name__} {city}"

    @staticmethod
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    def __call__(self, day: datetime.date) -> str:
        return f"{self.name} {day:%d.%m.}"


class Slow:
    async def __call__(self, city: str) -> str:
        """Waits, then says."""
        return city


@pytest.mark.parametrize(
    ("function", "told", "arguments", "result"),
    [
        (
            functools.partial(weather, unit="K"),
            ("weather", "Says what the weather will be.", ["city", "days"]),
            {"city": "Rome"},
            "Rome K 3",
        ),
        (
            functools.partial(weather, "Rome"),
            ("weather", "Says what the weather will be.", ["unit", "days"]),
            {"unit": "K"},
            "Rome K 3",
        ),
        (
            functools.partial(functools.partial(weather, unit="K"), days=1),
            ("weather", "Says what the weather will be.", ["city"]),
            {"city": "Rome"},
            "Rome K 1",
        ),
        (Station("Oslo").measure, ("measure", "Measures now.", ["unit"]), {"unit": "K"}, "Oslo K"),
        (Station.find, ("find", "Finds one.", ["city"]), {"city": "Rome"}, "Station Rome"),
        (Station.add, ("add", "Adds.", ["a", "b"]), {"a": 1, "b": "2"}, "3"),
        (Station("Oslo"), ("Station", "Measures.", ["day"]), {"day": "2026-01-31"}, "Oslo 31.01."),
        (functools.partial(Station("Oslo")), ("Station", "Measures.", ["day"]), {"day": "2026-01-31"}, "Oslo 31.01."),
        (Slow(), ("Slow", "Waits, then says.", ["city"]), {"city": "Rome"}, "Rome"),
        (
            functools.lru_cache(weather),
            ("weather", "Says what the weather will be.", ["city", "unit", "days"]),
            {"city": "Rome", "unit": "K"},
            "Rome K 3",
        ),
    ],
)
async def test_whatever_can_be_called_can_be_a_tool(
    function: Any, told: tuple[str, str, list[str]], arguments: dict[str, Any], result: str
) -> None:
    """Partials without what they have bound, methods of objects and of classes, objects that can be called."""
    tool = hs.tool(function)
    assert (tool.name, tool.description, list(tool.parameters["properties"])) == told
    assert (await perform(tool, tool.arguments(json.dumps(arguments)))).text == result


def test_a_partial_may_have_a_name_of_its_own() -> None:
    """Two of one function need it."""
    warm = functools.partial(weather, unit="C")
    cold = functools.partial(weather, unit="K")
    cold.__name__ = "cold_weather"  # type: ignore[attr-defined]
    assert list(named([warm, cold])) == ["weather", "cold_weather"]


def test_names_that_are_only_known_where_the_tool_is_made() -> None:
    """All annotations here are text, and these types are local; one refers to itself."""

    class Tree(BaseModel):
        name: str
        children: list[Tree] = []

    def plant(tree: Tree, where: Optional[Tree] = None) -> str:  # noqa: UP045
        return tree.children[0].name

    tool = hs.tool(plant)
    assert tool.parameters["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert plant(**tool.arguments('{"tree": {"name": "a", "children": [{"name": "b"}]}}')) == "b"


@pytest.mark.parametrize("name", ["schema", "json", "model_config", "_hidden", "copy", "self_", "args"])
def test_any_name_can_be_a_parameters(name: str) -> None:
    """Also those that pydantic's models have for themselves."""
    names: dict[str, Any] = {}
    exec(f"def function({name}: int): ...", names)
    assert hs.tool(names["function"]).arguments(f'{{"{name}": 1}}') == {name: 1}


def test_defaults_are_told_where_json_has_a_form_of_them() -> None:
    """What has none is the function's own affair."""

    def find(a: Unit = Unit.KELVIN, b: Point = ORIGIN, c: Any = threading, d: datetime.date | None = None) -> None: ...

    properties = hs.tool(find).parameters["properties"]
    assert [entry.get("default", "none told") for entry in properties.values()] == [
        "kelvin",
        {"x": 1.0, "y": 0.0},
        "none told",
        None,
    ]


def test_typing_s_typed_dicts_are_taken_wherever_they_stand() -> None:
    """Also on Python 3.11, where pydantic takes only those of typing_extensions."""

    def find(a: Span, b: list[Span] | None = None, c: Annotated[dict[str, Span], "c"] = {}) -> None: ...  # noqa: B006

    tool = hs.tool(find)
    (definition,) = tool.parameters["$defs"].values()
    assert (list(definition["properties"]), definition["required"]) == (["start", "days"], ["start"])
    day = datetime.date(2026, 1, 31)
    given = {"a": {"start": "2026-01-31", "days": "2"}, "b": [{"start": "2026-01-31"}]}
    assert tool.arguments(json.dumps(given)) == {"a": {"start": day, "days": 2}, "b": [{"start": day}]}


def _unbound(self, city: str) -> None: ...  # type: ignore[no-untyped-def]
def _callback(city: str, then: Callable[[str], None]) -> None: ...
def _text_type(city: "no type at all") -> None: ...  # type: ignore[valid-type,syntax]  # noqa: F722


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_unbound, r"_unbound cannot be a tool: it is a method; give the one of an object, tools=\[thing\._unbound\]"),
        (Station.measure, "it is a method"),
        (_callback, "JSON has no form of then's type Callable; use str, int"),
        (_text_type, "its types cannot be read"),
        (iter, "iter cannot be a tool"),
        (functools.partial(lambda city: city), "needs a name"),
    ],
)
def test_where_none_is_possible_a_sentence_says_why(function: Any, said: str) -> None:
    """It names the function, the parameter and what to do."""
    with pytest.raises(SetupError, match=said):
        hs.tool(function)


@pytest.mark.slow
def test_pydantic_is_imported_by_the_first_tool_and_not_before() -> None:
    """Importing the package, and the module of tools, stays light."""
    code = "import sys, holystream_nb.tools.run; print({'pydantic', 'docstring_parser', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
