"""The capacity search: by hand, by simulation, and against a service that queues behind a known number of slots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from raw_service import Asked, Service, Writer, serving

from holystream_nb import Simulator
from holystream_nb.errors import SetupError
from holystream_nb.measuring import board
from holystream_nb.measuring.capacity import Capacity, capacity
from holystream_nb.measuring.figures.capacity import By, CapacityFigures, Probe, bounds, needed, next_load, probe
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.sweep import sweep
from holystream_nb.measuring.values.record import Calibration, Trial

Make = Callable[..., Trial]
Results = Callable[..., Result]

SERVED_S = 0.06
SLOTS = 2


def searched(
    good: Callable[[float], int], by: By = "users", most: float = 512, n: int = 120
) -> tuple[list[Probe], str]:
    """A whole search where a load has so many good requests."""
    probes: list[Probe] = []
    start = 4.0 if by == "users" else 1.0
    while not isinstance(nearer := next_load(probes, target=0.95, by=by, start=start, most=most), str):
        assert nearer not in [each.load for each in probes]
        probes.append(Probe(nearer, n, good(nearer), 0, requests_per_s=nearer))
    return probes, nearer


@pytest.mark.parametrize(("edge", "by"), [(1, "users"), (7, "users"), (100, "users"), (0.3, "rate"), (23.7, "rate")])
def test_a_sharp_edge_is_found_to_ten_per_cent(edge: float, by: By) -> None:
    """All good up to it and none beyond: both loads are at it, and no load is tried twice."""
    probes, reason = searched(lambda load: 120 if load <= edge else 0, by)
    within, beyond = bounds(probes, 0.95)
    assert reason == "found"
    assert within is not None
    assert beyond is not None
    assert within.load <= edge < beyond.load
    assert beyond.load - within.load <= max(1 if by == "users" else 0, 0.1 * within.load) + 1e-9
    assert len(probes) <= 15


def test_what_cannot_be_decided_lies_between_the_edges() -> None:
    """By hand: all good up to 10 users, 95 % good up to 20, half beyond: neither edge is put into the unclear."""
    probes, reason = searched(lambda load: 120 if load <= 10 else 114 if load <= 20 else 60)
    within, beyond = bounds(probes, 0.95)
    assert reason == "found"
    assert within is not None
    assert beyond is not None
    assert (within.load, beyond.load) in {(9, 22), (9, 21), (10, 21), (10, 22)}


def test_a_search_says_why_it_ended() -> None:
    """Nothing good at one user; all good at the largest load; throughput that grows no more."""
    assert searched(lambda _: 0)[1] == "none"
    probes, reason = searched(lambda _: 120, most=100)
    assert (reason, probes[-1].load) == ("not reached", 100)
    flat = [Probe(load, 120, 120, 0, requests_per_s=rate) for load, rate in [(4, 10), (8, 19), (16, 19.5), (32, 19.6)]]
    assert next_load(flat[:3], target=0.95, by="users", start=4, most=512) == 32
    assert next_load(flat, target=0.95, by="users", start=4, most=512) == "saturated"


def test_throughput_that_fell_and_came_back_has_not_grown() -> None:
    """As of a real engine with four slots: eight users got no more of it than two."""
    rates = [(1, 3.4), (2, 4.35), (4, 3.85), (8, 4.31)]
    probes = [Probe(load, 120, 120, 0, requests_per_s=rate) for load, rate in rates]
    assert next_load(probes, target=0.95, by="users", start=1, most=512) == "saturated"


@pytest.mark.parametrize("by", ["users", "rate"])
def test_a_largest_load_that_is_unclear_is_no_limit_that_was_not_reached(by: By) -> None:
    """What so many requests cannot decide is said, and the largest load that surely holds is still found."""
    probes, reason = searched(lambda load: 120 if load <= 20 else 116, by, most=32)
    within, beyond = bounds(probes, 0.95)
    assert (reason, beyond) == ("unclear", None)
    assert within is not None
    assert 18 <= within.load <= 20
    said = str(_answer(probes, reason, by))
    assert "not reached" not in said
    assert said.endswith("32.")
    few, reason = searched(lambda _: 20, by, most=8, n=20)
    assert reason == "unclear"
    assert str(_answer(few, reason, by)).startswith("Nothing is decided yet about x:a")


@pytest.mark.slow
def test_a_chart_says_at_least_where_no_load_broke_the_limits() -> None:
    """And not that the largest load that was tried is the most that it bears."""
    probes = tuple(Probe(load, 120, 120, 0) for load in (4, 8))
    found = Capacity("x:a", {"ttft_ms": 500}, 0.95, "users", "not reached", probes, (), Path("x"))
    assert "bears at least a load of 8" in repr(found.plot())


def _answer(probes: list[Probe], reason: str, by: By) -> CapacityFigures:
    ordered = tuple(sorted(probes, key=lambda each: each.load))
    return CapacityFigures("x:a", {"ttft_ms": 500}, 0.95, by, reason, ordered, (), Path("x"))


def test_the_fewest_requests_that_show_a_share() -> None:
    """72 for 95 %: all good, and the exact 95 % interval begins at 95; with one fewer it does not."""
    assert needed(0.95) == 72
    assert Probe(1, 72, 72, 0).verdict(0.95) == "within"
    assert Probe(1, 71, 71, 0).verdict(0.95) == "unclear"
    assert Probe(1, 120, 100, 0).verdict(0.95) == "beyond"


@pytest.mark.slow
def test_the_answer_holds_the_true_capacity_as_often_as_it_should() -> None:
    """400 searches where the share falls smoothly with the load: the true edge lies between the two in 99 of 100."""
    held, widths = 0, []
    for seed in range(400):
        rng = Random(seed)
        edge = rng.uniform(5, 200)  # the share is 95 % here
        slope = rng.choice([0.5, 1, 3])

        def good(load: float, rng: Random = rng, edge: float = edge, slope: float = slope) -> int:
            share = max(0.0, min(1.0, 1 - 0.05 * (load / edge) ** (2 * slope)))
            return sum(rng.random() < share for _ in range(120))

        probes, _ = searched(good, most=2000, n=120)
        within, beyond = bounds(probes, 0.95)
        low, high = within.load if within else 0.0, beyond.load if beyond else float("inf")
        held += low <= edge < high
        widths.append(high / edge if beyond else 9)
    assert held >= 396
    assert sorted(widths)[200] < 2.5


def queueing(slots: int = SLOTS, served_s: float = SERVED_S) -> AbstractAsyncContextManager[Service]:
    """A chat service that serves so many requests at a time, each for so long, and lets the others wait in turn."""
    turn = asyncio.Semaphore(slots)

    async def answer(asked: Asked, writer: Writer) -> None:
        async with turn:
            await asyncio.sleep(served_s)
        await writer.whole("one")

    return serving(answer)


@pytest.mark.slow
async def test_the_users_of_a_queueing_service_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two slots of 60 ms: n users wait n × 30 ms. A limit of 210 ms on TTFT is kept by 6, and broken by 8.

    The folder is the answer again, and a search that is there already asks nothing.
    """
    async with queueing() as service:
        options = {
            "limits": {"ttft_ms": 210},
            "path": tmp_path / "c",
            "seed": 1,
            "base_url": service.url,
            "api_key": "none",
        }
        found = await capacity("m", "Hello", **options)
    assert isinstance(found, Capacity)
    assert found.within in (5, 6, 7)
    assert found.beyond in (7, 8)
    assert found.reason == "found"
    table = found.table()
    assert table.load.tolist() == sorted(table.load)
    assert table.verdict.iloc[0] == "within"
    assert "users: " in capsys.readouterr().out
    assert repr(found).startswith(f"{found.model} bears {found.within:.0f} users, but not {found.beyond:.0f} ")
    assert f"bears a load of {found.within:.0f}" in repr(found.plot())
    again = load(tmp_path / "c")
    assert isinstance(again, Capacity)
    assert repr(again) == repr(found)
    assert repr(await capacity("m", "Hello", **options)) == repr(found)  # the service is gone


