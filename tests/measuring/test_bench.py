"""Real benches: child processes, a real loopback socket, the simulator. What is asked is what is done, and kept."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from holystream_nb import Simulator
from holystream_nb.errors import HolystreamError, MissingKey, SetupError, UnknownModel
from holystream_nb.measuring.bench import bench
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values import journal
from holystream_nb.measuring.values.journal import Log
from holystream_nb.money.budget import Budget

pytestmark = pytest.mark.slow

Run = Callable[..., Awaitable[Result]]

PACED = "simulator:gpt-4.1#tokens=40,rate=100,first=0.1"  # half a second an answer
QUICK = "simulator:gpt-4.1#tokens=10,rate=100,first=0.05"  # a seventh


def children() -> list[psutil.Process]:
    """The worker processes of this process."""
    found = []
    for child in psutil.Process().children():
        try:
            if "measuring.running.child" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition, for 10 s at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # a child process sets no Event of ours
            await asyncio.sleep(0.01)


async def test_a_closed_loop_asks_everything_once(run: Run, simulator: Simulator) -> None:
    """Every model, prompt and repeat is there once, measured, priced, and found in the simulator's records."""
    models = ["simulator:gpt-4.1#tokens=5", "simulator:deepseek-v3.2#tokens=5"]
    result = await run(models, ["Hello", "Goodbye"], repeats=3, concurrency=3)
    trials = result.trials
    assert len(trials) == 12
    assert not trials.duplicated(["model", "prompt", "repeat"]).any()
    assert trials.error.tolist() == [""] * 12
    assert (trials.ttft_ms > 0).all()
    assert trials.output_tokens.tolist() == [5] * 12
    assert set(trials.stream) <= {0, 1, 2}
    assert trials.retries.tolist() == [0] * 12
    known = simulator.record(trials.response_id[0])
    assert (known["model"], known["outcome"]) in {("gpt-4.1", "complete"), ("deepseek-v3.2", "complete")}
    assert trials.cost_usd.map(lambda usd: isinstance(usd, Decimal)).all()


async def test_warm_ups_are_kept_apart(run: Run) -> None:
    """One for each worker and model, before anything counts, with a prefix of their own."""
    result = await run(["simulator:gpt-4.1#tokens=5", "simulator:gpt-4o#tokens=5"], repeats=4, concurrency=2, workers=2)
    warmups = result.warmups
    assert sorted(zip(warmups.model, warmups.worker, strict=True)) == [
        ("simulator:gpt-4.1#tokens=5", 0),
        ("simulator:gpt-4.1#tokens=5", 1),
        ("simulator:gpt-4o#tokens=5", 0),
        ("simulator:gpt-4o#tokens=5", 1),
    ]
    last_warm = max(warm.submitted for warm in result.warmup_records)
    assert all(trial.submitted > last_warm for trial in result.records)
    assert len(result.trials) == 8


@pytest.mark.slow
async def test_no_more_streams_run_than_were_asked_for(run: Run) -> None:
    """Concurrency 3 over two processes: never four answers at a time, and three most of the time."""
    result = await run(PACED, repeats=12, concurrency=3, workers=2)
    edges = sorted(edge for trial in result.records for edge in ((trial.sent or 0, 1), (sum(trial.reads), -1)))
    running, most = 0, 0
    for _, step in edges:
        running += step
        most = max(most, running)
    assert most == 3
    assert {(worker, stream) for worker, stream in zip(result.trials.worker, result.trials.stream, strict=True)} == {
        (0, 0),
        (0, 1),
        (1, 0),
    }


@pytest.mark.slow
async def test_an_open_loop_sends_at_its_own_times(run: Run) -> None:
    """Arrivals follow the seed's schedule, whatever runs still; lag is its own column, and not in TTFT."""
    result = await run(PACED, repeats=20, rate=20.0)
    trials = result.trials
    assert trials.lag_ms.notna().all()
    assert (trials.lag_ms >= 0).all()
    assert trials.lag_ms.median() < 50
    starts = sorted(trials.scheduled_s)
    assert 0.2 < starts[-1] - starts[0] < 3
    assert max(trials.at_s + trials.e2e_s) - max(trials.at_s) < 3
    overlap = sum(a < b < a + 0.45 for a in trials.at_s for b in trials.at_s)
    assert overlap > 20  # answers of half a second, a request every 50 ms
    assert (trials.e2e_scheduled_s >= trials.e2e_s).all()


