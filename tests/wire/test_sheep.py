"""WebSocket messages in, events out: both vocabularies of the documents, and what else a service may send."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb import errors
from holystream_nb.events import Event, Finish, Reasoning, Text, ToolCallEnd, ToolCallPart, Usage
from holystream_nb.reply import Fold
from holystream_nb.timing import Timing
from holystream_nb.wire.complaints import close_error
from holystream_nb.wire.sheep import CANCEL, MessageDecoder, event_message, init_message

READ = 7
KEY = "hs_live_0123456789abcdef"


def run(*messages: Any) -> tuple[list[Event], MessageDecoder]:
    """The events of one turn; a message is text or bytes as they are, or a value to be written as JSON."""
    turn = MessageDecoder(asked="gpt-x", key=KEY)
    sent = [message if isinstance(message, str | bytes) else json.dumps(message) for message in messages]
    return [event for message in sent for event in turn.feed(message, READ)], turn


def events_of(*messages: Any) -> list[Event]:
    events, turn = run(*messages)
    assert turn.error is None
    return events


def calls_of(events: list[Event]) -> list[tuple[str, str, str]]:
    fold = Fold()
    for event in events:
        fold.add(event)
    reply = fold.reply(
        finish_reason="",
        whole=True,
        prompt_estimate=0,
        hides_reasoning=False,
        cost=lambda usage: None,  # type: ignore[arg-type,return-value]
        model="",
        provider="",
        stamps=Timing(0),
        request_id=None,
        error=None,
    )
    return [(call.id, call.name, call.arguments) for call in reply.tool_calls]


def function_call(index: Any, arguments: Any, id: Any = "c1", name: Any = "f", **more: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": id,
        "index": index,
        "function": {"name": name, "arguments": arguments},
        **more,
    }


def tool_call(index: Any, arguments: Any, id: Any = "c1", name: Any = "f", **more: Any) -> dict[str, Any]:
    return {
        "type": "tool_call",
        "call_id": id,
        "index": index,
        "payload": {"tool": name, "arguments": arguments},
        **more,
    }


# Both vocabularies


def test_a_turn_in_the_words_of_document_000() -> None:
    """Text, reasoning, usage and end as A says them."""
    events, turn = run(
        {"type": "start", "id": "req_1"},
        {"type": "reasoning_block", "content": "Hm."},
        {"type": "content_block", "content": "Hel"},
        {"type": "content_block", "content": "lo"},
        {"type": "done", "finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    )
    assert events == [
        Reasoning("Hm.", READ),
        Text("Hel", READ),
        Text("lo", READ),
        Usage(3, 2, None, None, None, True, READ),
        Finish("stop", READ),
    ]
    assert (turn.done, turn.finish_reason, turn.error, turn.id) == (True, "stop", None, "req_1")


def test_a_turn_in_the_words_of_document_001() -> None:
    """The same as B says it, with usage in a message of its own."""
    events, turn = run(
        {"type": "reasoning", "content": "Hm."},
        {"type": "token", "content": "Hello"},
        {"type": "usage", "usage": {"completion_tokens": 2, "total_tokens": 5, "prompt_tokens": 3, "cost": 0.1}},
        {"type": "done"},
    )
    usage = Usage(3, 2, 5, read=READ, cost=Decimal("0.1"))
    assert events == [Reasoning("Hm.", READ), Text("Hello", READ), usage]
    assert (turn.done, turn.finish_reason) == (True, None)


def test_the_vocabularies_may_be_mixed() -> None:
    """Whatever opened the socket, both are taken at any time."""
    assert events_of({"type": "token", "content": "a"}, {"type": "content_block", "content": "b"}) == [
        Text("a", READ),
        Text("b", READ),
    ]


# Tool calls


@pytest.mark.parametrize("call", [function_call, tool_call])
def test_a_call_in_pieces_ends_with_the_status(call: Any) -> None:
    """Its parts come as they are, its end once, after the last."""
    events = events_of(
        call(0, "", status="in_progress"),
        call(0, '{"a":', status="in_progress"),
        call(0, "1}", status="completed"),
    )
    assert events == [
        ToolCallPart(0, "c1", "f", "", READ),
        ToolCallPart(0, "", "", '{"a":', READ),
        ToolCallPart(0, "", "", "1}", READ),
        ToolCallEnd(0, READ),
    ]


@pytest.mark.parametrize("call", [function_call, tool_call])
def test_a_message_without_status_is_a_whole_call(call: Any) -> None:
    """As in the documents."""
    events, turn = run(call(0, '{"a": 1}'))
    assert events == [ToolCallPart(0, "c1", "f", '{"a": 1}', READ), ToolCallEnd(0, READ)]
    assert (turn.open_calls, turn.ended_calls) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "text"), [({"a": "ü"}, '{"a": "ü"}'), (None, ""), ("", ""), ([1], "[1]"), ({}, "{}")]
)
def test_arguments_may_be_an_object_or_nothing(arguments: Any, text: str) -> None:
    """Then they are the whole, and come out as JSON text."""
    assert calls_of(events_of(tool_call(0, arguments))) == [("c1", "f", text)]


def test_interleaved_calls_are_told_apart() -> None:
    """By index and id; each ends by itself."""
    events, turn = run(
        tool_call(0, '{"a"', "c1", "f", status="in_progress"),
        tool_call(1, '{"b"', "c2", "g", status="in_progress"),
        tool_call(0, ": 1}", "c1", "f", status="completed"),
    )
    assert (turn.open_calls, turn.ended_calls) == (1, 1)
    assert events[-1] == ToolCallEnd(0, READ)
    events += turn.feed(json.dumps(tool_call(1, ": 2}", "c2", "g", status="completed")), READ)
    assert calls_of(events) == [("c1", "f", '{"a": 1}'), ("c2", "g", '{"b": 2}')]
    assert events[-1] == ToolCallEnd(1, READ)


@pytest.mark.parametrize("id", [None, "", 7])
def test_later_pieces_may_lack_id_name_and_index(id: Any) -> None:
    """They belong to the last call."""
    events = events_of(
        tool_call(None, "", "c1", "f", status="in_progress"),
        tool_call(None, "{}", id, None, status="completed"),
    )
    assert calls_of(events) == [("c1", "f", "{}")]
    assert events.count(ToolCallEnd(0, READ)) == 1


def test_a_call_ends_only_once() -> None:
    """Whatever comes for it afterwards."""
    events, turn = run(tool_call(0, "{}", status="completed"), tool_call(0, "", status="completed"))
    assert events.count(ToolCallEnd(0, READ)) == 1
    assert (turn.open_calls, turn.ended_calls) == (0, 1)


def test_calls_of_a_later_round_go_on_counting() -> None:
    """After text between, the same index with another id is another call."""
    events = events_of(tool_call(0, "{}", "c1"), {"type": "token", "content": "So."}, tool_call(0, "{}", "c2"))
    assert [call[0] for call in calls_of(events)] == ["c1", "c2"]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "tool_call"},
        {"type": "tool_call", "payload": None},
        {"type": "tool_call", "payload": [1], "status": ["completed"]},
        {"type": "function_call", "function": "f"},
    ],
)
def test_a_call_that_says_nothing_is_none(message: dict[str, Any]) -> None:
    """No empty part, no end."""
    assert events_of(message) == []


@pytest.mark.parametrize("status", [{"a": 1}, ["in_progress"], 3, True])
def test_a_status_of_another_kind_is_no_status(status: Any) -> None:
    """The message is then a whole call."""
    assert events_of(tool_call(0, "{}", status=status))[-1] == ToolCallEnd(0, READ)


# Content in other shapes


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        (3, ""),
        ([{"type": "text", "text": "a"}, "b"], "ab"),
        ({"text": "c"}, "c"),
        ([], ""),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("kind", ["token", "content_block", "reasoning", "reasoning_block"])
def test_content_in_every_shape(kind: str, content: Any, text: str) -> None:
    """Null and empty are nothing; parts are joined."""
    channel = Reasoning if kind.startswith("reasoning") else Text
    assert events_of({"type": kind, "content": content}) == ([channel(text, READ)] if text else [])


def test_a_refusal_is_text() -> None:
    """As over server-sent events."""
    assert events_of({"type": "token", "refusal": "No."}) == [Text("No.", READ)]


def test_binary_messages_are_taken_as_text() -> None:
    """Some servers send their JSON in binary frames."""
    assert events_of(b'{"type": "token", "content": "\xc3\xbc"}') == [Text("ü", READ)]


@pytest.mark.parametrize(
    "message",
    [{}, {"type": None}, {"type": 3}, {"type": ["token"], "content": "x"}, {"type": "ping"}, {"type": "stream_end"}],
)
def test_unknown_types_are_ignored(message: dict[str, Any]) -> None:
    """They are no output and no error."""
    events, turn = run(message, {"type": "token", "content": "a"})
    assert (events, turn.error, turn.empty) == ([Text("a", READ)], None, False)


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": None}, {"completion_tokens": "3"}, [1], "x", 4])
def test_usage_without_counts_is_none(usage: Any) -> None:
    """Nothing is made up."""
    assert events_of({"type": "usage", "usage": usage}, {"type": "token", "content": "a", "usage": usage}) == [
        Text("a", READ)
    ]


def test_usage_may_stand_beside_anything() -> None:
    """A running usage in each message: the last one wins in the reply."""
    events = events_of({"type": "token", "content": "a", "usage": {"completion_tokens": 1}})
    assert events == [Text("a", READ), Usage(completion_tokens=1, read=READ)]


def test_half_a_surrogate_pair_waits_for_the_other() -> None:
    """A character cut in two by the messages is whole; half of one becomes U+FFFD."""
    whole = events_of('{"type":"token","content":"a\\ud83d"}', '{"type":"token","content":"\\udc11b"}')
    assert "".join(event.text for event in whole if isinstance(event, Text)) == "a🐑b"
    broken = events_of('{"type":"token","content":"a\\udc11"}')
    assert broken == [Text("a\ufffd", READ)]


def test_nan_and_raw_control_characters_are_taken() -> None:
    """What only a lenient parser takes loses no text."""
    assert events_of('{"type":"token","content":"a\tb","x":NaN}') == [Text("a\tb", READ)]


# The end


def test_nothing_comes_after_the_end() -> None:
    """A message behind `done` belongs to no turn."""
    events, turn = run(
        {"type": "done", "finish_reason": "length"},
        {"type": "token", "content": "x"},
        {"type": "error", "error": {"message": "late"}},
    )
    assert (events, turn.error) == ([Finish("length", READ)], None)


@pytest.mark.parametrize("reason", [None, "", 3, ["stop"]])
def test_an_end_without_a_reason_is_an_end(reason: Any) -> None:
    """The service has ended the turn, and has not said why."""
    events, turn = run({"type": "done", "finish_reason": reason})
    assert (events, turn.done, turn.finish_reason) == ([], True, None)


# Errors


@pytest.mark.parametrize(
    "error",
    [
        {"type": "server_error", "code": "overloaded", "message": "Too much to do."},
        "Too much to do.",
        {"message": "Too much to do.", "status": 503},
        {"detail": [{"loc": ["messages", 0], "msg": "Too much to do."}]},
    ],
)
def test_an_error_ends_the_turn_and_keeps_what_came_before(error: Any) -> None:
    """In every shape that errors have."""
    events, turn = run(
        {"type": "token", "content": "a"}, {"type": "error", "error": error}, {"type": "token", "content": "b"}
    )
    assert events == [Text("a", READ)]
    assert isinstance(turn.error, errors.ServiceError)
    assert "Too much to do." in str(turn.error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"status": 429, "message": "slow", "retry_after": "3"}, errors.RateLimited),
        ({"code": "model_not_found", "message": "no"}, errors.UnknownModel),
        ({"type": "authentication_error", "message": "no"}, errors.KeyRefused),
        ({"status": 503}, errors.ServiceUnavailable),
        (None, errors.ServiceError),
        ({}, errors.ServiceError),
        (3, errors.ServiceError),
    ],
)
def test_errors_have_the_same_classes_as_over_http(error: Any, kind: type[errors.ServiceError]) -> None:
    """By their status, else by the service's words."""
    _, turn = run({"type": "error", "error": error})
    assert type(turn.error) is kind


