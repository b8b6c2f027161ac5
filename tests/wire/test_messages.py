"""Bytes of a Messages stream in, events out: as Anthropic, llama.cpp's server and gateways are known to send them."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holystream_nb import errors
from holystream_nb.events import Event, Finish, Reasoning, Text, ToolCallPart, Usage
from holystream_nb.wire.messages import MessagesDecoder
from holystream_nb.wire.sse import Decoder

READ = 7


def run(stream: bytes, *, size: int = 0, key: str = "") -> tuple[list[Event], MessagesDecoder]:
    """What a client does with a stream that ended, read in pieces of `size` bytes (0: at once)."""
    lines, decoder = Decoder(), MessagesDecoder(asked="claude-x", key=key)
    reads = [stream[at : at + size] for at in range(0, len(stream), size)] if size else [stream]
    events = [event for read in reads for sse in lines.feed(read) for event in decoder.feed(sse, READ)]
    events += [event for sse in lines.close() for event in decoder.feed(sse, READ, cut=True)]
    return events, decoder


def named(*values: dict[str, Any]) -> bytes:
    """Events as Anthropic sends them: with an `event:` line, which says the type again."""
    return b"".join(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode() for value in values)


def data(*values: Any) -> bytes:
    """Events without it: JSON of each, or the bytes as they are."""
    return b"".join(
        b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n" for value in values
    )


def start(usage: Any = None, **more: Any) -> dict[str, Any]:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 43, "output_tokens": 1} if usage is None else usage,
    }
    return {"type": "message_start", "message": {**message, **more}}


def begin(index: Any, kind: str = "text", **more: Any) -> dict[str, Any]:
    block = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
    given = {"type": kind, **block.get(kind, {}), **more}
    return {"type": "content_block_start", "index": index, "content_block": given}


def delta(index: Any, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def says(text: str, index: Any = 0) -> dict[str, Any]:
    return delta(index, "text_delta", text=text)


def end(index: Any = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def last(reason: Any = "end_turn", usage: Any = None, **more: Any) -> dict[str, Any]:
    usage = {"output_tokens": 12} if usage is None else usage
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None, **more}, "usage": usage}


STOP = {"type": "message_stop"}
PING = {"type": "ping"}


def text(value: str) -> Text:
    return Text(value, READ)


def part(index: int, id: str = "", name: str = "", arguments: str = "") -> ToolCallPart:
    return ToolCallPart(index, id, name, arguments, READ)


def output(events: list[Event]) -> list[Event]:
    """Without the usage."""
    return [event for event in events if not isinstance(event, Usage)]


def said(*values: Any) -> list[Event]:
    """The output of a stream of these, which had no error."""
    events, decoder = run(data(*values))
    assert decoder.error is None
    return output(events)


def usage_of(*values: Any) -> Usage:
    events, _ = run(data(*values))
    return [event for event in events if isinstance(event, Usage)][-1]


def call_of(*values: Any) -> tuple[str, str, str]:
    """The one call of a stream, as (id, name, arguments)."""
    parts = [event for event in said(start(), *values) if isinstance(event, ToolCallPart)]
    assert {each.index for each in parts} == {0}
    return (
        "".join(each.id for each in parts),
        "".join(each.name for each in parts),
        "".join(each.arguments for each in parts),
    )


# --- whole streams ----------------------------------------------------------------------------------------------------

THINKS_AND_CALLS = (
    start(usage={"input_tokens": 400, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}),
    PING,
    begin(0, "thinking"),
    delta(0, "thinking_delta", thinking="The user wants "),
    delta(0, "thinking_delta", thinking="the weather."),
    delta(0, "signature_delta", signature="EqQBCgIYAhIM=="),
    end(0),
    begin(1, "redacted_thinking", data="EmwKAhgBEgy3va"),
    end(1),
    begin(2),
    says("Let me ", 2),
    says("look. ☂", 2),
    end(2),
    begin(3, "tool_use", id="toolu_01", name="get_weather"),
    delta(3, "input_json_delta", partial_json=""),
    delta(3, "input_json_delta", partial_json='{"city": "Pa'),
    PING,
    delta(3, "input_json_delta", partial_json='ris"}'),
    end(3),
    begin(4, "tool_use", id="toolu_02", name="get_time"),
    delta(4, "input_json_delta", partial_json=""),
    end(4),
    last("tool_use", {"output_tokens": 89, "output_tokens_details": {"thinking_tokens": 20}}),
    STOP,
)
ITS_OUTPUT = [
    Reasoning("The user wants ", READ),
    Reasoning("the weather.", READ),
    text("Let me "),
    text("look. ☂"),
    part(0, "toolu_01", "get_weather"),
    part(0, arguments='{"city": "Pa'),
    part(0, arguments='ris"}'),
    part(1, "toolu_02", "get_time"),
    part(1, arguments="{}"),
    Finish("tool_use", READ),
]
ITS_ECHO = [
    {"type": "thinking", "thinking": "The user wants the weather.", "signature": "EqQBCgIYAhIM=="},
    {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va"},
    {"type": "text", "text": "Let me look. ☂"},
    {"type": "tool_use", "input": {"city": "Paris"}, "id": "toolu_01", "name": "get_weather"},
    {"type": "tool_use", "input": {}, "id": "toolu_02", "name": "get_time"},
]
ITS_USAGE = Usage(400, 89, 489, 20, 0, True, READ, 0)


def test_an_ordinary_stream() -> None:
    """Text, the stop reason in the service's word, and the usage; the message's id and model are known."""
    events, decoder = run(named(start(), begin(0), PING, says("Hel"), says("lo"), end(), last(), STOP))
    assert events == [
        Usage(43, read=READ),
        text("Hel"),
        text("lo"),
        Finish("end_turn", READ),
        Usage(43, 12, 55, read=READ),
    ]
    assert (decoder.id, decoder.facts.model) == ("msg_1", "claude-sonnet-4-5-20250929")
    assert (decoder.done, decoder.is_complete, decoder.finish_reason) == (True, True, "end_turn")
    assert (decoder.error, decoder.echo(), decoder.facts.unreadable) == (None, None, 0)


@pytest.mark.parametrize("wrapped", [named, data])
def test_thinking_and_calls(wrapped: Any) -> None:
    """Reasoning, text and calls come in their order, with or without `event:`; a call without arguments has {}."""
    events, decoder = run(wrapped(*THINKS_AND_CALLS))
    assert output(events) == ITS_OUTPUT
    assert events[-1] == ITS_USAGE
    assert decoder.echo() == ITS_ECHO


@settings(max_examples=examples(60))
@given(st.integers(1, 200), st.booleans(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
@example(1, True, b"\r\n")
def test_any_split_of_the_bytes_gives_the_same(size: int, is_named: bool, newline: bytes) -> None:
    """Wherever the network cuts, in a character too, events, ending and echo are the same."""
    stream = (named if is_named else data)(*THINKS_AND_CALLS).replace(b"\n", newline)
    events, decoder = run(stream, size=size)
    assert output(events) == ITS_OUTPUT
    assert events[-1] == ITS_USAGE
    assert (decoder.echo(), decoder.done, decoder.error) == (ITS_ECHO, True, None)


@given(st.integers(0, 10_000))
def test_a_stream_cut_anywhere_is_truncated_and_no_error(at: int) -> None:
    """What had come is the beginning of the answer; nothing is an error, and there is no echo of a part."""
    stream = named(*THINKS_AND_CALLS)
    events, decoder = run(stream[: at % len(stream)])
    written = output(events)
    assert written == ITS_OUTPUT[: len(written)]
    assert decoder.error is None
    assert decoder.facts.unreadable == 0
    assert (decoder.echo() is None) is (not decoder.is_complete)


def test_the_stop_reason_is_the_end_where_no_message_stop_comes() -> None:
    """All has come with the stop reason, calls that are open too; `done` waits for the terminal event."""
    events, decoder = run(data(start(), begin(0), says("Hi"), begin(1, "tool_use", id="t", name="f"), last("tool_use")))
    assert output(events)[1:] == [part(0, "t", "f"), part(0, arguments="{}"), Finish("tool_use", READ)]
    assert (decoder.is_complete, decoder.done) == (True, False)


def test_a_message_stop_without_a_stop_reason_ends_it() -> None:
    """A terminal event is an end, also where nobody said why."""
    _, decoder = run(data(start(), begin(0), says("Hi"), STOP))
    assert (decoder.is_complete, decoder.done, decoder.finish_reason) == (True, True, None)


def test_a_done_of_openais_ends_it() -> None:
    """Gateways that add [DONE] mean the same; a call that was open is whole."""
    events, decoder = run(data(start(), begin(0, "tool_use", id="t", name="f"), b"[DONE]", says("more")))
    assert output(events) == [part(0, "t", "f"), part(0, arguments="{}")]
    assert decoder.done


def test_nothing_comes_after_the_end() -> None:
    """What a service sends behind its own end is no part of the answer."""
    assert said(start(), begin(0), says("Hi"), last(), STOP, says(" there"))[-1] == Finish("end_turn", READ)


@pytest.mark.parametrize(
    "odd",
    [
        PING,
        {"type": "a_new_event", "delta": {"type": "text_delta", "text": "x"}},
        delta(0, "a_new_delta", text="x"),
        {"type": "content_block_delta", "index": 0},
        {"type": "content_block_delta", "index": 0, "delta": "x"},
        delta(0, "text_delta", text=None),
        delta(0, "text_delta", text=""),
        delta(0, "thinking_delta", thinking=3),
        delta(0, "input_json_delta", partial_json="{}"),
        delta(0, "citations_delta", citation="x"),
        {"type": "content_block_stop", "index": 9},
        {"type": "content_block_start", "index": 9, "content_block": None},
        {"type": "message_delta"},
        {"type": "message_delta", "delta": {"stop_reason": 3}, "usage": []},
        {"object": "chat.completion.chunk"},
        {},
    ],
)
def test_what_is_unknown_changes_nothing(odd: Any) -> None:
    """New types and deltas, and known ones without what belongs in them, are passed over."""
    assert said(start(), begin(0), says("a"), odd, says("b"), last()) == [
        text("a"),
        text("b"),
        Finish("end_turn", READ),
    ]


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [..., None, "0", [0], 0.5, 10**30])
def test_indexes_that_are_none(index: Any) -> None:
    """Where the index lacks, or is no number, a delta belongs to the block that was begun last."""
    values = [begin(index, "tool_use", id="t", name="f"), delta(index, "input_json_delta", partial_json='{"a":1}')]
    if index is ...:
        for value in values:
            del value["index"]
    assert call_of(*values, last("tool_use")) == ("t", "f", '{"a":1}')


def test_text_without_a_block() -> None:
    """Deltas that no content_block_start announced are text and thinking all the same."""
    events = said(start(), delta(0, "thinking_delta", thinking="Hm"), says("Hi"), last())
    assert events == [Reasoning("Hm", READ), text("Hi"), Finish("end_turn", READ)]


def test_what_a_block_begins_with_counts() -> None:
    """A block may have its first text, or all of it, in its content_block_start."""
    events = said(
        start(),
        begin(0, "thinking", thinking="H", signature="s"),
        delta(0, "thinking_delta", thinking="m"),
        begin(1, text="Hel"),
        says("lo", 1),
    )
    assert events == [Reasoning("H", READ), Reasoning("m", READ), text("Hel"), text("lo")]


@pytest.mark.parametrize(
    ("given", "pieces", "arguments"),
    [
        ({}, [], "{}"),
        ({}, [""], "{}"),
        ({"a": [1]}, [], '{"a":[1]}'),
        ({"a": [1]}, [""], '{"a":[1]}'),
        ({"a": 1}, ['{"a":', "2}"], '{"a":2}'),
        ('{"a":1}', [], '{"a":1}'),
        ("", [], "{}"),
        (None, [], "{}"),
        ([1], [], "{}"),
        ({}, ['{"a": "cut'], '{"a": "cut'),
    ],
)
@pytest.mark.parametrize("has_stop", [True, False])
def test_arguments(given: Any, pieces: list[str], arguments: str, has_stop: bool) -> None:
    """They come in pieces, or whole with the block's beginning, or not at all: {}. A block may stay open to the end."""
    deltas = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    ends = [end()] if has_stop else []
    values = [begin(0, "tool_use", id="t", name="f", input=given), *deltas, *ends, last("tool_use"), STOP]
    assert call_of(*values) == ("t", "f", arguments)


