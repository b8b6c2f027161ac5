"""Bytes of a chat stream in, events out: every way in which services are known to speak."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb import errors
from holystream_nb.events import Event, Finish, OtherChoice, Reasoning, Text, ToolCallPart, Usage
from holystream_nb.wire.chat import ChunkDecoder, stray_error
from holystream_nb.wire.sse import Decoder

READ = 7


def run(stream: bytes, *, asked: str = "gpt-x", key: str = "") -> tuple[list[Event], ChunkDecoder]:
    """What a client does with a stream that ended."""
    lines, chunks = Decoder(), ChunkDecoder(asked=asked, key=key)
    events = [event for sse in lines.feed(stream) for event in chunks.feed(sse, READ)]
    events += [event for sse in lines.close() for event in chunks.feed(sse, READ, cut=True)]
    chunks.error = chunks.error or stray_error(lines.ignored, empty=chunks.empty, asked=asked, key=key)
    return events, chunks


def data(*values: Any) -> bytes:
    """One event per value: JSON of it, or the bytes as they are."""
    return b"".join(
        b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n" for value in values
    )


def chunk(delta: Any = None, finish: Any = None, **fields: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}


def events_of(*values: Any) -> list[Event]:
    events, chunks = run(data(*values))
    assert chunks.error is None
    return events


def text(value: str) -> Text:
    return Text(value, READ)


def reasoning(value: str) -> Reasoning:
    return Reasoning(value, READ)


def part(index: int, id: str = "", name: str = "", arguments: str = "") -> ToolCallPart:
    return ToolCallPart(index, id, name, arguments, READ)


def folded(events: list[Event]) -> list[tuple[str, str, str]]:
    """The calls as (id, name, arguments)."""
    calls: dict[int, tuple[str, str, str]] = {}
    for event in events:
        if isinstance(event, ToolCallPart):
            id, name, arguments = calls.get(event.index, ("", "", ""))
            calls[event.index] = (id + event.id, name + event.name, arguments + event.arguments)
    assert list(calls) == list(range(len(calls)))
    return list(calls.values())


def calls_of(*parts: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The calls that a delta for each of these `tool_calls` lists adds up to."""
    return folded(events_of(*(chunk({"tool_calls": tool_calls}) for tool_calls in parts)))


# --- frames ---------------------------------------------------------------------------------------------------------


def test_an_ordinary_stream() -> None:
    """Role, text, finish, usage, [DONE]: text, finish and usage events, each with the read's stamp."""
    events, chunks = run(
        data(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            chunk({}, "stop"),
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}},
            b"[DONE]",
        )
    )
    assert events == [text("Hel"), text("lo"), Finish("stop", READ), Usage(3, 2, 5, None, None, True, READ)]
    assert (chunks.id, chunks.facts.model, chunks.done, chunks.finish_reason) == ("c1", "m1", True, "stop")
    assert chunks.error is None


def test_no_done() -> None:
    """A stream may end with its finish reason only."""
    events, chunks = run(data(chunk({"content": "a"}), chunk({}, "length")))
    assert events == [text("a"), Finish("length", READ)]
    assert (chunks.done, chunks.finish_reason, chunks.error) == (False, "length", None)


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data:[DONE]\n", b"data: [DONE]  \n\n", b"data: [DONE]\r\n"])
def test_done_without_a_blank_line(end: bytes) -> None:
    """[DONE] counts without a blank line, a newline, or with spaces after it."""
    events, chunks = run(data(chunk({"content": "a"})) + end)
    assert (events, chunks.done, chunks.error) == ([text("a")], True, None)


def test_neither_done_nor_a_finish_reason() -> None:
    """A stream that just ends says so: neither `done` nor a finish reason, and no error."""
    events, chunks = run(data(chunk({"content": "a"})))
    assert events == [text("a")]
    assert (chunks.done, chunks.finish_reason, chunks.error) == (False, None, None)


@pytest.mark.parametrize(
    "cut", [b'data: {"choices":[{"delta":{"content":"lo', b"data: {", b"data: [DO", b"data:", b"dat"]
)
def test_a_stream_cut_inside_a_chunk_is_truncated(cut: bytes) -> None:
    """The end inside a line is no malformed answer: what came before stays, nothing is added."""
    events, chunks = run(data(chunk({"content": "a"})) + cut)
    assert events == [text("a")]
    assert (chunks.done, chunks.finish_reason, chunks.error) == (False, None, None)


def test_the_last_chunk_counts_without_its_blank_line() -> None:
    """A whole `data` line at the end is a chunk."""
    events, _ = run(data(chunk({"content": "a"})) + data(chunk({"content": "b"}))[:-2])
    assert events == [text("a"), text("b")]


