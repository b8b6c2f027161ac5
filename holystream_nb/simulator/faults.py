"""What a request may ask the simulator to do: the registry, and the one grammar of header and model suffix.

`X-Simulate: cut=5, stall=2` or `"model": "gpt-4.1#cut=5,stall=2"`: names, or names with a value, between commas. The
registry is the fields of `Faults`; the package's docstring shows it as a table, and a test compares the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any


class FaultError(ValueError):
    """A name that is in no table, or a value that its fault cannot have; the message says what is possible."""


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("a whole number, 0 or more")
    return int(text)


def _size(text: str) -> int:
    number = _count(text)
    if number == 0:
        raise ValueError("a whole number, 1 or more")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError("a number of seconds, 0 or more")
    return seconds


def _rate(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ValueError("a number of tokens a second above 0, or max")
    return rate


def _failure(text: str) -> int:
    if text == "drop":
        return DROP
    if not re.fullmatch(r"[45][0-9][0-9]", text):
        raise ValueError("a status from 400 to 599, or drop")
    return int(text)


def _word(text: str) -> str:
    if not re.fullmatch(r"[\w.:-]+", text, re.ASCII):
        raise ValueError("one word")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError("one of " + ", ".join(words))
        return text

    return parse


DROP = 0
"""The value of `fail=drop`: not a status, the connection is closed without an answer."""


def _flag(meaning: str) -> Any:
    return field(default=False, metadata={"meaning": meaning})


def _value(shown: str, parse: Callable[[str], object], meaning: str, *, default: Any = None, bare: str = "") -> Any:
    """A fault with a value, shown as NAME=`shown`; `bare` is the value a name without one stands for."""
    return field(default=default, metadata={"shown": shown, "parse": parse, "meaning": meaning, "bare": bare})


def _choice(words: str, meaning: str) -> Any:
    return _value(words, _one_of(*words.split("|")), meaning)


@dataclass(frozen=True)
class Faults:
    """Everything one request asks for; a field that was not asked for is None or False."""

    # amount and pace
    tokens: int | None = _value("N", _count, "the text has N tokens, whatever the prompt asks for")
    numbered: bool = _flag('text token i is "i " (0, 1, 2, …), so that a reader knows which one has arrived')
    rate: float | None = _value("R|max", _rate, "R tokens a second, evenly, the first at once; max: unpaced")
    group: int | None = _value("N", _size, "N events in one write (bare: 5)", bare="5")
    bytes: int | None = _value("N", _size, "every event written N bytes at a time (bare: 1)", bare="1")

    # waiting, in real seconds whatever the speed factor
    head: float | None = _value("S", _seconds, "the response head comes S seconds late")
    first: float | None = _value("S", _seconds, "the head comes at once, the first event S seconds after the request")
    stall: float | None = _value("S", _seconds, "S seconds of silence after `after` tokens")
    after: int = _value("N", _count, "where a fault without a place of its own happens (3)", default=3)

    # how it ends
    cut: int | None = _value("N", _count, "connection closed after N tokens, without the chunked terminator")
    reset: int | None = _value("N", _count, "connection reset (RST) after N tokens")
    end: int | None = _value("N", _count, "clean end of the body after N tokens: no finish reason, no [DONE]")
    no_done: bool = _flag("no [DONE]")
    done_open: bool = _flag("[DONE] without the blank line after it")
    finish: str | None = _value("WORD", _word, "this finish reason; none: no finish reason at all")

    # refusals
    fail: int | None = _value(
        "STATUS|drop", _failure, "the first `tries` tries get this status; drop: no answer at all"
    )
    tries: int = _value("N", _count, "how many tries fail (1)", default=1)
    retry_after: float | None = _value("S", _seconds, "the failure's Retry-After in seconds (429 without it: 1)")
    retry_date: float | None = _value("S", _seconds, "the failure's Retry-After as an HTTP date S seconds from now")
    no_retry_after: bool = _flag("a 429 without Retry-After")
    error_body: str | None = _choice(
        "openai|message|detail|string|list|text|html|empty", "the shape of the failure's body"
    )
    refuse_usage: str | None = _choice("400|422", "stream_options.include_usage is refused with this status")
    redirect: str | None = _choice("301|302|303|307|308", "a redirect to this simulator under another host name")

    # 200, and yet not a stream
    html: bool = _flag("HTTP 200 with a proxy's HTML page")
    whole: bool = _flag("HTTP 200 with the whole answer as JSON, although a stream was asked for")
    error_200: bool = _flag("HTTP 200 with an error object as JSON")
    charset: str | None = _value("WORD", _word, "a wrong charset in the content type (bare: latin-1)", bare="latin-1")

    # errors in the stream, after `after` tokens; the body ends there, except after bad-json
    error: bool = _flag("an error object as a chunk of its own")
    error_chunk: bool = _flag("an error object beside choices, with finish reason error")
    error_event: bool = _flag("event: error, with the error object as its data")
    error_field: bool = _flag("a bare error: field line")
    bad_json: bool = _flag("an event whose JSON is cut off; then the answer goes on")

    # bytes
    crlf: bool = _flag("CRLF line ends")
    cr: bool = _flag("CR line ends")
    bom: bool = _flag("a byte order mark first")
    comments: bool = _flag("keep-alive comments between the events")
    fields: bool = _flag("events that have only id, event or retry between the others")
    no_space: bool = _flag("data: without a space after it")
    split_utf8: bool = _flag(
        "one token more, 🐑漢é; every event with such a character is cut inside it over two writes"
    )
    bad_utf8: bool = _flag("one token more, with a byte that is not UTF-8")
    separators: bool = _flag("one token more, with U+2028, U+2029, U+0085; VT, FF, FS, GS, RS in a comment")
    huge: int | None = _value("N", _size, "one token more, N letters in one data line (bare: 1200000)", bare="1200000")

    # chunks
    role: str | None = _choice("only|null|none|joined", "the first chunk: role alone, content null, missing, with text")
    blank: str | None = _choice(
        "empty|null|no-choices|null-choices|no-delta|null-delta", "such a chunk before every token"
    )
    usage: str | None = _choice(
        "null|running|null-counts|finish|none",
        "usage: null or running in every chunk, null counts, in the finish chunk, or never",
    )
    message: bool = _flag("the whole answer so far in `message` beside the delta")
    parts: bool = _flag("content as a list of parts (reasoning as thinking parts)")
    refusal: bool = _flag("the text comes as a refusal")
    reasoning: str | None = _choice(
        "reasoning_content|reasoning|text|summary|both|both-details",
        "reasoning under this name (text, summary: reasoning_details), or twice",
    )
    tools: str | None = _choice(
        "openai|index-1|no-index|empty-ids|null-ids|repeat-name|whole|no-arguments|interleaved",
        "the answer is tool calls, in this shape",
    )


@dataclass(frozen=True)
class Entry:
    """One line of the registry: how it is written and what it does."""

    name: str
    usage: str
    meaning: str


def registry() -> tuple[Entry, ...]:
    """Every fault, in the order of the table."""
    return tuple(
        Entry(name := _written(each.name), _usage(name, each.metadata), each.metadata["meaning"])
        for each in fields(Faults)
    )


def parse(*sources: str) -> Faults:
    """The faults that header and suffix ask for together; the later source wins.

    Raises FaultError for an unknown name, a value that cannot be, or a value where none belongs.
    """
    known = {_written(each.name): each for each in fields(Faults)}
    values: dict[str, object] = {}
    for item in (item.strip() for source in sources for item in source.split(",")):
        if not item:
            continue
        name, has_value, text = (part.strip() for part in item.partition("="))
        if name not in known:
            raise FaultError(f"The simulator has no fault `{name}`; known are {', '.join(known)}.")
        values[known[name].name] = _parsed(name, has_value == "=", text, known[name].metadata)
    return replace(Faults(), **values)  # type: ignore[arg-type]


def _parsed(name: str, has_value: bool, text: str, metadata: Mapping[str, Any]) -> object:
    if "parse" not in metadata:
        if has_value:
            raise FaultError(f"The fault `{name}` has no value, but `{text}` was given.")
        return True
    try:
        return metadata["parse"](text if has_value else metadata["bare"])
    except ValueError as exc:
        raise FaultError(f"The fault `{name}` needs {exc}; `{text}` was given.") from exc


def _usage(name: str, metadata: Mapping[str, Any]) -> str:
    return f"{name}={metadata['shown']}" if "shown" in metadata else name


def _written(name: str) -> str:
    return name.replace("_", "-")