def test_calls_that_the_message_begins_with() -> None:
    """Calls that a program in an earlier answer made stand in message_start."""
    content = [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": {"type": "code_execution"}}]
    events = said(start(content=content), last("tool_use"))
    assert events == [part(0, "t", "f"), part(0, arguments='{"a":1}'), Finish("tool_use", READ)]


def test_calls_of_the_server_are_none_of_ours() -> None:
    """A search that the service itself makes is no call; its blocks are in the echo, in their place."""
    found = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"encrypted_content": "Eo8F"}]}
    events, decoder = run(
        data(
            start(),
            begin(0, "server_tool_use", id="srv_1", name="web_search", input={}),
            delta(0, "input_json_delta", partial_json='{"query": "SSE"}'),
            end(0),
            {"type": "content_block_start", "index": 1, "content_block": found},
            end(1),
            begin(2),
            delta(2, "citations_delta", citation={"type": "web_search_result_location", "url": "https://a.example"}),
            says("It is.", 2),
            end(2),
            last(),
            STOP,
        )
    )
    assert output(events) == [text("It is."), Finish("end_turn", READ)]
    citation = {"type": "web_search_result_location", "url": "https://a.example"}
    assert decoder.facts.citations == [citation]
    assert decoder.echo() == [
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "SSE"}},
        found,
        {"type": "text", "text": "It is.", "citations": [citation]},
    ]


