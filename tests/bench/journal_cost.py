"""Journal cost: what a stream's process pays for being written down, and what a search of 500 MB takes.

The same stream is read with the journal and without it, by turns: CPU time of the whole process for each token, the
journal's thread included, and how late its event loop wakes (the 99th percentile of a task that sleeps 2 ms).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from holystream_nb import Client, Simulator, Text
from holystream_nb.journal.file import create
from holystream_nb.journal.journal import Journal, journal
from holystream_nb.journal.values import Origin

from .figures import Figure, ratio
from .rounds import rounds

ROUNDS: Final = 5
CASES: Final = {"1 stream, 1,200 tokens/s": (1, 6_000, 1_200), "100 streams, 6,000 tokens/s": (100, 240, 60)}
"""Streams, tokens of each, and tokens a second of each."""

MB: Final = 500
FILES: Final = 50
ANSWER: Final = 6_000


def measure() -> list[Figure]:
    figures: list[Figure] = []
    with Simulator(speed=1.0) as simulator, tempfile.TemporaryDirectory() as folder:
        for name, (streams, tokens, rate) in CASES.items():
            given = (simulator.url, str(streams), str(tokens), str(rate))
            variants = {way: ("-m", "tests.bench.journal_cost", place, *given) for way, place in _places(folder)}
            found = rounds(variants, ROUNDS)
            cost = {way: _figure(f"{name}, {way}: CPU", found[way], "cpu_us", "µs/token") for way in found}
            late = {way: _figure(f"{name}, {way}: loop late by (p99)", found[way], "late_ms", "ms") for way in found}
            figures += [
                *cost.values(),
                _figure(f"{name}: of it the journal's thread", found["with"], "thread_us", "µs/token"),
                ratio(f"{name}: CPU, with / without", cost["with"], cost["without"], at_most=1.1),
            ]
            figures += [*late.values(), ratio(f"{name}: late, with / without", late["with"], late["without"])]
    return [*figures, *_searches()]


def _places(folder: str) -> list[tuple[str, str]]:
    return [("without", "0"), ("with", folder)]


def _figure(what: str, found: list[dict[str, float]], name: str, unit: str) -> Figure:
    return Figure(what, tuple(each[name] for each in found), unit)


async def read(url: str, streams: int, tokens: int, rate: int) -> None:
    """Reads so many streams at once, and prints what it cost."""
    late: list[float] = []

    async def watch() -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.002)
            late.append(time.perf_counter() - asked - 0.002)

    async def one(client: Client) -> int:
        count = 0
        model = f"gpt-4.1#tokens={tokens},numbered,rate={rate}"
        entry = journal.begin(Origin("python"), model=model, messages=[{"role": "user", "content": "Count."}])
        async with client.stream("Count.", model=model) as stream:
            async for event in stream:
                if isinstance(event, Text):
                    entry.add(event.text)
                    count += 1
        entry.end(text=stream.reply.text, state="done")
        return count

    async with Client("simulator", base_url=url) as client:
        await asyncio.gather(*(one(client) for _ in range(streams)))  # connections, imports
        watching = asyncio.ensure_future(watch())
        before, before_thread = time.process_time_ns(), _thread_cpu()
        counts = await asyncio.gather(*(one(client) for _ in range(streams)))
        journal.flush()
        cpu, thread_cpu = time.process_time_ns() - before, _thread_cpu() - before_thread
        watching.cancel()
    if sum(counts) != streams * tokens:
        raise RuntimeError(f"{sum(counts)} of {streams * tokens} tokens came.")
    late.sort()
    told = {"cpu_us": cpu / sum(counts) / 1e3, "thread_us": thread_cpu / sum(counts) / 1e3}
    print(json.dumps({**told, "late_ms": late[int(0.99 * len(late))] * 1e3}))


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
                start = time.perf_counter()
                reader.answers(**how)  # type: ignore[arg-type]
                samples.append(time.perf_counter() - start)
            figures.append(Figure(f"{size:,.0f} MB, {FILES} kernels: {name}", tuple(samples), "s"))
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
    os.environ["HOLYSTREAM_JOURNAL"] = sys.argv[1]
    asyncio.run(read(sys.argv[2], *map(int, sys.argv[3:])))
