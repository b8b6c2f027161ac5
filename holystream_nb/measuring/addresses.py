"""Where the models of a plan are, found before any child starts; the kernel's simulator is started if it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

from ..providers.keys import credentials
from ..providers.select import address_of, at, select
from ..session import SIMULATOR_KEY, simulator_speed
from ..session import session as kernel
from .worker import Address


def full(model: str, base_url: str | None) -> str:
    """`provider:model` of a name that may lack either, as `hs.stream` reads it."""
    provider, name = select(model, "holysheep" if base_url else kernel.default_provider())
    return f"{provider.name}:{name}"


def simulator_note(models: Sequence[str], base_url: str | None) -> str:
    """ "simulator ×20" and the like where one of these models runs on the simulator, else ""."""
    if not any(model.startswith("simulator:") for model in models):
        return ""
    return "simulator" if base_url else kernel.note("simulator")


async def find(models: Sequence[str], base_url: str | None, stack: ExitStack, *, foreign: bool) -> dict[str, Address]:
    """The address of each provider of these models, by its name.

    Raises MissingKey and SetupError now, and not in a child. The workers of a `foreign` executor are never handed a
    key: they get a simulator without one, which ends with `stack`.
    """
    return {
        name: await _address(name, base_url, stack, foreign=foreign)
        for name in dict.fromkeys(select(model)[0].name for model in models)
    }


async def _address(name: str, base_url: str | None, stack: ExitStack, *, foreign: bool) -> Address:
    if name == "simulator" and base_url is None:
        if not foreign:
            return Address(await asyncio.to_thread(kernel.simulator_url), key=SIMULATOR_KEY)
        from ..simulator import Simulator

        simulator = Simulator(speed=simulator_speed())
        await asyncio.to_thread(simulator.start)
        stack.callback(simulator.stop)
        return Address(simulator.url)
    provider = select(f"{name}:any")[0]
    place = at(provider, base_url)
    address = address_of(place)
    credentials(provider, base_url)
    return Address(address, key_variable=place.key_variable)