def test_bytes_of_every_kind_around_the_chunks() -> None:
    """BOM, comments, CRLF, keep-alives, empty data and foreign event types lose no text and add none."""
    lines = data(chunk({"content": "é😀"})).replace(b"\n", b"\r\n")
    noise = b": PROCESSING\r\n\r\nevent: ping\r\ndata: ok\r\n\r\ndata:\r\n\r\ndata:  \r\n\r\nid: 3\r\nretry: 5\r\n\r\n"
    typed = b"event: completion.chunk\r\n" + lines
    events, chunks = run(b"\xef\xbb\xbf" + lines + noise + typed)
    assert events == [text("é😀"), text("é😀")]
    assert chunks.error is None


def test_a_chunk_over_several_data_lines() -> None:
    """Pretty-printed JSON over several `data` lines is one chunk."""
    pretty = json.dumps(chunk({"content": "a"}), indent=1)
    events, _ = run(b"".join(b"data: " + line.encode() + b"\n" for line in pretty.split("\n")) + b"\n")
    assert events == [text("a")]


def test_a_huge_chunk() -> None:
    """Four megabytes in one chunk are one event."""
    assert events_of(chunk({"content": "x" * (4 << 20)})) == [text("x" * (4 << 20))]


# --- a whole answer instead of a stream -----------------------------------------------------------------------------


def whole(body: Any, **options: Any) -> tuple[list[Event], ChunkDecoder]:
    chunks = ChunkDecoder(asked="gpt-x", **options)
    return chunks.whole(body if isinstance(body, bytes) else json.dumps(body).encode(), READ), chunks


def test_an_unstreamed_answer_is_used() -> None:
    """Reasoning, text, each tool call, the finish reason and the usage come out of a whole answer."""
    events, chunks = whole(
        {
            "id": "c1",
            "model": "m1",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "reasoning_content": "Hm.",
                        "content": "Hello",
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                            {"function": {"name": "g", "arguments": ""}},
                            {"function": {"name": "g", "arguments": ""}},
                        ],
                    },
                    "finish_reason": "stop",
                },
                {"index": 1, "message": {"content": "Other"}},
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
    )
    assert events == [
        reasoning("Hm."),
        text("Hello"),
        part(0, "a", "f", "{}"),
        part(1, "", "g"),
        part(2, "", "g"),
        Finish("stop", READ),
        OtherChoice(1, "Other", READ),
        Usage(1, 2, None, None, None, True, READ),
    ]
    assert (chunks.id, chunks.done, chunks.finish_reason, chunks.error) == ("c1", True, "stop", None)


def test_an_error_object_with_200() -> None:
    """An error in a successful answer is the service's error."""
    events, chunks = whole({"error": {"message": "No credit", "type": "insufficient_quota", "code": None}})
    assert events == []
    assert isinstance(chunks.error, errors.RateLimited)
    assert "No credit" in str(chunks.error)


@pytest.mark.parametrize(
    ("body", "begins"),
    [
        (b"<!doctype html><title>Sign in to WiFi</title><script>x()</script>", '"Sign in to WiFi"'),
        (b"", "it is empty"),
        (b'{"choices": []}', '"{"choices": []}"'),
        (b'{"object": "list", "data": []}', '"{"object": "list"'),
        (b'{"choices": ["x"]}', '"{"choices"'),
        (b"null", '"null"'),
        (b'"text"', '""text""'),
        (b"[" * 100_000, '"[[['),
    ],
)
def test_a_body_that_is_no_answer(body: bytes, begins: str) -> None:
    """A page, an empty body or other JSON is a clear error that quotes its beginning."""
    events, chunks = whole(body)
    assert events == []
    assert isinstance(chunks.error, errors.NotAStream)
    assert begins in str(chunks.error)


# --- chunks: text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quiet",
    [
        chunk({"role": "assistant"}),
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": None}),
        chunk({}),
        chunk(None),
        {"choices": [{"index": 0, "finish_reason": None}]},
        {"choices": [{}]},
        {"choices": []},
        {"choices": None},
        {"choices": [None, 3]},
        {"choices": "none"},
        {"object": "chat.completion.chunk"},
        {},
        chunk({}, ""),
        chunk({}, usage=None),
        chunk({}, usage={}),
        chunk({}, error=None),
        chunk({"content": []}),
        chunk({"content": [{"type": "text", "text": ""}]}),
        chunk({"reasoning_content": "", "reasoning": None, "reasoning_details": [], "refusal": None}),
        chunk({"tool_calls": []}),
        chunk({"tool_calls": None, "function_call": None}),
    ],
)
def test_chunks_without_output_give_no_event(quiet: dict[str, Any]) -> None:
    """Role-only, empty, null and missing parts are no events, and text around them is kept."""
    assert events_of(chunk({"content": "a"}), quiet, chunk({"content": "b"})) == [text("a"), text("b")]


def test_a_refusal_is_text() -> None:
    """What the model says instead of an answer is shown as its answer."""
    assert events_of(chunk({"content": None, "refusal": "I can"}), chunk({"refusal": "not."})) == [
        text("I can"),
        text("not."),
    ]


