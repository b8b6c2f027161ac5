"""Foreign executors: real pools of processes, ipyparallel engines and Dask workers, that are stopped, and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from holystream_nb import Simulator
from holystream_nb.errors import HolystreamError, MissingKey, SetupError, UnknownModel
from holystream_nb.measuring import calibrate
from holystream_nb.measuring.bench import bench
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running import executors, guest, remote
from holystream_nb.measuring.running.budget import Budget
from holystream_nb.measuring.running.dispatch import Dispatcher
from holystream_nb.measuring.running.guest import Around
from holystream_nb.measuring.running.intake import Word
from holystream_nb.measuring.running.pool import Pool
from holystream_nb.measuring.values import journal
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Lost, Trial
from holystream_nb.measuring.values.schedule import blocks

Run = Callable[..., Awaitable[Result]]

QUICK = "simulator:gpt-4.1#tokens=10,rate=100,first=0.05"
PACED = "simulator:gpt-4.1#tokens=40,rate=100,first=0.1"
LONG = "simulator:gpt-4.1#tokens=3000,rate=100"
STOP_S = 3.0
"""■ takes up to 2 s on a machine that is not busy with other tests."""


def pool(workers: int = 2, *, first: str = "") -> ProcessPoolExecutor:
    """Spawned processes; each begins with the statements `first`."""
    return ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=exec if first else None,
        initargs=(first,) if first else (),
    )


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """One for each test: it tells of its newest 100 requests."""
    with Simulator(speed=None) as running:
        yield running


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with pool() as executor:
        yield executor


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A client of a Dask cluster of four processes, each with one thread."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=4, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def loky() -> Iterator[Executor]:
    from loky import ProcessPoolExecutor as Loky

    executor = Loky(2)
    yield executor
    executor.shutdown(kill_workers=True)


@pytest.fixture(scope="module")
def engines() -> Iterator[Executor]:
    """The executor of two engines of ipyparallel, with their controller, on this machine."""
    import ipyparallel

    started = ipyparallel.Cluster(n=2, log_level=40)
    client = started.start_and_connect_sync()
    yield client.load_balanced_view().executor
    client.close()
    started.stop_cluster_sync()


@pytest.fixture
def executor(request: pytest.FixtureRequest) -> Executor:
    """One of these, by its fixture's name."""
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Executor) else found.get_executor()


class Wrapped(Executor):
    """Hands on to another executor, says how many workers it has if it is told, and keeps what was submitted."""

    def __init__(self, inner: Executor, workers: int | None = None) -> None:
        self.inner = inner
        self.submitted: list[tuple[Any, ...]] = []
        if workers is not None:
            self._max_workers = workers

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.submitted.append((fn, *args))
        return self.inner.submit(fn, *args, **kwargs)

    def of(self, function: Callable[..., Any]) -> list[tuple[Any, ...]]:
        return [args for fn, *args in self.submitted if fn is function]  # type: ignore[misc]


