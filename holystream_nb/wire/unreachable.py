"""Why no connection could be made, from what the network's libraries raise: one sentence that says what to do."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpcore2

from ..errors import ConnectionFailed, HolystreamError
from ..providers.address import is_loopback
from .certificates import Certificates
from .proxies import Proxy

_LOCAL: Final = {11434: "ollama serve", 8080: "llama-server", 8000: "vllm serve", 1234: "LM Studio's server"}
"""What usually listens at a port of this machine."""

_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER", "PACKET_LENGTH")
_ASKS_FOR_TLS: Final = (
    b"plain HTTP request was sent to HTTPS port",
    b"HTTP request to an HTTPS server",
    b"speaking plain HTTP to an SSL-enabled",
)
# In the words of OpenSSL, macOS and Windows, whose numbers differ.
_MISMATCH: Final = re.compile(r"mismatch|not match", re.IGNORECASE)
_OUT_OF_DATE: Final = re.compile(r"expired|not yet valid|validity period", re.IGNORECASE)
_NO_WAY: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)
_UNKNOWN_NAME: Final = tuple(getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name))


@dataclass(slots=True)
class Route:
    """The way to a service: its origin, the proxy in between, and the step of httpcore2's trace that began last."""

    url: str
    host: str
    connect_timeout: float
    files: Certificates
    proxy: Proxy | None = None
    step: str = ""

    @property
    def is_tls(self) -> bool:
        return self.url.startswith("https:")

    @property
    def far_end(self) -> str:
        """Whom that step talks to."""
        return self.host if self.proxy is None or not self.step.startswith("connection.") else self.proxy.address


def failure(exc: BaseException, route: Route) -> ConnectionFailed | None:
    """The error for what kept a request from being sent; None for what happened after that."""
    causes = list(_causes(exc))
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return _of_tls(cause, route)
    if isinstance(exc, httpcore2.RemoteProtocolError):
        # h11's words for a control character where a status line should be: a TLS alert begins with 0x15.
        return speaks_tls(route.host) if not route.is_tls and "illegal request line" in str(exc) else None
    if isinstance(exc, httpcore2.ProxyError):
        return of_proxy(str(exc), route)
    if route.step.endswith(".setup_socks5_connection"):  # socksio's errors, and httpcore2's failed assertions
        assert route.proxy is not None  # noqa: S101  # the step is one of a proxy's
        return ConnectionFailed(
            f"{route.proxy.address} does not answer as a SOCKS5 proxy does: check it in HTTPS_PROXY or ALL_PROXY."
        )
    if isinstance(exc, httpcore2.ConnectTimeout | TimeoutError):
        return _too_late(route)
    if isinstance(exc, httpcore2.ConnectError | httpcore2.UnsupportedProtocol):
        return _unconnected(causes, route)
    return None


def speaks_tls(host: str) -> ConnectionFailed:
    """For whoever asked a TLS server in plain http."""
    return ConnectionFailed(
        f"{host} does not take plain http at this port: it speaks TLS, so write https:// in the base_url.",
        should_retry=False,
    )


def says_that_it_speaks_tls(status: int, body: bytes) -> bool:
    """Whether an answer to plain http says so: nginx, Go and Apache send a 400 with one of these sentences."""
    return status == 400 and any(words in body for words in _ASKS_FOR_TLS)


def unanswered(url: str, host: str) -> str:
    """The sentence for a connection that ended before a byte of an answer."""
    advice = "" if url.startswith("https:") else ", or write https:// in the base_url if it speaks TLS"
    return f"{host} closed the connection before it answered: try again{advice}."


