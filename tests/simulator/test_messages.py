"""Anthropic's Messages as the simulator speaks them: the events, the whole message, the rules, the faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from holystream_nb.simulator import Simulator
from holystream_nb.simulator.prompt_cache import Block, Cached, PromptCache

Say = Callable[..., Any]

WEATHER = {
    "name": "get_weather",
    "description": "The weather somewhere.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
USE = {"role": "user", "content": "Use get_weather in Paris"}
THINKING = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture(scope="session")
def say(ask: Callable[..., Any]) -> Say:
    """Send a Messages request and read the whole answer; a parameter that is ... is left out."""

    def say(prompt: str = "count to 3", simulate: str = "", **options: Any) -> Any:
        headers = {"x-api-key": "key", "anthropic-version": "2023-06-01", **options.pop("headers", {})}
        if simulate:
            headers["x-simulate"] = simulate
        path = options.pop("path", "/messages")
        messages = [{"role": "user", "content": prompt}]
        body = {"model": "claude-sonnet-4.5", "max_tokens": 2000, "messages": messages, "stream": True, **options}
        sent = json.dumps({name: value for name, value in body.items() if value is not ...}).encode()
        return ask(path=path, headers={"authorization": "", **headers}, body=sent)

    return say


def events(answer: Any) -> list[dict[str, Any]]:
    """The objects of a plain stream; each is named by its type."""
    found = []
    for event in answer.body.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def content(answer: Any) -> list[dict[str, Any]]:
    """The blocks of a stream, put together; the input of a call as its text."""
    blocks: dict[int, dict[str, Any]] = {}
    for event in events(answer):
        match event:
            case {"type": "content_block_start"}:
                blocks[event["index"]] = {**event["content_block"]}
            case {"type": "content_block_delta", "delta": delta}:
                block = blocks[event["index"]]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] = delta["signature"]
                    case "input_json_delta":
                        block["input"] = (block["input"] or "") + delta["partial_json"]
    return [blocks[index] for index in sorted(blocks)]


def complaint(answer: Any, status: int = 400, kind: str = "invalid_request_error") -> str:
    """The message of a refusal in Anthropic's shape."""
    assert answer.status == status, answer.body
    body = answer.json
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["request_id"] == answer.request_id == answer.headers["request-id"]
    return str(body["error"]["message"])


def ending(answer: Any) -> dict[str, Any]:
    (found,) = (event for event in events(answer) if event["type"] == "message_delta")
    return dict(found)


def test_stream_has_the_events_in_order(say: Say, simulator: Simulator) -> None:
    """Message, block, ping, deltas, and their ends, each event named, with cumulative usage and true times."""
    answer = say()
    found = events(answer)
    deltas = ["content_block_delta"] * 5
    kinds = ["message_start", "content_block_start", "ping", *deltas, "content_block_stop", "message_delta"]
    assert [event["type"] for event in found] == [*kinds, "message_stop"]
    assert content(answer) == [{"type": "text", "text": "1, 2, 3"}]
    start = found[0]["message"]
    assert (start["role"], start["content"], start["stop_reason"]) == ("assistant", [], None)
    assert start["usage"]["input_tokens"] == 3
    last = ending(answer)
    assert last["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"]) == (3, 5)
    record = simulator.record(answer.request_id)
    assert record["kinds"] == ["role", "other", "other", *["text"] * 5, "other", "finish", "done"]
    assert (record["model"], record["has_key"], record["outcome"]) == ("claude-sonnet-4.5", True, "complete")


def test_whole_message_is_that_of_the_stream(say: Say) -> None:
    """Unstreamed come the same blocks, stop reason and usage."""
    body = say("get_weather in Paris", tools=[WEATHER], thinking=THINKING, stream=False).json
    streamed = say("get_weather in Paris", tools=[WEATHER], thinking=THINKING)
    *rest, call = content(streamed)
    assert body["content"] == [*rest, {**call, "input": json.loads(call["input"])}]
    assert (body["type"], body["stop_reason"]) == ("message", "tool_use")
    assert body["usage"]["output_tokens"] == ending(streamed)["usage"]["output_tokens"]
    assert body["id"] == events(streamed)[0]["message"]["id"]


