"""The local pool: child processes, leased slots over their pipes, each appending to a part-file that is followed.

A child is our own module run by our own interpreter, so it makes no difference what the main module is: a notebook, a
script without `if __name__ == "__main__"`, a terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from ... import errors
from ...client.options import ClientOptions
from ...errors import HolystreamError
from ..values.journal import Follower, part
from ..values.record import Begun, Broken, Done, Line, Lost, Ready, Trial, Unknown, Warmup, decode, encoder
from ..values.schedule import Slot
from ..values.words import counted
from .child import handed_over
from .dispatch import Dispatcher, deal
from .intake import Word
from .worker import Job

Keep = Callable[[bytes, Trial | Lost], None]

FOLLOW_S: Final = 0.05
_AHEAD_S: Final = 1.0
"""A child has as much work as it begins in this time: a parent that draws for so long leaves no stream waiting."""

_DUE_S: Final = 2.0
_MOST: Final = 1_000_000
_QUICK_S: Final = 0.005
_HEADSTART_NS: Final = 50_000_000
_END_S: Final = 0.5
_PACKAGE: Final = __package__ or ""
# The child finds what this process finds (also a source tree put on the path by hand), but nothing in the folder it
# happens to run in: a notebook beside a file named json.py must not break it.
_CHILD: Final = (
    f"import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from {_PACKAGE}.child import main; main()"
)


class Child:
    """One worker process with its part-file."""

    def __init__(self, job: Job, path: Path, secret: Mapping[str, ClientOptions]) -> None:
        self.worker = job.worker
        self.streams = len(job.starts)
        self.part = part(path, self.worker, job.run)
        self.part.touch()
        self.ready: Ready | None = None
        self.done: Done | None = None
        self.broken: Broken | None = None
        self.is_gone = False
        self.ended: deque[float] = deque()
        """When its latest requests ended, in s of `time.monotonic`."""
        self.warm_s: float | None = None
        """How long its latest warm-up took."""
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
        self._write(msgspec.json.encode(self._job))
        with contextlib.suppress(OSError):  # as in _write, where a traceback would show the line
            self._process.stdin.write(handed_over(self._secret) + b"\n")
            self._process.stdin.flush()

    def tell(self, word: Word) -> None:
        if self.done is None and not self.is_gone:
            self._write(msgspec.json.encode(word))

    def lines(self) -> list[tuple[bytes, Line]]:
        """New lines of its part-file and what they say; what it says of itself is noted, and left out."""
        found: list[tuple[bytes, Line]] = []
        for line in self._follower.lines():
            known = decode(line)
            if isinstance(known, Ready):
                self.ready = known
            elif isinstance(known, Done):
                self.done = known
            elif isinstance(known, Broken):
                self.broken = known
            elif known is not None and not isinstance(known, Unknown):
                found.append((line, known))
        return found

    def close(self) -> None:
        """Closes its standard input, which ends it at once."""
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """Waits for its end, after `close`, or ends it by force."""
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()

    def complaint(self) -> str:
        """How it ended before its time: by what exception, or else its code and its last line on standard error."""
        if self.broken is not None:
            found = self.broken
            return f"worker {self.worker} ended by {found.error}: {found.message} ({found.where})"
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"worker {self.worker} ended with code {self._process.returncode}{f': {said[-1]}' if said else ''}"

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(OSError):  # it has died: `running` and `complaint` tell
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()


class Pool:
    """The children of one sitting, what they are leased, and what they say.

    warm: the warm-ups of each, as many as its job says. `keep` gets every record with its line as it is seen. `losses`
    gets a sentence for each child that died early.
    """

    def __init__(
        self, jobs: Sequence[Job], warm: Sequence[Slot], dispatcher: Dispatcher, keep: Keep, losses: list[str]
    ) -> None:
        self._losses = losses
        self._jobs = jobs
        self._warm = warm
        self._plan = jobs[0].plan
        self._origin = jobs[0].origin_ns
        self._dispatcher = dispatcher
        self._keep = keep
        self._children: list[Child] = []
        self._is_last = False

    async def run(self, path: Path, secret: Mapping[str, ClientOptions]) -> None:
        """Warms up and carries out what the dispatcher deals.

        Raises the error of a warm-up that nothing can follow, and what `keep` raises (a full disk). A cancellation ends
        the children within a second; what they had finished is kept, and what they had begun is noted.
        """
        try:
            for job in self._jobs:
                self._children.append(Child(job, path, secret))
            for child in self._children:
                child.prepare()
            await self._warm_up()
            self._check()
            start = time.perf_counter_ns() - self._origin + _HEADSTART_NS
            until = None if self._plan.duration is None else start + round(self._plan.duration * 1e9)
            for child in self._children:
                child.tell(Word(start=start, until=until))
            while any(child.done is None and not child.is_gone for child in self._children):
                self._follow()
                self._deal(start, until)
                await asyncio.sleep(FOLLOW_S)
        finally:
            self._end()

    async def _warm_up(self) -> None:
        """Leases each child its warm-ups as the limiters allow, and waits until all are ready, or dead."""
        due = {child.worker: deque(self._warm) for child in self._children}
        while True:
            for child in self._children:
                slots = due[child.worker]
                leases = []
                while slots and (lease := self._dispatcher.lease_warmup(child.worker, slots[0])) is not None:
                    leases.append(lease)
                    slots.popleft()
                if leases:
                    child.tell(Word(leases=tuple(leases)))
            self._follow()
            if all(child.ready is not None or child.is_gone for child in self._children):
                return
            await asyncio.sleep(FOLLOW_S)

    def _follow(self) -> None:
        """Takes in what children wrote, and what those that died had begun."""
        stopped = len(self._dispatcher.stopped)
        pauses = self._dispatcher.pauses
        for child in self._children:
            is_alive = child.running
            self._take_in(child)
            if not is_alive and child.done is None and not child.is_gone:
                child.is_gone = True
                self._lose(child, child.complaint())
        if len(self._dispatcher.stopped) > stopped or self._dispatcher.pauses != pauses:
            word = Word(stopped=tuple(self._dispatcher.stopped), pauses=self._dispatcher.pauses)
            for child in self._children:
                child.tell(word)

    def _take_in(self, child: Child) -> None:
        for line, known in child.lines():
            if isinstance(known, Begun):
                self._dispatcher.begun(child.worker, known.slot, known.at)
            elif isinstance(known, Trial):
                self._dispatcher.settle(known)
                self._keep(line, known)
                if isinstance(known, Warmup):
                    child.warm_s = (known.over - known.submitted) / 1e9
                else:
                    child.ended.append(time.monotonic())
        if child.done is not None:
            self._dispatcher.give_back(child.worker, child.done.rest)

    def _lose(self, child: Child, why: str) -> None:
        lost = self._dispatcher.lost(child.worker, why)
        for record in lost:
            self._keep(encoder.encode(record), record)
        in_flight = f", and {counted(len(lost), 'request')} in flight with it" if lost else ""
        self._losses.append(f"{why}{in_flight}")

    # What children get

    def _deal(self, start: int, until: int | None) -> None:
        now = time.perf_counter_ns() - self._origin
        if until is not None and now >= until:
            self._dispatcher.close()
        alive = [child for child in self._children if child.done is None and not child.is_gone]
        if self._dispatcher.closed not in ("", "duration") and not self._is_last:
            for child in alive:
                child.tell(Word(start=start, until=now))
        if self._plan.rate is not None:
            due_s = (now - start) / 1e9 + _DUE_S
            due_s = due_s if self._plan.duration is None else min(due_s, self._plan.duration)
            wanted = {child.worker: _MOST for child in alive}
        else:
            due_s = math.inf
            wanted = {child.worker: self._wanted(child, len(alive)) for child in alive}
        for worker, leases in deal(self._dispatcher, wanted, due_s).items():
            child = next(each for each in alive if each.worker == worker)
            child.tell(Word(leases=tuple(leases)))
        if not self._is_last and self._dispatcher.has_ended:
            self._is_last = True
            for child in alive:
                child.tell(Word(is_last=True))

    def _wanted(self, child: Child, alive: int) -> int:
        """How many more a child should have: one for each idle stream, and what it begins within the next second.

        Towards the end less, so that no stream is idle while another child has slots left (guided self-scheduling).
        """
        now = time.monotonic()
        while child.ended and child.ended[0] < now - _AHEAD_S:
            child.ended.popleft()
        rate = float(len(child.ended))
        if not child.ended:
            rate = child.streams / max(child.warm_s, _QUICK_S) if child.warm_s is not None else 10.0 * child.streams
        left = self._dispatcher.left
        ahead = (rate if left is None else min(rate, left / (2 * alive))) / self._plan.in_a_row
        idle = child.streams - self._dispatcher.running(child.worker)
        return idle + max(1, math.ceil(ahead)) - self._dispatcher.waiting(child.worker)

    def _check(self) -> None:
        """Raises what makes it useless to begin: a refused key, an unknown model, a child that never came up."""
        for child in self._children:
            if child.ready is None:
                raise HolystreamError(f"A worker process did not start: {child.complaint()}.")
            if child.ready.error:
                raise getattr(errors, child.ready.error, HolystreamError)(child.ready.message)

    def _end(self) -> None:
        for child in self._children:
            child.close()
        for child in self._children:
            child.end()
        if isinstance(sys.exception(), OSError):
            return  # what `keep` could not write is still in the part-files
        for child in self._children:
            self._take_in(child)
            if not child.is_gone and child.done is None:
                for record in self._dispatcher.lost(child.worker, "the run was stopped"):
                    self._keep(encoder.encode(record), record)
            child.part.unlink(missing_ok=True)


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
