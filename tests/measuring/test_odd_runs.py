"""Runs that went wrong in the middle: a service that dies, a process that is killed, failures that were made again; and
what their figures are then."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from raw_service import Asked, Writer, serving

from holystream_nb import Simulator
from holystream_nb.client.client import Client
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running.budget import Budget
from holystream_nb.measuring.running.dispatch import Dispatcher
from holystream_nb.measuring.running.intake import Intake, Word
from holystream_nb.measuring.running.worker import Address, Job, Worker
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Trial
from holystream_nb.measuring.values.schedule import Lease, blocks

from .conftest import session

MS = 1_000_000
Make = Callable[..., Trial]
Results = Callable[..., Result]
Run = Callable[..., Awaitable[Result]]


def test_a_long_queue_of_a_dead_arm_ends_nothing_else(trial: Make) -> None:
    """Its thousand waiting requests were dropped one inside another, up to Python's limit: a raw RecursionError."""
    plan = Plan(models=("x:a", "x:b"), prompts=("Hello",), repeats=3000, max_failures=20, concurrency=8)
    made = Dispatcher(plan, blocks(plan), Budget(None, [None, None]), {}, now=lambda: 0, planned=plan.requests)
    slow = []
    while leases := made.lease(0, 8):
        for lease in leases:
            made.begun(0, lease.slot, 1)
            if lease.slot.model:
                made.settle(trial("x:b", repeat=lease.slot.repeat))
            else:
                slow.append(lease.slot)
    for slot in slow:
        made.settle(trial("x:a", repeat=slot.repeat, error="DeadlineExceeded"))
    assert list(made.stopped) == [(0, 0)]
    assert [lease.slot.model for lease in made.lease(0, 8)] == [1] * 8


@pytest.mark.slow
async def test_a_worker_does_not_outrun_its_parent_against_a_dead_service() -> None:
    """Of refusals that take a millisecond 38 to 83 were made for 20 before the parent spoke: it is waited for."""
    made: list[object] = []

    async def answer(_asked: Asked, _writer: Writer) -> object:
        return False

    async with serving(answer) as service:
        plan = Plan(models=("simulator:m",), prompts=("Hello",), repeats=200, max_failures=5, concurrency=1)
        job = Job(
            plan=plan,
            worker=0,
            starts=(0.0,),
            warmups=0,
            session=0,
            origin_ns=time.perf_counter_ns(),
            addresses={"simulator": Address(service.url, key="none")},
        )
        intake = Intake()
        intake.hear(Word(start=0, leases=tuple(Lease(slot) for block in blocks(plan) for slot in block), is_last=True))
        clients: dict[str, Client] = {}
        worker = Worker(job, made.append, clients, intake)
        running = asyncio.ensure_future(worker.run(0))
        await asyncio.sleep(1.5)
        intake.hear(Word(stopped=((0, 0),)))
        async with asyncio.timeout(5):
            await running
        for client in clients.values():
            await client.aclose()
    failed = [each for each in made if isinstance(each, Trial)]
    assert 1 <= len(failed) <= 5 + 8
    assert all(each.error for each in failed)
    assert len(intake.rest) == 200 - len(failed)


def test_failures_that_were_made_again_take_their_time_too(trial: Make, result: Results) -> None:
    """A user waited 5 s for a failure: made again in another sitting, it was as if that sitting had lasted 0.1 s."""
    good = trial(repeat=0, sent=0, ttft=50, gaps=(50,))
    newer = trial(repeat=1, sent=0, ttft=50, gaps=(50,), session=1)
    older = trial(repeat=1, sent=100, error="DeadlineExceeded", end=5100 * MS)
    plain = result(good, newer, sessions=(session(), session(1)), limits={"ttft_ms": 100.0})
    found = Result(msgspec.structs.replace(plain.contents, retried=(older,)), plain.path)
    whole = found.throughput()
    assert whole["duration_s"] == pytest.approx(5.1 + 0.1)
    assert whole["goodput_per_s"] == pytest.approx(2 / 5.2)
    assert whole["in_flight"] == pytest.approx(1)
    assert found.summary().in_flight.tolist() == pytest.approx([1])
    assert found.summary().n.tolist() == [2]


