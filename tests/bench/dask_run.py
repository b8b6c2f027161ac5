"""A long run on Dask: 10,000 requests over four worker processes, undisturbed, and with one of the four killed.

The simulator answers as fast as it can; where a worker is killed, after 0.1 s. Memory is that of the process which
calls `hs.bench`, at most, above what it had before; cluster and simulator are other processes. What the simulator
received is compared, request by request, with what the run's file has: what is in no record must be named as lost.
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
"""With a kill: so many a second that it falls into the middle of the run."""

LOOK_S: Final = 0.1
KEPT: Final = 1_000
"""The requests that a simulator still knows of: no more may come between two looks."""

PATIENCE_S: Final = 600


def measure() -> list[Figure]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        whole, received = _run(cluster.scheduler_address, client, MODEL)
        killed, received_with_kill = _run(cluster.scheduler_address, client, SLOWER, kill=True)
    if whole["made"] != REQUESTS:
        raise RuntimeError(f"{whole['made']:,} of {REQUESTS:,} were made.")
    return [
        Figure(f"{REQUESTS:,} requests, {WORKERS} workers: time", (whole["seconds"],), "s"),
        Figure("requests a second", (REQUESTS / whole["seconds"],), "/s"),
        Figure("memory of the parent, at most", (whole["peak_bytes"] / 1e6,), "MB"),
        *_accounts("undisturbed", whole, received),
        Figure("one of four killed: time", (killed["seconds"],), "s"),
        Figure("requests missing", (REQUESTS - killed["made"],), "", at_most=0),
        Figure("requests lost in flight, named and counted", (killed["lost"],), "", at_most=STREAMS),
        *_accounts("one of four killed", killed, received_with_kill),
    ]


def _accounts(run: str, said: dict[str, Any], received: set[str]) -> list[Figure]:
    """What the simulator received beside what the file says was sent; of what it says was lost not all may have been.

    Raises RuntimeError where a request has a record and was not seen to be received: others may have been missed too.
    """
    if unseen := set(said["ids"]) - received:
        raise RuntimeError(f"{len(unseen):,} requests were not seen: look more often than every {LOOK_S:g} s.")
    sent = said["made"] + said["warmups"] + said["begun"]
    unmade = len(received) - len(set(said["ids"]))
    return [
        Figure(f"{run}: requests received", (len(received),), ""),
        Figure(f"{run}: made, warm-ups, and begun when lost", (sent,), ""),
        Figure(f"{run}: received, and neither made nor warm-ups", (unmade,), "", at_most=said["lost"]),
    ]


def _run(scheduler: str, client: Any, model: str, *, kill: bool = False) -> tuple[dict[str, Any], set[str]]:
    """What a fresh process measured, and the requests that the simulator received."""
    with Simulator(speed=None) as simulator, tempfile.TemporaryDirectory() as folder:
        seen, is_over = set[str](), threading.Event()
        watching = threading.Thread(target=_watch, args=(simulator, seen, is_over))
        file = Path(folder) / "run.jsonl"
        command = [sys.executable, "-m", __name__, scheduler, simulator.url, model, str(file)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        watching.start()
        if kill:
            while not file.exists() or file.read_bytes().count(b'"kind":"trial"') < REQUESTS // 2:
                time.sleep(0.2)
            os.kill(next(iter(client.run(os.getpid).values())), 9)
        said, _ = process.communicate(timeout=PATIENCE_S)
        is_over.set()
        watching.join()
    result: dict[str, Any] = json.loads(said.splitlines()[-1])
    return result, seen


def _watch(simulator: Simulator, seen: set[str], is_over: threading.Event) -> None:
    """Notes every request, and at the end once more."""
    is_last = False
    while not is_last:
        is_last = is_over.wait(LOOK_S)
        seen |= {record["id"] for record in simulator.requests(most=KEPT) if record["model"]}


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
    answered = [*result.records, *result.warmup_records]
    return {
        "seconds": seconds,
        "peak_bytes": peak,
        "made": len(result.records),
        "warmups": len(result.warmup_records),
        "lost": len(lost),
        "begun": sum(each.begun is not None for each in lost),
        "ids": [each.response_id for each in answered if each.response_id],
    }


if __name__ == "__main__":
    *place, path = sys.argv[1:]
    print(json.dumps(asyncio.run(_bench(*place, Path(path)))))
