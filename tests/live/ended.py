"""An answer that has come whole, for what is made of it then."""

from __future__ import annotations

from collections.abc import AsyncIterator

from holystream_nb.events import Event, Usage
from holystream_nb.money.cost import Cost
from holystream_nb.reply import Progress, Reply
from holystream_nb.timing import Timing
from holystream_nb.tools.call import Call


class Ended:
    """A source that has ended: its text, and the calls in it."""

    def __init__(self, text: str, *calls: Call) -> None:
        self.calls = calls
        usage, cost = Usage(completion_tokens=3), Cost(None, None, True, "", "", "unknown")
        self.reply = Reply(text, "", (), "stop", usage, Timing(submitted=0), cost, "m", "p")
        self.progress = Progress(0.0, None, 0, None, 0, 0.0, "")

    def stop(self) -> None: ...

    async def __aiter__(self) -> AsyncIterator[Event]:
        return
        yield
