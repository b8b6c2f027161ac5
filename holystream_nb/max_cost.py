"""What answers may cost at most (`max_cost`): their tokens are limited to what it pays for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final

from .errors import SetupError

if TYPE_CHECKING:
    from .ask import Ask
    from .client.client import Client, Message
    from .client.stream import Stream

_PROMPT_MARGIN: Final = Decimal("1.25")


class CappedClient:
    """A client whose requests share one `max_cost`: each may use what those before it have left.

    Each round is a request, also on a socket: what a turn costs in which results arrive is known at its end only.
    """

    def __init__(self, client: Client, ask: Ask) -> None:
        self._client = client
        self._ask = ask
        self._streams: list[Stream] = []

    def stream(self, prompt: Sequence[Message], *, model: str | None, answers_calls: bool, **parameters: Any) -> Stream:
        replies = [stream.reply for stream in self._streams]
        # A request that met a dead connection and went out again may be paid for twice.
        spent = [(reply.cost.usd or Decimal(0)) * (1 + reply.timing.resent) for reply in replies]
        share = (self._ask.max_cost or Decimal(0)) / len(self._ask.models) - sum(spent)
        carried = [{"content": str([parameters.get("tools"), *prompt])}]  # schemas and calls are paid for too
        ask = replace(self._ask, max_cost=share, models=(model,))
        stop_after = limit_tokens(self._client, model or "", carried, parameters, ask)
        self._streams.append(self._client.stream(prompt, model=model, stop_after=stop_after, **parameters))
        return self._streams[-1]


def limit_tokens(
    client: Client, model: str, messages: Sequence[Message], parameters: dict[str, Any], ask: Ask
) -> int | None:
    """Lowers the limit on the answer, by whichever name, to what `max_cost` pays for, an equal share for each model.

    Returns the number of tokens at which to stop from here if the service does not; None where nothing was lowered.
    The prompt is estimated, with a quarter on top. Raises SetupError where no price is known, or where the prompt alone
    costs as much.
    """
    if ask.max_cost is None:
        return None
    from .client.request import LIMITS
    from .money.card import price_card
    from .money.tokens import estimate_tokens

    card = price_card(client.provider, model.partition("#")[0])
    if card.input is None or card.output is None:
        raise SetupError(f"--max-cost cannot be kept: the price of {model} is not known ({card.source}).")
    share = ask.max_cost / len(ask.models)
    left = share * 1_000_000 - estimate_tokens(messages) * _PROMPT_MARGIN * card.input
    tokens = int((left / card.output).to_integral_value(ROUND_FLOOR))
    if tokens < 2:
        raise SetupError(f"--max-cost ${share:f} does not pay for the prompt at {model}: nothing was sent.")
    wanted = [limit for name in LIMITS if isinstance(limit := parameters.get(name), int)]
    if wanted and min(wanted) < tokens:
        return None
    for name in LIMITS:
        parameters.pop(name, None)
    parameters["max_tokens"] = tokens - 1
    return tokens
