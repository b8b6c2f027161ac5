"""Where a key comes from, and where it may go."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from ..errors import MissingKey, SetupError
from .address import host_and_port, is_loopback
from .secret import Key as Key
from .select import at
from .values import Provider


def credentials(
    provider: Provider,
    base_url: str | None = None,
    api_key: str | Key | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    key_variable: str | None = None,
    is_required: bool = True,
) -> Key | None:
    """The key to send to an address, or None to send none.

    An address on another host than the provider's gets `api_key`, or what is in `key_variable`, never the provider's
    own key. Raises MissingKey where one is required, and SetupError rather than send a key unencrypted over a network.
    """
    place = at(provider, base_url)
    is_keyless = place.key_variable is None or place.key_optional
    if key_variable is not None:
        place = replace(place, key_variable=key_variable or None)
    key = key_for(place, api_key=api_key, environ=environ, is_required=is_required, is_keyless=is_keyless)
    if key is not None and not (is_keyless and _NO_KEY.fullmatch(key.reveal())):  # EMPTY is nobody's secret
        refuse_unencrypted(place, "A key")
    return key


def refuse_unencrypted(place: Provider, what: str) -> None:
    """Raises SetupError where `what` would go to this address in clear over a network.

    It may where the user's own providers.toml names exactly this host and port in http_key_hosts.
    """
    url = place.base_url or ""
    if not url.startswith("http:") or is_loopback(url):
        return
    host, port = host_and_port(url)
    exact = f"[{host}]:{port}" if ":" in (host or "") else f"{host}:{port}"
    if exact not in place.http_key_hosts:
        raise SetupError(
            f"{what} is never sent unencrypted: use https:// for {urlsplit(url).netloc}, or none there; if you trust "
            f'the network between, put http_key_hosts = ["{exact}"] under [defaults] of your own providers.toml.'
        )


def key_for(
    provider: Provider,
    *,
    api_key: str | Key | None = None,
    environ: Mapping[str, str] = os.environ,
    is_required: bool = True,
    is_keyless: bool = False,
) -> Key | None:
    """The key given, else the one in the provider's variable; None where the provider needs none.

    Raises MissingKey, without repeating it, for what cannot be a key: nothing, a placeholder, a stray character. A
    service that needs no key, or not always, takes any word for one: `none`, `x`, `EMPTY`.
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
        if not api_key.reveal() and (provider.key_optional or not is_required):
            return None
        if not api_key.reveal():
            raise MissingKey(
                f"No key for {provider.name}: set {variable} (or name another variable, as key_variable of "
                f"[{provider.name}] in your providers.toml), or {_WITHOUT_KEY}."
            )
    flaw = _key_flaw(api_key.reveal(), takes_any_word=is_keyless or variable is None)
    if flaw:
        raise MissingKey(f"{place} {flaw}: put the real key for {provider.name} there, or {_WITHOUT_KEY}.")
    return api_key


_WITHOUT_KEY: Final = "choose the built-in simulator, which needs none, with simulator:MODEL"

_TEMPLATE: Final = re.compile(
    r"""
    <.*> | \[.*\] | \{.*\} | \$.* | %.*%             # <key>, ${KEY}, %KEY%
    | (?:[a-z]+[-_])* api[-_\ ]?key                  # the name of the variable
    | .* your[a-z_\ -]* (?:key|token|secret) .*
    | .* (?:key|token)[-_\ ]?here .*
    | .* change[-_\ ]?me .* | .* replace[-_\ ](?:me|this|with) .* | .* insert[-_\ ] .* | .* place[-_\ ]?holder .*
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_NO_KEY: Final = re.compile(
    r"(?:[a-z]{2,6}[-_])*[x.…*•]*|none|null|undefined|todo|empty",  # xxx, sk-..., hs_live_…, a prefix alone
    re.IGNORECASE,
)


def _key_flaw(value: str, *, takes_any_word: bool) -> str | None:
    if not value:
        return "is empty"
    if len(value) < 200 and (_TEMPLATE.fullmatch(value) or (not takes_any_word and _NO_KEY.fullmatch(value))):
        return "is a placeholder"
    if re.search(r"[^!-~]", value):
        return "has a space, a line break or another character that no key has"
    return None
