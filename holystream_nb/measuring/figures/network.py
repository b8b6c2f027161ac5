"""Of the network alone: the round trip to each provider, as it was measured beside the run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from ..values.record import Trip
from .statistics import Quantile, quantile

TO_A_PROXY: Final = "proxy"


def trips_ms(trips: Sequence[Trip], provider: str) -> list[float]:
    """TCP round trips to a provider, in ms; none where the way goes through a proxy, which hides the rest of it."""
    own = (trip for trip in trips if trip.provider == provider and trip.via != TO_A_PROXY)
    return [trip.tcp / 1e6 for trip in own if trip.tcp is not None]


def round_trip(trips: Sequence[Trip], provider: str) -> Quantile:
    """The median of them. Those of one run lie in time one after the other, and the interval takes them as independent:
    of a network whose delay drifts it is too narrow."""
    return quantile(trips_ms(trips, provider), 0.5)


def net_ms(ttft_ms: float | None, trip_ms: float | None) -> float | None:
    """TTFT − one round trip of the network: what would be left beside the service.

    One round trip is what the request's way there and the first output's way back take at least. It stays in the figure
    what the network did beyond that to this very request: a lost packet, a full line, a body of more than a few packets
    on its way. A service behind a content network's edge answers TCP at the edge, so that the way from there to the
    model is in the figure too. None where no round trip was measured, or only one to a proxy; never below 0.
    """
    return None if ttft_ms is None or trip_ms is None else max(0.0, ttft_ms - trip_ms)


def median_trips(trips: Sequence[Trip]) -> dict[str, float]:
    """The median round trip to each provider to which one was measured, in ms."""
    found = {provider: trips_ms(trips, provider) for provider in dict.fromkeys(trip.provider for trip in trips)}
    return {provider: median(values) for provider, values in found.items() if values}


def said(trips: Sequence[Trip]) -> list[str]:
    """What is to be known of the round trips: that they end at a proxy, or failed."""
    notes = []
    for provider in dict.fromkeys(trip.provider for trip in trips):
        own = [trip for trip in trips if trip.provider == provider]
        if any(trip.via == TO_A_PROXY for trip in own):
            notes.append(
                f"The way to {provider} goes through a proxy: only the round trip to the proxy could be measured, "
                "so that no TTFT is shown net of the network."
            )
        if failed := sum(bool(trip.error) for trip in own):
            notes.append(f"{failed} of {len(own)} round trips to {provider} failed.")
    return notes
