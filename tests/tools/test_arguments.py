"""Arguments and names as models write them: what is meant runs, and goes back in a form that services take."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, field_validator
from scripted import Says, Service, scripted

import holystream_nb as hs
from holystream_nb import Client
from holystream_nb.tools.call import Answer, Call
from holystream_nb.tools.executor import meant


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with scripted() as running:
        yield running


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(BaseModel):
    city: str
    floors: list[int] = []


@hs.tool
def find(
    city: str = "Rome",
    days: int = 3,
    share: float = 0.5,
    is_exact: bool = False,
    unit: Unit = Unit.CELSIUS,
    place: Place | None = None,
    tags: list[str] = [],  # noqa: B006
    when: datetime.datetime | None = None,
    price: decimal.Decimal = decimal.Decimal(0),
    path: pathlib.Path = pathlib.Path(),
    id: uuid.UUID | None = None,
    anything: Any = None,
    seen: set[int] = frozenset(),  # type: ignore[assignment]
) -> str:
    return city


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"days": "2"}, {"days": 2}),
        ({"days": 2.0}, {"days": 2}),
        ({"days": "2.0"}, {"days": 2}),
        ({"days": None}, {}),
        ({"days": None, "city": "Oslo"}, {"city": "Oslo"}),
        ({"share": "0.25"}, {"share": 0.25}),
        ({"share": 1}, {"share": 1.0}),
        ({"is_exact": "true"}, {"is_exact": True}),
        ({"is_exact": "False"}, {"is_exact": False}),
        ({"is_exact": 1}, {"is_exact": True}),
        ({"unit": "kelvin"}, {"unit": Unit.KELVIN}),
        ({"unit": None}, {}),
        ({"place": None}, {"place": None}),
        ({"place": {"city": "Oslo", "floors": ["1", 2.0]}}, {"place": Place(city="Oslo", floors=[1, 2])}),
        ({"place": '{"city": "Oslo"}'}, {"place": Place(city="Oslo")}),
        ({"place": '{"city": "Oslo"}', "days": "2"}, {"place": Place(city="Oslo"), "days": 2}),
        ({"tags": '["a", "b"]'}, {"tags": ["a", "b"]}),
        ({"city": '["a", "b"]'}, {"city": '["a", "b"]'}),
        ({"city": 75001}, {"city": "75001"}),
        ({"tags": [1, 2.5]}, {"tags": ["1", "2.5"]}),
        ({"tags": '"[1]"'}, {"tags": ["1"]}),
        ({"tags": "['a']"}, {"tags": ["a"]}),
        ({"place": {"city": "Oslo", "floors": "[1]"}}, {"place": Place(city="Oslo", floors=[1])}),
        ({"place": '{"city": "Oslo", "floors": "[1]"}'}, {"place": Place(city="Oslo", floors=[1])}),
        ({"days": "null", "when": "", "place": "None"}, {}),
        ({"city": "null"}, {"city": "null"}),
        ({"anything": "[1]"}, {"anything": "[1]"}),
        ({"when": "2026-01-31T12:00:00Z"}, {"when": datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)}),
        ({"price": "1.10"}, {"price": decimal.Decimal("1.10")}),
        ({"price": 1.1}, {"price": decimal.Decimal("1.1")}),
        ({"path": "a/b"}, {"path": pathlib.Path("a/b")}),
        ({"id": "00000000-0000-0000-0000-000000000001"}, {"id": uuid.UUID(int=1)}),
        ({"seen": [1, 1]}, {"seen": {1}}),
        ({"city": "Oslo", "country": "Norway"}, {"city": "Oslo"}),
        ({}, {}),
    ],
)
def test_what_is_meant_is_taken(given: dict[str, Any], taken: dict[str, Any]) -> None:
    """Each of its parameter's type; what is left out, or null, is left to the function."""
    arguments = find.arguments(json.dumps(given))
    assert arguments == taken
    assert {name: type(value) for name, value in arguments.items()} == {n: type(value) for n, value in taken.items()}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"days": 2.5}, "days: Input should be a valid integer"),
        ({"days": "a few"}, "days: Input should be a valid integer"),
        ({"is_exact": "perhaps"}, "is_exact: Input should be a valid boolean"),
        ({"city": None, "days": "a few"}, "days: Input should be a valid integer"),
        ({"unit": "rankine"}, "unit: Input should be 'celsius' or 'kelvin'"),
        ({"place": {"floors": []}}, "place.city: Field required"),
        ({"place": "{broken"}, "place: Input should be an object"),
        ({"tags": "a"}, "tags: Input should be a valid array"),
        ({"city": True}, "city: Input should be a valid string"),
        ({"anything": json.loads("[" * 900 + "]" * 900)}, "^Invalid JSON: recursion limit exceeded"),
        ({"days": "x", "share": "x", "tags": 1, "unit": 1}, "days: .*; share: .*; unit: [^;]*$"),
    ],
)
def test_what_cannot_be_meant_is_named(given: dict[str, Any], said: str) -> None:
    """By its place, and without what was given; the first three of many."""
    with pytest.raises(ValueError, match=said) as caught:
        find.arguments(json.dumps(given))
    assert "\n" not in str(caught.value)


