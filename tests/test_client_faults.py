"""Every fault of the simulator against the client, over both transports: right outcome or one clear error, no hang."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from fault_table import CASES, Case, Found, in_readme, measure, render
from foreign_socket import patiently

from holystream_nb import Client, Simulator
from holystream_nb.simulator.faults import Entry, registry

pytestmark = pytest.mark.slow  # all cases are asked at once, in a fixture


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One that nobody else uses, as what other tests' clients keep rests on it."""
    with Simulator(speed=None) as running:
        yield running


@pytest.fixture(scope="module")
def found(simulator: Simulator) -> Found:
    """What came of every case; no task may be left."""

    async def measured() -> Found:
        tasks = asyncio.all_tasks()
        found = await measure(simulator)
        assert asyncio.all_tasks() == tasks
        return found

    return asyncio.run(measured())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.faults}{'' if case.where == 'header' else ' in init'}")
def test_a_fault_has_the_expected_outcome_over_each_transport(found: Found, case: Case) -> None:
    """The outcome, what is kept to the letter, the error, the retries, and how soon the end is noticed."""
    expected = {over: {result: case.variants} for over, result in case.expected.items()}
    assert found[case] == expected


def test_the_table_in_the_readme_is_what_came(found: Found) -> None:
    """`python -m tests.fault_table` writes it."""
    assert in_readme() == render(found)


def test_no_stream_and_no_socket_is_left_at_the_service(found: Found, simulator: Simulator) -> None:
    """However an answer ended, its connection was closed."""
    assert patiently(lambda: (simulator.active(), simulator.sockets()) == (0, 0))


@pytest.mark.parametrize("entry", registry(), ids=lambda entry: entry.name)
def test_every_fault_of_the_simulator_is_tried_where_it_works(entry: Entry) -> None:
    """A fault, or a value of one, that is added to the simulator is added to the table."""
    tried: dict[str, set[str]] = {}
    for case in CASES:
        for part in ",".join(case.variants).split(","):
            tried.setdefault(part.partition("=")[0], set()).update(case.expected)
            tried.setdefault(part, set()).update(case.expected)
    wanted = {"both": {"sse", "ws"}, "SSE": {"sse"}, "WS": {"ws"}}[entry.transport]
    assert wanted <= tried[entry.name] or tried[entry.name] == {"auto"}
    values = entry.usage.partition("=")[2]
    if values == values.lower():
        assert {f"{entry.name}={value}" for value in values.split("|") if values} <= tried.keys()


async def test_refused_usage_is_asked_for_only_once(simulator: Simulator) -> None:
    """A service that refuses include_usage is remembered."""
    async with Client("simulator", base_url=simulator.url, api_key="sim-key-1") as client:
        async with client.stream("Hello", model="gpt-4.1#refuse-usage=400") as stream:
            async for _ in stream:
                pass
        assert (stream.reply.usage.exact, stream.reply.timing.retries, client.asks_for_usage) == (False, 0, False)
