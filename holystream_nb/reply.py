"""Events folded into a Reply."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any, Final, Literal, get_args

import msgspec

from .errors import HolystreamError, SetupError
from .events import Event, OtherChoice, Reasoning, Text, ToolCallPart, Usage
from .facts import Facts, Wire
from .money.cost import Cost
from .money.tokens import size_of, tokens_of
from .timing import GROUPED, Timing
from .wire.calls import joined
from .wire.endings import Kind, kind_of, telling, words_of
from .wire.think import END_TAG, parted

TransportChoice = Literal["sse", "ws", "auto"]
"""What may carry an answer: `ws` is the provider's own socket, else one it offers; `auto` one it offers, else `sse`."""


def transport_choice(text: str) -> TransportChoice:
    """The text, if it is one; SetupError names those that are."""
    if text not in get_args(TransportChoice):
        raise SetupError(f"There is no transport {text!r}: choose one of {', '.join(get_args(TransportChoice))}.")
    return text  # type: ignore[return-value]  # it is one of them


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model asks for; `arguments` is JSON text, as the model wrote it (see `wire.calls.joined`)."""

    id: str
    name: str
    arguments: str


OURS: Final = frozenset({"stopped", "interrupted", "truncated", ""})
"""Finish reasons that are ours, of an answer that is not whole."""

_DETAIL_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class Reply:
    """What arrived for one request, whole or not.

    `model` and `provider` are what was asked, and where; `request_id` is the service's, where it gives one. `usage` are
    its tokens, `cost` USD and CNY, `timing` milliseconds; what is not known is None, what is estimated says so.

    `finish_reason` is the service's own word (stop, length, tool_calls, …; `length` for `stop_after` too) or one of
    ours: `stopped` (by the user), `interrupted` (the connection broke), `truncated` (it ended without saying so); ""
    where nothing arrived or the answer is not finished. `error` is set when the request failed; what had arrived is
    kept all the same. `transport` is what carried it, `sse` or `ws`. `other_choices` are the texts of further choices
    (`n` > 1); `data` is the parsed answer where JSON was asked for. Reasoning whose beginning a template kept, so that
    only `</think>` on its own line marks it, is text while it comes, and `reasoning` once all has.

    `wire` is the format it came in; `served_model`, `service_tier`, `detail`, `refusal`, `citations`, `logprobs`,
    `images`, `timings`, `unreadable` and `raw` are what the service said beside its answer (`facts.Facts`). `echo` is
    what the service wants back of this turn with the next one, for an assistant's message; None where that is nothing.
    `chunks` are the pieces as they came, each with its read (ns), where they were asked for. `asked` are the messages
    that were sent; they are in no saved output.
    """

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    usage: Usage
    timing: Timing
    cost: Cost
    model: str
    provider: str
    request_id: str | None = None
    transport: Literal["sse", "ws"] = "sse"
    error: HolystreamError | None = None
    other_choices: tuple[str, ...] = field(default=(), repr=False)
    data: Any = field(default=None, repr=False)
    wire: Wire = "chat"
    served_model: str = ""
    service_tier: str = ""
    detail: str = ""
    refusal: str = field(default="", repr=False)
    citations: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    logprobs: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    images: tuple[str, ...] = field(default=(), repr=False)
    timings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    unreadable: int = 0
    raw: str = field(default="", repr=False)
    echo: Mapping[str, Any] | None = field(default=None, repr=False)
    chunks: tuple[tuple[int, str], ...] = field(default=(), repr=False)
    asked: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, compare=False)

    @property
    def end(self) -> Kind | None:
        """What kind of end the service's word is; None where it said none: `finish_reason` is ours, or ""."""
        return None if self.finish_reason in OURS else kind_of(self._end_word)

    @property
    def _end_word(self) -> str:
        return telling(self.finish_reason, self.detail)

    @property
    def is_unsent(self) -> bool:
        """Whether it was refused here, before anything was sent: no request, whose cost is nothing."""
        return self.timing.sent is None and isinstance(self.error, SetupError)

    @property
    def is_empty(self) -> bool:
        """Whether it brought nothing that is an answer: neither text, nor calls, nor a picture, nor another choice.

        Space alone is none.
        """
        said = (self.text, *self.other_choices)
        return not (self.tool_calls or self.images or any(text.strip() for text in said))

    @property
    def is_normal_end(self) -> bool:
        """Whether the service ended it as answers end, and there is one."""
        return self.end in ("stop", "tool_calls") and not (self.ending_words or self.error)

    @property
    def ending_words(self) -> str:
        """What a reader must be told of how the service ended it, in plain words: "" where all is as it should be.

        What we, or the network, did to it (`stopped`, `interrupted`, `truncated`, an error) is not in it, only that
        nothing came where nobody broke it off.
        """
        if self.end is None:
            return self.emptiness if self.finish_reason == "truncated" else ""
        word = self._end_word
        said = "refused" if self.refusal else words_of(word)
        if said and self.detail and said not in (words_of(self.detail), self.detail) and self.detail != word:
            said = f"{said} ({self.detail[:_DETAIL_CHARACTERS]})"
        return ", ".join(filter(None, (said, self.emptiness)))

    @property
    def emptiness(self) -> str:
        """That a request that did not fail brought no answer, in plain words; else ""."""
        if not self.is_empty or self.error is not None:
            return ""
        return "empty answer, only reasoning came" if self.reasoning.strip() else "empty answer"

    def __repr__(self) -> str:
        tokens = self.usage.completion_tokens
        approx = "" if self.usage.exact else "≈"
        count = "unknown" if tokens is None else f"{approx}{tokens}"
        return f"<Reply {self.provider}:{self.model} {self.finish_reason or 'unfinished'} {count} tokens>"