def test_a_message_beside_the_delta_is_ignored() -> None:
    """The whole answer so far, sent with every chunk, is not added again."""

    def both(delta: str, message: str, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"content": delta}, "message": {"content": message}, "finish_reason": finish}
        return {"choices": [choice]}

    events = events_of(both("", ""), both("Hel", "Hel"), both("lo", "Hello"), both("", "Hello", "stop"))
    assert events == [text("Hel"), text("lo"), Finish("stop", READ)]


def test_a_message_after_deltas_is_ignored() -> None:
    """A last chunk with the whole answer and no delta repeats nothing."""
    last = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
    assert events_of(chunk({"content": "Hello"}), last) == [text("Hello"), Finish("stop", READ)]


@pytest.mark.parametrize("delta", [{}, {"delta": None}, {"delta": {}}, {"delta": {"role": "assistant", "content": ""}}])
def test_a_message_is_the_answer_where_no_delta_spoke(delta: dict[str, Any]) -> None:
    """An answer that comes only as the last chunk's `message` is not lost."""
    last = {"choices": [{**delta, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
    assert events_of(chunk({"role": "assistant"}), last) == [text("Hello"), Finish("stop", READ)]


def test_messages_that_grow() -> None:
    """Where each chunk's `message` is the answer so far, the new end of each is the event."""
    grown = [
        {"choices": [{"message": {"reasoning": "Hm", "content": said}}]} for said in ("He", "Hello", "Hello", "Hello!")
    ]
    assert events_of(*grown) == [reasoning("Hm"), text("He"), text("llo"), text("!")]


def test_other_choices_are_kept_apart() -> None:
    """The first choice is the answer; the others' text comes as `OtherChoice`, whatever the order."""
    events = events_of(
        {"choices": [{"index": 1, "delta": {"content": "B"}}]},
        {"choices": [{"index": 0, "delta": {"content": "A"}}, {"index": 1, "delta": {"content": "b"}}]},
        {"choices": [{"index": 1, "delta": {"reasoning": "x"}, "finish_reason": "length"}]},
        {"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    )
    assert events == [
        OtherChoice(1, "B", READ),
        text("A"),
        OtherChoice(1, "b", READ),
        text("a"),
        OtherChoice(1, "b", READ),
        Finish("stop", READ),
    ]


def test_the_finish_reason_is_said_once() -> None:
    """A reason that is repeated, or followed by text, gives one event, in the service's own word."""
    events = events_of(chunk({"content": "a"}, "eos"), chunk({"content": "b"}, "eos"), chunk({}, "stop"))
    assert events == [text("a"), Finish("eos", READ), text("b")]


def test_names_come_when_they_come() -> None:
    """An id or a model that is empty at first is taken from a later chunk; a later change is not."""
    _, chunks = run(
        data(*({"id": i, "model": m, "choices": []} for i, m in [("", None), ("c", ""), ("d", "m"), ("e", "n")]))
    )
    assert (chunks.id, chunks.facts.model) == ("c", "m")


# --- chunks: reasoning ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "Hm"},
        {"reasoning": "Hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "H"}, {"type": "reasoning.text", "text": "m"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "…"}, {"text": "Hm"}]},
        {"reasoning_content": "Hm", "reasoning": "Hm"},
        {"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
        {"reasoning_content": "", "reasoning": "Hm"},
        {"reasoning_content": {"odd": 1}, "reasoning": "Hm"},
        {"content": [{"type": "thinking", "thinking": "Hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m"}]}]},
        {"content": [{"type": "reasoning", "text": "Hm"}]},
        {"content": [{"type": "reasoning", "summary": [{"text": "Hm"}]}]},
        {"content": [{"type": "thinking", "thinking": "Hm"}], "reasoning_content": "Hm"},
        {"content": "", "reasoning_content": "Hm"},
        {"content": None, "reasoning": "Hm", "role": "assistant"},
    ],
)
def test_reasoning_in_every_spelling_counts_once(delta: dict[str, Any]) -> None:
    """Whatever the field, and in however many fields, it is one piece of reasoning and no text."""
    assert events_of(chunk(delta)) == [reasoning("Hm")]


def test_the_spelling_may_change_between_chunks() -> None:
    """Each chunk's reasoning counts, in whichever field it comes."""
    deltas = [{"reasoning_content": "a"}, {"reasoning": "a"}, {"reasoning_details": [{"text": "b"}]}]
    assert events_of(*map(chunk, deltas)) == [reasoning("a"), reasoning("a"), reasoning("b")]


def test_reasoning_and_text_in_one_chunk() -> None:
    """Both are kept, the reasoning first."""
    assert events_of(chunk({"content": "Yes", "reasoning": "Hm"})) == [reasoning("Hm"), text("Yes")]


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "Hello"}],
        [{"type": "text", "text": "Hel"}, {"type": "image_url", "image_url": {"url": "x"}}, {"text": "lo"}],
        ["Hel", {"type": "output_text", "text": "lo"}, None, 3],
        {"type": "text", "text": "Hello"},
        [{"type": "text", "text": {"value": 3}}, [{"text": "Hello"}]],
    ],
)
def test_content_as_a_list_of_parts(content: Any) -> None:
    """The text of all text parts, in order, is one piece of text."""
    assert events_of(chunk({"content": content})) == [text("Hello")]


