"""Signatures of thoughts: opaque to a client, which must give them back as they came; the simulator knows its own."""

from __future__ import annotations

import base64
import binascii
import hashlib

_OURS = b"simulator"


def sign(text: str) -> str:
    """The signature of a text, in base64."""
    return base64.b64encode(_OURS + hashlib.blake2b(text.encode(), digest_size=24).digest()).decode()


def is_ours(signature: object) -> bool:
    """Whether the simulator made this signature, of whatever text."""
    if not isinstance(signature, str):
        return False
    try:
        return base64.b64decode(signature, validate=True).startswith(_OURS)
    except (binascii.Error, ValueError):
        return False
