"""Results as people return them: tables, arrays, dates, models, pictures; large ones shortened with a word."""

from __future__ import annotations

import asyncio
import base64
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import json
import pathlib
import threading
import types
import uuid
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import IPython.display
import msgspec
import numpy as np
import pandas as pd
import PIL.Image
import pytest
from matplotlib.figure import Figure
from pydantic import BaseModel
from scripted import Says, Service, scripted

import holystream_nb as hs
from holystream_nb import Client
from holystream_nb.chat.conversation import Answer, Conversation, Label, Turn
from holystream_nb.tools.call import Call, perform
from holystream_nb.tools.results import RESULT_BYTES, Image, Result, ToolError, result_of


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with scripted() as running:
        yield running


class Unit(enum.Enum):
    KELVIN = "kelvin"


class Level(enum.IntEnum):
    HIGH = 3


class Place(BaseModel):
    city: str
    path: pathlib.Path = pathlib.Path("/a")
    seen: datetime.date | None = None


@dataclasses.dataclass
class Point:
    x: float
    place: Place
    at: np.float32 = np.float32(0.5)  # noqa: RUF009


class Pair(msgspec.Struct):
    left: int
    right: Any


def text_of(value: Any) -> str:
    return result_of("f", value).text


DAY = datetime.date(2026, 1, 31)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (None, "null"),
        (True, "true"),
        (0.1, "0.1"),
        (float("nan"), "null"),
        ([float("inf"), -float("inf")], "[null,null]"),
        (2**70, str(2**70)),
        (np.float64(0.1), "0.1"),
        (np.int64(3), "3"),
        (np.bool_(True), "true"),
        (np.str_("text"), "text"),
        (np.float32("nan"), "null"),
        (np.datetime64("2026-01-31T12:00:00.000000001"), "2026-01-31T12:00:00.000000001"),
        (np.datetime64("NaT"), "null"),
        (np.timedelta64(5, "s"), "5 seconds"),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (np.array([1.0, np.nan]), "[1.0,null]"),
        (np.array(["2026-01-31", "NaT"], dtype="datetime64[D]"), '["2026-01-31",null]'),
        (np.array([{"a": np.int8(1)}], dtype=object), '[{"a":1}]'),
        (np.ma.masked_array([1, 2], mask=[False, True]), "[1,null]"),
        (np.zeros((0, 3)), "[]"),
        (pd.Timestamp("2026-01-31 12:00", tz="Europe/Paris"), "2026-01-31T12:00:00+01:00"),
        (pd.Timedelta("1h"), "P0DT1H0M0S"),
        (pd.NaT, "null"),
        (pd.NA, "null"),
        (pd.Period("2026-01"), "2026-01"),
        (pd.Index(["a", "b"]), '["a","b"]'),
        (pd.Categorical(["a", "b"]), '["a","b"]'),
        (datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC), "2026-01-31T00:00:00+00:00"),
        (DAY, "2026-01-31"),
        (datetime.time(12), "12:00:00"),
        (datetime.timedelta(hours=1), "PT3600S"),
        (decimal.Decimal("1.50"), "1.50"),
        (fractions.Fraction(1, 3), "1/3"),
        (1 + 2j, "1+2j"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.Path("/a/b"), "/a/b"),
        (ipaddress.ip_address("127.0.0.1"), "127.0.0.1"),
        ({3}, "[3]"),
        (frozenset([3]), "[3]"),
        (range(3), "[0,1,2]"),
        (collections.deque([1]), "[1]"),
        ({"a": 1}.keys(), '["a"]'),
        ({"a": 1}.values(), "[1]"),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        (collections.Counter("aa"), '{"a":2}'),
        (types.SimpleNamespace(a=1), '{"a":1}'),
        (ValueError("no luck\nat all"), "ValueError: no luck"),
        (b"\x00\x01", "[2 bytes]"),
        ({"data": bytearray(3), "view": memoryview(b"1234")}, '{"data":"[3 bytes]","view":"[4 bytes]"}'),
        (Unit.KELVIN, "kelvin"),
        (Level.HIGH, "3"),
        (Place(city="Oslo", seen=DAY), '{"city":"Oslo","path":"/a","seen":"2026-01-31"}'),
        (
            Point(np.float64(1.5), Place(city="Oslo")),
            '{"x":1.5,"place":{"city":"Oslo","path":"/a","seen":null},"at":0.5}',
        ),
        (Pair(1, DAY), '{"left":1,"right":"2026-01-31"}'),
        (
            {0: 1, None: 2, True: 3, DAY: 4, ("a", 1): 5, np.int64(9): 6, Unit.KELVIN: 7, pd.Timestamp(DAY): 8},
            '{"0":1,"null":2,"true":3,"2026-01-31":4,"a, 1":5,"9":6,"kelvin":7,"2026-01-31T00:00:00":8}',
        ),
        (["half \ud83d"], '["half ?"]'),
    ],
)
def test_values_are_text_or_json(value: Any, text: str) -> None:
    """Each in its usual form, alone and inside others; NaN and infinities as JSON can, which is null."""
    assert text_of(value) == text
    (inside,) = json.loads(text_of({"in": [value]}))["in"]
    assert inside == text or json.dumps(inside, ensure_ascii=False, separators=(",", ":")) == text


