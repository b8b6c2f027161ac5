"""Prompts of so many tokens, whose texts are made when they are asked.

A text is of common English words, each of which is one token, with the space before it, in the vocabularies of today;
what a service's template and tokenizer make of it is found out before a run (`running.fitting`), and kept in the plan:
(tokens of an empty prompt, tokens of a word). The texts follow from the plan's seed and are different for each prompt
and repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Final

import msgspec

UNFITTED: Final = (0.0, 1.0)
"""A fit until one is known: a word is a token."""

IGNORES_EOS: Final = ("llama.cpp", "vllm")
"""Providers whose chat completions take `ignore_eos`, and then go on to `max_tokens`. llama.cpp: its
tools/server/README.md, and `tests/real` asks it. vLLM: `ChatCompletionRequest` in its
vllm/entrypoints/openai/protocol.py. Others refuse what they do not know."""

FIT_ANSWER: Final = 16
"""The least that every service takes as a limit on the answer (OpenAI's Responses refuse less)."""

_LONGEST: Final = 4_096
"""Input tokens of a request that only fits; a line goes on beyond, and 100,000 tokens would be dear three times."""

_ROUNDS: Final = 4

_BLOCK: Final = 32
_BLOCKS: Final = 256
"""Texts are put together from blocks of words that are made once: choosing 100,000 words one by one would hold up a
worker's stopwatch."""

_TASK: Final = "\n\nWrite a very long story in which all of these words occur."
_WORDS: Final = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "government",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
    "business",
    "issue",
    "side",
    "kind",
    "head",
    "house",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
    "car",
    "city",
    "community",
    "name",
    "president",
    "team",
    "minute",
    "idea",
    "body",
    "information",
    "back",
    "parent",
    "face",
    "others",
    "level",
    "office",
    "door",
    "health",
    "person",
    "art",
    "war",
    "history",
    "party",
    "result",
    "change",
    "morning",
    "reason",
    "research",
    "girl",
    "guy",
    "moment",
    "air",
    "teacher",
    "force",
    "education",
]


class Synthetic(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="synthetic"):
    """A prompt of so many input tokens, the first `prefix_tokens` of which are shared with others; and how long the
    answer is to be, None where that is the model's affair.
    """

    input_tokens: int
    output_tokens: int | None = None
    prefix_tokens: int = 0

    def text(self, prefix: str, rest: str, fit: Sequence[float] = UNFITTED) -> str:
        """The prompt; `prefix` and `rest` are the seeds of its two parts, `fit` the model's."""
        empty, each = fit
        shared = round(self.prefix_tokens / each)
        own = max(1, round((self.input_tokens - empty) / each) - shared)
        parts = [_words(prefix, shared)] if shared else []
        return " ".join([*parts, _words(rest, own)]) + _TASK


def fit_lengths(prompts: Sequence[object]) -> list[int]:
    """Input tokens of the requests that fit synthetic prompts to a model, at most all of them; none without such."""
    lengths = [prompt.input_tokens for prompt in prompts if isinstance(prompt, Synthetic)]
    if not lengths:
        return []
    length = max(2, min(_LONGEST, max(lengths)))
    return [length // 2, *[length] * _ROUNDS]


def _words(seed: str, count: int) -> str:
    """So many words, the same for the same seed."""
    rng = Random(seed)  # noqa: S311  # a text, not a secret
    blocks = rng.choices(_made(), k=count // _BLOCK)
    return " ".join([*rng.choices(_WORDS, k=count % _BLOCK), *blocks])


@lru_cache(maxsize=1)
def _made() -> list[str]:
    rng = Random("blocks")  # noqa: S311
    return [" ".join(rng.choices(_WORDS, k=_BLOCK)) for _ in range(_BLOCKS)]
