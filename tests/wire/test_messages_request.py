"""Requests as Chat Completions has them, written in the Messages format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from holystream_nb.errors import SetupError
from holystream_nb.providers.table import provider
from holystream_nb.wire.messages import MESSAGES
from holystream_nb.wire.messages_request import body

ANTHROPIC = provider("anthropic")
MODEL = "claude-sonnet-4-5"
HELLO = {"role": "user", "content": "Hello"}
PNG = "iVBORw0KGgo="
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}


def written(*messages: Any, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    """The request for these messages."""
    asked = {"model": model, "messages": list(messages) or [HELLO], **fields, "stream": True}
    before = json.dumps(asked)
    request = body(asked, ANTHROPIC)
    assert json.dumps(asked) == before  # it is the caller's
    return request


def turns(*messages: Any, **fields: Any) -> Any:
    return written(*messages, **fields)["messages"]


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def call(id: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def use(id: str, name: str, input: Any = None) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": input or {}}


def came(id: str, content: str = "ok", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": [text(content)], **more}


# --- fields -----------------------------------------------------------------------------------------------------------


def test_the_least() -> None:
    """A model, a limit, the messages, and streaming."""
    assert written() == {"model": MODEL, "stream": True, "max_tokens": 32_000, "messages": [user(text("Hello"))]}
    assert (MESSAGES.path, MESSAGES.headers) == ("/messages", {"anthropic-version": "2023-06-01"})


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-opus-4-1-20250805", 32_000),
        ("anthropic/claude-sonnet-4.5", 32_000),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 32_000),
        ("claude-opus-5-5", 32_000),
        ("claude-3-5-sonnet-20241022", 4_096),
        ("anthropic.claude-3-haiku-20240307-v1:0", 4_096),
        ("anthropic.claude-v2:1", 4_096),
        ("qwen3-8b", 8_192),
    ],
)
def test_a_limit_is_always_sent(model: str, limit: int) -> None:
    """The format wants one: by the model's name what every such model takes, else the user's own."""
    assert written(model=model)["max_tokens"] == limit
    assert written(model=model, max_tokens=None)["max_tokens"] == limit
    assert written(model=model, max_tokens=7)["max_tokens"] == 7
    assert written(model=model, max_tokens=0)["max_tokens"] == 0
    request = written(model=model, max_completion_tokens=7)
    assert request["max_tokens"] == 7
    assert "max_completion_tokens" not in request


def test_the_limit_leaves_room_behind_the_thinking() -> None:
    """A budget for thinking is part of the limit, and must be below it."""
    thinking = {"type": "enabled", "budget_tokens": 10_000}
    assert written(model="qwen3-8b", thinking=thinking)["max_tokens"] == 18_192
    assert written(thinking=thinking)["max_tokens"] == 32_000
    assert written(thinking=thinking)["thinking"] == thinking


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 5}, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": "a", "stop_sequences": ["b"]}, {"stop_sequences": ["b", "a"]}),
        ({"stop": None}, {}),
        ({"stream_options": {"include_usage": True}}, {}),
        ({"n": 1, "logprobs": False, "seed": None}, {}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"user": "u1", "metadata": {"user_id": "u2"}}, {"metadata": {"user_id": "u2"}}),
        ({"service_tier": "standard_only"}, {"service_tier": "standard_only"}),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}),
        ({"a_new_field": 1}, {"a_new_field": 1}),
        ({"reasoning_effort": "high"}, {"output_config": {"effort": "high"}}),
        ({"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning_effort": None}, {}),
        (
            {"reasoning_effort": "low", "thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "array"}}}},
        ),
        ({"response_format": {"type": "json_object"}}, {"system": "Answer with one JSON object and nothing else."}),
        ({"response_format": {"type": "text"}}, {}),
    ],
)
def test_fields(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each field of Chat Completions as this format calls it; its own, and unknown ones, as they are given."""
    assert written(max_tokens=9, **fields) == {**written(max_tokens=9), **expected}


