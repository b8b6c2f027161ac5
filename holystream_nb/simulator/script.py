"""What a stream does, step by step: writes, pauses and breaks; without I/O and without a clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

from .chunks import OUTPUT, Chunk
from .faults import Faults
from .profiles import Schedule


class Write(NamedTuple):
    """Events handed over at once: the beat at which they are due, the kind of each, the bytes of each write."""

    beat: int
    kinds: tuple[str, ...]
    pieces: tuple[bytes, ...]


class Pause(NamedTuple):
    """Silence, in real seconds."""

    seconds: float


class Begin(NamedTuple):
    """A round of the answer begins: from now on this schedule holds, beats counted from 0."""

    pace: Schedule


class Wait(NamedTuple):
    """Nothing more until the client has sent the results of the tools that were called."""


class End(NamedTuple):
    """The answer is over: complete; ended (cleanly, but early); failed; cut or reset (the connection); closed.

    closed is a close frame with this `code`, on a socket.
    """

    outcome: str
    code: int = 1000


Step = Begin | Write | Pause | Wait | End


class Framing(Protocol):
    """How a transport writes things down; None: the transport has no such thing."""

    def pieces(self, body: Mapping[str, Any]) -> tuple[bytes, ...]:
        """One chunk, as the writes in which it goes out."""

    def broken(self, body: Mapping[str, Any]) -> tuple[bytes, ...]:
        """The same with its JSON cut off."""

    def error(self, fault: str, body: Mapping[str, Any]) -> tuple[bytes, ...] | None:
        """An error in the shape that this fault names; `body` is the chunk whose place it takes."""

    def close_code(self) -> int | None:
        """The code of the close frame that a fault asks for."""

    def last(self) -> tuple[bytes, ...] | None:
        """What comes after the last chunk."""


def script(faults: Faults, chunks: Iterable[Chunk | Begin | Wait], framing: Framing) -> Iterator[Step]:
    """The steps of a stream, faults included."""
    steps = _steps(faults, chunks, framing)
    return _grouped(steps, faults.group) if faults.group else steps


def _steps(faults: Faults, chunks: Iterable[Chunk | Begin | Wait], framing: Framing) -> Iterator[Step]:
    incidents = _incidents(faults)
    tokens = 0
    last = Chunk("other", 0, 0, {})
    for chunk in chain(chunks, (None,)):
        if isinstance(chunk, Begin | Wait):
            yield chunk
            continue
        # a fault placed after the first choice's last token happens before its finish
        closes = chunk is None or (chunk.kind in ("finish", "usage", "done") and chunk.choice == 0)
        while incidents and (closes or tokens >= incidents[0][0]):
            for step in _incident(incidents.pop(0)[1], chunk or last, faults, framing):
                yield step
                if isinstance(step, End):
                    return
        if chunk is None:
            break
        last = chunk
        yield Write(chunk.beat, (chunk.kind,), framing.pieces(chunk.body))
        tokens += chunk.kind in OUTPUT and chunk.choice == 0
    closing = framing.last()
    if closing is not None:
        yield Write(last.beat, ("done",), closing)


def _incidents(faults: Faults) -> list[tuple[int, str]]:
    """What happens in the stream and after how many tokens, in order; at the same place, silence comes first."""
    at_after = ("stall", "bad_json", "error", "error_chunk", "error_event", "error_field", "close")
    found = [(faults.after, name) for name in at_after if getattr(faults, name)]
    found += [(at, name) for name in ("cut", "reset", "end") if (at := getattr(faults, name)) is not None]
    return sorted(found, key=lambda incident: incident[0])


def _incident(name: str, chunk: Chunk, faults: Faults, framing: Framing) -> Iterator[Step]:
    match name:
        case "stall":
            yield Pause(faults.stall or 0)
        case "cut" | "reset":
            yield End(name)
        case "end":
            yield End("ended")
        case "close":
            code = framing.close_code()
            if code is not None:
                yield End("closed", code)
        case "bad_json":
            yield Write(chunk.beat, ("other",), framing.broken(chunk.body))
        case _:
            written = framing.error(name, chunk.body)
            if written is not None:
                yield Write(chunk.beat, ("other",), written)
                yield End("failed")


def _grouped(steps: Iterator[Step], size: int) -> Iterator[Step]:
    """The same steps with up to `size` events in one write, due when the last of them is."""
    waiting: list[Write] = []
    for step in steps:
        if isinstance(step, Write):
            waiting.append(step)
        if waiting and (len(waiting) == size or not isinstance(step, Write)):
            yield _joined(waiting)
            waiting = []
        if not isinstance(step, Write):
            yield step
    if waiting:
        yield _joined(waiting)


def _joined(writes: Sequence[Write]) -> Write:
    data = b"".join(piece for write in writes for piece in write.pieces)
    return Write(writes[-1].beat, tuple(kind for write in writes for kind in write.kinds), (data,))
