"""Rounds of fresh processes that print what they measured."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
SEED: Final = 2


def rounds(variants: Mapping[str, Sequence[str]], count: int) -> dict[str, list[dict[str, Any]]]:
    """Runs each variant once a round, in an order shuffled anew: what the machine does meanwhile meets all alike.

    A variant is the interpreter's arguments; it prints one JSON object as its last line. Returns those, round by round.
    """
    order, chance = list(variants), random.Random(SEED)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for _ in range(count):
        chance.shuffle(order)
        for name in order:
            found[name].append(_run(variants[name]))
    return found


def _run(arguments: Sequence[str]) -> dict[str, Any]:
    run = subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result