def test_thinking_and_text_parts() -> None:
    """Thinking parts are reasoning, text parts text."""
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Yes"}]
    assert events_of(chunk({"content": content})) == [reasoning("Hm"), text("Yes")]


# --- chunks: tool calls ---------------------------------------------------------------------------------------------


def fn(index: Any = ..., id: Any = ..., name: Any = ..., arguments: Any = ...) -> dict[str, Any]:
    """A part of a tool call with only the fields given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not ...}
    outer = {key: value for key, value in (("index", index), ("id", id)) if value is not ...}
    return {**outer, "type": "function", "function": function}


def test_an_ordinary_tool_call() -> None:
    """The first part brings id and name, the others only arguments."""
    events = events_of(
        chunk({"tool_calls": [fn(0, "a", "f", "")]}),
        chunk({"tool_calls": [fn(0, arguments='{"x"')]}),
        chunk({"tool_calls": [fn(0, arguments=":1}")]}),
        chunk({}, "tool_calls"),
    )
    assert events == [
        part(0, "a", "f"),
        part(0, arguments='{"x"'),
        part(0, arguments=":1}"),
        Finish("tool_calls", READ),
    ]


ONE_CALL = {
    "the first index is 1": [[fn(1, "a", "f", "")], [fn(1, arguments='{"x"')], [fn(1, arguments=":1}")]],
    "no index": [[fn(..., "a", "f", "")], [fn(arguments='{"x"')], [fn(arguments=":1}")]],
    "a null index": [[fn(None, "a", "f", "")], [fn(None, arguments='{"x"')], [fn(None, arguments=":1}")]],
    "an index on later parts only": [[fn(..., "a", "f", "")], [fn(0, arguments='{"x"')], [fn(0, arguments=":1}")]],
    "later ids empty": [[fn(0, "a", "f", "")], [fn(0, "", arguments='{"x"')], [fn(0, "", arguments=":1}")]],
    "later ids null": [[fn(0, "a", "f", "")], [fn(0, None, None, '{"x"')], [fn(0, None, None, ":1}")]],
    "the id in every part": [[fn(0, "a", "f", "")], [fn(0, "a", arguments='{"x"')], [fn(0, "a", arguments=":1}")]],
    "the id in every part, no index": [
        [fn(..., "a", "f")],
        [fn(..., "a", arguments='{"x"')],
        [fn(..., "a", "", ":1}")],
    ],
    "another id in every part": [[fn(0, "a", "f", "")], [fn(0, "b", arguments='{"x"')], [fn(0, "c", "", ":1}")]],
    "the name in every part": [[fn(0, "a", "f", "")], [fn(0, None, "f", '{"x"')], [fn(0, "", "f", ":1}")]],
    "name and id in every part": [[fn(0, "a", "f", "")], [fn(0, "a", "f", '{"x"')], [fn(0, "a", "f", ":1}")]],
    "name and id in every part, no index": [[fn(..., "a", "f", '{"x"')], [fn(..., "a", "f", ":1}")]],
    "an empty name in every part": [[fn(0, "a", "f", '{"x"')], [fn(0, "", "", ":1}")]],
    "the name after the id": [[fn(0, "a")], [fn(0, name="f", arguments='{"x":1}')]],
    "the id after the name": [[fn(0, name="f", arguments='{"x"')], [fn(0, "a", arguments=":1}")]],
    "whole in one chunk": [[fn(0, "a", "f", '{"x":1}')]],
    "two parts in one chunk": [[fn(0, "a", "f", '{"x"'), fn(0, arguments=":1}")]],
    "arguments null": [[fn(0, "a", "f", None)], [fn(0, arguments='{"x":1}')]],
    "an object nested in the arguments": [[fn(0, "a", "f", '{"x"')], [fn(0, None, "f", ":")], [fn(0, None, "f", "1}")]],
    "an empty part at the end": [[fn(0, "a", "f", '{"x":1}')], [fn(0, "", "f", "")]],
    "no `function` around": [[{"index": 0, "id": "a", "name": "f", "arguments": '{"x":1}'}]],
    "one call and no list": [fn(0, "a", "f", '{"x":1}')],
}


@pytest.mark.parametrize("parts", ONE_CALL.values(), ids=ONE_CALL)
def test_one_tool_call(parts: Any) -> None:
    """However its parts are marked, it is one call with one id, one name and its whole arguments."""
    assert calls_of(*parts) == [("a", "f", '{"x":1}')]


TWO_CALLS: dict[str, Any] = {
    "one after the other": (
        [[fn(0, "a", "f", "")], [fn(0, arguments="{}")], [fn(1, "b", "g", "")], [fn(1, arguments="[]")]],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "interleaved": (
        [[fn(0, "a", "f", "{"), fn(1, "b", "g", "[")], [fn(1, arguments="]")], [fn(0, arguments="}")]],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "interleaved by id, no index": (
        [
            [fn(..., "a", "f", "{")],
            [fn(..., "b", "g", "[")],
            [fn(..., "a", arguments="}")],
            [fn(..., "b", arguments="]")],
        ],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "indexes 1 and 2": ([[fn(1, "a", "f", "{}")], [fn(2, "b", "g", "[]")]], [("a", "f", "{}"), ("b", "g", "[]")]),
    "index 0 for both, ids differ": (
        [[fn(0, "a", "f", "")], [fn(0, "", arguments="{}")], [fn(0, "b", "f", "")], [fn(0, "", arguments="[]")]],
        [("a", "f", "{}"), ("b", "f", "[]")],
    ),
    "index 0 for both, whole, no ids": (
        [[fn(0, "", "f", "{}"), fn(0, "", "g", "{}")]],
        [("", "f", "{}"), ("", "g", "{}")],
    ),
    "index 0 for both, whole, no ids, one name": (
        [[fn(0, "", "f", '{"x":1}')], [fn(0, "", "f", '{"x":2}')]],
        [("", "f", '{"x":1}'), ("", "f", '{"x":2}')],
    ),
    "no index, whole": ([[fn(..., "a", "f", "{}"), fn(..., "b", "f", "{}")]], [("a", "f", "{}"), ("b", "f", "{}")]),
    "no index, no id, whole": ([[fn(name="f", arguments="{}"), fn(name="g")]], [("", "f", "{}"), ("", "g", "")]),
    "one id for both, indexes differ": (
        [[fn(0, "x", "f", "{}")], [fn(1, "x", "f", "[]")]],
        [("x", "f", "{}"), ("x", "f", "[]")],
    ),
    "one id for both, no index": (
        [[fn(..., "x", "f", "{}")], [fn(..., "x", "g", "[]")]],
        [("x", "f", "{}"), ("x", "g", "[]")],
    ),
    "without arguments": ([[fn(0, "a", "f", "")], [fn(1, "b", "g", None)], [fn(1)]], [("a", "f", ""), ("b", "g", "")]),
}


@pytest.mark.parametrize(("parts", "calls"), TWO_CALLS.values(), ids=TWO_CALLS)
def test_two_tool_calls(parts: Any, calls: Any) -> None:
    """Two calls stay two, numbered 0 and 1, each with its own id, name and arguments."""
    assert calls_of(*parts) == calls


def test_arguments_as_an_object_become_json() -> None:
    """Arguments that are no text are given as the JSON text they are."""
    ((_, _, arguments),) = calls_of([fn(0, "a", "f", {"x": [1, "é"]})])
    assert json.loads(arguments) == {"x": [1, "é"]}
    assert calls_of([fn(0, "a", "f", {})]) == [("a", "f", "{}")]


def test_a_legacy_function_call() -> None:
    """`function_call` is a tool call without id."""
    deltas = [{"name": "f", "arguments": ""}, {"arguments": '{"x"'}, {"name": "f", "arguments": ":1}"}]
    assert folded(events_of(*(chunk({"content": None, "function_call": delta}) for delta in deltas))) == [
        ("", "f", '{"x":1}')
    ]


def test_a_tool_call_with_finish_stop_and_text() -> None:
    """Text and a call in one chunk, ended by `stop`, are kept as they are."""
    events = events_of(chunk({"content": "Wait", "tool_calls": [fn(0, "a", "f", "{}")]}, "stop"))
    assert events == [text("Wait"), part(0, "a", "f", "{}"), Finish("stop", READ)]


def test_an_empty_part_is_no_event() -> None:
    """A part that brings nothing new is not an event."""
    assert events_of(chunk({"tool_calls": [fn(0, "a", "f", "")]}), chunk({"tool_calls": [fn(0, "a", "f", "")]})) == [
        part(0, "a", "f")
    ]


# --- chunks: usage --------------------------------------------------------------------------------------------------


def usage_of(usage: Any) -> list[Event]:
    return events_of({"choices": [], "usage": usage})


def usage(
    prompt: int | None = None,
    completion: int | None = None,
    total: int | None = None,
    reasoning: int | None = None,
    cached: int | None = None,
) -> Usage:
    return Usage(prompt, completion, total, reasoning, cached, True, READ)


@pytest.mark.parametrize(
    ("reported", "event"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, usage(1, 2, 3)),
        ({"prompt_tokens": 1, "completion_tokens": None}, usage(1)),
        ({"prompt_tokens": 0}, usage(0)),
        ({"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}, usage(None, 9, None, 4)),
        ({"completion_tokens": 9, "completion_tokens_details": None, "reasoning_tokens": 4}, usage(None, 9, None, 4)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8}}, usage(9, None, None, None, 8)),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 8}, usage(9, None, None, None, 8)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {}, "cached_tokens": 8}, usage(9, None, None, None, 8)),
        ({"prompt_tokens": "9", "completion_tokens": 2.5, "total_tokens": True, "cost": "1"}, None),
        ({"prompt_tokens": -1, "completion_tokens": 10**30, "prompt_tokens_details": [1]}, None),
        ({"prompt_tokens": 9.0, "completion_tokens": 1e300, "total_tokens": float("inf")}, usage(9)),
        ({"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, None),
        ({"total_time": 0.3}, None),
        ({}, None),
        (None, None),
        ([1], None),
        ("12", None),
    ],
)
def test_usage(reported: Any, event: Usage | None) -> None:
    """Counts that are whole numbers are taken, all else is unknown; nothing known is no event."""
    assert usage_of(reported) == ([] if event is None else [event])


def test_reasoning_counted_beside_the_completion_is_added() -> None:
    """Where the total says that reasoning is not in `completion_tokens`, it is put in."""
    details = {"completion_tokens_details": {"reasoning_tokens": 94}}
    beside = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, **details}
    within = {"prompt_tokens": 32, "completion_tokens": 103, "total_tokens": 135, **details}
    assert usage_of(beside) == usage_of(within) == [usage(32, 103, 135, 94)]


def test_a_running_usage() -> None:
    """A usage in every chunk gives an event each, after the chunk's text; null ones none."""
    events = events_of(
        chunk({"content": "a"}, usage={"completion_tokens": 1}),
        chunk({"content": "b"}, usage={"completion_tokens": 2}),
        chunk({"content": "c"}, usage=None),
    )
    assert events == [text("a"), usage(None, 1), text("b"), usage(None, 2), text("c")]


