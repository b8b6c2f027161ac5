"""How a run is carried out: one queue, one budget, one rate limit, one count of failures for all workers; and what a
killed worker, a dead service, a second process and a stale file do to it. Real children, a real loopback socket."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from holystream_nb import Simulator
from holystream_nb.errors import HolystreamError, SetupError
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.running import pace
from holystream_nb.measuring.running.budget import Budget
from holystream_nb.measuring.running.child import broken
from holystream_nb.measuring.running.dispatch import Dispatcher, deal
from holystream_nb.measuring.running.pace import MINUTE_NS, Pace
from holystream_nb.measuring.sweep import sweep
from holystream_nb.measuring.values import journal
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import Begun, Lost, Trial
from holystream_nb.measuring.values.schedule import Slot, blocks

Run = Callable[..., Awaitable[Result]]
Make = Callable[..., Trial]

SECOND = 1_000_000_000
QUICK = "simulator:gpt-4.1#tokens=10,rate=100,first=0.05"
DEAD = "simulator:gpt-4.1#fail=503,tries=9999"


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def dispatcher(clock: Clock | None = None, limit: str | None = None, paces: Any = None, **changes: Any) -> Dispatcher:
    plan = Plan(**{"models": ("x:a",), "prompts": ("Hello",), "repeats": 10, **changes})
    budget = Budget(None if limit is None else Decimal(limit), [Decimal("0.01")] * len(plan.models))
    more = {"planned": plan.requests, "streams": plan.concurrency or 1}
    return Dispatcher(plan, blocks(plan), budget, paces or {}, now=clock or Clock(), **more)


def children() -> list[psutil.Process]:
    return [
        child for child in psutil.Process().children() if "measuring.running.child" in " ".join(child.cmdline() or [])
    ]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def finished(path: Path) -> int:
    return path.read_bytes().count(b'"kind":"trial"') if path.exists() else 0


# The dispatcher alone


def test_every_slot_is_leased_once_whoever_asks(trial: Make) -> None:
    """Two workers in turns get all ten between them, and nothing is left."""
    made = dispatcher()
    dealt = deal(made, {0: 3, 1: 99})
    assert (len(dealt[0]), len(dealt[1])) == (3, 7)
    assert len({lease.slot.id for leases in dealt.values() for lease in leases}) == 10
    assert (made.left, made.has_ended) == (0, False)
    for worker, leases in dealt.items():
        for lease in leases:
            made.begun(worker, lease.slot, 1)
            made.settle(trial("x:a", repeat=lease.slot.repeat, worker=worker))
    assert (made.has_ended, made.reason) == (True, "complete")


def test_what_a_dead_worker_had_goes_to_others_and_what_it_had_begun_is_listed() -> None:
    """Of three slots one was begun: it is lost, paid for at worst, and made again; but no second time."""
    made = dispatcher(limit="1")
    first, second, third = (lease.slot for lease in made.lease(0, 3))
    made.begun(0, first, 5)
    (lost,) = made.lost(0, "worker 0 ended with code -9")
    assert (lost.repeat, lost.begun, lost.usd, lost.why) == (
        first.repeat,
        5,
        Decimal("0.01"),
        "worker 0 ended with code -9",
    )
    assert made._budget.spent == Decimal("0.01")
    again = [lease.slot for lease in made.lease(1, 3)]
    assert {slot.id for slot in again} == {first.id, second.id, third.id}
    made.begun(1, first, 6)
    assert len(made.lost(1, "again")) == 1
    assert first.id not in [lease.slot.id for lease in made.lease(2, 99)]


def test_no_more_begins_than_the_budget_holds() -> None:
    """Three of ten fit, however many workers ask; with what one did not cost another begins."""
    made = dispatcher(limit="0.03")
    assert len(made.lease(0, 2)) + len(made.lease(1, 9)) == 3
    slot = made.lost(0, "gone", unheard=0)
    assert slot == []
    assert len(made.lease(2, 9)) == 2


def test_an_arm_is_asked_no_more_after_failures_in_a_row(trial: Make) -> None:
    """The other arm goes on; what was leased of the dead one and not begun comes to nothing."""
    made = dispatcher(models=("x:a", "x:b"), repeats=50, max_failures=5)
    failed = 0
    while leases := made.lease(0, 4):
        for lease in leases:
            made.begun(0, lease.slot, 1)
            word = "" if lease.slot.model else "ServiceUnavailable"
            failed += bool(word)
            name = f"x:{'ab'[lease.slot.model]}"
            made.settle(trial(name, repeat=lease.slot.repeat, error=word, message="It is down."))
    assert failed == 5
    assert list(made.stopped.values()) == [
        "x:a was asked no more after 5 failures in a row (ServiceUnavailable: It is down.)"
    ]
    assert (made.has_ended, made.reason) == (True, "complete")


def test_a_success_begins_the_count_anew(trial: Make) -> None:
    """Failures that are not in a row stop nothing."""
    made = dispatcher(repeats=40, max_failures=2)
    for number in range(40):
        (lease,) = made.lease(0, 1)
        made.begun(0, lease.slot, 1)
        made.settle(trial("x:a", repeat=lease.slot.repeat, error="RateLimited" if number % 2 else ""))
    assert made.reason == "complete"


def test_what_was_on_its_way_when_the_service_died_ends_no_row(trial: Make) -> None:
    """27 were made for 20: seven good answers, begun before the first failure, ended between the failures."""
    made = dispatcher(repeats=99, max_failures=20)
    early = [lease.slot for lease in made.lease(0, 7)]
    for at, slot in enumerate(early):
        made.begun(0, slot, at)
    failed = 0
    while leases := made.lease(0, 1):
        failed += 1
        made.begun(0, leases[0].slot, 10 + failed)
        made.settle(trial("x:a", repeat=leases[0].slot.repeat, error="ServiceUnavailable"))
        if failed % 2 == 0 and early:
            made.settle(trial("x:a", repeat=early.pop().repeat))
    assert failed == 20
    assert "after 20 failures in a row" in made.stopped[0, 0]


def test_a_failure_that_was_begun_before_a_good_answer_is_none_of_the_row(trial: Make) -> None:
    """A question that takes a minute to fail, while others are answered; but one failure is always one."""
    for most, stops in ((2, 0), (1, 1)):
        made = dispatcher(repeats=9, max_failures=most, concurrency=3)
        slots = [lease.slot for lease in made.lease(0, 3)]
        for at, slot in enumerate(slots):
            made.begun(0, slot, at)
        for slot, error in zip(reversed(slots), ("", "DeadlineExceeded", "DeadlineExceeded"), strict=True):
            made.settle(trial("x:a", repeat=slot.repeat, error=error))
        assert len(made.stopped) == stops


def test_a_minute_never_holds_more_than_its_requests() -> None:
    """However late what was allowed is begun: 5 a minute, begun in bursts, counted in every window."""
    limited, now, stamps = Pace(5, None), 0, list[int]()
    held = list[tuple[int, int]]()
    for number in range(40):
        while (at := limited.grant(number, 0, now)) is None:
            key, earliest = held.pop(0)
            now = max(now, earliest) + number % 3 * SECOND
            limited.begin(key, 0, now)
            stamps.append(now)
        held.append((number, at))
    assert len(stamps) >= 35
    assert all(last - first > 60 * SECOND for first, last in zip(stamps, stamps[5:], strict=False))
    assert stamps[35 - 1] < 7 * MINUTE_NS + 90 * SECOND  # and not much slower than it allows


def test_there_is_room_for_what_a_worker_asks_again_by_itself() -> None:
    """Of 10 a minute with two retries three may run; one that needed none leaves its room to others."""
    limited = Pace(10, None, retries=2)
    assert [limited.grant(number, 0, 0) for number in range(4)] == [0, 0, 0, None]
    limited.begin(0, 0, 0)
    limited.settle(0, None, 0, SECOND)
    assert limited.grant(3, 0, SECOND) == SECOND
    limited.begin(1, 0, 0)
    limited.settle(1, None, 2, 5 * SECOND)
    for number in (2, 3):
        limited.begin(number, 0, 5 * SECOND)
        limited.settle(number, None, 2, 6 * SECOND)
    assert limited.grant(4, 0, 6 * SECOND) == 5 * SECOND + MINUTE_NS


def test_a_minute_does_not_begin_anew_with_the_next_run() -> None:
    """What the run before sent 10 s ago, by its own origin 30 s earlier, counts in the next; so does a pause."""
    before, after = Pace(2, None), Pace(2, None)
    before.grant("a", 0, 20 * SECOND)
    before.begin("a", 0, 20 * SECOND)
    before.paused_until = 35 * SECOND
    after.go_on(before, 30 * SECOND)
    assert after.grant("b", 0, 0) == 5 * SECOND
    after.begin("b", 0, 0)
    assert after.grant("c", 0, 0) == MINUTE_NS - 10 * SECOND


def test_tokens_count_as_estimated_and_then_as_used() -> None:
    """600 a minute, 300 each: the third goes when the first turns out smaller."""
    limited = Pace(None, 600)
    assert [limited.grant(number, 300, 0) for number in range(3)] == [0, 0, None]
    limited.begin(0, 300, 0)
    assert limited.grant(2, 300, 0) == MINUTE_NS
    limited.release(2)
    limited.settle(0, 10, 0, SECOND)
    assert limited.grant(2, 290, SECOND) == SECOND


def test_a_service_that_asks_for_silence_gets_it_from_all_workers(trial: Make) -> None:
    """A 429's pause holds for slots that are leased later, to whom ever."""
    clock = Clock()
    made = dispatcher(clock)
    (lease,) = made.lease(0, 1)
    made.begun(0, lease.slot, 0)
    made.settle(trial("x:a", repeat=lease.slot.repeat, error="RateLimited", retry_after=0.4))
    assert made.pauses == {"x": round(0.4 * SECOND)}
    assert [lease.not_before for lease in made.lease(1, 1)] == [round(0.4 * SECOND)]