async def test_pairs_see_the_same_text_and_repeats_another(tmp_path: Path) -> None:
    """What the service receives: one prefix for each prompt and repeat, shared by the models."""
    with Recorder() as recorder:
        await bench(
            ["ollama:a", "ollama:b"], "Hello", repeats=3, base_url=recorder.url, path=tmp_path / "r", calibrate=False
        )
    warm, counted = recorder.bodies[:2], recorder.bodies[2:]
    texts = [body["messages"][0]["content"] for body in counted]
    assert len(counted) == 6
    assert sorted(texts.count(text) for text in set(texts)) == [2, 2, 2]
    assert all(text.endswith("] Hello") for text in texts)
    assert not {body["messages"][0]["content"] for body in warm} & set(texts)
    for text in set(texts):
        assert {body["model"] for body in counted if body["messages"][0]["content"] == text} == {"a", "b"}


async def test_a_resumed_run_does_only_what_is_missing(run: Run, tmp_path: Path) -> None:
    """Four of ten lines stand in the file, one torn: the other six are made, and the four stay as they are."""
    path = tmp_path / "run.jsonl"
    await run(repeats=10)
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [lines[0], *(line for line in lines if b'"kind":"trial"' in line)][:5]
    path.write_bytes(b"".join(kept) + lines[-2][:40])
    result = await run(repeats=10, resume=path)
    assert (len(result.trials), result.missing) == (10, 0)
    assert [session.number for session in result.sessions] == [0, 1]
    assert path.read_bytes().startswith(b"".join(kept))
    assert result.trials.session.value_counts().to_dict() == {0: 4, 1: 6}
    assert (await run(repeats=10, resume=path)).trials.equals(result.trials)


@pytest.mark.parametrize("at", ["base_url", "addresses"])
async def test_a_run_goes_on_from_its_file_alone(run: Run, tmp_path: Path, simulator: Simulator, at: str) -> None:
    """Models, prompts and all the plan are in it, also where the models are; what contradicts it is refused."""
    path, names = tmp_path / "run.jsonl", ("gpt-4.1#tokens=5", "gpt-4o#tokens=5")
    plan: dict[str, Any] = {"repeats": 3, "concurrency": 2, "limits": {"ttft_ms": 500}, "max_tokens": 5, "pause": 0.01}
    if at == "base_url":
        await run([f"simulator:{name}" for name in names], ["Hi", "Ho"], **plan)
    else:
        other = {"base_url": simulator.url, "model": names[1], "wire": "responses"}
        await run([(simulator.url, names[0]), other], ["Hi", "Ho"], base_url=None, api_key="none", **plan)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], *[line for line in lines if b'"kind":"trial"' in line][:5]]))
    again = await bench(resume=path, calibrate=False, api_key=None if at == "base_url" else "none")
    assert (len(again.records), again.missing) == (12, 0)
    assert (again.plan.concurrency, again.plan.parameters) == (2, {"max_tokens": 5})
    for given in ({"concurrency": 1}, {"temperature": 1}, {"base_url": simulator.url}):
        with pytest.raises(SetupError, match=f"{next(iter(given))} is as the file of resume says"):
            await bench(resume=path, **given)  # type: ignore[arg-type]


async def test_another_plan_is_refused_and_nothing_is_sent(run: Run, tmp_path: Path, simulator: Simulator) -> None:
    """The sentence names the fields with both values; the file stays as it was."""
    await run(repeats=2)
    before, newest = (tmp_path / "run.jsonl").read_bytes(), simulator.requests()[0]["id"]
    with pytest.raises(SetupError, match=r"repeats \(3 here, 2 there\), timeout \(5.0 here, None there\)"):
        await run(repeats=3, timeout=5.0, resume=tmp_path / "run.jsonl")
    assert (tmp_path / "run.jsonl").read_bytes() == before
    assert simulator.requests()[0]["id"] == newest


async def test_a_file_is_not_overwritten(run: Run) -> None:
    """A path that is there needs `resume`."""
    await run()
    with pytest.raises(SetupError, match="is there already"):
        await run()


async def test_a_cancellation_ends_the_children_within_a_second(run: Run, tmp_path: Path, simulator: Simulator) -> None:
    """■: no child is left, no answer runs on, and what was finished is in the file."""
    task = asyncio.ensure_future(run(QUICK, repeats=40, concurrency=4))
    path = tmp_path / "run.jsonl"
    await until(lambda: path.exists() and path.read_bytes().count(b'"kind":"trial"') >= 4)
    before = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as stopped:
        await task
    assert time.monotonic() - before < 1
    assert f"the same call with resume='{path}'" in str(stopped.value._render_traceback_())  # type: ignore[attr-defined]
    assert children() == []
    await until(lambda: simulator.active() == 0)
    kept = load(path)
    assert 4 <= len(kept.trials) < 40
    assert journal.parts(path) == []
    assert any("stopped before its end" in note for note in kept.notes)