@pytest.mark.parametrize(
    "last",
    [
        {"choices": [{"index": 0, "delta": {}, "usage": {"completion_tokens": 5}}]},
        {"choices": [], "x_groq": {"id": "r", "usage": {"completion_tokens": 5}}},
        {"choices": [{"delta": {}}], "x_groq": {"usage": {"completion_tokens": 5}}, "usage": {"completion_tokens": 5}},
        {"usage": {"completion_tokens": 5}},
    ],
)
def test_usage_in_other_places(last: dict[str, Any]) -> None:
    """Usage inside the first choice, in `x_groq`, or in a chunk without choices is one event."""
    assert events_of(chunk({"content": "a"}), last) == [text("a"), usage(None, 5)]


# --- errors inside the stream ---------------------------------------------------------------------------------------


def failure(stream: bytes, *, expect: list[Event] | None = None, **options: Any) -> errors.HolystreamError:
    events, chunks = run(stream, **options)
    assert events == ([text("a")] if expect is None else expect)
    assert chunks.error is not None
    return chunks.error


START = data(chunk({"content": "a"}))
AFTER = data(chunk({"content": "never"}), b"[DONE]")


@pytest.mark.parametrize(
    "stream",
    [
        data({"error": {"message": "Overloaded", "type": "overloaded_error", "code": 503}}),
        data({"error": {"message": "Overloaded", "code": "503"}, "choices": []}),
        data({"choices": [{"delta": {"content": ""}, "error": {"message": "Overloaded", "code": 503}}]}),
        data({"object": "error", "message": "Overloaded", "type": "InternalServerError", "code": 503}),
        data({"type": "error", "error": {"message": "Overloaded", "status": 503}}),
        data({"code": 503, "message": "Overloaded"}),
        data({"type": "error", "code": "503", "message": "Overloaded", "param": None}),
        data({"error": {"message": "Overloaded", "code": 503}}) * 2,
        data({"error": {"message": "Overloaded", "code": 503}}, {"error": {"message": "Another", "code": 401}}),
        data({"error": {"error": {"message": "Overloaded", "code": 503}}}),
        data({"error": json.dumps({"error": {"message": "Overloaded", "code": 503}})}),
        data([{"error": {"code": 503, "message": "Overloaded"}}]),
        data({"x_groq": {"error": {"message": "Overloaded", "status_code": 503}}, "choices": []}),
        b"event: error\n" + data({"error": {"message": "Overloaded", "code": 503}}),
        b"event: error\n" + data({"message": "Overloaded", "code": 503}),
    ],
)
def test_an_error_object_mid_stream(stream: bytes) -> None:
    """It ends the answer as the service's error, of the class its code names; what came before it stays."""
    error = failure(START + stream + AFTER)
    assert type(error) is errors.ServiceUnavailable
    assert error.status == 503
    assert "Overloaded" in str(error)


