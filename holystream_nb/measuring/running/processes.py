"""The local workers: child processes that get words over their pipes, each appending to a part-file that is followed.

A child is our own module run by our own interpreter, so it makes no difference what the main module is: a notebook, a
script without `if __name__ == "__main__"`, a terminal.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from ...client.options import ClientOptions
from ..values.journal import Follower, part
from .child import handed_over
from .intake import Word
from .pool import Member
from .worker import Job

_PACKAGE: Final = __package__ or ""
# The child finds what this process finds (also a source tree put on the path by hand), but nothing in the folder it
# happens to run in: a notebook beside a file named json.py must not break it.
_CHILD: Final = (
    f"import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from {_PACKAGE}.child import main; main()"
)


class Child(Member):
    """One worker process with its part-file. `start` hands over the job, and what is secret through the pipe alone."""

    end_s = 0.5

    def __init__(self, job: Job, path: Path, secret: Mapping[str, ClientOptions]) -> None:
        super().__init__(job)
        self._part = part(path, job.worker, job.run)
        self._job = msgspec.structs.replace(job, path=str(self._part))
        self._secret = secret
        self._follower = Follower(self._part)
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None

    def start(self) -> None:
        self._part.touch()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # closed by kill()
        self._process = _spawn(self._complaints)
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        self._write(msgspec.json.encode(self._job))
        with contextlib.suppress(OSError):  # as in _write, where a traceback would show the line
            self._process.stdin.write(handed_over(self._secret) + b"\n")
            self._process.stdin.flush()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def tell(self, word: Word) -> None:
        if self.done is None and not self.is_gone:
            self._write(msgspec.json.encode(word))

    def new_lines(self) -> list[bytes]:
        return self._follower.lines()

    def close(self) -> None:
        """Closes its standard input, which ends it at once."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def kill(self) -> None:
        if self._process is not None and self._complaints is not None:
            if self.is_running:
                self._process.kill()
            self._process.wait()
            self._complaints.close()

    def forget(self) -> None:
        self._part.unlink(missing_ok=True)

    def complaint(self) -> str:
        """How it ended before its time: by what exception, or else its code and its last line on standard error."""
        if self.broken is not None:
            return self.exception()
        assert self._process is not None and self._complaints is not None  # noqa: S101, PT018  # it was started
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"worker {self.worker} ended with code {self._process.returncode}{f': {said[-1]}' if said else ''}"

    def _write(self, line: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None  # noqa: S101, PT018
        with contextlib.suppress(OSError):  # it has died: `is_running` and `complaint` tell
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()


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
