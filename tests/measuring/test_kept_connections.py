"""A service that closes idle connections is healthy: what met one of them is no failure of its."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from raw_service import Asked, Writer, serving

import holystream_nb as hs
from holystream_nb.measuring.running.budget import Budget


@pytest.mark.slow
async def test_a_bench_charges_no_closed_connection_to_the_service(tmp_path: Path) -> None:
    """Every second request of a connection meets its end: none fails, and each is counted as resent."""

    async def answer(asked: Asked, out: Writer) -> bool:
        if asked.number:
            return False
        await out.whole()
        return True

    async with serving(answer) as service:
        result = await hs.bench(
            "m",
            ["Hello"],
            repeats=40,
            concurrency=2,
            base_url=service.url,
            calibrate=False,
            path=tmp_path / "run.jsonl",
        )
    trials = result.trials
    assert (len(trials), list(trials["error"].unique())) == (40, [""])
    assert trials["resent"].sum() > 10  # the others had seen it closed before they were asked
    assert list(trials["retries"].unique()) == [0]


def test_what_was_resent_takes_its_share_of_the_budget_twice() -> None:
    """The request that met a dead connection may have been answered, and paid for."""
    budget = Budget(Decimal(10), [Decimal(4)])
    assert budget.reserve(0)
    budget.settle(0, Decimal(3), again=1)
    assert not budget.reserve(0)  # 10 − 3 − 4 leaves less than 4
