"""What the model picker searches: models that could be asked now, and those that services list when they are asked.

Asked for its list is only the service of the session, or of the panel's own address, and a provider that the reader
opened: by choosing one of its models, or by writing its name and a colon.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping

from ..client.options import ClientOptions
from ..errors import HolystreamError
from ..models import known_models, listed_models
from ..money import amount
from ..money.card import SIMULATED, UNKNOWN, price_card
from ..providers.table import providers
from ..providers.values import Provider
from ..session import Session

Offer = dict[str, str]
"""{value, provider, note}"""


def catalogue(session: Session, environ: Mapping[str, str] = os.environ) -> list[Offer]:
    """The default provider's models first, then those of providers whose key is set, or who need none; asks nobody.

    A model of the default provider is called by its name alone. Takes up to a second for a provider with many models.
    """
    home = session.default_service().provider
    others = [each for each in providers(environ).values() if each.name != home.name and _is_configured(each, environ)]
    return [
        offer
        for each in (home, *others)
        for offer in _offers(each, known_models(each, session), "" if each is home else f"{each.name}:")
    ]


class Picker:
    """The offers of one panel, which grow while services answer; belongs to the panel's loop.

    tell: takes all offers, whenever there are more. options: how the panel reaches services; where it has an address of
        its own, the models there are the only ones.
    """

    def __init__(self, session: Session, tell: Callable[[list[Offer]], object], options: ClientOptions) -> None:
        self._session = session
        self._tell = tell
        self._options = options
        self._known: list[Offer] = []
        self._listed: list[tuple[list[Offer], bool]] = []
        self._opened: set[str] = set()

    async def fill(self, models: Iterable[str] = ()) -> None:
        """What is known, then what the session's service lists, and those of the models' providers.

        Raises SetupError for a table of providers that cannot be read; a service that does not answer is passed over.
        """
        if self._options.base_url is None:
            self._known = await asyncio.to_thread(catalogue, self._session)
            self._show()
        await self._add("")
        for model in models:
            if ":" in model:
                await self.open(model.partition(":")[0])

    async def open(self, provider: str) -> None:
        """The reader has come to a provider: its service is asked, once, if there is one of that name."""
        name = provider.strip().lower()
        if self._options.base_url is None and name not in self._opened:
            self._opened.add(name)
            await self._add(name)

    async def _add(self, name: str) -> None:
        try:
            listed = await listed_models(self._session, name, self._options)
        except HolystreamError:
            return  # nobody asked for it: a question to that provider says what is wrong
        if listed.models:
            is_own = self._options.base_url is not None or name in ("", self._session.default_provider())
            prefix = "" if is_own else f"{name}:"
            offers = await asyncio.to_thread(lambda: list(_offers(listed.provider, listed.models, prefix)))
            self._listed.append((offers, is_own))
            self._show()

    def _show(self) -> None:
        offers = self._known
        for listed, is_own in self._listed:
            offers = _merged(offers, listed, first=is_own)
        self._tell(offers)


def _merged(known: list[Offer], listed: list[Offer], *, first: bool) -> list[Offer]:
    """The offers with those that a service has listed, before all others of its provider."""
    values = {offer["value"] for offer in listed}
    rest = [offer for offer in known if offer["value"] not in values]
    name = listed[0]["provider"]
    at = 0 if first else next((index for index, offer in enumerate(rest) if offer["provider"] == name), len(rest))
    return [*rest[:at], *listed, *rest[at:]]


def _is_configured(provider: Provider, environ: Mapping[str, str]) -> bool:
    if provider.base_url is None and provider.addresses:
        return False  # its address is for the user to say
    return provider.key_variable is None or bool(environ.get(provider.key_variable, "").strip())


def _offers(provider: Provider, models: Iterable[str], prefix: str) -> Iterable[Offer]:
    for model in models:
        yield {"value": f"{prefix}{model}", "provider": provider.name, "note": _prices(provider, model)}


def _prices(provider: Provider, model: str) -> str:
    card = price_card(provider, model)
    if card.input is None or card.output is None:
        return card.note if card.note not in ("", UNKNOWN) else "price unknown"
    word = f" ({SIMULATED})" if card.note == SIMULATED else ""
    sign, rate = amount.SIGNS[amount.currency()], card.cny_per_usd if amount.currency() == "CNY" else 1
    return f"{sign}{card.input * rate:f} in · {sign}{card.output * rate:f} out per 1M tokens{word}"