@pytest.mark.parametrize(("wait", "seconds"), [("3", 3.0), (2.5, 2.5), (None, None), ("soon", None), (-1, None)])
def test_an_error_says_how_long_to_wait(wait: Any, seconds: float | None) -> None:
    """As Retry-After does."""
    _, turn = run({"type": "error", "error": {"status": 429, "retry_after": wait}})
    assert isinstance(turn.error, errors.RateLimited)
    assert turn.error.retry_after == seconds


def test_an_error_beside_the_end_is_an_error() -> None:
    """An answer that failed is not complete."""
    _, turn = run({"type": "done", "finish_reason": "error", "error": {"message": "broken"}})
    assert isinstance(turn.error, errors.ServiceError)
    assert not turn.done


def test_the_key_is_in_no_message() -> None:
    """Services echo keys."""
    _, turn = run({"type": "error", "error": f"wrong key {KEY}"})
    assert KEY not in str(turn.error)
    _, turn = run(f"no json {KEY}")
    assert KEY not in str(turn.error)


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "token", "cont',
        "<html><title>Bad gateway</title></html>",
        "[]",
        '"text"',
        "3",
        "null",
        "",
        b"\xff\xfe",
        "[" * 5000,
        '{"a":' * 5000,
    ],
)
def test_what_is_no_object_is_left_out_of_a_turn_that_has_begun(message: str | bytes) -> None:
    """Half JSON, a web page, an array: the rest is kept, and the pieces are counted."""
    events, turn = run({"type": "token", "content": "a"}, message, {"type": "token", "content": "b"})
    assert events == [Text("a", READ), Text("b", READ)]
    assert (turn.error, turn.facts.unreadable) == (None, 1)
    events, turn = run(message, {"type": "token", "content": "b"})
    assert events == []
    assert isinstance(turn.error, errors.NotAStream)
    assert str(turn.error).endswith(".")


