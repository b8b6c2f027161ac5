"""Whose certificates are trusted, and which one is ours: the files, and the TLS contexts made of them.

There is no way to trust everybody: a server whose certificate is its own is trusted by its file.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import httpx2

from ..errors import SetupError

VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name whom to trust, the first that is set; without any, whom the system trusts."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of certificates: `ca`, a file or a folder of whom to trust, as `source` names it; `cert` and `key`, ours.

    Without `ca` it is the system that says whom to trust.
    """

    ca: str | None = None
    source: str = "ca"
    cert: str | None = None
    key: str | None = None


def chosen(ca: str | os.PathLike[str] | None, cert: str | os.PathLike[str] | tuple[str, str] | None) -> Certificates:
    """The files that were given, where there are any; their contents are not read yet. Raises SetupError."""
    own, key = cert if isinstance(cert, tuple) else (cert, None)
    return Certificates(ca=_path("ca", ca), cert=_path("cert", own), key=_path("cert", key))


def _path(name: str, path: str | os.PathLike[str] | None) -> str | None:
    if path is None:
        return None
    found = Path(path).expanduser()
    if not found.exists():
        raise SetupError(f"{name} names {found}, which does not exist: give the path of a PEM file.")
    return str(found)


def trusted(given: Certificates, environ: Mapping[str, str]) -> Certificates:
    """The same, with whom the environment names where nobody else did."""
    if given.ca is not None:
        return given
    source = next((name for name in VARIABLES if environ.get(name)), None)
    return given if source is None else Certificates(environ[source], source, given.cert, given.key)


def context(files: Certificates) -> ssl.SSLContext:
    """A client's side of TLS. It reads files, some 20 ms in which a loop would stand still: call it in a thread.

    Raises SetupError for files that cannot be used.
    """
    paths = [path for path in (files.ca, files.cert, files.key) if path is not None]
    return _context(files, tuple(_changed(path) for path in paths))


@lru_cache(maxsize=16)
def _context(files: Certificates, changed: tuple[int, ...]) -> ssl.SSLContext:
    """One for all who trust the same files, until one of them is changed."""
    if files.ca is None:
        made = httpx2.create_ssl_context(trust_env=False)
    else:
        # Not ssl.create_default_context: from 3.13 on it refuses authorities that older companies made (VERIFY_X509_
        # STRICT), which the system's own list may hold. A server's own certificate, or an intermediate, is enough.
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _trust(made, files.ca, files.source)
    if files.cert is not None:
        _present(made, files.cert, files.key)
    return made


def _trust(made: ssl.SSLContext, ca: str, source: str) -> None:
    try:
        if source == "SSL_CERT_DIR" or Path(ca).is_dir():  # the variable may name several folders
            made.load_verify_locations(capath=ca)
        else:
            made.load_verify_locations(cafile=ca)
    except ssl.SSLError as exc:
        raise SetupError(
            f"{source} names {ca}, which holds no certificate: name a PEM file of those to trust."
        ) from exc
    except OSError as exc:
        raise SetupError(
            f"{source} names {ca}, which cannot be read ({exc.strerror}): name a PEM file of certificates to trust."
        ) from exc


def _present(made: ssl.SSLContext, cert: str, key: str | None) -> None:
    try:
        made.load_cert_chain(cert, key, password=_no_password)  # without it OpenSSL asks on a terminal nobody sees
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise SetupError(f"The key given in cert is not the one of the certificate {cert}: give its own.") from exc
        raise SetupError(
            f"cert names {cert}, which is no certificate with its key: "
            "give a PEM file with both, or cert=(certificate, key)."
        ) from exc
    except OSError as exc:
        raise SetupError(f"cert names {cert}, which cannot be read ({exc.strerror}): give a PEM file.") from exc


def _no_password() -> str:
    raise SetupError(
        "The key given in cert has a passphrase, which nobody can be asked for: "
        "save it without one (openssl pkey -in key.pem -out open.pem) where only you can read it."
    )


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0