def test_what_two_workers_were_lost_with_is_not_called_complete() -> None:
    """It is made again once only, and then the run has failed."""
    made = dispatcher(repeats=1)
    for worker in range(2):
        (lease,) = made.lease(worker, 1)
        made.begun(worker, lease.slot, 1)
        made.lost(worker, "gone")
    assert made.lease(2, 9) == []
    assert (made.has_ended, made.is_cut_off) == (True, True)


def test_of_a_worker_that_is_heard_late_more_may_have_been_begun(trial: Make) -> None:
    """As many of its next requests are listed too, and counted; the others are as good as new."""
    made = dispatcher(limit="1")
    leases = made.lease(0, 5)
    made.begun(0, leases[0].slot, 1)
    lost = made.lost(0, "gone", unheard=2)
    assert [each.begun for each in lost] == [1, None, None]
    assert made._budget.spent == Decimal("0.03")
    assert len(made.lease(1, 99)) == 10


def test_an_exception_of_a_worker_is_named_without_a_path() -> None:
    """Its class, what it says, and the last lines of ours that it came through."""
    try:
        Path("/nowhere/at/all").read_text("utf-8")
    except OSError as exc:
        found = broken(3, ExceptionGroup("several", [exc]))
    assert (found.worker, found.error) == (3, "FileNotFoundError")
    assert "test_dispatch.py:" in found.where
    assert "/" not in found.where