@given(st.binary() | st.text())
@settings(max_examples=examples(300), deadline=None)
def test_nothing_makes_it_raise(message: str | bytes) -> None:
    """Any message is events, nothing, or an error in the turn."""
    turn = MessageDecoder()
    turn.feed(message, READ)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_FIELDS = (
    "content",
    "refusal",
    "usage",
    "error",
    "finish_reason",
    "id",
    "call_id",
    "index",
    "status",
    "function",
    "payload",
)
_KINDS = ("start", "token", "reasoning", "tool_call", "function_call", "usage", "done", "error")


@pytest.mark.slow
@given(
    st.lists(
        st.fixed_dictionaries({"type": st.sampled_from(_KINDS)}, optional=dict.fromkeys(_FIELDS, _JSON)), max_size=4
    )
)
@settings(max_examples=examples(100), deadline=None)
def test_no_shape_of_a_known_message_makes_it_raise(messages: list[dict[str, Any]]) -> None:
    """Every field with any value; texts that come out can be written."""
    events, turn = run(*messages)
    for event in events:
        str(event).encode()
    assert turn.open_calls >= 0
    assert turn.ended_calls == sum(isinstance(event, ToolCallEnd) for event in events)


# Close codes


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1008, errors.KeyRefused),
        (4401, errors.KeyRefused),
        (4403, errors.KeyRefused),
        (4429, errors.RateLimited),
        (1013, errors.RateLimited),
        (1009, errors.BadRequest),
        (1001, errors.ServiceUnavailable),
        (1011, errors.ServiceUnavailable),
        (1012, errors.ServiceUnavailable),
        (4503, errors.ServiceUnavailable),
        (3000, errors.ServiceError),
        (1002, errors.ServiceError),
    ],
)
def test_a_close_code_is_the_error_it_means(code: int, kind: type[errors.ServiceError]) -> None:
    """1008 is the key, 1013 too many requests, 1009 too long: in the same classes as over HTTP."""
    error = close_error(code, "because", asked="gpt-x", key=KEY)
    assert type(error) is kind
    assert "because" in str(error)


