"""One request to one or several models, as a value; what a door is given is checked on its way into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, get_args

from . import kinds
from .continued import Cut
from .errors import SetupError
from .reply import TransportChoice
from .tools.mcp_servers import Server

if TYPE_CHECKING:
    from .client.client import Message
    from .client.options import ClientOptions
    from .tools.executor import Consent

Format = Literal["markdown", "text", "code", "json"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to one or several models, as the magic's options or `hs.stream`'s arguments say it.

    A model that is None is the one that is set, or the service's default; `options` that are None are the session's.
    `is_line`: the magic's option line said it, and messages name its options. `cut` is the answer that it goes on with.
    """

    prompt: str | Sequence[Message]
    models: tuple[str | None, ...] = (None,)
    system: str | None = None
    options: ClientOptions | None = None
    timeout: float | None = None
    chat: str | None = None
    format: Format = "markdown"
    max_cost: Decimal | None = None
    transport: TransportChoice = "sse"
    tools: tuple[Callable[..., Any] | Server, ...] = ()
    allow: Consent = "ask"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = False
    keep_chunks: bool = False
    is_line: bool = False
    cut: Cut | None = None

    def word(self, name: str) -> str:
        """What the reader calls one of these: `--max-cost` on the option line, `max_cost` in Python."""
        return f"--{name.replace('_', '-')}" if self.is_line else name


def model_name(value: object, several: str) -> str | None:
    """A model's name, or None; `several` says where more than one is asked."""
    if isinstance(value, list | tuple | set):
        raise SetupError(f"model is {kinds.kind(value)}: one model is asked here; for several side by side {several}.")
    return kinds.optional_text("model", value, "model='deepseek-v3.2'")


def system_prompt(value: object) -> str:
    """A text, which may be empty."""
    if not isinstance(value, str):
        raise SetupError(f"system is {kinds.kind(value)}: give the system prompt as a text.")
    return value


def answer_format(value: object) -> Format:
    """How an answer is drawn."""
    known = get_args(Format)
    if value in known:
        return value  # type: ignore[return-value]  # it is one of them
    near = get_close_matches(value.lower(), known, n=1) if isinstance(value, str) else []
    choice = f"choose one of {', '.join(known)}"
    instead = f"did you mean {near[0]}? ({choice})" if near else f"{choice}."
    raise SetupError(f"format is {kinds.shown(value)}: {instead}")


def functions(value: object) -> tuple[Callable[..., Any] | Server, ...]:
    """Tools: a function, an MCP server, or a list of them."""
    listed = (value,) if callable(value) or isinstance(value, Server) else value
    if not isinstance(listed, list | tuple):
        raise SetupError(f"tools is {kinds.kind(value)}: give a list of typed Python functions, tools=[get_weather].")
    for each in listed:
        if not callable(each) and not isinstance(each, Server):
            raise SetupError(
                f"tools is a list with {kinds.kind(each)} in it: give typed Python functions, tools=[get_weather]."
            )
    return tuple(listed)


def consent(value: object) -> Consent:
    """Who says which tools may run."""
    if isinstance(value, str):
        return value if value in ("ask", "all") else (value,)
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise SetupError(f'allow is {kinds.kind(value)}: give "ask", "all", or a list of tools\' names.')