def test_what_comes_after_something_else_begins_a_paragraph() -> None:
    """Not "…search for it.Based on…"; texts that follow each other are one, as citations divide a sentence."""
    stream = [
        begin(0, "thinking"),
        delta(0, "thinking_delta", thinking="Hm."),
        begin(1, "text", text="I search."),
        begin(2, "server_tool_use", id="srv_1", name="web_search", input={}),
        begin(3),
        says("By what I found, ", 3),
        begin(4),
        says("it is.", 4),
        begin(5, "thinking"),
        delta(5, "thinking_delta", thinking="Is it?"),
        begin(6),
        says("Yes.", 6),
        begin(7),
        says(" It is.", 7),
    ]
    events, decoder = run(data(start(), *stream, last(), STOP))
    assert "".join(event.text for event in events if isinstance(event, Text)) == (
        "I search.\n\nBy what I found, it is.\n\nYes. It is."
    )
    assert "".join(event.text for event in events if isinstance(event, Reasoning)) == "Hm.\n\nIs it?"
    assert [block.get("text") for block in decoder.echo() if block["type"] == "text"] == [
        *("I search.", "By what I found, ", "it is.", "Yes.", " It is."),
    ]


def test_the_signature_is_assigned() -> None:
    """A signature is one value: a second replaces the first, and thinking that is not shown has one, too."""
    values = [delta(0, "signature_delta", signature=value) for value in ("one", "two")]
    _, decoder = run(data(start(), begin(0, "thinking"), *values, end(), begin(1), says("Hi", 1), last()))
    assert decoder.echo() == [
        {"type": "thinking", "thinking": "", "signature": "two"},
        {"type": "text", "text": "Hi"},
    ]


