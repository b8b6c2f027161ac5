"""The formats by their names."""

from __future__ import annotations

from ..facts import Wire
from .format import Format


def format_of(wire: Wire) -> Format:
    """The format of that name."""
    if wire == "messages":
        from .messages import MESSAGES

        return MESSAGES
    if wire == "responses":
        from .responses import RESPONSES

        return RESPONSES
    from .chat import CHAT

    return CHAT
