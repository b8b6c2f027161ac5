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
