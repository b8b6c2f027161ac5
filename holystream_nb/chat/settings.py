"""What a question is asked with, as values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from .. import kinds
from ..client.options import ClientOptions
from ..errors import SetupError
from ..reply import TransportChoice, transport_choice
from ..tools.executor import Consent, allowed
from ..tools.function import named
from ..tools.mcp_servers import Server, split
from ..wire.values import well_formed
from .conversation import MOST_LANES

HOTTEST: Final = 2.0
"""The largest temperature that OpenAI's interface takes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Whom a question goes to (one to four models, `model` or `provider:model`), and how."""

    models: tuple[str, ...]
    system: str = ""
    temperature: float | None = None
    max_tokens: int | None = None

    def checked(self) -> Settings:
        """It with half characters replaced by U+FFFD, which any file can hold; SetupError names what cannot be."""
        if not 1 <= len(self.models) <= MOST_LANES:
            raise SetupError(f"A question goes to 1 to {MOST_LANES} models, and not to {len(self.models)}.")
        if any(not isinstance(model, str) or not model.strip() for model in self.models):
            raise SetupError("A model has no name: write model, or provider:model.")
        if len(set(self.models)) < len(self.models):
            raise SetupError("A model is named twice: name each once.")
        if not isinstance(self.system, str):
            raise SetupError(f"system is {kinds.kind(self.system)}: give the system prompt as a text.")
        if self.temperature is not None and not (_is_number(self.temperature) and 0 <= self.temperature <= HOTTEST):
            shown = kinds.shown(self.temperature)
            raise SetupError(f"The temperature {shown} cannot be: give 0 to {HOTTEST:g}, or None.")
        if self.max_tokens is not None and not (_is_number(self.max_tokens, int) and self.max_tokens >= 1):
            raise SetupError(f"max_tokens {kinds.shown(self.max_tokens)} cannot be: give 1 or more, or None.")
        return replace(self, models=tuple(map(well_formed, self.models)), system=well_formed(self.system))

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields of a request."""
        fields = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {name: value for name, value in fields.items() if value is not None}


def _is_number(value: object, kind: type = float) -> bool:
    is_one = isinstance(value, int | kind) and not isinstance(value, bool)
    return is_one and math.isfinite(value)  # type: ignore[arg-type]  # it is one


@dataclass(frozen=True, slots=True)
class Means:
    """What only the program decides, for the panel's life: how services are reached, what carries answers, and tools.

    `allow` names the tools that may run unasked. `max_cost` is in USD, for the whole conversation.
    """

    options: ClientOptions = field(default_factory=ClientOptions)
    transport: TransportChoice = "sse"
    tools: tuple[Callable[..., Any] | Server, ...] = ()
    allow: Consent = "ask"
    max_cost: Decimal | None = None

    def checked(self) -> Means:
        """Itself; SetupError names what cannot be."""
        transport_choice(self.transport)
        if self.allow != "ask" and not self.tools:
            raise SetupError("allow is for tools, and there are none: give tools=[…].")
        functions, servers = split(self.tools)
        allowed(self.allow, named(functions), is_complete=not servers)
        return self
