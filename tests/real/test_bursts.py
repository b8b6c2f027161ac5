"""A bench through nginx and HAProxy as they come: what they spoil is marked, warned of, and no more than is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import holystream_nb as hs
from holystream_nb import Simulator

from .programs import Engine, haproxy, nginx

pytestmark = pytest.mark.real

MODEL = "simulator:gpt-4.1#tokens=120,first=0.265,rate=106"
REPEATS = 12


@pytest.fixture(scope="module")
def simulated() -> Iterator[Engine]:
    """The simulator at its true speed, where the gateways expect an engine."""
    with Simulator(speed=1) as simulator:
        yield Engine(simulator.url, MODEL, Path())


@pytest.mark.parametrize("name", ["direct", "nginx", "haproxy", "haproxy mended"])
async def test_what_a_proxy_gathers_is_seen(
    name: str, simulated: Engine, state: Callable[[str], None], tmp_path: Path
) -> None:
    """265 ms and 106 tok/s, through each: what a buffer spoils has its mark, and a note says how."""
    with nginx(simulated, tmp_path) as (_, buffering, _), haproxy(simulated, tmp_path) as (plain, undelayed):
        ways = {"direct": simulated.url, "nginx": buffering, "haproxy": plain, "haproxy mended": undelayed}
        result = await hs.bench(
            MODEL, "Hello", base_url=ways[name], repeats=REPEATS, calibrate=False, path=tmp_path / "run.jsonl"
        )
    row = result.summary().iloc[0]
    warned = [note for note in result.notes if "came in bursts" in note]
    state(
        f"{name}: TTFT p50 {row.ttft_p50_ms:.0f} ms for 265, decode {row.decode_tokens_per_s:.0f} tok/s for 106, "
        f"{row.events_per_read:.1f} events a read, {row.bursts:.0f} % in bursts"
    )
    assert not result.trials.error.any()
    if name in ("nginx", "haproxy"):
        assert row.bursts == 100
        assert row.events_per_read > 5
        assert len(warned) == 1
        assert "†" in str(result)
        # The first event waited for the rest of its burst.
        assert row.ttft_p50_ms > 265 + 0.5 * row.gap_p50_ms
    else:
        assert (row.bursts, warned) == (0, [])
        assert row.ttft_p50_ms == pytest.approx(265, abs=60)
        assert row.decode_tokens_per_s == pytest.approx(106, rel=0.1)
