"""Prints what one stream cost this process, as JSON: `cpu_ns` or `peak_bytes`, as asked for, and what came.

A short stream before it warms the client up and does not count.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import tracemalloc
from importlib import import_module

WARM_UP = "gpt-4.1#tokens=1000,numbered,rate=max"


def traced_peak() -> int:
    """The most memory that Python has held since the first call (B); tracing it takes several times the CPU."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[1]


METERS = {"cpu_ns": time.process_time_ns, "peak_bytes": traced_peak}


async def main(client: str, url: str, model: str, meter: str) -> None:
    reader = import_module(f"tests.bench.readers.{client}").reader
    measure = METERS[meter]
    async with reader(url) as read:
        await read(WARM_UP)
        before = measure()
        chunks, text = await read(model)
        cost = measure() - before
    print(json.dumps({meter: cost, "chunks": chunks, "characters": len(text)}))


asyncio.run(main(*sys.argv[1:]))
