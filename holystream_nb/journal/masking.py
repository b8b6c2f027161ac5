"""What is taken out before anything reaches the disk: keys (the list of `wire.redaction`), and pictures.

A key may come in pieces. So the end of a text that is still coming is held back as long as a key may begin in it: its
last words are written anew each time, without what may belong to a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..providers.secret import Key
from ..wire.redaction import hide, redact_marked

_WORDS: Final = 5
"""A key with all that may stand before it (`api key provided : KEY`) has no more words."""


def masked(text: str, keys: Sequence[Key] = ()) -> str:
    return redact_marked(hide(text, keys))


class Masker:
    """Masks a text that comes in pieces."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, piece: str, keys: Sequence[Key] = ()) -> tuple[str, str]:
        """What is settled now, to be written for good, and what may stand behind it until the next piece."""
        text = self._rest + piece
        starts = [found.end() for found in re.finditer(r"\s+", text)]
        cut = starts[-_WORDS] if len(starts) >= _WORDS else 0
        self._rest = text[cut:]
        return masked(text[:cut], keys), masked(text[cut : starts[-1] if starts else 0], keys)


def stored(value: Any, keys: Sequence[Key], *, images: bool) -> Any:
    """A value for JSON as it is kept: keys masked, pictures and other files as their hashes unless `images`."""
    if isinstance(value, str):
        return masked(value if images else unpictured(value), keys)
    if isinstance(value, Mapping):
        return {str(name): _field(str(name), each, keys, images) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [stored(each, keys, images=images) for each in value]
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return base64.b64encode(data).decode() if images else hashed(data)
    if value is None or isinstance(value, bool | int | float):
        return value
    return masked(str(value), keys)


_CREDENTIAL: Final = re.compile(
    r"(?:proxy[-_]?)?authorization|(?:.*[-_])?(?:api[-_]?key|access[-_]?token|auth[-_]?token|secret[-_]?key|password)",
    re.IGNORECASE,
)
_BASE64_FIELDS: Final = frozenset({"data", "file_data", "b64_json", "result", "partial_image_b64"})


def _field(name: str, value: Any, keys: Sequence[Key], images: bool) -> Any:
    if isinstance(value, str):
        if _CREDENTIAL.fullmatch(name):
            return "…"
        if name in _BASE64_FIELDS and len(value) >= 64:
            try:
                data = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                pass
            else:
                return value if images else hashed(data)
    return stored(value, keys, images=images)


_ADDRESS: Final = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w=.-]+)*;base64,([A-Za-z0-9+/=_-]*)")


def unpictured(text: str) -> str:
    """The text with every data: address as the hash of what is in it."""
    if "base64," not in text:
        return text
    return _ADDRESS.sub(lambda found: hashed(_bytes(found[1])), text)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.translate({ord("-"): "+", ord("_"): "/"}) + "===")
    except (binascii.Error, ValueError):
        return text.encode()


def hashed(data: bytes) -> str:
    """`sha256:9f86d08…, 12,345 bytes`"""
    return f"sha256:{hashlib.sha256(data).hexdigest()}, {len(data):,} bytes"