# Runs


@pytest.mark.slow
async def test_others_take_over_from_a_killed_worker(run: Run, tmp_path: Path) -> None:
    """kill -9 of one of two in mid-run: the plan is whole, and what was in flight is listed and counted."""
    path = tmp_path / "run.jsonl"
    task = asyncio.ensure_future(run(QUICK, repeats=60, concurrency=4, workers=2))
    await until(lambda: finished(path) >= 8)
    children()[0].send_signal(signal.SIGKILL)
    result = await task
    assert (result.missing, len(result.trials)) == (0, 60)
    lost = result.contents.lost
    assert 1 <= len(lost) <= 2
    assert all(each.usd and each.begun for each in lost)
    assert result.contents.ends[-1].reason == "complete"
    assert any("ended with code -9, and" in note for note in result.notes)
    assert journal.parts(path) == []


@pytest.mark.slow
async def test_when_every_worker_is_killed_the_rest_is_missing_and_said_to_be(run: Run, tmp_path: Path) -> None:
    """It ends by itself, as failed, and resume makes the rest."""
    path = tmp_path / "run.jsonl"
    task = asyncio.ensure_future(run(QUICK, repeats=40, concurrency=2, workers=2))
    await until(lambda: finished(path) >= 4)
    for child in children():
        child.kill()
    result = await task
    assert result.missing > 20
    assert result.contents.ends[-1].reason == "failed"
    assert "Workers ended before their time, and none was left that could do the rest." in result.notes
    whole = await run(QUICK, repeats=40, concurrency=2, workers=2, resume=path)
    assert (whole.missing, len(whole.trials)) == (0, 40)