def inside(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def finished(path: Path) -> int:
    return path.read_bytes().count(b'"kind":"trial"') if path.exists() else 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def engines_of(parent: psutil.Process) -> list[psutil.Process]:
    """The engines of ipyparallel below it, the youngest first, without those that watch them."""
    found = [(child, " ".join(child.cmdline())) for child in parent.children(recursive=True)]
    engines = [child for child, line in found if "ipyparallel.engine" in line and "nanny" not in line]
    return sorted(engines, key=psutil.Process.create_time, reverse=True)


def seen(simulator: Simulator) -> list[str]:
    """The requests that a simulator has received, by their ids."""
    return [record["id"] for record in simulator.requests() if record["model"]]


def check_all_counted(result: Result, sent: int) -> None:
    """No request was sent that is in no record. One that only may have been sent is in one too."""
    contents = result.contents
    certain = [each for each in contents.lost if each.begun is not None]
    records = len(contents.trials) + len(contents.warmups)
    assert records <= sent <= records + len(contents.lost)
    assert len(certain) <= len(contents.lost)
    assert all(each.usd for each in contents.lost)


# What goes well


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "workers"), [("processes", 2), ("loky", 2), ("engines", 2), ("cluster", 4)], indirect=["executor"]
)
async def test_a_closed_loop_is_spread_over_all_workers(run: Run, executor: Executor, workers: int) -> None:
    """As many as the executor has, on one time axis; one warm-up for each; nothing is left beside the file."""
    before = time.time_ns()
    result = await run(PACED, repeats=12, concurrency=4, executor=executor)
    trials = result.trials
    assert (len(trials), result.missing) == (12, 0)
    assert trials.error.tolist() == [""] * 12
    assert set(trials.worker) == set(range(workers))
    assert len(result.warmups) == result.sessions[0].workers == workers
    assert result.sessions[0].executor == type(executor).__name__
    assert before < result.sessions[0].wall_ns < time.time_ns()
    seconds = (time.time_ns() - result.sessions[0].wall_ns) / 1e9
    assert all(0 < trial.submitted / 1e9 < seconds for trial in result.records)
    assert inside(result.path.parent) == ["run.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "used"), [(1, 1), (9, 2)])
async def test_workers_are_as_many_as_asked_for_if_there_are(
    run: Run, processes: Executor, workers: int, used: int
) -> None:
    """Fewer than the pool has, and never more."""
    result = await run(QUICK, repeats=9, concurrency=9, workers=workers, executor=processes)
    assert (result.sessions[0].workers, result.missing) == (used, 0)


@pytest.mark.slow
async def test_an_open_loop_keeps_its_times_over_an_executor(run: Run, processes: Executor) -> None:
    """Arrivals keep their distances on other processes' clocks, also after the first few seconds."""
    result = await run(QUICK, repeats=72, rate=12.0, warmup=0, executor=processes)
    lags = result.trials.lag_ms
    assert len(lags) == 72
    assert lags.median() < 50
    assert lags.iloc[36:].median() < 50
    assert (lags > -5).all()


@pytest.mark.slow
async def test_max_cost_holds_over_an_executor(run: Run, processes: Executor) -> None:
    """One budget for all workers, to the requests in flight."""
    result = await run("simulator:gpt-4.1#tokens=5000", repeats=10, concurrency=4, max_cost="0.1", executor=processes)
    spent = sum(result.trials.cost_usd) + sum(result.warmups.cost_usd)
    assert Decimal("0.04") < spent <= Decimal("0.1")
    assert any("max_cost was reached" in note for note in result.notes)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "cluster"], indirect=True)
async def test_the_timing_error_is_measured_where_the_run_was_made(
    executor: Executor, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a service that is no simulator of ours: a worker runs one of its own."""
    asked: list[tuple[Any, Any]] = []

    def once(of: Executor, function: Any, *args: Any) -> Awaitable[bytes]:
        asked.append((of, function))
        return executors.once(of, function, *args)

    monkeypatch.setattr(calibrate, "once", once)
    model = f"{simulator.url}:gpt-4.1#tokens=10,rate=100"
    result = await bench(model, "Hello", repeats=4, executor=executor, path=tmp_path / "run.jsonl")
    assert result.calibration is not None
    assert not result.calibration.own
    assert result.calibration.requests > 0
    assert asked == [(executor, calibrate.calibrated_there)]


@pytest.mark.slow
async def test_a_job_carries_the_name_of_the_keys_variable_and_never_the_key(
    processes: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's machine has its own key; without one, it says which variable is missing."""
    [
        task.result() for task in [processes.submit(time.sleep, 0.1) for _ in range(2)]
    ]  # they start before there is a key
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secretsecretsecretsecret")
    spy = Wrapped(processes, 1)
    with pytest.raises(MissingKey, match="OPENAI_API_KEY"):
        await bench("openai:gpt-4.1", "Hello", executor=spy, path=tmp_path / "run.jsonl", calibrate=False)
    assert b"secret" not in repr(spy.submitted).encode()
    ((job, *_),) = spy.of(guest.serve)
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
    [task.result() for task in [processes.submit(time.sleep, 0.1) for _ in range(2)]]
    before = {child.pid for child in psutil.Process().children()}
    spy = Wrapped(processes, 1)
    result = await bench("gpt-4.1", "Hello", executor=spy, path=tmp_path / "run.jsonl", max_tokens=5)
    assert result.trials.error.tolist() == [""]
    ((job, *_),) = spy.of(guest.serve)
    assert b'"key"' not in job
    assert {child.pid for child in psutil.Process().children()} == before


def test_words_whose_answer_was_lost_are_heard_once() -> None:
    """A call into a Dask worker that is made again brings no lease twice; one that comes before it listens is kept."""
    heard: list[Word] = []
    words = [msgspec.json.encode(Word(until=number)) for number in range(4)]
    guest._begun.add("a run 0 0")
    guest.hear("a run 0 0", 0, words[:1])
    assert [word.until for word in guest._early.pop("a run 0 0")] == [0]
    guest._listeners["a run 0 0"] = heard.append
    guest.hear("a run 0 0", 1, words[1:3])
    guest.hear("a run 0 0", 1, words[1:])
    del guest._listeners["a run 0 0"]
    assert [word.until for word in heard] == [1, 2, 3]


def test_a_worker_of_an_earlier_sitting_makes_room() -> None:
    """Its kernel was killed, and it held its place in the cluster for a minute: resume= found all workers busy."""
    heard: dict[str, list[Word]] = {name: [] for name in ("a run 0 0", "a run 1 1", "another run 0 0")}
    guest._listeners.update({name: words.append for name, words in heard.items()})
    guest.hear("a run 1 0", 0, [msgspec.json.encode(Word(until=1))])
    for name in heard:
        del guest._listeners[name]
    assert [word.until for word in guest._early.pop("a run 1 0")] == [1]
    assert {name: [word.is_stop for word in words] for name, words in heard.items()} == {
        "a run 0 0": [True],
        "a run 1 1": [],
        "another run 0 0": [],
    }


# What is refused before anything is sent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "match"),
    [
        ("import sys; sys.modules['holystream_nb'] = None", "cannot import holystream_nb: install holystream_nb=="),
        ("import holystream_nb as h; h.__version__ = '0.0.9'", "run holystream_nb 0.0.9, and this process"),
    ],
)
async def test_workers_without_this_very_package_are_refused(
    run: Run, simulator: Simulator, tmp_path: Path, first: str, match: str
) -> None:
    """An empty result was returned: now a sentence says what to install, no request is sent, and there is no file."""
    before = seen(simulator)
    with pool(first=first) as executor, pytest.raises(SetupError, match=match):
        await run(QUICK, executor=executor)
    assert seen(simulator) == before
    assert inside(tmp_path) == []