def endless() -> Iterator[int]:
    while True:
        yield 1


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (endless(), "f returned generator, which JSON has no form of"),
        (map(str, [1]), "f returned map, which JSON has no form of"),
        ({"a": [endless()]}, "f returned dict with generator in it, which JSON has no form of"),
        (threading.Lock(), "f returned lock, which JSON has no form of"),
        ([threading.Lock()], "f returned list with lock in it, which JSON has no form of"),
        (Place, "f returned ModelMetaclass, which"),
        (LOOP, "f returned list, which"),
    ],
)
def test_what_has_no_form_is_named(value: Any, said: str) -> None:
    """And what is without an end is not begun."""
    with pytest.raises(ToolError, match=said):
        result_of("f", value)


# Tables and arrays


def test_a_table_goes_as_csv_below_its_columns_and_types() -> None:
    """Whole where it is small; the rows' numbers are left out, any other index is not."""
    frame = pd.DataFrame({"city": ["Paris", 'a "b", c', None], "n": [1, 2, 3], "x": [0.1, float("nan"), 1e300]})
    head = "DataFrame of 3 rows and 3 columns: city (str), n (int64), x (float64)"
    lines = ["city,n,x", "Paris,1,0.1", '"a ""b"", c",2,', ",3,1e300"]
    assert text_of(frame).replace("(object)", "(str)").split("\n") == [head, *lines]
    assert text_of(frame.set_index("n")["x"]) == "Series x of 3 values (float64)\nn,x\n1,0.1\n2,\n3,1e300"
    assert text_of(frame[frame.n > 1][["n"]]) == "DataFrame of 2 rows and 1 column: n (int64)\n,n\n1,2\n2,3"
    assert text_of(frame.groupby(["n", "x"])[["x"]].sum()).splitlines()[1:] == ["n,x,x", "1,0.1,0.1", "3,1e300,1e300"]
    assert text_of(pd.DataFrame()) == "DataFrame of 0 rows and 0 columns"
    assert text_of(pd.Series([DAY])) == "Series of 1 value (object)\n0\n2026-01-31"


def test_a_large_table_goes_as_its_shape_and_first_rows() -> None:
    """10,000 rows: no dots that a reader could take for all, and what is cut is said."""
    frame = pd.DataFrame({"number": range(10_000), "half": [0.5] * 10_000})
    lines = text_of(frame).split("\n")
    assert lines[0] == "DataFrame of 10,000 rows and 2 columns: number (int64), half (float64)"
    assert lines[1:] == ["number,half", *(f"{n},0.5" for n in range(20)), "[the first 20 of 10,000 rows]"]
    assert text_of(frame["half"]).split("\n")[0] == "Series half of 10,000 values (float64)"
    assert text_of(frame["half"]).endswith("[the first 20 of 10,000 rows]")
    assert "..." not in text_of(frame)
    assert "…" not in text_of(frame)


def test_a_wide_table_says_which_columns_are_left_out() -> None:
    """And a long cell how much of it; what stands in a cell is written as anywhere else."""
    wide = text_of(pd.DataFrame(np.zeros((2, 5_000)))).split("\n")
    assert wide[0].startswith("DataFrame of 2 rows and 5,000 columns: 0 (float64), 1 (float64)")
    assert wide[0].endswith("49 (float64), and 4,950 that are left out")
    assert len(wide[1].split(",")) == 50
    cells = text_of(pd.DataFrame({"a": ["x" * 5_000, [1, {"b": DAY}], np.arange(3)]})).split("\n")
    assert cells[2] == f'"{"x" * 1_000} [4,000 characters more]"'
    assert cells[3:] == ['"[1,{""b"":""2026-01-31""}]"', '"[0,1,2]"']


