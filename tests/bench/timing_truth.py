"""How true the stopwatch is: |measured − true| of TTFT at rising numbers of streams, against the simulator's own times.

guidellm measures the same simulator with as many streams, where one process can serve them; its requests are paired
with the simulator's in the order of their starts: all of them wait 0.2 s for their first token. Every answer has 40
tokens, 50 a second; the first of ours come after 0.1 to 0.4 s, so that streams keep no step.
"""

from __future__ import annotations

import json
import tempfile
import urllib.request
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import holystream_nb as hs
from holystream_nb.measuring.figures.error import OUTPUT

from .beside_peers import PEERS, run_peer
from .figures import Figure, ratio

STREAMS: Final = (1, 16, 64, 128, 512)
PEERS_STREAMS: Final = (1, 16, 64, 128)
ROUNDS: Final = 3
MODEL: Final = "deepseek-v3.2#tokens=40,rate=50,first=0.2"

_direct: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def measure() -> list[Figure]:
    found = []
    peer = (PEERS / "ready").exists()
    for streams in STREAMS:
        answers = 2 if streams > 1 else 32
        ours: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            truth = hs.run(hs.calibrate(concurrency=streams, answers=answers))
            ours.append((truth.ttft_ms[0], truth.ttft_ms[2]))
            if peer and streams in PEERS_STREAMS:
                theirs.append(guidellm(streams, streams * answers))
        for place, name in enumerate(("p50", "p99")):
            us = Figure(f"TTFT error {name}, {streams} streams", tuple(row[place] for row in ours), "ms")
            found.append(us)
            if theirs:
                them = Figure(f"  guidellm's, {streams} streams", tuple(row[place] for row in theirs), "ms")
                found += [them, ratio(f"  guidellm's / ours, {name}", them, us)]
    return found


def guidellm(streams: int, requests: int) -> tuple[float, float]:
    """p50 and p99 of its TTFT's error (ms)."""
    with hs.Simulator(speed=1) as simulator, tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder) / "prompts.jsonl", Path(folder) / "report.json"
        data.write_text("".join(f"{json.dumps({'prompt': f'Calibration {n}.'})}\n" for n in range(requests)))
        backend = {
            "kind": "openai_http",
            "target": simulator.url.removesuffix("/v1"),
            "model": MODEL,
            "max_tokens": 40,
            "http2": False,
        }
        run_peer(
            *("guidellm", "run", "--backend", json.dumps(backend)),
            *("--profile", json.dumps({"kind": "concurrent", "streams": streams})),
            *("--constraint", json.dumps({"kind": "max_requests", "count": requests})),
            *("--data", json.dumps({"kind": "json_file", "path": str(data)})),
            *("--output", json.dumps({"kind": "json", "path": str(report)}), "--disable-console"),
        )
        [benchmark] = json.loads(report.read_text())["benchmarks"]
        made = sorted(benchmark["requests"]["successful"], key=lambda each: each["request_start_time"])
        true = _true_ms(simulator.url, requests)
    assert len(true) == len(made), (len(true), len(made))
    errors = [abs(each["time_to_first_token_ms"] - truth) for each, truth in zip(made, true, strict=True)]
    cut = quantiles(errors, n=100, method="inclusive")
    return cut[49], cut[98]


def _true_ms(url: str, requests: int) -> list[float]:
    """From each request's arrival at the simulator to its first output event, in the order of arrival."""
    base = f"{url.removesuffix('v1')}sim/requests"
    with _direct.open(f"{base}?most={requests + 100}", timeout=10) as answer:
        ids = [each["id"] for each in json.load(answer)["requests"] if each["events"] and each["outcome"] == "complete"]
    records: list[dict[str, Any]] = []
    for each in ids:
        with _direct.open(f"{base}/{each}", timeout=10) as answer:
            records.append(json.load(answer))
    found = []
    for record in sorted(records, key=lambda each: each["received_ns"]):
        stamps = zip(record["sent_ns"], record["kinds"], strict=True)
        found.append((next(stamp for stamp, kind in stamps if kind in OUTPUT) - record["received_ns"]) / 1e6)
    return found
