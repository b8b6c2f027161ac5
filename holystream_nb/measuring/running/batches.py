"""Workers on an executor that can be neither told nor heard while it works: one short batch after another."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

import msgspec

from ..values.record import Done, Ready, encoder
from ..values.schedule import Lease
from .guest import Batch, batch
from .intake import Word
from .pool import Member
from .remote import END_S, Ledger, failure_of, why
from .worker import Job

BATCH_S: Final = 1.0
"""A batch begins nothing after this time: nobody can tell it to stop."""


class Batches(Member):
    """A worker that gets what it is leased in batches; its records are here when each ends."""

    end_s = END_S

    def __init__(self, job: Job, wall_ns: int, submit: Callable[..., Future[bytes]], path: Path) -> None:
        super().__init__(job)
        self._ledger = Ledger(path, job)
        self._job = job
        self._wall = wall_ns
        self._submit = submit
        self._future: Future[bytes] | None = None
        self._failure: BaseException | None = None
        self._leases: list[Lease] = []
        self._sent: list[Lease] = []
        self._word = Word()
        self._is_closed = False

    def start(self) -> None:
        if not self._job.warmups:
            self.ready = Ready(self.worker)

    @property
    def is_running(self) -> bool:
        if self._is_closed or self._failure is not None:
            return self._future is not None and not self._future.done()
        return self.done is None

    def tell(self, word: Word) -> None:
        self._leases += word.leases
        before = self._word
        self._word = Word(
            start=before.start if word.start is None else word.start,
            until=before.until if word.until is None else word.until,
            stopped=tuple({*before.stopped, *word.stopped}),
            pauses={**before.pauses, **word.pauses},
            is_last=before.is_last or word.is_last,
        )

    def new_lines(self) -> list[bytes]:
        lines = self._ended()
        stopped = set(self._word.stopped)
        self._leases = [each for each in self._leases if (each.slot.model, each.slot.way) not in stopped]
        is_time = self._word.start is not None if self.ready else len(self._leases) >= self._job.warmups
        if self._future is None and self._failure is None and not self._is_closed and is_time:
            if self._leases:
                self._begin()
            elif self._word.is_last:
                lines.append(encoder.encode(Done(self.worker)))
        return lines

    def _begin(self) -> None:
        job = msgspec.structs.replace(self._job, warmups=0 if self.ready else self._job.warmups)
        word = msgspec.structs.replace(self._word, leases=tuple(self._leases), is_last=True)
        self._sent, self._leases = self._leases, []
        self._ledger.lease(self._sent)
        try:
            self._future = self._submit(batch, msgspec.json.encode(job), self._wall, msgspec.json.encode(word), BATCH_S)
        except RuntimeError as exc:  # it is broken, or was shut down
            self._failure, self._leases, self._sent = exc, self._sent, []

    def _ended(self) -> list[bytes]:
        if self._future is None or not self._future.done():
            return []
        future, self._future = self._future, None
        self._failure = failure_of(future)
        if self._failure is not None:
            return []
        found = msgspec.msgpack.decode(future.result(), type=Batch)
        self._ledger.hear(found.lines)
        self._ledger.give_back(found.rest)
        rest = {slot.id for slot in found.rest}
        self._leases = [lease for lease in self._sent if lease.slot.id in rest] + self._leases
        self._sent = []
        if self.ready is None:
            self.ready = Ready(self.worker, found.error, found.message)
        until = self._word.until
        is_over = until is not None and time.time_ns() - self._wall >= until
        if is_over and self._leases:
            ended = Done(self.worker, [lease.slot for lease in self._leases])
            self._leases = []
            return [*found.lines, encoder.encode(ended)]
        return found.lines

    def close(self) -> None:
        self._is_closed = True
        if self._future is not None and self._future.cancel():
            self._sent = []

    def kill(self) -> None:
        """A batch that runs cannot be reached: what it has is listed as lost."""

    def unheard(self, running: int) -> int:
        return len(self._sent)

    def forget(self) -> None:
        self._ledger.forget()

    def complaint(self) -> str:
        return why(self._failure, self.worker)
