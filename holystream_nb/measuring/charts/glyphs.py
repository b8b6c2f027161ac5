"""Characters that no font in force has: drawn by their numbers, since all empty boxes look alike."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from matplotlib.font_manager import FontProperties, findfont, get_font

_NUMBER: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def drawable(text: str) -> str:
    r"""`\u6a21` in place of each character without a glyph in the style's `font.family`."""
    return text if text.isascii() else "".join(each if _has(each) else _number(each) for each in text)


def spoken(text: str) -> str:
    """What `drawable` was given."""
    return _NUMBER.sub(lambda found: each if not _has(each := _character(found[0])) else found[0], text)


def _number(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _character(number: str) -> str:
    code = int(number[2:], 16)
    return chr(code) if code < 0x110000 else "?"


def _has(character: str) -> bool:
    return any(
        ord(character) in _codes(findfont(FontProperties(family=[each]))) for each in FontProperties().get_family()
    )


@cache
def _codes(path: str) -> frozenset[int]:
    return frozenset(get_font(path).get_charmap())
