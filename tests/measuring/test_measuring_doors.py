"""The doors that measure take the same words for the same things."""

from __future__ import annotations

from inspect import Parameter, signature
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import holystream_nb as hs
from holystream_nb.errors import SetupError

DOORS: dict[str, Any] = {door.__name__: door for door in (hs.bench, hs.sweep, hs.capacity, hs.watch, hs.shadow)}


def keywords(door: str) -> dict[str, Parameter]:
    return {
        name: each for name, each in signature(DOORS[door]).parameters.items() if each.kind is Parameter.KEYWORD_ONLY
    }


@pytest.mark.parametrize(("one", "other"), list(combinations(DOORS, 2)))
def test_common_keywords_have_one_default_and_one_order(one: str, other: str) -> None:
    """What two doors both name they name in the same order, with the same default, unless one needs it."""
    ours, theirs = keywords(one), keywords(other)
    common = [name for name in ours if name in theirs]
    assert common == [name for name in theirs if name in ours]
    given = {name: (ours[name].default, theirs[name].default) for name in common}
    assert {name: pair for name, pair in given.items() if Parameter.empty not in pair and pair[0] != pair[1]} == {}


@pytest.mark.parametrize("door", ["sweep", "capacity", "watch"])
def test_a_door_over_bench_takes_its_keywords(door: str) -> None:
    """All but what it sets itself."""
    assert Parameter.VAR_KEYWORD in {each.kind for each in signature(DOORS[door]).parameters.values()}


def test_shadow_takes_what_bench_does() -> None:
    """But what is each side's own (its address and keys), and what a pair of answers does not allow."""
    own = {"base_url", "api_key", "key_variable", "key_header", "headers", "query", "cert", "transport"}
    own |= {"requests_per_minute", "tokens_per_minute", "executor", "until", "metric", "arrivals"}
    assert keywords("bench").keys() - keywords("shadow").keys() == own
    assert keywords("shadow").keys() - keywords("bench").keys() == {"old", "new"}


async def test_doors_with_an_end_of_their_own_refuse_until(tmp_path: Path) -> None:
    """In a sentence, before anything is sent."""
    for door, more in ((hs.sweep, {}), (hs.capacity, {"limits": {"ttft_ms": 1}}), (hs.watch, {})):
        with pytest.raises(SetupError, match="ends by its own rules"):
            await door("simulator:gpt-4.1", "Hello", path=tmp_path, until="decided", **more)