def test_text_and_calls_need_no_echo() -> None:
    """Where the canonical message says all of a turn, nothing else goes back."""
    _, decoder = run(
        data(start(), begin(0), says("Hi"), begin(1, "tool_use", id="t", name="f"), last("tool_use"), STOP)
    )
    assert decoder.echo() is None


# --- usage and facts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "usage"),
    [
        ({"input_tokens": 43, "output_tokens": 1}, {"output_tokens": 12}, Usage(43, 12, 55)),
        ({"input_tokens": 43}, {"input_tokens": 61, "output_tokens": 12}, Usage(61, 12, 73)),
        (
            {"input_tokens": 3, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000},
            {"output_tokens": 12},
            Usage(1103, 12, 1115, None, 1000, cache_write_tokens=100),
        ),
        (
            {"input_tokens": 3, "cache_read_input_tokens": 5},
            {"output_tokens": 9, "cache_read_input_tokens": 7, "output_tokens_details": {"thinking_tokens": 4}},
            Usage(10, 9, 19, 4, 7),
        ),
        ({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 8, "output_tokens": 12}, Usage(8, 12, 20)),
        ({"input_tokens": 43}, {"input_tokens": 0, "output_tokens": 12}, Usage(43, 12, 55)),
        ({"input_tokens": 43}, {"input_tokens": 0, "cache_read_input_tokens": 43}, Usage(43, None, None, None, 43)),
        ({}, {"output_tokens": 12}, Usage(None, 12)),
        ({"input_tokens": 43}, {"output_tokens": 0}, Usage(43)),
        ({"input_tokens": 43}, {"output_tokens": -1}, Usage(43)),
        ({"input_tokens": 43}, {"output_tokens": True, "output_tokens_details": [1]}, Usage(43)),
        ({"input_tokens": 43}, {"output_tokens": None, "input_tokens": None}, Usage(43)),
        ({"input_tokens": "43"}, {"output_tokens": 12.5}, None),
        ({"input_tokens": "43"}, {"output_tokens": 12.0}, Usage(None, 12)),
    ],
)
def test_usage(first: Any, then: Any, usage: Usage | None) -> None:
    """The last report overwrites, what it leaves out stays; input is the sum of what was read, written and new."""
    events, _ = run(data(start(first), begin(0), says("Hi"), last(usage=then), STOP))
    found = [event for event in events if isinstance(event, Usage)]
    assert found[-1:] == ([msgspec.structs.replace(usage, read=READ)] if usage else [])


