"""The requests of a plan in order, and when its streams start: a pure function of the plan's seed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from heapq import merge
from itertools import count
from random import Random
from typing import Final

import msgspec
from msgspec.structs import replace

from .arrivals import arrivals
from .plan import Plan

_START_S: Final = 0.010


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """One request to make: indices of its model, prompt and way, its repeat, and when.

    `wait_s` is a pause before the request (closed loop), or its time after the start (open loop, in `blocks`).
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
        return rng.expovariate(plan.rate) if plan.arrivals is None else 0.0
    return rng.uniform(0, 2 * plan.pause) if plan.pause else 0.0


def blocks(plan: Plan, done: Collection[tuple[int, int, int, int]] = ()) -> Iterator[list[Slot]]:
    """The schedule without what is `done`; without end where only the duration ends it.

    In an open loop each slot is alone, in the order of their times: every arm has a stream of arrivals of its own.
    What is left of a ramp or a trace keeps its times, counted from the first of them; otherwise an arm goes on as it
    would have begun.
    """
    if plan.rate is not None and plan.arrivals is not None:
        yield from ([slot] for slot in _arriving(plan, done))
        return
    clock = 0.0
    for block in _ordered(plan):
        left = [slot for slot in block if slot.id not in done]
        if plan.rate is not None:
            for index, slot in enumerate(left):
                clock += slot.wait_s
                left[index] = replace(slot, wait_s=clock)
        if left:
            yield left


def _ordered(plan: Plan) -> Iterable[list[Slot]]:
    return schedule(plan) if plan.repeats else _rounds(plan)


def _arriving(plan: Plan, done: Collection[tuple[int, int, int, int]]) -> Iterator[Slot]:
    """Slots as they arrive, in s after the start."""
    keeps_times = bool(plan.times) or plan.rate_to is not None
    arms = [(model, way) for model in range(len(plan.models)) for way in range(len(plan.ways))]
    streams = (_stream(plan, number, arm, () if keeps_times else done) for number, arm in enumerate(arms))
    ties = Random(f"ties {plan.seed}")  # noqa: S311
    start = None if done and keeps_times else 0.0
    for slot in merge(*streams, key=lambda slot: (slot.wait_s, ties.random())):
        if slot.id in done:
            continue
        start = slot.wait_s if start is None else start
        yield replace(slot, wait_s=slot.wait_s - start)


def _stream(
    plan: Plan, number: int, arm: tuple[int, int], done: Collection[tuple[int, int, int, int]]
) -> Iterator[Slot]:
    """One arm's slots at their times, those of a trace at its own."""
    slots = (
        slot for block in _ordered(plan) for slot in block if (slot.model, slot.way) == arm and slot.id not in done
    )
    if plan.times:
        timed = [replace(slot, wait_s=plan.times[slot.prompt]) for slot in slots]
        yield from sorted(timed, key=lambda slot: slot.wait_s)
        return
    for slot, at in zip(slots, arrivals(plan, number), strict=False):
        yield replace(slot, wait_s=at)


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
