"""What is left in a real kernel by what has ended: no widget, no layout, no open comm, no thread, no task."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kernels import Kernel, kernel

pytestmark = pytest.mark.slow

CELLS = 20
LOOK = """
import asyncio, gc, json, threading
from comm import get_comm_manager
from ipywidgets.widgets.widget import _instances
gc.collect()
widgets = sorted(type(each).__name__ for each in _instances.values())
threads = sorted(each.name for each in threading.enumerate() if not each.name.startswith("asyncio_"))
print(json.dumps([widgets, len(get_comm_manager().comms), threads, len(asyncio.all_tasks())]))
"""
RUN = """
import holystream_nb as hs
result = await hs.bench(["gpt-4.1#tokens=5", "deepseek-v3.2#tokens=5"], ["Hello"], repeats=2, answers=True)
"""
VOTED = """
ballot = result.vote()
display(ballot)
while ballot.question is not None:
    ballot.vote("tie")
"""
ROLLED_OUT = """
with hs.Simulator() as simulator:
    async with hs.Client("simulator", base_url=simulator.url) as client:
        rollout = hs.Rollout([(client, 95, "gpt-4.1#tokens=5"), (client, 5, "deepseek-v3.2#tokens=5")])
        rollout.show()
        async with rollout.stream("Hello") as stream:
            async for event in stream:
                pass
        rollout.trip("enough")
"""
TALKED = """
panel = hs.ChatPanel("gpt-4.1#tokens=5", name="left behind")
display(panel)
await panel.send("Hello")
panel.close()
"""


@pytest.fixture
def running() -> Iterator[Kernel]:
    """One in which a view that nobody speaks for is given up after a second."""
    with kernel() as started:
        started.run("import holystream_nb as hs, holystream_nb.live.feed as feed; feed.LINGER_S = 1.0")
        yield started


def look(running: Kernel) -> list[Any]:
    found: list[Any] = json.loads(running.run(LOOK).printed)
    return found


def after_a_while(running: Kernel, before: list[Any]) -> list[Any]:
    deadline = time.monotonic() + 15
    while (found := look(running)) != before and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def stream(running: Kernel) -> str:
    """A cell that streams; returns the comm of its view."""
    states = running.run("%%stream -m gpt-4.1#tokens=5\nHello").all("comm_open")
    return next(str(each["comm_id"]) for each in states if "keyframe" in each["data"]["state"])


def test_twenty_cells_leave_nothing(running: Kernel) -> None:
    """Neither those whose page drew them and took them away, nor those that no page spoke for."""
    stream(running)
    before = after_a_while(running, [[], *look(running)[1:]])
    assert before[0] == []
    before = look(running)
    client = running.client
    for number in range(CELLS):
        comm = stream(running)
        for kind in ("ready", "gone") if number % 2 else ():
            data = {"method": "custom", "content": {"kind": kind, "view": "v"}}
            client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm, "data": data}))
    assert after_a_while(running, before) == before


@pytest.mark.parametrize(
    "cells", [(RUN,), (RUN, VOTED), (ROLLED_OUT,), (TALKED,)], ids=["bench", "vote", "rollout", "panel"]
)
def test_what_has_ended_leaves_nothing(running: Kernel, cells: tuple[str, ...]) -> None:
    """A run's board, a vote, a rollout's display, a panel that is closed: a second time leaves no more."""
    seen = []
    for _ in range(2):
        for cell in cells:
            ran = running.run(cell)
            assert not ran.error, ran.error
        seen.append(after_a_while(running, seen[0]) if seen else look(running))
    assert seen[0][0] == []
    assert seen[1] == seen[0]


DROPPED = """
import functools, gc
from ipykernel.utils import _async_in_context
async def handle(): ...
_async_in_context(functools.partial(handle))()
gc.collect()
"""


def test_a_message_that_goes_with_its_subshell_warns_nobody() -> None:
    """ipykernel drops what a page sent on a subshell that it ended; Python's warning does not come into a cell."""
    with kernel() as running:
        assert running.run(DROPPED).printed == ""
        assert "never awaited" in running.run("async def mine(): ...\nmine()\nNone").printed
