"""Headers, queries and the names of variables that a user may add: which can be sent, and why others cannot.

No value is ever repeated: it may be a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from .secret import Key, Secrets

_OURS: Final = frozenset(
    {
        *("accept", "accept-encoding", "content-type", "content-length", "content-encoding", "transfer-encoding"),
        *("host", "connection", "keep-alive", "upgrade", "te", "trailer", "expect", "proxy-connection"),
        *("proxy-authorization", "proxy-authenticate", "sec-websocket-key", "sec-websocket-version"),
        *("sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"),
        *("x-session-id", "x-streaming-mode"),
    }
)
"""Headers that the request itself needs as they are."""


def header_name_flaw(name: object) -> str:
    """What keeps a text from being the name of a header that can be added; "" if nothing does."""
    if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", name):
        return "must be the name of a header: letters, digits and dashes"
    if name.lower() in _OURS:
        return f"cannot be {name}: the request sets that header itself"
    return ""


def header_value_flaw(value: str) -> str:
    return "" if re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", value) else "must be a text of one line, in ASCII"


def query_name_flaw(name: object) -> str:
    return "" if isinstance(name, str) and re.fullmatch(r"[!-~]{1,100}", name) else "must be the name of a parameter"


def query_value_flaw(value: str) -> str:
    return "" if value and value.isprintable() else "must be a text of one line"


def variable_flaw(name: object) -> str:
    """What keeps a text from being the name of a variable with a key; "" if nothing does."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name):
        return "must be the name of an environment variable in capitals (never the key itself)"
    return ""


def secrets_of(value: object, name_flaw: Callable[[object], str], value_flaw: Callable[[str], str]) -> Secrets:
    """Names and values, each checked; ValueError says what is wrong, and of which name."""
    if not isinstance(value, Mapping):
        raise ValueError("must be names with their values, like {'x-title': 'notebook'}")
    found: list[tuple[str, Key]] = []
    for name, each in value.items():
        if flaw := name_flaw(name):
            raise ValueError(f"has a name that {flaw}")
        if not isinstance(each, str | Key):
            raise ValueError(f"has a {name} that must be a text")
        key = Key(each)
        if flaw := value_flaw(key.reveal()):
            raise ValueError(f"has a {name} that {flaw}")
        if any(name.lower() == other.lower() for other, _ in found):
            raise ValueError(f"has {name} twice")
        found.append((name, key))
    return tuple(found)