def test_a_table_of_polars_goes_as_one_of_pandas() -> None:
    """With its names and types. The library is not there: this is the part of it that is used."""

    class DataFrame:
        def __init__(self, data: dict[str, list[Any]]) -> None:
            self.columns, self.dtypes, self.width = list(data), ["Int64", "String"][: len(data)], len(data)
            self.height = len(next(iter(data.values())))
            self.shape = self.height, self.width
            self._data = data

        def select(self, names: list[str]) -> DataFrame:
            return DataFrame({name: self._data[name] for name in names})

        def head(self, rows: int) -> DataFrame:
            return DataFrame({name: values[:rows] for name, values in self._data.items()})

        def rows(self) -> list[Any]:
            return [*zip(*self._data.values(), strict=True)]

    DataFrame.__module__ = "polars.dataframe.frame"
    small = result_of("f", DataFrame({"n": [1, None], "word": ["a,b", "c"]})).text
    assert small == 'DataFrame of 2 rows and 2 columns: n (Int64), word (String)\nn,word\n1,"a,b"\n,c'
    large = result_of("f", DataFrame({"n": [*range(5000)]})).text
    assert large.endswith("\n19\n[the first 20 of 5,000 rows]")


def test_a_large_array_goes_as_its_shape_and_first_values() -> None:
    """A nested one too."""
    array = np.arange(1_000_000).reshape(1_000, 1_000)
    first = json.dumps([*range(20)], separators=(",", ":"))
    text = f"array of 1,000×1,000 values (int64), the first 20 of 1,000,000: {first}"
    assert text_of(array) == text
    assert json.loads(text_of({"a": array})) == {"a": text}


def test_a_long_text_is_cut_with_a_word_and_no_secret_is_cut_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands at the cut, nothing of it is left; and what is far behind costs no time."""
    secret = "value-of-a-secret-" + "x" * 2_000
    monkeypatch.setenv("SOME_API_KEY", secret)
    for before in range(RESULT_BYTES - 2_100, RESULT_BYTES + 100, 550):
        text = text_of("a" * before + secret + "b" * 10**5)
        assert "value-of" not in text
        assert "xx" not in text
        assert text.endswith(f" of {before + len(secret) + 10**5:,} bytes]")
    many = text_of((secret + " ") * 1_000)
    assert "xx" not in many
    assert "value-of" not in many


# Pictures


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    out = BytesIO()
    PIL.Image.new(mode, (width, height)).save(out, "PNG")
    return out.getvalue()


def jpeg(width: int, height: int) -> bytes:
    out = BytesIO()
    PIL.Image.new("RGB", (width, height)).save(out, "JPEG")
    return out.getvalue()


def drawn() -> Figure:
    figure = Figure()
    figure.subplots().plot([1, 2])
    return figure


def size(image: Image) -> tuple[int, int]:
    with PIL.Image.open(BytesIO(image.data)) as picture:
        return picture.size


@pytest.mark.parametrize(
    ("value", "text", "media_types"),
    [
        (drawn(), "[an image of 640×480]", ["image/png"]),
        (drawn().axes[0], "[an image of 640×480]", ["image/png"]),
        (drawn().axes[0].lines[0], "[an image of 640×480]", ["image/png"]),
        ((figure := drawn(), figure.axes), '["[an image of 640×480]",["[the same image]"]]', ["image/png"]),
        (Figure(figsize=(200, 100)), "[an image of 1568×784]", ["image/png"]),
        (PIL.Image.new("RGB", (64, 48)), "[an image of 64×48]", ["image/png"]),
        (PIL.Image.new("CMYK", (64, 48)), "[an image of 64×48]", ["image/jpeg"]),
        (IPython.display.Image(data=png(8, 6)), "[an image of 8×6]", ["image/png"]),
        (IPython.display.Image(data=jpeg(8, 6), format="jpeg"), "[an image of 8×6]", ["image/jpeg"]),
        (Image("image/png", png(8, 6)), "[an image of 8×6]", ["image/png"]),
        (
            ["Two:", drawn(), Image("x/y", jpeg(8, 6))],
            "Two:\n[an image of 640×480]\n[an image of 8×6]",
            ["image/png", "image/jpeg"],
        ),
        ({"map": Image("image/png", png(8, 6)), "n": 1}, '{"map":"[an image of 8×6]","n":1}', ["image/png"]),
        (Image("image/png", png(4_000, 3_000)), "[an image of 1568×1176, scaled from 4000×3000]", ["image/png"]),
        (Image("image/png", b"\x89PNG\r\n\x1a\nnothing"), "[an image that cannot be read]", []),
        (Image("image/png", b"<svg/>"), "[an image that cannot be read]", []),
    ],
)
def test_pictures_go_beside_the_text_and_leave_a_word(value: Any, text: str, media_types: list[str]) -> None:
    """Figures, PIL's images and what a notebook shows; of the type that their data has, whatever was said of it."""
    result = result_of("f", value)
    assert (result.text, [image.media_type for image in result.images]) == (text, media_types)
    assert all(max(size(image)) <= 1568 for image in result.images)


