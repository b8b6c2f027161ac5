"""A script against the clock: the one player of both transports."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from .script import Begin, End, Pause, Step, Wait

_BURST = 32
"""Writes without a pause before other streams, and the watch for the client's leaving, get their turn."""


class Channel(Protocol):
    """Where a script is played: an HTTP answer, or one turn on a socket."""

    @property
    def stopped(self) -> bool:
        """Whether the client wants no more of it."""

    async def write(self, data: bytes, kinds: tuple[str, ...]) -> None:
        """Send bytes that complete events of these `kinds`, once the socket takes them."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass, at most until the client wants no more."""

    async def results(self) -> None:
        """Wait for the results of the tools that were called, or for something else to answer."""

    async def finish(self, end: End) -> None:
        """End the answer, in one of the ways of `End`."""


async def play(channel: Channel, steps: Iterable[Step], start: float) -> None:
    """Each step when it is due, by an absolute schedule, so that late wake-ups do not add up.

    `start` is when the answer was asked for, in s of `time.perf_counter`. Returns early when the channel is stopped.
    """
    due, beat, burst = start, 0, 0
    gaps: Iterator[float] = iter(())
    waited = False
    for step in steps:
        match step:
            case Begin(pace):
                due = (time.perf_counter() if waited else start) + pace.first
                gaps, beat, waited = pace.gaps, 0, True
            case Pause(seconds):
                due += seconds
                await channel.sleep(seconds)
            case Wait():
                await channel.results()
            case End():
                return await channel.finish(step)
            case _:
                while beat < step.beat:
                    due += next(gaps)
                    beat += 1
                wait = due - time.perf_counter()
                burst += 1
                if wait > 0 or burst == _BURST:
                    await channel.sleep(max(wait, 0))
                    burst = 0
                if channel.stopped:
                    return None
                *parts, last = step.pieces
                for part in parts:
                    await channel.write(part, ())
                    await channel.sleep(0)
                await channel.write(last, step.kinds)
        if channel.stopped:
            return None
    return await channel.finish(End("complete"))
