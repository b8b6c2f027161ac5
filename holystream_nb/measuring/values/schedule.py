"""The requests of a plan in order, and when its streams start: a pure function of the plan's seed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
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
    """A slot for one worker. `not_before` is the limiter's moment, in ns after the session's origin; 0: no limiter.

    more: whether the user who does it also does the next one.
    """

    slot: Slot
    not_before: int = 0
    more: bool = False


def schedule(plan: Plan) -> list[list[Slot]]:
    """Every request in order, in blocks: one block is one prompt, or conversation, and repeat, asked of every model in
    every way.

    Blocks are in random order, and so are the requests in each: models and ways take turns, and what is compared in
    pairs is asked at nearly the same time.
    """
    rng = Random(f"schedule {plan.seed}")  # noqa: S311  # an order, not a secret
    pairs = [(unit, repeat) for unit in plan.units for repeat in range(plan.repeats)]
    return list(_shuffled(plan, rng, pairs))


def _shuffled(plan: Plan, rng: Random, pairs: list[tuple[range, int]]) -> Iterator[list[Slot]]:
    rng.shuffle(pairs)
    for unit, repeat in pairs:
        arms = [(model, way) for model in range(len(plan.models)) for way in range(len(plan.ways))]
        rng.shuffle(arms)
        if plan.caches:
            arms = _cold_first(plan, arms)
        yield [Slot(model, prompt, repeat, _wait(plan, rng), way) for model, way in arms for prompt in unit]


def _cold_first(plan: Plan, arms: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The arms with each warm one just behind its cold one."""
    cold = [(model, way) for model, way in arms if plan.filler(way) is None]
    return [(model, each) for model, way in cold for each in (way, way + 1)]


def chains(plan: Plan, slots: Iterable[Slot]) -> list[list[Slot]]:
    """What one user asks one after another: a slot alone, the turns of a conversation, a cold request and its warm
    one.
    """
    found: list[list[Slot]] = []
    for slot in slots:
        if found and _follows(plan, found[-1][-1], slot):
            found[-1].append(slot)
        else:
            found.append([slot])
    return found


def _follows(plan: Plan, one: Slot, other: Slot) -> bool:
    if (cold := plan.filler(other.way)) is not None:
        return one.id == (other.model, other.prompt, other.repeat, cold)
    before, number = plan.number(one.prompt), plan.number(other.prompt)
    return (
        before is not None
        and number is not None
        and before < number
        and one.id == (other.model, other.prompt - number + before, other.repeat, other.way)
    )


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
        yield from _shuffled(plan, rng, [(unit, repeat) for unit in plan.units])


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