def test_a_validator_of_the_users_may_raise_anything() -> None:
    """It is an answer to the model, whatever it is."""

    class Odd(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def check(cls, x: int) -> int:
            raise KeyError("odd")

    @hs.tool
    def take(odd: Odd) -> None: ...

    with pytest.raises(ValueError, match="KeyError"):
        take.arguments('{"odd": {"x": 1}}')


@pytest.mark.parametrize(
    "name",
    [
        "find",
        " find ",
        "find\n",
        "functions.find",
        "function.find",
        "tools.find",
        "default_api.find",
        "default_api:find",
        "functions.find:0",
        "find:12",
        "find()",
        "find<|channel|>commentary",
        "find<|channel|>json",
        "functions.find <|constrain|>json",
        "server/find",
        "functions::find",
        "Find",
        "`FIND`",
        '"find"',
    ],
)
def test_the_tool_that_is_meant_is_found(name: str) -> None:
    """With what a model's own format puts around its name."""
    assert meant(name, {"find", "commentary", "json"}) == "find"


@pytest.mark.parametrize(
    "name", ["", "fin", "find_all", "functions.", "find find", "a" * 10**5, "a." * 10**5, "<|find|>", "Save"]
)
def test_another_name_is_no_tools(name: str) -> None:
    """Nothing is guessed, nor which of two is meant that differ in their letters' case alone."""
    assert meant(name, {"find", "save", "SAVE"}) is None


@pytest.mark.parametrize(
    ("call", "echoed", "result"),
    [
        (("functions.find", '{"city": "Oslo"}'), ("find", '{"city": "Oslo"}'), "Oslo"),
        (("find<|channel|>commentary", "{}"), ("find", "{}"), "Rome"),
        (("find", json.dumps('{"city": "Oslo"}')), ("find", '{"city": "Oslo"}'), "Oslo"),
        (("find", '{}{"city": "Oslo"}'), ("find", '{"city": "Oslo"}'), "Oslo"),
        (("find", '{"city": "Oslo"}{"city": "Oslo"}'), ("find", '{"city": "Oslo"}'), "Oslo"),
        (("find", '```json\n{"city": "Oslo"}\n```'), ("find", '{"city": "Oslo"}'), "Oslo"),
        (
            ("find", '{"city": "Oslo", "day": 1}'),
            ("find", '{"city": "Oslo", "day": 1}'),
            "Oslo\n[left out, find has no such parameter: day]",
        ),
        (("rm -rf /", "{}"), ("rm_-rf__", "{}"), "Error: there is no tool 'rm_-rf__'; there are: find"),
        (("é" * 99, "{}"), ("_" * 64, "{}"), f"Error: there is no tool '{'_' * 64}'; there are: find"),
    ],
)
@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_a_call_goes_back_as_services_take_it(
    service: Service, transport: Any, call: tuple[str, str], echoed: tuple[str, str], result: str
) -> None:
    """Its tool's own name, one object, and the result of what was meant; who is asked sees the same."""
    service.script(Says(calls=[call]), Says("It is fine."))
    asked: list[Call] = []

    async def ask(call: Call) -> Answer:
        asked.append(call)
        return "allow"

    async with Client("ollama", base_url=service.url, transport=transport) as client:
        tools = hs.run_tools(client, "Hello", tools=[find], model="scripted", ask=ask)
        assert (await tools).text == "It is fine."
    function = tools.messages[1]["tool_calls"][0]["function"]
    assert (function["name"], function["arguments"]) == echoed
    assert tools.messages[2]["content"] == result
    assert [(call.name, call.arguments) for call in asked] == [echoed] * (not result.startswith("Error"))


async def test_consent_for_a_tool_holds_for_its_other_spellings(service: Service) -> None:
    """And for no other tool."""
    service.script(Says(calls=[("functions.find", "{}"), ("other", "{}")]), Says("It is fine."))

    def other() -> str:
        return "other"

    async with Client("ollama", base_url=service.url) as client:
        tools = hs.run_tools(client, "Hello", tools=[find, other], model="scripted", consent=["find"])
        await tools
    assert [(call.name, call.state) for call in tools.calls] == [("find", "done"), ("other", "refused")]


async def test_a_repeat_in_the_last_piece_runs_once_and_is_clean_in_the_reply(service: Service) -> None:
    """Also where nobody runs it: Reply.tool_calls has the object alone."""
    service.script(Says(calls=[("find", '{"city": "Oslo"}' * 2)]))
    async with Client("ollama", base_url=service.url) as client:
        stream = client.stream("Hello", model="scripted", tools=[find.specification])
        async for _ in stream:
            pass
    assert [call.arguments for call in stream.reply.tool_calls] == ['{"city": "Oslo"}']