async def test_threads_are_refused_hidden_ones_too(run: Run) -> None:
    """They would share the interpreter with the drawing; a wrapper's are found by their process."""
    with ThreadPoolExecutor() as executor:
        for given in (executor, Wrapped(executor), Wrapped(executor, 2)):
            with pytest.raises(SetupError, match="give an executor of processes"):
                await run(executor=given)


@pytest.mark.slow
async def test_a_dask_client_is_not_its_executor(run: Run, cluster: Any) -> None:
    """It has a submit too, and was an AssertionError after 9 s."""
    with pytest.raises(SetupError, match=r"give client.get_executor\(\)"):
        await run(executor=cluster)


def test_a_simulator_on_loopback_is_not_asked_from_another_host() -> None:
    """One sentence says what to run there; on this host the run itself says what is wrong."""
    url = "http://127.0.0.1:8123/v1"
    with pytest.raises(SetupError, match="run `holystream-nb serve --port 8123` on each of theirs"):
        executors._check_around([Around("elsewhere", 1, (url,))])
    executors._check_around([Around("elsewhere", 1)])


def test_a_worker_finds_an_address_where_nobody_answers(simulator: Simulator, tmp_path: Path) -> None:
    """And one where somebody does; a folder that it does not see leaves no mark."""
    dead = "http://127.0.0.1:9/v1"
    found = msgspec.json.decode(guest.look([simulator.url, dead], str(tmp_path / "none"), "mark", 0), type=Around)
    assert (found.silent, found.mark, found.pid) == ((dead,), "", os.getpid())


@pytest.mark.parametrize(
    ("kind", "retries", "match"),
    [("LoadBalancedView", 3, "set its retries to 0"), ("DirectView", 0, "gives every engine the same work")],
)
async def test_a_view_that_repeats_is_refused(
    run: Run, processes: Executor, kind: str, retries: int, match: str
) -> None:
    """Nobody would count what it repeats by itself, or on every engine."""
    executor = Wrapped(processes, 2)
    view = type(kind, (), {"retries": retries, "__len__": lambda self: 2})
    executor.view = view()  # type: ignore[attr-defined]
    with pytest.raises(SetupError, match=match):
        await run(executor=executor)


@pytest.mark.slow
async def test_a_pool_that_is_closed_or_broken_is_refused(run: Run) -> None:
    """Before there is a file of the run."""
    executor = pool(1)
    executor.submit(os._exit, 3).exception()
    with pytest.raises(SetupError, match=r"takes no work \(BrokenProcessPool\): give a new one"):
        await run(executor=executor)


