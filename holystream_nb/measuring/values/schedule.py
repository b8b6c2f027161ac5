"""The requests of a plan in order, and what of them each worker does: a pure function of the plan's seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


def schedule(plan: Plan) -> list[list[Slot]]:
    """Every request in order, in blocks: one block is one prompt and repeat, asked of every model in every way.

    Blocks are in random order, and so are the requests in each: models and ways take turns, and what is compared in
    pairs is asked at nearly the same time.
    """
    rng = Random(f"schedule {plan.seed}")  # noqa: S311  # an order, not a secret
    pairs = [(prompt, repeat) for prompt in range(len(plan.prompts)) for repeat in range(plan.repeats)]
    rng.shuffle(pairs)
    blocks = []
    for prompt, repeat in pairs:
        arms = [(model, way) for model in range(len(plan.models)) for way in range(len(plan.ways))]
        rng.shuffle(arms)
        blocks.append([Slot(model, prompt, repeat, _wait(plan, rng), way) for model, way in arms])
    return blocks


def _wait(plan: Plan, rng: Random) -> float:
    if plan.rate is not None:
        return rng.expovariate(plan.rate)
    return rng.uniform(0, 2 * plan.pause) if plan.pause else 0.0


class Share(msgspec.Struct, frozen=True):
    """What one worker does. `starts` has the first moment of each of its streams, in s after the start (closed loop).

    In an open loop `starts` is empty and every slot's `wait_s` is its time after the start.
    """

    worker: int
    starts: tuple[float, ...]
    slots: tuple[Slot, ...]


def shares(plan: Plan, workers: int, done: Collection[tuple[int, int, int, int]] = ()) -> list[Share]:
    """The schedule without what is `done`, dealt to workers: whole blocks, so that pairs stay in one process.

    Streams start one after another, about 10 ms apart: replies that begin together end together, and then restart
    together, and that would measure the client.
    """
    blocks = [[slot for slot in block if slot.id not in done] for block in schedule(plan)]
    blocks = [block for block in blocks if block]
    if plan.rate is not None:
        blocks = _due(blocks)
    workers = max(1, min(workers, len(blocks), plan.concurrency or workers))
    rng = Random(f"starts {plan.seed}")  # noqa: S311
    streams = plan.concurrency or 0
    starts = [(index + rng.random()) * _START_S for index in range(streams)] if streams > 1 else [0.0] * streams
    dealt: list[list[Slot]] = [[] for _ in range(workers)]
    for index, block in enumerate(blocks):
        dealt[index % workers] += block
    return [Share(worker, tuple(starts[worker::workers]), tuple(slots)) for worker, slots in enumerate(dealt)]


def _due(blocks: Sequence[Sequence[Slot]]) -> list[list[Slot]]:
    """The same slots with `wait_s` from the start on."""
    clock = 0.0
    timed = []
    for block in blocks:
        row = []
        for slot in block:
            clock += slot.wait_s
            row.append(msgspec.structs.replace(slot, wait_s=clock))
        timed.append(row)
    return timed
