"""Responses: what is asked, as the format has it; bytes of an answer in, events out, as some twenty services speak."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb.errors import HolystreamError, NotAStream, RateLimited, ServiceError, ServiceUnavailable, SetupError
from holystream_nb.events import Event, Finish, Reasoning, Text, ToolCallPart, Usage
from holystream_nb.providers.table import provider as named
from holystream_nb.wire.format import minted_by
from holystream_nb.wire.responses import ResponsesDecoder
from holystream_nb.wire.responses_request import body
from holystream_nb.wire.sse import Decoder

READ = 7
LLAMA = named("llama.cpp")
OPENAI = named("openai")


# --- the request ------------------------------------------------------------------------------------------------------


def asked(messages: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    messages = messages or [{"role": "user", "content": "Hi"}]
    return {"model": "m", "messages": messages, **fields, "stream": True}


def written(messages: list[dict[str, Any]] | None = None, provider: Any = LLAMA, **fields: Any) -> dict[str, Any]:
    return body(asked(messages, **fields), provider)


def items(*messages: dict[str, Any]) -> list[Any]:
    return list(written(list(messages))["input"])


def test_the_least_request_is_stored_nowhere() -> None:
    """A prompt is one item, nothing is stored unless that is asked for, and nothing else is said."""
    wanted = {"model": "m", "input": [{"role": "user", "content": "Hi"}], "stream": True, "store": False}
    assert written() == wanted
    assert written(store=True)["store"] is True


def test_what_the_system_says_first_are_instructions() -> None:
    """Leading messages of the system are instructions, later ones items, as all are where instructions are given."""
    system, user = {"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}
    late = {"role": "developer", "content": "In French."}
    both = written([system, {**late, "content": [{"type": "text", "text": "In French."}]}, user, late])
    assert both["instructions"] == "Be short.\n\nIn French."
    assert both["input"] == [user, late]
    alone = written([system])
    assert ("instructions" in alone, alone["input"]) == (False, [system])
    own = written([system, user], instructions="Mine.")
    assert (own["instructions"], own["input"]) == ("Mine.", [system, user])


def test_parts_of_messages_get_their_names_here() -> None:
    """Text, images and files are input parts; what has this format's shape stays."""
    content = [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "image_url", "image_url": "https://x.example/y.png"},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}},
        {"type": "input_text", "text": "and this"},
    ]
    assert items({"role": "user", "content": content})[0]["content"] == [
        {"type": "input_text", "text": "See"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        {"type": "input_image", "image_url": "https://x.example/y.png", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
        {"type": "input_text", "text": "and this"},
    ]


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def test_a_tool_round_is_items_with_the_same_call_id() -> None:
    """The assistant's text, its calls and their results are items of their own; an image in a result stays one."""
    said = {"role": "assistant", "content": "Wait.", "tool_calls": [CALL]}
    image = [{"type": "text", "text": "drawn"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert items(said, {"role": "tool", "tool_call_id": "call_1", "content": image}) == [
        {"type": "message", "role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'},
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [
                {"type": "input_text", "text": "drawn"},
                {"type": "input_image", "image_url": "data:,", "detail": "auto"},
            ],
        },
    ]
    assert items({"role": "assistant", "content": None}) == []


ECHO = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA=="},
    {"type": "message", "id": "msg_1", "role": "assistant", "phase": "commentary", "content": []},
    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'},
]


def with_echo(calls: list[Any], **echo: Any) -> dict[str, Any]:
    minted = {"wire": "responses", "from": minted_by(LLAMA, "m"), "content": ECHO, **echo}
    return {"role": "assistant", "content": "Wait.", "tool_calls": calls, "echo": minted}


def test_an_echo_goes_back_unchanged_to_who_made_it() -> None:
    """All items, in their order, word for word; to another service or model, or in another format, the canonical."""
    assert items(with_echo([CALL])) == ECHO
    for other in ({"from": "openai:m"}, {"from": minted_by(LLAMA, "n")}, {"wire": "chat"}):
        assert [item["type"] for item in items(with_echo([CALL], **other))] == ["message", "function_call"]


def test_calls_of_an_echo_fit_their_results() -> None:
    """An id that was made up, and arguments that are no JSON, are the canonical ones; other calls, no echo."""
    made_up = {**CALL, "id": "call_1_0"}
    assert items(with_echo([made_up]))[2]["call_id"] == "call_1_0"
    broken = [{**item, "arguments": '{"a": '} if item["type"] == "function_call" else item for item in ECHO]
    assert items(with_echo([CALL], content=broken))[2]["arguments"] == '{"a": 1}'
    assert [item["type"] for item in items(with_echo([]))] == ["message"]


def test_fields_of_chat_completions_get_their_names_here() -> None:
    """Limits, effort, schemas, verbosity, tools and their choice; what has this format's name is stronger."""
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": False}}
    choice = {"type": "function", "function": {"name": "f"}}
    request = written(
        max_completion_tokens=9,
        reasoning_effort="low",
        reasoning={"summary": "auto"},
        response_format=schema,
        verbosity="low",
        tools=[tool, {"type": "web_search"}],
        tool_choice=choice,
        top_p=0.5,
        logprobs=True,
        stream_options={"include_usage": True},
    )
    assert {name: request[name] for name in request if name not in ("model", "input", "stream", "store")} == {
        "max_output_tokens": 9,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {
            "format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True},
            "verbosity": "low",
        },
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "f"},
        "top_p": 0.5,
        "include": ["message.output_text.logprobs"],
    }
    assert written(max_tokens=9, max_output_tokens=5)["max_output_tokens"] == 5
    assert written(reasoning_effort="low", reasoning={"effort": "high"})["reasoning"] == {"effort": "high"}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [choice]}}
    flat = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    assert written(tool_choice=allowed)["tool_choice"] == flat


