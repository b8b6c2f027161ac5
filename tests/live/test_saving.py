"""The saved form of a long answer: it is written while everything else goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import IPython.display
import pytest
from kernels import kernel
from raw_service import Asked, Writer, serving_elsewhere

from holystream_nb.live import show
from holystream_nb.live.lane import Lane

from .ended import Ended

ROWS = "".join(f"| {number} | {number**2} | some `code` and **strong** words |\n" for number in range(4_000))
TABLE = f"| number | square | words |\n|---|---|---|\n{ROWS}"
"""Its Markdown takes half a second to write."""

TWO = """import asyncio, time, holystream_nb as hs
came = []
async def others():
    async with hs.Client("simulator", base_url={url!r}) as client, client.stream("Go on.", model="others") as stream:
        async for event in stream:
            came.append(time.monotonic())
going = asyncio.create_task(others())
await hs.stream("A table, please.", model="simulator:table", base_url={url!r})
going.cancel()
gap = max(after - before for before, after in zip(came, [*came[1:], time.monotonic()]))
from holystream_nb.live.harmless import harmless
began = time.monotonic()
harmless({table!r})
print(gap / (time.monotonic() - began))"""


async def answer(asked: Asked, writer: Writer) -> bool:
    if not asked.body:
        return False
    if asked.body["model"] == "table":
        await asyncio.sleep(0.2)
        await writer.whole(TABLE)
        return True
    await writer.head()
    while True:
        await writer.text("token ")
        await asyncio.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("watched", [True, False])
def test_another_streams_tokens_keep_arriving(watched: bool) -> None:
    """Live, and where nobody looks on."""
    with serving_elsewhere(answer) as url, kernel() as running:
        ran = running.run(TWO.format(url=url, table=TABLE), watched=watched)
    assert not ran.error
    assert "| 3999 |" in ran.markdown
    assert float(ran.printed) < 0.5


async def test_an_answer_is_kept_whole_where_its_cell_is_stopped_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop waits for it."""
    begun, goes_on = threading.Event(), threading.Event()
    shown: list[Any] = []

    def slow(lanes: Any) -> Any:
        begun.set()
        goes_on.wait(5)
        return {"text/plain": lanes[0].reply.text}, {}

    monkeypatch.setattr(show, "screen", lambda: "file")
    monkeypatch.setattr(show, "bundle", slow)
    monkeypatch.setattr(IPython.display, "display", lambda data, **_: shown.append(data["text/plain"]))
    text = "word " * show.LONG
    showing = asyncio.create_task(show.show([Lane(Ended(text), label="m", provider="p")]))
    await asyncio.to_thread(begun.wait, 5)
    showing.cancel()
    threading.Timer(0.05, goes_on.set).start()
    with pytest.raises(asyncio.CancelledError):
        await showing
    assert shown == [text]
