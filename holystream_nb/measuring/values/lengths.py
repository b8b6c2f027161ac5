"""Numbers of tokens for synthetic prompts: one, a list, or drawn from a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from ... import kinds
from ...errors import SetupError
from .synthetic import Synthetic
from .words import counted


def lengths_of(name: str, given: Any, n: int | None, rng: Random) -> list[int]:
    """Lengths as they are given, in tokens: one, a list, or ("uniform", low, high), ("normal", mean, sd) or
    ("lognormal", mean, sd), the mean and the deviation being those of the lengths; none is below 1.

    Without `n` one length, or as many as are listed.
    """
    given = kinds.plain(kinds.unpacked(given))
    if isinstance(given, list | tuple) and given and isinstance(given[0], str):
        return _drawn(name, given, n, rng)
    if isinstance(given, list | tuple):
        listed = [kinds.count(name, each, least=1) for each in given]
        if not listed:
            raise SetupError(f"{name} is an empty list: give numbers of tokens.")
        return [listed[index % len(listed)] for index in range(n or len(listed))]
    return [kinds.count(name, given, least=1)] * (n or 1)


def _drawn(name: str, given: Sequence[Any], n: int | None, rng: Random) -> list[int]:
    kind = kinds.choice(name, given[0], ("uniform", "normal", "lognormal"))
    if len(given) != 3:
        raise SetupError(f'{name} is not whole: give ("uniform", low, high), ("normal", mean, sd) or ("lognormal", …).')
    if n is None:
        raise SetupError(f"{name} is drawn from a distribution: say of how many prompts, as n=100.")
    one, two = (kinds.number(name, each) for each in given[1:])
    if kind == "uniform":
        low, high = sorted((kinds.count(name, given[1], least=1), kinds.count(name, given[2], least=1)))
        return [rng.randint(low, high) for _ in range(n)]
    if kind == "normal":
        return [max(1, round(rng.gauss(one, two))) for _ in range(n)]
    if not one:
        raise SetupError(f"{name} is drawn from a lognormal distribution: give a mean above 0.")
    spread = math.log(1 + (two / one) ** 2)
    return [max(1, round(rng.lognormvariate(math.log(one) - spread / 2, math.sqrt(spread)))) for _ in range(n)]


def in_words(prompts: Sequence[Synthetic]) -> str:
    """`20 synthetic prompts of 900 to 1,100 input and 300 output tokens`."""
    words = f"{counted(len(prompts), 'synthetic prompt')} of {_range([each.input_tokens for each in prompts])} input"
    outputs = [each.output_tokens for each in prompts if each.output_tokens is not None]
    words += f" and {_range(outputs)} output tokens" if outputs else " tokens"
    prefix = max(each.prefix_tokens for each in prompts)
    return words + (f", {prefix:,} of them shared" if prefix else "")


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
