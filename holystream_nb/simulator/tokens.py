"""The simulator's tokens: a rule simple enough to count by hand.

A token is, whichever comes first: one character of Chinese, Japanese or Korean; a run of letters, digits and
underscores with the one space before it; any other visible character with the one space before it; a run of line ends;
one other white space. Nothing is lost: the tokens of a text, joined, are the text.
"""

from __future__ import annotations

import re

# kana, CJK ideographs with their extensions, compatibility ideographs, Hangul syllables
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_CJK}]| ?(?:(?![{_CJK}])\w)+| ?[^\s\w]|\n+|\s")


def tokenize(text: str) -> list[str]:
    """The tokens of a text."""
    return _TOKEN.findall(text)
