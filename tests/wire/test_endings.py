"""Why services say that an answer ended, and what a reader is told of it."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from holystream_nb.events import Usage
from holystream_nb.money.cost import Cost
from holystream_nb.reply import Reply, ToolCall
from holystream_nb.timing import Timing
from holystream_nb.wire.endings import kind_of, words_of


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
        (reply("error", detail="MALFORMED_RESPONSE"), "the service failed in the middle (MALFORMED_RESPONSE)"),
        (reply("content_filter", detail="content_filter"), "the service's filter ended it"),
        (reply("stop", refusal="I cannot"), "refused"),
        (reply("pause_turn"), "paused: send it back to go on"),
    ],
)
def test_what_a_reader_is_told(said: Reply, words: str) -> None:
    """One sentence for all views; nothing where all is as it should be."""
    assert said.ending_words == words
    assert said.is_normal_end == (not words)


@pytest.mark.parametrize("ours", ["stopped", "interrupted", "truncated", ""])
def test_what_we_did_is_not_the_services_word(ours: str) -> None:
    """The views have words for it."""
    said = reply(ours, text="")
    assert (said.end, said.ending_words, said.is_normal_end) == (None, "", False)
