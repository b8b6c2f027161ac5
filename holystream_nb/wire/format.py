"""What a wire format is: how a request is written in it, and how its answer is read. No I/O, no clock.

A request is always given as Chat Completions has it, with `model`, `messages` and `stream`; a format writes it its own
way. An assistant's message may have an `echo`: what its service wants back of that turn, word for word
(`Decoder.echo`). It goes to whom it came from, in the format it came in, and is left out everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holystream_nb.errors import HolystreamError
from holystream_nb.events import Event
from holystream_nb.facts import Facts, Wire
from holystream_nb.providers.values import Provider
from holystream_nb.wire.redaction import Hidden
from holystream_nb.wire.sse import ServerSentEvent
from holystream_nb.wire.values import Halves


class Decoder(Protocol):
    """The state of one answer: call `feed` with each server-sent event, or `whole` once with an unstreamed body.

    `id` is the answer's own; `done` says that the service ended it; `finish_reason` is in the service's word;
    `is_complete` says that all has come. `error` is set when it carried an error, or was no answer at all: the events
    before it have been returned, and none comes after it. `empty` says that nothing of an answer has come.
    """

    id: str | None
    done: bool
    finish_reason: str | None
    error: HolystreamError | None
    facts: Facts

    @property
    def empty(self) -> bool: ...
    @property
    def is_complete(self) -> bool: ...

    def feed(self, event: ServerSentEvent, read: int, *, cut: bool = False) -> list[Event]:
        """The events of one server-sent event, stamped `read`; `cut` says that the stream ended in it."""
        ...

    def whole(self, body: bytes, read: int) -> list[Event]:
        """The events of an answer that was not streamed."""
        ...

    def echo(self) -> Any:
        """What the next request must carry of this turn, as JSON has it; None where the text and calls are enough."""
        ...


class State:
    """What each decoder keeps of its answer, as `Decoder` says it; `asked` and `key` as in `MakeDecoder`."""

    __slots__ = ("_asked", "_halves", "_key", "done", "empty", "error", "facts", "finish_reason", "id")

    def __init__(self, asked: str, key: Hidden) -> None:
        self.id: str | None = None
        self.done = False
        self.finish_reason: str | None = None
        self.error: HolystreamError | None = None
        self.empty = True
        self.facts = Facts()
        self._asked = asked
        self._key = key
        self._halves = Halves()


class MakeDecoder(Protocol):
    """Makes the state of one answer.

    `asked` is the model, `key` what no error may contain, `choices` the `n` asked, `limit` the most tokens it may have.
    """

    def __call__(self, *, asked: str, key: Hidden, choices: int, limit: int | None) -> Decoder: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One wire format.

    path: behind the service's address. headers: what every request has besides the usual.
    body: the request's JSON from what is asked; SetupError for a field that the format has no place for.
    """

    wire: Wire
    path: str
    headers: Mapping[str, str]
    body: Callable[[Mapping[str, Any], Provider], dict[str, Any]]
    decoder: MakeDecoder


def says_nothing(name: str, value: Any) -> bool:
    """Whether a field of Chat Completions asks for what is so without it, and can be left out: many write defaults."""
    if name == "n":
        return value == 1 or value is None
    if name in ("frequency_penalty", "presence_penalty"):
        return not value
    return value is None or value is False or (name == "logit_bias" and not value)


def echoed(message: Mapping[str, Any], wire: Wire, provider: Provider, model: str) -> Any:
    """The echo that a message carries for this service and model in this format; None where it carries none."""
    echo = message.get("echo")
    if not isinstance(echo, Mapping) or echo.get("wire") != wire:
        return None
    return echo.get("content") if echo.get("from") == minted_by(provider, model) else None


def minted_by(provider: Provider, model: str) -> str:
    """Who made an echo: the service and the model, as one word."""
    return f"{provider.name}:{model}"


def without_echo(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The messages without any echo."""
    return [
        {name: value for name, value in message.items() if name != "echo"} if "echo" in message else message
        for message in messages
    ]
