"""Foreign executors: short batches, recorded by the parent, on processes of this machine and of a real Dask cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from holystream_nb import Simulator
from holystream_nb.errors import MissingKey, SetupError, UnknownModel
from holystream_nb.measuring.bench import bench
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running import batches
from holystream_nb.measuring.running.budget import Budget
from holystream_nb.measuring.running.dispatch import Dispatcher
from holystream_nb.measuring.running.worker import Address, Job
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Lost, Trial
from holystream_nb.measuring.values.schedule import blocks

Run = Callable[..., Awaitable[Result]]

PACED = "simulator:gpt-4.1#tokens=40,rate=100,first=0.1"


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield executor


def make(model: str, repeats: int, simulator: Simulator) -> tuple[Job, Dispatcher]:
    """One stream without a warm-up."""
    plan = Plan(models=(model,), prompts=("Hello",), repeats=repeats, warmup=0)
    addresses = {"simulator": Address(simulator.url)}
    job = Job(plan=plan, worker=0, starts=(0.0,), warmups=0, session=0, origin_ns=0, addresses=addresses)
    return job, Dispatcher(plan, blocks(plan), Budget(None, [None]), {}, now=time.time_ns, planned=repeats)


async def go(
    made: tuple[Job, Dispatcher], executor: Executor, batch_s: float = batches.BATCH_S
) -> tuple[list[Trial | Lost], list[str], str]:
    """The records, the losses, and why it ended."""
    records, losses = list[Trial | Lost](), list[str]()
    job, dispatcher = made
    keep = lambda line, record: records.append(record)  # noqa: E731
    await batches.run([job], [], time.time_ns(), executor, dispatcher, keep, losses, batch_s=batch_s)
    return records, losses, dispatcher.reason


class Spy(Executor):
    """Hands on to another executor and keeps what was submitted."""

    def __init__(self, inner: Executor) -> None:
        self.inner = inner
        self.jobs: list[bytes] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.jobs.append(args[0])
        return self.inner.submit(fn, *args, **kwargs)


@pytest.mark.slow
async def test_a_closed_loop_runs_in_batches(run: Run, processes: Executor) -> None:
    """Everything is asked once, two workers at a time, on one time axis; one warm-up for each process and model."""
    before = time.time_ns()
    result = await run(PACED, repeats=12, concurrency=4, workers=2, executor=processes)
    trials = result.trials
    assert (len(trials), result.missing) == (12, 0)
    assert trials.error.tolist() == [""] * 12
    assert set(trials.worker) == {0, 1}
    assert len(result.warmups) == 2
    assert result.sessions[0].executor == "ProcessPoolExecutor"
    assert before < result.sessions[0].wall_ns < time.time_ns()
    seconds = (time.time_ns() - result.sessions[0].wall_ns) / 1e9
    assert all(0 < trial.submitted / 1e9 < seconds for trial in result.records)


@pytest.mark.slow
async def test_a_batch_ends_after_its_time_and_the_rest_goes_into_the_next(
    processes: Executor, simulator: Simulator
) -> None:
    """With more work than fits into a batch there are several, and nothing is asked twice."""
    spy = Spy(processes)
    records, losses, reason = await go(make("simulator:gpt-4.1#tokens=2,first=0.3", 6, simulator), spy, 0.7)
    assert (reason, losses) == ("complete", [])
    assert 1 < len(spy.jobs) < 6
    assert sorted(record.repeat for record in records) == list(range(6))


@pytest.mark.slow
async def test_an_open_loop_keeps_its_times_over_an_executor(run: Run, processes: Executor) -> None:
    """Arrivals keep their distances on another process's clock."""
    result = await run(PACED, repeats=20, rate=10.0, warmup=0, executor=processes)
    trials = result.trials
    assert len(trials) == 20
    assert trials.lag_ms.median() < 50
    assert (trials.lag_ms > -5).all()