@pytest.mark.parametrize(
    "stream",
    [
        data({"error": "Overloaded"}),
        b"event: error\n" + data(b"Overloaded"),
        b'error: {"message": "Overloaded"}\n\n',
        b'error:{"error":{"message":"Overloaded"}}',
        b"error: Overloaded\n\ndata: [DONE]\n\n",
    ],
)
def test_an_error_without_a_code(stream: bytes) -> None:
    """Text alone, and a bare `error:` line, are the service's error without a status."""
    error = failure(START + stream)
    assert type(error) is errors.ServiceError
    assert error.status is None
    assert str(error).endswith('it said: "Overloaded"')


def test_text_and_reason_in_the_chunk_of_the_error_are_kept() -> None:
    """What the chunk with the error brings comes out before it."""
    stream = data(chunk({"content": "b"}, "error", error={"message": "Provider disconnected"}))
    error = failure(START + stream + AFTER, expect=[text("a"), text("b"), Finish("error", READ)])
    assert "Provider disconnected" in str(error)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ({"type": "rate_limit_exceeded"}, errors.RateLimited),
        ({"code": "invalid_api_key"}, errors.KeyRefused),
        ({"code": "model_not_found"}, errors.UnknownModel),
        ({"type": "invalid_request_error"}, errors.BadRequest),
        ({"type": "server_error", "code": None}, errors.ServiceUnavailable),
        ({"code": 401}, errors.KeyRefused),
        ({"code": 42}, errors.ServiceError),
    ],
)
def test_the_words_of_an_error_choose_its_class(words: dict[str, Any], kind: type[errors.ServiceError]) -> None:
    """Without an HTTP status the service's own `code` and `type` say what kind of error it is."""
    error = failure(START + data({"error": {"message": "No.", **words}}))
    assert type(error) is kind


