"""What services want back of a turn: gathered from its chunks, and put into the next request by the provider's row."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from holystream_nb.events import Reasoning, Text
from holystream_nb.providers.table import provider
from holystream_nb.wire.chat import CHAT, ChunkDecoder
from holystream_nb.wire.format import minted_by
from holystream_nb.wire.refusals import names_echo
from holystream_nb.wire.sse import ServerSentEvent

READ = 7


def decoded(*deltas: dict[str, Any]) -> ChunkDecoder:
    chunks = ChunkDecoder(asked="m")
    for delta in deltas:
        value = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]}
        chunks.feed(ServerSentEvent(data=json.dumps(value)), READ)
    assert chunks.error is None
    return chunks


def call(id: str = "c1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def sent(name: str, model: str, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request's body at this provider."""
    return CHAT.body({"model": model, "messages": list(messages), "stream": True, **fields}, provider(name))


def said(name: str, model: str, content: Any, text: str | None = "a", **message: Any) -> dict[str, Any]:
    """An assistant's message with the echo that this provider and model gave."""
    echo = {"wire": "chat", "from": minted_by(provider(name), model), "content": content}
    return {"role": "assistant", "content": text, "echo": echo, **message}


# What comes


def test_an_answer_of_text_alone_has_none() -> None:
    """Text and calls are enough for most services."""
    assert decoded({"content": "a"}, {"tool_calls": [{"index": 0, **call()}]}).echo() is None


def test_reasoning_is_gathered() -> None:
    """Whichever field it came in."""
    assert decoded({"reasoning_content": "a"}, {"reasoning_content": "b"}).echo() == {"reasoning_content": "ab"}
    assert decoded({"reasoning": "a"}, {"reasoning": "b"}).echo() == {"reasoning_content": "ab"}


