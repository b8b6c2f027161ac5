"""Anthropic Messages: its events -> ours. No I/O, no clock. `messages_request` has the other half.

    decoder = MessagesDecoder(asked=model, key=key)
    for sse in lines.feed(data):
        for event in decoder.feed(sse, read): ...

Sources: the types of the `anthropic` package 2.14, https://platform.claude.com/docs/en/api/messages, and what
llama.cpp's server and gateways send instead. Nothing a service sends makes this raise: an error of the service's is in
`MessagesDecoder.error`, and what cannot be read is left out and counted.
"""

from __future__ import annotations

from io import StringIO
from typing import Any, Final

import msgspec

from holystream_nb.errors import StreamInterrupted
from holystream_nb.events import Event, Finish, Reasoning, Text, ToolCallPart, Usage
from holystream_nb.wire.complaints import Complaint, complaint_in, complaint_of, not_a_stream, stream_error
from holystream_nb.wire.endings import word_in
from holystream_nb.wire.format import Format, State
from holystream_nb.wire.messages_request import body, is_blank, json_object
from holystream_nb.wire.redaction import Hidden
from holystream_nb.wire.sse import ServerSentEvent
from holystream_nb.wire.values import cost_of, count, parse, string, well_formed

# --- the shape of an event: its frame is typed, its leaves are whatever the service sends -----------------------------


