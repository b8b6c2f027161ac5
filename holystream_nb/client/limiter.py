"""A token bucket for requests and tokens per minute, shared by all streams of a client.

A bucket holds a minute's worth, is full at first, and fills evenly. A request takes one of the one bucket and its
estimated tokens of the other; `settle` corrects the estimate. First come, first served: a big request is never passed
by smaller ones behind it. One larger than the bucket waits until the bucket is full and leaves a debt.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ..errors import SetupError

_MINUTE_S: Final = 60.0
_NOTHING_S: Final = 1e-9


class _Bucket:
    """Up to a minute's worth of `per_minute`; below 0 it is in debt."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._size = per_minute
        self._rate = per_minute / _MINUTE_S
        self._level = per_minute
        self._at = now

    def copy(self) -> _Bucket:
        copy = _Bucket(self._size, self._at)
        copy._level = self._level
        return copy

    def wait_s(self, amount: float, now: float) -> float:
        """Time until `amount`, or a full bucket, is there."""
        self._fill(now)
        return max(0.0, (min(amount, self._size) - self._level) / self._rate)

    def take(self, amount: float, now: float) -> None:
        """Takes `amount`, or gives it back where it is negative."""
        self._fill(now)
        self._level = min(self._size, self._level - amount)

    def _fill(self, now: float) -> None:
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now


class Limiter:
    """Lets requests go at the pace of both limits; None is no limit. In one event loop.

    clock: seconds; it must run as the event loop's time does, in which waiting is done.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, limit in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if limit is not None and not 0 < limit < float("inf"):
                raise SetupError(f"{name} must be a number above 0, or None for no limit.")
        now = clock()
        self._clock = clock
        self._requests = None if requests_per_minute is None else _Bucket(requests_per_minute, now)
        self._tokens = None if tokens_per_minute is None else _Bucket(tokens_per_minute, now)
        self._paused_until = now
        self._queue: deque[Reservation] = deque()
        self._turn = asyncio.Lock()  # wakes its waiters in their order, and passes on a cancelled one's turn
        self._changed = asyncio.Event()

    def reserve(self, tokens: int) -> Reservation:
        """A place for a request of about so many tokens, prompt and answer: await its `granted()`."""
        return Reservation(self, tokens)

    def pause(self, seconds: float) -> None:
        """Nothing goes for so long: the service asked for it (a 429's Retry-After).

        Where no limit was set there is nothing to share, and each stream keeps its own pause.
        """
        if self._requests is None and self._tokens is None:
            return
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def charge(self, tokens: int) -> None:
        """Counts a request that went out without asking: it met a dead connection, and may have reached the service."""
        _take(self._requests, 1, self._clock())
        _take(self._tokens, tokens, self._clock())

    async def _grant(self, reservation: Reservation) -> None:
        self._queue.append(reservation)
        try:
            async with self._turn:
                while (wait := self._wait_s(reservation.tokens)) > _NOTHING_S:
                    self._changed.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await self._changed.wait()
                _take(self._requests, 1, self._clock())
                _take(self._tokens, reservation.tokens, self._clock())
        finally:
            self._queue.remove(reservation)

    def _wait_s(self, tokens: int) -> float:
        now = self._clock()
        return max(
            self._paused_until - now,
            self._requests.wait_s(1, now) if self._requests else 0.0,
            self._tokens.wait_s(tokens, now) if self._tokens else 0.0,
        )

    def _expected_wait_s(self, reservation: Reservation) -> float:
        """The time until its turn if all before it use what they estimated; 0 if it does not wait."""
        if reservation not in self._queue:
            return 0.0
        now = self._clock()
        go = max(now, self._paused_until)
        requests = self._requests.copy() if self._requests else None
        tokens = self._tokens.copy() if self._tokens else None
        for ahead in self._queue:
            go += max(
                requests.wait_s(1, go) if requests else 0.0,
                tokens.wait_s(ahead.tokens, go) if tokens else 0.0,
            )
            if ahead is reservation:
                break
            _take(requests, 1, go)
            _take(tokens, ahead.tokens, go)
        return go - now

    def _settle(self, difference: int) -> None:
        _take(self._tokens, difference, self._clock())
        self._changed.set()


class Reservation:
    """One request's place at a limiter. `tokens` is the estimate it takes when it is granted."""

    __slots__ = ("_is_granted", "_limiter", "tokens")

    def __init__(self, limiter: Limiter, tokens: int) -> None:
        self._limiter = limiter
        self._is_granted = False
        self.tokens = tokens

    async def granted(self) -> None:
        """Returns when the request may go. Cancelled, it takes nothing, and those behind it move up."""
        await self._limiter._grant(self)
        self._is_granted = True

    @property
    def wait_s(self) -> float:
        """How long it will still wait, as far as can be foreseen (s); 0 when it does not."""
        return self._limiter._expected_wait_s(self)

    def settle(self, used: int) -> None:
        """The request has ended and used so many tokens; again is harmless."""
        if self._is_granted:
            self._is_granted = False
            self._limiter._settle(used - self.tokens)


def _take(bucket: _Bucket | None, amount: float, now: float) -> None:
    if bucket is not None:
        bucket.take(amount, now)