def test_an_unknown_model_mid_stream_is_named() -> None:
    """The message names the model that was asked for."""
    assert '"gpt-x"' in str(failure(data({"error": {"code": 404, "message": "?"}}), expect=[]))


@pytest.mark.parametrize(
    "envelope", [{"code": 0, "message": "ok"}, {"code": "200", "message": "ok"}, {"message": "hi"}]
)
def test_a_code_that_is_no_error(envelope: dict[str, Any]) -> None:
    """A chunk that says that all is well is no error."""
    assert events_of(envelope, chunk({"content": "a"})) == [text("a")]


BAD = [
    b'{"choices":[{"delta":{"content":"b"}',
    b"Internal Server Error",
    b"<html><h1>502</h1>",
    b"3",
    b"null",
    b'"text"',
    b"[]",
    b"[1,2]",
    b'{"a":' * 5000,
    b'{"choices":[{"index":' + b"9" * 5000 + b"}]}",
    b"{'choices': []}",
]


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_chunk_is_left_out_of_an_answer_that_has_begun(bad: bytes) -> None:
    """Malformed JSON, or JSON that is no object: the rest is kept, and the pieces are counted."""
    events, chunks = run(START + data(bad, chunk({"content": "b"}), bad, chunk({}, "stop"), b"[DONE]"))
    assert events == [text("a"), text("b"), Finish("stop", READ)]
    assert (chunks.error, chunks.facts.unreadable, chunks.done) == (None, 2, True)


@pytest.mark.parametrize("bad", BAD)
def test_what_begins_with_no_chunk_is_no_answer(bad: bytes) -> None:
    """It is `NotAStream` with its beginning."""
    error = failure(data(bad) + AFTER, expect=[])
    assert type(error) is errors.NotAStream
    assert len(str(error)) < 200


def test_the_excerpt_is_short_and_without_keys() -> None:
    """At most 80 characters of what arrived are quoted, and no key."""
    error = failure(data(b"oops sk-abcdef1234567890 " + b"x " * 500), expect=[])
    excerpt = str(error).split('"')[1]
    assert len(excerpt) <= 80
    assert excerpt.startswith("oops … x")
    assert "local-secret" not in str(failure(data(b"oops local-secret"), expect=[], key="local-secret"))


def test_junk_after_done_is_no_error() -> None:
    """What a service appends after [DONE] does not spoil the answer."""
    events, chunks = run(START + data(b"[DONE]", b"bye", b"[DONE]"))
    assert (events, chunks.error) == ([text("a")], None)


def test_lines_of_no_event_stream() -> None:
    """A stream without a single chunk but with other lines is no chat completion; with chunks they are harmless."""
    assert type(failure(b"Service Unavailable\nplease: wait\n", expect=[])) is errors.NotAStream
    assert "Service Unavailable please:wait" in str(failure(b"Service Unavailable\nplease: wait\n", expect=[]))
    assert run(START + b"nonsense: 3\n\n")[1].error is None
    assert run(b"")[1].error is None


# --- JSON that only some parsers take -------------------------------------------------------------------------------


def test_not_a_number_and_control_characters() -> None:
    """NaN and raw control characters, which Python services write, lose no text."""
    events, chunks = run(data(b'{"choices":[{"delta":{"content":"a\tb"},"logprob":-Infinity,"p":NaN}]}'))
    assert (events, chunks.error) == ([text("a\tb")], None)


def test_a_surrogate_pair_cut_in_two() -> None:
    """An emoji whose UTF-16 halves come in two chunks is one emoji, and a half alone U+FFFD."""
    halves = [b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}', b'{"choices":[{"delta":{"content":"\\ude00b"}}]}']
    assert events_of(*halves) == [text("a"), text("😀b")]
    assert events_of(halves[0], chunk({}), chunk({"content": "c"})) == [text("a"), text("\ufffdc")]
    assert events_of(halves[1]) == [text("\ufffdb")]