@pytest.mark.parametrize("name", ["stop", "seed", "logit_bias", "frequency_penalty", "prediction", "functions", "n"])
def test_what_only_chat_completions_have_is_refused(name: str) -> None:
    """A field without a place here is refused with the format that has it, and not dropped silently."""
    with pytest.raises(SetupError, match=rf'^{name} has no place in Responses.*wire="chat"'):
        written(**{name: 2})
    assert name not in written(**{name: None})


def test_fields_that_say_nothing_are_left_out() -> None:
    """Many write out Chat Completions' defaults, as OpenAI's playground does."""
    assert written(frequency_penalty=0, presence_penalty=0.0, n=1, logit_bias={}) == written()


def test_a_tool_is_as_strict_as_it_says() -> None:
    """Chat Completions take one without `strict` as it is; Responses would require every parameter of it."""
    function = {"name": "f", "parameters": {"type": "object"}}
    tools = [
        {"type": "function", "function": function},
        {"type": "function", "function": {**function, "strict": True}},
        {"type": "function", **function},
    ]
    assert [tool.get("strict") for tool in written(tools=tools)["tools"]] == [False, True, None]


def test_reasoning_comes_back_encrypted_from_models_that_hide_it() -> None:
    """Where nothing is stored, it is asked for; of models without reasoning it would be refused."""
    hides = body({**asked(), "model": "gpt-5"}, OPENAI)
    assert hides["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body({**asked(store=True), "model": "gpt-5"}, OPENAI)
    assert "include" not in body({**asked(), "model": "gpt-4.1"}, OPENAI)


def test_padding_is_not_paid_for() -> None:
    """Where the service pads its events, they are asked for without; and as a user says."""
    assert written(provider=OPENAI)["stream_options"] == {"include_obfuscation": False}
    own = written(provider=OPENAI, stream_options={"include_obfuscation": True})
    assert own["stream_options"] == {"include_obfuscation": True}
    assert "stream_options" not in body({**asked(), "stream": False}, OPENAI)


def test_what_the_service_knows_already_is_left_out() -> None:
    """The instructions go with every request, of the messages only those behind the known ones."""
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "system", "content": "In French."},
        {"role": "user", "content": "Again"},
    ]
    request = body(asked(messages), LLAMA, 3)
    assert (request["instructions"], request["input"]) == ("Be short.", messages[3:])


# --- the answer -------------------------------------------------------------------------------------------------------


def data(*values: Any, named: bool = False) -> bytes:
    """One server-sent event per value: JSON of it, or the bytes as they are."""
    stream = b""
    for value in values:
        if named:
            stream += b"event: %s\n" % value["type"].encode()
        stream += b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
    return stream


def run(
    stream: bytes, *, asked: str = "gpt-x", key: str = "", limit: int | None = None
) -> tuple[list[Event], ResponsesDecoder]:
    """What a client does with a stream that ended."""
    lines, decoder = Decoder(), ResponsesDecoder(asked=asked, key=key, limit=limit)
    events = [event for sse in lines.feed(stream) for event in decoder.feed(sse, READ)]
    events += [event for sse in lines.close() for event in decoder.feed(sse, READ, cut=True)]
    return events, decoder