@pytest.mark.slow
async def test_what_makes_all_useless_is_raised(run: Run, processes: Executor) -> None:
    """An unknown model is found by the warm-up."""
    with pytest.raises(UnknownModel, match="nobody"):
        await run("simulator:nobody", repeats=3, executor=processes)


@pytest.mark.slow
async def test_an_open_loop_needs_workers_that_can_be_told(run: Run, processes: Executor) -> None:
    """Arrivals of a batch would be late by the answers of the one before."""
    with pytest.raises(SetupError, match="rate= needs workers that can be told"):
        await run(QUICK, rate=5.0, repeats=3, executor=Wrapped(processes))


# Stop


async def stopped(run: Run, simulator: Simulator, tmp_path: Path, executor: Executor, **options: Any) -> Result:
    """■ in the middle of answers of 30 s; how long it took, and that nothing runs on, is checked."""
    path, before = tmp_path / "run.jsonl", len(seen(simulator))
    task = asyncio.ensure_future(run([QUICK, LONG], repeats=20, concurrency=4, executor=executor, **options))
    await until(lambda: finished(path) >= 2 and len(seen(simulator)) - before >= 6)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start < STOP_S
    sent = len(seen(simulator))
    await asyncio.sleep(1)
    assert len(seen(simulator)) == sent
    made = load(path)
    assert made.contents.ends[-1].reason == "cancelled"
    check_all_counted(made, sent - before)
    return made


def running(simulator: Simulator) -> int:
    return sum(record["outcome"] == "running" for record in simulator.requests() if record["model"])


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "loky", "engines", "cluster"], indirect=True)
async def test_a_stop_ends_every_executor_within_two_seconds(
    run: Run, simulator: Simulator, tmp_path: Path, executor: Executor
) -> None:
    """What was in flight is cut, and listed as lost; the workers are free again."""
    result = await stopped(run, simulator, tmp_path, executor, warmup=0)
    assert 1 <= len(result.contents.lost) <= 4
    assert running(simulator) == 0
    assert inside(tmp_path) == ["run.jsonl"]
    assert len((await run(QUICK, repeats=4, concurrency=2, executor=executor, path=tmp_path / "next")).records) == 4


@pytest.mark.slow
async def test_batches_go_on_where_nobody_can_be_told(
    run: Run, simulator: Simulator, tmp_path: Path, processes: Executor
) -> None:
    """An executor of unknown number: several batches, nothing asked twice; a stop does not wait, and lists the rest."""
    spy = Wrapped(processes)
    result = await run("simulator:gpt-4.1#tokens=2,first=0.3", repeats=16, concurrency=2, workers=2, executor=spy)
    assert (len(result.records), result.missing) == (16, 0)
    assert len(spy.of(guest.batch)) >= 4
    assert not spy.of(guest.serve)
    assert result.sessions[0].executor == "Wrapped, in batches"
    slow = "simulator:gpt-4.1#tokens=300,rate=100"
    path, before = tmp_path / "stopped", len(seen(simulator))
    task = asyncio.ensure_future(run(slow, repeats=9, concurrency=2, warmup=0, executor=spy, path=path))
    await until(lambda: len(seen(simulator)) - before >= 2)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start < STOP_S
    await asyncio.sleep(1.5)
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    lost = [line for line in lines if line["kind"] == "lost"]
    assert len(lost) >= len(seen(simulator)) - before == 2


# Killed


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["concurrent.futures", "loky"])
async def test_a_broken_pool_leaves_all_that_was_done(
    run: Run, simulator: Simulator, tmp_path: Path, kind: str
) -> None:
    """kill -9 of one of two, which breaks the pool: `done · 0 of 300` was said. A new pool does the rest."""
    from loky import ProcessPoolExecutor as Loky

    path, before = tmp_path / "run.jsonl", len(seen(simulator))
    executor = pool() if kind == "concurrent.futures" else Loky(2)
    task = asyncio.ensure_future(run(QUICK, repeats=60, concurrency=4, executor=executor))
    await until(lambda: finished(path) >= 8)
    os.kill(next(iter(executor._processes)), signal.SIGKILL)
    result = await task
    sent = len(seen(simulator)) - before
    assert result.contents.ends[-1].reason == "failed"
    assert 8 <= len(result.records) < 60
    assert result.missing == 60 - len(result.records)
    assert any("the pool broke (" in note and "go on with a new one and resume=" in note for note in result.notes)
    assert any(f"{result.missing} of 60 requests missing" in note for note in result.notes)
    assert 1 <= len(result.contents.lost) <= 4
    check_all_counted(result, sent)
    executor.shutdown()
    with pool() as new:
        whole = await run(QUICK, repeats=60, concurrency=4, executor=new, resume=path)
    assert (len(whole.records), whole.missing, journal.parts(path)) == (60, 0, [])


