"""A foreign pool: any `concurrent.futures.Executor`, in short batches.

One lane stands for each worker: it submits about 5 s of work, records what comes back, and goes on. A job carries the
name of a key's variable, never the key: the machine it runs on has its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Final

import msgspec

from ... import errors
from ...client.client import Client
from ...errors import HolystreamError, SetupError
from ...sync import run as run_here
from ..values.record import Trial, Warmup, encoder
from ..values.schedule import Share, Slot
from .worker import Job, Worker

BATCH_S: Final = 5.0
_LEAD_S: Final = 0.5


class Batch(msgspec.Struct, frozen=True):
    """What comes back: records as lines of the file, USD spent, what was not begun, and why it ended.

    `error` and `message` are those of a warm-up that nothing can follow.
    """

    lines: list[bytes]
    spent: Decimal
    rest: list[Slot]
    reason: str
    error: str = ""
    message: str = ""


async def run(
    jobs: Sequence[Job],
    wall_ns: int,
    executor: Executor,
    keep: Callable[[bytes], None],
    *,
    batch_s: float = BATCH_S,
) -> tuple[str, list[str]]:
    """Runs each job as a lane of batches; `keep` gets every record's line when its batch returns.

    `wall_ns` is the session's anchor: machines of a cluster share no other clock. Returns why it ended (`complete` or
    `max_cost`) and a sentence for each batch that was lost. A cancellation waits for the running batches and keeps
    them; a second one does not wait.
    """
    if isinstance(executor, ThreadPoolExecutor):
        raise SetupError("Threads share this process with the drawing: give an executor of processes, or none.")
    start_s = time.time() - wall_ns / 1e9 + _LEAD_S

    def submit(job: bytes, start_s: float) -> Future[bytes]:
        return executor.submit(batch, job, wall_ns, start_s, batch_s)

    lanes = [_Lane(job, wall_ns, start_s, batch_s, submit, keep) for job in jobs]
    running = [asyncio.ensure_future(lane.run()) for lane in lanes]
    try:
        ends = await asyncio.gather(*running)
    except BaseException:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        raise
    reasons = [reason for reason, _ in ends]
    losses = [loss for _, lost in ends for loss in lost]
    return ("max_cost" if "max_cost" in reasons else "complete"), losses


class _Lane:
    """The batches of one worker's share, one after another (closed loop) or each at its time (open loop)."""

    def __init__(
        self,
        job: Job,
        wall_ns: int,
        start_s: float,
        batch_s: float,
        submit: Callable[[bytes, float], Future[bytes]],
        keep: Callable[[bytes], None],
    ) -> None:
        self._job = job
        self._wall_ns = wall_ns
        self._start_s = start_s
        self._batch_s = batch_s
        self._send = submit
        self._keep = keep
        self._losses: list[str] = []

    async def run(self) -> tuple[str, list[str]]:
        share = self._job.share
        reason = await (self._closed(list(share.slots)) if share.starts else self._open(share.slots))
        return reason, self._losses

    async def _closed(self, slots: list[Slot]) -> str:
        starts, left = self._job.share.starts, self._job.budget
        while slots:
            batch = await self._returned(self._submit(starts, slots, left))
            if batch is None:
                return "complete"
            if batch.reason == "max_cost":
                return "max_cost"
            slots, starts = batch.rest, (0.0,) * len(starts)
            left = None if left is None else left - batch.spent
        return "complete"

    async def _open(self, slots: Sequence[Slot]) -> str:
        """Arrivals in slices of 5 s, each submitted shortly before its first: a slice does not wait for another.

        Slices overlap, so each gets its part of the budget beforehand.
        """
        budget = self._job.budget
        running: list[asyncio.Task[Batch | None]] = []
        try:
            for at in range(int(slots[-1].wait_s // self._batch_s) + 1):
                due = tuple(slot for slot in slots if int(slot.wait_s // self._batch_s) == at)
                if due:
                    now = time.time() - self._wall_ns / 1e9
                    await asyncio.sleep(max(0.0, self._start_s + due[0].wait_s - _LEAD_S - now))
                    part = None if budget is None else budget * len(due) / len(slots)
                    future = self._submit((), due, part)
                    running.append(asyncio.ensure_future(self._returned(future)))
            batches = await asyncio.gather(*running)
        except asyncio.CancelledError:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            raise
        return "max_cost" if any(batch is not None and batch.reason == "max_cost" for batch in batches) else "complete"

    def _submit(self, starts: tuple[float, ...], slots: Sequence[Slot], budget: Decimal | None) -> Future[bytes]:
        share = Share(self._job.share.worker, starts, tuple(slots))
        job = msgspec.structs.replace(self._job, share=share, budget=budget)
        return self._send(msgspec.json.encode(job), self._start_s)

    async def _returned(self, future: Future[bytes]) -> Batch | None:
        """The batch, with its records kept; None for one that was lost, which is noted."""
        waiting = asyncio.ensure_future(_result(future))
        try:
            data = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            # Not `future.cancel()`: Dask's says yes also for a batch that runs, whose records would be lost.
            self._take(await waiting)
            raise
        return self._take(data)

    def _take(self, data: bytes | BaseException) -> Batch | None:
        if isinstance(data, HolystreamError):
            raise data
        if isinstance(data, BaseException):
            self._losses.append(f"a batch of worker {self._job.share.worker} was lost ({type(data).__name__}: {data})")
            return None
        found = msgspec.msgpack.decode(data, type=Batch)
        for line in found.lines:
            self._keep(line)
        if found.error:
            raise getattr(errors, found.error, HolystreamError)(found.message)
        return found


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
    """What a thread of a worker keeps from batch to batch: the clients of one run, and the arms it has warmed."""

    def __init__(self) -> None:
        self.run: tuple[str, int] | None = None
        self.clients: dict[str, Client] = {}
        self.warmed: set[tuple[int, int]] = set()


_here: Final = _Here()


def batch(job: bytes, wall_ns: int, start_s: float, batch_s: float) -> bytes:
    """Does one batch in this process. Connections of one run stay open from batch to batch."""
    return run_here(_batch(msgspec.json.decode(job, type=Job), wall_ns, start_s, batch_s))


async def _batch(job: Job, wall_ns: int, start_s: float, batch_s: float) -> bytes:
    if _here.run != (job.plan.hash, wall_ns):
        for client in _here.clients.values():
            await client.aclose()
        _here.run, _here.clients, _here.warmed = (job.plan.hash, wall_ns), {}, set()
    origin = time.perf_counter_ns() - (time.time_ns() - wall_ns)
    records: list[Trial | Warmup] = []
    worker = Worker(msgspec.structs.replace(job, origin_ns=origin), records.append, _here.clients)
    ready = await worker.warm_up(_here.warmed)
    rest, reason = list(job.share.slots), "complete"
    if ready.error:
        pass
    elif job.share.starts:
        reason, rest = await worker.run(time.perf_counter_ns(), for_s=batch_s)
    else:
        reason, rest = await worker.run(origin + round(start_s * 1e9))
    lines = [encoder.encode(record) for record in records]
    spent = sum((record.usd or Decimal(0) for record in records), Decimal(0))
    return msgspec.msgpack.encode(Batch(lines, spent, rest, reason, ready.error, ready.message))
