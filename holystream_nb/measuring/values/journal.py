"""The file of a run on the disk: appended to, followed while it grows, read whole or torn, mended."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable
from functools import partial
from glob import escape
from pathlib import Path
from typing import Final

import msgspec

from ...errors import SetupError
from .plan import Plan
from .record import (
    SCHEMA,
    Begun,
    Calibration,
    Contents,
    Done,
    End,
    Header,
    Leased,
    Line,
    Lost,
    Session,
    Trial,
    Trip,
    Warmup,
    decode,
    encoder,
)
from .schedule import Slot

_PART: Final = re.compile(r"(\d+)(?:-\w+)?")
"""The end of a part-file's name: its worker, and the run's id."""

_LOCKED_BYTE: Final = 0x7FFF_0000
"""Windows keeps others from reading what is locked: a byte that no run's file reaches."""


class Log:
    """A file to which whole lines are appended; each is with the system when `write` returns.

    run: the run's id, which every line gets. locked: whether it is this writer's alone: SetupError where it is not.
    """

    def __init__(self, path: Path, run: str = "", *, locked: bool = False) -> None:
        self._run = run
        self._file = path.open("ab", buffering=0)
        if locked and not lock(self._file.fileno()):
            self._file.close()
            raise SetupError(f"{path} is being written by another run: wait for its end, or give another path.")

    @property
    def is_empty(self) -> bool:
        return not os.fstat(self._file.fileno()).st_size

    def write(self, line: Line) -> None:
        """Appends a line; raises OSError (a full disk)."""
        self.write_raw(encoded(line, self._run))

    def write_raw(self, line: bytes) -> None:
        data = memoryview(line + b"\n")
        while data:
            data = data[self._file.write(data) :]

    def close(self) -> None:
        self._file.close()


def encoded(line: Line, run: str) -> bytes:
    """A line that says which run it is of."""
    text = encoder.encode(line)
    return b'{"run":"%s",%s' % (run.encode(), text[1:]) if run and not isinstance(line, Header) else text


class Follower:
    """Reads the lines that are appended to a file while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def lines(self) -> list[bytes]:
        """The complete lines since the last call; an unfinished one waits."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


def part(path: Path, worker: int, run: str = "") -> Path:
    """The part-file of a worker of a run."""
    return path.with_name(f"{path.name}.part{worker}{f'-{run}' if run else ''}")


def parts(path: Path) -> list[Path]:
    """The part-files that lie beside a file: what a killed kernel did not take over."""
    found = path.parent.glob(f"{escape(path.name)}.part*")
    return sorted(each for each in found if _PART.fullmatch(each.name.removeprefix(f"{path.name}.part")))


def read(path: Path) -> Contents:
    """The contents of a file and of the part-files beside it; a trial that stands twice counts once.

    Raises SetupError for a file that is none of ours, or a newer one.
    """
    head, *rows = _rows(path)
    header, begun = _header(path, head), 0
    for piece in parts(path):
        mine = _rows(piece)
        begun += len(_unended(header.plan, [row for row in mine if row and _is_of(row, header.run)]))
        rows += mine
    own = [row for row in dict.fromkeys(rows) if row and _is_of(row, header.run)]
    lines = [decode(row) for row in own]
    trials: dict[tuple[str, str, int, int], Trial] = {}
    retried = []
    for line in lines:
        if type(line) is Trial:
            slot = line.model, line.way, line.prompt, line.repeat
            before = trials.setdefault(slot, line)
            if before.error and before.session < line.session:
                trials[slot] = line
                retried.append(before)
    return Contents(
        header=header,
        sessions=(header.session, *(line for line in lines if isinstance(line, Session))),
        trials=tuple(trials.values()),
        warmups=tuple(line for line in lines if isinstance(line, Warmup)),
        calibration=next((line for line in reversed(lines) if isinstance(line, Calibration)), None),
        ends=tuple(line for line in lines if isinstance(line, End)),
        torn=sum(line is None for line in lines),
        trips=tuple(line for line in lines if isinstance(line, Trip)),
        lost=tuple(line for line in lines if isinstance(line, Lost)),
        retried=tuple(retried),
        foreign=sum(bool(row) for row in dict.fromkeys(rows)) - len(own),
        begun=begun,
    )


