"""WebSocket messages <-> events, in both vocabularies of HolySheep's documents (000, 001). No I/O, no clock.

    turn = MessageDecoder(asked=model, key=key)
    for event in turn.feed(text, read): ...

Every message is one JSON object with a `type`; both vocabularies are taken at any time, unknown types are ignored:

    text        {"type": "content_block" | "token", "content": "…"}
    reasoning   {"type": "reasoning_block" | "reasoning", "content": "…"}
    tool call   {"type": "function_call", "call_id", "index", "function": {"name", "arguments"}, "status"}
                {"type": "tool_call", "call_id", "index", "payload": {"tool", "arguments"}, "status"}
    usage       {"type": "usage", "usage": {…}}, or `usage` beside any other
    end         {"type": "done", "finish_reason": "…"}
    error       {"type": "error", "error": {"type", "code", "message"}}: ends the turn
    start       {"type": "start", "id": "…"}: names the turn

A call comes in one or several messages; its last one says a `status` other than "in_progress", or none at all. Nothing
a service sends makes this raise: what cannot be read ends in `MessageDecoder.error`, or, in a turn that has begun, is
left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holystream_nb.errors import SetupError
from holystream_nb.events import Event, Finish, Reasoning, Text, ToolCallEnd
from holystream_nb.wire.calls import Calls
from holystream_nb.wire.complaints import Complaint, complaint_of, not_a_stream, seconds, stream_error
from holystream_nb.wire.endings import word_in
from holystream_nb.wire.format import State, without_echo
from holystream_nb.wire.redaction import Hidden
from holystream_nb.wire.values import encoded, flat, parse, string, usage_of, well_formed

_UNFINISHED: Final = frozenset({"in_progress", "in-progress", "incomplete", "pending", "started", "streaming"})

_TEXT: Final = frozenset({"content_block", "token"})
_REASONING: Final = frozenset({"reasoning_block", "reasoning"})
_CALL: Final = frozenset({"function_call", "tool_call"})
_OWN: Final = frozenset({"init", "cancel"})


class _Message(msgspec.Struct, gc=False):
    type: Any = None
    content: Any = None
    refusal: Any = None
    usage: Any = None
    error: Any = None
    finish_reason: Any = None
    id: Any = None
    model: Any = None
    call_id: Any = None
    index: Any = None
    status: Any = None
    function: Any = None
    payload: Any = None


_decode = msgspec.json.Decoder(_Message).decode


class MessageDecoder(State):
    """The state of one turn: call `feed` with each message of the service.

    `id` is the turn's own; `done` says that the service ended it (`done`); `finish_reason` is in the service's word.
    `error` is set when the service named one, or began with something that is no message: the events before it have
    been returned, and none comes after it. `empty` says that no message has come; `facts` counts what else could not be
    read. `open_calls` and `ended_calls` count the tool calls that have begun, and those that are complete.

    `is_named` says that the turn began with its `start` and an id. With `awaits_start` whatever comes before that,
    except an error, is left over from the turn before, and dropped.

    `asked` is the model that was asked for, named in messages; `key` is what they must never contain.
    """

    __slots__ = (
        "_awaits_start",
        "_calls",
        "ended_calls",
        "is_named",
        "open_calls",
    )

    def __init__(self, *, asked: str = "", key: Hidden = (), awaits_start: bool = False) -> None:
        super().__init__(asked, key)
        self.ended_calls = 0
        self.open_calls = 0
        self.is_named = False
        self._awaits_start = awaits_start
        self._calls = Calls()

    def feed(self, text: str | bytes, read: int) -> list[Event]:
        """The events of one message, stamped `read`; nothing after the turn's end."""
        if self.done or self.error is not None:
            return []
        events: list[Event] = []
        try:
            try:
                message = _decode(text)
            except ValueError:
                tree = parse(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
                if not isinstance(tree, dict):
                    return self._skip(text)
                message = _Message(**{name: tree[name] for name in _Message.__struct_fields__ if name in tree})
                self._take(message, read, events)
                return self._halves.mended(events)
            self._take(message, read, events)
        except (ValueError, RecursionError):
            return self._skip(text)
        return self._halves.mended(events) if self._halves else events

    def _take(self, message: _Message, read: int, events: list[Event]) -> None:
        kind = message.type if type(message.type) is str else ""
        if self._awaits_start and not (kind in ("start", "error") or message.error):
            return
        is_first, self.empty, self._awaits_start = self.empty, False, False
        if kind in _TEXT:
            text = message.content if type(message.content) is str else flat(message.content)
            if message.refusal:
                refusal = flat(message.refusal)
                self.facts.refusal += well_formed(refusal)
                text += refusal
            if text:
                events.append(Text(text, read))
        elif kind in _REASONING:
            text = flat(message.content)
            if text:
                events.append(Reasoning(text, read))
        elif kind in _CALL:
            self._call(message, read, events)
        elif kind == "start":
            self.id = self.id or well_formed(string(message.id)) or None
            self.is_named = self.is_named or (is_first and self.id is not None)
            self.facts.model = self.facts.model or well_formed(string(message.model))
        if message.usage:
            counts = usage_of(message.usage, read)
            if counts is not None:
                events.append(counts)
        if message.error or kind == "error":
            self._fail(message.error, begun=not is_first)
        elif kind == "done":
            self.done = True
            reason = word_in(message.finish_reason)
            if reason:
                self.finish_reason = reason
                events.append(Finish(reason, read))

    def _call(self, message: _Message, read: int, events: list[Event]) -> None:
        """A piece of a tool call, and its end."""
        named = next((part for part in (message.function, message.payload) if isinstance(part, dict)), {})
        name = string(named.get("name")) or string(named.get("tool"))
        arguments = named.get("arguments")
        if not isinstance(arguments, str):
            arguments = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
        id = string(message.call_id) or string(message.id)
        if not (id or name or arguments or len(self._calls)):
            return
        before = len(self._calls)
        event = self._calls.part(message.index, id, name, arguments, read)
        call = self._calls[event.index]
        self.open_calls += len(self._calls) - before
        if event.id or event.name or event.arguments:
            events.append(event)
        if not call.ended and not (type(message.status) is str and message.status in _UNFINISHED):
            call.ended = True
            self.ended_calls += 1
            self.open_calls -= 1
            events.append(ToolCallEnd(call.index, read))

    def _fail(self, error: Any, *, begun: bool) -> None:
        complaint = complaint_of(error) or Complaint()
        wait = str(error.get("retry_after")) if isinstance(error, dict) else ""
        self.error = stream_error(complaint, self._asked, self._key, seconds(wait), begun=begun)

    def _skip(self, text: str | bytes) -> list[Event]:
        """What cannot be read: of a turn that has begun the rest is kept."""
        if not self.empty:
            self.facts.unreadable += 1
            return []
        self.empty = False
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        self.error = not_a_stream(said, self._key)
        return []


def init_message(body: Mapping[str, Any]) -> str:
    """The message that asks for a turn, from the body that asks for it over HTTP."""
    parameters = {name: value for name, value in body.items() if name not in ("model", "messages", "stream")}
    init = {"type": "init", "model": body["model"], "messages": without_echo(body["messages"]), "stream": True}
    return _text({**init, "parameters": parameters})


def event_message(type: str, payload: Mapping[str, Any], timestamp_ms: int) -> str:
    """An event of the client's own, in the middle of a turn: tool_result, context_update, user_interruption, …

    Raises SetupError for a type that is no event, and for a payload that JSON cannot hold.
    """
    if type not in _OWN:
        return _text({"type": type, "payload": payload, "timestamp": timestamp_ms})
    instead = "cancel() ends a turn" if type == "cancel" else "send() begins a turn"
    raise SetupError(f"{type!r} is no event in a turn: {instead}.")


CANCEL: Final = '{"type":"cancel"}'
"""The message that ends a turn."""


def _text(message: Mapping[str, Any]) -> str:
    return encoded(message).decode("utf-8")
