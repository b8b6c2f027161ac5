"""Log probabilities that look like a model's: the same for the same answer, and less than one in all."""

from __future__ import annotations

import math
from random import Random
from typing import Any

_OTHERS = (
    *(" the", " a", " of", " and", " to", " in", " is", " that", " it", " for", " with"),
    *(" as", " on", " this", " not", " one", ",", ".", ":", "\n", " or"),
)


def logprobs_of(token: str, place: str, top: int) -> dict[str, Any]:
    """One item of `logprobs.content`: the token, likelier than each of its `top` - 1 rivals; `place` names it."""
    rng = Random(f"logprobs {place}")  # noqa: S311 - looks, not a secret
    chosen = rng.uniform(0.5, 0.999)
    left, rivals = 1 - chosen, []
    for other in rng.sample([each for each in _OTHERS if each != token], max(top - 1, 0)):
        rivals.append(_item(other, left * 0.6))
        left *= 0.4
    item = _item(token, chosen)
    return {**item, "top_logprobs": [item, *rivals] if top else []}


def _item(token: str, probability: float) -> dict[str, Any]:
    return {"token": token, "logprob": math.log(probability), "bytes": list(token.encode())}