Unended = tuple[int, Slot, int | None]
"""A worker, what it was to do, and when it began that (ns after the session's origin; None: if it did)."""


def mend(path: Path) -> list[Unended]:
    """Makes a file ready for more: a torn last line goes, and what part-files of this run hold comes in.

    The requests that they say were begun, or may have been, and whose end nobody wrote. The part-files of another
    run, whose file was deleted, stay as they are. Files of words go: a worker of an executor that outlives its parent
    ends with them.
    """
    for words in path.parent.glob(f"{escape(path.name)}.words*"):
        words.unlink(missing_ok=True)
    data = path.read_bytes()
    header = _header(path, data.split(b"\n", 1)[0])
    run, open_ = header.run, list[Unended]()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    known = set(whole.split(b"\n"))
    log = Log(path)
    try:
        for piece in parts(path):
            rows = [row for row in _rows(piece) if row]
            mine = [row for row in rows if _is_of(row, run)]
            for row in mine:
                if row not in known and isinstance(decode(row), Trial):
                    log.write_raw(row)
            open_ += [(_worker(path, piece), slot, at) for slot, at in _unended(header.plan, mine)]
            if len(mine) == len(rows):
                piece.unlink()
    finally:
        log.close()
    return open_


def _unended(plan: Plan, rows: Iterable[bytes]) -> list[tuple[Slot, int | None]]:
    """What a worker began, or may have begun, and did not end, by the lines of its part-file in their order."""
    models = {model: number for number, model in enumerate(plan.models)}
    ways = {way: number for number, way in enumerate(plan.ways)}
    found: dict[tuple[int, int, int, int], tuple[Slot, int | None]] = {}
    for line in map(decode, rows):
        if isinstance(line, Leased):
            found.setdefault(line.slot.id, (line.slot, None))
        elif isinstance(line, Begun):
            found[line.slot.id] = line.slot, line.at
        elif isinstance(line, Done):
            for slot in line.rest:
                found.pop(slot.id, None)
        elif isinstance(line, Trial):
            found.pop((models.get(line.model, -1), line.prompt, line.repeat, ways.get(line.way, -1)), None)
    return list(found.values())


def _worker(path: Path, piece: Path) -> int:
    """The number in the name of a part-file."""
    return int(piece.name.removeprefix(f"{path.name}.part").partition("-")[0])


class _Tagged(msgspec.Struct):
    run: str = ""


_tagged: Final = msgspec.json.Decoder(_Tagged)


def _is_of(row: bytes, run: str) -> bool:
    """Whether a line is of this run, or torn; one of the first version says of no line whose it is."""
    try:
        return _tagged.decode(row).run == run
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True


def lock(descriptor: int) -> bool:
    """Takes a file for this process until it closes it or ends, however it ends; False where another has it.

    Where a file system knows no locks there is none.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        take = partial(msvcrt.locking, descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        take = partial(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        take()
    except OSError as exc:
        return exc.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def is_held(path: Path) -> bool:
    """Whether a run is writing its file now, in this process or another."""
    with path.open("rb") as file:
        return not lock(file.fileno())


class _Opening(msgspec.Struct):
    kind: str
    schema: int


def _rows(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except OSError as exc:
        raise SetupError(f"{path} cannot be read ({exc.strerror}).") from exc


def _header(path: Path, row: bytes) -> Header:
    try:
        kind = msgspec.json.decode(row, type=_Opening)
        if kind.kind == "header" and kind.schema > SCHEMA:
            raise SetupError(f"{path} was written by a newer holystream_nb (schema {kind.schema}): update to read it.")
        return msgspec.json.decode(row, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise SetupError(f"{path} is not a file of a bench: its first line is no header.") from exc
