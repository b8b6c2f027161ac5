"""What a stream is made of.

Every event carries `read`: the moment, in nanoseconds of `time.perf_counter_ns`, at which the network read that brought
it returned, before anything was decoded (see `timing`).

The events are `msgspec.Struct` and not dataclasses: one is made per token, and a frozen Struct is made about six times
faster than a frozen dataclass.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Text(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A piece of the answer (also of a refusal)."""

    text: str
    read: int


class Reasoning(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A piece of the model's reasoning, whatever field it came in."""

    text: str
    read: int


class ToolCallPart(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A piece of a tool call; `index` (0, 1, …) tells the calls of one answer apart.

    `id` and `name` are "" where this part does not bring them; `arguments` is a piece of JSON text.
    """

    index: int
    id: str
    name: str
    arguments: str
    read: int


class ToolCallEnd(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The call of that `index` is complete: it can be run. Only a socket says so; its result goes back there."""

    index: int
    read: int


class OtherChoice(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A piece of another choice (`n` > 1): kept, never mixed into the answer."""

    choice: int
    text: str
    read: int


class Usage(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Tokens of a request. None is unknown; `exact` is False where they were counted here and not reported.

    `completion_tokens` includes `reasoning_tokens` and `other_tokens`, output that is billed and has no name;
    `prompt_tokens` includes `cached_tokens` and `cache_write_tokens`, which include `cache_write_1h_tokens`, those that
    are kept for an hour. Of both, `prompt_audio_tokens` and `completion_audio_tokens` are sound; `web_searches` are
    paid for each, beside the tokens. `total_tokens` is the service's own sum, `cost` what it says it cost (USD).
    `uncounted` says that the model hides its reasoning and nobody has counted it: more may be billed than stands here.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    exact: bool = True
    read: int = 0
    cache_write_tokens: int | None = None
    other_tokens: int | None = None
    cost: Decimal | None = None
    cache_write_1h_tokens: int | None = None
    prompt_audio_tokens: int | None = None
    completion_audio_tokens: int | None = None
    web_searches: int | None = None
    uncounted: bool = False


class Finish(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The service's own word for why the answer ended: stop, length, tool_calls, content_filter, …"""

    reason: str
    read: int


Event = Text | Reasoning | ToolCallPart | ToolCallEnd | OtherChoice | Usage | Finish