@pytest.mark.parametrize(
    ("field", "value", "elsewhere"),
    [
        ("n", 2, "chat"),
        ("seed", 0, "chat"),
        ("logprobs", True, "chat"),
        ("top_logprobs", 5, "chat"),
        ("logit_bias", {"5": 1}, "chat"),
        ("frequency_penalty", 0.5, "chat"),
        ("functions", [], "chat"),
        ("instructions", "Be brief.", "responses"),
        ("max_output_tokens", 5, "responses"),
        ("previous_response_id", "r", "responses"),
        ("reasoning", {"effort": "low"}, "responses"),
    ],
)
def test_fields_without_a_place(field: str, value: Any, elsewhere: str) -> None:
    """What the format cannot say is refused in one sentence, which names a format that can."""
    with pytest.raises(SetupError, match=f'{field} has no place in the Messages format.*wire="{elsewhere}"'):
        written(**{field: value})


def test_a_schema_is_one_that_the_format_takes() -> None:
    """Rules it refuses stand in descriptions; objects are closed; the rest, and the caller's own, stay as they are."""
    leaf = {"$ref": "#/$defs/Leaf"}
    schema = {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "minimum": 3, "maximum": 5, "description": "In years."},
            "code": {"type": "string", "pattern": "^[A-Z]$", "minLength": 1},
            "kind": {"oneOf": [{"type": "null"}, {"enum": ["a"]}]},
            "leaves": {"type": "array", "items": leaf, "minItems": 1, "maxItems": 2, "uniqueItems": True},
            "minimum": {"type": "string"},
        },
        "required": ["age"],
        "$defs": {"Leaf": {"properties": {}}, "Open": {"type": "object", "additionalProperties": {"type": "string"}}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}
    assert written(response_format=wanted)["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "description": "In years.\n\n{minimum: 3, maximum: 5}"},
            "code": {"type": "string", "pattern": "^[A-Z]$", "description": "{minLength: 1}"},
            "kind": {"anyOf": [{"type": "null"}, {"enum": ["a"]}]},
            "leaves": {
                "type": "array",
                "items": leaf,
                "minItems": 1,
                "description": "{maxItems: 2, uniqueItems: true}",
            },
            "minimum": {"type": "string"},
        },
        "required": ["age"],
        "$defs": {
            "Leaf": {"properties": {}, "additionalProperties": False},
            "Open": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "additionalProperties": False,
    }


def test_a_schema_goes_to_other_models_as_it_is() -> None:
    """An engine that writes by a grammar keeps the rules, and a gateway knows what its models take."""
    schema = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 5}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    sent = body({"model": "smollm2-135m", "messages": [HELLO], "response_format": wanted}, provider("litellm"))
    assert sent["output_config"]["format"]["schema"] == schema


def test_fields_that_say_nothing_are_left_out() -> None:
    """Many write out Chat Completions' defaults, as OpenAI's playground does."""
    defaults = {"frequency_penalty": 0, "presence_penalty": 0.0, "n": 1, "logit_bias": {}, "seed": None, "store": False}
    assert written(**defaults) == written()


@pytest.mark.parametrize("given", [{"type": "json_schema"}, {"type": "grammar"}, "json", {}])
def test_a_response_format_that_is_none(given: Any) -> None:
    """It is said which there are."""
    with pytest.raises(SetupError, match="response_format must be of type json_schema"):
        written(response_format=given)


# --- tools ------------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "f", "description": "Says.", "parameters": SCHEMA}}


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (TOOL, {"name": "f", "description": "Says.", "input_schema": SCHEMA}),
        (
            {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}},
            {
                "name": "f",
                "input_schema": {"type": "object", "properties": {}},
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            {"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}},
            {"name": "f", "strict": True, "input_schema": SCHEMA},
        ),
        ({"name": "f", "input_schema": SCHEMA}, {"name": "f", "input_schema": SCHEMA}),
        (
            {"type": "web_search_20250305", "name": "web_search"},
            {"type": "web_search_20250305", "name": "web_search"},
        ),
    ],
)
def test_tools(tool: Any, expected: Any) -> None:
    """A function's schema is its input_schema; the format's own tools go as they are."""
    assert written(tools=[tool])["tools"] == [expected]


