"""Journal cost: what a stream's process pays for being written down, and what a search of 500 MB takes.

The same stream is read with the journal, without it, and without it once more, by turns in one process: CPU time of the
whole process for each token, the journal's thread included. What two readings without it differ by is the noise. Beside
it, how late the event loop wakes (the 99th percentile of a task that sleeps 5 ms).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from scipy.stats import binom

from holystream_nb import Client, Simulator, Text
from holystream_nb.journal.file import create
from holystream_nb.journal.journal import Journal, journal
from holystream_nb.journal.values import Origin

from .figures import Figure, ratio
from .rounds import SEED, rounds

CASES: Final = {"1 stream, 1,200 tokens/s": (16, 1, 900, 1_200), "100 streams, 6,000 tokens/s": (7, 100, 60, 60)}
"""Rounds, streams, tokens of each, and tokens a second of each."""

WAYS: Final = {"with": True, "without": False, "without, again": False}

MB: Final = 500
FILES: Final = 50
ANSWER: Final = 6_000


def measure() -> list[Figure]:
    figures: list[Figure] = []
    with Simulator(speed=1.0) as simulator:
        for name, case in CASES.items():
            program = ("-m", "tests.bench.journal_cost", simulator.url, *map(str, case))
            (found,) = rounds({name: program}, 1)[name]
            figures += _costs(name, found)
    return [*figures, *_searches()]


def _costs(name: str, found: dict[str, dict[str, list[float]]]) -> list[Figure]:
    cpu = {way: Figure(f"{name}, {way}: CPU", tuple(found[way]["cpu_us"]), "µs/token") for way in WAYS}
    late = [Figure(f"{name}, {way}: loop late by (p99)", tuple(found[way]["late_ms"]), "ms") for way in WAYS]
    cost = _difference(cpu["with"], cpu["without"])
    noise = _difference(cpu["without, again"], cpu["without"])
    (low, high), (noise_low, noise_high) = _interval(cost), _interval(noise)
    said = "within the noise" if low <= noise_high else "more than the noise"
    return [
        *cpu.values(),
        Figure(f"{name}: of it the journal's thread", tuple(found["with"]["thread_us"]), "µs/token"),
        Figure(f"{name}: with − without, {said}; its median is in {low:.1f} … {high:.1f} (95 %)", cost, "µs/token"),
        Figure(f"{name}: the noise; its median is in {noise_low:.1f} … {noise_high:.1f} (95 %)", noise, "µs/token"),
        ratio(f"{name}: CPU, with / without", cpu["with"], cpu["without"], at_most=1.1),
        *late,
    ]


def _difference(over: Figure, under: Figure) -> tuple[float, ...]:
    """Round by round."""
    return tuple(a - b for a, b in zip(over.samples, under.samples, strict=True))


def _interval(samples: Sequence[float]) -> tuple[float, float]:
    """Where the median of what they are drawn from is, by their order: https://en.wikipedia.org/wiki/Sign_test"""
    rank = max(1, int(binom.ppf(0.025, len(samples), 0.5)))
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[-rank]


async def read(url: str, count: int, streams: int, tokens: int, rate: int) -> None:
    """Reads so many streams at once, in so many rounds of each way, and prints what each cost."""
    found: dict[str, dict[str, list[float]]] = {way: {"cpu_us": [], "thread_us": [], "late_ms": []} for way in WAYS}
    model = f"gpt-4.1#tokens={tokens},numbered,rate={rate}"
    order, chance = [*WAYS], random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        async with Client("simulator", base_url=url) as client:
            for number in range(count + 1):  # the first makes connections, and is not counted
                chance.shuffle(order)
                for way in order:
                    journal.configure(journal=folder if WAYS[way] else False)
                    told = await _round(client, model, streams, tokens)
                    for name, value in told.items() if number else ():
                        found[way][name].append(value)
        journal.close()
    print(json.dumps(found))


async def _round(client: Client, model: str, streams: int, tokens: int) -> dict[str, float]:
    late: list[float] = []

    async def watch() -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - asked - 0.005)

    async def one() -> int:
        count = 0
        entry = journal.begin(Origin("python"), model=model, messages=[{"role": "user", "content": "Count."}])
        async with client.stream("Count.", model=model) as stream:
            async for event in stream:
                if isinstance(event, Text):
                    entry.add(event.text)
                    count += 1
        entry.end(text=stream.reply.text, state="done")
        return count

    gc.collect()
    watching = asyncio.ensure_future(watch())
    before, before_thread = time.process_time_ns(), _thread_cpu()
    counts = await asyncio.gather(*(one() for _ in range(streams)))
    journal.flush()
    cpu, thread_cpu = time.process_time_ns() - before, _thread_cpu() - before_thread
    watching.cancel()
    if sum(counts) != streams * tokens:
        raise RuntimeError(f"{sum(counts)} of {streams * tokens} tokens came.")
    late.sort()
    told = {"cpu_us": cpu / sum(counts) / 1e3, "thread_us": thread_cpu / sum(counts) / 1e3}
    return {**told, "late_ms": late[int(0.99 * len(late))] * 1e3}


def _thread_cpu() -> int:
    """Nanoseconds that the journal's thread has worked, which other processes on the machine hardly change."""
    threads = [thread.ident for thread in threading.enumerate() if thread.name == "holystream-journal"]
    return sum(time.clock_gettime_ns(time.pthread_getcpuclockid(each)) for each in threads if each)


def _searches() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOLYSTREAM_JOURNAL"] = folder
        size = _fill(Path(folder))
        reader = Journal()
        asked = {
            "the newest 20": {"limit": 20},
            "the newest 1,000": {"limit": 1_000},
            "of one cell": {"cell": "nowhere"},
            "20 with a word that many have": {"words": "e", "limit": 20},
            "with two words that none has": {"words": "nowhere never", "limit": 20},
        }
        figures = []
        for name, how in asked.items():
            samples = []
            for _ in range(3):
                start = time.process_time()
                reader.answers(**how)  # type: ignore[arg-type]
                samples.append(time.process_time() - start)
            figures.append(Figure(f"{size:,.0f} MB, {FILES} kernels: {name}", tuple(samples), "s of CPU", at_most=1))
        return figures


def _fill(folder: Path) -> float:
    """Files of kernels that have ended, one a day; their size in MB."""
    chance = random.Random(12)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(3_000)]
    texts = [" ".join(chance.choices(words, k=ANSWER // 7)) for _ in range(500)]
    count = MB * 1_000_000 // FILES // (ANSWER + ANSWER // 10)
    for kernel in range(FILES):
        file, sign, connection = create(folder)
        then = time.time() - (FILES - kernel) * 86_400
        with closing(connection):
            connection.execute("BEGIN")
            for number in range(count):
                body = json.dumps(
                    {"role": "user", "content": f"{kernel} {number} {chance.choice(texts)[: ANSWER // 10]}"}
                )
                connection.execute("INSERT INTO messages VALUES (?, ?, ?)", [number, f"{number}".encode(), body])
                values = [f"{kernel}-{number}", f"[{number}]", then + number, then + number + 1, chance.choice(texts)]
                connection.execute(
                    "INSERT INTO answers (id, messages, began, ended, text, asked, parameters, state, door, format) "
                    "VALUES (?, ?, ?, ?, ?, 1, '{}', 'done', 'cell', 'markdown')",
                    values,
                )
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = DELETE")
        sign.close()
        os.utime(file.path, (then + count, then + count))
    return sum(each.stat().st_size for each in folder.iterdir()) / 1e6


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1], *map(int, sys.argv[2:])))