def test_thoughts(say: Say) -> None:
    """Thoughts come when they are asked for or usual, first, with a signature last; they can be left out or hidden."""
    for options in ({"thinking": THINKING}, {"thinking": {"type": "adaptive"}}, {"model": "sim-reasoner"}):
        answer = say(**options)
        thought, text = content(answer)
        assert thought["type"] == "thinking"
        assert "simulator" in thought["thinking"]
        assert len(thought["signature"]) > 20
        assert text["text"] == "1, 2, 3"
        assert ending(answer)["usage"]["output_tokens_details"]["thinking_tokens"] > 20
    assert [block["type"] for block in content(say(model="sim-reasoner", thinking={"type": "disabled"}))] == ["text"]
    hidden, _ = content(say(thinking={"type": "adaptive", "display": "omitted"}))
    assert (hidden["thinking"], len(hidden["signature"]) > 20) == ("", True)
    redacted, _ = content(say("count to 3", "reasoning=encrypted"))
    assert redacted.keys() == {"type", "data"}
    assert redacted["type"] == "redacted_thinking"


def test_calls(say: Say) -> None:
    """Arguments come in pieces after an empty one; a tool without any gets the empty one alone."""
    answer = say("Use get_weather and get_time in Paris", tools=[WEATHER, CLOCK])
    pieces = [event["delta"]["partial_json"] for event in events(answer) if event["type"] == "content_block_delta"]
    assert (pieces[0], pieces[-1], len(pieces) > 4) == ("", "", True)
    weather, clock = content(answer)
    assert (weather["name"], json.loads(weather["input"])) == ("get_weather", {"city": "Paris"})
    assert (clock["name"], clock["input"]) == ("get_time", "")
    assert weather["id"].startswith("toolu_")
    assert ending(answer)["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "auto"}, []),
        ({"type": "any"}, ["get_weather"]),
        ({"type": "tool", "name": "get_time"}, ["get_time"]),
        ({"type": "none"}, []),
    ],
)
def test_tool_choice(say: Say, choice: dict[str, Any], names: list[str]) -> None:
    """A tool is called where one must be, or that one, or none."""
    found = content(say("Hello", tools=[WEATHER, CLOCK], tool_choice=choice))
    assert [block["name"] for block in found if block["type"] == "tool_use"] == names


def test_one_tool_at_a_time(say: Say) -> None:
    """Parallel calls can be forbidden."""
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(content(say("get_weather and get_time", tools=[WEATHER, CLOCK], tool_choice=choice))) == 1


@pytest.mark.parametrize(
    ("simulate", "options", "reason"),
    [
        ("", {"max_tokens": 3}, "max_tokens"),
        ("finish=pause_turn", {}, "pause_turn"),
        ("finish=model_context_window_exceeded", {}, "model_context_window_exceeded"),
        ("finish=length", {}, "max_tokens"),
        ("refusal", {}, "refusal"),
        ("tokens=0,finish=refusal", {}, "refusal"),
    ],
)
def test_stop_reasons(say: Say, simulate: str, options: dict[str, Any], reason: str) -> None:
    """Each reason by its name; a refusal says of what kind."""
    delta = ending(say("count to 3", simulate, **options))["delta"]
    assert delta["stop_reason"] == reason
    assert ("stop_details" in delta) == (reason == "refusal")


def test_stop_sequences(say: Say) -> None:
    """The text ends before a stop sequence, which the end names."""
    answer = say("count to 9", stop_sequences=["9", ", 4"])
    assert content(answer)[0]["text"] == "1, 2, 3"
    assert ending(answer)["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": ", 4"}