@pytest.mark.slow
async def test_children_die_with_a_killed_parent(tmp_path: Path, simulator: Simulator) -> None:
    """A killed kernel leaves no process behind, and its part-files are read: nothing that was finished is lost."""
    path = tmp_path / "run.jsonl"
    code = (
        "import asyncio, sys; from holystream_nb.measuring.bench import bench; "
        "asyncio.run(bench(sys.argv[1], 'Hello', repeats=99, concurrency=2, base_url=sys.argv[2], path=sys.argv[3]))"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, QUICK, simulator.url, str(path), stdout=asyncio.subprocess.DEVNULL
    )
    await until(lambda: path.exists() and path.read_bytes().count(b'"kind":"trial"') >= 2)
    workers = psutil.Process(parent.pid).children()
    parent.kill()
    await parent.wait()
    gone, alive = psutil.wait_procs(workers, timeout=2)
    assert (len(gone), alive) == (1, [])
    finished = journal.parts(path)[0].read_bytes().count(b'"kind":"trial"')
    assert len(load(path).trials) == finished >= 2


@pytest.mark.slow
async def test_a_429_is_a_failure_and_its_pause_is_obeyed(run: Run) -> None:
    """Not retried, not hidden: one failed request, and nothing is sent to that provider for the second it asked for."""
    result = await run("simulator:gpt-4.1#tokens=3,fail=429,tries=1,retry-after=0.6", repeats=3, warmup=0)
    failed = result.trials[result.trials.error != ""]
    assert (failed.error.tolist(), failed.status.tolist()) == (["RateLimited"] * 3, [429] * 3)
    starts = sorted(result.trials.at_s)
    assert all(later - earlier >= 0.6 for earlier, later in pairwise(starts))
    assert result.summary().iloc[0].errors == 3
    assert failed.cost_usd.tolist() == [0, 0, 0]  # nobody pays for a refusal


async def test_failures_are_data(run: Run) -> None:
    """A cut, a 500, an empty and an unfinished answer are rows with what went wrong; the run goes on."""
    suffixes = ("cut=2", "fail=500,tries=99", "tokens=0", "end=2")
    result = await run([f"simulator:gpt-4.1#{suffix}" for suffix in suffixes], warmup=0)
    errors = dict(zip(result.trials.model.str.partition("#")[2], result.trials.error, strict=True))
    assert errors == {
        "cut=2": "StreamInterrupted",
        "fail=500,tries=99": "ServiceUnavailable",
        "tokens=0": "empty",
        "end=2": "truncated",
    }
    assert sorted(result.trials.ended) == ["", "", "", "empty answer"]


async def test_requests_that_timed_out_took_their_time(run: Run) -> None:
    """Four good ones of a few ms and four cut off after 0.3 s, all at once: the span of every rate is that of all."""
    models = ["simulator:gpt-4.1#tokens=3,first=0.005", "simulator:gpt-4o#first=5"]
    result = await run(models, repeats=4, concurrency=8, timeout=0.3, warmup=0, limits={"ttft_ms": 5000})
    failed = [trial for trial in result.records if trial.error]
    assert [trial.error for trial in failed] == ["DeadlineExceeded"] * 4
    assert {trial.model for trial in failed} == {models[1]}
    assert all(0.29 < (trial.over - trial.submitted) / 1e9 < 1 for trial in failed)
    ends = result.trials.end_s
    assert ends[result.trials.error != ""].min() > ends[result.trials.error == ""].max()
    span = (max(trial.over for trial in result.records) - min(trial.begun for trial in result.records)) / 1e9
    whole = result.throughput()
    assert span > 0.3
    assert whole["duration_s"] == pytest.approx(span)
    assert whole["requests_per_s"] == whole["goodput_per_s"] == pytest.approx(4 / span)