def test_fragments_of_reasoning_details_are_merged() -> None:
    """By index and type; a signature comes in a fragment without text, and opaque blocks stay whole."""
    chunks = decoded(
        {"reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0, "signature": None}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "b", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "S"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "X", "id": "r1", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "Y", "id": "r2", "index": 0}]},
    )
    assert chunks.echo()["reasoning_details"] == [
        {"type": "reasoning.text", "text": "ab", "index": 0, "signature": "S"},
        {"type": "reasoning.encrypted", "data": "X", "id": "r1", "index": 0},
        {"type": "reasoning.encrypted", "data": "Y", "id": "r2", "index": 0},
    ]


def test_signatures_of_calls_keep_their_calls() -> None:
    """Gemini signs the first of several calls, in one piece without an index, or the message."""
    signed = {"google": {"thought_signature": "S"}}
    chunks = decoded({"tool_calls": [{**call("x"), "extra_content": signed}, call("y")]}, {"extra_content": signed})
    assert chunks.echo() == {"calls": [{"id": "x", "extra_content": signed}, {"id": "y"}], "extra_content": signed}


@pytest.mark.parametrize("in_tags", [False, True])
def test_a_marked_thought_is_reasoning_or_stands_in_tags(in_tags: bool) -> None:
    """Gemini marks thoughts, of which some are in tags too, which the client takes out; a mark is nothing to echo."""
    mark = {"google": {"thought": True}}
    text = "<thought>b" if in_tags else "b"
    chunks = ChunkDecoder(asked="m")
    value = {"choices": [{"index": 0, "delta": {"content": text, "extra_content": mark}}]}
    events = chunks.feed(ServerSentEvent(data=json.dumps(value)), READ)
    assert events == ([Text(text, READ)] if in_tags else [Reasoning("b", READ)])
    assert chunks.echo() is None


def test_thinking_parts_are_merged() -> None:
    """Mistral sends the content as a list, in pieces."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]} for text in ("a", "b")]
    chunks = decoded({"content": [parts[0]]}, {"content": [{**parts[1], "closed": True}]}, {"content": "text"})
    assert chunks.echo()["thinking"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "ab"}], "closed": True}
    ]


def test_a_whole_message_has_the_same() -> None:
    """Also where it is repeated as it grows."""
    chunks = ChunkDecoder(asked="m")
    for text in ("a", "ab"):
        message = {"reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0}], "content": ""}
        value = {"choices": [{"index": 0, "message": message}]}
        chunks.feed(ServerSentEvent(data=json.dumps(value)), READ)
    assert [detail["text"] for detail in chunks.echo()["reasoning_details"]] == ["ab"]


@pytest.mark.parametrize("hostile", ['{"a":' * 300 + "1" + "}" * 300, '{"a": NaN}'])
def test_what_no_request_can_carry_is_no_echo(hostile: str) -> None:
    """However deep, and whatever only some parsers take."""
    chunks = ChunkDecoder(asked="m")
    data = f'{{"choices": [{{"index": 0, "delta": {{"reasoning_details": [{hostile}]}}}}]}}'
    chunks.feed(ServerSentEvent(data=data), READ)
    assert chunks.echo() is None


# What goes


def test_deepseek_wants_reasoning_of_every_turn() -> None:
    """A space where there was none, also of a turn by another model; DeepSeek's older models refuse it."""
    foreign = said("openrouter", "x", {"reasoning_content": "theirs"})
    turns = [said("deepseek", "deepseek-v4-pro", {"reasoning_content": "why"}), foreign]
    body = sent("deepseek", "deepseek-v4-pro", *turns)
    assert [message["reasoning_content"] for message in body["messages"]] == ["why", " "]
    assert "echo" not in json.dumps(body)
    older = sent("deepseek", "deepseek-reasoner", said("deepseek", "deepseek-reasoner", {"reasoning_content": "why"}))
    assert older["messages"] == [{"role": "assistant", "content": "a"}]


def test_kimi_wants_it_of_turns_with_calls() -> None:
    """Not of the others."""
    echo = {"reasoning_content": "why"}
    body = sent("moonshot", "k", said("moonshot", "k", echo), said("moonshot", "k", echo, tool_calls=[call()]))
    assert [message.get("reasoning_content") for message in body["messages"]] == [None, "why"]


def test_glm_must_be_told_to_keep_it() -> None:
    """What the user says of thinking stays; without reasoning nothing is told."""
    turn = said("zai", "glm-5", {"reasoning_content": "why"})
    assert sent("zai", "glm-5", turn)["thinking"] == {"type": "enabled", "clear_thinking": False}
    own = sent("zai", "glm-5", turn, thinking={"type": "disabled"})
    assert own["thinking"] == {"type": "disabled", "clear_thinking": False}
    assert "thinking" not in sent("zai", "glm-5", {"role": "user", "content": "a"})


def test_minimax_wants_its_tags_back_or_its_details() -> None:
    """The details only where reasoning_split was asked for."""
    in_tags = sent("minimax", "m", said("minimax", "m", {"think": "<think>b</think>\n"}))["messages"]
    assert in_tags == [{"role": "assistant", "content": "<think>b</think>\na"}]
    details = [{"type": "reasoning.text", "text": "b", "index": 0}]
    split = sent("minimax", "m", said("minimax", "m", {"reasoning_details": details}))["messages"]
    assert split == [{"role": "assistant", "content": "a", "reasoning_details": details}]


def test_gemini_gets_each_signature_with_its_call() -> None:
    """In their order; by id where a call is missing; ids that were made up do not matter."""
    signed = {"google": {"thought_signature": "S"}}
    echo = {"calls": [{"id": "x"}, {"id": "y", "extra_content": signed}], "extra_content": signed}
    made_up = [call("call_1_0"), call("call_1_1")]
    message = sent("gemini", "g", said("gemini", "g", echo, None, tool_calls=made_up))["messages"][0]
    assert message["tool_calls"] == [made_up[0], {**made_up[1], "extra_content": signed}]
    assert message["extra_content"] == signed
    one = sent("gemini", "g", said("gemini", "g", echo, None, tool_calls=[call("y")]))["messages"][0]
    assert one["tool_calls"] == [{**call("y"), "extra_content": signed}]


def test_gemini_gets_its_word_for_a_call_that_is_not_its_own() -> None:
    """Where it has said that a signature is missing; the first call of a round has one, and its own stays."""
    row = replace(provider("gemini"), echo=("extra_content", "thought_signature"))
    signed = {"google": {"thought_signature": "S"}}
    own = said("gemini", "g", {"calls": [{"id": "x", "extra_content": signed}]}, None, tool_calls=[call("x")])
    foreign = {"role": "assistant", "content": None, "tool_calls": [call("y"), call("z")]}
    body = CHAT.body({"model": "g", "messages": [own, foreign], "stream": True}, row)
    given = [[call.get("extra_content") for call in message["tool_calls"]] for message in body["messages"]]
    assert given == [[signed], [{"google": {"thought_signature": "skip_thought_signature_validator"}}, None]]


def test_mistral_gets_its_parts() -> None:
    """Before the text, in the content."""
    part = {"type": "thinking", "thinking": [{"type": "text", "text": "b"}], "closed": True}
    body = sent("mistral", "m", said("mistral", "m", {"thinking": [part]}))
    assert body["messages"][0]["content"] == [part, {"type": "text", "text": "a"}]


def test_groq_gets_nothing() -> None:
    """It refuses any of it."""
    echo = {"reasoning_content": "why", "reasoning_details": [{"index": 0}], "extra_content": {"a": 1}}
    turn = said("groq", "g", echo, tool_calls=[call()])
    assert sent("groq", "g", turn)["messages"] == [{"role": "assistant", "content": "a", "tool_calls": [call()]}]


@pytest.mark.parametrize("changed", [{"from": "openrouter:other"}, {"from": "gemini:x"}, {"wire": "messages"}])
def test_an_echo_goes_to_nobody_else(changed: dict[str, str]) -> None:
    """Another model, another service, another format: what is sealed is for whoever sealed it."""
    turn = said("openrouter", "x", {"reasoning_details": [{"index": 0, "data": "sealed"}]})
    turn["echo"] |= changed
    assert sent("openrouter", "x", turn)["messages"] == [{"role": "assistant", "content": "a"}]


@pytest.mark.parametrize("content", [None, 3, [], "x", {"calls": 3}, {"calls": [3, {}]}, {"thinking": 1, "think": []}])
def test_an_echo_of_any_shape_is_harmless(content: Any) -> None:
    """A file may have held it."""
    for name in ("deepseek", "openrouter", "gemini", "mistral", "minimax", "zai"):
        message = sent(name, "m", said(name, "m", content, tool_calls=[call()]))["messages"][0]
        assert (message["content"], message["tool_calls"]) == ("a", [call()])


def test_a_users_own_row_says_what_goes_back() -> None:
    """The rules are data."""
    row = replace(provider("vllm"), echo=("reasoning_content",), echo_turns="all")
    turn = said("vllm", "q", {"reasoning_content": "why"})
    body = CHAT.body({"model": "q", "messages": [turn], "stream": True}, row)
    assert body["messages"][0]["reasoning_content"] == "why"


# What a refusal says


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (
            "The `reasoning_content` in the thinking mode must be passed back to the API.",
            ("reasoning_content", True),
        ),
        (
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
            ("reasoning_content", True),
        ),
        ("Function call is missing a thought_signature in functionCall parts.", ("thought_signature", True)),
        ("'messages.1' : property 'reasoning_content' is unsupported", ("reasoning_content", False)),
        ("messages.1.assistant.reasoning_details: Extra inputs are not permitted", ("reasoning_details", False)),
        ("Unrecognized request argument supplied: extra_content", ("extra_content", False)),
        (
            "reasoning_content is for display only. Please remove the reasoning_content from your message.",
            ("reasoning_content", False),
        ),
        ("reasoning_content is too long", None),
        ("something is missing", None),
    ],
)
def test_a_refusal_says_what_it_wants(text: str, meant: tuple[str, bool] | None) -> None:
    """Recorded sentences."""
    body = json.dumps({"error": {"message": text, "type": "invalid_request_error"}}).encode()
    assert names_echo(400, body) == meant
    assert names_echo(500, body) is None
