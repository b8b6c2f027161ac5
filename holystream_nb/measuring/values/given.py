"""What is given at a door, as a plan takes it: limits, transports, wire formats, paths; prompts are in `prompts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from ... import kinds
from ...errors import SetupError
from ...facts import WIRES
from .plan import LIMITS, TRANSPORTS


def transports_of(transport: object) -> tuple[str, ...]:
    """Transports as they are given: one, or several."""
    return _several("transport", transport, TRANSPORTS)


def wires_of(wire: object) -> tuple[str, ...]:
    """Wire formats as they are given: none (each provider's own), one, or several."""
    return ("",) if wire is None else _several("wire", wire, WIRES)


def _several(name: str, given: object, known: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise SetupError(f"{name} is {kinds.kind(given)}: give one or a list of {', '.join(known)}.")
    return tuple(given)


def limits_of(limits: object) -> dict[str, float]:
    """What a good request keeps, by names among `LIMITS`."""
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise SetupError(f"limits is {kinds.kind(limits)}: give a mapping like {{'ttft_ms': 500}}.")
    for name in limits:
        if name not in LIMITS:
            near = get_close_matches(str(name), LIMITS, n=1)
            instead = f"did you mean {near[0]}? " if near else ""
            raise SetupError(f"There is no limit {str(name)[:40]}: {instead}Limits are {', '.join(LIMITS)}.")
    return {str(name): kinds.number(f"The limit {name}", limit, above=0) for name, limit in limits.items()}


def repeats_of(repeats: int | None, *, is_endless: bool) -> int:
    """As a Plan has it: by default 1, or without end where something else ends it."""
    if repeats is None:
        return 0 if is_endless else 1
    return kinds.count("repeats", repeats, least=1)