def test_system_images_and_schema(say: Say) -> None:
    """The system's text counts, as a string or in blocks; images are taken; an answer fits its schema."""
    system = [{"type": "text", "text": "Be brief"}]
    counts = [say(system=each, stream=False).json["usage"]["input_tokens"] for each in ("Be brief", system)]
    assert counts == [5, 5]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "count to 3"}]}]
    assert content(say(messages=messages))[0]["text"] == "1, 2, 3"
    age = {"type": "integer", "description": "In years.\n\n{minimum: 40}"}
    schema = {"type": "object", "properties": {"age": age}, "required": ["age"], "additionalProperties": False}
    answer = say("How old?", output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(content(answer)[0]["text"]) == {"age": 40}


def test_prompt_cache(say: Say) -> None:
    """What ends at a cache_control is written first and read later, and is no part of the other input."""
    system = [{"type": "text", "text": "one two three four", "cache_control": {"type": "ephemeral"}}]
    first, second = (say("count to 4", system=system, stream=False).json["usage"] for _ in range(2))
    assert (first["cache_creation_input_tokens"], first["cache_read_input_tokens"], first["input_tokens"]) == (4, 0, 3)
    assert first["cache_creation"] == {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 0}
    assert (second["cache_creation_input_tokens"], second["cache_read_input_tokens"]) == (0, 4)
    assert say("count to 4", system=system, stream=False).json["usage"]["input_tokens"] == 3


def test_prompt_cache_grows_and_forgets() -> None:
    """A longer prefix reads the shorter one and writes the rest; after its time a prefix is written anew."""
    now = [0.0]
    cache = PromptCache(lambda: now[0])
    one, two, rest = Block(b"1", 10, "5m"), Block(b"2", 5, "1h"), Block(b"3", 2)
    assert cache.use("m", [one, rest]) == Cached(0, 10, 0, 2)
    assert cache.use("m", [one._replace(ttl=""), two, rest]) == Cached(10, 0, 5, 2)
    assert cache.use("other", [one]) == Cached(0, 10, 0, 0)
    now[0] = 301
    assert cache.use("m", [one, two]) == Cached(15, 0, 0, 0)
    now[0] = 4000
    assert cache.use("m", [one, two]) == Cached(0, 10, 5, 0)


def held_to(schema: Any) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def test_tokens_are_counted(say: Say) -> None:
    """The count of a prompt is what its answer's usage says, without a limit."""
    counted = say("count to 3", tools=[WEATHER], path="/messages/count_tokens", max_tokens=..., stream=...)
    assert counted.json == {"input_tokens": say(tools=[WEATHER], stream=False).json["usage"]["input_tokens"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"model": ...}, "model: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'first message must use the "user" role'),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0: all messages must have non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "must be non-empty"),
        ({"messages": [USE, {"role": "assistant", "content": "So: "}]}, "cannot end with trailing whitespace"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "Input tag 'image_url' found"),
        ({"seed": 1}, "seed: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"tools": [{"name": "x"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{**WEATHER, "name": "a b"}]}, "tools.0.custom.name: String should match pattern"),
        ({"tool_choice": {"type": "any"}}, "may only be specified while providing tools"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice: Input should be a valid dictionary"),
        (held_to({"type": "object", "properties": {}}), "'additionalProperties' must be explicitly set to false"),
        (held_to({"type": "array", "items": {"type": "integer", "minimum": 3}}), "property 'minimum' is not supported"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "`max_tokens` must be greater than"),
        ({"thinking": THINKING, "tools": [WEATHER], "tool_choice": {"type": "any"}}, "forces tool use"),
        ({"thinking": THINKING, "temperature": 0}, "`temperature` may only be set to 1"),
        ({"headers": {"anthropic-version": ""}}, "anthropic-version: header is required"),
        ({"headers": {"x-simulate": "cuts=1"}}, "no fault `cuts`"),
    ],
)
def test_bad_requests_are_refused_in_anthropics_words(say: Say, changes: dict[str, Any], words: str) -> None:
    """What the real API refuses is a 400 with its sentence."""
    assert words in complaint(say(**changes))


def test_keys_and_models(say: Say) -> None:
    """A key may be in either header; a bad one is a 401, an unknown model a 404."""
    assert say(headers={"x-api-key": "", "authorization": "Bearer key"}).status == 200
    assert complaint(say(headers={"x-api-key": "bad"}), 401, "authentication_error") == "invalid x-api-key"
    assert complaint(say(model="gpt-99"), 404, "not_found_error") == "model: gpt-99"


def rounds(say: Say, simulate: str = "", **options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A first turn that calls a tool, and the history with its result."""
    said = say(USE["content"], simulate, tools=[WEATHER], stream=False, **options).json["content"]
    result = {"type": "tool_result", "tool_use_id": said[-1]["id"], "content": "18 degrees"}
    return said, [USE, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}]


@pytest.mark.parametrize(("simulate", "thinking"), [("", THINKING), ("reasoning=encrypted", THINKING), ("", ...)])
def test_rounds_of_tools_go_on(say: Say, simulate: str, thinking: Any) -> None:
    """A history that is given back as it came, with the result, is answered with that result."""
    said, history = rounds(say, simulate, thinking=thinking)
    assert len(said) == (1 if thinking is ... else 2)
    answer = say(messages=history, tools=[WEATHER], thinking=thinking)
    assert "The tool get_weather returned `18 degrees`." in content(answer)[-1]["text"]


def test_tool_rounds_are_strict(say: Say) -> None:
    """A call without its result, a result without its call, and one that is not first, are refused."""
    said, [use, turn, results] = rounds(say)
    id, result = said[-1]["id"], results["content"][0]

    def refused(*history: Any) -> str:
        return complaint(say(messages=list(history), tools=[WEATHER]))

    missing = f"messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {id}"
    text = {"type": "text", "text": "so?"}
    assert missing in refused(use, turn)
    assert missing in refused(use, turn, {"role": "user", "content": "so?"})
    assert missing in refused(use, turn, {"role": "user", "content": [text, result]})
    assert "content.0: unexpected `tool_use_id` found in `tool_result` blocks" in refused(use, results)
    assert "each tool_use must have a single result" in refused(use, turn, {"role": "user", "content": [result] * 2})
    assert "must be unique" in refused(use, turn, results, turn, results)
    assert say(messages=[use, turn, {"role": "user", "content": [result, text]}], tools=[WEATHER]).status == 200


def test_thoughts_of_a_tool_round_are_strict(say: Say) -> None:
    """Thoughts that are missing, changed, or without their signature are refused while the model thinks."""
    (thought, call), [use, _, results] = rounds(say, thinking=THINKING)

    def refused(*blocks: Any, thinking: Any = THINKING) -> str:
        turn = {"role": "assistant", "content": list(blocks)}
        return complaint(say(messages=[use, turn, results], tools=[WEATHER], thinking=thinking))

    assert "Expected `thinking` or `redacted_thinking`, but found `tool_use`" in refused(call)
    assert "cannot be modified" in refused({**thought, "thinking": "Other thoughts."}, call)
    assert "Invalid `signature` in `thinking` block" in refused({**thought, "signature": "x"}, call)
    unsigned = {"type": "thinking", "thinking": thought["thinking"]}
    assert "messages.1.content.0.thinking.signature: Field required" in refused(unsigned, call)
    assert "Invalid `data`" in refused({"type": "redacted_thinking", "data": "x"}, call)
    assert "cannot be modified" in refused({**thought, "thinking": "Other thoughts."}, call, thinking=...)
    history = [use, {"role": "assistant", "content": [call]}, results]
    assert say(messages=history, tools=[WEATHER]).status == 200


def test_error_as_first_event_and_in_the_middle(say: Say) -> None:
    """`overloaded_error` comes inside a 200, before anything or after some text; a gateway's has OpenAI's shape."""
    first = events(say("hi", "error,after=0"))
    assert [event["error"]["type"] for event in first] == ["overloaded_error"]
    *before, error = events(say("hi", "error"))
    assert [event["type"] for event in before][-3:] == ["content_block_delta"] * 3
    assert error["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert b'event: message\ndata: {"error":{"message":' in say("hi", "error-chunk").body


def test_failures_have_anthropics_shape(say: Say) -> None:
    """A failure before the stream has the format's shape, status and wait."""
    answer = say("again", "fail=529,retry-after=2")
    assert (answer.status, answer.headers["retry-after"]) == (529, "2")
    assert answer.json["error"]["type"] == "overloaded_error"
    assert say("more", "fail=429").json["error"]["type"] == "rate_limit_error"
    assert say("more", "error-200").json["error"]["type"] == "api_error"


def test_endings_that_are_none(say: Say) -> None:
    """Cut, reset, cleanly short, without its last events: as over Chat Completions."""
    cut, reset = say("count to 9", "cut=3"), say("count to 9", "reset=3")
    assert (cut.ended, cut.reset, reset.reset) == (False, False, True)
    assert say("count to 9", "end=2").ended
    assert b"message_stop" not in say("hi", "no-done").body
    assert b"message_delta" not in say("hi", "finish=none").body
    assert content(say("x", "tokens=3,numbered,group=4"))[0]["text"] == "0 1 2 "


@pytest.mark.parametrize(
    "fault", ["bytes=3", "crlf", "comments", "bom", "no-space", "bad-json", "split-utf8", "fields"]
)
def test_bytes(say: Say, fault: str) -> None:
    """The faults of bytes are those of the framing, the names of the events included."""
    plain, odd = say("count to 3"), say("count to 3", fault)
    assert odd.chunks != plain.chunks
    assert b"message_stop" in odd.body


def test_usage_dialects(say: Say) -> None:
    """Usage can be missing, zero, null, or be corrected at the end."""
    assert "usage" not in ending(say("hi", "usage=none"))
    assert ending(say("hi", "usage=zeros"))["usage"]["output_tokens"] == 0
    assert ending(say("hi", "usage=null-counts"))["usage"]["input_tokens"] is None
    corrected = say("hi", "usage=finish")
    assert events(corrected)[0]["message"]["usage"]["input_tokens"] == 0
    assert ending(corrected)["usage"]["input_tokens"] == 1


def test_sources_model_and_tier(say: Say) -> None:
    """Sources as citations, another model's name, another tier."""
    answer = say("hi", "citations=search,served=claude-9,tier=priority")
    cited = [event["delta"]["citation"] for event in events(answer) if "citation" in event.get("delta", {})]
    assert [each["type"] for each in cited] == ["web_search_result_location"] * 2
    start = events(answer)[0]["message"]
    assert (start["model"], start["usage"]["service_tier"]) == ("claude-9", "priority")


def test_same_request_same_bytes(say: Say) -> None:
    """One request and seed give one stream."""
    assert say("Tell me about sheep").body == say("Tell me about sheep").body
