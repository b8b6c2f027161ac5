"""JSON objects to the bytes of server-sent events, in the ways that servers write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any

import msgspec

from .faults import Faults
from .refusals import failure

_COMMENT = b": keep-alive\n\n"
_SEPARATORS = b": \x0b \x0c \x1c \x1d \x1e\n"
_FIELDS = (b"event: ping\n\n", b"id: 7\n\n", b"retry: 3000\n\n", b"id: 8\nevent: ping\nretry: 1000\n\n")
_LAST = frozenset({"response.completed", "response.incomplete", "message_stop"})
"""Types of named events after which nothing comes."""

Failure = Callable[[str, Mapping[str, Any]], Sequence[Mapping[str, Any]]]
"""The objects that report an error in a format, by the fault that asked for it and the chunk whose place they take."""


def chat_failure(fault: str, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """An error in a stream of chat completions: the error object by itself, or beside choices."""
    error = failure(500)
    if fault == "error_chunk":
        return [{**body, **error, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}]
    return [error]


class EventFraming:
    """The byte style of one stream; its state is what only the first event or every second one has.

    `named` events have an `event:` line with the `type` of their object, and no `[DONE]` after them, as Messages and
    Responses are; `failure` says how the format reports an error.
    """

    def __init__(self, faults: Faults, *, named: bool = False, failure: Failure = chat_failure) -> None:
        self.faults = faults
        self._named, self._failure = named, failure
        self._plain = not (
            faults.comments
            or faults.fields
            or faults.separators
            or faults.bad_utf8
            or faults.bom
            or faults.crlf
            or faults.cr
            or faults.no_space
            or (named and faults.done_open)
        )
        self._whole = not (faults.bytes or faults.split_utf8)
        self._colon = b"data:" if faults.no_space else b"data: "
        self._fields: Iterator[bytes] = cycle(_FIELDS)
        self._first = True
        self._encode = msgspec.json.Encoder().encode

    def pieces(self, body: Mapping[str, Any]) -> tuple[bytes, ...]:
        """One chunk as an event, in the writes in which it goes out."""
        data = self._encode(body)
        if self._plain:
            event = b"%bdata: %b\n\n" % (self._name(body), data) if self._named else b"data: %b\n\n" % data
        else:
            event = self._styled(self._event(body, data))
        return (event,) if self._whole else pieces(event, self.faults)

    def broken(self, body: Mapping[str, Any]) -> tuple[bytes, ...]:
        """The same with its JSON cut off."""
        data = self._encode(body)
        return pieces(self._styled(self._event(body, data[: len(data) // 2])), self.faults)

    def error(self, fault: str, body: Mapping[str, Any]) -> tuple[bytes, ...] | None:
        """An error as the format reports it, as an event by its name, or as a bare field."""
        told = self._failure(fault, body)
        match fault:
            case "error_event":
                events = [b"event: error\ndata: %b\n\n" % self._encode(each) for each in told]
            case "error_field":
                events = [b"error: %b\n\n" % self._encode(each.get("error", each)) for each in told]
            case _:
                events = [self._event(each, self._encode(each)) for each in told]
        return tuple(piece for event in events for piece in pieces(self._styled(event), self.faults))

    def close_code(self) -> int | None:
        """A body has no close frame."""
        return None

    def last(self) -> tuple[bytes, ...] | None:
        """The `[DONE]` event; streams of named events have none, but OpenRouter's."""
        if self.faults.no_done or (self._named and self.faults.dialect != "openrouter"):
            return None
        done = b"%b[DONE]" % self._colon + (b"\n" if self.faults.done_open else b"\n\n")
        return pieces(self._styled(done), self.faults)

    def _name(self, body: Mapping[str, Any]) -> bytes:
        return b"event: %b\n" % str(body.get("type", "message")).encode()

    def _event(self, body: Mapping[str, Any], data: bytes) -> bytes:
        """The event of an object whose JSON is `data`, plain but for what faults do to its own lines."""
        if self.faults.bad_utf8:
            data = data.replace("\ufffd".encode(), b"\xff")
        open_end = self._named and self.faults.done_open and body.get("type") in _LAST
        return b"%b%b%b\n%b" % (self._name(body) if self._named else b"", self._colon, data, b"" if open_end else b"\n")

    def _styled(self, event: bytes) -> bytes:
        """An event written out with line ends LF, with everything around it that the faults add."""
        faults = self.faults
        if faults.separators:
            event = _SEPARATORS + event
        if faults.fields:
            event = next(self._fields) + event
        if faults.comments:
            event = _COMMENT + event
        if faults.crlf or faults.cr:
            event = event.replace(b"\n", b"\r\n" if faults.crlf else b"\r")
        if faults.bom and self._first:
            event = "\ufeff".encode() + event
        self._first = False
        return event


def pieces(event: bytes, faults: Faults) -> tuple[bytes, ...]:
    """The writes in which an event goes out: whole, a few bytes at a time, or cut inside its characters."""
    if faults.bytes:
        return tuple(event[at : at + faults.bytes] for at in range(0, len(event), faults.bytes))
    if faults.split_utf8 and not event.isascii():
        cuts = [0, *(at + 1 for at, byte in enumerate(event) if byte >= 0xC0), len(event)]
        return tuple(event[start:end] for start, end in pairwise(cuts))
    return (event,)