def _of_tls(exc: ssl.SSLError, route: Route) -> ConnectionFailed:
    host, reason = route.far_end, exc.reason or ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        why = str(getattr(exc, "verify_message", "")).rstrip(".") or "its authority is unknown"
        if _MISMATCH.search(why):
            said = f"is for another name ({why}): use the name it was made for, or one made for this name"
        elif _OUT_OF_DATE.search(why):
            said = f"is out of date ({why}): check this machine's clock, or have it renewed by who runs the service"
        else:
            asked = "in SSL_CERT_FILE, or as ca"
            if route.files.ca is not None:
                asked = f"in {route.files.source}, in place of the one there"
            said = f"is not trusted ({why}): name a PEM file that has its authority {asked}"
        return ConnectionFailed(f"The certificate of {host} {said}.", should_retry=False)
    if any(word in reason for word in _NOT_TLS):
        where = "the proxy's address" if route.proxy is not None and host == route.proxy.address else "the base_url"
        return ConnectionFailed(
            f"{host} does not speak TLS at this port, and may speak plain http: write http:// in {where}, "
            "or check the port.",
            should_retry=False,
        )
    said = reason.lower().replace("_", " ") or str(exc)
    if "ALERT" in reason and route.files.cert is not None:
        advice = "check that it accepts the certificate given in cert"
    elif "ALERT" in reason:
        advice = "if it asks for a certificate of yours, give it as cert=(certificate, key)"
    else:
        advice = "check the address, and what your network does with TLS"
    return ConnectionFailed(f"{host} refuses the TLS connection ({said}): {advice}.", should_retry=False)


def of_proxy(said: str, route: Route) -> ConnectionFailed:
    """For a proxy that refuses, in its own words."""
    assert route.proxy is not None  # noqa: S101  # nobody else says this
    if said.startswith("407") or "password" in said or "Requested" in said:
        advice = "write its name and password into the variable, as http://name:password@host:port"
    else:
        advice = f"check it, or add {route.host} to NO_PROXY"
    may_pass = said.startswith(("500", "502", "503", "504")) or "could not connect" in said
    return ConnectionFailed(
        f"The proxy {route.proxy.address} gives no connection to {route.host} ({said}): {advice}.",
        should_retry=None if may_pass else False,
    )


def _too_late(route: Route) -> ConnectionFailed:
    limit = f"within {route.connect_timeout:g} s"
    if route.step.endswith(".start_tls"):
        return ConnectionFailed(
            f"{route.far_end} took the connection but did not begin TLS {limit}: "
            "if it speaks plain http, write http:// in the base_url."
        )
    if route.step.startswith("http11."):
        return ConnectionFailed(
            f"The proxy {route.proxy.address if route.proxy else ''} gave no connection to {route.host} {limit}: "
            f"check it, or add {route.host} to NO_PROXY."
        )
    return ConnectionFailed(
        f"{route.far_end} did not answer {limit}: check the address, your network and your proxy, "
        "or raise `connect_timeout`."
    )


def _unconnected(causes: list[BaseException], route: Route) -> ConnectionFailed:
    host = route.far_end
    via = "" if route.proxy is None or host == route.host else f" (the proxy for {route.host})"
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            name = host.rpartition("//")[2].rpartition(":")[0] or host
            return ConnectionFailed(
                f"The name {name}{via} is not known to the network: check how it is written, and your connection.",
                should_retry=False if cause.errno in _UNKNOWN_NAME else None,
            )
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        if via:
            return ConnectionFailed(f"Nothing listens at {host}{via}: check HTTPS_PROXY, or start the proxy.")
        if is_loopback(route.url):
            # Here it is refused at once, and by nobody: what is not started does not start while one waits.
            return ConnectionFailed(f"Nothing listens at {host}: is {_server(route.url)} started?", should_retry=False)
        return ConnectionFailed(f"Nothing listens at {host}: check the address and its port, and that it is started.")
    if any(isinstance(cause, OSError) and cause.errno in _NO_WAY for cause in causes):
        return ConnectionFailed(f"There is no way to {host}{via} from here: check your network, and your VPN.")
    if route.step.endswith(".start_tls"):
        return ConnectionFailed(
            f"{host} closed the connection before TLS began: if it speaks plain http, write http:// in the base_url; "
            "else try again."
        )
    why = next((text for text in (str(cause).partition("\n")[0] for cause in causes) if text), "closed")
    return ConnectionFailed(f"No connection to {host}{via} ({why}): check the address and your network.")


def _server(url: str) -> str:
    return _LOCAL.get(urlsplit(url).port or 80, "the server (llama-server, ollama, vLLM …)")


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, as far as it is the network's; not what a caller was handling meanwhile."""
    yield exc
    if isinstance(exc, BaseExceptionGroup):
        for one in exc.exceptions:
            yield from _causes(one)
    # httpcore2 drops the cause when it raises again (`from None`), which leaves the context.
    came_from = exc.__context__ if type(exc).__module__.startswith("httpcore2") else exc.__cause__
    if came_from is not None and not isinstance(came_from, HolystreamError):
        yield from _causes(came_from)
