"""Which proxy a request goes through: the one that the environment names, or else the system's settings.

This machine is never reached through a proxy. The variables are `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
`NO_PROXY`; of each, the lower case spelling counts first.
"""

from __future__ import annotations

import asyncio
import os
import re
import urllib.request
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import SetupError

_NAMES: Final = ("http", "https", "all", "no")
_VARIABLES: Final = tuple(spelling for name in _NAMES for spelling in (f"{name}_proxy", f"{name}_proxy".upper()))
_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_CALLED: Final = {"socks": "socks5"}
"""What desktops call it."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; `auth` is a name and a password."""

    scheme: str
    host: str
    port: int
    auth: tuple[bytes, bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Where it is, without its password."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")


class Proxies:
    """The proxies that were found, by address; looked up anew once a variable has changed, or after `forget`."""

    def __init__(self) -> None:
        self._found: dict[tuple[str | None, ...], Proxy | None] = {}

    async def find(self, url: str) -> Proxy | None:
        """The proxy for a URL. Raises SetupError for one that cannot be used.

        The system's settings are read in a thread: on macOS and Windows that takes its time, and may look up a name.
        """
        parts = urlsplit(url)
        place = (parts.scheme, parts.netloc, *map(os.environ.get, _VARIABLES))
        if place not in self._found:
            self._found[place] = None if _is_here(parts.hostname or "") else await asyncio.to_thread(_proxy_for, parts)
        return self._found[place]

    def forget(self) -> None:
        """Looks again next time: a machine that has moved to another network has other settings."""
        self._found.clear()


def _is_here(host: str) -> bool:
    address = _ip(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return f".{host.lower().rstrip('.')}".endswith(".localhost")  # RFC 6761, 6.3


def _proxy_for(parts: SplitResult) -> Proxy | None:
    environment = urllib.request.getproxies_environment()
    named: dict[str, str] = {name: environment[name] for name in _NAMES if name in environment}
    if named:
        if is_excepted(parts, named.get("no", "")):
            return None
    elif urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    else:
        named = urllib.request.getproxies()
    address = named.get(parts.scheme) or named.get("all") or named.get("socks")
    return parsed(address) if address else None


def is_excepted(parts: SplitResult, no_proxy: str) -> bool:
    """Whether `NO_PROXY` has a URL.

    No library at hand knows all that people write there, separated by commas or spaces: `host`, which has its
    subdomains, `.suffix` and `*.suffix`, which are taken as the same (as curl does), `host:port`, `https://host/`,
    addresses and networks of both kinds, in brackets or not, `10.0.*`, and `*`.
    """
    host = (parts.hostname or "").rstrip(".")
    port = str(parts.port or _PORTS[parts.scheme])
    return any(_has(entry, parts.scheme, host, port) for entry in re.split(r"[\s,]+", no_proxy.lower()) if entry)


def _has(entry: str, scheme: str, host: str, port: str) -> bool:
    kind, _, entry = entry.rstrip("/").rpartition("://")
    bracketed = re.fullmatch(r"\[([^]]*)\](/\d+)?(?::(\d+))?", entry)
    if bracketed:
        name, at = bracketed[1] + (bracketed[2] or ""), bracketed[3] or ""
    else:
        name, _, at = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if kind not in ("", "all", scheme) or at not in ("", port):
        return False
    if name == "*" or ("*" in name and fnmatchcase(host, name)):
        return True
    address = _ip(host)
    if address is not None:
        try:
            return address in ip_network(name, strict=False)
        except ValueError:
            return False
    name = name.removeprefix("*").strip(".")
    return bool(name) and f".{host}".endswith(f".{name}")


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def parsed(address: str) -> Proxy:
    """The proxy at an address like `http://name:password@host:port`; SetupError, without the address, for any other."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise SetupError("The proxy of your environment is no address: write it as http://host:port in HTTPS_PROXY.")
    scheme = _CALLED.get(parts.scheme, parts.scheme)
    auth = (unquote(parts.username).encode(), unquote(parts.password or "").encode()) if parts.username else None
    proxy = Proxy(scheme, host, port or _PORTS.get(scheme, 0), auth)
    if scheme not in _PORTS:
        raise SetupError(
            f"The proxy {proxy.address} of your environment is of a kind that is not supported: name one that begins "
            "with http://, https:// or socks5:// in HTTPS_PROXY, or add the service's host to NO_PROXY."
        )
    if proxy.is_socks and find_spec("socksio") is None:
        raise SetupError(
            f"The proxy {proxy.address} of your environment is a SOCKS proxy, for which a package is missing: "
            "pip install socksio, or add the service's host to NO_PROXY."
        )
    return proxy