def test_half_a_surrogate_pair_elsewhere() -> None:
    """No text that leaves here is ill-formed, in whichever field."""
    call = {"id": "\ud83d", "function": {"name": "f", "arguments": {"x": "\ude00"}}}
    first = {"delta": {"tool_calls": [call]}, "finish_reason": "\ud83d"}
    events, chunks = run(data({"id": "\ud83d", "choices": [first, {"delta": {"content": "\ud83d"}}]}))
    assert len(events) == 3
    assert "\ufffd" in msgspec.json.encode(events).decode()
    assert chunks.id == chunks.finish_reason == "\ufffd"


# --- any JSON at all ------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["{", "}", "a"])
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["text", "type", "thinking", "error", "message", "code", "x"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, JUNK)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: mostly(value) for name, value in fields.items()})


TEXTS = st.one_of(st.none(), st.text(max_size=4))
CALLS = objects(
    index=st.one_of(st.none(), st.integers(0, 2)),
    id=st.sampled_from(["", "a", "b", None]),
    function=objects(name=st.sampled_from(["", "f", "g", None]), arguments=st.sampled_from(["", "{", "}", "{}", None])),
)
PARTS = objects(type=st.sampled_from(["text", "thinking", "reasoning"]), text=TEXTS, thinking=TEXTS, summary=TEXTS)
DELTAS = objects(
    content=st.one_of(TEXTS, st.lists(PARTS, max_size=2)),
    reasoning_content=TEXTS,
    reasoning=TEXTS,
    reasoning_details=st.lists(PARTS, max_size=2),
    refusal=TEXTS,
    tool_calls=st.lists(CALLS, max_size=3),
    function_call=objects(name=TEXTS, arguments=TEXTS),
)
COUNTS = objects(
    prompt_tokens=st.integers(),
    completion_tokens=st.integers(),
    total_tokens=st.integers(),
    completion_tokens_details=objects(reasoning_tokens=st.integers()),
    prompt_tokens_details=objects(cached_tokens=st.integers()),
)
CHOICES = objects(
    index=st.integers(0, 2),
    delta=st.one_of(DELTAS, st.none()),
    message=st.one_of(DELTAS, st.none()),
    finish_reason=st.sampled_from([None, "stop", ""]),
    usage=COUNTS,
)
CHUNKS = objects(
    id=TEXTS,
    model=TEXTS,
    choices=st.lists(CHOICES, max_size=2),
    usage=st.one_of(st.none(), COUNTS),
    x_groq=objects(usage=COUNTS),
)


def check_types(events: list[Event]) -> None:
    """Each event is one of the events' types, with fields of their declared types, and brings something."""
    for event in events:
        assert isinstance(event, get_args(Event))
        assert msgspec.convert(msgspec.to_builtins(event), type(event), strict=True) == event
        assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event
        if isinstance(event, Text | Reasoning | OtherChoice):
            assert event.text


@pytest.mark.slow
@given(st.lists(mostly(CHUNKS), max_size=4), st.booleans())
@settings(max_examples=examples(400), deadline=None)
def test_no_json_raises(values: list[Any], named: bool) -> None:
    """Whatever JSON stands in whatever field, nothing is raised and the events have their types."""
    first = [{"id": "i", "model": "m", "choices": []}] if named else []
    events, chunks = run(data(*first, *values))
    check_types(events)
    assert chunks.error is None or isinstance(chunks.error, errors.HolystreamError)
    for value in values:
        check_types(whole(value)[0])


def test_an_empty_part_does_not_number_its_call() -> None:
    """The first call that says something is 0, also where another index came before it with nothing."""
    parts = [{"index": 1}, {"index": 0, "function": {"name": "f"}}, {"index": 1, "function": {"name": "g"}}]
    events = events_of(*(chunk({"tool_calls": [part]}) for part in parts))
    assert [(e.index, e.name) for e in events if isinstance(e, ToolCallPart)] == [(0, "f"), (1, "g")]


@pytest.mark.slow
@given(st.lists(CALLS, min_size=1, max_size=8))
@settings(max_examples=examples(200), deadline=None)
def test_calls_are_numbered_from_0_and_lose_no_arguments(parts: list[dict[str, Any]]) -> None:
    """Whatever the marks, indexes run 0, 1, … and all arguments come out, in their order within each call."""
    events = [e for p in parts for e in events_of(chunk({"tool_calls": [p]})) if isinstance(e, ToolCallPart)]
    assert all(event.index == 0 for event in events)
    together = [e for e in events_of(*(chunk({"tool_calls": [p]}) for p in parts)) if isinstance(e, ToolCallPart)]
    seen = list(dict.fromkeys(event.index for event in together))
    assert seen == sorted(seen)
    assert [e.arguments for e in together if e.arguments] == [e.arguments for e in events if e.arguments]