def of(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def text(delta: Any, index: int | None = 0, **fields: Any) -> dict[str, Any]:
    place = {} if index is None else {"output_index": index}
    return of("output_text.delta", item_id="msg_1", content_index=0, delta=delta, logprobs=[], **place, **fields)


def message(*texts: str, id: str = "msg_1", **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": each, "annotations": []} for each in texts]
    return {"id": id, "type": "message", "role": "assistant", "status": "completed", "content": content, **fields}


def reasoning(*summary: str, id: str = "rs_1", **fields: Any) -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": each} for each in summary]
    return {"id": id, "type": "reasoning", "summary": parts, **fields}


def call(arguments: Any = "", n: int = 1, **fields: Any) -> dict[str, Any]:
    named = {"id": f"fc_{n}", "call_id": f"call_{n}", "name": f"f{n}"}
    return {"type": "function_call", **named, "arguments": arguments, **fields}


def added(item: Any, index: int | None = 0) -> dict[str, Any]:
    return of("output_item.added", item=item, **({} if index is None else {"output_index": index}))


def done(item: Any, index: int | None = 0) -> dict[str, Any]:
    return of("output_item.done", item=item, **({} if index is None else {"output_index": index}))


def response(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "model": "m-2026", "status": status, **fields}


def end(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return of(status, response=response(status, **fields))


CREATED = of("created", response=response("in_progress"))


def events_of(*values: Any) -> list[Event]:
    events, decoder = run(data(CREATED, *values))
    assert decoder.error is None
    return events


def said(events: list[Event]) -> tuple[str, str]:
    """Reasoning and text."""
    thoughts = "".join(event.text for event in events if isinstance(event, Reasoning))
    return thoughts, "".join(event.text for event in events if isinstance(event, Text))


def calls(events: list[Event]) -> list[tuple[str, str, str]]:
    found: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallPart):
            entry = found.setdefault(event.index, ["", "", ""])
            entry[0], entry[1], entry[2] = entry[0] + event.id, entry[1] + event.name, entry[2] + event.arguments
    return [(id, name, arguments) for _, (id, name, arguments) in sorted(found.items())]


FULL_USAGE = {
    "input_tokens": 75,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 8},
    "output_tokens": 1186,
    "output_tokens_details": {"reasoning_tokens": 1024},
    "total_tokens": 1261,
}
OPENAI_STREAM = [
    CREATED,
    of("in_progress", response=response("in_progress")),
    added(reasoning(encrypted_content="gAA")),
    of("reasoning_summary_part.added", item_id="rs_1", output_index=0, summary_index=0),
    of("reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta="**Plan** "),
    of("reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta="it."),
    of("reasoning_summary_text.done", item_id="rs_1", output_index=0, summary_index=0, text="**Plan** it."),
    of("reasoning_summary_part.done", item_id="rs_1", output_index=0, summary_index=0),
    of("reasoning_summary_part.added", item_id="rs_1", output_index=0, summary_index=1),
    of("reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=1, delta="Do it."),
    done(reasoning("**Plan** it.", "Do it.", encrypted_content="gAAAwhole==")),
    added(message(), 1),
    of("content_part.added", item_id="msg_1", output_index=1, content_index=0, part={"type": "output_text"}),
    text("Two", 1, obfuscation="8Wn3kQ0zJr5tY", sequence_number=12),
    text(" words", 1, obfuscation="8Wn3kQ0zJr"),
    of("output_text.done", item_id="msg_1", output_index=1, content_index=0, text="Two words"),
    done(message("Two words", phase="final_answer"), 1),
    added(call(), 2),
    of("function_call_arguments.delta", item_id="fc_1", output_index=2, delta='{"a":'),
    of("function_call_arguments.delta", item_id="fc_1", output_index=2, delta=" 1}"),
    of("function_call_arguments.done", item_id="fc_1", output_index=2, arguments='{"a": 1}', name="f1"),
    done(call('{"a": 1}'), 2),
    end(usage=FULL_USAGE, service_tier="priority", output=[]),
]


def test_the_stream_of_openai() -> None:
    """Reasoning in parts, text, a call, usage and an end; the output is built from what came, for the next request."""
    events, decoder = run(data(*OPENAI_STREAM, named=True))
    assert said(events) == ("**Plan** it.\n\nDo it.", "Two words")
    assert calls(events) == [("call_1", "f1", '{"a": 1}')]
    usage = next(event for event in events if isinstance(event, Usage))
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (75, 1186, 1261)
    assert (usage.reasoning_tokens, usage.cached_tokens, usage.cache_write_tokens) == (1024, 40, 8)
    assert events[-1] == Finish("tool_calls", READ)
    assert (decoder.id, decoder.done, decoder.is_complete, decoder.finish_reason) == (
        "resp_1",
        True,
        True,
        "tool_calls",
    )
    assert (decoder.facts.model, decoder.facts.service_tier) == ("m-2026", "priority")
    assert decoder.echo() == [
        reasoning("**Plan** it.", "Do it.", encrypted_content="gAAAwhole=="),
        message("Two words", phase="final_answer"),
        call('{"a": 1}'),
    ]


def test_event_types_may_stand_beside_the_json_only() -> None:
    """A service that leaves `type` out of its JSON names the event in the stream."""
    stream = b""
    for event in OPENAI_STREAM:
        bare = {name: value for name, value in event.items() if name != "type"}
        stream += f"event: {event['type']}\ndata: {json.dumps(bare)}\n\n".encode()
    assert run(stream)[0] == run(data(*OPENAI_STREAM))[0]


def test_ids_that_change_in_every_event_go_by_the_index() -> None:
    """GitHub Copilot: no item_id is said twice, `output_index` tells the items apart."""
    stream = []
    for number, event in enumerate(OPENAI_STREAM):
        event = json.loads(json.dumps(event))
        if "item_id" in event:
            event["item_id"] = f"id{number}"
        if "item" in event:
            event["item"]["id"] = f"id{number}"
        stream.append(event)
    events, decoder = run(data(*stream))
    assert events == run(data(*OPENAI_STREAM))[0]
    assert [item["type"] for item in decoder.echo()] == ["reasoning", "message", "function_call"]


def without_index(event: dict[str, Any]) -> dict[str, Any]:
    places = ("output_index", "content_index", "summary_index", "sequence_number")
    return {name: value for name, value in event.items() if name not in places}


def test_items_without_an_index_go_by_their_ids() -> None:
    """llama.cpp: no index of any kind, two calls in pieces, and items that end when all have been written."""
    stream = [
        CREATED,
        added(reasoning(content=[]), None),
        of("reasoning_text.delta", item_id="rs_1", delta="Hm"),
        added(message(), None),
        text("Hi", None),
        added(call(n=1), None),
        added(call(n=2), None),
        of("function_call_arguments.delta", item_id="fc_1", delta='{"a"'),
        of("function_call_arguments.delta", item_id="fc_2", delta='{"b"'),
        of("function_call_arguments.delta", item_id="fc_1", delta=":1}"),
        of("function_call_arguments.delta", item_id="fc_2", delta=":2}"),
        done(message("Hi"), None),
        done(reasoning(content=[{"type": "reasoning_text", "text": "Hm"}]), None),
        done(call('{"a":1}', 1), None),
        done(call('{"b":2}', 2), None),
        of("completed", response=response(usage={"input_tokens": 3, "output_tokens": 4}), timings={"prompt_ms": 2.5}),
    ]
    events, decoder = run(data(*stream))
    assert said(events) == ("Hm", "Hi")
    assert calls(events) == [("call_1", "f1", '{"a":1}'), ("call_2", "f2", '{"b":2}')]
    assert [item["type"] for item in decoder.echo()] == ["reasoning", "message", "function_call", "function_call"]
    assert decoder.facts.timings == {"prompt_ms": 2.5}


def test_calls_whose_items_are_called_anew_and_have_no_index_go_by_their_own_ids() -> None:
    """Ids that rotate, and no index: the end of a call is no second call."""
    stream = [
        added(call(n=1), None),
        of("function_call_arguments.delta", item_id="x1", delta='{"a"'),
        of("function_call_arguments.delta", item_id="x2", delta=":1}"),
        done({**call('{"a":1}', 1), "id": "x3"}, None),
        added(call(n=2), None),
        of("function_call_arguments.delta", item_id="x4", delta="{}"),
        done({**call("{}", 2), "id": "x5"}, None),
        end(output=[]),
    ]
    assert calls(events_of(*stream)) == [("call_1", "f1", '{"a":1}'), ("call_2", "f2", "{}")]


def test_a_message_may_end_before_the_reasoning_it_came_from() -> None:
    """OpenRouter: other ids in `completed`, the message ends first, `[DONE]` follows; nothing is said twice."""
    stream = [
        CREATED,
        added(reasoning(), 0),
        of("reasoning_text.delta", output_index=0, delta="Hm"),
        added(message(), 1),
        text("Hi", 1),
        done(message("Hi"), 1),
        done(reasoning(content=[{"type": "reasoning_text", "text": "Hm"}], encrypted_content="x"), 0),
        end(output=[reasoning(id="rs_other"), message("Hi", id="msg_other")]),
        b"[DONE]",
    ]
    events, decoder = run(data(*stream))
    assert said(events) == ("Hm", "Hi")
    assert [item["id"] for item in decoder.echo()] == ["rs_1", "msg_1"]


def test_reasoning_in_two_kinds_of_events_is_told_once() -> None:
    """A summary and the text of the same reasoning: what came first is what is shown."""
    both = [added(reasoning())]
    for piece in ("a", "b"):
        both += [of("reasoning_summary_text.delta", delta=piece), of("reasoning_text.delta", delta=piece)]
    assert said(events_of(*both, done(reasoning("ab")), end()))[0] == "ab"


@pytest.mark.parametrize(
    "stream",
    [
        [done(reasoning("Hm", "So")), done(message("Hi", "!"), 1), done(call({"a": 1}), 2), end()],
        [end(output=[reasoning("Hm", "So"), message("Hi", "!"), call('{"a": 1}')])],
        [
            added(call(), 2),
            of("function_call_arguments.done", output_index=2, item_id="fc_1", arguments='{"a": 1}'),
            end(output=[reasoning("Hm", "So"), message("Hi", "!"), call('{"a": 1}')]),
        ],
    ],
)
def test_what_no_delta_brought_comes_with_the_items(stream: list[Any]) -> None:
    """Items may come whole, at their own end or with the answer's."""
    events = events_of(*stream)
    assert said(events) == ("Hm\n\nSo", "Hi!")
    assert calls(events) == [("call_1", "f1", '{"a": 1}')]
    assert events[-1] == Finish("tool_calls", READ)


def test_deltas_without_any_end_of_an_item_are_not_told_again() -> None:
    """The output in `completed` repeats them."""
    two = [added(message()), text("One."), added(message(id="msg_2"), 1), text("Two.", 1)]
    events = events_of(*two, end(output=[message("One."), message("Two.", id="msg_2")]))
    assert said(events)[1] == "One.\n\nTwo."


def test_a_second_message_begins_a_paragraph() -> None:
    """A word before the calls, and the answer after, are two messages of one answer."""
    first = [added(message()), text("I look it up."), done(message("I look it up."))]
    second = [added(message(), 1), text("It is", 1), text(" 5.", 1), done(message("It is 5."), 1)]
    assert said(events_of(*first, *second, end()))[1] == "I look it up.\n\nIt is 5."


def test_an_output_that_text_and_calls_tell_has_no_echo() -> None:
    """Nothing is kept that the canonical message does not have; reasoning that led to nothing never goes back."""
    assert run(data(CREATED, done(message("Hi")), done(call("{}"), 1), end()))[1].echo() is None
    assert run(data(CREATED, done(reasoning("Hm")), end("incomplete")))[1].echo() is None
    assert run(data(CREATED, done(message("Hi", phase="commentary"))))[1].echo() is None, "it has not ended"


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter", "max_messages", "something_new"])
def test_why_an_answer_is_incomplete_is_its_finish_reason(reason: str) -> None:
    """The service's word, as the finish reason and as its detail."""
    events, decoder = run(data(CREATED, text("Hi"), end("incomplete", incomplete_details={"reason": reason})))
    assert events[-1] == Finish(reason, READ)
    assert (decoder.finish_reason, decoder.facts.detail, decoder.done) == (reason, reason, True)


@pytest.mark.parametrize(
    ("status", "fields", "finish"),
    [
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
        ("incomplete", {"incomplete_details": None}, "incomplete"),
        ("cancelled", {}, "cancelled"),
    ],
)
def test_what_the_response_says_of_itself_outranks_its_event(status: str, fields: Any, finish: str) -> None:
    """vLLM: `response.completed` also where it was cut."""
    stream = data(CREATED, text("Hi"), of("completed", response=response(status, **fields)))
    assert run(stream)[1].finish_reason == finish


def test_a_completed_response_that_failed_is_an_error() -> None:
    """The same for a failure."""
    why = {"code": "server_error", "message": "Boom"}
    _, decoder = run(data(CREATED, text("Hi"), of("completed", response=response("failed", error=why))))
    assert isinstance(decoder.error, ServiceUnavailable)
    assert "Boom" in str(decoder.error)


@pytest.mark.parametrize(
    ("tokens", "limit", "output", "finish"),
    [
        (8, 8, [], "length"),
        (9, 8, [], "length"),
        (7, 8, [], "stop"),
        (8, None, [], "stop"),
        (8, 8, [added(call(n=1), 1), of("function_call_arguments.delta", output_index=1, delta='{"a')], "length"),
        (None, 8, [], "stop"),
    ],
)
def test_a_completed_answer_of_as_many_tokens_as_it_may_have_was_cut(
    tokens: int | None, limit: int | None, output: list[Any], finish: str
) -> None:
    """llama.cpp and others: `completed` also where the limit ended it, in the middle of a call too."""
    usage = None if tokens is None else {"input_tokens": 3, "output_tokens": tokens}
    events, decoder = run(data(CREATED, text("Hi"), *output, end(usage=usage)), limit=limit)
    assert events[-1] == Finish(finish, READ)
    assert decoder.facts.detail == ("the service said completed" if finish == "length" else "")


def test_a_refusal_is_text_and_a_fact() -> None:
    """Its pieces are shown, and the whole is kept apart."""
    refused = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]}
    for last in ([], [done(refused)]):
        stream = [of("refusal.delta", delta="I can"), of("refusal.delta", delta="not."), *last, end()]
        events, decoder = run(data(CREATED, *stream))
        assert (said(events)[1], decoder.facts.refusal) == ("I cannot.", "I cannot.")


def test_citations_logprobs_and_images_are_facts() -> None:
    """Each once, also where a citation is announced before its message ends."""
    cite = {"type": "url_citation", "url": "https://x.example", "start_index": 0, "end_index": 2}
    whole = message("Hi")
    whole["content"][0] |= {"annotations": [cite], "logprobs": [{"token": "Hi", "logprob": -0.1}]}
    image = {"type": "image_generation_call", "id": "ig_1", "result": "AAAA", "output_format": "webp"}
    announced = of("output_text.annotation.added", annotation=cite)
    events, decoder = run(data(CREATED, text("Hi"), announced, done(whole), announced, done(image, 1), end()))
    assert said(events)[1] == "Hi"
    assert decoder.facts.citations == [cite, cite]
    assert decoder.facts.logprobs == [{"token": "Hi", "logprob": -0.1}]
    assert decoder.facts.images == ["data:image/webp;base64,AAAA"]


# Errors


NESTED = {"type": "error", "error": {"type": "server_error", "code": "rate_limit_exceeded", "message": "slow down"}}
FLAT = {"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None}
FAILED = end("failed", error={"code": "rate_limit_exceeded", "message": "slow down"})


@pytest.mark.parametrize("errors", [[NESTED, FAILED], [FLAT, FAILED], [NESTED], [FLAT], [FAILED], [FAILED, NESTED]])
def test_an_error_is_one_error_in_every_shape(errors: list[Any]) -> None:
    """Nested as it comes live, flat as it is documented, in `response.failed`, or twice: the text before it stays."""
    events, decoder = run(data(CREATED, text("Hi"), *errors))
    assert said(events)[1] == "Hi"
    assert isinstance(decoder.error, RateLimited)
    assert "slow down" in str(decoder.error)
    assert (decoder.done, decoder.error.code) == (False, "rate_limit_exceeded")


def test_an_error_frame_says_its_status_and_when_to_come_back() -> None:
    """As a socket carries it: the status, and what HTTP would have had as headers."""
    frame = {"type": "error", "status": 503, "error": {"message": "busy"}, "headers": {"retry-after": "7"}}
    decoder = ResponsesDecoder(asked="m")
    decoder.take(json.dumps(frame), READ)
    assert isinstance(decoder.error, ServiceUnavailable)
    assert (decoder.error.status, decoder.error.retry_after, decoder.empty) == (503, 7.0, True)


def test_a_response_that_is_not_found_is_no_unknown_model() -> None:
    """What to do about it is in the sentence."""
    missing = {"type": "error", "code": "previous_response_not_found", "message": "Previous response not found."}
    error = run(data(missing))[1].error
    assert isinstance(error, ServiceError)
    assert "refused the request" in str(error)
    assert "model" not in str(error)


def test_no_error_holds_the_key() -> None:
    """Services repeat it."""
    key = "hs_live_0123456789abcdef"
    error = run(data({"type": "error", "message": f"bad key {key}", "code": key}), key=key)[1].error
    assert isinstance(error, ServiceError)
    assert key not in f"{error} {error.code} {error.type}"


def test_chunks_of_chat_completions_are_no_answer() -> None:
    """A server that knows one format only: not a truncated answer without a word."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [{"delta": {"content": "Hi"}}]}
    events, decoder = run(data(chunk))
    assert (events, type(decoder.error)) == ([], NotAStream)
    assert run(data(CREATED, text("Hi"), chunk, end()))[1].error is None


def test_what_is_no_answer_at_all_is_said() -> None:
    """A beginning that cannot be read is refused."""
    error = run(data(b"<html>"))[1].error
    assert isinstance(error, NotAStream)
    assert "not an answer in the Responses format" in str(error)
    assert run(data({"object": "something"}))[1].empty


@pytest.mark.parametrize("piece", [b'{"type": "response.output_te', b"[1, 2]", b"null", b"[" * 3000])
def test_an_unreadable_piece_does_not_end_an_answer_that_has_begun(piece: bytes) -> None:
    """It is left out and counted."""
    events, decoder = run(data(CREATED, text("a"), piece, text("b"), end()))
    assert said(events)[1] == "ab"
    assert (decoder.facts.unreadable, decoder.done, decoder.error) == (1, True, None)


def test_a_piece_that_the_end_of_the_stream_cut_is_not_counted() -> None:
    """Half of an event is what a cut connection leaves."""
    events, decoder = run(data(CREATED, text("a")) + b'data: {"type": "response.outp')
    assert (said(events)[1], decoder.facts.unreadable, decoder.error, decoder.is_complete) == ("a", 0, None, False)


def test_unknown_events_keep_alives_and_blank_pieces_are_ignored() -> None:
    """Whatever is invented next."""
    odd = [of("sparkle.delta", delta="x"), {"type": "ping"}, {"type": "keepalive"}, {}, text(""), text(None), b" "]
    events, decoder = run(data(CREATED, *odd, text("Hi"), end()) + b"event: ping\ndata: alive\n\n")
    assert (said(events)[1], decoder.facts.unreadable, decoder.error) == ("Hi", 0, None)


def test_done_alone_ends_an_answer() -> None:
    """A service without a terminal event says [DONE]."""
    decoder = run(data(CREATED, text("Hi"), b"[DONE]"))[1]
    assert (decoder.done, decoder.error) == (True, None)


def test_half_characters_are_joined() -> None:
    """A surrogate pair cut in two deltas, and a half that nothing joins, also in what goes back to the service."""
    halves = [
        rb'{"type":"response.output_text.delta","delta":"\ud83d"}',
        rb'{"type":"response.output_text.delta","delta":"\ude00!"}',
    ]
    events, decoder = run(
        data(
            CREATED,
            *halves,
            rb'{"type":"response.output_item.done","item":{"type":"reasoning","summary":[{"text":"\ud83d"}]}}',
        )
        + data(done(message("x"), 1), end())
    )
    assert said(events)[1] == "😀!"
    json.dumps(decoder.echo(), ensure_ascii=False).encode()


def test_usage_in_the_words_of_chat_completions_is_read_too() -> None:
    """Some services say `prompt_tokens` here."""
    usage = events_of(end(usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}))[0]
    assert isinstance(usage, Usage)
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 4)


# Unstreamed


def test_an_unstreamed_answer() -> None:
    """One JSON object: the same events as a stream's items."""
    whole = response(output=[reasoning("Hm"), message("Hi"), call('{"a": 1}')], usage=FULL_USAGE)
    decoder = ResponsesDecoder(asked="m")
    events = decoder.whole(json.dumps(whole).encode(), READ)
    assert (said(events), calls(events)) == (("Hm", "Hi"), [("call_1", "f1", '{"a": 1}')])
    assert (decoder.done, decoder.finish_reason, decoder.id) == (True, "tool_calls", "resp_1")
    assert [item["type"] for item in decoder.echo()] == ["reasoning", "message", "function_call"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b'{"error": {"message": "no"}}', ServiceError),
        (b'{"choices": []}', NotAStream),
        (b"[" * 3000, NotAStream),
        (json.dumps(response("failed", output=[], error={"code": "server_error"})).encode(), ServiceUnavailable),
    ],
)
def test_what_is_no_unstreamed_answer_is_an_error(said: bytes, kind: type[HolystreamError]) -> None:
    """An error in a body that says 200, and what is something else."""
    decoder = ResponsesDecoder(asked="m")
    assert decoder.whole(said, READ) == []
    assert isinstance(decoder.error, kind)


# Steering


def steered(*values: Any, inputs: tuple[Any, ...] = ("Shorter!",)) -> tuple[list[Event], ResponsesDecoder]:
    decoder = ResponsesDecoder(asked="m")
    events = decoder.take(json.dumps(CREATED), READ)
    for given_input in inputs:
        decoder.steer(given_input)
    for value in values:
        events += decoder.take(json.dumps(value), READ)
    return events, decoder


ACCEPTED = of("steer.accepted", steer={"id": "st_1", "previous_response_id": "resp_1"})
CUT = [
    text("Long"),
    done(message("Long")),
    end("incomplete", incomplete_details={"reason": "steered"}, usage=FULL_USAGE),
]
NEXT = of("created", response={**response("in_progress"), "id": "resp_2"})
REST = [added(message(id="msg_2")), text("Short."), done(message("Short.", id="msg_2"))]
LAST = of("completed", response={**response(usage=FULL_USAGE), "id": "resp_2"})


def test_a_steered_answer_goes_on_in_the_next_response() -> None:
    """Two responses are one answer: text, usage and, for the next request, the input between them."""
    events, decoder = steered(ACCEPTED, *CUT)
    assert (decoder.done, decoder.is_complete) == (False, True)
    events, decoder = steered(ACCEPTED, *CUT, NEXT, *REST, LAST)
    assert said(events)[1] == "Long\n\nShort."
    assert [event for event in events if isinstance(event, Finish)] == [Finish("stop", READ)]
    assert [event.total_tokens for event in events if isinstance(event, Usage)] == [1261, 2522]
    assert (decoder.id, decoder.done, decoder.facts.detail) == ("resp_2", True, "")
    assert decoder.echo() == [message("Long"), {"role": "user", "content": "Shorter!"}, message("Short.", id="msg_2")]


def test_input_that_came_too_late_or_waits_ends_with_the_answer() -> None:
    """Failed before or after the end, and pending: the turn ends, and says so."""
    failed = of("steer.failed", error={"code": "response_already_completed"}, steer={"input": "Shorter!"})
    pending = of("steer.pending", steer={"id": "st_1"}, reason="waiting_for_required_input", required_input=[])
    for values in (
        [text("a"), failed, end()],
        [text("a"), end(), failed],
        [ACCEPTED, done(call("{}")), end(), pending],
    ):
        decoder = steered(*values)[1]
        assert decoder.done
        assert len(decoder.notices) == 1
        assert decoder.facts.detail == decoder.notices[0]
    assert steered(failed)[1].notices == ["the input was not used: response already completed"]


def test_input_that_waits_for_results_is_in_what_goes_back() -> None:
    """All input that a service took is said again where the whole conversation is: here behind the results."""
    pending = of("steer.pending", steer={"id": "st_1"}, reason="waiting_for_required_input", required_input=[])
    decoder = steered(ACCEPTED, done(call('{"a": 1}')), end(), pending)[1]
    (given,) = [{"role": "user", "content": "Shorter!"}]
    assert decoder.echo()[1:] == [given]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "7"}
    later = {"role": "user", "content": "And now?"}
    conversation = [with_echo([CALL], content=decoder.echo()), result, {"role": "assistant", "content": "7."}, later]
    assert [item.get("type") or item for item in items(*conversation)] == [
        *("function_call", "function_call_output", given, "message", later)
    ]


