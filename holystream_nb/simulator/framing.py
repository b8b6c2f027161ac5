"""JSON objects to the bytes of server-sent events, in the ways that servers write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle, pairwise
from typing import Any

import msgspec

from .faults import Faults
from .refusals import failure

_COMMENT = b": keep-alive\n\n"
_SEPARATORS = b": \x0b \x0c \x1c \x1d \x1e\n"
_FIELDS = (b"event: ping\n\n", b"id: 7\n\n", b"retry: 3000\n\n", b"id: 8\nevent: ping\nretry: 1000\n\n")


class EventFraming:
    """The byte style of one stream; its state is what only the first event or every second one has."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._plain = not (
            faults.comments
            or faults.fields
            or faults.separators
            or faults.bad_utf8
            or faults.bom
            or faults.crlf
            or faults.cr
            or faults.no_space
        )
        self._whole = not (faults.bytes or faults.split_utf8)
        self._colon = b"data:" if faults.no_space else b"data: "
        self._fields: Iterator[bytes] = cycle(_FIELDS)
        self._first = True
        self._encode = msgspec.json.Encoder().encode

    def pieces(self, body: Mapping[str, Any]) -> tuple[bytes, ...]:
        """One chunk as an event, in the writes in which it goes out."""
        data = self._encode(body)
        event = b"data: %b\n\n" % data if self._plain else self._styled(self._data(data))
        return (event,) if self._whole else pieces(event, self.faults)

    def broken(self, body: Mapping[str, Any]) -> tuple[bytes, ...]:
        """The same with its JSON cut off."""
        data = self._encode(body)
        return pieces(self._styled(b"data: %b\n\n" % data[: len(data) // 2]), self.faults)

    def error(self, fault: str, body: Mapping[str, Any]) -> tuple[bytes, ...] | None:
        """An error: a chunk of its own, beside choices, an event by its name, or a bare field."""
        error = failure(500)
        match fault:
            case "error_chunk":
                choices = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
                event = self._data(self._encode({**body, **error, "choices": choices}))
            case "error_event":
                event = b"event: error\ndata: %b\n\n" % self._encode(error)
            case "error_field":
                event = b"error: %b\n\n" % self._encode(error["error"])
            case _:
                event = self._data(self._encode(error))
        return pieces(self._styled(event), self.faults)

    def close_code(self) -> int | None:
        """A body has no close frame."""
        return None

    def last(self) -> tuple[bytes, ...] | None:
        """The `[DONE]` event."""
        if self.faults.no_done:
            return None
        done = b"%b[DONE]" % self._colon + (b"\n" if self.faults.done_open else b"\n\n")
        return pieces(self._styled(done), self.faults)

    def _data(self, data: bytes) -> bytes:
        if self.faults.bad_utf8:
            data = data.replace("\ufffd".encode(), b"\xff")
        return b"%b%b\n\n" % (self._colon, data)

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