def test_the_first_report_is_no_count_of_the_output() -> None:
    """message_start has a 1 there; an answer that breaks off must not take it for its length."""
    assert usage_of(start(), begin(0), says("Hi")) == Usage(43, read=READ)


def test_facts() -> None:
    """The tier that served, and what is said about a refusal."""
    details = {"type": "refusal", "category": "cyber", "explanation": "This could harm."}
    _, decoder = run(
        data(start({"input_tokens": 3, "service_tier": "priority"}), last("refusal", stop_details=details))
    )
    assert (decoder.facts.service_tier, decoder.facts.detail) == ("priority", "cyber: This could harm.")
    assert decoder.finish_reason == "refusal"
    _, decoder = run(data(start(), last("refusal", stop_details={"category": None, "explanation": None})))
    assert decoder.facts.detail == ""


# --- errors -----------------------------------------------------------------------------------------------------------


def error(type: str, message: str = "No") -> dict[str, Any]:
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_1"}


@pytest.mark.parametrize("wrapped", [named, data])
@pytest.mark.parametrize("begins", [(), (start(), begin(0), says("Hi"))])
@pytest.mark.parametrize(
    ("type", "kind", "words"),
    [
        ("overloaded_error", errors.ServiceUnavailable, "is overloaded: wait a little and try again"),
        ("api_error", errors.ServiceUnavailable, "try again"),
        ("timeout_error", errors.ServiceUnavailable, "gave up waiting"),
        ("rate_limit_error", errors.RateLimited, "takes no more requests for now"),
        ("invalid_request_error", errors.BadRequest, "change what it names"),
        ("request_too_large", errors.BadRequest, "too long"),
        ("authentication_error", errors.KeyRefused, "refused the key"),
        ("permission_error", errors.KeyRefused, "denied access"),
        ("billing_error", errors.ServiceError, "no credit"),
        ("not_found_error", errors.UnknownModel, 'does not know the model "claude-x"'),
        ("a_new_error", errors.ServiceError, "answered with an error"),
    ],
)
def test_an_error_in_the_stream(
    wrapped: Any, begins: tuple[Any, ...], type: str, kind: type[errors.ServiceError], words: str
) -> None:
    """First or in the middle, its type says what it is; what came before it stays, and nothing comes after."""
    events, decoder = run(wrapped(*begins, error(type), says("more"), STOP))
    assert output(events) == ([text("Hi")] if begins else [])
    assert isinstance(decoder.error, kind)
    assert (decoder.error.type, decoder.error.status) == (type, None)
    assert words in str(decoder.error)
    assert str(decoder.error).endswith('; it said: "No"')


