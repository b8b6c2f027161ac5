"""One rate limit for a whole run: which moment a request may begin at, whichever worker makes it.

No 60 s hold more than a minute's worth. A request counts from the moment it was begun; one that is allowed and not yet
begun counts as if it were begun any moment, so that the limit holds however late a worker takes it up.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Hashable
from typing import Final

MINUTE_NS: Final = 60_250_000_000
"""A minute and a quarter of a second: on their way to the service requests come closer together."""


class Window:
    """At most `per_minute` in any minute. Amounts are held under a key, and count once they are begun."""

    def __init__(self, per_minute: float) -> None:
        self._limit = max(1, math.floor(per_minute))
        self._length = round(MINUTE_NS * self._limit / per_minute)
        self._held: dict[Hashable, float] = {}
        self.begun: list[tuple[int, float]] = []
        self._used = 0.0

    def earliest(self, amount: float, now: int) -> int | None:
        """The moment (ns) at which so much more may begin; None while that hangs on when what is held begins."""
        self._forget(now)
        over = self._used + sum(self._held.values()) + amount - self._limit
        if over <= 0:
            return now
        for at, each in self.begun:
            over -= each
            if over <= 0:
                return at + self._length
        if self._held:
            return None
        # More than a minute's worth goes alone.
        return self.begun[-1][0] + self._length if self.begun else now

    def hold(self, key: Hashable, amount: float) -> None:
        self._held[key] = amount

    def release(self, key: Hashable) -> float:
        """What was held is not used after all."""
        return self._held.pop(key, 0.0)

    def begin(self, key: Hashable, at: int) -> None:
        self.add(self.release(key), at)

    def add(self, amount: float, at: int) -> None:
        """So much has gone out at this moment; a correction may be negative."""
        bisect.insort(self.begun, (at, amount))
        self._used += amount

    def _forget(self, now: int) -> None:
        gone = bisect.bisect_right(self.begun, (now - self._length, math.inf))
        self._used -= sum(amount for _, amount in self.begun[:gone])
        del self.begun[:gone]


class Pace:
    """What one provider allows: requests and tokens a minute (None is no limit), and the pauses it asked for (429).

    retries: how often more a request may go out by itself, for which there is room from its beginning.
    """

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None, *, retries: int = 0) -> None:
        self._retries = retries
        self._requests = None if requests_per_minute is None else Window(requests_per_minute)
        self._tokens = None if tokens_per_minute is None else Window(tokens_per_minute)
        self._estimates: dict[Hashable, tuple[float, int]] = {}
        self.paused_until = 0

    @property
    def is_limited(self) -> bool:
        return self._requests is not None or self._tokens is not None

    def grant(self, key: Hashable, tokens: int, now: int) -> int | None:
        """The earliest moment (ns) for a request of about so many tokens, which is held; None is not yet known."""
        moments = [max(now, self.paused_until)]
        for window, amount in self._windows(tokens):
            at = window.earliest(amount, now)
            if at is None:
                return None
            moments.append(at)
        for window, amount in self._windows(tokens):
            window.hold(key, amount)
        return max(moments)

    def release(self, key: Hashable) -> None:
        """It will not be made."""
        for window, _ in self._windows(0):
            window.release(key)

    def begin(self, key: Hashable, tokens: int, at: int) -> None:
        self._estimates[key] = tokens, at
        for window, _ in self._windows(0):
            window.begin(key, at)

    def settle(self, key: Hashable, used: int | None, again: int, now: int) -> None:
        """It has ended and used so many tokens (None: as estimated). again: how often more it went out."""
        tokens, at = self._estimates.pop(key, (0, now))
        if self._tokens is not None and used is not None:
            self._tokens.add(used - tokens, at)
        if self._requests is not None and (again or self._retries):
            # What went out again counts from its end: when it did is not known.
            self._requests.add(-self._retries, at)
            self._requests.add(again, now)
        if self._tokens is not None and again:
            self._tokens.add(again * (used or tokens), now)

    def go_on(self, before: Pace, shift_ns: int) -> None:
        """What went out by an earlier one counts here too: its stamps are `shift_ns` ahead of these."""
        self.paused_until = before.paused_until - shift_ns
        for mine, other in ((self._requests, before._requests), (self._tokens, before._tokens)):
            if mine is not None and other is not None:
                for at, amount in other.begun:
                    mine.add(amount, at - shift_ns)

    def _windows(self, tokens: int) -> list[tuple[Window, float]]:
        both = (self._requests, 1.0 + self._retries), (self._tokens, float(tokens))
        return [(window, amount) for window, amount in both if window is not None]