ONE = {"disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"tool_choice": {"type": "any"}}, {"type": "any"}),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", **ONE}),
        ({"parallel_tool_calls": False, "tool_choice": "required"}, {"type": "any", **ONE}),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
    ],
)
def test_which_tool(fields: dict[str, Any], choice: Any) -> None:
    """The choice of a tool, and whether there may be several calls, are one field here."""
    request = written(tools=[TOOL], **fields)
    assert request.get("tool_choice") == choice
    assert "parallel_tool_calls" not in request


def test_no_choice_without_tools() -> None:
    """Services refuse a choice where there is nothing to choose from."""
    assert "tool_choice" not in written(parallel_tool_calls=False)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_calls_of_before_are_told_as_tools_that_may_not_be_called() -> None:
    """A conversation goes on without its tools: Anthropic refuses calls where no tool is defined."""
    said = [HELLO, {"role": "assistant", "content": None, "tool_calls": [call("c", "f")]}, result("c")]
    request = written(*said)
    assert request["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert request["tool_choice"] == {"type": "none"}
    assert "tool_choice" not in written(*said, tools=[TOOL])


def test_the_system_prompt_stands_apart() -> None:
    """System and developer messages, wherever they stand, and a `system` of the user's own, in their order."""
    request = written(
        {"role": "system", "content": "Be brief."},
        HELLO,
        {"role": "developer", "content": [text("Be kind.")]},
        system="Be.",
    )
    assert request["system"] == "Be.\n\nBe brief.\n\nBe kind."
    assert request["messages"] == [user(text("Hello"))]


def test_a_system_prompt_alone_is_the_users_turn() -> None:
    """There must be a turn: without any, services answer 400."""
    request = written({"role": "system", "content": "Say hello."})
    assert request["messages"] == [user(text("Say hello."))]
    assert "system" not in request


def test_a_beginning_of_the_answer_ends_in_no_space() -> None:
    """Else "final assistant content cannot end with trailing whitespace"; an earlier turn stays as it was."""
    said = {"role": "assistant", "content": "The answer is: \n"}
    first, second, _, last = turns(HELLO, said, HELLO, said)
    assert (second["content"], last["content"]) == ([text("The answer is: \n")], [text("The answer is:")])
    assert said["content"] == "The answer is: \n"
    assert first == user(text("Hello"))


def test_a_system_prompt_that_is_cached() -> None:
    """Blocks that say more than their text stay blocks."""
    block = text("Be brief.", cache_control={"type": "ephemeral"})
    request = written({"role": "system", "content": [block]}, {"role": "system", "content": "Be kind."}, HELLO)
    assert request["system"] == [block, text("Be kind.")]


def test_roles_alternate() -> None:
    """Messages of the same role that follow each other are one; blank ones, which services refuse, are none."""
    assert turns(
        HELLO,
        {"role": "user", "content": "there", "name": "x"},
        {"role": "assistant", "content": " \n"},
        {"role": "user", "content": [text(""), text("!")]},
        {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "refusal": None},
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": [text("again")]},
    ) == [user(text("Hello"), text("there"), text("!")), assistant(text("Hi"), text("again"))]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("Hi", text("Hi")),
        (text("Hi", cache_control={"type": "ephemeral"}), text("Hi", cache_control={"type": "ephemeral"})),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        ),
        (
            {"type": "image_url", "image_url": "https://a.example/b.png", "cache_control": {"type": "ephemeral"}},
            {
                "type": "image",
                "source": {"type": "url", "url": "https://a.example/b.png"},
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/csv;base64,YSxi"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
        ),
        (
            {"type": "file", "file": {"file_data": "https://a.example/b.pdf"}},
            {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}},
        ),
        (
            {"type": "file", "file": {"file_id": "file_1"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        ),
    ],
)
def test_parts(part: Any, expected: Any) -> None:
    """Text, images and files as blocks; the format's own blocks go as they are."""
    assert turns({"role": "user", "content": [part]}) == [user(expected)]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, 'no audio.*wire="chat"'),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "must be an https: address, or data:"),
        ({"type": "image_url", "image_url": {"url": "data:,x"}}, "must be an https: address, or data:"),
        ({"type": "image_url"}, "must be an https: address, or data:"),
        ({"type": "file", "file": "x"}, "must be an https: address, or data:"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,UEs="}}, "takes PDF and text"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,x"}}, "must be base64"),
        (3, "must be a text, or a list of parts"),
    ],
)
def test_parts_without_a_place(part: Any, words: str) -> None:
    """What the format has no block for is refused in one sentence."""
    with pytest.raises(SetupError, match=words):
        turns({"role": "user", "content": [part]})


