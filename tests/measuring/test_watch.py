"""A watch over time: its change points by simulation, and sittings that fail, stop and go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels import kernel

from holystream_nb import Simulator
from holystream_nb.errors import ConnectionFailed, SetupError
from holystream_nb.measuring import watch as door
from holystream_nb.measuring.figures.changes import changes, fewest
from holystream_nb.measuring.load import load
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Trial
from holystream_nb.measuring.watch import Watch, watch


@pytest.mark.slow
@pytest.mark.parametrize("count", [9, 12, 24])
def test_what_does_not_change_is_seldom_said_to(count: int) -> None:
    """400 skewed and tied series without a change: at most 5 % alarms, and what chance adds to that."""
    rng = np.random.default_rng(11)
    alarms = sum(bool(changes(list(np.round(rng.lognormal(5.7, 0.3, count), -1)), seed=seed)) for seed in range(400))
    assert alarms <= 0.05 * 400 + 2 * (0.05 * 0.95 * 400) ** 0.5


def test_a_change_is_found_where_it_is() -> None:
    """By hand: twice as slow from the sixth on, then back; eight values cannot show anything."""
    slow = [300, 310, 305, 302, 308, 601, 610, 604, 606, 611]
    (found,) = changes(slow)
    assert (found.index, found.before, found.after) == (5, 305, 606)
    assert found.p < 0.02
    both = [*slow, *(300, 311, 306, 303, 309, 307)]
    assert [each.index for each in changes(both)] == [5, 10]
    late = [*(300 + i for i in range(10)), 330, *(600 + i for i in range(5)), *(301 + i for i in range(8))]
    assert [each.index for each in changes(late)] == [11, 16]
    assert fewest() == 9
    assert changes([300, 301, 302, 303, 600, 601, 602, 603]) == []
    assert changes([5.0] * 20) == []


def test_a_sitting_has_the_median_of_its_own_table(
    burst: Callable[..., list[Trial]], result: Callable[..., Result], tmp_path: Path
) -> None:
    """Of its steady part: the burst in which all users begin is no change of the service."""
    made = result(*burst("simulator:a", 300), concurrency=8)
    found = Watch(metric="ttft_ms", planned=1, results={1: made}, failed={}, path=tmp_path)
    assert found.medians("simulator:a") == {1: made.cells["simulator:a"]["ttft_p50_ms"]}


@pytest.mark.slow
async def test_a_watch_keeps_a_failed_sitting_and_goes_on(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second of three sittings fails: its reason is a row, the third comes, and the folder is the Watch again."""
    made, bench = [], door.bench

    async def second_fails(*arguments: Any, **options: Any) -> Any:
        made.append(options["path"])
        if len(made) == 2:
            raise ConnectionFailed("Nobody answers there.")
        return await bench(*arguments, **options)

    monkeypatch.setattr(door, "bench", second_fails)
    options: dict[str, Any] = {"base_url": simulator.url, "repeats": 6, "path": tmp_path, "every": "0.1s"}
    found = await watch("simulator:gpt-4.1#tokens=2", "Hello", sittings=3, **options)
    table = found.table()
    assert table.n.tolist() == [6, 0, 6]
    assert table.reason.tolist() == ["", "Nobody answers there.", ""]
    assert table["median"].notna().tolist() == [True, False, True]
    assert "1 sitting failed: Nobody answers there." in str(found)
    assert "9 are the fewest" in str(found)
    assert "sitting 2 of 3: Nobody answers there." in capsys.readouterr().out
    again = load(tmp_path)
    assert isinstance(again, Watch)
    assert str(again) == str(found)
    shown = found._repr_mimebundle_()
    assert "Nobody answers there." in shown["text/plain"]
    assert "<img alt=" in shown["text/html"]
    assert "TTFT p50 (ms)" in repr(found.plot())
    longer = await watch("simulator:gpt-4.1#tokens=2", "Hello", sittings=4, **options)
    assert (len(made), sorted(longer.results)) == (4, [1, 3, 4])


@pytest.mark.slow
async def test_a_stopped_watch_keeps_what_is_there(simulator: Simulator, tmp_path: Path) -> None:
    """■ while it waits for the next sitting: the first one is there, and IPython prints what is known."""
    options: dict[str, Any] = {"base_url": simulator.url, "repeats": 2, "path": tmp_path, "every": timedelta(hours=1)}
    task = asyncio.ensure_future(watch("simulator:gpt-4.1#tokens=2", "Hello", **options))
    async with asyncio.timeout(60):
        while not (tmp_path / "about.json").exists():  # noqa: ASYNC110  # the file is what is waited for
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as stopped:
        await task
    lines = stopped.value._render_traceback_()  # type: ignore[attr-defined]
    assert "9 sittings of 10 still to come: the same call with path= goes on." in lines
    found = load(tmp_path)
    assert isinstance(found, Watch)
    assert list(found.results) == [1]


@pytest.mark.slow
async def test_a_sitting_that_was_cut_goes_on(simulator: Simulator, tmp_path: Path) -> None:
    """■ in the middle of it: it counted as made, with what it had."""
    options: dict[str, Any] = {"base_url": simulator.url, "repeats": 6, "path": tmp_path, "sittings": 1}
    await watch("simulator:gpt-4.1#tokens=2", "Hello", max_cost="1", **options)
    file = tmp_path / "0001.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    end = next(line for line in lines if b'"kind":"end"' in line).replace(b'"complete"', b'"cancelled"')
    file.write_bytes(b"".join([lines[0], *[line for line in lines if b'"kind":"trial"' in line][:2], end]))
    assert "1 sitting of 1 still to come" in str(load(tmp_path))
    found = await watch("simulator:gpt-4.1#tokens=2", "Hello", max_cost="1", **options)
    assert [len(result.records) for result in found.results.values()] == [6]


async def test_what_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    for options, match in (
        ({"every": "soon"}, 'like "30min"'),
        ({"every": 0}, "every=0"),
        ({"metric": "beauty"}, "ttft_ms"),
        ({"seed": 1}, "sets seed itself"),
        ({"sittings": 0}, "sittings=0"),
    ):
        with pytest.raises(SetupError, match=match):
            await watch("simulator:gpt-4.1", "Hello", path=tmp_path, **options)


@pytest.mark.slow
def test_a_kernel_is_heard_between_two_sittings(tmp_path: Path) -> None:
    """It cancels from a signal's handler, which wakes no loop: ■ took as long as the next sitting was away."""
    folder, last = tmp_path / "watch", b'"kind":"end"'
    with kernel() as running:
        running.run("import holystream_nb as hs")
        cell = f"await hs.watch('simulator:gpt-4.1#tokens=2', 'Hi', every=60, sittings=2, path={str(folder)!r})"
        started = running.start(cell)
        deadline = time.monotonic() + 30
        while not any(last in file.read_bytes() for file in folder.glob("*.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(3)  # its line is drawn
        before = time.monotonic()
        running.interrupt()
        ran = running.finish(started)
    assert time.monotonic() - before < 15
    assert "1 sitting of 2 still to come" in ran.error
