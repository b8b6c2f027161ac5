"""How much two texts have in common: the cosine of their word counts.

1 is the same words equally often, 0 no word in common; order does not count. It says that two answers speak of the same
things in the same words, not that either is right, complete or good: a wrong figure or a "not" hardly changes it, and a
good paraphrase lowers it. Common words alone make unrelated texts alike, so it is told beside what answers to different
prompts reach. One pass over each text: a worker that measures can afford it between two answers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

# Chinese and Japanese are written without spaces: each character is taken for a word.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def similarity(a: str, b: str) -> float | None:
    """0 to 1; None where one of the two has no words."""
    ours, theirs = Counter(_WORD.findall(a.casefold())), Counter(_WORD.findall(b.casefold()))
    if not ours or not theirs:
        return None
    dot = sum(count * theirs[word] for word, count in ours.items())
    return min(1.0, dot / (_length(ours) * _length(theirs)))


def _length(counts: Counter[str]) -> float:
    return math.sqrt(sum(count * count for count in counts.values()))


class Pairs:
    """The answers of a worker, of which two to one prompt and repeat are a pair."""

    def __init__(self) -> None:
        self._single: dict[tuple[int, int], str] = {}
        self._earlier: dict[int, str] = {}

    def compared(self, prompt: int, repeat: int, text: str) -> dict[str, float | None]:
        """Of the second whole answer of a pair, how alike the two are, and two to different prompts."""
        pair = prompt, repeat
        if pair not in self._single:
            self._single[pair] = text
            return {}
        other = self._single.pop(pair)
        strangers = [(asked, answer) for asked, answer in self._earlier.items() if asked != prompt]
        # The latest answers to two prompts: one of them is always to another prompt than the next pair's.
        self._earlier = dict([(prompt, other), *strangers[:1]])
        unrelated = similarity(strangers[0][1], text) if strangers else None
        return {"similarity": similarity(other, text), "unrelated": unrelated}
