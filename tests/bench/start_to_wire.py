"""Start to wire: from the moment a `%%stream` cell is sent to a warm kernel to the moment its request is written."""

from __future__ import annotations

import time
from typing import Final

from tests.kernels import kernel

from .figures import Figure

WARM_UPS: Final = 3
CELLS: Final = 30
CELL: Final = "%%stream -m simulator:gpt-4.1#tokens=10,rate=max --as reply\nHello"


def measure() -> list[Figure]:
    with kernel() as running:
        taken = []
        for _ in range(WARM_UPS + CELLS):
            start = time.perf_counter_ns()
            ran = running.run(CELL)
            if ran.error:
                raise RuntimeError(ran.error)
            # One monotonic clock for all processes of a machine, as Linux, macOS and Windows have it.
            sent = int(running.run("print(reply.timing.sent)").printed)
            taken.append((sent - start) / 1e6)
    return [Figure("%%stream, warm", tuple(taken[WARM_UPS:]), "ms", at_most=30)]