@pytest.mark.parametrize(
    "sent",
    [
        data({"type": "error", "message": "No", "code": "overloaded"}),
        data({"type": "overloaded_error", "message": "No"}),
        data({"error": {"message": "No", "type": "overloaded_error", "code": None}}),
        data({"error": {"code": 503, "message": "No", "type": "unavailable_error"}}),
        data({"type": "message_delta", "delta": {}, "error": {"message": "No", "code": "overloaded"}}),
        b'event: error\ndata: {"message": "No", "type": "overloaded_error"}\n\n',
        b'event: error\ndata: {"error": {"message": "No", "code": 529}}\n\n',
        b"event: error\ndata: No\n\n",
    ],
)
def test_errors_of_other_shapes(sent: bytes) -> None:
    """Flat ones, OpenAI's, llama.cpp's, and those that only the `event:` line says."""
    _, decoder = run(data(start()) + sent)
    assert isinstance(decoder.error, errors.ServiceError)
    assert str(decoder.error).endswith('; it said: "No"')


def test_an_error_never_shows_the_key() -> None:
    """A service that repeats the key in its error does not get it into ours."""
    _, decoder = run(
        data(error("authentication_error", "invalid x-api-key sk-ant-secret-1234")), key="sk-ant-secret-1234"
    )
    assert "not-so-secret" not in str(decoder.error)


def test_a_second_beginning() -> None:
    """A gateway that repeats the head of the same answer says nothing new; another answer's head is an error."""
    assert said(start(), begin(0), says("a"), start(), says("b")) == [text("a"), text("b")]
    assert said(start(), begin(0), says("a"), start(id=None), says("b")) == [text("a"), text("b")]
    events, decoder = run(data(start(), begin(0), says("a"), start(id="msg_2"), begin(0), says("b"), last(), STOP))
    assert output(events) == [text("a")]
    assert isinstance(decoder.error, errors.StreamInterrupted)
    assert "Another answer begins in the middle of this one" in str(decoder.error)


@pytest.mark.parametrize("odd", [b"{broken", b"null", b"[1]", b'"text"', b"3", b"[" * 100_000])
def test_a_piece_that_cannot_be_read(odd: bytes) -> None:
    """In an answer that has begun it is left out and counted; where nothing has come it is no answer."""
    events, decoder = run(data(start(), begin(0), says("a"), odd, says("b"), odd, last(), STOP))
    assert output(events) == [text("a"), text("b"), Finish("end_turn", READ)]
    assert (decoder.error, decoder.facts.unreadable) == (None, 2)
    _, decoder = run(data(start(), odd))
    assert (decoder.error, decoder.facts.unreadable) == (None, 1)
    _, decoder = run(data(odd, says("a")))
    assert isinstance(decoder.error, errors.NotAStream)
    assert "not an answer in the Messages format" in str(decoder.error)


def test_another_format() -> None:
    """Chunks of Chat Completions are said to be none of this format."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [{"delta": {"content": "Hi"}}]}
    events, decoder = run(data(chunk, chunk, b"[DONE]"))
    assert events == []
    assert isinstance(decoder.error, errors.NotAStream)


# --- a whole answer instead of a stream -------------------------------------------------------------------------------


def whole(body: Any) -> tuple[list[Event], MessagesDecoder]:
    decoder = MessagesDecoder(asked="claude-x")
    return decoder.whole(body if isinstance(body, bytes) else json.dumps(body).encode(), READ), decoder


def test_an_unstreamed_answer() -> None:
    """Its blocks, stop reason, usage and facts are those of a stream."""
    events, decoder = whole(
        {
            **start()["message"],
            "content": ITS_ECHO,
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5},
        }
    )
    assert events == [
        Reasoning("The user wants the weather.", READ),
        text("Let me look. ☂"),
        part(0, "toolu_01", "get_weather"),
        part(0, arguments='{"city":"Paris"}'),
        part(1, "toolu_02", "get_time"),
        part(1, arguments="{}"),
        Finish("tool_use", READ),
        Usage(7, 5, 12, None, 4, read=READ),
    ]
    assert (decoder.id, decoder.done, decoder.finish_reason) == ("msg_1", True, "tool_use")
    assert decoder.echo() == ITS_ECHO


def test_an_error_object_with_200() -> None:
    """An error in a successful answer is the service's error."""
    events, decoder = whole(error("overloaded_error"))
    assert events == []
    assert isinstance(decoder.error, errors.ServiceUnavailable)


