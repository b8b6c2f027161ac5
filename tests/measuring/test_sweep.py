"""Sweeps and presets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from holystream_nb import Simulator
from holystream_nb.errors import SetupError
from holystream_nb.measuring.figures.error import Errors, calibration
from holystream_nb.measuring.figures.sweep import COLUMNS, knee
from holystream_nb.measuring.load import load
from holystream_nb.measuring.presets import PRESETS, preset
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.sweep import Sweep, sweep
from holystream_nb.measuring.values.record import Trial

Make = Callable[..., Trial]


@pytest.mark.slow
async def test_a_sweep_is_a_bench_for_each_load(simulator: Simulator, tmp_path: Path) -> None:
    """So many requests that p95 has its interval; the folder is a Sweep again, and is continued, not repeated."""
    model = "simulator:gpt-4.1#tokens=2,first=0.05"
    options = {"concurrencies": [4, 1], "base_url": simulator.url, "path": tmp_path, "seed": 1, "calibrate": False}
    found = await sweep(model, ["Hello", "Goodbye"], **options)
    table = found.table()
    assert [name for name in table.columns if not name.endswith(("_low", "_high"))] == list(COLUMNS)
    assert {kind.kind for kind in table.drop(columns=["model", "transport", "wire"]).dtypes} == {"i", "f"}
    assert table[["concurrency", "n", "errors"]].to_numpy().tolist() == [[1, 74, 0], [4, 80, 0]]
    assert table.ttft_p95_ms_low.notna().all()
    assert table.requests_per_s[1] > 1.5 * table.requests_per_s[0]
    again = load(tmp_path)
    assert isinstance(again, Sweep)
    assert again.table().n.tolist() == [74, 80]
    newest = simulator.requests()[0]["id"]
    await sweep(model, ["Hello", "Goodbye"], **options)
    assert simulator.requests()[0]["id"] == newest


@pytest.mark.slow
async def test_a_sweep_has_one_budget_for_all_its_benches(simulator: Simulator, tmp_path: Path) -> None:
    """Three loads of which two fit: the third is not measured, which is said, also when the sweep is continued."""
    options = {"concurrencies": [1, 2, 4], "base_url": simulator.url, "path": tmp_path, "seed": 1, "calibrate": False}
    model, limits = "simulator:gpt-4.1#tokens=400", {"max_tokens": 400, "max_cost": "0.045", "repeats": 3}
    for _ in range(2):
        with pytest.warns(UserWarning, match="at 4 at once was not measured: This would cost more than max"):
            found = await sweep(model, "Hello", **options, **limits)
        assert found.table().concurrency.tolist() == [1, 2]
        assert sum(result.contents.spent for result in found.results) < Decimal("0.045")


@pytest.mark.slow
async def test_a_sweep_may_be_of_a_time_for_each_load(simulator: Simulator, tmp_path: Path) -> None:
    """Half a second each, and as many requests as that holds; a second one goes on with nothing."""
    options = {"concurrencies": [1, 2], "base_url": simulator.url, "path": tmp_path, "seed": 1, "calibrate": False}
    found = await sweep("simulator:gpt-4.1#tokens=2,first=0.02", "Hello", duration=0.5, **options)
    assert [result.contents.ends[-1].reason for result in found.results] == ["duration", "duration"]
    assert all(1 <= n <= 60 for n in found.table().n)
    again = await sweep("simulator:gpt-4.1#tokens=2,first=0.02", "Hello", duration=0.5, **options)
    assert again.table().n.tolist() == found.table().n.tolist()


async def test_a_sweep_that_is_stopped_says_how_it_goes_on(simulator: Simulator, tmp_path: Path) -> None:
    """The folder of all its runs, not the file of the one that was running."""
    going = asyncio.create_task(
        sweep("simulator:gpt-4.1#rate=20", "Hello", concurrencies=[1, 2], base_url=simulator.url, path=tmp_path / "sw")
    )
    await asyncio.wait([going], timeout=1)
    going.cancel()
    with pytest.raises(asyncio.CancelledError) as stopped:
        await going
    (said,) = getattr(stopped.value, "_render_traceback_")()  # noqa: B009
    assert said.endswith(f"the same call with path={str(tmp_path / 'sw')!r} goes on.")


def test_a_sweep_shows_a_star_where_a_level_has_too_few(trial: Make, result: Callable[..., Result]) -> None:
    """Its text has a row a run; as numbers, a percentile of too few requests has no interval, and none is made up."""
    few = [trial("x:a", repeat=i, sent=1000 * i, ttft=100 + i) for i in range(8)]
    many = [trial("x:a", repeat=i, stream=i % 2, sent=1000 * (i // 2), ttft=100 + i, gaps=(20, 20)) for i in range(80)]
    made = Sweep((result(*few, concurrency=1), result(*many, concurrency=2)), Path("sweep"))
    table = made.table()
    assert table.n.tolist() == [8, 80]
    assert table.ttft_p50_ms_low.notna().tolist() == [True, True]
    assert table.ttft_p95_ms_low.notna().tolist() == [False, True]
    assert table.ttft_p95_ms.notna().all()
    for shown in (repr(made), made._repr_markdown_()):
        assert "no interval at this size" in shown
        assert "TTFT p95 (ms)" in shown
    assert [ax.get_ylabel() for ax in made.plot()] == ["system tok/s", "TTFT (ms)"]
    assert [line.split()[:3] for line in repr(made).splitlines()[1:3]] == [["x:a", "1", "8"], ["x:a", "2", "80"]]


def test_a_sweep_marks_bursts_and_a_timing_error_without_an_interval(
    trial: Make, result: Callable[..., Result]
) -> None:
    """Behind a proxy that buffers each level carries the mark and the word; p95 of 71 timing errors has no interval."""
    rows = [trial("x:a", repeat=i, sent=1000 * i, ttft=400, gaps=(140,) * 5, events=[14] * 6) for i in range(8)]
    known = [calibration(Errors([1.0] * n, [1.0] * n, [[] for _ in range(n)]), 1, 1, 50.0, own=True) for n in (71, 72)]
    made = Sweep(tuple(result(*rows, concurrency=i + 1, calibration=each) for i, each in enumerate(known)), Path())
    assert made.table().timing_error_p95_ms.tolist() == [1, 1]
    assert made.table().timing_error_p95_ms_low.notna().tolist() == [False, True]
    assert "400 (400 to 400)†" in repr(made)
    assert "† came in bursts" in repr(made)
    assert "At 2: WARNING: 8 of 8 answers of a came in bursts" in repr(made)


async def test_a_sweep_sets_the_load_itself(tmp_path: Path) -> None:
    """An option that it would overrule is refused by name."""
    with pytest.raises(SetupError, match="concurrency, rate itself"):
        await sweep("simulator:gpt-4.1", "Hello", concurrency=3, rate=1.0, path=tmp_path)


@pytest.mark.parametrize(
    ("points", "at"),
    [
        ([(1, 10), (2, 20), (4, 38), (8, 42), (16, 43)], 4),
        ([(1, 10), (2, 20), (4, 40)], None),
        ([(1, 10), (2, 20)], None),
        ([(1, 10), (2, 9), (4, 8)], None),
        ([(16, 43), (1, 10), (4, 38)], 4),
    ],
)
def test_the_knee_is_where_more_load_brings_little_more(points: list[tuple[float, float]], at: int | None) -> None:
    """By hand: the point farthest above the line between the ends; none where throughput grows with the load."""
    assert knee(points) == at


def test_a_preset_has_the_columns_of_its_document(trial: Make, result: Callable[..., Result]) -> None:
    """001, 002 and 003: the document's own figures and a run's stand in the same columns."""
    for name, each in ((name, each) for name, each in PRESETS.items() if each.figures):
        models = [f"holysheep:{model}" for model in each.arguments["models"]]
        trials = [trial(model, repeat=i, ttft=100 + i, gaps=(20.0,) * 9) for model in models for i in range(31)]
        table = preset(name).table(result(*trials))
        assert list(table.columns)[: len(each.columns)] == list(each.documented.columns)
        assert (table.iloc[0, 0], set(table.dtypes)) == (115, {np.dtype(float)})
    assert list(preset("001").table(result(*trials)).columns)[4:6] == ["mean TTFT (ms) low", "mean TTFT (ms) high"]
    prices = preset("001").table(result(trial("holysheep:gpt-4.1"), trial("holysheep:deepseek-v3.2")))
    assert prices["USD per 1M output tokens"].tolist() == [8.0, 0.42]
    assert preset("001").documented.loc["gpt-4.1"].tolist() == [1240, 48, 24.2, 8.0]


def test_a_presets_gaps_are_of_the_requests_that_its_other_means_are_of(
    trial: Make, result: Callable[..., Result]
) -> None:
    """Those of the steady part: in the burst of the start all are slow."""
    rows = [
        trial("holysheep:gpt-4.1", repeat=4 * i + user, stream=user, sent=2000 * i + 10 * user, ttft=ttft, gaps=(gap,))
        for user in range(4)
        for i in range(12)
        for ttft, gap in [(900, 500) if i == 0 else (100, 20)]
    ]
    row = preset("001").table(result(*rows, concurrency=4)).iloc[0]
    assert (row["mean TTFT (ms)"], row["mean gap (ms)"]) == (100, 20)


def test_003_has_a_row_for_each_transport(trial: Make, result: Callable[..., Result]) -> None:
    """Its two rows under its own words, with intervals; one failure of 72 is 1.4 %, and the means are of the others."""
    trials = [
        trial(repeat=i, way=way, ttft=ttft, error="ConnectionFailed" if (way, i) == ("ws", 0) else "")
        for way, ttft in (("sse", 300), ("ws", 200))
        for i in range(72)
    ]
    table = preset("003").table(result(*trials, transport=("sse", "ws"), repeats=72))
    assert list(table.index) == list(preset("003").documented.index) == ["SSE", "WebSocket"]
    assert table.loc["SSE"].tolist()[:4] == [300, 300, pytest.approx(0.38), 0]
    assert table.loc["WebSocket"].tolist()[:4:3] == [200, pytest.approx(100 / 72)]
    assert table[["p95 TTFT (ms) low", "p95 TTFT (ms) high"]].isna().all(axis=1).tolist() == [False, True]


def test_a_preset_nobody_has_is_refused() -> None:
    """By name, with those there are."""
    with pytest.raises(SetupError, match="001, 002, 003"):
        preset("004")


@pytest.mark.parametrize("given", [b"x", "16", 4, {"a": 1}])
async def test_concurrencies_are_a_list_of_numbers(given: object) -> None:
    """Of bytes each was taken for a number: b"x" were 120 at once."""
    with pytest.raises(SetupError, match="give a list of whole numbers"):
        await sweep("simulator:gpt-4.1", "Hi", concurrencies=given)  # type: ignore[arg-type]
