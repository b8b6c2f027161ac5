"""Any answer in any format, cut anywhere by the network: the same events, and the same said beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb.events import Event, Reasoning, Text, ToolCallPart
from holystream_nb.facts import Wire
from holystream_nb.wire.formats import format_of
from holystream_nb.wire.sse import Decoder

READ = 7

Said = Sequence[tuple[str, list[str]]]
"""Parts of an answer in their order: the kind, and the pieces in which it is sent."""

PIECES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), min_size=1, max_size=4)
ARGUMENTS = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2).map(
    lambda value: [json.dumps(value, ensure_ascii=False)[at : at + 5] for at in range(0, 40, 5)]
)
PARTS = st.one_of(
    st.tuples(st.just("text"), PIECES),
    st.tuples(st.just("reasoning"), PIECES),
    st.tuples(st.just("call"), ARGUMENTS),
)
ANSWERS = st.lists(PARTS, max_size=5)
SHAPES = st.tuples(st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.booleans())
"""The end of a line; whether JSON is ASCII; whether comments come between."""


def chat(said: Said) -> Iterator[dict[str, Any]]:
    calls = 0
    for kind, pieces in said:
        for at, piece in enumerate(pieces):
            if kind == "call":
                head = {"id": f"call_{calls}", "type": "function"} if at == 0 else {}
                function = {"arguments": piece} | ({"name": "f"} if at == 0 else {})
                delta: dict[str, Any] = {"tool_calls": [{"index": calls, **head, "function": function}]}
            else:
                delta = {"content" if kind == "text" else "reasoning_content": piece}
            yield {"id": "c1", "model": "m1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        calls += kind == "call"
    yield {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}


def messages(said: Said) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": {"id": "msg_1", "model": "m1", "usage": {"input_tokens": 3}}}
    for index, (kind, pieces) in enumerate(said):
        block: dict[str, Any] = {"type": "text", "text": ""}
        name, field = "text_delta", "text"
        if kind == "reasoning":
            block, name, field = {"type": "thinking", "thinking": ""}, "thinking_delta", "thinking"
        elif kind == "call":
            block = {"type": "tool_use", "id": f"call_{index}", "name": "f", "input": {}}
            name, field = "input_json_delta", "partial_json"
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for piece in pieces:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": name, field: piece}}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}
    yield {"type": "message_stop"}


def responses(said: Said) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": {"id": "resp_1", "model": "m1", "status": "in_progress"}}
    for index, (kind, pieces) in enumerate(said):
        whole, at = "".join(pieces), {"output_index": index, "item_id": f"it_{index}"}
        item: dict[str, Any] = {"type": "message", "role": "assistant", "content": []}
        done: dict[str, Any] = {"content": [{"type": "output_text", "text": whole, "annotations": []}]}
        name = "response.output_text.delta"
        if kind == "reasoning":
            item, name = {"type": "reasoning", "summary": []}, "response.reasoning_summary_text.delta"
            done = {"summary": [{"type": "summary_text", "text": whole}]}
        elif kind == "call":
            item = {"type": "function_call", "call_id": f"call_{index}", "name": "f", "arguments": ""}
            name, done = "response.function_call_arguments.delta", {"arguments": whole}
        item["id"] = f"it_{index}"
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        for piece in pieces:
            yield {"type": name, **at, "content_index": 0, "summary_index": 0, "delta": piece}
        yield {"type": "response.output_item.done", "output_index": index, "item": {**item, **done}}
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    yield {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "usage": usage}}


FORMATS: dict[Wire, Callable[[Said], Iterator[dict[str, Any]]]] = {
    "chat": chat,
    "messages": messages,
    "responses": responses,
}


def written(values: Iterator[dict[str, Any]], shape: tuple[bytes, bool, bool]) -> bytes:
    """As server-sent events, which say their type where it is known."""
    line, is_ascii, has_comments = shape
    stream = b""
    for value in values:
        name = f"event: {value['type']}\n" if "type" in value else ""
        comment = ": keep-alive\n\n" if has_comments else ""
        stream += f"{comment}{name}data: {json.dumps(value, ensure_ascii=is_ascii)}\n\n".encode()
    return (stream + b"data: [DONE]\n\n").replace(b"\n", line)


def read(wire: Wire, reads: Sequence[bytes]) -> tuple[list[Event], Any]:
    lines, decoder = Decoder(), format_of(wire).decoder(asked="m1", key="", choices=1, limit=None)
    events = [event for each in reads for sse in lines.feed(each) for event in decoder.feed(sse, READ)]
    events += [event for sse in lines.close() for event in decoder.feed(sse, READ, cut=True)]
    assert (decoder.error, decoder.facts.unreadable) == (None, 0)
    return events, (decoder.finish_reason, asdict(decoder.facts), decoder.echo())


@pytest.mark.slow
@pytest.mark.parametrize("wire", FORMATS)
@settings(deadline=None)
@given(said=ANSWERS, shape=SHAPES, places=st.lists(st.floats(0, 1), max_size=12))
def test_any_split_of_any_answer_gives_the_same(
    wire: Wire, said: Said, shape: tuple[bytes, bool, bool], places: list[float]
) -> None:
    """In a character, between CR and LF, in the middle of a line; and what was sent is what comes out."""
    stream = written(FORMATS[wire](said), shape)
    cuts = [0, *sorted(int(place * len(stream)) for place in places), len(stream)]
    whole = read(wire, [stream])
    assert read(wire, [stream[begin:end] for begin, end in pairwise(cuts)]) == whole
    assert read(wire, [stream[at : at + 1] for at in range(len(stream))]) == whole
    for kind, event_type in (("text", Text), ("reasoning", Reasoning)):
        sent = "".join("".join(pieces) for each, pieces in said if each == kind)
        came = "".join(event.text for event in whole[0] if isinstance(event, event_type))
        assert came.replace("\n", "") == sent.replace("\n", "")  # parts of a kind may be set apart by lines
    arguments: dict[int, str] = {}
    for event in whole[0]:
        if isinstance(event, ToolCallPart):
            arguments[event.index] = arguments.get(event.index, "") + event.arguments
    assert list(arguments.values()) == ["".join(pieces) for kind, pieces in said if kind == "call"]
