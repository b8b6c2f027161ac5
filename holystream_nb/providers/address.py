"""URLs: whether they can be an address of a service, and which host they lead to. Nothing is looked up."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import parse_qsl, urljoin, urlsplit

from ..errors import SetupError


def endpoint(base_url: str | None) -> str:
    """The address in one spelling, without a slash at the end; SetupError if it cannot be one."""
    if base_url is None:
        raise SetupError("The simulator has no address before it runs: start it, and pass its URL as base_url.")
    flaw = address_flaw(base_url)
    if flaw:
        raise SetupError(f"The base_url {flaw}.")
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def fits(url: str, template: str) -> bool:
    """Whether an address has the scheme, host and port of one in which {word} stands for a part of a name."""
    wanted, found = origin(re.sub(r"\{[a-z]+\}", "__", template)), origin(url)
    host = re.escape(wanted[1] or "").replace("__", "[a-z0-9-]+")
    return (wanted[0], wanted[2]) == (found[0], found[2]) and re.fullmatch(host, found[1] or "") is not None


def parts_of(base_url: str) -> tuple[str, dict[str, str]]:
    """An address and its query, which may hold keys: the address in one spelling, the query by its names.

    Raises SetupError, without repeating anything of it, for what cannot be an address.
    """
    head, _, tail = base_url.strip().partition("?")
    address = endpoint(head)
    if "#" in tail or re.search(r"[^!-~]|\\", tail):
        raise SetupError("The base_url has a # or another character in its query that no address has: take it out.")
    pairs = parse_qsl(tail, keep_blank_values=True)
    if not all(value for _, value in pairs):
        raise SetupError("The base_url has a query with a name that has no value: write name=value.")
    if len(dict(pairs)) < len(pairs):
        raise SetupError("The base_url has a query with a name that is there twice: give each once.")
    return address, dict(pairs)


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine: localhost, 127.0.0.0/8 or ::1."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def as_socket(base: str, url: str) -> str | None:
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


def host_and_port(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "ws": 80, "https": 443, "wss": 443}.get(parts.scheme)


def origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def address_flaw(url: str) -> str | None:
    """What is wrong with an address, without repeating it: it may hold a key."""
    if re.search(r"[^!-~]|\\", url):
        return "has a character that no address has: take it out"
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
    except ValueError:
        return "is not an address: write it like https://api.example.com/v1"
    if parts.scheme not in ("http", "https"):
        return "must begin with https:// (or http://)"
    if "@" in parts.netloc:
        return "holds a user name or a key before the @: pass the key as api_key"
    if not parts.hostname or not port_is_valid:
        return "names no host with a port from 1 to 65535: write it like https://api.example.com/v1"
    if "?" in url or "#" in url:
        return "must end before any ? or #"
    for path in ("/chat/completions", "/messages", "/responses"):
        if parts.path.rstrip("/").endswith(path):
            return f"must end before {path}"
    return None
