"""The clients of this kernel: one for each way to reach a service, kept for each event loop until that ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from .providers.secret import Key

if TYPE_CHECKING:
    from .client.client import Client
    from .defaults import Place
    from .providers.values import Provider

MOST: Final = 16
"""Clients that a loop keeps; of more, the one not used for longest is closed."""


@dataclass(slots=True)
class _Kept:
    """A client that is kept, and how many use it now."""

    client: Client
    uses: int = 0


class Clients:
    """Each loop's clients, by the places that they reach; nothing is connected before a client is used."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[tuple[Provider, str], _Kept]] = (
            WeakKeyDictionary()
        )
        self._keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = WeakKeyDictionary()

    def kept(self) -> list[list[Client]]:
        """Of each loop, the clients that are kept, the one not used for longest first."""
        return [[each.client for each in clients.values()] for clients in self._of.values()]

    async def client(self, place: Place) -> Client:
        """This loop's client for a place; whoever uses it for long takes it by `reached`."""
        return (await self._at(place)).client

    @contextlib.asynccontextmanager
    async def reached(self, place: Place) -> AsyncIterator[Client]:
        """This loop's client for a place; it is not closed meanwhile."""
        kept = await self._at(place)
        kept.uses += 1
        try:
            yield kept.client
        finally:
            kept.uses -= 1

    async def close(self) -> None:
        """Closes this loop's clients."""
        await self._close(asyncio.get_running_loop())

    def close_resting(self) -> None:
        """Closes those of loops that do not run, and can."""
        for loop in list(self._of):
            if not loop.is_closed() and not loop.is_running():
                loop.run_until_complete(self._close(loop))

    async def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        for kept in self._of.pop(loop, {}).values():
            await kept.client.aclose()

    async def _at(self, place: Place) -> _Kept:
        from .client.client import Client

        await self._close_with_loop()
        clients = self._of.setdefault(asyncio.get_running_loop(), OrderedDict())
        key = key_of(place)
        if key not in clients:
            clients[key] = _Kept(Client.of(place.provider, place.options))
        clients.move_to_end(key)
        kept = clients[key]
        idle = [each for each, other in clients.items() if not other.uses and other is not kept]
        for each in idle[: max(0, len(clients) - MOST)]:
            await clients.pop(each).client.aclose()
        return kept

    async def _close_with_loop(self) -> None:
        """Closes this loop's clients when the loop shuts its generators down, as `asyncio.run` and `hs.run` do."""
        loop = asyncio.get_running_loop()
        if loop not in self._keepers:
            self._keepers[loop] = keeper = self._keeper(loop)
            await anext(keeper)

    async def _keeper(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._keepers.pop(loop, None)
            await self._close(loop)


def key_of(place: Place) -> tuple[Provider, str]:
    """Equal for the same provider, reached the same way with the same key, also of a variable that has changed."""
    provider, options = place.provider, place.options
    variable = provider.key_variable if options.key_variable is None else options.key_variable
    if options.api_key is None and variable:
        options = replace(options, api_key=Key(os.environ.get(variable, "")))
    return provider, options.fingerprint
