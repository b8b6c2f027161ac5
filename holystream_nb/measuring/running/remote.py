"""Workers on a foreign executor, as their parent sees them: one long task each, told and heard while it works."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from ..values.journal import Follower, Log, part
from ..values.record import Done, Leased
from ..values.schedule import Lease, Slot
from .guest import AGAIN, Post, hear, serve
from .intake import Word
from .pool import Member
from .worker import Job

Submit = Callable[..., "Future[bytes]"]

END_S: Final = 1.5
GO_ON: Final = "go on with a new one and resume="

_BEAT_S: Final = 2.0
_LOOK_S: Final = 0.5
BEGIN_S: Final = 30.0
"""A worker that the executor has not begun by then has no place there: the others do its part."""

_LAST_WORDS_S: Final = 5.0
_TRIES: Final = 3
"""How often in a row a worker may not be reached before it counts as lost."""


class Remote(Member):
    """A worker that is one task of an executor."""

    end_s = END_S

    def __init__(self, job: Job, wall_ns: int, submit: Submit) -> None:
        super().__init__(job)
        self._job = job
        self._wall = wall_ns
        self._submit = submit
        self._future: Future[bytes] | None = None
        self._refused: Exception | None = None
        self._begun = time.monotonic()
        self._ended: float | None = None
        self._beat = 0.0
        self._is_heard = False

    @abstractmethod
    def post(self) -> Post: ...

    @abstractmethod
    def send(self, words: list[bytes]) -> None:
        """Hands words over; none is a sign of life."""

    def start(self) -> None:
        self._begun = time.monotonic()
        try:
            self._future = self._submit(
                serve, msgspec.json.encode(self._job), self._wall, msgspec.json.encode(self.post())
            )
        except RuntimeError as exc:  # it is broken, or was shut down
            self._refused = exc

    def tell(self, word: Word) -> None:
        if self.done is None and not self.is_gone:
            self.send([msgspec.json.encode(word)])

    @property
    def is_running(self) -> bool:
        now = time.monotonic()
        if self.is_gone or self._future is None or self.done is not None or self.broken is not None or self.is_late:
            return False
        if now - self._beat > _BEAT_S:
            self._beat = now
            self.send([])
        if not self._future.done():
            return True
        self._ended = self._ended or now
        return self._failure is None and self._result != AGAIN and now - self._ended < _LAST_WORDS_S

    @property
    def is_late(self) -> bool:
        """Whether the executor did not begin it in time."""
        return not self._is_heard and time.monotonic() - self._begun > BEGIN_S

    @property
    def _failure(self) -> BaseException | None:
        return self._refused if self._future is None or not self._future.done() else failure_of(self._future)

    @property
    def _result(self) -> bytes:
        if self._future is None or not self._future.done() or self._failure is not None:
            return b""
        return self._future.result()

    def close(self) -> None:
        with suppress(Exception):  # it may be gone with its executor
            self.tell(Word(is_stop=True))

    def kill(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.cancel()

    def complaint(self) -> str:
        if self.broken is not None:
            return self.exception()
        if self.is_late and self._failure is None:
            return f"worker {self.worker} was not begun by the executor within {BEGIN_S:g} s: its workers are busy"
        if self._result == AGAIN:
            return f"worker {self.worker} was lost, and the executor began it again, which was not let to send anything"
        return why(self._failure, self.worker)


def failure_of(future: Future[bytes]) -> BaseException | None:
    """Why a future that has ended has no result."""
    try:
        return future.exception()
    except CancelledError as exc:
        return exc


def why(failure: BaseException | None, worker: int) -> str:
    """What became of a task, in words; what is of the whole executor names no worker."""
    if failure is None:
        return f"worker {worker} of the executor was lost"
    if isinstance(failure, CancelledError | asyncio.CancelledError):
        return f"the executor gave the work up, its scheduler or its workers are gone ({GO_ON})"
    if isinstance(failure, BrokenExecutor | RuntimeError) and "ngine" not in type(failure).__name__:
        return f"the pool broke ({type(failure).__name__}: {GO_ON})"
    said = str(failure).strip().splitlines()
    return f"worker {worker} of the executor was lost ({type(failure).__name__}{f': {said[0]}' if said else ''})"


class OverFiles(Remote):
    """Over two files beside the run's, which worker and parent both see: no kill takes a record that is there."""

    def __init__(self, job: Job, wall_ns: int, submit: Submit, path: Path) -> None:
        super().__init__(job, wall_ns, submit)
        self._part = part(path, job.worker, job.run)
        self._words = path.with_name(f"{path.name}.words{job.worker}-{job.run}-{job.session}")
        self._log: Log | None = None
        self._follower = Follower(self._part)

    def post(self) -> Post:
        self._words.write_bytes(b"")
        self._log = Log(self._words)
        return Post(part=str(self._part), words=str(self._words))

    def send(self, words: list[bytes]) -> None:
        if self._log is None:
            return
        for word in words:
            self._log.write_raw(word)
        if not words:
            os.utime(self._words)

    def new_lines(self) -> list[bytes]:
        self._is_heard = self._is_heard or self._part.exists()
        return self._follower.lines()

    def forget(self) -> None:
        if self._log is not None:
            self._log.close()
        self._words.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)


