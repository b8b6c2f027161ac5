"""Real benches over both transports: what the simulator saw, what was kept, what a new connection costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from holystream_nb import Simulator
from holystream_nb.errors import SetupError
from holystream_nb.measuring.calibrate import calibrate
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.sweep import sweep

Run = Callable[..., Awaitable[Result]]

BOTH = ["sse", "ws"]
QUICK = "simulator:gpt-4.1#tokens=10,rate=100,first=0.05"  # a seventh of a second


def methods(simulator: Simulator, result: Result) -> Counter[tuple[str, str]]:
    """How often each transport was asked for, and what the simulator knows the request as."""
    return Counter((trial.way, simulator.record(trial.response_id)["method"]) for trial in result.records)


@pytest.mark.slow
async def test_each_pair_is_asked_over_both_transports(run: Run, simulator: Simulator) -> None:
    """Every prompt and repeat once over each; the simulator has them as requests and as turns of a socket."""
    result = await run(QUICK, ["Hello", "Goodbye"], repeats=4, concurrency=2, transport=BOTH)
    trials = result.trials
    assert not (trials["error"] != "").any()
    assert methods(simulator, result) == {("sse", "POST"): 8, ("ws", "WS"): 8}
    assert (
        trials.groupby(["prompt", "repeat"])["transport_used"].agg(lambda each: "".join(sorted(each))).eq("ssews").all()
    )
    assert result.warmups["transport"].tolist() in (["sse", "ws"], ["ws", "sse"])
    assert result.compare("sse", "ws").pairs == 8
    assert list(result.summary().index) == [f"{QUICK} · sse", f"{QUICK} · ws"]


@pytest.mark.slow
async def test_sockets_are_kept_from_turn_to_turn(run: Run, simulator: Simulator) -> None:
    """One stream at a time needs one socket, which the warm-up has opened: nothing that counts waits for one."""
    result = await run(QUICK, repeats=4, transport=BOTH)
    sockets = {simulator.record(trial.response_id)["session"] for trial in result.records if trial.way == "ws"}
    assert len(sockets) == 1
    assert result.rows(result.arm("ws"))["connect_ms"].max() < result.warmups["connect_ms"].max()


@pytest.mark.slow
async def test_without_reuse_each_request_opens_its_connection(run: Run, simulator: Simulator) -> None:
    """As many sockets as turns; the handshake is in connect, and not in TTFT."""
    result = await run(QUICK.replace("#", "#head=0.05,"), repeats=6, transport=BOTH, reuse=False)
    ws = [trial for trial in result.records if trial.way == "ws"]
    assert len({simulator.record(trial.response_id)["session"] for trial in ws}) == 6
    summary = result.summary()
    new = summary.loc[result.arm("ws"), "connect_p50_ms"]
    assert new > summary.loc[result.arm("sse"), "connect_p50_ms"] > 0


@pytest.mark.slow
async def test_a_run_over_both_goes_on_where_it_ended(run: Run, tmp_path: Path) -> None:
    """Half of the requests are taken out of the file: those are made again, over the transport that is missing."""
    file = tmp_path / "run.jsonl"
    result = await run(QUICK, repeats=3, transport=BOTH)
    kept = [
        line
        for line in file.read_bytes().splitlines(keepends=True)
        if b'"transport":"ws"' not in line or b"header" in line
    ]
    file.write_bytes(b"".join(kept))
    assert load(file).missing == 3
    again = await run(QUICK, repeats=3, transport=BOTH, resume=file)
    assert not again.missing
    assert {trial.way for trial in again.records[len(result.records) // 2 :]} == {"ws"}
    with pytest.raises(SetupError, match="transport"):
        await run(QUICK, repeats=3, resume=file)


@pytest.mark.slow
async def test_failures_have_the_same_names_over_both(run: Run) -> None:
    """A cut connection, an early end, a refusal, an error in the stream."""
    faults = ["cut=5", "end=5", "fail=503,tries=99", "error"]
    result = await run([f"simulator:gpt-4.1#{fault},tokens=20" for fault in faults], transport=BOTH, warmup=0)
    rows = result.trials.pivot(index="model", columns="transport", values="error")
    assert (rows["sse"] == rows["ws"]).all()
    assert (rows["sse"] != "").all()


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "used"), [("", "ws"), (",no-socket", "sse")])
async def test_what_auto_came_over_is_said(fault: str, used: str, run: Run) -> None:
    """The row is that of `auto`; a service that offers no socket answers over SSE, and no answer is lost."""
    trials = (await run(f"simulator:gpt-4.1#tokens=5{fault}", repeats=2, transport="auto")).trials
    assert trials[["transport", "transport_used", "error"]].to_numpy().tolist() == [["auto", used, ""]] * 2


@pytest.mark.slow
async def test_the_stopwatch_is_checked_over_each_transport(tmp_path: Path) -> None:
    """Turns are found in the simulator's records as requests are: TTFT's error is known for both, and small."""
    error = await calibrate(concurrency=4, transport=BOTH, tokens=10)
    assert set(error.ttft_ms_by_transport) == {"sse", "ws"}
    assert all(0 <= row[0] < 50 for row in error.ttft_ms_by_transport.values())


@pytest.mark.slow
async def test_a_sweep_runs_the_transports_apart(simulator: Simulator, tmp_path: Path) -> None:
    """A file for each transport and load, and the same names as a bench."""
    made = await sweep(
        QUICK, "Hello", concurrencies=(2,), transport=BOTH, base_url=simulator.url, path=tmp_path, calibrate=False
    )
    assert made.arms == (f"{QUICK} · sse", f"{QUICK} · ws")
    assert made.table()[["transport", "concurrency"]].to_numpy().tolist() == [["sse", 2], ["ws", 2]]
    assert len({result.path for result in made.results}) == 2