async def test_what_is_waited_for_after_the_time_is_up_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A duration of 3 s took 19, and nobody knew for what."""
    with Simulator(speed=1) as paced:
        result = await run("simulator:gpt-4.1#tokens=60,rate=50,first=0.1", duration="0.5s", base_url=paced.url)
    assert result.plan.duration == 0.5
    said = capsys.readouterr().out
    assert "as many requests as the duration holds; the answers that then run are waited for" in said
    assert "the time is up: waiting for the answers that run" in said


async def test_a_model_that_does_not_exist_is_said_before_anything_counts(run: Run, tmp_path: Path) -> None:
    """The warm-up finds it: no figures are made of 404s."""
    with pytest.raises(UnknownModel, match="nobody"):
        await run(["simulator:gpt-4.1#tokens=2", "simulator:nobody"], repeats=50)
    assert load(tmp_path / "run.jsonl").trials.empty


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"path": "a\0b"}, "The path of a run cannot be used"),
        ({"path": f"/tmp/{'x' * 300}"}, "The path of a run cannot be used"),  # never made
        ({"prompts": "half a \ud83d"}, "half a character"),
        ({"executor": ProcessPoolExecutor}, "executor is of type ABCMeta|executor is of type type"),
        ({"n": 2}, "repeats= is how often each prompt is asked"),
        ({"parameters": {"n": 3}}, "n=3 would ask for that many choices"),
        ({"max_tokens": 0}, "max_tokens=0 asks for no output"),
        ({"max_tokens": "20"}, "max_tokens is a text: give a whole number"),
        ({"temperature": "hot"}, "temperature is a text: give a number"),
        ({"users": 4}, "did you mean concurrency"),
        ({"num_requests": 4}, "did you mean repeats"),
        ({"rps": 4}, "did you mean rate"),
        ({"duration": "soon"}, 'like "30min"'),
        ({"temperature": float("nan")}, "temperature of hs.bench is or holds what JSON has no form for"),
        ({"metadata": {"a": [b"x"]}}, "metadata of hs.bench is or holds what JSON has no form for"),
        ({"user": Decimal(1)}, "user of hs.bench is or holds what JSON has no form for"),
    ],
)
async def test_what_cannot_be_is_said_in_one_sentence(run: Run, tmp_path: Path, given: Any, match: str) -> None:
    """Some were errors of our insides; NaN went out as null, bytes and a Decimal as texts."""
    with pytest.raises(SetupError, match=match):
        await run(**given)
    assert files(tmp_path) == []


async def test_numbers_as_names_are_written_as_json_has_them(run: Run) -> None:
    """{50256: -100} is what the tokens of a logit_bias are in Python: it was a TypeError of the plan's hash."""
    result = await run(logit_bias={50256: -100, np.int64(7): 1})
    assert result.plan.parameters == {"logit_bias": {"50256": -100, "7": 1}}


async def test_a_missing_key_is_said_before_a_child_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MissingKey in the cell, and no file."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MissingKey, match="OPENAI_API_KEY"):
        await bench("openai:gpt-4.1", "Hello", path=tmp_path / "r")
    assert files(tmp_path) == []


async def test_what_would_cost_too_much_is_refused(run: Run, tmp_path: Path) -> None:
    """The estimate is above max_cost: nothing is sent, nothing is written."""
    with pytest.raises(SetupError, match="more than max_cost: 10 requests and 1 warm-up, at most about"):
        await run(repeats=10, max_cost="0.001", max_tokens=100)
    assert files(tmp_path) == []


async def test_what_turns_out_too_dear_is_not_sent(run: Run) -> None:
    """Answers are ten times as long as was foreseen: the run ends before the limit is passed, and says so."""
    result = await run("simulator:gpt-4.1#tokens=5000", repeats=10, concurrency=2, max_cost="0.1")
    spent = sum(result.trials.cost_usd) + sum(result.warmups.cost_usd)
    assert Decimal("0.04") < spent <= Decimal("0.1")
    assert result.missing > 0
    assert any("max_cost was reached" in note for note in result.notes)


async def test_a_budget_alone_may_end_what_is_decided(run: Run) -> None:
    """`until="decided", max_cost=…` was refused as without an end: the plan's hash was taken without its max_cost."""
    quick, slow = "simulator:gpt-4.1#tokens=2,first=0.01", "simulator:gpt-4o#tokens=2,first=0.15"
    result = await run([quick, slow], until="decided", max_cost="1", max_tokens=5)
    assert result.contents.ends[-1].reason == "decided"
    again = await run([quick, slow], until="decided", max_cost="2", max_tokens=5, resume=result.path)
    assert len(again.records) == len(result.records)


