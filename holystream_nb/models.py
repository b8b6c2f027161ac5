"""Which models a provider of this session has: what is known without asking, and what its service lists itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .lists import Listed
from .money.card import priced_models

if TYPE_CHECKING:
    from .client.options import ClientOptions
    from .providers.values import Provider
    from .session import Session

_ANY: Final = "-"
"""Stands for a model where only the service matters."""


def known_models(provider: Provider, session: Session) -> tuple[str, ...]:
    """A provider's models without asking it: its default, those of the documents, or those that have a price."""
    known = [profile.model for profile in session.profiles()] if provider.price_list in ("card", "simulated") else []
    first = [provider.default_model] if provider.default_model else []
    return tuple(dict.fromkeys([*first, *known, *([] if known else priced_models(provider))]))


async def listed_models(session: Session, provider: str = "", options: ClientOptions | None = None) -> Listed:
    """What the service of a provider lists, the session's (or that of the options) by default; at most a minute old.

    The simulator's models are known, so that it is not started for this. Raises SetupError for a provider that cannot
    be asked, as there is no such one, or no key; what goes wrong at the service is in `error`.
    """
    from .client.options import ClientOptions
    from .providers.table import provider as named

    service, options = session.default_service(), options or ClientOptions()
    text = f"{named(provider).name}:{_ANY}" if provider else ""
    place = service.place(text, options) if text else service.place_of_home(options)
    if place.provider.name == "simulator" and place.options.base_url is None:
        return Listed(place.provider, known_models(place.provider, session))
    return await session.listed(place)
