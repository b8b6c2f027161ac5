"""What a service is sent to let us in: its key, further headers, a query, and where they may go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import SetupError
from ..providers.keys import credentials, refuse_unencrypted
from ..providers.secret import Key, Secrets, merged
from ..providers.values import Provider
from .options import ClientOptions


@dataclass(frozen=True, slots=True)
class Access:
    """The key (None: none is sent), the header that carries it (None: `Authorization`), and what goes with it."""

    key: Key | None
    key_header: str | None
    headers: Secrets
    query: Secrets


def access_of(provider: Provider, options: ClientOptions, environ: Mapping[str, str] = os.environ) -> Access:
    """The access to a provider at its address.

    Raises MissingKey where a key is needed and none is there, and SetupError for two headers of one name, or rather
    than send anything secret unencrypted over a network.
    """
    headers = merged(provider.headers, options.headers)
    key_header = options.key_header or provider.key_header
    name = (key_header or "authorization").lower()
    is_given = any(each.lower() == name for each, _ in headers)
    key = credentials(
        provider, None, options.api_key, environ, key_variable=options.key_variable, is_required=not is_given
    )
    if key is not None and is_given:
        raise SetupError(
            f"The header {name} is in headers, and would carry the key too: take it out of headers, or send no key "
            'with key_variable="".'
        )
    query = merged(provider.query, options.query)
    if headers or query:
        refuse_unencrypted(provider, "A header or query of one's own is treated as a key, which")
    return Access(key, key_header, headers, query)
