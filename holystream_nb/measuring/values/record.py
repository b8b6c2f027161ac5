"""The lines of a run's file: JSON, each written as it is known, so that nothing is lost.

The first line is a Header: the plan with its hash, and the Session that ran it. A run that was resumed has a further
Session line, and what follows belongs to that one. Then Trials and Warmups in the order in which they ended, a
Calibration, and an End. While worker processes run, each appends to a part-file of its own beside this one
(`….part0-RUN`); the parent follows them. For workers that do not see this folder it writes theirs. Every line carries
the run's id: one of another run is never read. A line that was torn (a full disk, a killed process) is left out and
counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Final, get_args

import msgspec

from ...money.cost import due_usd
from ...money.exact import exactly
from ...parts import Opening
from ...timing import Timing
from .plan import Plan
from .schedule import Slot

SCHEMA: Final = 1
USAGE: Final = "usage"
"""Token counts that the service reported; `events` are counted here."""

_LIBRARIES: Final = ("httpx2", "httpcore2", "msgspec", "genai-prices")


class Session(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="session"):
    """One sitting: where and on what the plan ran.

    `origin_ns` is what all stamps of this session count from (ns of `time.perf_counter_ns` on this machine), and
    `wall_ns` the same moment in ns since 1970 by the system's clock: the anchor, read once.
    """

    number: int
    origin_ns: int
    wall_ns: int
    started: str
    versions: dict[str, str]
    python: str
    cpu: str
    cpus: int
    os: str
    event_loop: str
    addresses: dict[str, str]
    executor: str
    workers: int


class Header(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="header"):
    """The first line. `run` is the run's own id, which every line of it carries: "" in files of the first version."""

    schema: int
    plan: Plan
    plan_hash: str
    session: Session
    run: str = ""


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True, tag_field="kind", tag="trial"):
    """One request, as measured. Stamps are ns after the session's origin, None where there is none.

    `end` is when it was over: its last output, or its failure (None in files of the first version: see `over`).
    `reads` has the first distinct read that brought output and then the difference to each next one; `events` how many
    output events each brought, empty where it is one each. `error` is "" or an error's class; `retry_after` is in s.
    `usd` and `cny` are exact decimals, `stated_usd` is what the service itself says; `cost_exact` is False where a
    count or a price in ours is only likely. `price_note` is "" for a real price. Of a pair whose answers were compared,
    the later one has their `similarity`, and `unrelated`, which is that of answers to different prompts. `text` is the
    answer, where keeping it was asked for.
    `dns`, `tcp`, `tunnel` (a proxy's), `tls` and `upgrade` (a socket's) are how long each took where the connection was
    new (ns); `written` is when the request had been handed to the system.
    `ended` says in plain words how the service ended it, where that is not as answers end, and what of it is missing.
    `way` is the plan's name for the transport, or the format and the transport, that was asked for (in a file:
    `transport`); `wire` is the format it came in, `transport_used` the transport that brought it where it was another.
    `service` are the figures of the service itself, by the names of `service.FIGURES`.
    """

    model: str
    prompt: int
    repeat: int
    way: str = msgspec.field(default="sse", name="transport")
    wire: str = "chat"
    transport_used: str = ""
    session: int = 0
    worker: int = 0
    stream: int = 0
    submitted: int = 0
    scheduled: int | None = None
    permit: int | None = None
    sent: int | None = None
    headers: int | None = None
    first_answer: int | None = None
    end: int | None = None
    reads: list[int] = []  # msgspec copies it
    events: list[int] = []
    bytes: int = 0
    retries: int = 0
    resent: int = 0
    dns: int | None = None
    tcp: int | None = None
    tunnel: int | None = None
    tls: int | None = None
    upgrade: int | None = None
    written: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    other_tokens: int | None = None
    visible_tokens: int | None = None
    first_chunk_tokens: int = 1
    token_source: str = USAGE
    characters: int = 0
    finish_reason: str = ""
    ended: str = ""
    error: str = ""
    message: str = ""
    status: int | None = None
    retry_after: float | None = None
    usd: Decimal | None = None
    cny: Decimal | None = None
    stated_usd: Decimal | None = None
    cost_exact: bool = True
    price_source: str = ""
    price_as_of: str = ""
    price_note: str = ""
    response_id: str | None = None
    similarity: float | None = None
    unrelated: float | None = None
    text: str = ""
    service: dict[str, float] = {}

    @cached_property
    def timing(self) -> Timing:
        """The figures, by the one definition there is of each; made once."""
        opening = Opening(self.dns, self.tcp, self.tunnel, self.tls, self.upgrade)
        return Timing(
            submitted=self.submitted,
            scheduled=self.scheduled,
            permit=self.permit,
            sent=self.sent,
            headers=self.headers,
            first_answer=self.first_answer,
            reads=array("q", self.read_stamps()),
            events=array("I", self.events or [1] * len(self.reads)),
            bytes=self.bytes,
            retries=self.retries,
            resent=self.resent,
            opening=None if self.tcp is self.upgrade is None else opening,
            written=self.written,
            output_tokens=self.output_tokens,
            visible_tokens=self.visible_tokens,
            first_chunk_tokens=self.first_chunk_tokens,
        )

    @property
    def is_counted(self) -> bool:
        """Whether the service counted its tokens."""
        return self.token_source == USAGE

    @property
    def due_usd(self) -> Decimal | None:
        """What sums and limits reckon with: the service's own word, else our sum (see `Cost.due_usd`)."""
        return due_usd(self.usd, self.stated_usd)

    @property
    def begun(self) -> int:
        """When it went out, or was asked for where it never did, in ns after the session's origin."""
        return self.submitted if self.sent is None else self.sent

    @property
    def over(self) -> int:
        """When it was over, in ns after the session's origin."""
        if self.end is not None:
            return self.end
        return sum(self.reads) if self.reads else (self.headers or self.sent or self.submitted)

    def read_stamps(self) -> Iterator[int]:
        """The distinct reads, in ns after the session's origin."""
        return accumulate(self.reads)


