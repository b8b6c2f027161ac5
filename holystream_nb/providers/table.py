"""Where models live: addresses, keys and switches, all of it data.

The table is `providers.toml` beside this module, with a user's own file of the same form over it, field by field:
`holystream_nb/providers.toml` in the user's configuration folder, or the path in HOLYSTREAM_PROVIDERS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ..errors import SetupError, UnknownProvider
from .address import fits
from .fields import entries_of
from .values import Provider


def providers(environ: Mapping[str, str] = os.environ) -> Mapping[str, Provider]:
    """Every known provider by name; the user's file is read again when it has changed.

    Raises SetupError, naming file, entry and field, for a file that cannot be used.
    """
    global _latest
    path, state = _user_file(environ)
    if _latest is None or _latest[0] != (path, state):
        _latest = (path, state), *_table(path if state else None)
    return _latest[1]


def provider(name: str, environ: Mapping[str, str] = os.environ) -> Provider:
    """The provider of that name, in any case; UnknownProvider names the known ones."""
    table = providers(environ)
    wanted = name.strip().lower()
    if "://" in wanted:
        raise UnknownProvider("A provider is given by its name, and this is an address: give it as base_url.")
    if wanted in table:
        return table[wanted]
    if wanted in unavailable():
        raise UnknownProvider(unavailable()[wanted])
    from difflib import get_close_matches

    called = repr(name) if re.fullmatch(r"[\w .-]{1,16}", name) else "of that name"  # a longer one may be a key
    close = get_close_matches(wanted, table, n=1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    raise UnknownProvider(f"There is no provider {called}{guess}: known are {', '.join(table)}.")


UNLISTED: Final = "base_url"
"""The `source` of a provider that no table has."""


def unlisted(name: str, base_url: str, price_list: str, environ: Mapping[str, str] = os.environ) -> Provider:
    """A provider that no table has: what is true of everybody (`[defaults]`), without key, model or socket."""
    providers(environ)
    defaults = _latest[2] if _latest is not None else _BLANK
    own = {"name": name, "base_url": base_url, "price_list": price_list, "prices": (), "source": UNLISTED}
    limits = {"requests_per_minute": None, "tokens_per_minute": None}
    own["wire"] = defaults["wires"][0]
    return Provider(**{**defaults, **own, **limits, "websocket_hosts": (), "websocket_emulation": False})


def user_file(environ: Mapping[str, str] = os.environ) -> tuple[Path, bool]:
    """The path of the user's own file, and whether there is one."""
    path, state = _user_file(environ)
    return path, state is not None


@cache
def unavailable() -> Mapping[str, str]:
    """Words that are taken for providers, with the sentence that says why there is none; the table comes before it."""
    import tomllib

    words = tomllib.loads(Path(__file__).with_name("unavailable.toml").read_text("utf-8"))
    return MappingProxyType({word: entry["says"] for word, entry in words.items()})


_latest: tuple[tuple[Path, tuple[int, ...] | None], Mapping[str, Provider], Mapping[str, Any]] | None = None


def _user_file(environ: Mapping[str, str]) -> tuple[Path, tuple[int, ...] | None]:
    """Path and state of the user's file; the state is None where there is no file."""
    named = environ.get("HOLYSTREAM_PROVIDERS")
    if named:
        path = Path(named).expanduser()
    else:
        from platformdirs import user_config_path

        path = user_config_path("holystream_nb", appauthor=False) / "providers.toml"
    try:
        found = path.stat()
    except OSError as exc:
        if named or not isinstance(exc, FileNotFoundError | NotADirectoryError):
            raise SetupError(f"{path} cannot be read ({exc.strerror}): mend it, or HOLYSTREAM_PROVIDERS.") from exc
        return path, None
    return path, (found.st_mtime_ns, found.st_size, found.st_ino)


def _table(user_path: Path | None) -> tuple[Mapping[str, Provider], Mapping[str, Any]]:
    """The providers, and what each has unless it says otherwise."""
    ours = entries_of(Path(__file__).with_name("providers.toml"))
    theirs = entries_of(user_path, is_users=True) if user_path else {}
    defaults = {**_BLANK, **ours.pop("defaults"), **theirs.pop("defaults", {})}
    table = {}
    for name in ours | theirs:
        below, above = ours.get(name, {}), theirs.get(name, {})
        if _moves_a_key(below, above):
            raise SetupError(
                f"{user_path}: [{name}] moves base_url to another host; name the key_variable for that host too "
                '("" for none), or give the entry a name of its own.'
            )
        if not below and not above.get("base_url"):
            raise SetupError(f"{user_path}: [{name}] needs a base_url.")
        if "base_url" in above and below and not _is_at_home(below, above["base_url"]):
            below = {name: value for name, value in below.items() if not _is_of_a_host(name, value)}
        wires = tuple({**defaults, **below, **above}["wires"])
        prices = {price.model: price for price in (*below.get("prices", ()), *above.get("prices", ()))}
        own = {"name": name, "prices": tuple(prices.values()), "wire": wires[0]}
        table[name] = Provider(**{**defaults, **below, **above, **own})
    return MappingProxyType(table), defaults


_BLANK: Final[Mapping[str, Any]] = {
    "base_url": None,
    "addresses": (),
    "key_variable": None,
    "key_header": None,
    "headers": (),
    "query": (),
    "http_key_hosts": (),
    "default_model": None,
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "messages_url": None,
    "responses_url": None,
    "messages_key_header": None,
    "responses_websocket": None,
    "websocket": None,
    "prices": (),
    "websocket_inactivity": None,
    "source": "the user's providers.toml",
}


def _moves_a_key(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Whether a user's entry would send a key to another host than it was given for."""
    if not below.get("key_variable") or "base_url" not in above or "key_variable" in above:
        return False
    return not _is_at_home(below, above["base_url"])


def _is_of_a_host(name: str, value: Any) -> bool:
    """Whether a field says where else its host is spoken to: not at another one, which a key would leave for it."""
    if name == "responses_websocket":
        return not value.startswith("/")
    return name in ("messages_url", "responses_url") or name.startswith(("websocket", "addresses"))


def _is_at_home(entry: Mapping[str, Any], url: str) -> bool:
    """Whether an address is on a host of the entry's own; one without any is at home everywhere."""
    own = [*([entry["base_url"]] if entry.get("base_url") else []), *entry.get("addresses", ())]
    return not own or any(fits(url, address) for address in own)
