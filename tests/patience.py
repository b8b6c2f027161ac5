"""Waiting for what comes when it comes, on machines of any speed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(seen: Callable[[], object], timeout: float = 20) -> None:
    """Returns when that is so."""
    async with asyncio.timeout(timeout):
        while not seen():  # noqa: ASYNC110  # what is waited for tells nobody
            await asyncio.sleep(0.005)
