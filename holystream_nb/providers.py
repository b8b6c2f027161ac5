"""Where models live: addresses, keys and switches, all of it data.

The table is `providers.toml` beside this module, with a user's own file of the same form over it, field by field:
`holystream_nb/providers.toml` in the user's configuration folder, or the path in HOLYSTREAM_PROVIDERS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NoReturn
from urllib.parse import urljoin, urlsplit

from .errors import MissingKey, SetupError, UnknownProvider


@dataclass(frozen=True, slots=True)
class Price:
    """An entry's own price of one model, in USD per million tokens; None is unknown."""

    model: str
    input: Decimal | None
    output: Decimal | None
    cached_input: Decimal | None
    source: str
    as_of: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that speaks OpenAI's chat completions.

    base_url: what stands before `/chat/completions`; None for the simulator, which has an address once it runs.
    key_variable: the environment variable with the key; None where no key is needed.
    default_model: used where no model is named.
    include_usage: whether to ask for usage with `stream_options`.
    max_tokens_field: what the request calls the limit on the answer.
    price_list: `card` (HolySheep's), `simulated` (the same, for the simulator), `own` (only `prices`), `local` (runs on
        one's own machine: no price), or a provider's id in genai-prices.
    prices: the entry's own prices, before any list.
    cny_per_usd, rate_source: the exchange rate this provider is paid at, and who says so.
    reasoning_models: glob patterns of models that reason without showing it.
    requests_per_minute, tokens_per_minute: what a client sends at most; None is no limit.
    websocket: the address of its WebSocket (`wss://…`, or a path on the base_url's own host); None where it has none.
    websocket_hosts: hosts, besides base_url's, that a socket it offers may be on (`host` or `host:port`).
    websocket_emulation: whether a connection over SSE says so in its requests (document 003).
    tried: whether anybody has called it.
    source: the documentation these facts are from.
    """

    name: str
    base_url: str | None
    key_variable: str | None
    default_model: str | None
    include_usage: bool
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"]
    price_list: str
    prices: tuple[Price, ...]
    cny_per_usd: Decimal
    rate_source: str
    reasoning_models: tuple[str, ...]
    requests_per_minute: Decimal | None
    tokens_per_minute: Decimal | None
    websocket: str | None
    websocket_hosts: tuple[str, ...]
    websocket_emulation: bool
    tried: str
    source: str


def providers(environ: Mapping[str, str] = os.environ) -> Mapping[str, Provider]:
    """Every known provider by name; the user's file is read again when it has changed.

    Raises SetupError, naming file, entry and field, for a file that cannot be used.
    """
    global _latest
    path, state = _user_file(environ)
    if _latest is None or _latest[0] != (path, state):
        _latest = (path, state), _table(path if state else None)
    return _latest[1]


def provider(name: str, environ: Mapping[str, str] = os.environ) -> Provider:
    """The provider of that name, in any case; UnknownProvider names the known ones."""
    table = providers(environ)
    wanted = name.strip().lower()
    if wanted in table:
        return table[wanted]
    from difflib import get_close_matches

    close = get_close_matches(wanted, table, n=1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    raise UnknownProvider(f"There is no provider {name!r}{guess}: known are {', '.join(table)}.")


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


def endpoint(base_url: str | None) -> str:
    """The address in one spelling, without a slash at the end; SetupError if it cannot be one."""
    if base_url is None:
        raise SetupError("The simulator has no address before it runs: start it, and pass its URL as base_url.")
    flaw = _address_flaw(base_url)
    if flaw:
        raise SetupError(f"The base_url {flaw}.")
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def same_host(base_url: str, provider: Provider) -> bool:
    """Whether an address has the provider's own scheme, host and port."""
    return provider.base_url is not None and _origin(endpoint(base_url)) == _origin(provider.base_url)


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine: localhost, 127.0.0.0/8 or ::1."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def at(provider: Provider, base_url: str | None) -> Provider:
    """The provider as it is at another address.

    On another host than its own, nothing that is only true of the provider is left: its name becomes the host's, and
    it has no key and no prices.
    """
    if base_url is None:
        return provider
    base_url = endpoint(base_url)
    if provider.base_url is None or same_host(base_url, provider):
        return replace(provider, base_url=base_url)
    return replace(
        provider,
        name=urlsplit(base_url).netloc,
        base_url=base_url,
        key_variable=None,
        price_list="local" if is_loopback(base_url) else "own",
        prices=(),
        requests_per_minute=None,
        tokens_per_minute=None,
        websocket=None,
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
    address = _as_socket(base, url)
    if address is None:
        return None
    listed = (base, *(f"wss://{host}" for host in provider.websocket_hosts))
    return address if _host_and_port(address) in map(_host_and_port, listed) else None


def _as_socket(base: str, url: str) -> str | None:
    """The address with ws for http and wss for https; None for none, and for one that is unencrypted over a network."""
    try:
        parts = urlsplit(urljoin(base, url))
        has_port = parts.port != 0
    except ValueError:
        return None
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    address = parts._replace(scheme=scheme).geturl()
    flawed = re.search(r"[^!-~]|\\", address) or "@" in parts.netloc or not parts.hostname or not has_port
    if flawed or parts.fragment or scheme not in ("ws", "wss") or (scheme == "ws" and not is_loopback(address)):
        return None
    return address


def _host_and_port(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "ws": 80, "https": 443, "wss": 443}.get(parts.scheme)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _address_flaw(url: str) -> str | None:
    """What is wrong with an address, without repeating it: it may hold a key."""
    if re.search(r"[^!-~]|\\", url):
        return "has a character that no address has"
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
    except ValueError:
        return "is not an address"
    if parts.scheme not in ("http", "https"):
        return "must begin with https:// (or http://)"
    if "@" in parts.netloc:
        return "holds a user name or a key before the @: pass the key as api_key"
    if not parts.hostname or not port_is_valid:
        return "names no host"
    if "?" in url or "#" in url:
        return "must end before any ? or #"
    if parts.path.rstrip("/").endswith("/chat/completions"):
        return "must end before /chat/completions"
    return None


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


_latest: tuple[tuple[Path, tuple[int, ...] | None], Mapping[str, Provider]] | None = None


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


def _table(user_path: Path | None) -> Mapping[str, Provider]:
    ours = _read(Path(__file__).with_name("providers.toml"))
    theirs = _read(user_path) if user_path else {}
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
        if "base_url" in above and below.get("base_url") and _origin(below["base_url"]) != _origin(above["base_url"]):
            below = {field: value for field, value in below.items() if not field.startswith("websocket")}
        prices = {price.model: price for price in (*below.get("prices", ()), *above.get("prices", ()))}
        table[name] = Provider(**{**defaults, **below, **above, "name": name, "prices": tuple(prices.values())})
    return MappingProxyType(table)


_BLANK: Final[Mapping[str, Any]] = {
    "base_url": None,
    "key_variable": None,
    "default_model": None,
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "websocket": None,
    "source": "the user's providers.toml",
}


def _moves_a_key(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Whether a user's entry would send a key to another host than it was given for."""
    if not below.get("key_variable") or "base_url" not in above or "key_variable" in above:
        return False
    return _origin(below["base_url"]) != _origin(above["base_url"])


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a file, every field checked and converted."""
    import tomllib

    try:
        data = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as exc:
        raise SetupError(f"{path} cannot be read ({exc.strerror}).") from exc
    except ValueError as exc:
        raise SetupError(f"{path} is not TOML: {exc}.") from exc
    entries = {}
    for name, entry in data.items():
        place = f"{path}: [{name}]"
        if not isinstance(entry, dict):
            raise SetupError(f"{path}: {name} stands outside an entry; put it under the provider's [name].")
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
            raise SetupError(f"{place} must have a name of small letters, digits, dots and dashes.")
        prices = {} if name == "defaults" else entry.pop("prices", {})
        fields = _converted(place, entry, _DEFAULT_FIELDS if name == "defaults" else _FIELDS)
        if "cny_per_usd" in fields:
            fields.setdefault("rate_source", str(path))
        fields["prices"] = _prices(path, name, prices)
        entries[name] = fields
    return entries


def _prices(path: Path, name: str, rows: object) -> tuple[Price, ...]:
    blank = {"input": None, "output": None, "cached_input": None, "source": str(path), "as_of": "not dated"}
    if not isinstance(rows, dict):
        raise SetupError(f'{path}: [{name}] prices must be tables, [{name}.prices."MODEL"].')
    return tuple(
        Price(model=model, **{**blank, **_converted(f'{path}: [{name}.prices."{model}"]', row, _PRICE_FIELDS)})
        for model, row in rows.items()
    )


def _converted(place: str, entry: object, known: Mapping[str, Callable[[Any], object]]) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise SetupError(f"{place} must be a table.")
    fields = {}
    for field, value in entry.items():
        if field not in known:
            raise SetupError(f"{place} {_unknown_field(field, value, known)}.")
        try:
            fields[field] = known[field](value)
        except ValueError as exc:
            raise SetupError(f"{place} {field} {exc}.") from exc
    return fields


def _unknown_field(field: str, value: object, known: Iterable[str]) -> str:
    if isinstance(value, str) and re.search(r"(?:key|token|secret|password|authorization)$", field, re.IGNORECASE):
        return f"holds a key in {field}: keep keys out of the file, and name the key's variable in key_variable"
    hint = '; a name with a dot is written in quotes, "like.this"' if isinstance(value, dict) else ""
    return f"has an unknown field {field} (known are {', '.join(known)}){hint}"


# The checks never repeat the value they refuse: it may be a key in the wrong place.


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value.strip()


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _amount(value: object) -> Decimal:
    number = Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
    if number is None or not number.is_finite() or number < 0:
        raise ValueError("must be a number, not negative")
    return number


def _rate(value: object) -> Decimal:
    rate = _amount(value)
    if not rate:
        raise ValueError("must be a number above 0")
    return rate


def _globs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")
    return tuple(_text(glob) for glob in value)


def _variable(value: object) -> str | None:
    if value == "":
        return None
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value):
        raise ValueError("must be the name of an environment variable in capitals (never the key itself)")
    return value


def _websocket(value: object) -> str:
    address = _text(value)
    if not (address.startswith("/") or (address.startswith(("ws:", "wss:")) and _as_socket("", address))):
        raise ValueError("must be a wss:// address (ws:// on this machine only), or a path on the base_url's host")
    return address


def _hosts(value: object) -> tuple[str, ...]:
    hosts = _globs(value)
    for host in hosts:
        if not re.fullmatch(r"[a-z0-9.-]+(:[0-9]{1,5})?", host):
            raise ValueError('must be a list of hosts, like "stream.example.com" or "example.com:8443"')
    return hosts


def _tokens_field(value: object) -> str:
    if value not in ("max_tokens", "max_completion_tokens"):
        raise ValueError("must be max_tokens or max_completion_tokens")
    return str(value)


def _address(value: object) -> str:
    url = _text(value)
    if flaw := _address_flaw(url):
        raise ValueError(flaw)
    return endpoint(url)


_DEFAULT_FIELDS: Final[Mapping[str, Callable[[Any], object]]] = {
    "include_usage": _switch,
    "max_tokens_field": _tokens_field,
    "price_list": _text,
    "cny_per_usd": _rate,
    "rate_source": _text,
    "reasoning_models": _globs,
    "requests_per_minute": _rate,
    "tokens_per_minute": _rate,
    "websocket_hosts": _hosts,
    "websocket_emulation": _switch,
    "tried": _text,
}
_FIELDS: Final[Mapping[str, Callable[[Any], object]]] = {
    "base_url": _address,
    "key_variable": _variable,
    "default_model": _text,
    "websocket": _websocket,
    **_DEFAULT_FIELDS,
    "source": _text,
}
_PRICE_FIELDS: Final[Mapping[str, Callable[[Any], object]]] = {
    "input": _amount,
    "output": _amount,
    "cached_input": _amount,
    "source": _text,
    "as_of": _text,
}
