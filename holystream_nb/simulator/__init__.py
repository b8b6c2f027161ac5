"""A HolySheep on your own machine: latencies as its documents describe, faults on request, true times.

`with Simulator() as simulator:` runs one in a process of its own, at `simulator.url`; `run()` serves in the foreground.
It listens on loopback only. Any key is accepted, or none, but not one that starts with "bad", nor the placeholder;
with `key=`, only that one.

`simulator.record(id)`, with the `x-request-id` of an answer, has the true times of its events (`GET /sim/requests/ID`).

Headers of a request: `X-Sim-Speed` (a factor, or max), `X-Simulate` (faults), `X-Sim-Run` (requests with the same value
are tries of one request; without it, those with the same body, faults and key are). The body's `seed` overrides the
simulator's: the same request and seed get the same bytes at the same distances (`created` is a constant for that
reason, and only `x-request-id` and `date` differ).

It does what a prompt says: code, a table, a list, maths and so on; JSON; "count to N"; "in N sentences"; tools by their
names, those behind a "then" once the others have answered; and "Repeat after me:", whose rest comes back to the letter.

`/v1/messages` speaks Anthropic's Messages, as strict as the real one: what of a tool's round is missing or changed,
thoughts and their signatures included, is refused in Anthropic's words. The base URL of Anthropic's own clients is
`simulator.url` without its `/v1`. The faults of SSE work there where the format has such a thing: an error in the
stream is `overloaded_error` (with after=0 it is the first event; error-chunk has OpenAI's shape), finish may be
refusal or pause_turn, reasoning=encrypted gives a redacted_thinking block, blank=… empty pieces or pings. A prompt's
prefix that ends at a `cache_control` counts as written, then as read for as long as it is kept.

It speaks WebSocket too, as HolySheep's documents describe it: at `/v1/chat/stream` (their words A), or at the address
that a POST with `Upgrade: websocket` and `"agent_mode": true` is answered with (words B; good once, for 30 s). There a
turn has the same tokens at the same distances, begins with `{"type": "start", "id": …}`, and has a record of its own
under that id. Results of tools, context updates, interruptions and a cancel have their effect in the running turn.
Usage counts each message of the client once, however many rounds the turn has.

It speaks OpenAI's Responses: at `POST /v1/responses`, and on a WebSocket at `GET /v1/responses`. The same request has
the same text and calls as in chat completions. What `store` keeps (the last 1,000 responses, in memory) can be named in
`previous_response_id`; a reasoning item that comes back must be this simulator's own, unchanged and followed by what it
led to. On the socket each response is a turn with a record of its own, under the response's id; turns in lanes by
`stream_id`, `response.steer`, `generate: false`, and the connection's own memory are as OpenAI documents them.

Faults are written in the header, `X-Simulate: cut=5, stall=2`, or behind the model, `"model": "gpt-4.1#cut=5,stall=2"`;
where both name one, the header wins. For a socket the header is the handshake's, or that of the POST which offered it;
refusals in it concern the handshake (or the POST), those behind the model of an `init` or `response.create` that turn,
which ends with an error message then. A fault works on both transports, on server-sent events (SSE) or on sockets (WS)
only, and is ignored where it does not. "After N tokens" counts text, reasoning and tool-call tokens of the first
choice, on a socket those of the whole turn; in a shorter answer it is after the last. Seconds (S) are real ones,
whatever the speed factor.

Amount and pace:

    tokens=N                both the text has N tokens, whatever the prompt asks for
    numbered                both text token i is "i " (0, 1, 2, …), so that a reader knows which one has arrived
    rate=R|max              both R tokens a second, evenly, the first at once; max: unpaced
    group=N                 both N events in one write (bare: 5)
    bytes=N                 both every event written N bytes at a time (bare: 1); WS: in fragments of N bytes

Waiting, in real seconds whatever the speed factor:

    head=S                  both the response head comes S seconds late; WS: the handshake's answer
    first=S                 both the head comes at once, the first event S seconds after the request
    stall=S                 both S seconds of silence after `after` tokens
    after=N                 both where a fault without a place of its own happens (3)

How it ends:

    cut=N                   both connection closed after N tokens, without the chunked terminator; WS: without a close
                                 frame
    reset=N                 both connection reset (RST) after N tokens
    end=N                   both clean end of the body after N tokens: no finish reason, no [DONE]; WS: close frame
                                 1000, no done
    no-done                 both no [DONE]; WS: no done, the socket stays open
    done-open               SSE  [DONE] without the blank line after it
    finish=WORD             both this finish reason; none: no finish reason at all
    close=CODE              WS   a close frame with this code after `after` tokens

Refusals:

    fail=STATUS|drop        both the first `tries` tries get this status; drop: no answer at all
    tries=N                 both how many tries fail (1)
    retry-after=S           both the failure's Retry-After in seconds (429 without it: 1)
    retry-date=S            both the failure's Retry-After as an HTTP date S seconds from now
    no-retry-after          both a 429 without Retry-After
    error-body=openai|anthropic|message|detail|string|list|text|html|empty
                            both the shape of the failure's body
    refuse-usage=400|422    SSE  stream_options.include_usage is refused with this status
    redirect=301|302|303|307|308
                            both a redirect to this simulator under another host name

200, and yet not a stream:

    html                    both HTTP 200 with a proxy's HTML page
    whole                   SSE  HTTP 200 with the whole answer as JSON, although a stream was asked for
    error-200               both HTTP 200 with an error object as JSON
    charset=WORD            SSE  a wrong charset in the content type (bare: latin-1)

The offer of a socket, in the answer to a POST with agent_mode:

    no-socket               WS   no socket is offered: the answer is the ordinary stream
    upgrade-url             WS   the socket's address in Upgrade-URL instead of Sec-WebSocket-URL
    socket-host=HOST        WS   the socket's address names this host
    socket-dead             WS   the socket's address is one that does not exist (404)

Errors in the stream, after `after` tokens; the answer ends there, except after bad-json:

    error                   both an error object as a chunk of its own; WS: an error message
    error-chunk             both an error object beside choices, with finish reason error; WS: beside the done message
    error-event             SSE  event: error, with the error object as its data
    error-field             SSE  a bare error: field line
    bad-json                both an event whose JSON is cut off; then the answer goes on

Bytes:

    crlf                    SSE  CRLF line ends
    cr                      SSE  CR line ends
    bom                     SSE  a byte order mark first
    comments                both keep-alive comments between the events; WS: pings
    fields                  both events that have only id, event or retry between the others; WS: messages of unknown
                                 types
    no-space                SSE  data: without a space after it
    split-utf8              both one token more, 🐑漢é; every event with such a character is cut inside it over two
                                 writes; WS: fragments
    bad-utf8                both one token more, with a byte that is not UTF-8
    separators              both one token more, with U+2028, U+2029, U+0085; VT, FF, FS, GS, RS in a comment (SSE)
    huge=N                  both one token more, N letters in one data line (bare: 1200000)
    binary                  WS   the messages in binary frames
    mute                    WS   pings are never answered
    deaf                    WS   what the client sends during a turn is ignored, cancel too

Chunks:

    role=only|null|none|joined
                            SSE  the first chunk: role alone, content null, missing, with text
    blank=empty|null|no-choices|null-choices|no-delta|null-delta
                            both such a chunk before every token; WS: content empty, null (null-…) or missing (no-…)
    usage=null|running|null-counts|zeros|finish|none|total|outside|cached|cost|costs|ticks|estimate
                            both usage: null or running in every chunk, null counts, zeros, in the finish chunk, or
                                 never; reasoning only in the total (Gemini) or beside the completion (xAI), cache reads
                                 and writes, the cost as OpenRouter, Perplexity, xAI, DeepInfra state it ($1 and $4 a
                                 million)
    message                 SSE  the whole answer so far in `message` beside the delta
    parts                   SSE  content as a list of parts (reasoning as thinking parts)
    refusal                 both the text comes as a refusal
    reasoning=reasoning_content|reasoning|text|summary|both|both-details|parts|encrypted|think
                            both reasoning under this name (text, summary: reasoning_details), or twice, as thinking
                                 parts, encrypted, or as <think> in the text; WS: under its own name
    tools=openai|index-1|no-index|empty-ids|null-ids|repeat-name|whole|object|no-arguments|interleaved
                            both the answer is tool calls, in this shape (object: whole, its arguments no text)
    arguments=strings|floats|nulls|twice|empty-first|repeat|extra
                            both arguments: numbers and truth as strings, 2.0 for 2, null for those not required,
                                 encoded twice, one key too many; SSE: {} before the pieces, or the whole once more
                                 after them
    names=prefix|channel    both tools named functions.f, or f<|channel|>commentary
    rounds=N                both tools are called N times one after the other, then comes the text
    echo=deepseek|kimi|gemini|openrouter|mistral|minimax|groq
                            SSE  the model reasons as this service's do, and a history without what it wants back (groq:
                                 with it) gets its 400
    citations=annotations|search
                            SSE  sources, as OpenAI's annotations or as Perplexity's
    image                   SSE  an image in the answer, as OpenRouter sends it
    served=WORD             SSE  the answer names this model
    tier=WORD               SSE  the answer names this service tier

Responses only:

    dialect=llama.cpp|copilot|vllm|openrouter
                            both Responses as that one speaks them: no places and numbers, completed where cut; an
                                 item's id another in every event; nothing in the last event's output; other ids
                                 there, the reasoning item ended last, [DONE]
    life=S                  WS   a socket of Responses reaches its limit S seconds after its handshake (an hour)
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