@pytest.mark.slow
async def test_nothing_goes_on_against_a_dead_service(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """300 of 300 failed in 1.6 s: now about 20 are made, and one sentence says what the service said."""
    result = await run(DEAD, repeats=300, concurrency=4)
    assert 20 <= len(result.trials) <= 24
    assert result.contents.ends[-1].reason == "failures"
    (note,) = [note for note in result.notes if "asked no more" in note]
    assert "after 20 failures in a row (ServiceUnavailable: The service is overloaded" in note
    assert "asked no more" in capsys.readouterr().out


@pytest.mark.slow
async def test_one_dead_model_does_not_spoil_the_others(run: Run) -> None:
    """It is stopped alone; the others are whole. With None nothing is stopped."""
    models = [DEAD, "simulator:gpt-4.1#tokens=3", "simulator:gpt-4o#tokens=3"]
    result = await run(models, repeats=60, concurrency=4, max_failures=5)
    counts = result.trials.model.value_counts()
    assert 5 <= counts[DEAD] <= 9
    assert counts[models[1]] == counts[models[2]] == 60
    assert len(result.contents.ends[-1].stops) == 1


@pytest.mark.slow
async def test_a_run_that_shall_not_stop_goes_on_whatever_fails(run: Run) -> None:
    """max_failures=None."""
    assert len((await run(DEAD, repeats=60, concurrency=4, max_failures=None)).trials) == 60


@pytest.mark.slow
async def test_twenty_at_once_do_not_pass_max_cost(run: Run) -> None:
    """Answers ten times as long as foreseen, 20 at once, no warm-up to learn from: the sum stays below the limit."""
    result = await run("simulator:gpt-4.1#tokens=5000", repeats=60, concurrency=20, warmup=0, max_cost="0.25")
    spent = sum(result.trials.cost_usd)
    assert Decimal("0.1") < spent <= Decimal("0.25")
    assert result.contents.ends[-1].reason == "max_cost"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"workers": 4}, {"reuse": False}, {"workers": 4, "rate": 40.0}, {"executor": "processes"}]
)
async def test_one_rate_limit_for_all_workers(
    run: Run, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """By the simulator's own stamps no window holds more than `requests_per_minute`; waiting is time in queue."""
    monkeypatch.setattr(pace, "MINUTE_NS", 1_250_000_000)  # a minute of one second, and its margin
    load: dict[str, Any] = {} if "rate" in options else {"concurrency": 8}
    known = {record["id"] for record in simulator.requests()}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        others = {"executor": pool} if "executor" in options else {}
        result = await run(QUICK, repeats=26, requests_per_minute=10, **load, **(options | others))
    records = [record for record in simulator.requests() if record["id"] not in known and record["model"]]
    stamps = sorted(record["received_ns"] for record in records)
    assert len(stamps) == 26 + len(result.warmups)
    assert all(last - first > SECOND for first, last in zip(stamps, stamps[10:], strict=False))
    assert result.trials.queue_ms.max() > 300
    assert stamps[-1] - stamps[0] < 6 * SECOND
    if "rate" in options:
        assert result.trials.lag_ms.max() < 300


@pytest.mark.slow
async def test_the_loads_of_a_sweep_share_the_minute(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each load began with a minute's worth of its own: where one ended and the next began 60 s held nearly twice."""
    monkeypatch.setattr(pace, "MINUTE_NS", 2_250_000_000)  # a minute of two seconds, and its margin
    known = {record["id"] for record in simulator.requests()}
    options = {"concurrencies": [1, 2], "repeats": 9, "base_url": simulator.url, "path": tmp_path, "calibrate": False}
    await sweep("simulator:gpt-4.1#tokens=3", "Hello", requests_per_minute=10, **options)
    records = [record for record in simulator.requests() if record["id"] not in known and record["model"]]
    stamps = sorted(record["received_ns"] for record in records)
    assert len(stamps) == 9 + 9 + 2
    assert all(last - first > 2 * SECOND for first, last in zip(stamps, stamps[10:], strict=False))


@pytest.mark.slow
async def test_what_a_worker_asks_again_counts_in_the_minute(
    run: Run, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten at once that are refused once each were twenty in the same minute."""
    monkeypatch.setattr(pace, "MINUTE_NS", 4_250_000_000)
    known = {record["id"] for record in simulator.requests()}
    await run("simulator:gpt-4.1#tokens=3,fail=503,tries=1", repeats=10, concurrency=10, retries=1, warmup=0,
              requests_per_minute=10)  # fmt: skip
    stamps = sorted(record["received_ns"] for record in simulator.requests() if record["id"] not in known)
    assert len(stamps) == 20
    assert all(last - first > 4 * SECOND for first, last in zip(stamps, stamps[10:], strict=False))


@pytest.mark.slow
async def test_a_run_ends_with_its_time(run: Run) -> None:
    """Nothing begins after the duration, what runs is finished, and that is no failure."""
    result = await run(QUICK, repeats=None, duration=1.0, concurrency=4, workers=2)
    begun = [trial.submitted / 1e9 for trial in result.records]
    assert 0.7 < max(begun) - min(begun) <= 1.0
    assert {trial.error for trial in result.records} == {""}
    assert len(result.records) > 12
    assert (result.missing, result.contents.ends[-1].reason) == (0, "duration")
    counted = await run(QUICK, repeats=99, duration=0.5, path=result.path.with_name("other"))
    assert counted.missing > 80
    assert "Its time was up: the rest was not sent." in counted.notes


@pytest.mark.slow
async def test_no_user_waits_for_the_parent_while_there_is_work(run: Run) -> None:
    """In a closed loop without a pause a user asks again at once: within a few ms of the answer's end."""
    result = await run(QUICK, repeats=160, concurrency=8, workers=2)
    users: dict[tuple[int, int], list[Trial]] = {}
    for trial in sorted(result.records, key=lambda trial: trial.submitted):
        users.setdefault((trial.worker, trial.stream), []).append(trial)
    waits = sorted((b.submitted - a.over) / 1e6 for user in users.values() for a, b in pairwise(user))
    assert waits[len(waits) // 2] < 5
    assert waits[int(len(waits) * 0.95)] < 40


@pytest.mark.slow
async def test_a_second_process_is_kept_from_the_file(run: Run, tmp_path: Path, simulator: Simulator) -> None:
    """It gets one sentence; the first is not disturbed; a killed one leaves no lock behind."""
    path = tmp_path / "run.jsonl"
    code = (
        "import asyncio, sys; from holystream_nb.measuring.bench import bench; asyncio.run(bench(sys.argv[1], 'Hello', "
        "repeats=40, seed=1, base_url=sys.argv[2], path=sys.argv[3], calibrate=False))"
    )
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, QUICK, simulator.url, str(path), stdout=asyncio.subprocess.DEVNULL
    )
    await until(lambda: finished(path) >= 3)
    with pytest.raises(SetupError, match="is being written by another run"):
        await run(QUICK, repeats=40, resume=path)
    other.kill()
    await other.wait()
    await until(lambda: finished(path) >= 3)
    result = await run(QUICK, repeats=40, resume=path)
    assert (result.missing, len(result.trials)) == (0, 40)


@pytest.mark.slow
async def test_a_stale_part_file_is_never_read_into_another_run(run: Run, tmp_path: Path, trial: Make) -> None:
    """61 trials of a deleted run came into a new one: every line says whose it is."""
    path = tmp_path / "run.jsonl"
    stale = journal.Log(path.with_name("run.jsonl.part0"), "0123456789ab")
    for repeat in range(5):
        stale.write(trial("simulator:gpt-4.1#tokens=5", repeat=repeat))
    stale.close()
    result = await run(repeats=5)
    assert len({each.response_id for each in result.records}) == 5
    assert None not in {each.response_id for each in result.records}
    assert any("5 lines of another run beside the file" in note for note in result.notes)
    assert len((await run(repeats=5, resume=path)).records) == 5
    rows = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert {row["run"] for row in rows} == {rows[0]["run"]}
    assert len(rows[0]["run"]) == 12


@pytest.mark.slow
async def test_failures_are_made_again_only_where_that_is_asked_for(run: Run) -> None:
    """They stay in the file; the newer one counts; n is right, also when it is loaded anew."""
    model = "simulator:gpt-4.1#tokens=3,fail=500,tries=1"
    first = await run(model, repeats=8, warmup=0)
    assert (first.trials.error != "").sum() == 8
    unchanged = await run(model, repeats=8, warmup=0, resume=first.path)
    assert unchanged.trials.equals(first.trials)
    again = await run(model, repeats=8, warmup=0, resume=first.path, retry_failed=True)
    assert (len(again.trials), again.missing) == (8, 0)
    assert (again.trials.error != "").sum() == 0
    assert again.path.read_bytes().count(b'"error":"ServiceUnavailable"') == 8
    assert load(again.path).trials.equals(again.trials)
    assert any("8 failed requests made again" in note for note in again.notes)


def sabotaged(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str, by: str) -> None:
    """Children in which `what` of our modules raises `by`."""
    (folder / "sabotage").mkdir()
    (folder / "sabotage" / "sabotage.py").write_text(
        "from holystream_nb.measuring.running import worker\n"
        "from holystream_nb.measuring.values import journal\n"
        f"def _fail(*args, **more):\n    raise {by}\n"
        f"{what} = _fail\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(folder / "sabotage"))
    from holystream_nb.measuring.running import processes

    child = processes._CHILD.replace("main()", "import sabotage; main()")
    monkeypatch.setattr(processes, "_CHILD", child)


@pytest.mark.slow
async def test_a_worker_that_cannot_write_says_why(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under its part-file: that it could not write either, and ended as "-6: <no Python frame>"."""
    sabotaged(tmp_path, monkeypatch, "journal.Log.write_raw", "OSError(28, 'No space left on device')")
    with pytest.raises(HolystreamError, match=r"worker 0 ended with code 1: OSError: \[Errno 28\] No space left"):
        await run(repeats=3)


@pytest.mark.slow
async def test_an_exception_in_a_worker_is_said_in_words(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended as "-6: <no Python frame>": now with the exception's class, its message and where it was."""
    sabotaged(tmp_path, monkeypatch, "worker._outcome", "ValueError('a defect of ours')")
    result = await run(repeats=3, warmup=0)
    (loss,) = result.contents.ends[-1].losses
    assert loss.startswith("worker 0 ended by ValueError: a defect of ours (")
    assert "worker.py:" in loss
    assert "Traceback" not in loss


@pytest.mark.slow
async def test_what_a_killed_kernel_had_begun_is_listed_as_paid_for(run: Run) -> None:
    """Of two that its worker had begun one had ended: the other is lost, counts at its cost at worst, and is made."""
    first = await run("simulator:gpt-4.1#tokens=3", repeats=4, warmup=0, max_tokens=10)
    header, *lines = first.path.read_bytes().splitlines(keepends=True)
    trials = [line for line in lines if b'"kind":"trial"' in line]
    first.path.write_bytes(header + b"".join(trials[:2]))
    rows = {trial.repeat: trial for trial in first.records}
    made = msgspec.json.decode(trials[2])["repeat"]
    (gone,) = set(rows) - {msgspec.json.decode(line)["repeat"] for line in trials[:3]}
    begun = [Begun(Slot(0, 0, repeat, 0.0), 7) for repeat in (made, gone)]
    run_id = first.contents.header.run
    part = b"".join(journal.encoded(each, run_id) + b"\n" for each in begun) + trials[2]
    journal.part(first.path, 3, run_id).write_bytes(part)
    again = await run("simulator:gpt-4.1#tokens=3", repeats=4, warmup=0, max_tokens=10, max_cost="1", resume=first.path)
    (lost,) = again.contents.lost
    assert (lost.repeat, lost.worker, lost.begun) == (gone, 3, 7)
    assert lost.why.startswith("the run broke off")
    assert lost.usd is not None
    assert again.contents.spent == sum(trial.usd or 0 for trial in again.records) + lost.usd > first.contents.spent
    assert (len(again.records), journal.parts(first.path)) == (4, [])
    assert any("1 request not seen to end" in note for note in again.notes)


@pytest.mark.slow
async def test_what_is_listed_already_is_not_lost_once_more(run: Run) -> None:
    """A worker died, and was listed, and then the kernel: resume= found its part-file, and counted it a second time."""
    first = await run("simulator:gpt-4.1#tokens=3", repeats=2, warmup=0)
    run_id, slot = first.contents.header.run, Slot(0, 0, 0, 0.0)
    lost = Lost(model=first.models[0], prompt=0, repeat=0, worker=3, begun=7, usd=Decimal("0.1"), why="it was killed")
    with first.path.open("ab") as file:
        file.write(journal.encoded(lost, run_id) + b"\n")
    lines = first.path.read_bytes().splitlines(keepends=True)
    first.path.write_bytes(b"".join(line for line in lines if b'"repeat":1' not in line))
    journal.part(first.path, 3, run_id).write_bytes(journal.encoded(Begun(slot, 7), run_id) + b"\n")
    again = await run("simulator:gpt-4.1#tokens=3", repeats=2, warmup=0, resume=first.path)
    assert (len(again.contents.lost), len(again.records), journal.parts(first.path)) == (1, 2, [])


@pytest.mark.slow
async def test_an_old_file_is_read_and_continued(run: Run, tmp_path: Path) -> None:
    """Lines without a run's id are of a file without one."""
    path = tmp_path / "run.jsonl"
    await run(repeats=4)
    rows = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    old = [{name: value for name, value in row.items() if name not in ("run", "stops")} for row in rows]
    kept = [row for row in old if row["kind"] != "trial"] + [row for row in old if row["kind"] == "trial"][:2]
    for name in ("pause", "duration", "max_failures"):
        del kept[0]["plan"][name]
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in kept))
    assert len(load(path).trials) == 2
    result = await run(repeats=4, resume=path)
    assert (len(result.trials), result.missing) == (4, 0)
