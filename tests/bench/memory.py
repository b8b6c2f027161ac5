"""Memory: the most that the client holds for each token of one long stream, the Reply included, above its text.

Nothing is kept by the reader. A stream whose every token comes in a read of its own takes 16 bytes a token more: the
stamp of the read, in the stream and in the Reply.
"""

from __future__ import annotations

from typing import Final

from holystream_nb import Simulator

from .figures import Figure
from .rounds import rounds

TOKENS: Final = 1_000_000


def measure() -> list[Figure]:
    with Simulator(speed=None) as simulator:
        model = f"gpt-4.1#tokens={TOKENS},numbered,rate=max"
        variants = {"ours": ("-m", "tests.bench.readers", "ours", simulator.url, model, "peak_bytes")}
        [result] = rounds(variants, 1)["ours"]
    if result["chunks"] != TOKENS:
        raise RuntimeError(f"{result['chunks']:,} of {TOKENS:,} chunks came.")
    above = (result["peak_bytes"] - result["characters"]) / TOKENS
    return [Figure(f"holystream_nb, {TOKENS:,} tokens", (above,), "B", at_most=100)]
