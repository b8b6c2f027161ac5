"""Calls of tools in the saved output and on their way to the view: whatever they say, it is text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from holystream_nb.live.cards import ARGUMENTS_SHOWN, RESULT_SHOWN, card
from holystream_nb.live.lane import Lane
from holystream_nb.live.saved import bundle
from holystream_nb.tools.call import STOPPED, Call

from .ended import Ended

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</details></summary><b onclick=alert(1)>",
    "```\n# heading\n<b>bold</b>",
    "~~~~\n````\n[link](javascript:alert(1)) ![](https://example.org/leak?x)",
    "$$\\href{javascript:alert(1)}{x}$$",
    "\x1b]0;title\x07\x1b[31mred\x00",
    "https://example.org/leak www.example.org",
    "user\u202egnp.exe",
    "| a | b |\n| --- | --- |",
]


def call(number: int = 0, at: int = 0, **more: Any) -> Call:
    fields: dict[str, Any] = {"name": "look", "arguments": "{}", "state": "done", "result": "", "seconds": 0.25, **more}
    return Call(number=number, round=1, at=at, id=f"call_{number}", **fields)


def saved(text: str, *calls: Call) -> dict[str, str]:
    lane = Lane(Ended(text, *calls), label="m", provider="p")
    lane.end(None)
    return bundle([lane])[0]


def test_calls_stand_where_they_came_in_the_text() -> None:
    """Text, call, call, text: in Markdown and in plain text."""
    text = "Before.\n\nAfter."
    data = saved(text, call(0, 7, result="one"), call(1, 7, state="failed", error="no luck", seconds=0.1))
    for form in data.values():
        order = [form.index(part) for part in ("Before.", "one", "no luck", "After.")]
        assert order == sorted(order)
    assert "[look({}) · 250 ms]\none" in data["text/plain"]
    assert "[look({}) · failed: no luck]" in data["text/plain"]


def test_a_call_that_was_stopped_says_so_once() -> None:
    """Not "stopped: stopped before it had a result"."""
    plain = saved("", call(state="stopped", error=STOPPED))["text/plain"]
    assert "[look({}) · stopped before it had a result]" in plain


@pytest.mark.parametrize("payload", HOSTILE)
@pytest.mark.parametrize("field", ["name", "arguments", "result", "error"])
def test_nothing_a_tool_or_a_model_says_acts_in_the_saved_output(payload: str, field: str) -> None:
    """The Markdown has our own tags and no others outside code; the plain text has nothing a terminal obeys."""
    data = saved("Text.", call(0, 5, **{field: payload, "state": "failed" if field == "error" else "done"}))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", data["text/plain"] + data["text/markdown"])
    outside = re.sub(r"(?ms)^(`{3,})[^\n]*\n.*?^\1`*$", "", data["text/markdown"])
    tags = re.findall(r"(?<!\\)<[^>]*>", outside)
    assert set(tags) <= {"<details>", "<summary>", "</summary>", "</details>"}, tags
    assert tags.count("<details>") == tags.count("</details>")
    assert not re.search(r"(?<!\\)\[|^#|^\|", outside, re.MULTILINE)
    assert "\u202e" not in data["text/plain"] + data["text/markdown"]


def test_what_is_long_is_folded_away() -> None:
    """A short result stands open; a long one, and long arguments, behind one line."""
    assert "<details>" not in saved("", call(result="short"))["text/markdown"]
    folded = saved("", call(arguments='{"text": "' + "long " * 100 + '"}', result="line\n" * 50))["text/markdown"]
    assert folded.count("<details>") == 2


def test_what_a_view_gets_is_readable_and_bounded() -> None:
    """No marks that turn text round, and a word about what is not shown."""
    shown = card(call(arguments="a" * 30_000, result="b" * 10_000, error="user\u202egnp.exe\x1b"))
    assert len(shown["arguments"]) < ARGUMENTS_SHOWN + 100
    assert shown["arguments"].endswith("(10,000 more characters are not shown)")
    assert len(shown["result"]) < RESULT_SHOWN + 100
    assert shown["error"] == "user⟨U+202E⟩gnp.exe\ufffd"
    assert shown["time"] == "250 ms"


def test_only_calls_that_changed_travel_with_a_status() -> None:
    """And their place is counted as a browser counts."""
    source = Ended("🐑🐑 Text", call(0, 3), call(1, 7))
    lane = Lane(source, label="m", provider="p")
    assert [(each["number"], each["at"]) for each in lane.changed_cards()] == [(0, 5), (1, 9)]
    assert lane.changed_cards() == []
    source.calls = (source.calls[0], call(1, 7, state="failed"))
    assert [each["state"] for each in lane.changed_cards()] == ["failed"]
    assert [each["state"] for each in lane.snapshot()["calls"]] == ["done", "failed"]