class Warmup(Trial, frozen=True, kw_only=True, omit_defaults=True, tag="warmup"):
    """A request that warmed a worker: kept, and kept apart."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="calibration"):
    """The timing error of a client path, in ms: |measured − true| at p50, p95 and p99.

    `ttft_ms`, `e2e_ms` and `gap_ms` each hold the three; `gap_ms` is None where every answer came in one read.
    `requests` is how many were compared; `tokens_per_s` the rate of each stream; `own` whether these are the run's own
    requests (to a simulator) or a run like it. `ttft_ms_by_transport` has TTFT's three for each
    way of several (see `Plan.ways`). `intervals` has, for `ttft`, `e2e`, `gap` and `ttft ` with each way, the 95 %
    intervals of the three, None where the requests were too few for one (files of the first version have none).
    """

    concurrency: float
    workers: int
    requests: int
    tokens_per_s: float
    ttft_ms: tuple[float, float, float]
    e2e_ms: tuple[float, float, float]
    gap_ms: tuple[float, float, float] | None
    own: bool = False
    ttft_ms_by_transport: dict[str, tuple[float, float, float]] = {}  # msgspec copies it
    intervals: dict[str, tuple[tuple[float, float] | None, ...]] = {}


class Trip(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="trip"):
    """One round trip to a provider, measured beside the run by the parent process.

    `at` is when (ns after the session's origin). `tcp` and `tls` are ns (see `wire.trip.RoundTrip`), `via` is "proxy"
    where they end at one, `error` "" or a class.
    """

    provider: str
    session: int
    at: int
    tcp: int | None = None
    tls: int | None = None
    via: str = ""
    error: str = ""


class Begun(msgspec.Struct, frozen=True, tag_field="kind", tag="begun"):
    """A worker begins a request now, `at` ns after the session's origin. In part-files only."""

    slot: Slot
    at: int


class Leased(msgspec.Struct, frozen=True, tag_field="kind", tag="leased"):
    """A worker was told to make a request, and may begin it before anybody hears of it. In part-files only, of workers
    that write none themselves."""

    slot: Slot


class Lost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="lost"):
    """A request that was sent and whose end nobody saw: its worker died, or the run was stopped.

    begun: when, in ns after the session's origin; None where only that it may have been is known. usd: what it counts
    as, which is its cost at worst. why: in words.
    """

    model: str
    prompt: int
    repeat: int
    way: str = msgspec.field(default="sse", name="transport")
    session: int = 0
    worker: int = 0
    begun: int | None = None
    usd: Decimal | None = None
    why: str = ""


class Broken(msgspec.Struct, frozen=True, tag_field="kind", tag="broken"):
    """A worker ended by an exception: its class, what it says, and where in our code it came from."""

    worker: int
    error: str
    message: str
    where: str


class Ready(msgspec.Struct, frozen=True, tag_field="kind", tag="ready"):
    """A worker has warmed up. `error` and `message` are those of a warm-up that nothing can follow."""

    worker: int
    error: str = ""
    message: str = ""


class Done(msgspec.Struct, frozen=True, tag_field="kind", tag="done"):
    """A worker has ended, and this is what it did not begin."""

    worker: int
    rest: list[Slot] = []  # msgspec copies it


class End(msgspec.Struct, frozen=True, tag_field="kind", tag="end"):
    """The session has ended: complete, decided, stopped (by the user), cancelled, max_cost, duration, failures, failed.

    `losses` has a sentence for each worker that died before its end, `stops` one for each arm that was asked no more.
    """

    session: int
    reason: str
    losses: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()


class Contents(msgspec.Struct, frozen=True):
    """What a file holds. `torn` counts the lines that could not be read, `foreign` those of another run, and `begun`
    the requests that part-files say were begun, but not how they ended: the run goes on, or it broke off.

    `trials` has one for each slot: the first, but one that failed gives way to a later session's, and is in `retried`.
    """

    header: Header
    sessions: tuple[Session, ...]
    trials: tuple[Trial, ...]
    warmups: tuple[Warmup, ...]
    calibration: Calibration | None
    ends: tuple[End, ...]
    torn: int
    trips: tuple[Trip, ...] = ()
    lost: tuple[Lost, ...] = ()
    retried: tuple[Trial, ...] = ()
    foreign: int = 0
    begun: int = 0

    @property
    def spent(self) -> Decimal:
        """All that counts as paid so far, in USD: answers, warm-ups, failures made again, and what was lost."""
        made = (*self.trials, *self.warmups, *self.retried)
        with exactly():
            paid = sum((each.due_usd or Decimal(0) for each in made), Decimal(0))
            return paid + sum((each.usd or Decimal(0) for each in self.lost), Decimal(0))


Line = Header | Session | Trial | Warmup | Lost | Calibration | Trip | End | Ready | Leased | Begun | Done | Broken

encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Line)


class Unknown(msgspec.Struct, frozen=True):
    """A whole line of a kind that a later version writes."""

    kind: str


_KINDS: Final = frozenset(kind.__struct_config__.tag for kind in get_args(Line))
_any_kind: Final = msgspec.json.Decoder(Unknown)


def decode(line: bytes) -> Line | Unknown | None:
    """One line; None for one that was torn."""
    try:
        known: Line = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _of_a_later_version(line)
    return known


def _of_a_later_version(line: bytes) -> Unknown | None:
    try:
        found = _any_kind.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return None if found.kind in _KINDS else found