@pytest.mark.slow
async def test_dask_goes_on_without_a_killed_worker(
    run: Run, simulator: Simulator, tmp_path: Path, cluster: Any
) -> None:
    """kill -9 of one of four: all four had work, the others take over, and no request goes uncounted."""
    path, before = tmp_path / "run.jsonl", len(seen(simulator))
    task = asyncio.ensure_future(run(QUICK, repeats=80, concurrency=8, executor=cluster.get_executor()))
    await until(lambda: finished(path) >= 16)
    pids = await asyncio.to_thread(cluster.run, os.getpid)
    psutil.Process(next(iter(pids.values()))).kill()
    result = await task
    sent = len(seen(simulator)) - before
    assert (len(result.records), result.missing) == (80, 0)
    assert result.contents.ends[-1].reason == "complete"
    assert set(result.trials.worker) == {0, 1, 2, 3}
    assert 1 <= len(result.contents.lost) <= 2
    assert any("of the executor was lost" in note for note in result.notes)
    check_all_counted(result, sent)
    await asyncio.to_thread(cluster.wait_for_workers, 4, 30)


@pytest.mark.slow
async def test_a_killed_scheduler_is_a_failure_and_says_so(run: Run, simulator: Simulator, tmp_path: Path) -> None:
    """It was called "stopped": what is missing is named."""
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    path, before = tmp_path / "run.jsonl", len(seen(simulator))
    cluster = await asyncio.to_thread(SubprocessCluster, n_workers=2, threads_per_worker=1, dashboard_address=None)
    client = await asyncio.to_thread(Client, cluster)
    await asyncio.to_thread(client.wait_for_workers, 2, 30)
    try:
        task = asyncio.ensure_future(run(QUICK, repeats=90, concurrency=4, executor=client.get_executor()))
        await until(lambda: finished(path) >= 8)
        psutil.Process(cluster.scheduler.process.pid).kill()
        result = await task
        await asyncio.sleep(1.5)  # its workers live, and begin all that they were leased
    finally:
        left = [worker.process.pid for worker in cluster.workers.values()]
        with suppress(TimeoutError):
            await asyncio.to_thread(client.close, 1)
            await asyncio.to_thread(cluster.close, 1)
        for process in [each for pid in left if psutil.pid_exists(pid) for each in tree(pid)]:
            process.kill()
    assert result.contents.ends[-1].reason == "failed"
    assert 8 <= len(result.records) < 90
    assert any("gone (go on with a new one and resume=)" in note for note in result.notes)
    assert any(f"{result.missing} of 90 requests missing" in note for note in result.notes)
    check_all_counted(result, len(seen(simulator)) - before)


@pytest.mark.slow
async def test_ipyparallel_goes_on_without_a_killed_engine(run: Run, simulator: Simulator, tmp_path: Path) -> None:
    """`225 of 300`: idle engines never took over. Now one of two does all of the rest."""
    import ipyparallel

    path, before = tmp_path / "run.jsonl", len(seen(simulator))
    cluster = ipyparallel.Cluster(n=2, log_level=40)
    client = await cluster.start_and_connect()
    try:
        task = asyncio.ensure_future(
            run(QUICK, repeats=60, concurrency=4, executor=client.load_balanced_view().executor)
        )
        await until(lambda: finished(path) >= 8)
        engines_of(psutil.Process())[0].kill()
        result = await task
    finally:
        await cluster.stop_cluster()
        client.close()
    assert (len(result.records), result.missing) == (60, 0)
    assert result.contents.ends[-1].reason == "complete"
    check_all_counted(result, len(seen(simulator)) - before)


