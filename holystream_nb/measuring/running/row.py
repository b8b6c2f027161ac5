"""Failures in a row, by the order in which requests were begun."""

from __future__ import annotations


class Row:
    """Of one arm: how many requests failed since the latest one that did not, as they were begun.

    By their ends an answer that was on its way when the service died would begin the count anew. Moments are ns of any
    one clock.
    """

    def __init__(self) -> None:
        self._failed: list[int] = []
        self._good = -1

    def add(self, begun: int, *, failed: bool) -> None:
        """A request that was begun then has ended."""
        if not failed:
            self._good = max(self._good, begun)
            self._failed = [each for each in self._failed if each > self._good]
        elif begun > self._good:
            self._failed.append(begun)

    def __len__(self) -> int:
        return len(self._failed)