def test_a_steady_part_of_failures_alone_stands_for_nothing(trial: Make, result: Results) -> None:
    """Eight answers, then 20 failures in the steady part: the percentiles were of none at all."""
    answers = [trial(stream=user, repeat=user, sent=0, ttft=50 + user, gaps=(50,)) for user in range(8)]
    failures = [
        trial(stream=i % 8, repeat=8 + i, sent=200 + i, error="StreamInterrupted", end=(201 + i) * MS)
        for i in range(40)
    ]
    found = result(*answers, *failures, concurrency=8)
    assert not found.steady.is_used
    assert found.cells["simulator:a"]["ttft_p50_ms"].n == 8
    assert found.summary().ttft_p50_ms.tolist() == pytest.approx([53.5])


def test_a_window_in_which_nothing_came_has_no_throughput(trial: Make, result: Results) -> None:
    """Two requests of an open loop, of which both answered after the second was sent: system tok/s was 0."""
    made = [trial(repeat=number, sent=100 * number, ttft=300) for number in range(2)]
    whole = result(*made, concurrency=None, rate=10.0, arrivals="poisson").throughput()
    assert whole["system_tokens_per_s"] is None
    assert whole["output_tokens_per_s"] == pytest.approx(6 / 0.48)


def test_an_arm_without_an_answer_hinders_no_other(trial: Make, result: Results) -> None:
    """A dead model has no percentiles: those of the other are of its steady part as if it stood alone."""
    alive = [trial(stream=i % 2, repeat=i, sent=200 * i, ttft=50, gaps=(50,)) for i in range(60)]
    dead = [
        trial("simulator:b", stream=i % 2, repeat=i, sent=200 * i + 110, error="KeyRefused", end=(200 * i + 111) * MS)
        for i in range(60)
    ]
    assert result(*alive, *dead, concurrency=2).steady.is_used


def test_a_failure_of_unknown_length_is_warned_of(trial: Make, result: Results) -> None:
    """Files of the first version do not say when a failure ended."""
    found = result(trial(), trial(repeat=1, error="DeadlineExceeded"))
    assert any(note.startswith("WARNING: This file is of a version that did not note when") for note in found.notes)
    known = result(trial(), trial(repeat=1, error="DeadlineExceeded", end=5000 * MS))
    assert not any("did not note when" in note for note in known.notes)


@pytest.mark.slow
async def test_what_was_in_flight_when_the_kernel_was_killed_is_counted(
    run: Run, tmp_path: Path, simulator: Simulator
) -> None:
    """kill -9 of the parent: its requests had gone out, may be paid for, and were in no account after resume=."""
    path, model = tmp_path / "run.jsonl", "simulator:gpt-4.1#tokens=40,rate=50,first=0.3"
    code = (
        "import asyncio, sys; from holystream_nb.measuring.bench import bench; asyncio.run(bench(sys.argv[1], 'Hello', "
        "repeats=12, concurrency=3, seed=1, base_url=sys.argv[2], path=sys.argv[3], calibrate=False))"
    )
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, model, simulator.url, str(path), stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        while not path.exists() or path.read_bytes().count(b'"kind":"trial"') < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    other.kill()
    await other.wait()
    result = await run(model, repeats=12, concurrency=3, resume=path)
    assert (result.missing, len(result.trials)) == (0, 12)
    lost = result.contents.lost
    assert 1 <= len(lost) <= 3
    assert all(each.usd and each.begun for each in lost)
    paid = sum((each.usd or Decimal(0) for each in (*result.records, *result.warmup_records)), Decimal(0))
    assert result.contents.spent == paid + sum((each.usd or Decimal(0) for each in lost), Decimal(0))
    again = await run(model, repeats=12, concurrency=3, resume=path)
    assert len(again.contents.lost) == len(lost)
