"""Anthropic's prompt cache: prefixes that end at a `cache_control` are written once, then read."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

_LIVES_S = {"5m": 300.0, "1h": 3600.0}


class Block(NamedTuple):
    """One block of a prompt: what it says, its tokens, and how long the prefix that ends with it is kept ("": not)."""

    content: bytes
    tokens: int
    ttl: str = ""


class Cached(NamedTuple):
    """The tokens of a prompt: read from the cache, written for 5 minutes and for an hour, and the rest."""

    read: int
    written_5m: int
    written_1h: int
    rest: int


class PromptCache:
    """The prefixes of one simulator: the last 1,000 that were written or read, each for its time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def use(self, model: str, blocks: Sequence[Block]) -> Cached:
        """What of a prompt is read and what is written; it is kept from now on."""
        now = self._clock()
        digest, tokens, read = hashlib.blake2b(model.encode(), digest_size=16), 0, 0
        kept: list[tuple[int, str]] = []
        last = max((number for number, block in enumerate(blocks) if block.ttl), default=-1)
        for block in blocks[: last + 1]:
            digest.update(block.content + b"\0")
            tokens += block.tokens
            key = digest.digest()
            end, life = self._ends.get(key, (0.0, 0.0))
            if end > now:
                read = tokens
            if block.ttl:
                kept.append((tokens, block.ttl))
                life = max(life, _LIVES_S[block.ttl])
            if life:
                self._ends[key] = (now + life, life)
                self._ends.move_to_end(key)
        while len(self._ends) > 1000:
            self._ends.popitem(last=False)
        written, at = {"5m": 0, "1h": 0}, read
        for tokens, ttl in kept:
            written[ttl] += max(tokens - at, 0)
            at = max(at, tokens)
        return Cached(read, written["5m"], written["1h"], sum(block.tokens for block in blocks) - at)