@pytest.mark.parametrize("code", [1000, 1005])
def test_an_ordinary_close_is_no_error(code: int) -> None:
    """Whether the answer was whole is another question."""
    assert close_error(code, "", asked="", key="") is None


# What is sent


def test_the_messages_that_are_sent() -> None:
    """`init` has the body's other fields as parameters."""
    body = {"model": "m", "messages": [{"role": "user", "content": "ü"}], "temperature": 0.5, "stream": True}
    assert json.loads(init_message(body)) == {
        "type": "init",
        "model": "m",
        "messages": [{"role": "user", "content": "ü"}],
        "stream": True,
        "parameters": {"temperature": 0.5},
    }
    assert json.loads(event_message("tool_result", {"call_id": "c1", "result": "x"}, 5)) == {
        "type": "tool_result",
        "payload": {"call_id": "c1", "result": "x"},
        "timestamp": 5,
    }
    assert json.loads(CANCEL) == {"type": "cancel"}


@pytest.mark.parametrize(("type", "payload"), [("init", {}), ("cancel", {}), ("x", {"a": 1j}), ("x", {"a": "\ud83d"})])
def test_what_cannot_be_sent_as_an_event_is_refused(type: str, payload: dict[str, Any]) -> None:
    """A sentence, and nothing on the wire."""
    with pytest.raises(errors.SetupError):
        event_message(type, payload, 0)