class Ledger:
    """The part-file of a worker that does not see the run's folder, written by its parent, should that be killed."""

    def __init__(self, path: Path, job: Job) -> None:
        self._worker = job.worker
        self._path = part(path, job.worker, job.run)
        self._log = Log(self._path, job.run)

    def lease(self, leases: Iterable[Lease]) -> None:
        """These may be begun before anybody hears of it."""
        for lease in leases:
            self._log.write(Leased(lease.slot))

    def hear(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._log.write_raw(line)

    def give_back(self, slots: list[Slot]) -> None:
        """These were not begun."""
        self._log.write(Done(self._worker, slots))

    def forget(self) -> None:
        self._log.close()
        self._path.unlink(missing_ok=True)


class OverDask(Remote):
    """Pinned to one worker of a Dask cluster: it is told by calls into that process, and heard by Dask's events."""

    def __init__(self, job: Job, wall_ns: int, submit: Submit, path: Path, client: Any, address: str) -> None:
        super().__init__(job, wall_ns, submit)
        self._ledger = Ledger(path, job)
        self._client = client
        self._address = address
        self._topic = f"holystream {job.run} {job.session} {job.worker}"
        self._events: deque[bytes] = deque()
        self._words: list[bytes] = []
        self._told = 0
        self._in_call = self._failures = 0
        self._call: Future[Any] | None = None
        self._asked: Future[Any] | None = None
        self._looked = time.monotonic()
        self._is_there = True

    def post(self) -> Post:
        self._client.subscribe_topic(self._topic, lambda event: self._events.append(event[1]))
        return Post(topic=self._topic)

    def tell(self, word: Word) -> None:
        self._ledger.lease(word.leases)
        super().tell(word)

    def send(self, words: list[bytes]) -> None:
        """One call at a time, with all there is to say by then, in order; one that fails is made again."""
        self._words += words or [msgspec.json.encode(Word())]
        self._flush()

    def _flush(self) -> None:
        if self._call is not None:
            if not self._call.done():
                return
            if failure_of(self._call) is None and self._address in self._call.result():
                self._told, self._failures = self._told + self._in_call, 0
                del self._words[: self._in_call]
            else:
                self._failures += 1
            self._call = None
        if self._words and self._is_there and self._failures < _TRIES:
            self._in_call = len(self._words)
            run = self._client.run
            self._call = self._in_its_loop(
                run,
                hear,
                self._topic,
                self._told,
                list(self._words),
                workers=[self._address],
                on_error="ignore",
                asynchronous=True,
            )

    def _in_its_loop(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        async def go() -> Any:
            return await call(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(go(), self._client.loop.asyncio_loop)

    @property
    def is_running(self) -> bool:
        self._flush()
        return super().is_running and self._is_there and self._failures < _TRIES

    def new_lines(self) -> list[bytes]:
        self._look()
        found = []
        while self._events:
            self._is_heard = True
            if line := self._events.popleft():
                found.append(line)
        self._ledger.hear(found)
        return found

    def _look(self) -> None:
        """Whether its worker is still there: Dask itself would wait for it for ever."""
        if self._asked is not None and self._asked.done():
            if self._asked.exception() is None and self._address not in self._asked.result():
                self._is_there = False
            self._asked = None
        if self._asked is None and time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            self._asked = self._in_its_loop(self._client.scheduler.ncores, workers=[self._address])

    def unheard(self, running: int) -> int:
        """An event that was on its way when its worker was killed is lost: each idle stream may have begun one more.

        Where the scheduler is gone, or does not answer, the worker may live, and begin all that it was leased.
        """
        if self.done is not None:
            return 0
        return sys.maxsize if self._is_there else max(0, (self.streams or running) - running)

    def forget(self) -> None:
        """Dask makes anew what somebody still holds when its worker goes."""
        self._future = None
        self._ledger.forget()
        with suppress(Exception):  # its scheduler may be gone
            self._client.unsubscribe_topic(self._topic)
