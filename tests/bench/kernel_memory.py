"""Kernel memory: what a kernel takes for each token of one long `%%stream`, above its text, with nobody looking on.

The most at any time, and what is kept in the end, where `hs.history` has the reply: resident memory of the process.
"""

from __future__ import annotations

import json
from typing import Final

from tests.kernels import kernel

from .figures import Figure

TOKENS: Final = 1_000_000
PATIENCE_S: Final = 300
WARM_UP: Final = "%%stream -m simulator:gpt-4.1#tokens=1000,numbered,rate=max\nCount."
CELL: Final = f"%%stream -m simulator:gpt-4.1#tokens={TOKENS},numbered,rate=max --as reply\nCount."
BEFORE: Final = """
import gc, json, resource, sys, psutil
unit = 1 if sys.platform == "darwin" else 1024
def resident(): gc.collect(); return psutil.Process().memory_info().rss
before = resident()
"""
AFTER: Final = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(json.dumps([peak - before, resident() - before, len(reply.text), reply.usage.completion_tokens]))
"""


def measure() -> list[Figure]:
    with kernel() as running:
        running.run(WARM_UP)
        running.run(BEFORE)
        for kind, content in running.messages(running.start(CELL), PATIENCE_S):
            if kind == "error":
                raise RuntimeError(content["evalue"])
        peak, kept, characters, tokens = json.loads(running.run(AFTER).printed)
    if tokens != TOKENS:
        raise RuntimeError(f"{tokens:,} of {TOKENS:,} tokens came.")
    return [
        Figure(f"%%stream, {TOKENS:,} tokens: at most", ((peak - characters) / TOKENS,), "B", at_most=100),
        Figure(f"%%stream, {TOKENS:,} tokens: in the end", ((kept - characters) / TOKENS,), "B"),
    ]
