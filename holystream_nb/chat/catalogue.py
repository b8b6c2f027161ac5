"""What the model picker searches: the models of every provider that could be asked now, without asking anybody."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from ..pricing import UNKNOWN, price_card, priced_models
from ..providers.table import providers
from ..providers.values import Provider
from ..session import Session


def catalogue(session: Session, environ: Mapping[str, str] = os.environ) -> list[dict[str, str]]:
    """Entries {value, provider, note}: the default provider's first, then those whose key is set, or who need none.

    A model of the default provider is called by its name alone. Takes up to a second for a provider with many models.
    """
    default = session.default_provider()
    table = providers(environ)
    others = [name for name in table if name != default and _is_configured(table[name], environ)]
    return [entry for name in (default, *others) for entry in _entries(table[name], name == default, session)]


def _is_configured(provider: Provider, environ: Mapping[str, str]) -> bool:
    return provider.key_variable is None or bool(environ.get(provider.key_variable, "").strip())


def _entries(provider: Provider, is_default: bool, session: Session) -> Iterator[dict[str, str]]:
    for model in _models(provider, session):
        yield {
            "value": model if is_default else f"{provider.name}:{model}",
            "provider": provider.name,
            "note": _prices(provider, model),
        }


def _models(provider: Provider, session: Session) -> list[str]:
    known = [profile.model for profile in session.profiles()] if provider.price_list in ("card", "simulated") else []
    first = [provider.default_model] if provider.default_model else []
    return list(dict.fromkeys([*first, *known, *([] if known else priced_models(provider))]))


def _prices(provider: Provider, model: str) -> str:
    card = price_card(provider, model)
    if card.input is None or card.output is None:
        return card.note if card.note not in ("", UNKNOWN) else "price unknown"
    return f"${card.input:f} in · ${card.output:f} out per 1M tokens"