async def test_the_session_s_budget_holds_for_a_bench(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it made is spent there, and what would pass it is refused before anything is sent."""
    from holystream_nb.session import session

    monkeypatch.setattr(session, "budget", Budget(Decimal("0.1"), "session_budget"))
    result = await run(repeats=3, max_tokens=100)
    assert session.budget.spent == sum(result.trials.cost_usd) + sum(result.warmups.cost_usd) > 0
    session.budget.limit = session.budget.spent + Decimal("0.0001")
    with pytest.raises(SetupError, match=r"more than session_budget: 10 requests .* and \$0\.00010 is left"):
        await run(repeats=10, max_tokens=100, path=tmp_path / "other")
    session.budget.limit = session.budget.spent
    with pytest.raises(SetupError, match=r"session_budget=.* is spent"):
        await run(repeats=1, path=tmp_path / "other")
    assert not (tmp_path / "other").exists()


async def test_the_key_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes from the environment to the request: it is not in the run's file, nor on a command line."""
    monkeypatch.setenv("HOLYSHEEP_API_KEY", "hs_live_5ecretsecretsecret")
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(tmp_path / "providers.toml"))
    with Recorder() as recorder:
        (tmp_path / "providers.toml").write_text(
            f'[holysheep]\nbase_url = "{recorder.url}"\nkey_variable = "HOLYSHEEP_API_KEY"\n', "utf-8"
        )
        await bench("holysheep:gpt-4.1", "Hello", repeats=3, path=tmp_path / "run.jsonl", calibrate=False)
    assert recorder.keys == {"Bearer hs_live_5ecretsecretsecret"}
    assert b"5ecret" not in (tmp_path / "run.jsonl").read_bytes()
    assert b"HOLYSHEEP" not in (tmp_path / "run.jsonl").read_bytes()


async def test_without_a_key_models_run_on_the_kernels_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `%%stream` does: the simulator is started, labelled, and its own key is in no file."""
    from holystream_nb.session import session

    monkeypatch.delenv("HOLYSHEEP_API_KEY", raising=False)
    monkeypatch.setenv("HOLYSTREAM_SIMULATOR_SPEED", "50")
    session.stop_simulator()
    try:
        result = await bench("gpt-4.1", "Hello", repeats=3, path=tmp_path / "run.jsonl", max_tokens=10)
    finally:
        session.stop_simulator()
    assert result.models == ("simulator:gpt-4.1",)
    assert result.simulator == "simulator ×50"
    assert result.trials.error.tolist() == [""] * 3
    assert result.trials.price_note.tolist() == ["simulated"] * 3
    assert b"sim_" not in (tmp_path / "run.jsonl").read_bytes()
    assert result.calibration is not None
    assert result.calibration.own


async def test_a_simulator_of_ones_own_is_labelled_with_its_speed(tmp_path: Path) -> None:
    """What was measured twenty times as fast says so on every chart, wherever the simulator was started."""
    with Simulator(speed=20) as simulator:
        asked = {"base_url": simulator.url, "max_tokens": 5, "calibrate": False, "path": tmp_path / "run.jsonl"}
        result = await bench("simulator:gpt-4.1", "Hello", **asked)
    assert result.simulator == "simulator ×20"


@pytest.mark.slow
async def test_more_than_100_streams_are_spread_over_processes(run: Run) -> None:
    """120 at once: two workers, of 60 streams each."""
    result = await run("simulator:gpt-4.1#tokens=3,first=1.5", repeats=120, concurrency=120, warmup=0)
    trials = result.trials
    assert len(trials) == 120
    assert trials.error.tolist() == [""] * 120
    assert trials.groupby("worker").stream.max().to_dict() == {0: 59, 1: 59}


async def test_what_cannot_be_written_stays_in_the_part_files(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk under the run's file: the error comes out, no child is left, and no part-file is deleted."""
    path = tmp_path / "run.jsonl"
    monkeypatch.setattr(Log, "write_raw", full)
    with pytest.raises(HolystreamError, match=r"cannot be written \(No space left"):
        await run(PACED, repeats=9)
    assert children() == []
    (left,) = journal.parts(path)
    assert left.stat().st_size > 0


def full(self: Log, line: bytes) -> None:
    """A disk that takes the header and no more."""
    if b'"kind":"header"' not in line:
        raise OSError(28, "No space left on device")
    self._file.write(line + b"\n")


class Recorder:
    """A service that keeps what it is sent and answers two tokens; in a thread of its own."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()

    def __enter__(self) -> Recorder:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from threading import Thread

        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                recorder.bodies.append(json.loads(body))
                recorder.keys.add(self.headers["authorization"])
                chunk = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                self.wfile.write(chunk + b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
