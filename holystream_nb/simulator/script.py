"""What a stream does, step by step: writes, pauses and breaks; without I/O and without a clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from .answers import Answer
from .chunks import OUTPUT, Chunk, chunks
from .faults import Faults
from .framing import Framing, pieces
from .refusals import failure
from .request import ChatRequest


class Write(NamedTuple):
    """Events handed over at once: the beat at which they are due, the kind of each, the bytes of each write."""

    beat: int
    kinds: tuple[str, ...]
    pieces: tuple[bytes, ...]


class Pause(NamedTuple):
    """Silence, in real seconds."""

    seconds: float


class Break(NamedTuple):
    """The connection is closed without an end of the body (`outcome` cut), or reset."""

    outcome: str


class Stop(NamedTuple):
    """The body ends here, cleanly; `outcome` is how the record calls it."""

    outcome: str


Step = Write | Pause | Break | Stop


def script(request: ChatRequest, answers: Sequence[Answer]) -> Iterator[Step]:
    """The steps of a stream, faults included."""
    steps = _steps(request, answers)
    return _grouped(steps, request.faults.group) if request.faults.group else steps


def _steps(request: ChatRequest, answers: Sequence[Answer]) -> Iterator[Step]:
    faults, framing = request.faults, Framing(request.faults)
    whole = not (faults.bytes or faults.split_utf8)
    event = framing.event
    incidents = _incidents(faults)
    tokens = 0
    last = Chunk("other", 0, 0, {})
    for chunk in chain(chunks(request, answers), (None,)):
        # a fault placed after the answer's last token happens before its finish
        closes = chunk is None or chunk.kind in ("finish", "usage")
        while incidents and (closes or tokens >= incidents[0][0]):
            for step in _incident(incidents.pop(0)[1], chunk or last, faults, framing):
                yield step
                if not isinstance(step, Write | Pause):
                    return
        if chunk is None:
            break
        last = chunk
        data = event(chunk.body)
        yield Write(chunk.beat, (chunk.kind,), (data,) if whole else pieces(data, faults))
        tokens += chunk.kind in OUTPUT and chunk.choice == 0
    if not faults.no_done:
        yield Write(last.beat, ("done",), pieces(framing.done(), faults))


def _incidents(faults: Faults) -> list[tuple[int, str]]:
    """What happens in the stream and after how many tokens, in order; at the same place, silence comes first."""
    at_after = ("stall", "bad_json", "error", "error_chunk", "error_event", "error_field")
    found = [(faults.after, name) for name in at_after if getattr(faults, name)]
    found += [(at, name) for name in ("cut", "reset", "end") if (at := getattr(faults, name)) is not None]
    return sorted(found, key=lambda incident: incident[0])


def _incident(name: str, chunk: Chunk, faults: Faults, framing: Framing) -> Iterator[Step]:
    def write(event: bytes) -> Write:
        return Write(chunk.beat, ("other",), pieces(event, faults))

    error = failure(500)
    match name:
        case "stall":
            yield Pause(faults.stall or 0)
        case "cut" | "reset":
            yield Break(name)
        case "end":
            yield Stop("ended")
        case "bad_json":
            data = msgspec.json.encode(chunk.body)
            yield write(framing.styled(b"data: %b\n\n" % data[: len(data) // 2]))
        case "error":
            yield write(framing.event(error))
        case "error_chunk":
            choices = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
            yield write(framing.event({**chunk.body, **error, "choices": choices}))
        case "error_event":
            yield write(framing.styled(b"event: error\ndata: %b\n\n" % msgspec.json.encode(error)))
        case "error_field":
            yield write(framing.styled(b"error: %b\n\n" % msgspec.json.encode(error["error"])))
    if name.startswith("error"):
        yield Stop("failed")


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