def test_an_unknown_role() -> None:
    """It is named, with those there are."""
    with pytest.raises(SetupError, match="no role 'function'"):
        turns({"role": "function", "name": "f", "content": "x"})


# --- calls and their results ------------------------------------------------------------------------------------------


def test_a_round_of_calls() -> None:
    """Calls are blocks behind the text, and all results are in one message of the user's, before any text."""
    assert turns(
        HELLO,
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call("a", "f", '{"x": 1}'), call("b", "g")]},
        {"role": "user", "content": "Quick!"},
        result("a"),
        result("b", "Error: no such file"),
    ) == [
        user(text("Hello")),
        assistant(text("Let me look."), use("a", "f", {"x": 1}), use("b", "g")),
        user(came("a"), came("b", "Error: no such file", is_error=True), text("Quick!")),
    ]


@pytest.mark.parametrize("arguments", ["", "{", "[1]", "null", '"x"', "[" * 100_000, None])
def test_arguments_that_are_no_object(arguments: Any) -> None:
    """What the model wrote wrongly goes back as {}: a request with anything else is refused."""
    said = {"role": "assistant", "content": None, "tool_calls": [call("a", "f", arguments)]}
    assert turns(HELLO, said, result("a"))[1] == assistant(use("a", "f"))


def test_ids_of_other_services() -> None:
    """An id with dots and colons, which this format refuses, is the same word in the call and in its result."""
    said = {"role": "assistant", "content": None, "tool_calls": [call("functions.f:0", "f")]}
    found = turns(HELLO, said, result("functions.f:0"))
    assert found[1:] == [assistant(use("functions_f_0", "f")), user(came("functions_f_0"))]


def test_ids_that_come_again_in_another_turn() -> None:
    """Services that count calls anew give the same ids in every turn, also beside an echo; here none may come twice."""
    echo = {"wire": "messages", "from": f"anthropic:{MODEL}", "content": [THINKING, use("c0", "f")]}
    twice = {"role": "assistant", "content": None, "tool_calls": [call("c0", "f"), call("c1", "f")]}
    once = {"role": "assistant", "content": None, "tool_calls": [call("c0", "f")], "echo": echo}
    results = [result("c1", "one"), result("c0", "zero")]
    assert turns(HELLO, twice, *results, once, result("c0", "again"), twice, *results)[1:] == [
        assistant(use("c0", "f"), use("c1", "f")),
        user(came("c1", "one"), came("c0", "zero")),
        assistant(THINKING, use("c0_2", "f")),
        user(came("c0_2", "again")),
        assistant(use("c0_3", "f"), use("c1_2", "f")),
        user(came("c1_2", "one"), came("c0_3", "zero")),
    ]


