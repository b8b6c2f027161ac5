"""What a key is, where it comes from, and where it may go."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, NoReturn
from urllib.parse import urlsplit

from ..errors import MissingKey, SetupError
from .address import is_loopback
from .select import at
from .values import Provider


class Key:
    """A key that never prints: not in text, tracebacks, pickles or JSON. `reveal()` gives it.

    White space around it is dropped. Keys are compared by identity.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str | Key) -> None:
        self.__value: str = value.reveal() if isinstance(value, Key) else value.strip()

    def reveal(self) -> str:
        """The key itself: for the request's header only."""
        return self.__value

    def __repr__(self) -> str:
        return "Key(…)"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __getstate__(self) -> NoReturn:
        raise TypeError("A key is never copied or pickled.")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A key is never copied or pickled.")


def credentials(
    provider: Provider,
    base_url: str | None = None,
    api_key: str | Key | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Key | None:
    """The key to send to an address, or None to send none.

    An address on another host than the provider's gets `api_key` only, never the provider's own key. Raises MissingKey,
    and SetupError rather than send a key unencrypted over a network.
    """
    place = at(provider, base_url)
    key = key_for(place, api_key=api_key, environ=environ)
    url = place.base_url or ""
    if key is not None and url.startswith("http:") and not is_loopback(url):
        raise SetupError(f"A key is never sent unencrypted: use https:// for {urlsplit(url).netloc}, or no key.")
    return key


def key_for(
    provider: Provider, *, api_key: str | Key | None = None, environ: Mapping[str, str] = os.environ
) -> Key | None:
    """The key given, else the one in the provider's variable; None where the provider needs none.

    Raises MissingKey, without repeating it, for what cannot be a key: nothing, a placeholder, a stray character.
    """
    variable = provider.key_variable
    if api_key is not None:
        api_key = Key(api_key)
        place = "The api_key that was passed"
    elif variable is None:
        return None
    else:
        api_key = Key(environ.get(variable, ""))
        place = f"The variable {variable}"
        if not api_key.reveal() and provider.key_optional:
            return None
        if not api_key.reveal():
            raise MissingKey(f"No key for {provider.name}: set {variable} (or pass api_key), or {_WITHOUT_KEY}.")
    flaw = _key_flaw(api_key.reveal())
    if flaw:
        raise MissingKey(f"{place} {flaw}: put the real key for {provider.name} there, or {_WITHOUT_KEY}.")
    return api_key


_WITHOUT_KEY: Final = "choose the built-in simulator, which needs none, with simulator:MODEL"

_PLACEHOLDER: Final = re.compile(
    r"""
    <.*> | \[.*\] | \{.*\} | \$.* | %.*%             # <key>, ${KEY}, %KEY%
    | (?:[a-z]{2,6}[-_])* [x.…*•]*                   # xxx, sk-..., hs_live_…, a prefix alone
    | (?:[a-z]+[-_])* api[-_\ ]?key                  # the name of the variable
    | .* your[a-z_\ -]* (?:key|token|secret) .*
    | .* (?:key|token)[-_\ ]?here .*
    | .* change[-_\ ]?me .* | .* replace[-_\ ](?:me|this|with) .* | .* insert[-_\ ] .* | .* place[-_\ ]?holder .*
    | none | null | undefined | todo
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def _key_flaw(value: str) -> str | None:
    if not value:
        return "is empty"
    if len(value) < 200 and _PLACEHOLDER.fullmatch(value):
        return "is a placeholder"
    if re.search(r"[^!-~]", value):
        return "has a space, a line break or another character that no key has"
    return None
