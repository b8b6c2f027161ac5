"""An answer that goes on where one was cut: how a model is asked to, and the seam between the two."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from .errors import BadRequest
from .events import Event, Text
from .facts import Wire
from .reply import Progress, Reply

_LAST_WORDS: Final = 60
"""Characters that a model is asked to begin with."""

_TAIL: Final = 2_000
"""Characters of the end that a repetition may go back."""

_LEAST: Final = 8
"""Characters of a repetition: fewer may be chance."""

_ASIAN: Final = "\u2e80"
"""From here on, words have no spaces between them."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The text that an answer goes on from, and the format it came in."""

    text: str
    wire: Wire = "chat"


class Stream(Protocol):
    """What a client gives."""

    @property
    def reply(self) -> Reply: ...

    @property
    def progress(self) -> Progress: ...

    @property
    def provider(self) -> str: ...

    limited_by: str

    def stop(self) -> None: ...

    async def aclose(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[Event]: ...


Start = Callable[[Sequence[Mapping[str, Any]]], Stream]
"""Asks a client with these messages."""


class Continued:
    """The cut text at once, then what the model adds. `reply.text` is both; its figures are those of what was added.

    The Messages format takes the answer's beginning as its last message and goes on from there. Models of it that
    refuse that, and all others, are asked in a message to repeat the last words and go on: the repetition is cut out.
    """

    def __init__(self, start: Start, messages: Sequence[Mapping[str, Any]], cut: Cut) -> None:
        self._start = start
        self._before = cut.text
        self._added: list[str] = []
        said = [*messages, {"role": "assistant", "content": cut.text}]
        asked = [*said, {"role": "user", "content": _request(cut.text)}]
        self._ways = [said, asked] if cut.wire == "messages" else [asked]
        self._stream = start(self._ways[0])
        self._is_stopped = False

    @property
    def reply(self) -> Reply:
        return replace(self._stream.reply, text=self._before + "".join(self._added))

    @property
    def progress(self) -> Progress:
        return self._stream.progress

    @property
    def provider(self) -> str:
        return self._stream.provider

    @property
    def limited_by(self) -> str:
        return self._stream.limited_by

    def stop(self) -> None:
        self._is_stopped = True
        self._stream.stop()

    async def __aenter__(self) -> Continued:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stream.aclose()

    async def __aiter__(self) -> AsyncIterator[Event]:
        if len(self._ways) > 1:
            self._before = self._before.rstrip()  # as it is sent: a beginning must not end with white space
        yield Text(text=self._before, read=time.perf_counter_ns())
        try:
            async for event in self._read(Seam(self._before, is_new_message=len(self._ways) == 1)):
                yield event
        except BadRequest:
            if len(self._ways) == 1 or self._added or self._is_stopped:
                raise
            await self._stream.aclose()
            self._stream = self._start(self._ways[1])
            async for event in self._read(Seam(self._before, is_new_message=True)):
                yield event

    async def _read(self, seam: Seam) -> AsyncIterator[Event]:
        last: Text | None = None
        async for event in self._stream:
            if not isinstance(event, Text):
                yield event
            elif text := seam.add(event.text):
                yield self._add(event, text)
            last = event if isinstance(event, Text) else last
        if last is not None and (text := seam.end()):
            yield self._add(last, text)

    def _add(self, event: Text, text: str) -> Text:
        self._added.append(text)
        return Text(text=text, read=event.read)


class Seam:
    """Where added text meets what stands before it: what repeats its last words exactly is cut out.

    `is_new_message`: the model began a message, without the space that a word in the middle of a sentence has.
    """

    def __init__(self, before: str, *, is_new_message: bool) -> None:
        self._tail = before[-_TAIL:]
        self._is_new_message = is_new_message
        self._held: str | None = ""

    def add(self, text: str) -> str:
        """What is new of it; it is held back for as long as it may be a repetition."""
        if self._held is None:
            return text
        self._held += text
        begun = self._held.lstrip()
        return "" if not begun or begun in self._tail else self.end()

    def end(self) -> str:
        """What was held back, without the repetition."""
        held, self._held = self._held, None
        if not held:
            return ""
        begun = held.lstrip()
        fewest = max(1, min(len(self._tail), _LEAST))  # all of a shorter answer is no chance either
        for size in range(min(len(begun), len(self._tail)), fewest - 1, -1):
            if self._tail.endswith(begun[:size]) and not self._tail[-size - 1 : -size].isalnum():
                return begun[size:]
        return f" {held}" if self._is_new_message and _is_parted(self._tail, held) else held


def _is_parted(before: str, after: str) -> bool:
    """Whether a space belongs between them: two words, or a word after a mark that ends one."""
    last, first = before[-1:], after[:1]
    return (last.isalnum() or last in tuple(",.;:!?)")) and first.isalnum() and last < _ASIAN > first


def _request(text: str) -> str:
    words = text[-_LAST_WORDS:]
    if len(words) < len(text) and not text[-_LAST_WORDS - 1].isspace():
        words = words.partition(" ")[2] or words  # whole words
    return (
        "Your last message was cut off. Begin with its last words, exactly as they stand there, and go on from them "
        f"without an introduction. They are: {words}"
    )
