"""Client cost: CPU time of the reading process for each chunk of one stream, in each format it may come in.

Every chunk is an HTTP chunk or a WebSocket message of its own. Beside our client stand the least that reads the same
bytes and the official SDK of that format. Unpaced, a read of the network holds many chunks, so that this is the cost of
the chunks themselves. Paced, each chunk wakes the event loop, and that costs many times more than what any client does
with it.
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
FORMATS: Final[Mapping[str, Mapping[str, str]]] = {
    "chat": {"ours": "holystream_nb", "raw": "aiter_raw + msgspec", "openai_sdk": "openai SDK"},
    "messages": {
        "ours_messages": "holystream_nb",
        "raw_messages": "aiter_raw + msgspec",
        "anthropic_sdk": "anthropic SDK",
    },
    "responses": {
        "ours_responses": "holystream_nb",
        "raw_responses": "aiter_raw + msgspec",
        "openai_sdk_responses": "openai SDK",
    },
    "responses, WebSocket": {
        "ours_responses_ws": "holystream_nb",
        "raw_responses_ws": "wsproto + msgspec",
        "openai_sdk_responses_ws": "openai SDK",
    },
}
"""What reads each format: our client, the least that can, the official SDK."""


def measure() -> list[Figure]:
    with Simulator(speed=None) as simulator:
        clients = {client: f"{name}, {form}" for form, names in FORMATS.items() for client, name in names.items()}
        found = costs(clients, simulator.url, UNPACED, "max", 5)
        paced = costs(FORMATS["chat"], simulator.url, PACED, str(RATE), 3)
    figures: list[Figure] = []
    for form, names in FORMATS.items():
        (ours, raw, sdk), found = found[:3], found[3:]
        words = list(names.values())
        figures += [
            *(ours, raw, sdk),
            ratio(f"{words[0]} / {words[1]}, {form}", ours, raw, at_most=2),
            ratio(f"{words[2]} / {words[0]}, {form}", sdk, ours, at_least=5 if form == "chat" else None),
        ]
    return [
        *figures,
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
