"""Beside a run: the network's own round trip to each provider, every few seconds, by the parent process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from ...wire.trip import round_trip
from ..values.record import Line, Session, Trip
from .worker import Address

EVERY_S: Final = 3.0
"""Rare enough to be no load: a service sees one more connection, without a request, in three seconds."""


async def beside(places: Mapping[str, Address], sitting: Session, write: Callable[[Line], None]) -> None:
    """Measures each provider at once and then every EVERY_S, until it is cancelled; `write` gets a Trip for each."""
    while True:
        began = time.monotonic()
        for provider, address in places.items():
            if not address.base_url:
                continue
            at = time.perf_counter_ns() - sitting.origin_ns
            took = await round_trip(address.base_url, address.options)
            write(Trip(provider, sitting.number, at, took.tcp, took.tls, took.via, took.error))
        await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))
