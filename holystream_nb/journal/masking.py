"""What is taken out before anything reaches the disk: keys (the list of `wire.redaction`), and pictures.

A key may come in pieces. So the end of a text that is still coming is held back as long as a key may begin in it: its
last words are written anew each time, without what may be a part of a key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..wire.redaction import redact_marked, settled, withheld, without
from ..wire.values import well_formed

_SLICE: Final = 16_384
"""Characters that are masked at once: a regular expression lets no other thread run meanwhile."""

_LONGEST: Final = 2 * _SLICE
"""Characters without a settled end, after which they are settled all the same: no key is as long."""

_ADDRESS: Final = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w=.-]+)*;base64,([A-Za-z0-9+/=_-]*)")
_OPEN_ADDRESS: Final = re.compile(r"data:[\w.+/;=-]*(?:,[A-Za-z0-9+/=_-]*)?")


class Masker:
    """Masks a text that comes in pieces; `images` leaves its data: addresses as they are.

    hidden: the known keys, as `redaction.values` gives them.
    """

    def __init__(self, *, images: bool = False) -> None:
        self._images = images
        self._rest = ""

    def feed(self, piece: str, hidden: Sequence[str]) -> str:
        """What is settled now, and is to be written for good."""
        if not piece:
            return ""
        done = []
        for start in range(0, len(piece), _SLICE):
            text = self._rest + piece[start : start + _SLICE]
            cut = settled(text, hidden)
            if (picture := _open_address(text)) is not None:
                cut = min(cut, picture)
            elif len(text) - cut > _LONGEST:
                cut = len(text) - _SLICE
            done.append(self._masked(text[:cut], hidden))
            self._rest = text[cut:]
        return "".join(done)

    def shown(self, hidden: Sequence[str]) -> str:
        """What may stand behind it until the next piece comes."""
        if not self._rest:
            return ""
        text = self._rest
        at = withheld(text, hidden)
        if (picture := _open_address(text)) is not None:
            at = min(at, picture)
        return self._masked(text[:at], hidden)

    def finish(self, hidden: Sequence[str]) -> str:
        """The rest, when nothing comes any more."""
        text, self._rest = self._rest, ""
        return self._masked(text, hidden)

    def _masked(self, text: str, hidden: Sequence[str]) -> str:
        """A part in which no key and no picture is cut."""
        text = well_formed(text)
        if "base64," not in text:
            return redact_marked(without(text, hidden))
        done, at = [], 0
        for found in _ADDRESS.finditer(text):
            done.append(redact_marked(without(text[at : found.start()], hidden)))
            done.append(found[0] if self._images else hashed(_bytes(found[1])))
            at = found.end()
        return "".join([*done, redact_marked(without(text[at:], hidden))])


def _open_address(text: str) -> int | None:
    """Where a data: address begins that may go on behind the text's end."""
    at = text.rfind("data:")
    return at if at >= 0 and _OPEN_ADDRESS.fullmatch(text, at) else None


def masked(text: str, hidden: Sequence[str], *, images: bool = False) -> str:
    """A whole text without hidden, and with its pictures as hashes unless `images`."""
    masker = Masker(images=images)
    return masker.feed(text, hidden) + masker.finish(hidden)


def stored(value: Any, hidden: Sequence[str], *, images: bool) -> Any:
    """A value for JSON as it is kept: keys masked, pictures and other files as their hashes unless `images`."""
    if isinstance(value, str):
        return masked(value, hidden, images=images)
    if isinstance(value, Mapping):
        return {str(name): _field(str(name), each, hidden, images) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [stored(each, hidden, images=images) for each in value]
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return base64.b64encode(data).decode() if images else hashed(data)
    if value is None or isinstance(value, bool | int | float):
        return value
    return masked(str(value), hidden, images=images)


MASK: Final = "…"
"""What stands for a credential: a field of such a name, or any header."""

_CREDENTIAL: Final = re.compile(
    r"(?:.*[-_])?(?:authorization|(?:api|access|secret|private|subscription)[-_]?key|secret|password|cookie)"
    r"|.*[-_]token|(?:access|auth)token",
    re.IGNORECASE,
)
_BASE64_FIELDS: Final = frozenset({"data", "file_data", "b64_json", "result", "partial_image_b64"})
_LEAST_BASE64: Final = 256
"""Characters from which such a field is no short word or hash any more."""


def _field(name: str, value: Any, hidden: Sequence[str], images: bool) -> Any:
    if isinstance(value, Mapping) and name.lower().endswith("headers"):
        return {str(header): MASK for header in value}
    if isinstance(value, str):
        if _CREDENTIAL.fullmatch(name):
            return MASK
        if name in _BASE64_FIELDS and len(value) >= _LEAST_BASE64:
            try:
                data = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                pass
            else:
                return value if images else hashed(data)
    return stored(value, hidden, images=images)


def _bytes(text: str) -> bytes:
    """What such an address holds; one that is cut off, as far as it goes."""
    plain = text.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return base64.b64decode(plain[: len(plain) - (len(plain) % 4 == 1)] + "===")
    except (binascii.Error, ValueError):
        return text.encode()


def hashed(data: bytes) -> str:
    """`sha256:9f86d08…, 12,345 bytes`"""
    return f"sha256:{hashlib.sha256(data).hexdigest()}, {len(data):,} bytes"