@dataclass(frozen=True, slots=True)
class Progress:
    """How a running stream stands, for a display: cheap at any length.

    `tokens` are estimated from all that has come, as at the end where nobody counts them, or what the service has
    counted so far where that is more, `reasoning_tokens` from the reasoning; `tokens_per_s` is the rate of the first
    choice's since its first read; `events` counts output events; `thinking_ms` is from the first reasoning to the first
    answer, or to the last reasoning so far; `notice` says what it waits for. `unanswered_ms` is how long the request
    that is out has been without output; the limiter's wait and pauses before retries are not in it. None where none is
    out, or output has come.
    """

    elapsed_ms: float
    ttft_ms: float | None
    tokens: int
    tokens_per_s: float | None
    reasoning_tokens: int
    thinking_ms: float
    notice: str
    unanswered_ms: float | None = None
    events: int = 0


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Fold:
    """Takes a stream's events one by one; `reply` makes the Reply of what has come so far.

    Memory is the text, plus twelve bytes for every read that brought output.
    """

    def __init__(self) -> None:
        self._text = StringIO()
        self._reasoning = StringIO()
        self._calls: dict[int, _Call] = {}
        self._others: dict[int, StringIO] = {}
        self._usage: Usage | None = None
        self._counted_events = 0  # those that had come with it
        self._reads: array[int] = array("q")
        self._before: array[int] = array("Q")  # output events before each of them
        self._last_read = -1
        self._first_answer: int | None = None
        self._first_read_tokens: int | None = None
        self._first_reasoning = self._last_reasoning = 0
        self._end_tag: int | None = None  # the read that brought one in the text
        self._after_tag: int | None = None  # and the first one behind it
        # Bytes of the first choice, of its reasoning, of its first read, and of other choices.
        self._size = self._reasoning_size = self._first_size = self._other_size = 0
        self.output_events = 0
        self.reasoning_events = 0
        self.other_events = 0

    def add(self, event: Event) -> None:
        kind = type(event)
        if kind is Text:
            text: str = event.text  # type: ignore[union-attr]  # `kind is` is faster than isinstance, mypy cannot see it
            self._text.write(text)
            size = len(text) if text.isascii() else size_of(text)
            if self._after_tag is None and (self._end_tag is not None or ">" in text):
                self._see_tag(text, event.read)
        elif kind is Reasoning:
            size = self._add_reasoning(event)  # type: ignore[arg-type]
        elif isinstance(event, ToolCallPart):
            size = self._add_call(event)
        elif isinstance(event, Usage):
            self._add_usage(event)
            return
        elif isinstance(event, OtherChoice):
            self._others.setdefault(event.choice, StringIO()).write(event.text)
            self._other_size += size_of(event.text)
            self.other_events += 1
            return
        else:
            return
        read = event.read
        if read != self._last_read:
            self._last_read = read
            self._reads.append(read)
            self._before.append(self.output_events)
            if len(self._reads) == 2:
                self._first_size = self._size
        self._size += size
        self.output_events += 1
        if self._first_answer is None and kind is not Reasoning:
            self._first_answer = read

    def _add_reasoning(self, event: Reasoning) -> int:
        if not self.reasoning_events:
            self._first_reasoning = event.read
        self._last_reasoning = event.read
        self.reasoning_events += 1
        self._reasoning.write(event.text)
        size = size_of(event.text)
        self._reasoning_size += size
        return size

    def _see_tag(self, text: str, read: int) -> None:
        """`text` is the last that was written; a tag in it may have begun before."""
        if self._end_tag is None:
            self._text.seek(max(0, self._text.tell() - len(text) - len(END_TAG) + 1))
            _, tag, text = self._text.read().partition(END_TAG)
            if not tag:
                return
            self._end_tag = read
        if text.strip():
            self._after_tag = read

    def part(self) -> str:
        """Makes reasoning of text that only an end tag marks (`think.parted`), once all has come; it as it was sent."""
        found = None if self._reasoning.tell() else parted(self._text.getvalue())
        if found is None:
            return ""
        reasoning, sent, text = found
        self._reasoning.write(reasoning)
        self._text = StringIO()
        self._text.write(text)
        self._reasoning_size, self.reasoning_events = size_of(reasoning), 1
        self._first_reasoning = self._reads[0]
        self._last_reasoning = self._end_tag or self._reads[0]
        self._first_answer = self._after_tag
        return sent

    def _add_call(self, part: ToolCallPart) -> int:
        call = self._calls.setdefault(part.index, _Call())
        call.id = call.id or part.id
        call.name = call.name or part.name
        call.arguments.append(part.arguments)
        return size_of(part.name) + size_of(part.arguments)

    def _add_usage(self, usage: Usage) -> None:
        if usage.completion_tokens:
            self._counted_events = self.output_events + self.other_events
        self._usage = usage if self._usage is None else _joined(self._usage, usage)
        if len(self._reads) == 1 and usage.read == self._reads[0] and usage.completion_tokens:
            self._first_read_tokens = usage.completion_tokens

    @property
    def text_size(self) -> int:
        """Characters of the answer."""
        return self._text.tell()

    @property
    def first_read(self) -> int | None:
        return self._reads[0] if self._reads else None

    @property
    def last_read(self) -> int:
        """The last read that brought output (ns); -1 before the first."""
        return self._last_read

    def _events_of_reads(self) -> array[int]:
        """How many output events each distinct read brought."""
        after = (*self._before[1:], self.output_events)
        return array("I", (later - before for before, later in zip(self._before, after, strict=False)))

    @property
    def tokens(self) -> int:
        """Estimated from all that has come: text, reasoning, tool calls, other choices; more where the service says so.

        Where it counts as it goes, what it hides is in its count.
        """
        said = 0 if self._usage is None else self._usage.completion_tokens or 0
        return max(tokens_of(self._size + self._other_size), said)

    @property
    def reasoning_tokens(self) -> int:
        """Estimated from the reasoning that has come."""
        return tokens_of(self._reasoning_size)

    @property
    def tokens_per_s(self) -> float | None:
        """Estimated tokens of the first choice after its first read / time since then."""
        if len(self._reads) < 2:
            return None
        return tokens_of(self._size - self._first_size) * 1e9 / (self._reads[-1] - self._reads[0])

    @property
    def thinking_ms(self) -> float:
        """First reasoning to first answer, or to the last reasoning so far; 0 without reasoning."""
        end = self._last_reasoning if self._first_answer is None else self._first_answer
        return max(0, end - self._first_reasoning) / 1e6 if self.reasoning_events else 0.0

    def usage(
        self,
        *,
        whole: bool,
        prompt_estimate: int | None,
        hides_reasoning: bool = False,
        unnamed: Literal["reasoning", "other"] = "other",
    ) -> Usage:
        """What the service reported, if the answer is `whole` and it counts all of it; else estimated from the text.

        Nothing at all where `prompt_estimate` is None: nobody read the prompt.

        A count of nothing beside output is none, nor is one that came before the last output. What the service reports
        of the prompt, and what it says the request cost, stands in any case. `unnamed` is what its provider calls
        output that only the total counts (`Provider.unnamed_output`).
        """
        if prompt_estimate is None:
            return Usage(0, 0, 0)
        said = self._usage or Usage()
        events = self.output_events + self.other_events
        is_counted = bool(said.completion_tokens) or (said.completion_tokens == 0 and not events)
        if whole and is_counted and self._counted_events == events:
            if not said.prompt_tokens and prompt_estimate:
                total = prompt_estimate + (said.completion_tokens or 0)
                said = msgspec.structs.replace(said, prompt_tokens=prompt_estimate, total_tokens=total, exact=False)
            return _named(said) if unnamed == "reasoning" else said
        prompt = said.prompt_tokens or prompt_estimate
        tokens = max(self.tokens, (said.total_tokens or 0) - prompt)
        return msgspec.structs.replace(
            said,
            prompt_tokens=prompt,
            completion_tokens=tokens,
            total_tokens=prompt + tokens,
            reasoning_tokens=None,
            other_tokens=None,
            exact=False,
            read=self._last_read,
            uncounted=hides_reasoning and not (self.reasoning_events or said.completion_tokens),
        )

    def reply(
        self,
        *,
        finish_reason: str,
        whole: bool,
        prompt_estimate: int | None,
        hides_reasoning: bool,
        unnamed: Literal["reasoning", "other"] = "other",
        cost: Callable[[Usage], Cost],
        model: str,
        provider: str,
        stamps: Timing,
        request_id: str | None,
        error: HolystreamError | None,
        transport: Literal["sse", "ws"] = "sse",
        wire: Wire = "chat",
        facts: Facts | None = None,
        echo: Mapping[str, Any] | None = None,
        chunks: tuple[tuple[int, str], ...] = (),
    ) -> Reply:
        facts = facts or Facts()
        usage = self.usage(
            whole=whole, prompt_estimate=prompt_estimate, hides_reasoning=hides_reasoning, unnamed=unnamed
        )
        visible = self._visible_tokens(usage, hides_reasoning)
        return Reply(
            text=self._text.getvalue(),
            reasoning=self._reasoning.getvalue(),
            tool_calls=tuple(
                ToolCall(call.id, call.name, joined(call.arguments)) for _, call in sorted(self._calls.items())
            ),
            finish_reason=finish_reason,
            usage=usage,
            timing=replace(
                stamps,
                reads=self._reads[:],
                events=self._events_of_reads(),
                first_answer=self._first_answer,
                output_tokens=usage.completion_tokens,
                visible_tokens=visible,
                first_chunk_tokens=self._first_tokens(usage, visible),
            ),
            cost=cost(usage),
            model=model,
            provider=provider,
            request_id=request_id,
            transport=transport,
            error=error,
            other_choices=tuple(text.getvalue() for _, text in sorted(self._others.items())),
            wire=wire,
            served_model=facts.model,
            service_tier=facts.service_tier,
            detail=facts.detail,
            refusal=facts.refusal,
            citations=tuple(facts.citations),
            logprobs=tuple(facts.logprobs),
            images=tuple(facts.images),
            timings=facts.timings,
            unreadable=facts.unreadable,
            raw=facts.raw,
            echo=echo,
            chunks=chunks,
        )

    def _first_tokens(self, usage: Usage, visible: int | None) -> int:
        """Of the first read, as many as are to be seen: what a usage in it says, else its output events, which a proxy
        may have gathered there.

        Where the service puts several tokens into an event (more than `GROUPED` of them, by its own count), it is the
        first read's share of all characters. Where tokens are estimated, its own are too.
        """
        completion = usage.completion_tokens or 1
        first_size = self._first_size if len(self._reads) > 1 else self._size
        if not usage.exact:
            first = tokens_of(first_size)
        elif self._first_read_tokens:
            first = self._first_read_tokens - (completion - (visible or completion))  # hidden reasoning comes before
        elif visible and self._size and visible > GROUPED * self.output_events:
            first = round(visible * first_size / self._size)
        else:
            first = self._before[1] if len(self._before) > 1 else self.output_events
        return min(max(1, first), completion)

    def _visible_tokens(self, usage: Usage, hides_reasoning: bool) -> int | None:
        """Those that were seen to come; None where nobody knows how many, or where there is not one."""
        tokens = usage.completion_tokens
        if not usage.exact:
            tokens = tokens_of(self._size)
        elif self.other_events:
            return None  # of several choices, whose tokens are counted together
        elif tokens is not None:
            if not self.reasoning_events:
                if usage.reasoning_tokens is None and hides_reasoning:
                    return None
                tokens -= usage.reasoning_tokens or 0
            elif usage.other_tokens:
                return None  # which may be the reasoning that was seen
            tokens -= usage.other_tokens or 0
        return tokens if tokens is not None and tokens >= 1 else None


def _joined(before: Usage, usage: Usage) -> Usage:
    """What several reports say together: the later one, with what only the earlier one says.

    Of one without any output (a cost alone, zeros at the end) the rest stays as it was.
    """
    if before.completion_tokens and not usage.completion_tokens:
        return before if usage.cost is None else msgspec.structs.replace(before, cost=usage.cost)
    kept = {name: getattr(before, name) for name in _OF_THE_PROMPT if getattr(usage, name) is None}
    return msgspec.structs.replace(usage, **kept) if kept else usage


_OF_THE_PROMPT: Final = (
    *("prompt_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "prompt_audio_tokens", "cost"),
)


def _named(usage: Usage) -> Usage:
    """It with the output that has no name as reasoning; where the total has no such output, reasoning is 0."""
    if usage.total_tokens is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return usage
    reasoning = (usage.reasoning_tokens or 0) + (usage.other_tokens or 0)
    return msgspec.structs.replace(usage, reasoning_tokens=reasoning, other_tokens=None)
