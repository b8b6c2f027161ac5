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


def _code(text: str) -> int:
    if not re.fullmatch(r"10(0[0-37-9]|1[0-4])|[34][0-9]{3}", text):
        raise ValueError("the code of a close frame: 1000 to 1003, 1007 to 1014, or 3000 to 4999")
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


BOTH, SSE, WS = "both", "SSE", "WS"


def _flag(on: str, meaning: str) -> Any:
    return field(default=False, metadata={"on": on, "meaning": meaning})


def _value(
    shown: str, parse: Callable[[str], object], on: str, meaning: str, *, default: Any = None, bare: str = ""
) -> Any:
    """A fault with a value, shown as NAME=`shown`; `bare` is the value a name without one stands for."""
    metadata = {"shown": shown, "parse": parse, "on": on, "meaning": meaning, "bare": bare}
    return field(default=default, metadata=metadata)


def _choice(words: str, on: str, meaning: str) -> Any:
    return _value(words, _one_of(*words.split("|")), on, meaning)


@dataclass(frozen=True)
class Faults:
    """Everything one request asks for; a field that was not asked for is None or False."""

    # amount and pace
    tokens: int | None = _value("N", _count, BOTH, "the text has N tokens, whatever the prompt asks for")
    numbered: bool = _flag(BOTH, 'text token i is "i " (0, 1, 2, …), so that a reader knows which one has arrived')
    rate: float | None = _value("R|max", _rate, BOTH, "R tokens a second, evenly, the first at once; max: unpaced")
    group: int | None = _value("N", _size, BOTH, "N events in one write (bare: 5)", bare="5")
    bytes: int | None = _value(
        "N", _size, BOTH, "every event written N bytes at a time (bare: 1); WS: in fragments of N bytes", bare="1"
    )

    # waiting, in real seconds whatever the speed factor
    head: float | None = _value(
        "S", _seconds, BOTH, "the response head comes S seconds late; WS: the handshake's answer"
    )
    first: float | None = _value(
        "S", _seconds, BOTH, "the head comes at once, the first event S seconds after the request"
    )
    stall: float | None = _value("S", _seconds, BOTH, "S seconds of silence after `after` tokens")
    after: int = _value("N", _count, BOTH, "where a fault without a place of its own happens (3)", default=3)

    # how it ends
    cut: int | None = _value(
        "N", _count, BOTH, "connection closed after N tokens, without the chunked terminator; WS: without a close frame"
    )
    reset: int | None = _value("N", _count, BOTH, "connection reset (RST) after N tokens")
    end: int | None = _value(
        "N",
        _count,
        BOTH,
        "clean end of the body after N tokens: no finish reason, no [DONE]; WS: close frame 1000, no done",
    )
    no_done: bool = _flag(BOTH, "no [DONE]; WS: no done, the socket stays open")
    done_open: bool = _flag(SSE, "[DONE] without the blank line after it")
    finish: str | None = _value("WORD", _word, BOTH, "this finish reason; none: no finish reason at all")
    close: int | None = _value("CODE", _code, WS, "a close frame with this code after `after` tokens")

    # refusals
    fail: int | None = _value(
        "STATUS|drop", _failure, BOTH, "the first `tries` tries get this status; drop: no answer at all"
    )
    tries: int = _value("N", _count, BOTH, "how many tries fail (1)", default=1)
    retry_after: float | None = _value("S", _seconds, BOTH, "the failure's Retry-After in seconds (429 without it: 1)")
    retry_date: float | None = _value(
        "S", _seconds, BOTH, "the failure's Retry-After as an HTTP date S seconds from now"
    )
    no_retry_after: bool = _flag(BOTH, "a 429 without Retry-After")
    error_body: str | None = _choice(
        "openai|anthropic|message|detail|string|list|text|html|empty", BOTH, "the shape of the failure's body"
    )
    refuse_usage: str | None = _choice("400|422", SSE, "stream_options.include_usage is refused with this status")
    redirect: str | None = _choice("301|302|303|307|308", BOTH, "a redirect to this simulator under another host name")

    # 200, and yet not a stream
    html: bool = _flag(BOTH, "HTTP 200 with a proxy's HTML page")
    whole: bool = _flag(SSE, "HTTP 200 with the whole answer as JSON, although a stream was asked for")
    error_200: bool = _flag(BOTH, "HTTP 200 with an error object as JSON")
    charset: str | None = _value(
        "WORD", _word, SSE, "a wrong charset in the content type (bare: latin-1)", bare="latin-1"
    )

    # the offer of a socket, in the answer to a POST with agent_mode
    no_socket: bool = _flag(WS, "no socket is offered: the answer is the ordinary stream")
    upgrade_url: bool = _flag(WS, "the socket's address in Upgrade-URL instead of Sec-WebSocket-URL")
    socket_host: str | None = _value("HOST", _word, WS, "the socket's address names this host")
    socket_dead: bool = _flag(WS, "the socket's address is one that does not exist (404)")

    # errors in the stream, after `after` tokens; the answer ends there, except after bad-json
    error: bool = _flag(BOTH, "an error object as a chunk of its own; WS: an error message")
    error_chunk: bool = _flag(
        BOTH, "an error object beside choices, with finish reason error; WS: beside the done message"
    )
    error_event: bool = _flag(SSE, "event: error, with the error object as its data")
    error_field: bool = _flag(SSE, "a bare error: field line")
    bad_json: bool = _flag(BOTH, "an event whose JSON is cut off; then the answer goes on")

    # bytes
    crlf: bool = _flag(SSE, "CRLF line ends")
    cr: bool = _flag(SSE, "CR line ends")
    bom: bool = _flag(SSE, "a byte order mark first")
    comments: bool = _flag(BOTH, "keep-alive comments between the events; WS: pings")
    fields: bool = _flag(
        BOTH, "events that have only id, event or retry between the others; WS: messages of unknown types"
    )
    no_space: bool = _flag(SSE, "data: without a space after it")
    split_utf8: bool = _flag(
        BOTH, "one token more, 🐑漢é; every event with such a character is cut inside it over two writes; WS: fragments"
    )
    bad_utf8: bool = _flag(BOTH, "one token more, with a byte that is not UTF-8")
    separators: bool = _flag(BOTH, "one token more, with U+2028, U+2029, U+0085; VT, FF, FS, GS, RS in a comment (SSE)")
    huge: int | None = _value(
        "N", _size, BOTH, "one token more, N letters in one data line (bare: 1200000)", bare="1200000"
    )
    binary: bool = _flag(WS, "the messages in binary frames")
    mute: bool = _flag(WS, "pings are never answered")
    deaf: bool = _flag(WS, "what the client sends during a turn is ignored, cancel too")

    # chunks
    role: str | None = _choice(
        "only|null|none|joined", SSE, "the first chunk: role alone, content null, missing, with text"
    )
    blank: str | None = _choice(
        "empty|null|no-choices|null-choices|no-delta|null-delta",
        BOTH,
        "such a chunk before every token; WS: content empty, null (null-…) or missing (no-…)",
    )
    usage: str | None = _choice(
        "null|running|null-counts|zeros|finish|none|total|outside|cached|cost|costs|ticks|estimate",
        BOTH,
        "usage: null or running in every chunk, null counts, zeros, in the finish chunk, or never; reasoning only in "
        "the total (Gemini) or beside the completion (xAI), cache reads and writes, the cost as OpenRouter, "
        "Perplexity, xAI, DeepInfra state it ($1 and $4 a million)",
    )
    message: bool = _flag(SSE, "the whole answer so far in `message` beside the delta")
    parts: bool = _flag(SSE, "content as a list of parts (reasoning as thinking parts)")
    refusal: bool = _flag(BOTH, "the text comes as a refusal")
    reasoning: str | None = _choice(
        "reasoning_content|reasoning|text|summary|both|both-details|parts|encrypted|think",
        BOTH,
        "reasoning under this name (text, summary: reasoning_details), or twice, as thinking parts, encrypted, or as "
        "<think> in the text; WS: under its own name",
    )
    tools: str | None = _choice(
        "openai|index-1|no-index|empty-ids|null-ids|repeat-name|whole|object|no-arguments|interleaved",
        BOTH,
        "the answer is tool calls, in this shape (object: whole, its arguments no text)",
    )
    arguments: str | None = _choice(
        "strings|floats|nulls|twice|empty-first|repeat|extra",
        BOTH,
        "arguments: numbers and truth as strings, 2.0 for 2, null for those not required, encoded twice, one key too "
        "many; SSE: {} before the pieces, or the whole once more after them",
    )
    names: str | None = _choice("prefix|channel", BOTH, "tools named functions.f, or f<|channel|>commentary")
    rounds: int | None = _value("N", _size, BOTH, "tools are called N times one after the other, then comes the text")
    echo: str | None = _choice(
        "deepseek|kimi|gemini|openrouter|mistral|minimax|groq",
        SSE,
        "the model reasons as this service's do, and a history without what it wants back (groq: with it) gets its 400",
    )
    citations: str | None = _choice("annotations|search", SSE, "sources, as OpenAI's annotations or as Perplexity's")
    image: bool = _flag(SSE, "an image in the answer, as OpenRouter sends it")
    served: str | None = _value("WORD", _word, SSE, "the answer names this model")
    tier: str | None = _value("WORD", _word, SSE, "the answer names this service tier")

    # Responses only
    dialect: str | None = _choice(
        "llama.cpp|copilot|vllm|openrouter",
        BOTH,
        "Responses as that one speaks them: no places and numbers, completed where cut; an item's id another in every "
        "event; nothing in the last event's output; other ids there, the reasoning item ended last, [DONE]",
    )
    life: float | None = _value(
        "S", _seconds, WS, "a socket of Responses reaches its limit S seconds after its handshake (an hour)"
    )


@dataclass(frozen=True)
class Entry:
    """One line of the registry: how it is written, where it works (both, SSE, WS), and what it does."""

    name: str
    usage: str
    transport: str
    meaning: str


def registry() -> tuple[Entry, ...]:
    """Every fault, in the order of the table."""
    return tuple(
        Entry(name := _written(each.name), _usage(name, each.metadata), each.metadata["on"], each.metadata["meaning"])
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
