"""An answer that ends clean on the wire, without its end marker, is shown as loudly as an error."""

from __future__ import annotations

import pytest

from holystream_nb import Client, Simulator
from holystream_nb.errors import StreamInterrupted
from holystream_nb.live.lane import CUT_OFF, NOTHING_CAME, Lane
from holystream_nb.live.saved import bundle


async def ended(simulator: Simulator, model: str) -> Lane:
    """A lane that has been read to its end."""
    async with (
        Client("simulator", base_url=simulator.url) as client,
        client.stream("count to 12", model=model) as stream,
    ):
        lane = Lane(stream, label=model, provider="simulator")
        error = None
        try:
            async for _ in stream:
                pass
        except StreamInterrupted as exc:
            error = exc
        lane.end(error)
        return lane


@pytest.mark.parametrize("fault", ["end=5", "finish=none,no-done,tokens=5"])
async def test_it_stands_where_an_error_stands(simulator: Simulator, fault: str) -> None:
    """In the live view, and above the status line of what is saved, as Markdown and as text; alone or beside others."""
    lane = await ended(simulator, f"gpt-4.1#{fault}")
    assert lane.state == "truncated"
    assert lane.status()["error"] == CUT_OFF
    whole = await ended(simulator, "gpt-4.1")
    for lanes in ([lane], [lane, whole]):
        data, _ = bundle(lanes)
        assert data["text/plain"].count(CUT_OFF) == 1
        assert data["text/markdown"].count(f"**⚠️ {CUT_OFF}**") == 1
        assert "truncated: it may be cut off" in data["text/plain"]


async def test_an_end_before_any_of_it_is_no_cut(simulator: Simulator) -> None:
    """There is nothing that may be cut off."""
    lane = await ended(simulator, "gpt-4.1#end=0")
    assert (lane.state, lane.ending, lane.warning) == ("truncated", "empty answer", NOTHING_CAME)
    assert NOTHING_CAME in bundle([lane])[0]["text/plain"]


@pytest.mark.parametrize("fault", ["", "#cut=5", "#finish=length"])
async def test_no_other_end_has_the_sentence(simulator: Simulator, fault: str) -> None:
    """A whole answer has none, and a broken one its error's own."""
    lane = await ended(simulator, f"gpt-4.1{fault}")
    assert CUT_OFF not in str(bundle([lane])) + str(lane.status())