class _Delta(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None
    partial_json: Any = None
    thinking: Any = None
    signature: Any = None
    citation: Any = None
    stop_reason: Any = None
    stop_details: Any = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    index: int | None = None
    delta: _Delta | None = None
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


def _fields(kind: type[msgspec.Struct], tree: dict[str, Any]) -> dict[str, Any]:
    return {name: tree[name] for name in kind.__struct_fields__ if name in tree}


def _event(tree: dict[str, Any]) -> _Event:
    """The event in an object whose frame is not as it should be: what does not fit is left out."""
    index, delta = tree.get("index"), tree.get("delta")
    fitting = {
        "index": index if type(index) is int else None,
        "delta": _Delta(**_fields(_Delta, delta)) if isinstance(delta, dict) else None,
    }
    return _Event(**{**_fields(_Event, tree), **fitting})


_DEPTH: Final = 32


def _tidy(value: Any, depth: int = _DEPTH) -> Any:
    """A value as JSON can be written of it again: well-formed texts, and nothing nested deeper than anybody reads."""
    if isinstance(value, str):
        return well_formed(value)
    if not isinstance(value, dict | list):
        return value
    if not depth:
        return None
    if isinstance(value, list):
        return [_tidy(each, depth - 1) for each in value]
    return {well_formed(name): _tidy(each, depth - 1) for name, each in value.items()}


class _Block:
    """A block of the answer's content: as it was begun, and what has come to it."""

    __slots__ = ("call", "citations", "given", "is_open", "kind", "signature", "text")

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.kind = string(given.get("type"))
        self.text = StringIO()  # its text, its thinking, or the JSON of its input
        self.signature: str | None = None
        self.citations: list[Any] = []
        self.call: int | None = None  # of a tool_use: which of the answer's calls it is
        self.is_open = True

    def whole(self) -> dict[str, Any]:
        """The block as a request carries it."""
        block, text = dict(self.given), self.text.getvalue()
        if self.kind in ("text", "thinking"):
            block[self.kind] = text
            if self.signature is not None:
                block["signature"] = self.signature
            if self.citations:
                block["citations"] = self.citations
        elif text:
            block["input"] = json_object(text)
        tidy: dict[str, Any] = _tidy(block)
        return tidy


# --- one response -----------------------------------------------------------------------------------------------------


class MessagesDecoder(State):
    """The state of one answer, as `format.Decoder` says.

    An event is what its JSON's `type` says; `event:` lines may lack, and types that are not known are nothing. The
    answer ends with `message_stop`; all of it has come with a stop reason, too.
    """

    __slots__ = (
        "_apart",
        "_at",
        "_blocks",
        "_calls",
        "_counts",
        "_has_begun",
    )

    def __init__(self, *, asked: str = "", key: Hidden = (), choices: int = 1, limit: int | None = None) -> None:
        super().__init__(asked, key)
        self._has_begun = False  # a message_start has come
        self._blocks: list[_Block] = []
        self._at: dict[int | None, _Block] = {}  # by their index; None is the last begun
        self._apart: set[str] = set()  # kinds whose next piece begins a paragraph
        self._calls = 0
        self._counts: dict[str, int] = {}

    @property
    def is_complete(self) -> bool:
        return self.done or self.finish_reason is not None

    def feed(self, event: ServerSentEvent, read: int, *, cut: bool = False) -> list[Event]:
        """The events of one server-sent event, stamped `read`.

        `cut` says that it comes from the end of the stream: JSON that breaks off there is no error.
        """
        if self.error is not None or self.done:
            return []
        events: list[Event] = []
        try:
            if event.event == "error":
                self._fail(complaint_in(event.data))
                return events
            try:
                piece = _decode(event.data)
            except ValueError:
                return self._feed_odd(event, read, cut)
            self._take(piece, event.data, read, events)
        except RecursionError:
            self._skip(event.data)
        return self._halves.mended(events) if self._halves else events

    def whole(self, body: bytes, read: int) -> list[Event]:
        """The events of an unstreamed answer, a JSON object with `content`; anything else sets `error`."""
        text = body.decode("utf-8-sig", "replace")
        events: list[Event] = []
        try:
            tree = parse(text)
            if isinstance(tree, dict) and isinstance(tree.get("content"), list) and not tree.get("error"):
                self._start({**tree, "usage": None}, read, events)
                self._stop(_Delta(**_fields(_Delta, tree)), read, events)
                self._count(tree.get("usage"), read, events, is_final=True)
                self.done = True
                return self._halves.mended(events)
            complaint = None if isinstance(tree, str) else complaint_of(tree)
        except (ValueError, RecursionError):
            complaint = None
        if complaint is not None:
            self._fail(complaint)
        else:
            self._refuse(text)
        return []

    def echo(self) -> Any:
        """The turn's blocks, whole and in their order, where one is more than a text or a call.

        None before the end: a block that breaks off is taken by no service.
        """
        if not self.is_complete or all(block.kind in ("text", "tool_use") for block in self._blocks):
            return None
        blocks = [block.whole() for block in self._blocks]
        return [block for block in blocks if not (block.get("type") == "text" and is_blank(block.get("text")))]

    # one event

    def _take(self, piece: _Event, data: str, read: int, events: list[Event]) -> None:
        kind, delta = piece.type, piece.delta
        if kind == "content_block_delta":
            if delta is None:
                return
            text = delta.text
            if delta.type == "text_delta" and type(text) is str:
                if text:
                    self._block(piece.index, "text").text.write(text)
                    events.append(Text(self._set_apart("text", text) if self._apart else text, read))
            else:
                self._delta(piece.index, delta, read, events)
        elif kind == "content_block_start":
            if isinstance(piece.content_block, dict):
                self._begin(piece.index, piece.content_block, read, events)
        elif kind == "content_block_stop":
            if (block := self._at.get(piece.index)) is not None:
                self._close(block, read, events)
        elif kind == "message_start":
            message = piece.message if isinstance(piece.message, dict) else {}
            self._start(message, read, events)
        elif kind == "message_delta":
            self.empty = False
            self._stop(delta or _Delta(), read, events)
            self._count(piece.usage, read, events, is_final=True)
            if piece.error:
                self._fail(complaint_of(piece.error))
        elif kind == "message_stop":
            self.empty = False
            self._close_all(read, events)
            self.done = True
        elif piece.error or (isinstance(kind, str) and kind.endswith("error")):
            self._fail(complaint_of(parse(data)))
        elif kind is None and self.empty:
            self._refuse(data)  # JSON of another format

    def _start(self, message: dict[str, Any], read: int, events: list[Event]) -> None:
        """The head of a message, which may have content already (calls that another answer began)."""
        id = well_formed(string(message.get("id")))
        if self._has_begun:
            if id and self.id and id != self.id:
                self.error = StreamInterrupted(
                    "Another answer begins in the middle of this one, as a gateway must have joined the two; "
                    "what had arrived is kept: ask again."
                )
            return
        self._has_begun, self.empty = True, False
        self.id = id or None
        self.facts.model = well_formed(string(message.get("model")))
        content = message.get("content")
        for given in content if isinstance(content, list) else ():
            if isinstance(given, dict):
                self._close(self._begin(None, given, read, events), read, events)
        self._count(message.get("usage"), read, events, is_final=False)

    def _stop(self, delta: _Delta, read: int, events: list[Event]) -> None:
        """A stop reason, and what is said about it."""
        details = delta.stop_details
        if isinstance(details, dict):
            words = [string(details.get(name)) for name in ("category", "explanation")]
            self.facts.detail = well_formed(": ".join(filter(None, words))) or self.facts.detail
        reason = word_in(delta.stop_reason)
        if reason and self.finish_reason is None:
            self._close_all(read, events)
            self.finish_reason = reason
            events.append(Finish(self.finish_reason, read))

    def _count(self, usage: Any, read: int, events: list[Event], *, is_final: bool) -> None:
        """Tokens: what comes later replaces what came before; of the first report the output is no count yet.

        What went into the cache, and came from it, stands beside `input_tokens` here, and in our sum.
        """
        if not isinstance(usage, dict):
            return
        speed = string(usage.get("speed"))
        tier = speed if speed not in ("", "standard") else string(usage.get("service_tier"))
        self.facts.service_tier = well_formed(tier) or self.facts.service_tier
        inside = (usage.get(name) for name in ("output_tokens_details", "cache_creation", "server_tool_use"))
        found = {name: each for part in (usage, *inside) if isinstance(part, dict) for name, each in part.items()}
        counts = self._counts
        came = {name: number for name in _COUNTS if (number := count(found.get(name))) is not None}
        is_input = any(came.get(name) for name in _INPUT)  # zeros of all kinds are no count of a prompt
        counts |= {name: number for name, number in came.items() if is_input or name not in _INPUT}
        prompt = sum(counts.get(name, 0) for name in _INPUT) or None
        output = counts.get("output_tokens") if is_final else None
        if not output and self._blocks:
            output = None  # a zero beside an answer is no count
        cost = cost_of(usage)
        if prompt is None and output is None and cost is None:
            return
        events.append(
            Usage(
                prompt_tokens=prompt,
                completion_tokens=output,
                total_tokens=None if prompt is None or output is None else prompt + output,
                reasoning_tokens=counts.get("thinking_tokens"),
                cached_tokens=counts.get("cache_read_input_tokens"),
                read=read,
                cache_write_tokens=counts.get("cache_creation_input_tokens"),
                cost=cost,
                cache_write_1h_tokens=counts.get("ephemeral_1h_input_tokens"),
                web_searches=counts.get("web_search_requests"),
            )
        )

    # blocks

    def _block(self, index: int | None, kind: str) -> _Block:
        """The block of that index and kind; a new one where a service has not begun it."""
        block = self._at.get(index)
        if block is None or block.kind != kind:
            block = self._enter(index, {"type": kind})
        return block

    def _enter(self, index: int | None, given: dict[str, Any]) -> _Block:
        block = _Block(given)
        if block.kind != "text":
            told = {each.kind for each in self._blocks if each.kind in ("text", "thinking") and each.text.tell()}
            self._apart |= told & {"text", block.kind}
        self.empty = False
        self._blocks.append(block)
        self._at[index] = self._at[None] = block
        return block

    def _set_apart(self, kind: str, text: str) -> str:
        """The piece, after a blank line where a thought, a call or a search of the service's own came between."""
        if kind not in self._apart:
            return text
        self._apart.remove(kind)
        return "\n\n" + text

    def _begin(self, index: int | None, given: dict[str, Any], read: int, events: list[Event]) -> _Block:
        block = self._enter(index, given)
        text = string(given.get(block.kind)) if block.kind in ("text", "thinking") else ""
        if text:
            block.text.write(text)
            text = self._set_apart(block.kind, text)
            events.append(Text(text, read) if block.kind == "text" else Reasoning(text, read))
        if block.kind == "text" and isinstance(given.get("citations"), list):
            self.facts.citations += [_tidy(each) for each in given["citations"] if isinstance(each, dict)]
        if block.kind == "tool_use":
            block.call, self._calls = self._calls, self._calls + 1
            events.append(ToolCallPart(block.call, string(given.get("id")), string(given.get("name")), "", read))
        return block

    def _delta(self, index: int | None, delta: _Delta, read: int, events: list[Event]) -> None:
        """A delta that is no text."""
        kind = delta.type
        if kind == "thinking_delta":
            if type(delta.thinking) is str and delta.thinking:
                self._block(index, "thinking").text.write(delta.thinking)
                events.append(Reasoning(self._set_apart("thinking", delta.thinking), read))
        elif kind == "input_json_delta":
            block = self._at.get(index)
            if block is None or block.kind in ("text", "thinking") or type(delta.partial_json) is not str:
                return
            if delta.partial_json:
                block.text.write(delta.partial_json)
                if block.call is not None:
                    events.append(ToolCallPart(block.call, "", "", delta.partial_json, read))
        elif kind == "signature_delta":
            if type(delta.signature) is str:
                self._block(index, "thinking").signature = delta.signature
        elif kind == "citations_delta" and isinstance(delta.citation, dict):
            citation = _tidy(delta.citation)
            self._block(index, "text").citations.append(citation)
            self.facts.citations.append(citation)

    def _close(self, block: _Block, read: int, events: list[Event]) -> None:
        """The end of a block: a call of which no argument came has those it was begun with, or none at all."""
        if not block.is_open:
            return
        block.is_open = False
        if block.call is not None and not block.text.getvalue():
            given = block.given.get("input")
            arguments = given if isinstance(given, str) else msgspec.json.encode(_tidy(given or {})).decode()
            arguments = arguments if arguments.startswith("{") else "{}"
            block.text.write(arguments)
            events.append(ToolCallPart(block.call, "", "", arguments, read))

    def _close_all(self, read: int, events: list[Event]) -> None:
        for block in self._blocks:
            self._close(block, read, events)

    # what is no ordinary event

    def _feed_odd(self, event: ServerSentEvent, read: int, cut: bool) -> list[Event]:
        """Data that the typed decoder refused."""
        data, events = event.data, list[Event]()
        stripped = data.strip()
        if not stripped or event.event == "ping":
            return events
        if stripped == "[DONE]":
            self._close_all(read, events)
            self.done = True
            return events
        try:
            tree = parse(data)
        except ValueError:
            if not (cut and (stripped.startswith("{") or "[DONE]".startswith(stripped))):
                self._skip(data)
            return events
        if isinstance(tree, dict):
            self._take(_event(tree), data, read, events)
        else:
            self._skip(data)
        return self._halves.mended(events)

    def _skip(self, data: str) -> None:
        """A piece that cannot be read ends nothing that has begun."""
        if self.empty:
            self._refuse(data)
        else:
            self.facts.unreadable += 1

    def _fail(self, complaint: Complaint | None) -> None:
        self.error = stream_error(complaint or Complaint(), self._asked, self._key, begun=not self.empty)

    def _refuse(self, text: str) -> None:
        self.error = not_a_stream(text, self._key, "an answer in the Messages format")


_INPUT: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_COUNTS: Final = (*_INPUT, "output_tokens", "thinking_tokens", "ephemeral_1h_input_tokens", "web_search_requests")

MESSAGES: Final = Format("messages", "/messages", {"anthropic-version": "2023-06-01"}, body, MessagesDecoder)
