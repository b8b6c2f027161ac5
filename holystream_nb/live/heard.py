"""What the pages have said: each message is heeded once and in its order, however often it comes, or never.

A page's half (`frontend/src/line.ts`) numbers what it says, from 1, and says it again until the kernel has heard it:
`heard` tells how far that is. A message without a number is heeded as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Heard:
    """How far each sender, a random word, has been heard."""

    def __init__(self) -> None:
        self.heard: dict[str, int] = {}

    def is_next(self, content: Mapping[str, Any]) -> bool:
        """Whether a message is to be heeded now: not if it came before, nor while one before it is missing."""
        sender, number = content.get("from"), content.get("number")
        if not isinstance(sender, str) or not isinstance(number, int):
            return True
        known = self.heard.setdefault(sender, 0)
        if number != known + 1:
            return False
        self.heard[sender] = number
        return True
