"""Which provider and model a text means, and a provider as it is at another address."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from ..errors import SetupError, UnknownProvider
from .address import as_socket, endpoint, fits, host_and_port, is_loopback, origin
from .spellings import SERVICES, SPELLINGS
from .table import UNLISTED, provider, providers, unavailable, unlisted
from .values import Provider


def select(
    text: str,
    default: str | Provider = "holysheep",
    environ: Mapping[str, str] = os.environ,
    models: Collection[str] = (),
) -> tuple[Provider, str]:
    """Provider and model of `provider:model`, or of `model` alone at the default provider.

    default: a provider's name, or the provider at an address. models: the names it serves, if they are known.
    Models have colons of their own (`llama3.2:3b`, `meta-llama/llama-3:free`, `ft:gpt-4o:org`): what stands before the
    first colon is a provider only if one is called so, and the default provider has no model of the whole name.
    `ollama:mistral:7b` is needed for a model named like a provider, except where the default is a server of one's own.
    Nothing after the colon, or no text at all, is the provider's default model, or its only one. Raises UnknownProvider
    for a word that is meant as a provider's.
    """
    text = text.strip()
    at_default = default if isinstance(default, Provider) else provider(default, environ)
    chosen, model = at_default, text
    if text not in models and (word := _service_word(text)):
        table, rest = providers(environ), text.partition(":")[2].strip()
        if word not in table:
            _check_word(word, text, table, at_default)
        elif not (looks_like_tag(rest) and is_ones_own(at_default)):
            chosen, model = table[word], rest
    only = tuple(models) if chosen is at_default else ()
    model = model or chosen.default_model or (only[0] if len(only) == 1 else "")
    if not model:
        raise SetupError(_no_model(chosen, only))
    return chosen, model


def _service_word(text: str) -> str:
    """What may be a provider's name before the first colon; "" where it is a part of a model's name."""
    word, colon, _ = text.partition(":")
    word = word.strip().lower()
    return word if colon and word != "ft" and "/" not in word else ""


def may_name_provider(text: str, home: Provider | None = None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a model's text has a word before its colon that could be another provider's than `home`."""
    word = _service_word(text)
    return bool(word) and (home is None or word != home.name)


def is_ones_own(provider: Provider) -> bool:
    """Whether it is a server of the user's, as Ollama, whose `mistral:7b` is not Mistral's."""
    return provider.source == UNLISTED or provider.price_list == "local"


def looks_like_tag(text: str) -> bool:
    """Whether what stands after a colon is the tag of a local model, as in `qwen:7b`, `mixtral:8x7b`, `phi4:latest`."""
    return _TAG.fullmatch(text.strip()) is not None


_TAG: Final = re.compile(r"(?:e?\d+(?:x\d+)?(?:\.\d+)?[bmk]|latest|cloud|free)(?:[-_].*)?", re.IGNORECASE)


def _check_word(word: str, text: str, table: Mapping[str, Provider], default: Provider) -> None:
    """Raises UnknownProvider for a known service's word, and for one that is nearly a provider's name."""
    if word in unavailable():
        raise UnknownProvider(unavailable()[word])
    meant = SPELLINGS.get(word, "")
    if not (meant or word in SERVICES):
        if re.search(r"\d", word) or looks_like_tag(text.partition(":")[2]):
            return  # qwen3, deepseek-r1, mixtral:8x7b: families of models are named like those who make them
        from difflib import get_close_matches

        names = [*table, *SERVICES, *SPELLINGS]
        near = get_close_matches(word, names, n=1, cutoff=0.8) or [name for name in names if _is_slip(word, name)]
        if not near:
            return
        meant = SPELLINGS.get(near[0], near[0])
    if meant in table:
        instead, end = f"did you mean {meant}:…", "?"
    elif meant or word in SERVICES:
        instead, end = "give that service's address as base_url, or an entry in your providers.toml", "."
    whole = f", or {default.name}:{text} for a model of this whole name" if default.name in table else ""
    raise UnknownProvider(f"There is no provider {word!r} for {text!r}: {instead}{whole}{end}")


def _is_slip(word: str, name: str) -> bool:
    """Whether it is a name with its letters exchanged, or one of four wrong: such words are too short for a ratio."""
    if len(word) != len(name):
        return False
    wrong = sum(one != other for one, other in zip(word, name, strict=True))
    return sorted(word) == sorted(name) or (len(word) == 4 and wrong == 1)


