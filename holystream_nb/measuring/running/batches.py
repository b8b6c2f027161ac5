"""A foreign pool: any `concurrent.futures.Executor`, in short batches.

One lane stands for each worker: it is leased about 5 s of work, submits it, records what comes back, and goes on. A job
carries the name of a key's variable, never the key: the machine it runs on has its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Final

import msgspec

from ... import errors
from ...client.client import Client
from ...errors import HolystreamError, SetupError
from ...sync import run as run_here
from ..values.journal import encoded
from ..values.record import Begun, Lost, Trial, Warmup, decode, encoder
from ..values.schedule import Lease, Slot
from .dispatch import Dispatcher, deal
from .intake import Intake, Word
from .worker import Job, Worker

BATCH_S: Final = 5.0
_LEAD_S: Final = 0.5
_LOOK_S: Final = 0.1

Keep = Callable[[bytes, Trial | Lost], None]


class Batch(msgspec.Struct, frozen=True):
    """What comes back: records as lines of the file, and what was not begun.

    `error` and `message` are those of a warm-up that nothing can follow.
    """

    lines: list[bytes]
    rest: list[Slot]
    error: str = ""
    message: str = ""


async def run(
    jobs: Sequence[Job],
    warm: Sequence[Slot],
    wall_ns: int,
    executor: Executor,
    dispatcher: Dispatcher,
    keep: Keep,
    losses: list[str],
    *,
    batch_s: float = BATCH_S,
) -> None:
    """Runs a lane of batches for each job; `keep` gets every record's line when its batch returns.

    `wall_ns` is the session's anchor: machines of a cluster share no other clock. `losses` gets a sentence for each
    batch that was lost. A cancellation waits for the running batches and keeps them; a second one does not wait.
    """
    if isinstance(executor, ThreadPoolExecutor):
        raise SetupError("Threads share this process with the drawing: give an executor of processes, or none.")
    start = time.time_ns() - wall_ns + round(_LEAD_S * 1e9)
    until = None if jobs[0].plan.duration is None else start + round(jobs[0].plan.duration * 1e9)

    def submit(job: Job, leases: Sequence[Lease]) -> Future[bytes]:
        word = Word(start=start, until=until, leases=tuple(leases), is_last=True)
        return executor.submit(batch, msgspec.json.encode(job), wall_ns, msgspec.json.encode(word), batch_s)

    lanes = [_Lane(job, dispatcher, submit, keep, losses) for job in jobs]
    run = _closed if jobs[0].starts else _open
    running = [asyncio.ensure_future(each) for each in run(lanes, warm, wall_ns, start, until, batch_s)]
    try:
        await asyncio.gather(*running)
    except BaseException:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        raise


class _Lane:
    """The batches of one worker."""

    def __init__(
        self,
        job: Job,
        dispatcher: Dispatcher,
        submit: Callable[[Job, Sequence[Lease]], Future[bytes]],
        keep: Keep,
        losses: list[str],
    ) -> None:
        self.job = job
        self.dispatcher = dispatcher
        self._send = submit
        self._keep = keep
        self._losses = losses
        self.is_gone = False
        self.made = 0

    async def warm_leases(self, warm: Sequence[Slot]) -> list[Lease]:
        leases = []
        for slot in warm:
            while (lease := self.dispatcher.lease_warmup(self.job.worker, slot)) is None:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
            leases.append(lease)
        return leases

    async def do(self, warm: Sequence[Lease], leases: Sequence[Lease], starts: tuple[float, ...]) -> None:
        """One batch, with its records kept; one that is lost is noted."""
        job = msgspec.structs.replace(self.job, warmups=len(warm), starts=starts)
        try:
            waiting = asyncio.ensure_future(_result(self._send(job, [*warm, *leases])))
        except RuntimeError as exc:  # the pool is broken
            self._lose(exc)
            return
        try:
            data = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            # Not `future.cancel()`: Dask's says yes also for a batch that runs, whose records would be lost.
            self._take(await waiting)
            raise
        self._take(data)

    def _take(self, data: bytes | BaseException) -> None:
        if isinstance(data, HolystreamError):
            raise data
        if isinstance(data, BaseException):
            self._lose(data)
            return
        found = msgspec.msgpack.decode(data, type=Batch)
        for line in found.lines:
            known = decode(line)
            if isinstance(known, Begun):
                self.dispatcher.begun(self.job.worker, known.slot, known.at)
            elif isinstance(known, Trial):
                self.dispatcher.settle(known)
                self._keep(line, known)
                self.made += not isinstance(known, Warmup)
        self.dispatcher.give_back(self.job.worker, found.rest)
        if found.error:
            raise getattr(errors, found.error, HolystreamError)(found.message)

    def _lose(self, exc: BaseException) -> None:
        self.is_gone = True
        why = f"a batch of worker {self.job.worker} was lost ({type(exc).__name__}: {exc})"
        for record in self.dispatcher.lost(self.job.worker, why, all_begun=True):
            self._keep(encoder.encode(record), record)
        self._losses.append(why)


def _closed(
    lanes: Sequence[_Lane], warm: Sequence[Slot], wall_ns: int, start: int, until: int | None, batch_s: float
) -> list[asyncio.Future[None]]:
    async def go(lane: _Lane) -> None:
        warming, starts = await lane.warm_leases(warm), lane.job.starts
        most = 4 * len(starts)
        while not lane.is_gone and not lane.dispatcher.has_ended:
            if until is not None and time.time_ns() - wall_ns >= until:
                lane.dispatcher.close()
            leases = lane.dispatcher.lease(lane.job.worker, min(most, _part(lane, len(lanes))))
            if not leases and not warming:  # where nothing is known of its cost, only the warm-ups go first
                await asyncio.sleep(_LOOK_S)
                continue
            before = lane.made
            await lane.do(warming, leases, starts)
            warming, starts = [], (0.0,) * len(starts)
            most = 2 * max(len(starts), lane.made - before)

    return [asyncio.ensure_future(go(lane)) for lane in lanes]


def _part(lane: _Lane, lanes: int) -> int:
    """A lane's part of what is left, so that the others have theirs."""
    left = lane.dispatcher.left
    return 10**6 if left is None else max(1, -(-left // lanes))


def _open(
    lanes: Sequence[_Lane], warm: Sequence[Slot], wall_ns: int, start: int, until: int | None, batch_s: float
) -> list[asyncio.Future[None]]:
    """Arrivals in slices, each submitted shortly before its first: a slice does not wait for another."""

    async def go() -> None:
        dispatcher = lanes[0].dispatcher
        warming = {lane.job.worker: await lane.warm_leases(warm) for lane in lanes}
        running: list[asyncio.Task[None]] = []
        try:
            while not dispatcher.has_ended:
                now = time.time_ns() - wall_ns
                if until is not None and now >= until:
                    dispatcher.close()
                due_s = (now - start) / 1e9 + _LEAD_S + batch_s
                alive = {lane.job.worker: lane for lane in lanes if not lane.is_gone}
                dealt = deal(dispatcher, dict.fromkeys(alive, 10**6), due_s)
                for worker in dealt | warming:
                    work = lanes[worker].do(warming.pop(worker, []), dealt.get(worker, []), ())
                    running.append(asyncio.create_task(work))
                if not alive:
                    break
                await asyncio.sleep(_LOOK_S)
                for task in running:
                    if task.done():
                        task.result()
            await asyncio.gather(*running)
        except BaseException:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            raise

    return [asyncio.ensure_future(go())]


async def _result(future: Future[bytes]) -> bytes | BaseException:
    """A future's result, or its exception as a value: a dead worker must not end the others."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        raise
    except BaseException as exc:
        return exc


# In a worker of the executor


class _Here(threading.local):
    """What a thread of a worker keeps from batch to batch: the clients of one run."""

    def __init__(self) -> None:
        self.run: tuple[str, int] | None = None
        self.clients: dict[str, Client] = {}


_here: Final = _Here()


def batch(job: bytes, wall_ns: int, word: bytes, batch_s: float) -> bytes:
    """Does one batch in this process. Connections of one run stay open from batch to batch."""
    asked = msgspec.json.decode(job, type=Job)
    return run_here(_batch(asked, wall_ns, msgspec.json.decode(word, type=Word), batch_s))


async def _batch(job: Job, wall_ns: int, word: Word, batch_s: float) -> bytes:
    if _here.run != (job.plan.hash, wall_ns):
        for client in _here.clients.values():
            await client.aclose()
        _here.run, _here.clients = (job.plan.hash, wall_ns), {}
    origin = time.perf_counter_ns() - (time.time_ns() - wall_ns)
    records: list[Begun | Trial | Warmup] = []
    intake = Intake()
    intake.hear(word)
    job = msgspec.structs.replace(job, origin_ns=origin)
    worker = Worker(job, records.append, _here.clients, intake)
    ready = await worker.warm_up()
    if not ready.error:
        start = word.start or 0
        if job.starts:
            start = time.perf_counter_ns() - origin
            intake.hear(Word(start=start, until=word.until))
            intake.ends = start + round(batch_s * 1e9)
        await worker.run(start)
    lines = [encoded(record, job.run) for record in records]
    return msgspec.msgpack.encode(Batch(lines, list(intake.left()), ready.error, ready.message))