@pytest.mark.slow
async def test_the_batch_of_a_killed_engine_is_lost_and_made_again(
    run: Run, simulator: Simulator, tmp_path: Path
) -> None:
    """Of one of two that are not known by number: all that it had been given is named and counted, none is missing."""
    import ipyparallel

    path, before = tmp_path / "run.jsonl", len(seen(simulator))
    cluster = ipyparallel.Cluster(n=2, log_level=40)
    client = await cluster.start_and_connect()
    try:
        spy = Wrapped(client.load_balanced_view().executor)
        task = asyncio.ensure_future(run(QUICK, repeats=60, concurrency=4, workers=2, executor=spy))
        await until(lambda: finished(path) >= 8)
        begun = len(seen(simulator))
        await until(lambda: len(seen(simulator)) >= begun + 4)  # both are in their next batch
        engines_of(psutil.Process())[0].kill()
        result = await task
    finally:
        await cluster.stop_cluster()
        client.close()
    assert result.sessions[0].executor == "Wrapped, in batches"
    assert (len(result.records), result.missing) == (60, 0)
    assert result.contents.ends[-1].reason == "complete"
    lost = result.contents.lost
    assert lost
    assert len({each.worker for each in lost}) == 1
    assert {each.repeat for each in lost} <= {trial.repeat for trial in result.records}
    assert any("of the executor was lost" in note for note in result.notes)
    check_all_counted(result, len(seen(simulator)) - before)


@pytest.mark.slow
async def test_a_killed_kernel_leaves_an_account_of_what_dask_was_asked(
    run: Run, simulator: Simulator, tmp_path: Path, cluster: Any
) -> None:
    """kill -9 of the parent: what its workers had begun was in no record, and they were busy for a minute."""
    path, before, model = tmp_path / "run.jsonl", len(seen(simulator)), "simulator:gpt-4.1#tokens=40,rate=50,first=0.3"
    code = (
        "import asyncio, sys; from distributed import Client; from holystream_nb.measuring.bench import bench; "
        "asyncio.run(bench(sys.argv[1], 'Hello', repeats=40, concurrency=4, seed=1, base_url=sys.argv[2], "
        "path=sys.argv[3], calibrate=False, executor=Client(sys.argv[4]).get_executor()))"
    )
    arguments = (model, simulator.url, str(path), cluster.scheduler.address)
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.DEVNULL
    )
    await until(lambda: finished(path) >= 6)
    await asyncio.sleep(0.2)
    other.kill()
    await other.wait()
    assert load(path).contents.begun >= 4
    start = time.monotonic()
    result = await run(model, repeats=40, concurrency=4, executor=cluster.get_executor(), resume=path)
    assert time.monotonic() - start < remote.BEGIN_S - 5
    assert (len(result.records), result.missing, inside(tmp_path)) == (40, 0, ["run.jsonl"])
    check_all_counted(result, len(seen(simulator)) - before)


@pytest.mark.slow
async def test_a_worker_that_has_no_place_is_left_out(
    run: Run, processes: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An executor that is busy, or has fewer workers than it says: the others do its part."""
    monkeypatch.setattr(remote, "BEGIN_S", 3.0)
    result = await run(QUICK, repeats=9, concurrency=3, executor=Wrapped(processes, 3))
    assert (result.missing, result.contents.ends[-1].reason) == (0, "complete")
    assert any("was not begun by the executor within 3 s" in note for note in result.notes)
    assert inside(result.path.parent) == ["run.jsonl"]


def test_a_request_that_was_made_twice_is_a_cost_and_no_figure(trial: Callable[..., Trial]) -> None:
    """Its worker was taken for lost and was not: the second record is listed with what it cost."""
    plan = Plan(models=("simulator:a",), prompts=("Hello",), repeats=1)
    dispatcher = Dispatcher(plan, blocks(plan), Budget(None, [None]), {}, now=lambda: 0)
    kept: list[Trial | Lost] = []
    workers = Pool([], plan, 0, [], dispatcher, lambda line, record: kept.append(record), [])
    for worker in range(2):
        workers._record(b"", trial("simulator:a", worker=worker))
    first, second = kept
    assert isinstance(first, Trial)
    assert isinstance(second, Lost)
    assert (second.worker, second.usd, second.begun) == (1, first.usd, first.submitted)


class Repeating(Wrapped):
    """Begins each worker's task twice, and waits for the second, as one does that has lost sight of the first."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn is guest.serve:
            super().submit(fn, *args, **kwargs)
            time.sleep(0.5)
        return super().submit(fn, *args, **kwargs)


@pytest.mark.slow
async def test_work_that_is_begun_twice_is_sent_once(run: Run, simulator: Simulator, processes: Executor) -> None:
    """228 requests went out for a plan of 200: the second start sends nothing, and the first is stopped."""
    before = len(seen(simulator))
    with pytest.raises(HolystreamError, match="began it again, which was not let to send anything"):
        await run(LONG, repeats=3, executor=Repeating(processes, 1))
    await asyncio.sleep(0.5)
    assert len(seen(simulator)) - before <= 1
    assert running(simulator) == 0
