"""The network's own round trip to a service: a bare connection, and a TLS handshake on it, with nothing asked."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import SetupError
from .certificates import chosen, context, trusted
from .proxies import Proxies

LIMIT_S: Final = 2.0
"""A connection that takes longer says nothing of the way any more."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What one took, in ns: `tcp`, one round trip of the network, and `tls`, a handshake (one more and its sums in
    TLS 1.3, two in 1.2); None where there was none.

    `via` is "proxy" where the way goes through one: then it is the way to the proxy alone. `error` is "" or a class.
    """

    tcp: int | None = None
    tls: int | None = None
    via: str = ""
    error: str = ""


async def round_trip(url: str, options: dict[str, Any]) -> RoundTrip:
    """Opens a connection to where a URL leads, and closes it; `options` may have a Client's `ca` and `cert`.

    In a thread, because the loop of a notebook draws: what it does meanwhile is not the network's. A name is looked up
    before the clock starts.
    """
    parts = urlsplit(url)
    try:
        proxy = await Proxies().find(url)
        secure = parts.scheme == "https" and proxy is None
        files = trusted(chosen(options.get("ca"), options.get("cert")), os.environ)
        tls = await asyncio.to_thread(context, files) if secure else None
    except SetupError as exc:
        return RoundTrip(error=type(exc).__name__)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    place = (host, port) if proxy is None else (proxy.host, proxy.port)
    return await asyncio.to_thread(_measured, place, host, tls, "" if proxy is None else "proxy")


def _measured(place: tuple[str, int], name: str, tls: ssl.SSLContext | None, via: str) -> RoundTrip:
    tcp: int | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(LIMIT_S)
            began = time.perf_counter_ns()
            connection.connect(address)
            tcp = time.perf_counter_ns() - began
            if tls is None:
                return RoundTrip(tcp, via=via)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            began = time.perf_counter_ns()
            with tls.wrap_socket(connection, server_hostname=name):
                return RoundTrip(tcp, time.perf_counter_ns() - began, via)
    except OSError as exc:
        return RoundTrip(tcp, via=via, error=type(exc).__name__)
