"""hs.synthetic and hs.trace: workloads by their numbers of tokens, and at the times of those that others had."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from .. import kinds
from ..errors import SetupError
from .values.folder import path_of
from .values.lengths import in_words, lengths_of
from .values.prompts import Prompts, table_of
from .values.synthetic import Synthetic
from .values.words import counted

_TIMES: Final = ("TIMESTAMP", "Timestamp", "timestamp", "time", "time_s", "time_ms")
_INPUTS: Final = ("ContextTokens", "Request tokens", "input_length", "input_tokens", "prompt_tokens")
_OUTPUTS: Final = ("GeneratedTokens", "Response tokens", "output_length", "output_tokens", "completion_tokens")
_UNITS: Final = ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min"))
_IN_MS: Final = ("timestamp", "time_ms")


def synthetic(
    input_tokens: Any,
    output_tokens: Any = None,
    *,
    n: int | None = None,
    shared_prefix: int = 0,
    seed: int = 0,
) -> Prompts:
    """Prompts of so many tokens, to be given to `hs.bench` as its prompts: `prompts=hs.synthetic(1000, 300)`.

    input_tokens, output_tokens: one number; a list, taken in turn; or a distribution: ("uniform", low, high),
        ("normal", mean, sd), ("lognormal", mean, sd), drawn `n` times.
    n: how many prompts; by default one, or as many as are listed. Each repeat of each has a text of its own.
    shared_prefix: of the input tokens, how many all prompts have in common at their beginning, where caches may answer
        (`cache=True`, or the arms of `cache=("cold", "warm")`); otherwise the prefix too is new each time.
    seed: of lengths that are drawn. Texts follow from the bench's seed.

    Input tokens are those that the service counts, its template included: before the run a few short requests to each
    model find out what it makes of a text, as tokenizers differ; what was reached is in the result's notes and in
    `prompt_tokens`. A model that does not report usage gets a word for a token, and the notes say so.
    An answer is ended at `output_tokens` by max_tokens; where the provider is known to take it (vLLM, llama.cpp) it
    also gets ignore_eos, and has exactly that length. At an address of your own, say `ignore_eos=True` yourself.
    """
    rng = Random(f"lengths {kinds.count('seed', seed)}")  # noqa: S311  # lengths, no secret
    n = kinds.optional_count("n", n, least=1)
    inputs = lengths_of("input_tokens", input_tokens, n, rng)
    outputs = [None] if output_tokens is None else lengths_of("output_tokens", output_tokens, n, rng)
    prefix = kinds.count("shared_prefix", shared_prefix)
    if prefix >= min(inputs):
        raise SetupError(f"shared_prefix={prefix}: give fewer tokens than the shortest prompt has, {min(inputs):,}.")
    count = n or max(len(inputs), len(outputs))
    prompts = tuple(
        Synthetic(inputs[index % len(inputs)], outputs[index % len(outputs)], prefix) for index in range(count)
    )
    return Prompts(prompts, source=in_words(prompts))


def trace(path: str | Path, *, speed: float = 1.0, n: int | None = None) -> Prompts:
    """The requests of a trace, at its own times and of its lengths, as prompts for `hs.bench`: every model gets it all.

    path: a CSV or JSON Lines file of one of the public traces' forms:
        Azure's LLM inference traces 2023 and 2024: TIMESTAMP (date and time), ContextTokens, GeneratedTokens;
        BurstGPT: Timestamp (s), Request tokens, Response tokens;
        Mooncake's: timestamp (ms), input_length, output_length;
        or your own: time or time_s (s), or time_ms; input_tokens or prompt_tokens; output_tokens or completion_tokens.
        Whatever its column is called, a date and time is read as one.
    speed: how much faster than it was; 2 halves the distances.
    n: only the first so many requests.

    Requests without input or output are left out, as those that failed in BurstGPT. Texts are made as by
    `hs.synthetic`; what prompts had in common (Mooncake's hash_ids) is not replayed.
    """
    file = path_of(path, "a trace")
    speed = kinds.number("speed", speed, above=0)
    n = kinds.optional_count("n", n, least=1)
    rows = table_of("hs.trace", file)
    at, tokens_in, tokens_out = _columns(file, list(rows[0]) if rows else [])
    found = sorted(_request(file, row, at, tokens_in, tokens_out) for row in rows)
    asked = [each for each in found if each[1] and each[2]][:n]
    if not asked:
        raise SetupError(f"{file.name} has no request with input and output tokens in it.")
    times = tuple((moment - asked[0][0]) / speed for moment, _, _ in asked)
    prompts = tuple(Synthetic(tokens, answer) for _, tokens, answer in asked)
    pace = "" if speed == 1 else f" at {speed:g} times its speed"
    left = len(found) - len([each for each in found if each[1] and each[2]])
    out = f"; {counted(left, 'request')} without tokens left out" if left else ""
    words = f"{in_words(prompts)} at the times of {file.name}{pace}, over {_span(times[-1])}{out}"
    return Prompts(prompts, (), words, times)


def _columns(file: Path, names: Sequence[str]) -> list[str]:
    """Those of the times, the input and the output tokens; SetupError for a file that lacks one."""
    wanted = {"a time": _TIMES, "input tokens": _INPUTS, "output tokens": _OUTPUTS}
    found = [next((name for name in known if name in names), "") for known in wanted.values()]
    if all(found):
        return found
    lacking = [
        f"{what} ({', '.join(known)})" for (what, known), name in zip(wanted.items(), found, strict=True) if not name
    ]
    there = ", ".join(name[:40] for name in names[:12]) or "none"
    raise SetupError(
        f"{file.name} is no trace of a known form: it has no column of {', nor of '.join(lacking)}; it has {there}."
    )


def _span(seconds: float) -> str:
    """`40 s`, `12 min`, `24 h`."""
    size, unit = next((each for each in _UNITS if seconds >= 2 * each[0]), (1.0, "s"))
    return f"{seconds / size:.3g} {unit}"


def _request(file: Path, row: Mapping[str, Any], at: str, tokens_in: str, tokens_out: str) -> tuple[float, int, int]:
    """(time in s, input tokens, output tokens) of a row."""
    try:
        moment, counts = _seconds(row[at], at), [round(float(row[name])) for name in (tokens_in, tokens_out)]
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise SetupError(f"{file.name} has a row without a time and two numbers of tokens in it.") from exc
    if not math.isfinite(moment) or min(counts) < 0:
        raise SetupError(f"{file.name} has a row without a time and two numbers of tokens in it.")
    return moment, counts[0], counts[1]


def _seconds(value: Any, name: str) -> float:
    """A moment in seconds: Azure's are dates, BurstGPT's seconds, Mooncake's, in lower case, milliseconds."""
    try:
        return float(value) / (1e3 if name in _IN_MS else 1)
    except ValueError:
        moment = datetime.fromisoformat(value)  # 2023's have no zone, 2024's no decimals where they are 0
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
