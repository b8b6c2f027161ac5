"""What a service says of its own time: llama.cpp's `timings`, Groq's `x_groq.usage`, Cerebras' `time_info`.

Their documents: llama.cpp, tools/server/README.md (`timings`, in ms); Groq, API reference, the usage of a completion
(`queue_time`, `prompt_time`, `completion_time`, in s); Cerebras, chat completions (`time_info`, in s).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

FIGURES: Final = ("queue_ms", "prompt_ms", "ttft_ms", "decode_ms", "decode_tokens_per_s")
"""By the service's own clock: its queue, its work on the prompt, both together (the prompt alone where it names no
queue), its writing of the answer, and tokens a second of that. The network, and what stands before it, is in none."""


def service_figures(said: Mapping[str, Any]) -> dict[str, float]:
    """The figures of `Reply.timings` by the names of `FIGURES`; what it does not say, or says below 0, is not there."""
    usage = said.get("usage")
    given = {**said, **usage} if isinstance(usage, Mapping) else said
    found: dict[str, float] = {}
    for field, (name, factor) in _FIELDS.items():
        if (value := _known(given.get(field))) is not None:
            found[name] = value * factor
    if "prompt_ms" in found:
        found["ttft_ms"] = found["prompt_ms"] + found.get("queue_ms", 0.0)
    tokens = _known(given.get("completion_tokens"))
    if "decode_tokens_per_s" not in found and tokens and found.get("decode_ms"):
        found["decode_tokens_per_s"] = tokens * 1e3 / found["decode_ms"]
    return {name: found[name] for name in FIGURES if name in found}


_FIELDS: Final = {
    "prompt_ms": ("prompt_ms", 1.0),
    "predicted_ms": ("decode_ms", 1.0),
    "predicted_per_second": ("decode_tokens_per_s", 1.0),
    "queue_time": ("queue_ms", 1e3),
    "prompt_time": ("prompt_ms", 1e3),
    "completion_time": ("decode_ms", 1e3),
}
"""A service's field, our name of it, and the factor to our unit."""


def _known(value: Any) -> float | None:
    """A number of a service's; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)
