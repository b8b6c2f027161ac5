"""JSON objects to the frames of a WebSocket, in the ways that servers write them (RFC 6455).

By hand, because wsproto refuses to write what the faults need: text that is not UTF-8, or cut inside a character.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import msgspec

from .faults import Faults
from .framing import Failure, pieces
from .messages import error_message
from .refusals import failure

CONTINUATION, TEXT, BINARY, PING = 0x0, 0x1, 0x2, 0x9
_UNKNOWN = (b'{"type":"heartbeat"}', b'{"type":"session.updated","session":{"id":"7"}}', b'{"id":"8"}')


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    """One frame as a server sends it, unmasked; `last` False is a fragment that others follow (section 5.2)."""
    first, size = bytes([opcode | 0x80 * last]), len(payload)
    if size < 126:
        return first + bytes([size]) + payload
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2, "big") + payload
    return first + b"\x7f" + size.to_bytes(8, "big") + payload


def turn_failure(fault: str, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """An error message, or an error beside `done`."""
    error = error_message(failure(500), 500)
    return [{"type": "done", "finish_reason": "error", "error": error["error"]} if fault == "error_chunk" else error]


class MessageFraming:
    """The style of one turn's messages; `failure` says how their format reports an error."""

    def __init__(self, faults: Faults, failure: Failure = turn_failure) -> None:
        self._faults, self._failure = faults, failure
        self._plain = not (faults.bytes or faults.split_utf8 or faults.bad_utf8 or faults.comments or faults.fields)
        self._opcode = BINARY if faults.binary else TEXT
        self._unknown: Iterator[bytes] = cycle(_UNKNOWN)
        self._encode = msgspec.json.Encoder().encode

    def pieces(self, body: Mapping[str, Any]) -> tuple[bytes, ...]:
        """One message: a frame, or a write for each of its fragments."""
        data = self._encode(body)
        if self._plain:
            return (frame(self._opcode, data),)
        if self._faults.bad_utf8:
            data = data.replace("\ufffd".encode(), b"\xff")
        return self._styled(data)

    def broken(self, body: Mapping[str, Any]) -> tuple[bytes, ...]:
        """The same with its JSON cut off."""
        data = self._encode(body)
        return self._styled(data[: len(data) // 2])

    def error(self, fault: str, body: Mapping[str, Any]) -> tuple[bytes, ...] | None:
        """An error as the format reports it, where that is a message."""
        if fault not in ("error", "error_chunk"):
            return None
        return tuple(piece for each in self._failure(fault, body) for piece in self.pieces(each))

    def close_code(self) -> int | None:
        """The code of the close frame that was asked for."""
        return self._faults.close

    def last(self) -> tuple[bytes, ...] | None:
        """Nothing: `done` is a message like the others."""
        return None

    def _styled(self, data: bytes) -> tuple[bytes, ...]:
        parts = pieces(data, self._faults)
        frames = [
            frame(CONTINUATION if number else self._opcode, part, last=number == len(parts) - 1)
            for number, part in enumerate(parts)
        ]
        if self._faults.fields:
            frames.insert(0, frame(TEXT, next(self._unknown)))
        if self._faults.comments:
            frames.insert(0, frame(PING, b"simulator"))
        return tuple(frames) if self._faults.bytes or self._faults.split_utf8 else (b"".join(frames),)
