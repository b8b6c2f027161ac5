"""The local pool: child processes, each appending to its own part-file, which the parent follows.

A child is our own module run by our own interpreter, so it makes no difference what the main module is: a notebook, a
script without `if __name__ == "__main__"`, a terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from ... import errors
from ...client.options import ClientOptions
from ...errors import HolystreamError
from ..values.journal import Follower, part
from ..values.record import Done, Ready, decode
from .worker import Job, handed_over

FOLLOW_S: Final = 0.05
_HEADSTART_NS: Final = 50_000_000
_END_S: Final = 0.5
_PACKAGE: Final = __package__ or ""
# The child finds what this process finds (also a source tree put on the path by hand), but nothing in the folder it
# happens to run in: a notebook beside a file named json.py must not break it.
_CHILD: Final = (
    f"import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from {_PACKAGE}.worker import main; main()"
)


class Child:
    """One worker process with its part-file."""

    def __init__(self, job: Job, path: Path, secret: Mapping[str, ClientOptions]) -> None:
        self.worker = job.share.worker
        self.part = part(path, self.worker)
        self.part.touch()
        self.ready: Ready | None = None
        self.done: Done | None = None
        self._follower = Follower(self.part)
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by end()
        self._process = _spawn(self._complaints)
        self._job = msgspec.structs.replace(job, path=str(self.part))
        self._secret = secret

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def prepare(self) -> None:
        """Hands over the job, and what is secret through the pipe alone: the child warms up, and then waits."""
        assert self._process.stdin is not None  # noqa: S101
        self._tell(msgspec.json.encode(self._job))
        with contextlib.suppress(OSError):  # as in _tell, where a traceback would show the line
            self._process.stdin.write(handed_over(self._secret) + b"\n")
            self._process.stdin.flush()

    def begin(self, start_ns: int) -> None:
        self._tell(msgspec.json.encode({"start_ns": start_ns}))

    def lines(self) -> list[bytes]:
        """New lines of its part-file that are records; Ready and Done are taken out."""
        records = []
        for line in self._follower.lines():
            known = decode(line)
            if isinstance(known, Ready):
                self.ready = known
            elif isinstance(known, Done):
                self.done = known
            else:
                records.append(line)
        return records

    def end(self) -> None:
        """Closes its standard input, which ends it at once, or ends it by force."""
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()

    def complaint(self) -> str:
        """The last line it wrote to standard error, and how it ended."""
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"worker {self.worker} ended with code {self._process.returncode}{f': {said[-1]}' if said else ''}"

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # it has died: `running` and `complaint` tell
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()


async def run(
    jobs: Sequence[Job], path: Path, keep: Callable[[bytes], None], secret: Mapping[str, ClientOptions] | None = None
) -> tuple[str, list[str]]:
    """Runs a child for each job; `keep` gets every record's line as it is seen.

    `secret` has what is secret of how each provider is reached: it goes through the children's standard input.

    Returns why it ended (`complete` or `max_cost`), and a sentence for every child that died before its end. Raises the
    error of a warm-up that nothing can follow, and what `keep` raises (a full disk). A cancellation ends the children
    within a second; what they had finished is kept.
    """
    children: list[Child] = []
    try:
        for job in jobs:
            children.append(Child(job, path, secret or {}))
        for child in children:
            child.prepare()
        await _follow(children, keep, lambda child: child.ready is not None)
        _check(children)
        start = time.perf_counter_ns() + _HEADSTART_NS
        for child in children:
            child.begin(start)
        await _follow(children, keep, lambda child: child.done is not None)
        deaths = [child.complaint() for child in children if child.done is None]
        reasons = {child.done.reason for child in children if child.done is not None}
        return ("max_cost" if "max_cost" in reasons else "complete"), deaths
    finally:
        for child in children:
            child.end()
        if not isinstance(sys.exception(), OSError):  # what `keep` could not write is still in the part-files
            for child in children:
                for line in child.lines():
                    keep(line)
                child.part.unlink(missing_ok=True)


async def _follow(children: Sequence[Child], keep: Callable[[bytes], None], arrived: Callable[[Child], bool]) -> None:
    """Hands on what children write until each has arrived somewhere, or died."""
    while True:
        alive = [child.running for child in children]
        for child in children:
            for line in child.lines():
                keep(line)
        if all(arrived(child) or not lives for child, lives in zip(children, alive, strict=True)):
            return
        await asyncio.sleep(FOLLOW_S)


def _check(children: Sequence[Child]) -> None:
    """Raises what makes it useless to begin: a refused key, an unknown model, a child that never came up."""
    for child in children:
        if child.ready is None:
            raise HolystreamError(f"A worker process did not start: {child.complaint()}.")
        if child.ready.error:
            raise getattr(errors, child.ready.error, HolystreamError)(child.ready.message)


def _spawn(complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    """The child, in a session of its own: an interrupt of the kernel goes to its whole process group."""
    root = str(Path(__file__).resolve().parents[_PACKAGE.count(".") + 1])
    path = [entry for entry in sys.path if entry]
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
    return subprocess.Popen(  # noqa: S603  # our own module, by our own interpreter
        [sys.executable, "-P", "-c", _CHILD, json.dumps([*path, root])],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        start_new_session=sys.platform != "win32",
        creationflags=flags,
    )
