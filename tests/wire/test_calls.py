"""The arguments of a call in its pieces: repeats, an object in a string, fences, `{}` first, names in every piece."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb.events import ToolCallPart
from holystream_nb.wire.calls import joined
from holystream_nb.wire.chat import ChunkDecoder
from holystream_nb.wire.sse import ServerSentEvent

PARIS = '{"city": "Paris"}'
TWICE = json.dumps(PARIS)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([PARIS], PARIS),
        (['{"city": ', '"Paris"}'], PARIS),
        (['{"city": ', '"Paris"}', PARIS], PARIS),
        ([PARIS, "\n", PARIS], PARIS),
        (['{"city": ', '"Pa', PARIS], PARIS),
        (["{}", '{"city": ', '"Paris"}'], PARIS),
        (["{}", PARIS, PARIS], PARIS),
        (["null", PARIS], PARIS),
        ([TWICE], PARIS),
        ([json.dumps(TWICE)], PARIS),
        ([TWICE, TWICE], PARIS),
        (["{}", TWICE], PARIS),
        (["```json\n", PARIS, "\n```"], PARIS),
        ([f"```{PARIS}```"], PARIS),
        ([f"```JSON\n{PARIS}"], PARIS),
        (["{'city': 'Paris',}"], '{"city":"Paris"}'),
        (["{'here': True, ", "'text': None, 'path': 'C:\\d'}"], '{"here":true,"text":null,"path":"C:\\\\d"}'),
        (['{"text": "a,]", "here": [true, ], }'], '{"text": "a,]", "here": [true ] }'),
        (["null"], "{}"),
        (["{}", "{}"], "{}"),
        (['""'], "{}"),
        (['{"text": "two\nlines"}'], '{"text":"two\\nlines"}'),
        (['{"x": NaN}'], '{"x":null}'),
        ([], ""),
        ([" "], " "),
    ],
)
def test_one_object_is_meant(pieces: list[str], text: str) -> None:
    """Whatever a model or a service writes around it; a text that is right stays as it is, to the byte."""
    assert joined(pieces) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Ro',
        '{"city": "Paris"}{"city": "Rome"}',
        "[1]",
        "3",
        '"Paris"',
        "Paris",
        '{"a": "\\ud800"}',
        "[" * 10**5,
        "{'a': print()}",
        "{'a': 1j}",
        "{'a'}",
    ],
)
def test_what_is_no_object_is_left_as_it_is(text: str) -> None:
    """Two different ones too: which of them was meant, nobody can say."""
    assert joined([text]) == text


@pytest.mark.parametrize(
    "text",
    [
        "{}" * 10**5,
        "```" + " " * 10**5 + "x",
        '"' + "\\" * 10**5,
        "{" * 10**5,
        "` " * 10**5,
        '"' + '\\"' * 10**5,
        "{'a': " * 10**5,
        ", " * 10**5,
        "{'a': [" + "1," * 10**6 + "]}",
    ],
)
def test_hostile_arguments_cost_no_time(text: str) -> None:
    """The time grows with the length alone."""
    began = time.process_time()
    joined([text])
    assert time.process_time() - began < 1


VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.none(), st.text(max_size=5), st.sampled_from(['{"', "}", "```"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(min_size=1, max_size=4), VALUES, min_size=1, max_size=3)


@st.composite
def written(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """An object, and its pieces as they may come."""
    value = draw(OBJECTS)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    if draw(st.booleans()):
        text = json.dumps(text)
    cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), min_size=1, max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    first = draw(st.sampled_from([[], ["{}"], [""]]))
    last = draw(st.sampled_from([[], [text], ["", text], [""]]))
    return value, [*first, *pieces, *last]


@pytest.mark.slow
@given(written())
@settings(max_examples=examples(300), deadline=None)
def test_pieces_split_anywhere_with_a_repeat_are_the_same_object(case: tuple[dict[str, Any], list[str]]) -> None:
    """Also with `{}` before them, and as a string that holds the object."""
    value, pieces = case
    assert msgspec.json.decode(joined(pieces)) == value


@pytest.mark.slow
@given(written(), st.sampled_from(["index", "id", "index and id"]), st.booleans())
@settings(max_examples=examples(300), deadline=None)
def test_such_pieces_in_chunks_are_one_call(case: tuple[dict[str, Any], list[str]], marks: str, is_named: bool) -> None:
    """However they are marked, and with the name in every piece."""
    value, pieces = case
    chunks = ChunkDecoder()
    found: dict[int, list[str]] = {}
    for number, piece in enumerate(pieces):
        function = {"arguments": piece, **({"name": "f"} if is_named or not number else {})}
        part = {
            "function": function,
            **({"index": 0} if "index" in marks else {}),
            **({"id": "a"} if "id" in marks else {}),
        }
        data = json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]})
        for event in chunks.feed(ServerSentEvent("message", data), 1):
            if isinstance(event, ToolCallPart):
                found.setdefault(event.index, []).append(event.arguments)
    assert [msgspec.json.decode(joined(of_call)) for of_call in found.values()] == [value]


@pytest.mark.parametrize(
    ("texts", "calls"),
    [
        (['{"x": 1}', '{"x": 2}'], ['{"x": 1}', '{"x": 2}']),
        (['{"x": 1}', '{"x": 1}'], ['{"x": 1}', '{"x": 1}']),
        (["{}", "{}"], ["{}", "{}"]),
        (["{}", '{"x": 1}'], ['{"x": 1}']),
        (['{"x"', ": 1}", '{"x": 1}'], ['{"x": 1}']),
        (['{"x"', ": 1}", '{"x": 2}'], ['{"x": 1}', '{"x": 2}']),
    ],
)
def test_calls_of_one_name_without_ids(texts: list[str], calls: list[str]) -> None:
    """Whole ones stay two, also where they are alike; a whole one behind pieces that say the same is their repeat."""
    chunks = ChunkDecoder()
    found: dict[int, list[str]] = {}
    for text in texts:
        part = {"index": 0, "function": {"name": "f", "arguments": text}}
        data = json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]})
        for event in chunks.feed(ServerSentEvent("message", data), 1):
            assert isinstance(event, ToolCallPart)
            found.setdefault(event.index, []).append(event.arguments)
    assert [joined(pieces) for pieces in found.values()] == calls