def test_an_image_in_a_result() -> None:
    """A tool may return pictures beside its text; one that returns nothing has no content."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call("a", "f"), call("b", "f")]}
    assert turns(HELLO, said, result("a", [text("A plot."), picture]), result("b", ""))[2] == user(
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [
                text("A plot."),
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            ],
        },
        {"type": "tool_result", "tool_use_id": "b"},
    )


# --- what goes back word for word -------------------------------------------------------------------------------------

THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}
HIDDEN = {"type": "redacted_thinking", "data": "EmwK"}


def echo(*content: Any, wire: str = "messages", minted: str = f"anthropic:{MODEL}") -> dict[str, Any]:
    return {"echo": {"wire": wire, "from": minted, "content": list(content)}}


def test_an_echo_goes_back_whole_and_in_order() -> None:
    """Thinking with its signature, what is redacted, text and calls: as the service wrote them."""
    content = [THOUGHT, HIDDEN, text("Let me look."), use("toolu_1", "f", {"x": 1})]
    said = {"role": "assistant", "content": "Let me look.", "tool_calls": [call("toolu_1", "f", '{"x": 1}')]}
    found = turns(HELLO, {**said, **echo(*content)}, result("toolu_1"))
    assert found[1:] == [assistant(*content), user(came("toolu_1"))]


@pytest.mark.parametrize(
    "other",
    [
        echo(THOUGHT, wire="responses"),
        echo(THOUGHT, minted="anthropic:claude-opus-4-5"),
        echo(THOUGHT, minted=f"openrouter:{MODEL}"),
        {"echo": {"wire": "messages", "from": f"anthropic:{MODEL}", "content": "x"}},
        {"echo": {"wire": "messages", "from": f"anthropic:{MODEL}", "content": ["x"]}},
        {"echo": "x"},
    ],
)
def test_an_echo_of_somebody_else(other: dict[str, Any]) -> None:
    """What another service, model or format wrote stays out: the text and the calls are what it said."""
    said = {"role": "assistant", "content": "Hi", "tool_calls": [call("a", "f")]}
    assert turns(HELLO, {**said, **other}, result("a"))[1] == assistant(text("Hi"), use("a", "f"))


def test_ids_in_an_echo_are_those_of_the_results() -> None:
    """Where a service gave none, or the same twice, the message's own count."""
    said = {"role": "assistant", "content": None, "tool_calls": [call("call_1", "f"), call("call_2", "g")]}
    found = turns(HELLO, {**said, **echo(THOUGHT, use("", "f"), use("", "g"))}, result("call_1"), result("call_2"))
    assert found[1] == assistant(THOUGHT, use("call_1", "f"), use("call_2", "g"))


def test_calls_that_were_never_answered_stay_out_of_an_echo() -> None:
    """A call without a result is refused, and a turn must not end with a thought."""
    said = {"role": "assistant", "content": "Hi"}
    assert turns(HELLO, {**said, **echo(text("Hi"), THOUGHT, use("t", "f"))})[1:] == [assistant(text("Hi"))]
    assert turns(HELLO, {**said, **echo(THOUGHT)})[1:] == [assistant(text("Hi"))]


def test_the_same_message_for_another_provider() -> None:
    """The echo is for whom it came from, by the provider's name."""
    said = {"role": "assistant", "content": "Hi", **echo(THOUGHT, text("Hi"))}
    asked = {"model": MODEL, "messages": [HELLO, said], "stream": True}
    assert body(asked, ANTHROPIC)["messages"][1] == assistant(THOUGHT, text("Hi"))
    assert body(asked, replace(ANTHROPIC, name="other"))["messages"][1] == assistant(text("Hi"))


# --- the official package -------------------------------------------------------------------------------------------


@pytest.mark.slow  # building its types takes seconds
def test_the_official_package_takes_the_request_for_its_own() -> None:
    """Everything that this format rewrites fits the types of the `anthropic` package, to the last leaf."""
    from anthropic.types.message_create_params import MessageCreateParamsStreaming
    from pydantic import TypeAdapter, ValidationError

    own = TypeAdapter(MessageCreateParamsStreaming)
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    paper = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}}
    said = {"role": "assistant", "content": "Hi", "tool_calls": [call("a", "f", '{"x": 1}'), call("b", "g", "{")]}
    request = written(
        {"role": "system", "content": [text("Be brief.", cache_control={"type": "ephemeral"})]},
        {"role": "user", "content": [text("Hello"), picture, paper]},
        {**said, **echo(THOUGHT, HIDDEN, text("Hi"), use("a", "f", {"x": 1}), use("b", "g"))},
        result("a", [text("A plot."), picture]),
        result("b", "Error: no"),
        {"role": "assistant", "content": "And?", "tool_calls": [call("c.0", "f")]},
        result("c.0"),
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        stop="END",
        user="u1",
        reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    )
    read(own.validate_python(request))
    request["messages"][0]["content"][1]["source"] = {"type": "base64"}
    with pytest.raises(ValidationError):
        read(own.validate_python(request))


def read(tree: Any) -> None:
    """Goes through a tree, whose lists pydantic looks at only as they are read."""
    if isinstance(tree, dict):
        for value in tree.values():
            read(value)
    elif not isinstance(tree, str) and isinstance(tree, Iterable):
        for value in tree:
            read(value)
