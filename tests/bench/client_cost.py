"""Client cost: CPU time of the reading process for each chunk of one stream, every chunk an HTTP chunk of its own.

Unpaced, a read of the network holds many chunks, so that this is the cost of the chunks themselves. Paced, each chunk
wakes the event loop, and that costs many times more than what any client does with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from holystream_nb import Simulator

from .figures import Figure, ratio
from .rounds import rounds

UNPACED: Final = 20_000
PACED: Final = 4_000
RATE: Final = 1_000
CLIENTS: Final = {"ours": "holystream_nb", "raw": "httpx2 aiter_raw + msgspec", "openai_sdk": "openai SDK"}


def measure() -> list[Figure]:
    with Simulator(speed=None) as simulator:
        ours, raw, openai = costs(CLIENTS, simulator.url, UNPACED, "max", 7)
        paced = costs(CLIENTS, simulator.url, PACED, str(RATE), 3)
    return [
        ours,
        raw,
        openai,
        ratio("openai SDK / holystream_nb", openai, ours, at_least=5),
        ratio("holystream_nb / aiter_raw + msgspec", ours, raw, at_most=2),
        *paced,
        ratio(f"openai SDK / holystream_nb, {RATE:,} chunks/s", paced[2], paced[0]),
        ratio(f"holystream_nb / aiter_raw + msgspec, {RATE:,} chunks/s", paced[0], paced[1]),
    ]


def costs(clients: Mapping[str, str], url: str, chunks: int, rate: str, count: int) -> list[Figure]:
    """CPU time a chunk (µs) of each of these clients: modules of `readers`, and what to call them."""
    model = f"gpt-4.1#tokens={chunks},numbered,rate={rate}"
    variants = {client: ("-m", "tests.bench.readers", client, url, model, "cpu_ns") for client in clients}
    characters = sum(len(f"{i} ") for i in range(chunks))
    figures = []
    for client, results in rounds(variants, count).items():
        for result in results:
            seen = result["chunks"], result["characters"]
            if seen != (chunks, characters):
                raise RuntimeError(f"{client} saw {seen} chunks and characters of {(chunks, characters)}.")
        pace = "" if rate == "max" else f", {int(rate):,} chunks/s"
        cost = tuple(result["cpu_ns"] / chunks / 1e3 for result in results)
        figures.append(Figure(f"{clients[client]}, {chunks:,} chunks{pace}", cost, "µs"))
    return figures
