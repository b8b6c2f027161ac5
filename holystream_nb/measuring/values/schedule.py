"""The requests of a plan in order, and when its streams start: a pure function of the plan's seed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count
from random import Random
from typing import Final

import msgspec

from .plan import Plan

_START_S: Final = 0.010


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """One request to make: indices of its model, prompt and way, its repeat, and when.

    `wait_s` is a pause before the request (closed loop), or the time since the slot before it (open loop).
    """

    model: int
    prompt: int
    repeat: int
    wait_s: float
    way: int = 0

    @property
    def id(self) -> tuple[int, int, int, int]:
        return self.model, self.prompt, self.repeat, self.way


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """A slot for one worker. `not_before` is the limiter's moment, in ns after the session's origin; 0: no limiter."""

    slot: Slot
    not_before: int = 0


def schedule(plan: Plan) -> list[list[Slot]]:
    """Every request in order, in blocks: one block is one prompt and repeat, asked of every model in every way.

    Blocks are in random order, and so are the requests in each: models and ways take turns, and what is compared in
    pairs is asked at nearly the same time.
    """
    rng = Random(f"schedule {plan.seed}")  # noqa: S311  # an order, not a secret
    pairs = [(prompt, repeat) for prompt in range(len(plan.prompts)) for repeat in range(plan.repeats)]
    return list(_shuffled(plan, rng, pairs))


def _shuffled(plan: Plan, rng: Random, pairs: list[tuple[int, int]]) -> Iterator[list[Slot]]:
    rng.shuffle(pairs)
    for prompt, repeat in pairs:
        arms = [(model, way) for model in range(len(plan.models)) for way in range(len(plan.ways))]
        rng.shuffle(arms)
        yield [Slot(model, prompt, repeat, _wait(plan, rng), way) for model, way in arms]


def _wait(plan: Plan, rng: Random) -> float:
    if plan.rate is not None:
        return rng.expovariate(plan.rate)
    return rng.uniform(0, 2 * plan.pause) if plan.pause else 0.0


def blocks(plan: Plan, done: Collection[tuple[int, int, int, int]] = ()) -> Iterator[list[Slot]]:
    """The schedule without what is `done`; without end where only the duration ends it.

    In an open loop `wait_s` is then the time from the start on.
    """
    clock = 0.0
    for block in schedule(plan) if plan.repeats else _rounds(plan):
        left = [slot for slot in block if slot.id not in done]
        if plan.rate is not None:
            for index, slot in enumerate(left):
                clock += slot.wait_s
                left[index] = msgspec.structs.replace(slot, wait_s=clock)
        if left:
            yield left


def _rounds(plan: Plan) -> Iterator[list[Slot]]:
    """One repeat after another, each in an order of its own."""
    for repeat in count():
        rng = Random(f"schedule {plan.seed} {repeat}")  # noqa: S311
        yield from _shuffled(plan, rng, [(prompt, repeat) for prompt in range(len(plan.prompts))])


def starts(plan: Plan, workers: int) -> list[tuple[float, ...]]:
    """For each worker the first moment of each of its streams, in s after the start (closed loop; else empty).

    Streams start one after another, about 10 ms apart: replies that begin together end together, and then restart
    together, and that would measure the client.
    """
    rng = Random(f"starts {plan.seed}")  # noqa: S311
    streams = plan.concurrency or 0
    found = [(index + rng.random()) * _START_S for index in range(streams)] if streams > 1 else [0.0] * streams
    return [tuple(found[worker::workers]) for worker in range(workers)]


def warmups(plan: Plan, arms: Collection[tuple[int, int]]) -> list[Slot]:
    """The discarded requests of one worker for these arms (indices of model and way); their repeats are below 0."""
    return [Slot(model, 0, -1 - turn, 0.0, way) for turn in range(plan.warmup) for model, way in sorted(arms)]