def _no_model(chosen: Provider, models: Collection[str]) -> str:
    if models:
        some = ", ".join(list(models)[:MODELS_SHOWN])
        rest = f" and {len(models) - MODELS_SHOWN} more" if len(models) > MODELS_SHOWN else ""
        return f"{chosen.name} serves {len(models)} models, and none was named: choose one of {some}{rest}."
    if chosen.source == UNLISTED:
        return f"No model was named, and {chosen.name} does not say which it serves: name one (model=…)."
    return f"{chosen.name} has no default model: name one, as in {chosen.name}:MODEL."


MODELS_SHOWN: Final = 20
"""Of a server's models, in an error's sentence."""


def same_host(base_url: str, provider: Provider) -> bool:
    """Whether an address has the scheme, host and port of one of the provider's own."""
    return any(fits(endpoint(base_url), address) for address in _addresses(provider))


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


def at(provider: Provider, base_url: str | None, environ: Mapping[str, str] = os.environ) -> Provider:
    """The provider as it is at another address: itself on its own host, else whoever is there (`found_at`)."""
    if base_url is None:
        return provider
    base_url = endpoint(base_url)
    is_simulator = provider.base_url is None and not provider.addresses and is_loopback(base_url)
    if is_simulator or (provider.base_url is None and same_host(base_url, provider)):
        return _moved(provider, base_url)
    if provider.base_url is not None and origin(base_url) == origin(provider.base_url):
        return _moved(provider, base_url)
    if same_host(base_url, provider):
        # The service's key goes to each of its addresses, a user's extras to theirs alone.
        return replace(_moved(provider, base_url), headers=(), query=())
    found = found_at(base_url, environ)
    # Where a key may go unencrypted is said of hosts, not of entries.
    return replace(found, http_key_hosts=tuple(dict.fromkeys((*found.http_key_hosts, *provider.http_key_hosts))))


def _moved(provider: Provider, base_url: str) -> Provider:
    """The provider at another address of its own; of those of other formats what is a path comes along."""
    if base_url == provider.base_url:
        return provider

    def moved(url: str | None) -> str | None:
        return url if url is not None and url.startswith("/") else None

    return replace(
        provider,
        base_url=base_url,
        messages_url=moved(provider.messages_url),
        responses_url=moved(provider.responses_url),
    )


def found_at(base_url: str, environ: Mapping[str, str] = os.environ) -> Provider:
    """Who is at an address: of the table's providers on that host the one whose path it continues the furthest.

    Any other host is a provider of its own, named by host and port: it has no key, and no prices.
    """
    base_url = endpoint(base_url)
    here = [row for row in providers(environ).values() if same_host(base_url, row)]
    if not here:
        return unlisted(urlsplit(base_url).netloc, base_url, "local" if is_loopback(base_url) else "own", environ)
    return at(max(here, key=lambda row: _shared_path(row, base_url)), base_url, environ)


def _shared_path(provider: Provider, url: str) -> int:
    """The length of the path of its address on this host that the URL's path continues, else -1."""
    given = urlsplit(url).path.rstrip("/") + "/"
    paths = [urlsplit(own).path.partition("{")[0].rstrip("/") + "/" for own in _addresses(provider) if fits(url, own)]
    return max((len(path) for path in paths if given.startswith(path)), default=-1)


def _addresses(provider: Provider) -> tuple[str, ...]:
    return (provider.base_url, *provider.addresses) if provider.base_url else provider.addresses


def socket_address(provider: Provider) -> str | None:
    """The full address of the provider's own WebSocket, None where it has none.

    Raises SetupError for a host that is not the provider's: the key would go there.
    """
    return _own_socket(provider, "websocket", provider.websocket)


def responses_socket(provider: Provider) -> str | None:
    """The same for the socket on which it speaks Responses."""
    return _own_socket(provider, "responses_websocket", provider.responses_websocket)


def _own_socket(provider: Provider, field: str, url: str | None) -> str | None:
    if url is None:
        return None
    address = offered_socket(provider, url)
    if address is None:
        raise SetupError(f"The {field} of {provider.name} is on a host that its websocket_hosts do not name: add it.")
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
