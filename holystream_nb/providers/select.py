"""Which provider and model a text means, and a provider as it is at another address."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from ..errors import SetupError
from .address import as_socket, endpoint, fits, host_and_port, is_loopback, origin
from .table import provider, providers
from .values import Provider


def select(text: str, default: str = "holysheep", environ: Mapping[str, str] = os.environ) -> tuple[Provider, str]:
    """Provider and model of `provider:model`, or of `model` alone at the default provider.

    Models have colons of their own (`llama3.2:3b`, `meta-llama/llama-3:free`): what stands before the first colon is a
    provider only if one is called so. `ollama:mistral:7b` is needed for a model named like a provider. Nothing after
    the colon, or no text at all, is the provider's default model.
    """
    name, colon, rest = text.strip().partition(":")
    named = bool(colon) and name.strip().lower() in providers(environ)
    chosen = provider(name if named else default, environ)
    model = (rest if named else text).strip() or chosen.default_model
    if not model:
        raise SetupError(f"{chosen.name} has no default model: name one, as in {chosen.name}:MODEL.")
    return chosen, model


def same_host(base_url: str, provider: Provider) -> bool:
    """Whether an address has the scheme, host and port of one of the provider's own."""
    own = (provider.base_url, *provider.addresses) if provider.base_url else provider.addresses
    return any(fits(endpoint(base_url), address) for address in own)


def address_of(provider: Provider) -> str:
    """The address that requests go to; SetupError, with the form it has, where it is for the user to say."""
    if provider.base_url is None and provider.addresses:
        form = provider.addresses[0]
        yours = " and your ".join(dict.fromkeys(re.findall(r"\{([a-z]+)\}", form)))
        example = re.sub(r"\{([a-z]+)\}", lambda word: word[1].upper(), form)
        raise SetupError(
            f'The address of {provider.name} depends on your {yours}: give it as base_url="{example}", '
            f"or under [{provider.name}] in providers.toml."
        )
    return endpoint(provider.base_url)


def at(provider: Provider, base_url: str | None) -> Provider:
    """The provider as it is at another address.

    On another host than its own, nothing that is only true of the provider is left: its name becomes the host's, and
    it has no key and no prices.
    """
    if base_url is None:
        return provider
    base_url = endpoint(base_url)
    if provider.base_url is None and (not provider.addresses or same_host(base_url, provider)):
        return replace(provider, base_url=base_url)
    if provider.base_url is not None and origin(base_url) == origin(provider.base_url):
        return replace(provider, base_url=base_url)
    if same_host(
        base_url, provider
    ):  # the service's key goes to each of its addresses, a user's extras to theirs alone
        return replace(provider, base_url=base_url, headers=(), query=())
    return replace(
        provider,
        name=urlsplit(base_url).netloc,
        base_url=base_url,
        addresses=(),
        key_variable=None,
        key_header=None,
        headers=(),
        query=(),
        price_list="local" if is_loopback(base_url) else "own",
        prices=(),
        requests_per_minute=None,
        tokens_per_minute=None,
        websocket=None,
        websocket_inactivity=None,
        websocket_hosts=(),
        websocket_emulation=False,
        tried="not tried live",
        source="base_url",
    )


def socket_address(provider: Provider) -> str | None:
    """The full address of the provider's own WebSocket, None where it has none.

    Raises SetupError for a host that is not the provider's: the key would go there.
    """
    if provider.websocket is None:
        return None
    address = offered_socket(provider, provider.websocket)
    if address is None:
        raise SetupError(f"The websocket of {provider.name} is on a host that its websocket_hosts do not name: add it.")
    return address


def offered_socket(provider: Provider, url: str) -> str | None:
    """The address of a WebSocket that a service named, as ws or wss; None where it is not to be trusted.

    Trusted are base_url's own host and port and the provider's `websocket_hosts`, encrypted or on loopback.
    """
    base = provider.base_url or ""
    address = as_socket(base, url)
    if address is None:
        return None
    listed = (base, *(f"wss://{host}" for host in provider.websocket_hosts))
    return address if host_and_port(address) in map(host_and_port, listed) else None
