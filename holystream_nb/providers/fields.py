"""A providers.toml, read: every field checked and converted, and no value repeated that is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ..errors import SetupError
from ..facts import WIRES
from .address import address_flaw, as_socket, endpoint, is_loopback
from .extras import header_name_flaw, header_value_flaw, query_name_flaw, query_value_flaw, secrets_of, variable_flaw
from .secret import Secrets
from .values import Price


def entries_of(path: Path, *, is_users: bool = False) -> dict[str, dict[str, Any]]:
    """The entries of a file, every field checked and converted. Where a key may go unencrypted only a user can say."""
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
        if "http_key_hosts" in fields and not is_users:
            raise SetupError(f"{place} http_key_hosts may stand in a user's own file only.")
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
    from difflib import get_close_matches

    close = get_close_matches(field, known, n=1)
    guess = f", did you mean {close[0]}?" if close else ""
    hint = '; a name with a dot is written in quotes, "like.this"' if isinstance(value, dict) else ""
    return f"has an unknown field {field}{guess} (known are {', '.join(known)}){hint}"


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
    if flaw := variable_flaw(value):
        raise ValueError(flaw)
    return str(value)


def _websocket(value: object) -> str:
    address = _text(value)
    if not (address.startswith("/") or (address.startswith(("ws:", "wss:")) and as_socket("", address))):
        raise ValueError("must be a wss:// address (ws:// on this machine only), or a path on the base_url's host")
    return address


def _hosts(value: object) -> tuple[str, ...]:
    hosts = _globs(value)
    for host in hosts:
        if not re.fullmatch(r"[a-z0-9.-]+(:[0-9]{1,5})?", host):
            raise ValueError('must be a list of hosts, like "stream.example.com" or "example.com:8443"')
    return hosts


def _http_hosts(value: object) -> tuple[str, ...]:
    hosts = _globs(value)
    for host in hosts:
        if not re.fullmatch(r"(?:[a-z0-9.-]+|\[[0-9a-f:.]+\]):[0-9]{1,5}", host):
            raise ValueError('must be a list of hosts with their ports, like "10.0.0.5:8000"')
    return hosts


def _seconds(value: object) -> float:
    seconds = float(_rate(value))
    if seconds == math.inf:  # 1e400 is a Decimal, and no float
        raise ValueError("must be a number above 0, and not endless")
    return seconds


def _header_name(value: object) -> str:
    if flaw := header_name_flaw(value):
        raise ValueError(flaw)
    return str(value)


def _headers(value: object) -> Secrets:
    return secrets_of(value, header_name_flaw, header_value_flaw)


def _query(value: object) -> Secrets:
    return secrets_of(value, query_name_flaw, query_value_flaw)


def _tokens_field(value: object) -> str:
    if value not in ("max_tokens", "max_completion_tokens"):
        raise ValueError("must be max_tokens or max_completion_tokens")
    return str(value)


def _address(value: object) -> str:
    url = _text(value)
    if flaw := address_flaw(url):
        raise ValueError(flaw)
    return endpoint(url)


def _place(value: object) -> str:
    text = _text(value)
    if text.startswith("/") and not text.startswith("//"):
        _address(f"https://host{text}")  # which has no flaw that a path could have
        return text.rstrip("/")
    url = _address(text)
    if url.startswith("http:") and not is_loopback(url):
        raise ValueError("must begin with https://, as the key goes there (http:// on this machine only)")
    return url


def _templates(value: object) -> tuple[str, ...]:
    templates = _globs(value)
    for template in templates:
        _address(re.sub(r"\{[a-z]+\}", "x", template))
    return templates


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def _some_of(*words: str) -> Callable[[Any], tuple[str, ...]]:
    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not set(map(str, value)) <= set(words):
            raise ValueError(f"must be a list of some of {', '.join(words)}")
        return tuple(value)

    return read


def _request_fields(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError('must be a table of fields of a request, like { thinking = { type = "enabled" } }')
    return value


ECHOES: Final = ("reasoning_content", "reasoning_details", "extra_content", "thought_signature", "thinking", "think")

_DEFAULT_FIELDS: Final[Mapping[str, Callable[[Any], object]]] = {
    "include_usage": _switch,
    "max_tokens_field": _tokens_field,
    "price_list": _text,
    "cny_per_usd": _rate,
    "rate_source": _text,
    "reasoning_models": _globs,
    "completion_tokens_models": _globs,
    "key_optional": _switch,
    "requests_per_minute": _rate,
    "tokens_per_minute": _rate,
    "http_key_hosts": _http_hosts,
    "inactivity": _seconds,
    "progress_timeout": _seconds,
    "websocket_hosts": _hosts,
    "websocket_emulation": _switch,
    "tried": _text,
    "wires": _some_of(*WIRES),
    "echo": _some_of(*ECHOES),
    "echo_turns": _one_of("all", "tools"),
    "no_echo_models": _globs,
    "echo_fields": _request_fields,
    "unnamed_output": _one_of("reasoning", "other"),
}
_FIELDS: Final[Mapping[str, Callable[[Any], object]]] = {
    "base_url": _address,
    "addresses": _templates,
    "key_variable": _variable,
    "key_header": _header_name,
    "headers": _headers,
    "query": _query,
    "default_model": _text,
    "messages_url": _place,
    "responses_url": _place,
    "messages_key_header": _header_name,
    "responses_websocket": _websocket,
    "websocket": _websocket,
    "websocket_inactivity": _seconds,
    **_DEFAULT_FIELDS,
    "source": _text,
}
_PRICE_FIELDS: Final[Mapping[str, Callable[[Any], object]]] = {
    "input": _amount,
    "output": _amount,
    "cached_input": _amount,
    "cache_write": _amount,
    "source": _text,
    "as_of": _text,
}
