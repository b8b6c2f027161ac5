"""Why services say that an answer ended, and what a reader is told of it."""

from __future__ import annotations

import json
from array import array
from typing import Any

import pytest

from holystream_nb.events import Usage
from holystream_nb.money.cost import Cost
from holystream_nb.reply import OURS, Reply, ToolCall
from holystream_nb.timing import Timing
from holystream_nb.wire.endings import kind_of, word_in, words_of
from holystream_nb.wire.formats import format_of
from holystream_nb.wire.sheep import MessageDecoder
from holystream_nb.wire.sse import ServerSentEvent


def reply(finish_reason: str, **fields: Any) -> Reply:
    whole = {"text": "a", "reasoning": "", "tool_calls": (), **fields}
    cost = Cost(None, None, False, "", "", "")
    timing = Timing(submitted=0, reads=array("q"))
    return Reply(finish_reason=finish_reason, usage=Usage(), timing=timing, cost=cost, model="m", provider="p", **whole)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *((word, "stop") for word in ("stop", "STOP", "end_turn", "stop_sequence", "eos", "COMPLETE", "completed")),
        *((word, "tool_calls") for word in ("tool_calls", "function_call", "tool_use")),
        *((word, "length") for word in ("length", "MAX_TOKENS", "max_output_tokens", "model_length")),
        ("model_context_window_exceeded", "length"),
        *((word, "filter") for word in ("content_filter", "sensitive", "SAFETY", "RECITATION", "refusal")),
        *((word, "filter") for word in ("guardrail_intervened", "PROHIBITED_CONTENT")),
        *((word, "failure") for word in ("error", "insufficient_system_resource", "network_error")),
        *((word, "failure") for word in ("MALFORMED_FUNCTION_CALL", "MISSING_THOUGHT_SIGNATURE")),
        *(
            (word, "filter")
            for word in ("content-filter", "Content Filter", "contentFilter", " SAFETY ", "MODEL_ARMOR")
        ),
        *((word, "length") for word in ("maxTokens", "max-tokens", "ERROR_LIMIT")),
        *((word, "failure") for word in ("malformed_tool_use", "repetition", "NO_IMAGE")),
        *((word, "stop") for word in ("endTurn", "EOS", "Stop")),
        ("pause_turn", "pause"),
        ("something_new", "unknown"),
    ],
)
def test_every_word_has_its_kind(word: str, kind: str) -> None:
    """Words of all three formats, whatever their case; what is no normal end has words of its own."""
    assert kind_of(word) == kind
    assert bool(words_of(word)) == (kind not in ("stop", "tool_calls"))


def test_an_unknown_word_is_shown_as_the_services() -> None:
    """It is quoted, and cut."""
    assert words_of("new_word") == 'ended by the service: "new_word"'
    assert len(words_of("x" * 1_000)) < 100


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (reply("stop"), ""),
        (reply("stop", detail="STOP"), ""),
        (reply("tool_calls", text="", tool_calls=(ToolCall("", "f", "{}"),)), ""),
        (reply("stop", text="", images=("https://example.com/x.png",)), ""),
        (reply("stop", text=""), "empty answer"),
        (reply("stop", text="", reasoning="b"), "empty answer, only reasoning came"),
        (reply("length"), "length limit reached"),
        (reply("length", text="", reasoning="b"), "length limit reached, empty answer, only reasoning came"),
        (reply("insufficient_system_resource"), "the service ran out of resources"),
        (reply("stop", text=" \n\t", reasoning="\n"), "empty answer"),
        (reply("stop", text="", other_choices=(" ",)), "empty answer"),
        (reply("error", detail="SOMETHING_NEW"), "the service failed in the middle (SOMETHING_NEW)"),
        (reply("error", detail="MALFORMED_FUNCTION_CALL"), "the model wrote a malformed call"),
        (reply("stop", detail="SAFETY"), "the service's filter ended it"),
        (reply("length", detail="MAX_TOKENS"), "length limit reached"),
        (reply("refusal", detail="safety"), "refused (safety)"),
        (reply("truncated", text=""), "empty answer"),
        (reply("content_filter", detail="content_filter"), "the service's filter ended it"),
        (reply("stop", refusal="I cannot"), "refused"),
        (reply("pause_turn"), "paused: send it back to go on"),
    ],
)
def test_what_a_reader_is_told(said: Reply, words: str) -> None:
    """One sentence for all views; nothing where all is as it should be."""
    assert said.ending_words == words
    assert said.is_normal_end == (not words)


