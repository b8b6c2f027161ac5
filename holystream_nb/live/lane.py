"""One stream on the screen: what has been drawn of it, and how it stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any, Final, Literal, Protocol

from ..errors import HolystreamError, NotJSON, SetupError
from ..events import Event, Reasoning, Text
from ..reply import Progress, Reply, TransportChoice
from ..tools.call import Call
from .answered_json import json_in
from .beside import Citation, Picture, ended, pictures, sources
from .cards import browser_length, card, plain
from .figures import approximate, bursts, figures, milliseconds, rate, record, tokens
from .painted import Painted
from .questions import Questions
from .screen import kernel_ends, kernel_is_told

State = Literal["waiting", "streaming", "done", "stopped", "interrupted", "lost", "truncated", "failed"]
FINAL: Final[frozenset[State]] = frozenset({"done", "stopped", "interrupted", "lost", "truncated", "failed"})
"""`lost` is an answer whose kernel ended first, killed or not: the journal has what had arrived."""

CUT_OFF: Final = (
    "The answer ended without its end marker: it may be cut off. Ask again; if that happens often, look at the proxy "
    "or gateway in between."
)
NOTHING_CAME: Final = (
    "The answer ended before anything of it came. Ask again; if that happens often, look at the proxy or gateway in "
    "between."
)


class Source(Protocol):
    """Whatever can be drawn live: a client's stream, a rollout's, a tool run, a panel's turn.

    One that calls tools has `calls` too, and gives each of them again whenever it changes.
    """

    @property
    def reply(self) -> Reply: ...

    @property
    def progress(self) -> Progress: ...

    def stop(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[Event | Call]: ...


class Entry(Protocol):
    """An answer in the journal, or wherever else it is written down as it arrives."""

    @property
    def id(self) -> str: ...

    def add(self, text: str = "", reasoning: str = "") -> None: ...

    def end(
        self, *, text: str, reasoning: str, state: str, ending: str, error: str, record: Mapping[str, Any]
    ) -> None: ...


Begin = Callable[..., Entry]
"""Begins an entry: takes the lane's `label`, `model`, `provider`, `note` and `format`."""

_SENT_S: Final = 0.2
"""What is refused before it is sent is refused by then, and is not written down."""


