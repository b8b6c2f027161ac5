"""What is given at a door, as a plan takes it: prompts, limits, transports, wire formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ... import kinds
from ...errors import SetupError
from ...facts import WIRES
from .plan import TRANSPORTS, Prompt


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


def prompts_of(door: str, prompts: object) -> tuple[Prompt, ...]:
    """Prompts as they are given: a text, or a list of texts and of lists of messages.

    Raises SetupError for what is neither; a single list of messages is one prompt only inside of a list.
    """
    if isinstance(prompts, str):
        kinds.messages(prompts)
        return (prompts,)
    example = 'like ["Hello", [{"role": "user", "content": "Hello"}]]'
    if not isinstance(prompts, list | tuple) or not prompts:
        raise SetupError(
            f"The prompts of {door} are {kinds.kind(prompts)}: give a text, or a list of texts or lists of messages, "
            f"{example}."
        )
    if all(isinstance(each, Mapping) for each in prompts):
        raise SetupError(f"The prompts of {door} are messages: put them into a list of prompts, {example}.")
    return tuple(each if isinstance(each, str) and kinds.messages(each) else kinds.messages(each) for each in prompts)


def limits_of(limits: object) -> dict[str, float]:
    """What a good request keeps, by names among `LIMITS`."""
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise SetupError(f"limits is {kinds.kind(limits)}: give a mapping like {{'ttft_ms': 500}}.")
    return {str(name): kinds.number(f"The limit {name}", limit, above=0) for name, limit in limits.items()}
