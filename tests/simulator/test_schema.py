"""Values for JSON schemas, judged by pydantic, from whose models the schemas come."""

from __future__ import annotations

import datetime
import enum
import ipaddress
import re
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field, StringConstraints, TypeAdapter, create_model

from holystream_nb.simulator.pattern import matching
from holystream_nb.simulator.schema import value_for


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Node(BaseModel):
    name: str = Field(min_length=3)
    children: list[Node]


class Chain(BaseModel):
    value: int = Field(ge=1)
    next: Chain | None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(gt=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


CASES: dict[str, Any] = {
    "ge": Annotated[int, Field(ge=50)],
    "le": Annotated[int, Field(le=-5)],
    "gt and lt": Annotated[float, Field(gt=0, lt=0.01)],
    "narrow": Annotated[int, Field(gt=9, lt=11)],
    "multiple": Annotated[int, Field(multiple_of=7, ge=50)],
    "multiple of a part": Annotated[float, Field(multiple_of=0.25, gt=3)],
    "long": Annotated[str, Field(min_length=40)],
    "short": Annotated[str, Field(max_length=2)],
    "pattern": Annotated[str, Field(pattern=r"^[A-Z]{2}-\d{4}(-x)?$")],
    "pattern with bounds": Annotated[str, Field(pattern=r"^[a-z]+\d*$", min_length=12, max_length=20)],
    "choice in a pattern": Annotated[str, Field(pattern=r"^(cat|dog)s?\.(txt|md)$")],
    "escapes": Annotated[str, Field(pattern=r"^\w+@\w+\.[^\s@]{2,}$")],
    "items": Annotated[list[Annotated[int, Field(ge=3, le=5)]], Field(min_length=4)],
    "few items": Annotated[list[int], Field(max_length=0)],
    "set": Annotated[set[int], Field(min_length=4)],
    "set of colours": Annotated[set[Colour], Field(min_length=3)],
    "set of patterns": Annotated[set[Annotated[str, Field(pattern="^[a-f]{3}$")]], Field(min_length=3)],
    "tuple": tuple[int, str, bool],
    "enum": Colour,
    "literal": Literal["a", 2],
    "nullable": Annotated[int, Field(ge=10)] | None,
    "date-time": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
    "duration": datetime.timedelta,
    "uuid": uuid.UUID,
    "ip": ipaddress.IPv4Address,
    "ip 6": ipaddress.IPv6Network,
    "url": AnyUrl,
    "decimal": Annotated[Decimal, Field(ge=2, max_digits=4, decimal_places=2)],
    "mapping": dict[str, Annotated[int, Field(ge=7)]],
    "mapping with names": Annotated[
        dict[Annotated[str, StringConstraints(pattern="^k[0-9]$")], int], Field(min_length=3)
    ],
    "recursion": Node,
    "recursion to null": Chain,
    "union": Annotated[Cat | Dog, Field(discriminator="kind")],
    "union of lists": list[Cat | Dog],
}


def conforms(wanted: Any, prompt: str = "I met Dolly, aged 6.5") -> Any:
    adapter = TypeAdapter(wanted)
    return adapter.validate_python(value_for(adapter.json_schema(), prompt))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("prompt", ["I met Dolly, aged 6.5", "", "-30000 sheep"])
def test_constraints_are_kept(name: str, prompt: str) -> None:
    """What a model of pydantic's demands of a value is true of the simulator's, as pydantic sees it."""
    conforms(CASES[name], prompt)


@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None)
@given(low=st.integers(-1000, 1000), size=st.integers(0, 50), step=st.integers(1, 60))
def test_bounds_and_steps(low: int, size: int, step: int) -> None:
    """Any range that holds a multiple gets one."""
    wanted = Annotated[int, Field(ge=low, le=low + size + step, multiple_of=step)]
    conforms(create_model("Model", number=(wanted, ...), numbers=(Annotated[list[wanted], Field(min_length=3)], ...)))


@pytest.mark.parametrize(
    "pattern", [r"^\d{3}[-. ]?\d{4}$", "a.c", r"[^a-z0-9]+", r"^(?:x|y){2,3}?$", r"^(\w)\1$", "^$", r"\S\D\W", "é|ü"]
)
def test_patterns(pattern: str) -> None:
    """A text is found for each kind of part of a regular expression."""
    for turn in range(3):
        assert re.search(pattern, matching(pattern, 0, None, turn))


def test_impossible_patterns_end() -> None:
    """What no text can match, or what is no expression, still ends."""
    assert isinstance(matching("a(?!a)a", 5, 1, 0), str)
    assert matching("(", 0, None, 0) == ""


def test_recursion_without_an_end_ends() -> None:
    """A schema whose every value would be infinite gets a finite one that is not of it."""
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]}
    assert "a" in value_for(schema, "x")
    assert value_for({"$ref": "#"}, "x") == "x"
