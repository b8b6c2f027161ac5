"""An answer that goes on: the seam, and how each format is asked."""

from __future__ import annotations

from typing import Any

import pytest
from foreign import Asked, Given, answering, listed, streamed

from holystream_nb import Client
from holystream_nb.continued import Continued, Cut, Seam
from holystream_nb.events import Text
from holystream_nb.live.lane import Lane

BEFORE = "The capital of France is Paris, and the capi"
QUESTION = [{"role": "user", "content": "Capitals, please."}]


@pytest.mark.parametrize("pieces", [1, 3, 1000])
@pytest.mark.parametrize(
    ("before", "added", "joined"),
    [
        (BEFORE, "and the capital of Spain", "The capital of France is Paris, and the capital of Spain"),
        (BEFORE, "\n\n and the capital of Spain", "The capital of France is Paris, and the capital of Spain"),
        (BEFORE, BEFORE + "tal", BEFORE + "tal"),
        ("One, two, three,", "four", "One, two, three, four"),
        ("One two", "three", "One two three"),
        ("One two ", "three", "One two three"),
        ("One two", " three", "One two three"),
        ("f(", "x)", "f(x)"),
        ("One", "One, two", "One, two"),
        ("東京は日本の", "首都です", "東京は日本の首都です"),
        ("It is the end.", "", "It is the end."),
        ("I go home. ", "go home. And then", "I go home. And then"),
        ("He said that no", "note it", "He said that no note it"),  # two letters alike are chance
    ],
)
def test_a_repetition_of_the_last_words_is_cut_out_and_words_are_kept_apart(
    before: str, added: str, joined: str, pieces: int
) -> None:
    """However the text is cut into pieces."""
    seam = Seam(before, is_new_message=True)
    parts = [added[at : at + pieces] for at in range(0, len(added), pieces)]
    assert before + "".join(map(seam.add, parts)) + seam.end() == joined


def test_a_prefilled_answer_goes_on_letter_by_letter() -> None:
    """Where the model itself goes on in its message, no space is put between."""
    seam = Seam("The capi", is_new_message=False)
    assert seam.add("tal") + seam.end() == "tal"


def said(*texts: str) -> Given:
    return streamed(*({"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts))


async def goes_on(url: str, cut: Cut, wire: Any = "chat") -> tuple[list[str], str, Lane]:
    """The texts that a lane draws, the reply's text, and the lane."""
    async with Client(base_url=url) as client:
        source = Continued(
            lambda messages: client.stream(messages, model="m", wire=wire, parameters={"max_tokens": 9}), QUESTION, cut
        )
        lane = Lane(source, label="m", provider="ollama")
        async with source:
            texts = [event.text async for event in lane.events() if isinstance(event, Text)]
        lane.end(None)
        return texts, lane.reply.text, lane


async def test_a_chat_model_is_asked_to_begin_with_its_last_words_and_they_are_there_once() -> None:
    """What was cut is shown first, and the reply is the joined answer, with the new request's figures."""
    with answering(lambda asked: listed({"data": []}) if asked.method == "GET" else said("and the ", "capital")) as it:
        texts, text, lane = await goes_on(it.url, Cut(BEFORE))
        (asked,) = [each for each in it.asked if each.method == "POST"]
    assert texts[0] == BEFORE
    assert "".join(texts) == text == f"{BEFORE}tal"
    assert [message["role"] for message in asked.body["messages"]] == ["user", "assistant", "user"]
    assert asked.body["messages"][1]["content"] == BEFORE
    assert asked.body["messages"][2]["content"].endswith(BEFORE[-20:])
    assert lane.reply.usage.completion_tokens is not None
    assert lane.reply.usage.completion_tokens < 9


def block(kind: str, **fields: Any) -> bytes:
    import json

    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def messages_answer(text: str) -> Given:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
    return streamed(
        block("message_start", message=head),
        block("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        block("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
        block("content_block_stop", index=0),
        block("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
        block("message_stop"),
        done=False,
    )


async def test_the_messages_format_takes_the_answers_beginning_as_its_last_message() -> None:
    """It goes on letter by letter; white space at the end, which it refuses, is not sent and not doubled."""
    with answering(lambda _: messages_answer("tal of Spain")) as service:
        texts, text, _ = await goes_on(service.url, Cut(f"{BEFORE} \n", "messages"), "messages")
    (asked,) = service.asked
    assert [message["role"] for message in asked.body["messages"]] == ["user", "assistant"]
    assert "".join(texts) == text == f"{BEFORE}tal of Spain"


async def test_a_model_that_takes_no_beginning_is_asked_in_a_message_instead() -> None:
    """As Anthropic's newer models refuse it."""

    def handler(asked: Asked) -> Given:
        if asked.body["messages"][-1]["role"] == "assistant":
            error = {
                "type": "invalid_request_error",
                "message": "This model does not support assistant message prefill.",
            }
            return listed({"type": "error", "error": error}, 400)
        return messages_answer("and the capital")

    with answering(handler) as service:
        texts, text, _ = await goes_on(service.url, Cut(BEFORE, "messages"), "messages")
    assert len(service.asked) == 2
    assert "".join(texts) == text == f"{BEFORE}tal"
