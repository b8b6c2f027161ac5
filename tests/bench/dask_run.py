"""A long run on Dask: 10,000 requests over four worker processes, undisturbed, and with one of the four killed.

The simulator answers as fast as it can; where a worker is killed, after 0.1 s. Memory is that of the process which
calls `hs.bench`, at most, above what it had before; cluster and simulator are other processes. What the simulator
received is compared with what the run's file has: every request must be in it, as a record or as lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

from holystream_nb import Simulator

from .figures import Figure
from .rounds import ROOT

REQUESTS: Final = 10_000
WORKERS: Final = 4
STREAMS: Final = 32
MODEL: Final = "simulator:gpt-4.1#tokens=10,rate=max"
SLOWER: Final = f"{MODEL},first=0.1"
"""With a kill: as many a second as can be counted one by one while they come."""

LOOK_S: Final = 0.03
PATIENCE_S: Final = 600


def measure() -> list[Figure]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        whole, _ = _run(cluster.scheduler_address, client, MODEL)
        killed, received = _run(cluster.scheduler_address, client, SLOWER, kill=True)
    if whole["made"] != REQUESTS or received < killed["made"] + killed["warmups"]:
        raise RuntimeError(f"{whole['made']:,} of {REQUESTS:,} were made; {received:,} of {killed['made']:,} seen.")
    unknown = max(0, received - killed["made"] - killed["warmups"] - killed["lost"])
    return [
        Figure(f"{REQUESTS:,} requests, {WORKERS} workers: time", (whole["seconds"],), "s"),
        Figure("requests a second", (REQUESTS / whole["seconds"],), "/s"),
        Figure("memory of the parent, at most", (whole["peak_bytes"] / 1e6,), "MB"),
        Figure("one of four killed: time", (killed["seconds"],), "s"),
        Figure("requests missing", (REQUESTS - killed["made"],), "", at_most=0),
        Figure("requests lost in flight, named and counted", (killed["lost"],), "", at_most=STREAMS),
        Figure("of those certainly sent", (killed["begun"],), ""),
        Figure("requests received twice or for nothing, uncounted", (unknown,), "", at_most=0),
    ]


def _run(scheduler: str, client: Any, model: str, *, kill: bool = False) -> tuple[dict[str, Any], int]:
    """What a fresh process measured, and how many requests the simulator received."""
    with Simulator(speed=None) as simulator, tempfile.TemporaryDirectory() as folder:
        seen, is_over = set[str](), threading.Event()
        watching = threading.Thread(target=_watch, args=(simulator, seen, is_over))
        file = Path(folder) / "run.jsonl"
        command = [sys.executable, "-m", __name__, scheduler, simulator.url, model, str(file)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        if kill:
            watching.start()
            while not file.exists() or file.read_bytes().count(b'"kind":"trial"') < REQUESTS // 2:
                time.sleep(0.2)
            os.kill(next(iter(client.run(os.getpid).values())), 9)
        said, _ = process.communicate(timeout=PATIENCE_S)
        is_over.set()
        if kill:
            watching.join()
    result: dict[str, Any] = json.loads(said.splitlines()[-1])
    return result, len(seen)


def _watch(simulator: Simulator, seen: set[str], is_over: threading.Event) -> None:
    """Notes every request: the simulator tells of its newest 100."""
    while not is_over.wait(LOOK_S):
        seen |= {record["id"] for record in simulator.requests() if record["model"]}


async def _bench(scheduler: str, url: str, model: str, file: Path) -> dict[str, Any]:
    from distributed import Client

    from holystream_nb.measuring.bench import bench

    client = await asyncio.to_thread(Client, scheduler)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    result = await bench(
        model,
        "Hello",
        repeats=REQUESTS,
        concurrency=STREAMS,
        base_url=url,
        seed=1,
        path=file,
        executor=client.get_executor(),
        calibrate=False,
    )
    seconds = time.perf_counter() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    await asyncio.to_thread(client.close)
    lost = result.contents.lost
    return {
        "seconds": seconds,
        "peak_bytes": peak,
        "made": len(result.records),
        "warmups": len(result.warmup_records),
        "lost": len(lost),
        "begun": sum(each.begun is not None for each in lost),
    }


if __name__ == "__main__":
    *place, path = sys.argv[1:]
    print(json.dumps(asyncio.run(_bench(*place, Path(path)))))