@pytest.mark.parametrize(
    "body", [b"", b"null", b'"text"', b"[]", b"{}", b'{"choices": []}', b"<html>", b"[" * 100_000, b"\xff"]
)
def test_a_body_that_is_no_answer(body: bytes) -> None:
    """It is said so, in the format's name."""
    events, decoder = whole(body)
    assert events == []
    assert isinstance(decoder.error, errors.NotAStream)


# --- hostile input ----------------------------------------------------------------------------------------------------


def test_half_characters() -> None:
    """A surrogate pair cut over two events is joined, in the text and in the echo; a half that stays is U+FFFD."""
    halves = [
        b'{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"%s"}}' % half
        for half in (b"\\ud83d", b"\\ude00!", b"\\ud83d")
    ]
    events, decoder = run(data(start(), begin(0, "thinking"), end(0), begin(1), *halves, says("x", 1), last(), STOP))
    assert "".join(event.text for event in events if isinstance(event, Text)) == "😀!\ufffdx"
    assert decoder.echo()[-1] == {"type": "text", "text": "😀!\ufffdx"}
    msgspec.json.encode(decoder.echo())


def test_an_echo_is_json_however_deep_a_block_is() -> None:
    """What a service nests a thousand deep is cut where nobody reads it, and can be sent again."""
    deep = '{"type":"content_block_start","index":0,"content_block":{"type":"x","a":' + "[" * 700 + "]" * 700 + "}}"
    _, decoder = run(data(start(), deep.encode(), begin(1), says("Hi", 1), last(), STOP))
    assert len(msgspec.json.encode(decoder.echo())) < 300


JUNK = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        10**30,
        0.5,
        float("nan"),
        "",
        "x",
        "\ud83d",
        [],
        [None],
        ["x", {}],
        {},
        {"type": 3},
        {"text": []},
    ]
)
KINDS = ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "ping")
DELTAS = ("text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta", "x")
BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "x")


def of(kinds: tuple[str, ...], *names: str, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object of one of these types with some of these fields, in which anything may be, or what is known."""
    optional = dict.fromkeys(names, JUNK) | {name: JUNK | value for name, value in known.items()}
    return st.fixed_dictionaries({"type": st.sampled_from(kinds)}, optional=optional)


BLOCK = of(BLOCKS, "text", "thinking", "signature", "id", "name", "input", "citations", "data")
DELTA = of(DELTAS, "text", "thinking", "signature", "partial_json", "citation", "stop_reason", "stop_details")
USAGE = st.fixed_dictionaries({}, optional=dict.fromkeys(("input_tokens", "output_tokens", "service_tier"), JUNK))
MESSAGE = st.fixed_dictionaries({}, optional={"id": JUNK, "model": JUNK, "content": st.lists(BLOCK), "usage": USAGE})
EVENT = of(KINDS, "index", "error", delta=DELTA, content_block=BLOCK, message=MESSAGE, usage=USAGE)
HOSTILE = st.lists(EVENT | JUNK, max_size=8)


@settings(max_examples=examples(60))
@given(HOSTILE)
def test_nothing_a_service_sends_raises(values: list[Any]) -> None:
    """Whatever comes, there are events, or an error of ours; what goes back of it is JSON."""
    events, decoder = run(data(*values))
    assert all(isinstance(event, get_args(Event)) for event in events)
    assert decoder.error is None or isinstance(decoder.error, errors.HolystreamError)
    json.loads(msgspec.json.encode([decoder.echo(), decoder.facts.citations]))
    for value in values[:1]:
        whole(value)


@given(st.binary(max_size=200))
def test_no_bytes_raise(stream: bytes) -> None:
    """Nor do bytes that are nothing."""
    run(stream)
    run(b"data: " + stream)
    whole(stream)