# Any split, any bytes

WHOLE = data(*OPENAI_STREAM, named=True) + b": keep-alive\r\n\r\n"


@given(st.lists(st.integers(0, len(WHOLE)), max_size=8))
def test_reads_may_end_anywhere(cuts: list[int]) -> None:
    """The events are the same however the network cuts the stream."""
    places = [0, *sorted(cuts), len(WHOLE)]
    lines, decoder = Decoder(), ResponsesDecoder(asked="gpt-x")
    events = [
        event
        for begin, end in itertools.pairwise(places)
        for sse in lines.feed(WHOLE[begin:end])
        for event in decoder.feed(sse, READ)
    ]
    assert events == run(WHOLE)[0]


KINDS = sorted({event["type"] for event in OPENAI_STREAM} | {"error", "response.failed", "response.steer.failed"})
LEAF = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=4), st.just("\ud800"))
NAMES = st.sampled_from(["id", "type", "text", "summary", "content", "output", "status", "error", "usage", "name"])
NODE = st.one_of(LEAF, st.lists(LEAF, max_size=3), st.dictionaries(NAMES, LEAF, max_size=4))
VALUE = st.one_of(NODE, st.dictionaries(NAMES, NODE, max_size=4), st.lists(NODE, max_size=2))
FIELDS = [
    "delta",
    "item",
    "item_id",
    "output_index",
    "response",
    "arguments",
    "error",
    "code",
    "name",
    "steer",
    "headers",
]


@settings(max_examples=examples(50), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=5)), max_size=6)
)
def test_nothing_a_service_sends_raises(values: list[tuple[str, dict[str, Any]]]) -> None:
    """Any field with any value: what comes out is well-formed text and an echo that JSON can hold."""
    decoder = ResponsesDecoder(asked="m")
    decoder.steer("x")
    events: list[Event] = []
    for kind, fields in values:
        events += decoder.take(json.dumps({"type": kind, **fields}), READ)
    for event in events:
        if isinstance(event, Text | Reasoning):
            event.text.encode()
    json.dumps(decoder.echo(), ensure_ascii=False).encode()
    json.dumps([decoder.facts.refusal, decoder.facts.detail, decoder.facts.model], ensure_ascii=False).encode()


@given(st.binary(max_size=60))
def test_any_bytes_are_no_exception(junk: bytes) -> None:
    """A socket's message or a body of any bytes."""
    ResponsesDecoder(asked="m").take(junk, READ)
    ResponsesDecoder(asked="m").whole(junk, READ)
    run(data(CREATED) + b"data: " + junk)