@pytest.mark.slow
async def test_a_job_carries_the_name_of_the_keys_variable_and_never_the_key(
    processes: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's machine has its own key; without one, it says which variable is missing."""
    processes.submit(int).result()  # the worker starts here, before there is a key
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secretsecretsecretsecret")
    spy = Spy(processes)
    with pytest.raises(MissingKey, match="OPENAI_API_KEY"):
        await bench("openai:gpt-4.1", "Hello", executor=spy, path=tmp_path / "run.jsonl", calibrate=False)
    (job,) = spy.jobs
    assert b"OPENAI_API_KEY" in job
    assert b"secret" not in job
    assert msgspec.json.decode(job)["addresses"]["openai"] == {
        "base_url": "https://api.openai.com/v1",
        "key_variable": "OPENAI_API_KEY",
    }


@pytest.mark.slow
async def test_the_kernels_simulator_is_not_handed_out(
    processes: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign worker gets a simulator without a key, which ends with the run."""
    monkeypatch.delenv("HOLYSHEEP_API_KEY", raising=False)
    monkeypatch.setenv("HOLYSTREAM_SIMULATOR_SPEED", "max")
    processes.submit(int).result()
    before = {child.pid for child in psutil.Process().children()}
    spy = Spy(processes)
    result = await bench("gpt-4.1", "Hello", executor=spy, path=tmp_path / "run.jsonl", max_tokens=5)
    assert result.trials.error.tolist() == [""]
    assert b'"key"' not in spy.jobs[0]
    assert {child.pid for child in psutil.Process().children()} == before


async def test_what_makes_all_useless_is_raised(run: Run, processes: Executor) -> None:
    """An unknown model is found by the first batch's warm-up."""
    with pytest.raises(UnknownModel, match="nobody"):
        await run("simulator:nobody", repeats=3, executor=processes)


@pytest.mark.slow
async def test_a_stop_keeps_the_running_batches(processes: Executor, simulator: Simulator) -> None:
    """A cancellation submits nothing more, waits for what runs, and keeps it."""
    spy, records = Spy(processes), list[Any]()
    job, dispatcher = make("simulator:gpt-4.1#tokens=2,first=0.2", 99, simulator)
    keep = lambda line, record: records.append(record)  # noqa: E731
    task = asyncio.ensure_future(batches.run([job], [], time.time_ns(), spy, dispatcher, keep, [], batch_s=1.5))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(spy.jobs) == 1
    assert 2 <= len(records) < 20


async def test_a_worker_that_dies_is_a_loss_and_not_a_hang(simulator: Simulator) -> None:
    """The batch is gone, the sentence says so, and the run ends."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        executor.submit(int).result()
        made = make("simulator:gpt-4.1#tokens=2,first=0.2", 99, simulator)
        task = asyncio.ensure_future(go(made, executor))
        await asyncio.sleep(0.3)
        next(iter(executor._processes.values())).kill()
        records, losses, _ = await task
    assert losses[0].startswith("a batch of worker 0 was lost (BrokenProcessPool")
    assert {type(record) for record in records} == {Lost}
    assert made[1].is_cut_off


@pytest.mark.slow
async def test_max_cost_holds_over_batches(run: Run, processes: Executor) -> None:
    """What a batch spent is missing in the next one's budget."""
    result = await run("simulator:gpt-4.1#tokens=5000", repeats=10, max_cost="0.1", executor=processes)
    spent = sum(result.trials.cost_usd) + sum(result.warmups.cost_usd)
    assert Decimal("0.04") < spent <= Decimal("0.1")
    assert any("max_cost was reached" in note for note in result.notes)


async def test_threads_are_refused(run: Run) -> None:
    """They would share the interpreter with the drawing."""
    with ThreadPoolExecutor() as executor, pytest.raises(SetupError, match="executor of processes"):
        await run(executor=executor)


@pytest.mark.slow
async def test_a_dask_cluster_of_processes(run: Run, simulator: Simulator) -> None:
    """A real local cluster: both of its processes measure, and a stop keeps the batch that runs there."""
    from distributed import Client, LocalCluster

    cluster = await asyncio.to_thread(
        LocalCluster, n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    try:
        client = Client(cluster)
        executor = client.get_executor()
        result = await run(PACED, repeats=12, concurrency=4, workers=2, executor=executor)
        lines: list[Any] = []
        job, dispatcher = make("simulator:gpt-4.1#tokens=2,first=0.1", 99, simulator)
        keep = lambda line, record: lines.append(record)  # noqa: E731
        task = asyncio.ensure_future(batches.run([job], [], time.time_ns(), executor, dispatcher, keep, [], batch_s=1))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        await asyncio.to_thread(client.close)
        await asyncio.to_thread(cluster.close)
    assert (len(result.trials), result.missing) == (12, 0)
    assert result.trials.error.tolist() == [""] * 12
    assert sorted(result.warmups.worker) == [0, 1]
    assert result.sessions[0].executor == "ClientExecutor"
    assert 2 <= len(lines) < 99
