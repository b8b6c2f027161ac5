"""A HolySheep on your own machine: latencies as its documents describe, faults on request, true times.

`with Simulator() as simulator:` runs one in a process of its own, at `simulator.url`; `run()` serves in the foreground.
It listens on loopback only. Any key is accepted, or none, but not one that starts with "bad", nor the placeholder;
with `key=`, only that one.

`simulator.record(id)`, with the `x-request-id` of an answer, has the true times of its events (`GET /sim/requests/ID`).

Headers of a request: `X-Sim-Speed` (a factor, or max), `X-Simulate` (faults), `X-Sim-Run` (requests with the same value
are tries of one request; without it, those with the same body, faults and key are). The body's `seed` overrides the
simulator's: the same request and seed get the same bytes at the same distances (`created` is a constant for that
reason, and only `x-request-id` and `date` differ).

It does what a prompt says: code, a table, a list, maths and so on; JSON; "count to N"; "in N sentences"; a tool by its
name; and "Repeat after me:", whose rest comes back to the letter.

Faults are written in the header, `X-Simulate: cut=5, stall=2`, or behind the model, `"model": "gpt-4.1#cut=5,stall=2"`;
where both name one, the header wins. "After N tokens" counts text, reasoning and tool-call tokens of the first choice;
in a shorter answer it is after the last. Seconds (S) are real ones, whatever the speed factor.

Amount and pace:

    tokens=N                the text has N tokens, whatever the prompt asks for
    numbered                text token i is "i " (0, 1, 2, …), so that a reader knows which one has arrived
    rate=R|max              R tokens a second, evenly, the first at once; max: unpaced
    group=N                 N events in one write (bare: 5)
    bytes=N                 every event written N bytes at a time (bare: 1)

Waiting, in real seconds whatever the speed factor:

    head=S                  the response head comes S seconds late
    first=S                 the head comes at once, the first event S seconds after the request
    stall=S                 S seconds of silence after `after` tokens
    after=N                 where a fault without a place of its own happens (3)

How it ends:

    cut=N                   connection closed after N tokens, without the chunked terminator
    reset=N                 connection reset (RST) after N tokens
    end=N                   clean end of the body after N tokens: no finish reason, no [DONE]
    no-done                 no [DONE]
    done-open               [DONE] without the blank line after it
    finish=WORD             this finish reason; none: no finish reason at all

Refusals:

    fail=STATUS|drop        the first `tries` tries get this status; drop: no answer at all
    tries=N                 how many tries fail (1)
    retry-after=S           the failure's Retry-After in seconds (429 without it: 1)
    retry-date=S            the failure's Retry-After as an HTTP date S seconds from now
    no-retry-after          a 429 without Retry-After
    error-body=openai|message|detail|string|list|text|html|empty
                            the shape of the failure's body
    refuse-usage=400|422    stream_options.include_usage is refused with this status
    redirect=301|302|303|307|308
                            a redirect to this simulator under another host name

200, and yet not a stream:

    html                    HTTP 200 with a proxy's HTML page
    whole                   HTTP 200 with the whole answer as JSON, although a stream was asked for
    error-200               HTTP 200 with an error object as JSON
    charset=WORD            a wrong charset in the content type (bare: latin-1)

Errors in the stream, after `after` tokens; the body ends there, except after bad-json:

    error                   an error object as a chunk of its own
    error-chunk             an error object beside choices, with finish reason error
    error-event             event: error, with the error object as its data
    error-field             a bare error: field line
    bad-json                an event whose JSON is cut off; then the answer goes on

Bytes:

    crlf                    CRLF line ends
    cr                      CR line ends
    bom                     a byte order mark first
    comments                keep-alive comments between the events
    fields                  events that have only id, event or retry between the others
    no-space                data: without a space after it
    split-utf8              one token more, 🐑漢é; every event with such a character is cut inside it over two writes
    bad-utf8                one token more, with a byte that is not UTF-8
    separators              one token more, with U+2028, U+2029, U+0085; VT, FF, FS, GS, RS in a comment
    huge=N                  one token more, N letters in one data line (bare: 1200000)

Chunks:

    role=only|null|none|joined
                            the first chunk: role alone, content null, missing, with text
    blank=empty|null|no-choices|null-choices|no-delta|null-delta
                            such a chunk before every token
    usage=null|running|null-counts|finish|none
                            usage: null or running in every chunk, null counts, in the finish chunk, or never
    message                 the whole answer so far in `message` beside the delta
    parts                   content as a list of parts (reasoning as thinking parts)
    refusal                 the text comes as a refusal
    reasoning=reasoning_content|reasoning|text|summary|both|both-details
                            reasoning under this name (text, summary: reasoning_details), or twice
    tools=openai|index-1|no-index|empty-ids|null-ids|repeat-name|whole|no-arguments|interleaved
                            the answer is tool calls, in this shape
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .process import Simulator, SimulatorError
    from .server import run

__all__ = ["Simulator", "SimulatorError", "run"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for."""
    if name in ("Simulator", "SimulatorError"):
        from . import process

        return getattr(process, name)
    if name == "run":
        from .server import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
