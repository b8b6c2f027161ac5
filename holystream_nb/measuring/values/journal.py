"""The file of a run on the disk: appended to, followed while it grows, read whole or torn, mended."""

from __future__ import annotations

import os
from glob import escape
from pathlib import Path

import msgspec

from ...errors import SetupError
from .record import SCHEMA, Calibration, Contents, End, Header, Line, Session, Trial, Trip, Warmup, decode, encoder


class Log:
    """A file to which whole lines are appended; each is with the system when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, line: Line) -> None:
        """Appends a line; raises OSError (a full disk)."""
        self.write_raw(encoder.encode(line))

    def write_raw(self, line: bytes) -> None:
        data = memoryview(line + b"\n")
        while data:
            data = data[self._file.write(data) :]

    def close(self) -> None:
        self._file.close()


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


def part(path: Path, worker: int) -> Path:
    """The part-file of a worker."""
    return path.with_name(f"{path.name}.part{worker}")


def parts(path: Path) -> list[Path]:
    """The part-files that lie beside a file: what a killed kernel did not take over."""
    return sorted(path.parent.glob(f"{escape(path.name)}.part*"))


def read(path: Path) -> Contents:
    """The contents of a file and of the part-files beside it; a trial that stands twice counts once.

    Raises SetupError for a file that is none of ours, or a newer one.
    """
    head, *rows = _rows(path)
    header = _header(path, head)
    for piece in parts(path):
        rows += _rows(piece)
    lines = [decode(row) for row in dict.fromkeys(rows) if row]
    trials: dict[tuple[str, str, int, int], Trial] = {}
    for line in lines:
        if type(line) is Trial:
            trials.setdefault((line.model, line.way, line.prompt, line.repeat), line)
    return Contents(
        header=header,
        sessions=(header.session, *(line for line in lines if isinstance(line, Session))),
        trials=tuple(trials.values()),
        warmups=tuple(line for line in lines if isinstance(line, Warmup)),
        calibration=next((line for line in reversed(lines) if isinstance(line, Calibration)), None),
        ends=tuple(line for line in lines if isinstance(line, End)),
        torn=sum(line is None for line in lines),
        trips=tuple(line for line in lines if isinstance(line, Trip)),
    )


def mend(path: Path) -> None:
    """Makes a file ready for more: a torn last line goes, and what part-files hold comes in."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    known = set(whole.split(b"\n"))
    log = Log(path)
    try:
        for piece in parts(path):
            for row in dict.fromkeys(_rows(piece)):
                if row not in known and isinstance(decode(row), Trial):
                    log.write_raw(row)
            piece.unlink()
    finally:
        log.close()


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
