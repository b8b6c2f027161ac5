"""The lists of models that services gave, kept for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .clients import key_of
from .errors import HolystreamError

if TYPE_CHECKING:
    from .client.client import Client
    from .defaults import Place
    from .providers.values import Provider

FRESH_S: Final = 60.0
"""How old a list may be: an engine loads another model when its owner says so."""

FRESH_FAILURE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Listed:
    """The models that a service has listed, or what kept it from doing so."""

    provider: Provider
    models: tuple[str, ...]
    error: HolystreamError | None = None


class Lists:
    """What each place has listed, the same for all loops."""

    def __init__(self) -> None:
        self._of: dict[tuple[Provider, str], tuple[float, Listed]] = {}
        self._known: dict[tuple[Provider, str], tuple[str, ...]] = {}

    def known(self, place: Place) -> tuple[str, ...]:
        """The models that a place has listed, also long ago; nothing is asked."""
        return self._known.get(key_of(place), ())

    async def of(
        self,
        place: Place,
        reached: Callable[[Place], AbstractAsyncContextManager[Client]],
        *,
        is_failure_kept: bool = True,
    ) -> Listed:
        """What a place lists, at most a minute old; without `is_failure_kept`, what failed is asked again at once.

        Raises SetupError for a place that cannot be asked; what goes wrong at the service is in `error`.
        """
        key = key_of(place)
        at, found = self._of.get(key, (0.0, None))
        if found is not None:
            limit = FRESH_S if found.error is None else FRESH_FAILURE_S if is_failure_kept else 0.0
            if time.monotonic() - at < limit:
                return found
        from .client.catalogue import models_of  # late: it brings what opens connections

        async with reached(place) as client:
            try:
                self._known[key] = await models_of(client)
                found = Listed(client.provider, self._known[key])
            except HolystreamError as exc:
                found = Listed(client.provider, (), exc)
        self._of[key] = time.monotonic(), found
        return found