class Lane:
    """A source with its label, provider and note ("simulator"); several lanes stand side by side in one view.

    `limit` says why an answer ended where a limit of ours was reached ("--max-cost reached"); `questions` are those
    that a tool run asks. `begin` begins the `entry` that its answer is written into as it arrives; there is none of
    what was not sent.
    """

    def __init__(
        self,
        source: Source,
        *,
        label: str,
        provider: str,
        note: str = "",
        format: str = "markdown",
        transport: TransportChoice = "sse",
        questions: Questions | None = None,
        begin: Begin | None = None,
    ) -> None:
        self.source = source
        self.label = label
        self.provider = provider
        self.note = note
        self.format = format
        self.transport = transport
        self.limit = ""
        self.questions = questions or Questions()
        self.begin = begin
        self.entry: Entry | None = None
        self.state: State = "waiting"
        self.error: HolystreamError | None = None
        self.painted: Painted | None = None
        self.text_drawn = 0
        self.reasoning_drawn = 0
        self.cards_drawn = 0
        self._data: Any = None
        self._replied: tuple[Reply, tuple[object, ...], Reply] | None = None
        self._cards: dict[int, tuple[Call, dict[str, Any]]] = {}
        self._sent: dict[int, dict[str, Any]] = {}

    @property
    def title(self) -> dict[str, str]:
        return {"label": self.label, "provider": self.provider, "note": self.note}

    @property
    def reply(self) -> Reply:
        """The source's reply, with what the lane adds: parsed JSON, the error if it is none, when the page painted.

        One object as long as nothing changes: what a cell returns is what the history holds.
        """
        reply = self.source.reply
        adds = self.painted, self._data, self.error
        if self._replied is None or self._replied[0] is not reply or self._replied[1] != adds:
            self._replied = reply, adds, self._with(reply)
        return self._replied[2]

    def _with(self, reply: Reply) -> Reply:
        if self.painted is not None:
            ms, error_ms = self.painted.ms, self.painted.error_ms
            reply = replace(reply, timing=replace(reply.timing, paint_ms=ms, paint_error_ms=error_ms))
        if self._data is None and self.error is reply.error:
            return reply
        return replace(reply, data=self._data, error=self.error)

    async def events(self) -> AsyncIterator[Event | Call]:
        """What arrives, for whoever draws it; the entry has it first. Whoever reads it calls `end` afterwards."""
        asked = asyncio.get_running_loop().call_later(_SENT_S, self._write_down)
        try:
            async for event in self.source:
                if (entry := self.entry or self._write_down()) is not None:
                    kind = type(event)
                    if kind is Text:
                        entry.add(text=event.text)  # type: ignore[union-attr]  # mypy does not narrow on `kind is`
                    elif kind is Reasoning:
                        entry.add(reasoning=event.text)  # type: ignore[union-attr]
                    elif isinstance(event, Call) and event.is_final:
                        entry.add(text=_between(plain(event)))
                yield event
        except asyncio.CancelledError:
            await kernel_is_told()
            raise
        finally:
            asked.cancel()

    def _write_down(self) -> Entry | None:
        if self.entry is None and self.begin is not None:
            self.entry = self.begin(
                label=self.label,
                model=self.source.reply.model,
                provider=self.provider,
                note=self.note,
                format=self.format,
            )
        return self.entry

    def drew(self, text: str, reasoning: str) -> None:
        self.state = "streaming"
        self.text_drawn += len(text)
        self.reasoning_drawn += len(reasoning)

    def end(self, error: HolystreamError | None) -> None:
        """Fixes how the lane ended, from its reply."""
        reply = self.source.reply
        reason = reply.finish_reason
        ours = reason in ("stopped", "interrupted", "truncated")
        limited_by = getattr(self.source, "limited_by", "") if reply.end == "length" else ""
        self.limit = f"{limited_by} reached" if limited_by else ""
        if self.format == "json" and error is None and not ours:
            try:
                self._data = json_in(reply.text)
            except ValueError as exc:
                flaw = ended(reply, self.limit) or exc  # what has ended early is no fault of the model's
                error = NotJSON(f"{reply.model} did not answer with valid JSON ({flaw}): its text is kept as it is.")
        self.error = error
        if ours and (error is None or reason == "interrupted"):
            self.state = reason  # type: ignore[assignment]  # the three words are states
            if kernel_ends():
                self.state, self.error = "lost", None
        else:
            self.state = "done" if error is None else "failed"
        self._end_entry(reply)

    def _end_entry(self, reply: Reply) -> None:
        is_unsent = reply.timing.sent is None and isinstance(self.error, SetupError)
        entry = self.entry if is_unsent else self._write_down()
        if entry is not None:
            entry.end(
                text="".join(
                    text + "".join(_between(plain(call)) for call in calls)
                    for text, calls in stretches(reply.text, self.calls)
                ),
                reasoning=reply.reasoning,
                state=self.state,
                ending=self.ending,
                error=self.warning if self.error is None else str(self.error),
                record={**record(self.reply), "calls": len(self.calls)},
            )

    @property
    def is_parted(self) -> bool:
        """Whether text that was drawn turned out to be reasoning."""
        return self.is_final and self.text_drawn > len(self.source.reply.text)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    def status(self) -> dict[str, Any]:
        """State, figures, error and clock, as the view takes them; once it has ended, what came beside the answer."""
        progress = self.source.progress
        return {
            "state": self.state,
            "figures": self.summed() if self.is_final else _running(progress),
            "ending": self.ending,
            "error": self.warning if self.error is None else str(self.error),
            "elapsed_ms": progress.elapsed_ms,
            "units": progress.events,
            "thought": self.thought(),
            "sources": [drawn_source(source) for source in self.sources],
            "pictures": [drawn_picture(picture) for picture in self.pictures],
        }

    @property
    def warning(self) -> str:
        """What fails nothing and must be seen as if it did: an end that looks clean on the wire and has no marker."""
        if self.state != "truncated":
            return ""
        return NOTHING_CAME if self.source.reply.is_empty and not self.source.reply.reasoning else CUT_OFF

    @property
    def calls(self) -> tuple[Call, ...]:
        """The tools' calls so far; none where the source has no tools."""
        calls: tuple[Call, ...] = getattr(self.source, "calls", ())
        return calls

    def cards(self) -> list[dict[str, Any]]:
        """The calls as the view takes them; `at` is the length of the text before one as a browser counts it."""
        for call in self.calls:
            known, drawn = self._cards.get(call.number, (None, {}))
            if call is not known:
                at = browser_length(self.source.reply.text[: call.at]) if known is None else drawn["at"]
                self._cards[call.number] = call, {**card(call), "at": at}
        return [drawn for _, drawn in self._cards.values()]

    def changed_cards(self) -> list[dict[str, Any]]:
        """Those that differ from what this gave before."""
        changed = [card for card in self.cards() if card != self._sent.get(card["number"])]
        self._sent.update({card["number"]: card for card in changed})
        self.cards_drawn += sum(len(card["arguments"]) + len(card["result"]) for card in changed)
        return changed

    def summed(self) -> list[str]:
        """The figures of its reply, and what is to be said of how it came."""
        reply = self.source.reply
        found = figures(reply)
        if found and self.transport == "ws" and reply.transport == "sse":
            found.append("over sse: no socket is offered")
        return [*found, *bursts(reply)]

    @property
    def ending(self) -> str:
        """How it ended, and what of it is missing, where that must be said (`beside.ended`); "" while it runs."""
        return ended(self.source.reply, self.limit) if self.is_final else ""

    @property
    def sources(self) -> tuple[Citation, ...]:
        """What the answer cites; none while it runs."""
        return sources(self.source.reply) if self.is_final else ()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The answer's pictures; none while it runs."""
        return pictures(self.source.reply) if self.is_final else ()

    def thought(self) -> str:
        """Tokens and time of the reasoning, "" where there was none; a service that saw none of it did not count it."""
        progress = self.source.progress
        if not progress.reasoning_tokens:
            return ""
        exact = self.source.reply.usage.reasoning_tokens if self.is_final else None
        words = tokens(exact or progress.reasoning_tokens, exact=bool(exact))
        return f"{words} · {progress.thinking_ms / 1e3:.1f} s"

    def snapshot(self) -> dict[str, Any]:
        """All that has been drawn: what a view that appears late, or again, starts from."""
        reply = self.source.reply
        text = reply.text if self.is_final else reply.text[: self.text_drawn]
        reasoning = reply.reasoning if self.is_final else reply.reasoning[: self.reasoning_drawn]
        return {"text": text, "reasoning": reasoning, **self.status(), "calls": self.cards()}


def stretches(text: str, calls: Sequence[Call]) -> list[tuple[str, list[Call]]]:
    """The text in stretches, each with the calls that came after it."""
    found: list[tuple[str, list[Call]]] = []
    start = 0
    for at, after in groupby(calls, key=lambda call: call.at):
        found.append((text[start:at], list(after)))
        start = at
    return [*found, (text[start:], [])]


def _between(said: str) -> str:
    return f"\n\n{said}\n\n"


def drawn_source(source: Citation) -> dict[str, str]:
    """It as the view takes it."""
    return {**asdict(source), "host": source.host}


def drawn_picture(picture: Picture) -> dict[str, str]:
    """It as the view takes it."""
    return {**asdict(picture), "host": picture.host}


def _running(progress: Progress) -> list[str]:
    parts = [progress.notice] if progress.notice else []
    if progress.ttft_ms is not None:
        parts.append(f"TTFT {milliseconds(progress.ttft_ms)}")
    if progress.tokens_per_s is not None:
        parts.append(f"{approximate(False)}{rate(progress.tokens_per_s)}")
    if progress.tokens:
        parts.append(tokens(progress.tokens, exact=False))
    return parts
