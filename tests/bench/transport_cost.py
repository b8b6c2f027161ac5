"""SSE against WebSocket: CPU time of the reading process for each chunk of one unpaced stream, over both.

Beside our client the least that reads the same bytes: what the frames themselves cost is no client's choice.
"""

from __future__ import annotations

from typing import Final

from holystream_nb import Simulator

from .client_cost import UNPACED, costs
from .figures import Figure, ratio

CLIENTS: Final = {
    "ours": "holystream_nb, SSE",
    "ours_ws": "holystream_nb, WebSocket",
    "raw": "httpx2 aiter_raw + msgspec, SSE",
    "raw_ws": "asyncio + wsproto + msgspec, WebSocket",
}


def measure() -> list[Figure]:
    with Simulator(speed=None) as simulator:
        sse, ws, raw_sse, raw_ws = costs(CLIENTS, simulator.url, UNPACED, "max", 5)
    return [
        sse,
        ws,
        raw_sse,
        raw_ws,
        ratio("holystream_nb, WebSocket / SSE", ws, sse),
        ratio("holystream_nb / asyncio + wsproto + msgspec, WebSocket", ws, raw_ws, at_most=2),
    ]