@pytest.mark.slow
def test_more_values_than_there_is_memory_for_are_cut() -> None:
    """A range or a view takes no room before it is looked through."""
    text = result_of("f", {"all": range(10**12)}).text
    assert text.startswith('{"all":[0,1,2,')
    assert "[cut here: 65,536 of more than " in text


@pytest.mark.slow
def test_pictures_are_bounded_in_number_and_bytes() -> None:
    """What a service would refuse does not go."""
    noise = PIL.Image.frombytes("RGB", (1500, 1500), np.random.default_rng(1).bytes(1500 * 1500 * 3))
    result = result_of("f", noise)
    assert result.text == "[an image of 1500×1500]"
    assert (result.images[0].media_type, len(result.images[0].data) <= 3_750_000) == ("image/jpeg", True)
    many = result_of("f", [Image("image/png", png(1, 1))] * 10)
    assert len(many.images) == 8
    assert many.text.endswith(
        "[an image of 1×1]\n[an image that is left out: 8 go along]\n[an image that is left out: 8 go along]"
    )


def test_an_image_shows_its_data_to_nobody_by_accident() -> None:
    """A megabyte of bytes in an error or a notebook's output helps nobody."""
    image = Image("image/png", b"data")
    assert repr(Result("a", (image,))) == "Result(text='a', images=(Image(media_type='image/png'),))"
    assert image.url == f"data:image/png;base64,{base64.b64encode(b'data').decode()}"


@pytest.mark.parametrize("transport", ["sse", "ws"])
async def test_a_picture_is_kept_at_its_call_and_goes_back_as_a_part(service: Service, transport: Any) -> None:
    """The message's content is a list only then; another transport carries its word."""

    def plot() -> Figure:
        return drawn()

    service.script(Says(calls=[("plot", "{}")]), Says("Nice."))
    async with Client("ollama", base_url=service.url, transport=transport) as client:
        tools = hs.run_tools(client, "Hello", tools=[plot], model="scripted", consent="all")
        assert (await tools).text == "Nice."
    (call,) = tools.calls
    assert (call.state, call.result, call.content, len(call.images)) == ("done", *["[an image of 640×480]"] * 2, 1)
    parts = [
        {"type": "text", "text": "[an image of 640×480]"},
        {"type": "image_url", "image_url": {"url": call.images[0].url}},
    ]
    assert tools.messages[2] == {"role": "tool", "tool_call_id": "call_1_0", "content": parts}


def test_a_picture_stays_in_a_conversation() -> None:
    """A later question's model is told it again."""
    call = Call(0, 1, 0, "call_1", "plot", "{}", "done", "[an image of 8×6]", images=(Image("image/png", png(8, 6)),))
    answer = Answer("m", "p", "", "m", "done", "Nice.", "", "", (), "", 0, calls=(call,))
    conversation = Conversation((Turn("t", "Plot", (Label("m", "p", ""),), (answer,)),))
    (result,) = [message for message in conversation.history("m") if message["role"] == "tool"]
    assert [part["type"] for part in result["content"]] == ["text", "image_url"]


def test_a_picture_is_drawn_in_a_thread() -> None:
    """Drawing a figure takes a tenth of a second, in which everything else would stand still."""
    threads: list[threading.Thread] = []

    class Slow(Figure):
        def savefig(self, *args: Any, **options: Any) -> None:
            threads.append(threading.current_thread())
            super().savefig(*args, **options)

    @hs.tool
    async def plot() -> Figure:
        return Slow()

    asyncio.run(perform(plot, {}))
    assert threads
    assert threads[0] is not threading.current_thread()