@pytest.mark.parametrize("said", [None, 5, ["stop"], {}, "", "  ", "null", "None", "FINISH_REASON_UNSPECIFIED"])
def test_what_is_no_word_for_an_end_is_none(said: Any) -> None:
    """Some services send `"null"` with every chunk: an answer would end with its first."""
    assert word_in(said) == ""


def test_a_word_moves_no_terminal_and_is_not_long() -> None:
    """A DataFrame and a `repr` show it as it is."""
    assert word_in("a\x1b[31m\n\u202eb") == "a\ufffd[31m\ufffd\ufffdb"
    assert len(word_in("x" * 100_000)) < 200


@pytest.mark.parametrize("word", sorted(OURS - {""}))
def test_a_services_word_is_not_taken_for_ours(word: str) -> None:
    """Nobody pressed Stop, and no connection broke."""
    assert reply(word_in(word)).ending_words == f'ended by the service: "{word} by the service"'


@pytest.mark.parametrize("ours", ["stopped", "interrupted", "truncated", ""])
def test_what_we_did_is_not_the_services_word(ours: str) -> None:
    """The views have words for it."""
    said = reply(ours)
    assert (said.end, said.ending_words, said.is_normal_end) == (None, "", False)


def sent(wire: str, *values: dict[str, Any]) -> Any:
    """A decoder of that format that has been given these, each an event."""
    decoder: Any = MessageDecoder() if wire == "sheep" else format_of(wire).decoder()  # type: ignore[arg-type]
    for value in values:
        text = json.dumps(value)
        decoder.feed(text if wire == "sheep" else ServerSentEvent(data=text), 1)
    return decoder


BEGUN: dict[str, list[dict[str, Any]]] = {
    "chat": [{"choices": [{"delta": {"content": "a"}, "finish_reason": "null"}]}],
    "messages": [
        {"type": "message_start", "message": {"id": "1"}},
        {"type": "message_delta", "delta": {"stop_reason": "null"}},
    ],
    "responses": [{"type": "response.output_text.delta", "delta": "a"}],
    "sheep": [{"type": "token", "content": "a"}],
}


@pytest.mark.parametrize("wire", BEGUN)
def test_null_in_quotes_ends_nothing(wire: str) -> None:
    """DashScope's own gateway sends it with every chunk."""
    decoder = sent(wire, *BEGUN[wire])
    assert (decoder.finish_reason, decoder.error, decoder.empty) == (None, None, False)


@pytest.mark.parametrize("wire", BEGUN)
@pytest.mark.parametrize("error", [{"message": "boom"}, {"message": "gone", "type": "not_found_error"}])
def test_an_error_in_an_answer_blames_no_address(wire: str, error: dict[str, Any]) -> None:
    """An answer has begun at it, so it is right; before that it may not be."""
    said = {"type": "error", "error": error}
    assert "base URL" in str(sent(wire, said).error)
    failed = str(sent(wire, *BEGUN[wire], said).error)
    assert error["message"] in failed
    assert "base URL" not in failed


def test_completed_of_what_is_not_is_taken_by_its_status() -> None:
    """vLLM sends `response.completed` in any case."""
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
    assert sent("responses", {"type": "response.completed", "response": cut}).finish_reason == "max_output_tokens"
    running = {"status": "in_progress", "output": []}
    assert sent("responses", {"type": "response.completed", "response": running}).finish_reason == "stop"


@pytest.mark.parametrize(
    "url", ["https://a.example/x.png", "http://localhost:8080/x.png", "data:image/png;base64,iVBORw0KGgo="]
)
def test_a_picture_is_an_answer_wherever_it_lies(url: str) -> None:
    """A server of one's own has it at http:; nothing is loaded."""
    picture = {"delta": {"images": [{"type": "image_url", "image_url": {"url": url}}]}, "finish_reason": "stop"}
    facts = sent("chat", {"choices": [picture]}).facts
    assert facts.images == [url]
    assert reply("stop", text="", images=tuple(facts.images)).is_normal_end