@pytest.mark.slow
async def test_a_search_ends_by_itself_when_the_service_is_saturated(tmp_path: Path) -> None:
    """Two slots serve as many requests a second for any users from two on: under limits that none breaks it says so."""
    asked: dict[str, Any] = {"limits": {"e2e_s": 60}, "requests": 100, "start": 2, "path": tmp_path, "api_key": "none"}
    async with queueing(served_s=0.03) as service:
        found = await capacity("m", "Hello", base_url=service.url, seed=1, **asked)
    assert found.reason == "saturated"
    assert [each.load for each in found.probes[:3]] == [2, 4, 8]
    assert (found.within, found.beyond) == (found.probes[-1].load, None)
    assert found.probes[-1].load < 512
    assert found.sentence.endswith("Throughput grows no more: more load only waits longer.")


def test_a_probe_counts_what_came_when_all_users_were_there(trial: Make, result: Results) -> None:
    """Of two users whose first two waited: those began before, and are no part of it. All are paid for."""
    rows = [
        trial("x:a", repeat=i, stream=i % 2, sent=1000 * (i // 2), ttft=900 if i < 2 else 100, gaps=(20,))
        for i in range(80)
    ]
    found = probe(result(*rows, concurrency=2, limits={"ttft_ms": 500}), 2)
    assert (found.n, found.good) == (78, 78)
    assert found.cost_usd == Decimal("0.080")


@pytest.mark.slow
async def test_a_probe_may_be_of_a_time(simulator: Simulator, tmp_path: Path) -> None:
    """As many requests as it holds, and a search that is there already asks nothing."""
    options = {"limits": {"ttft_ms": 5000}, "path": tmp_path, "base_url": simulator.url, "start": 2, "most": 4}
    found = await capacity("simulator:gpt-4.1#tokens=2,first=0.005", "Hello", duration=0.7, **options)
    assert [each.load for each in found.probes] == [2, 4]
    assert found.reason == "not reached"
    again = await capacity("simulator:gpt-4.1#tokens=2,first=0.005", "Hello", duration=0.7, **options)
    assert [each.n for each in again.probes] == [each.n for each in found.probes]


@pytest.mark.slow
async def test_a_load_takes_no_more_of_many_prompts_than_it_needs(simulator: Simulator, tmp_path: Path) -> None:
    """Of 2,000 rows a search's load takes those of its 120 requests, and a sweep's those of its 74."""
    questions = [f"Question {number}?" for number in range(2000)]
    model, options = "simulator:gpt-4.1#tokens=2,first=0.005", {"base_url": simulator.url, "seed": 1}
    found = await capacity(model, questions, limits={"e2e_s": 60}, most=1, path=tmp_path / "c", **options)
    assert found.results[0].plan.requests == 122
    swept = await sweep(model, questions, concurrencies=[1], path=tmp_path / "s", calibrate=False, **options)
    assert swept.results[0].plan.requests == 74
    assert len({*swept.results[0].plan.prompts}) == 74


@pytest.mark.slow
async def test_requests_a_second_are_counted_too(tmp_path: Path) -> None:
    """Two slots of 60 ms serve 33 requests/s: it bears some of them, and never more than that."""
    async with queueing() as service:
        found = await capacity(
            "m",
            ["Hello"],
            limits={"e2e_s": 0.2},
            by="rate",
            share=0.8,
            start=16,
            requests=40,
            path=tmp_path,
            base_url=service.url,
            api_key="none",
            seed=3,
        )
    assert found.within is not None
    assert found.beyond is not None
    assert 4 <= found.within < found.beyond
    assert found.within <= 33
    assert "requests/s" in str(found)


@pytest.mark.slow
def test_ttft_at_a_rate_is_from_the_scheduled_start(trial: Make, result: Results) -> None:
    """In the table and beside the limit's line, as the requests that are good: it stood at 100 ms, far below a limit
    that most requests had broken.
    """
    rows = [trial(repeat=i, sent=1000 * i + 700, scheduled=1000 * i * 1_000_000, ttft=100) for i in range(80)]
    limits = {"ttft_ms": 500.0, "tpot_ms": 90.0}
    run = result(*rows, rate=1.0, concurrency=None, limits=limits)
    each = probe(run, 1)
    assert (each.good, each.ttft_p95_ms and each.ttft_p95_ms.value) == (0, 800)
    found = Capacity("x:a", limits, 0.95, "rate", "found", (each,), (run,), Path("x"))
    assert found.table()["ttft_p95_ms"].tolist() == [800]
    assert "with TTFT from the scheduled start up to 500 ms and TPOT up to 90.0 ms)" in found.sentence
    panels = found.plot()
    assert panels[1].get_title(loc="left") == "TTFT p95, from the scheduled start"
    assert list(panels[1].lines[0].get_ydata()) == [800]
    users = Capacity("x:a", limits, 0.95, "users", "found", (probe(result(*rows), 1),), (), Path("x"))
    assert "scheduled" not in users.sentence + repr(users.plot())


@pytest.mark.slow
async def test_a_cancelled_search_says_what_it_knows(simulator: Simulator, tmp_path: Path) -> None:
    """■ in the second probe: the first is kept, and what IPython prints is the answer so far and where it is."""
    model = "simulator:gpt-4.1#tokens=2,first=0.05"
    options = {"limits": {"ttft_ms": 5000}, "path": tmp_path, "base_url": simulator.url}
    task = asyncio.ensure_future(capacity(model, "Hello", **options))
    async with asyncio.timeout(60):
        while not (tmp_path / "8.jsonl").exists():  # noqa: ASYNC110  # the file is what is waited for
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as stopped:
        await task
    said = stopped.value._render_traceback_()  # type: ignore[attr-defined]
    assert "bears at least 4 users" in said[0]
    assert said[-1].startswith("hs.load(")
    found = load(tmp_path)
    assert isinstance(found, Capacity)
    assert (found.within, found.reason) == (4, "stopped")


@pytest.mark.slow
async def test_a_notebook_keeps_the_answers_sentence_and_no_second_chart(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it searches, what is known; at the end the answer's sentence: a cell's last line has the rest."""
    drawn: list[object] = []
    handle = SimpleNamespace(update=lambda found, **_: drawn.append(found))
    monkeypatch.setattr(board, "screen", lambda: "file")
    monkeypatch.setattr("IPython.display.display", lambda found, **_: drawn.append(found) or handle)
    asked = {"base_url": simulator.url, "max_tokens": 2, "path": tmp_path / "search"}
    found = await capacity("simulator:gpt-4.1", "Hello", limits={"e2e_s": 60}, most=4, **asked)
    assert isinstance(drawn[0], Capacity)
    assert drawn[-1] == {"text/plain": repr(found).splitlines()[0]}
    assert "was not reached" in repr(found)
    assert str(found).startswith("load")
    assert str(found).endswith(repr(found))


CALIBRATED = Calibration(
    concurrency=2, workers=1, requests=400, tokens_per_s=50, ttft_ms=(20, 60, 70), e2e_ms=(20, 60, 70), gap_ms=(1, 2, 3)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ttft", "more", "ours"),
    [
        (540, {"calibration": CALIBRATED}, True),  # 60 ms of it may be our own
        (600, {"calibration": CALIBRATED}, False),
        (540, {"calibration": None}, False),
        (540, {"rate": 10, "concurrency": None, "late": 400}, True),
        (600, {"bursts": True}, True),
    ],
)
def test_a_search_says_where_this_machine_may_be_what_broke_the_limits(
    ttft: float, more: dict[str, Any], ours: bool, trial: Make, result: Results
) -> None:
    """A limit of 500 ms, broken at a load of 10: by the timing error, by requests that went out late, or in bursts."""
    late, bursts, calibration = more.get("late", 0), more.get("bursts", False), more.get("calibration")
    loads = {"rate": more.get("rate"), "concurrency": more.get("concurrency", 10)}
    shape: dict[str, Any] = {"gaps": (100,) * 5, "events": [20] * 6} if bursts else {"gaps": (20,)}

    def at(load: float, first: float, **known: Any) -> Result:
        at_rate = {"scheduled": 100 * 1_000_000} if loads["rate"] else {}
        rows = [
            trial("x:a", repeat=i, sent=100 + (late if first == ttft else 0), ttft=first, **shape, **at_rate)
            for i in range(80)
        ]
        given = {name: load for name, value in loads.items() if value}
        return result(*rows, limits={"ttft_ms": 500}, **{"concurrency": None, **given}, **known)

    runs = at(4, 100), at(10, ttft, calibration=calibration)
    probes = tuple(probe(run, load) for run, load in zip(runs, (4, 10), strict=True))
    by: By = "rate" if loads["rate"] else "users"
    found = Capacity("x:a", {"ttft_ms": 500}, 0.95, by, "found", probes, runs, Path("x"))
    assert (found.within, found.beyond) == (4, 10)
    assert found.may_be_ours == ours
    assert ("This may be limited by this machine, and not by the model." in repr(found)) == ours
    for said in found.warnings:
        assert str(found).count(said) == 1
        assert said in found._repr_mimebundle_()["text/plain"]
    warned = sum("WARNING" in note for note in runs[1].notes)
    assert found.table()["warnings"].iloc[1] == warned
    assert bool(warned) == bool(calibration or late or bursts)
    assert ("was not measured" in repr(found)) == (calibration is None)


@pytest.mark.slow
async def test_the_budget_is_that_of_the_whole_search(simulator: Simulator, tmp_path: Path) -> None:
    """What the probes cost together stays below max_cost, and the answer so far is there."""
    found = await capacity(
        "simulator:gpt-4.1#tokens=5",
        "Hello",
        limits={"ttft_ms": 5000},
        max_cost="0.01",
        max_tokens=5,
        base_url=simulator.url,
        path=tmp_path,
    )
    assert found.reason == "max_cost"
    assert found.within is not None
    assert sum(found.table().cost_usd) <= Decimal("0.01")
    assert "ended the search" in str(found)


async def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    """Before anything is sent, in one sentence."""
    for options, match in (
        ({"limits": {}}, "needs limits"),
        ({"limits": {"ttft_ms": 1}, "requests": 50}, "72 are needed"),
        ({"limits": {"ttft_ms": 1}, "concurrency": 5}, "sets concurrency itself"),
        ({"limits": {"ttft_ms": 1}, "share": 1}, "below 1"),
        ({"limits": {"ttft_ms": 1}, "by": "users", "start": 8, "most": 4}, "start=8 is more than most=4"),
        ({"limits": {"ttft_ms": 1}, "by": "people"}, "users, rate"),
    ):
        with pytest.raises(SetupError, match=match):
            await capacity("simulator:gpt-4.1", "Hello", path=tmp_path, **options)


@pytest.mark.slow
async def test_what_a_folder_has_cost_counts_if_not_visited_again(simulator: Simulator, tmp_path: Path) -> None:
    """A search from another start asked 16 users before: max_cost is of them too."""
    asked: dict[str, Any] = {"limits": {"ttft_ms": 5000}, "path": tmp_path, "base_url": simulator.url, "max_tokens": 2}
    first = await capacity("simulator:gpt-4.1#tokens=2", "Hello", start=16, most=16, max_cost="1", **asked)
    spent = sum(result.contents.spent for result in first.results)
    again = await capacity("simulator:gpt-4.1#tokens=2", "Hello", start=1, most=1, max_cost=spent, **asked)
    assert (again.reason, again.results) == ("max_cost", ())
