"""What is measured, as a value: its hash, and the schedule that is a pure function of its seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, get_args

import msgspec

from ...errors import SetupError
from ...facts import WIRES
from ...reply import TransportChoice
from .synthetic import IGNORES_EOS, UNFITTED, Synthetic
from .turns import Turn

Prompt = str | list[dict[str, Any]] | Synthetic | Turn

LIMITS: Final = ("ttft_ms", "tpot_ms", "e2e_s")
TRANSPORTS: Final = get_args(TransportChoice)
STREAMS_PER_PROCESS: Final = 100
"""A process reads about 10,000 chunks a second from many sockets; past some 100 streams its stamps would be late."""

_LONG_ANSWER_S: Final = 10.0
_LATER: Final[dict[str, Any]] = {
    "wire": "",
    "reuse": True,
    "own": {},
    "options": {},
    "pause": 0.0,
    "arrivals": None,
    "rate_to": None,
    "times": (),
    "caches": (),
    "until_decided": "",
}
CACHES: Final = ("cold", "warm")
"""A prompt that no cache has, and the same just after it, whose beginning one may have."""

_SAID: Final = ("names", "source", "fits")
"""What nobody asks for: a run goes on from a file of another name. Fits are found out by the run itself."""

_ENDS: Final = ("max_cost", "max_failures", "duration")
"""When a sitting ends before its time: a run is continued with others."""

MAX_FAILURES: Final = 20
"""Failures in a row after which an arm is taken for dead: by chance a service that fails half of the time does so once
in a million."""

MOST_REQUESTS: Final = 1_000_000
"""In a plan: their order is drawn before the first is sent, and all records are read at once."""

MOST_STREAMS: Final = 10_000
"""At once: 100 processes of about 100 streams."""

MOST_WARMUPS: Final = 1_000

_NO_SOCKET: Final = ("messages", "ws")
"""A pair that no service has: a row of it would be the one over `sse` once more."""

_json = msgspec.json.Encoder(order="deterministic").encode


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of whom, how often and how; two runs of one plan can be continued from one another.

    models: each `provider:model`.
    prompts: texts, lists of messages, synthetic ones, or the turns of conversations.
    repeats: requests for each model, way and prompt; 0 is without end.
    duration: s after which nothing new begins; what runs is finished.
    pause: s between a user's answer and the next request (closed loop), on average: evenly from 0 to twice as much.
    max_failures: failures in a row after which a model (in a way) is asked no more; None is never.
    until_decided: the figure in which two arms are compared while it runs, and whose paired difference, once it is
        clear, ends it; "" is none.
    concurrency: streams at once (closed loop); rate: requests a second of each arm (open loop). One of the two.
    arrivals: "poisson", "constant", or burstiness; None, in files of the first version, is one Poisson stream of that
        rate that is dealt over all arms. rate_to: the rate at the end of a ramp. times: when each prompt is asked, in s
        after the start (a trace): `rate` is then their mean rate.
    warmup: discarded requests for each worker, model and way before anything counts.
    limits: what a good request keeps: any of `ttft_ms`, `tpot_ms`, `e2e_s`.
    max_cost: USD; None is no limit.
    cache: whether repeats send the very same prompt, so that a service's prompt cache may answer; otherwise each
        repeat has a short prefix of its own.
    caches: `CACHES`, in which every model is asked in turns, or empty, which is as `cache` says.
    fits: of each model that synthetic prompts are fitted to, (tokens of an empty prompt, tokens of a word).
    retries, timeout (s), parameters, base_url: as for `Client` and its `stream`.
    transport: one of `TRANSPORTS`, or several. wire: one of `facts.WIRES`, or several; "" is each provider's own. Of
        several, each pair of a wire and a transport is a way, and every model is asked in every way; Messages have no
        WebSocket, and no such way.
    reuse: whether connections are kept from request to request; otherwise each request opens one of its own.
    own: addresses that are not the table's, by the provider's name in `models`, which is its host.
    options: how services were reached, as far as it is no secret: limits, and names of headers and of a query.
    simulator: "" or how the simulator ran ("simulator ×20"), where one did.
    names: what each prompt is called, or empty. source: what the prompts were read from, in words, or "".
    """

    models: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    repeats: int = 1
    concurrency: int | None = 1
    rate: float | None = None
    warmup: int = 1
    seed: int = 0
    limits: dict[str, float] = {}  # msgspec copies it
    max_cost: Decimal | None = None
    cache: bool = False
    retries: int = 0
    timeout: float | None = None
    parameters: dict[str, Any] = {}
    base_url: str | None = None
    transport: str | tuple[str, ...] = "sse"
    wire: str | tuple[str, ...] = ""
    simulator: str = ""
    reuse: bool = True
    own: dict[str, str] = {}
    options: dict[str, Any] = {}
    pause: float = 0.0
    duration: float | None = None
    max_failures: int | None = MAX_FAILURES
    names: tuple[str, ...] = ()
    source: str = ""
    arrivals: str | float | None = None
    rate_to: float | None = None
    times: tuple[float, ...] = ()
    caches: tuple[str, ...] = ()
    fits: dict[str, tuple[float, float]] = {}
    until_decided: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.transport, str) and len(self.transport) == 1:
            # One is one, however it was written: it is the same plan, with the same hash.
            msgspec.structs.force_setattr(self, "transport", self.transport[0])
        if not isinstance(self.wire, str) and len(self.wire) == 1:
            msgspec.structs.force_setattr(self, "wire", self.wire[0])
        flaw = _flaw(self)
        if flaw:
            raise SetupError(flaw)

    @property
    def hash(self) -> str:
        """12 hexadecimal digits for all but what ends it early, and what its prompts are called: a run that met
        max_cost is continued with a higher one.

        Fields that came after the first version are left out while they are as it was then: its files go on.
        """
        fields = msgspec.structs.asdict(self)
        fields["max_cost"] = None  # its place stays, as in the hashes of the first version
        for name in (*_ENDS[1:], *_SAID):
            del fields[name]
        kept = {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}
        parts = (b'"%s":%s' % (name.encode(), _json(value)) for name, value in kept.items())
        try:
            return hashlib.blake2b(b"{%s}" % b",".join(parts), digest_size=6).hexdigest()
        except UnicodeEncodeError:
            raise SetupError(
                "A prompt, or a field, holds half a character (a lone surrogate): nothing was sent."
            ) from None

    def split(self, model: str) -> tuple[str, str]:
        """The provider's name and the model's of one of `models`."""
        for name in sorted(self.own, key=len, reverse=True):
            if model.startswith(f"{name}:"):
                return name, model[len(name) + 1 :]
        name, _, rest = model.partition(":")
        return name, rest

    @property
    def requests(self) -> int:
        """How many requests count; warm-ups come on top. 0 where it has no end of its own."""
        return len(self.arms) * self.each

    @property
    def each(self) -> int:
        """How many of them each arm has."""
        return len(self.prompts) * self.repeats

    @property
    def total_rate(self) -> float:
        """Requests a second of all arms together (open loop), of a ramp at its highest; 0 in a closed loop."""
        rate = max(self.rate or 0.0, self.rate_to or 0.0)
        return rate if self.arrivals is None else rate * len(self.arms)

    @property
    def transports(self) -> tuple[str, ...]:
        return (self.transport,) if isinstance(self.transport, str) else self.transport

    @property
    def wires(self) -> tuple[str, ...]:
        return (self.wire,) if isinstance(self.wire, str) else self.wire

    @property
    def ways(self) -> dict[str, tuple[str, str]]:
        """(wire, transport) by its name: `ws`, `messages`, or `responses ws`, as there are several of either; and
        `cold` and `warm`, or `ws cold`, where caches are compared.
        """
        if not self.caches:
            return self._pairs
        pairs = self._pairs.items()
        return {cache if len(pairs) == 1 else f"{name} {cache}": pair for name, pair in pairs for cache in self.caches}

    @property
    def _pairs(self) -> dict[str, tuple[str, str]]:
        pairs = [(wire, transport) for wire in self.wires for transport in self.transports]
        pairs = [pair for pair in pairs if pair != _NO_SOCKET]
        if len(self.wires) == 1:
            return {transport: (wire, transport) for wire, transport in pairs}
        if len(self.transports) == 1:
            return {wire: (wire, transport) for wire, transport in pairs}
        return {f"{wire} {transport}": (wire, transport) for wire, transport in pairs}

    def cached(self, way: int) -> str:
        """Which of `caches` a way is, by its number; "" where there are none."""
        return self.caches[way % len(self.caches)] if self.caches else ""

    def filler(self, way: int) -> int | None:
        """The cold way whose text fills the cache for a warm one, by their numbers; None where nothing must."""
        return way - 1 if self.cached(way) == CACHES[1] else None

    @property
    def arms(self) -> dict[str, tuple[str, str]]:
        """What is compared: (model, way) by its name, which is the model's where there is one way."""
        return {self.arm(model, way): (model, way) for model in self.models for way in self.ways}

    def arm(self, model: str, way: str) -> str:
        """`provider:model`, or `provider:model · ws`."""
        return model if len(self.ways) == 1 else f"{model} · {way}"

    @property
    def workers(self) -> int:
        """Child processes that keep the number of streams of each at about 100."""
        streams = self.concurrency or int(self.total_rate * _LONG_ANSWER_S)
        return -(-max(1, min(streams, self.requests or streams)) // STREAMS_PER_PROCESS)

    def difference(self, other: Plan) -> list[str]:
        """Names of the fields in which two plans differ, but for what ends a run early, and what prompts are called."""
        names = [field for field in self.__struct_fields__ if field not in (*_ENDS, *_SAID)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def messages(self, prompt: int, repeat: int | str, way: int = 0, model: str = "") -> list[dict[str, Any]]:
        """What is sent: the prompt, with the prefix of its repeat unless caches may answer.

        All models get the same text for the same prompt and repeat: they are compared in pairs. A model asked in a
        second way gets another prefix of the same length: it has the first one's text in its cache. Only a warm way
        gets its cold one's. Synthetic prompts are as long as `model` counts. Of a turn it is what comes new with it.
        """
        asked, number = self.prompts[prompt], way // max(1, len(self.caches))
        label = f"{repeat} {list(self._pairs)[number]}" if number else f"{repeat}"
        is_kept = self.cache and isinstance(repeat, int)
        if isinstance(asked, Synthetic):
            shared, own = f"{self.seed} {prompt} {label}", f"{self.seed} {prompt} {label} {self.cached(way)}"
            if is_kept:
                shared, own = f"{self.seed}", f"{self.seed} {prompt} {repeat if asked.prefix_tokens else ''}"
            text = asked.text(shared, own if asked.prefix_tokens or not self.caches else shared, self.fit(model))
            return [{"role": "user", "content": text}]
        if isinstance(asked, Turn):
            system = [{"role": "system", "content": asked.system}] if asked.system else []
            messages, is_kept = [*system, {"role": "user", "content": asked.text}], is_kept or asked.number > 0
        else:
            messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        return messages if is_kept else _prefixed(messages, prefix(self.seed, prompt, label))

    def number(self, prompt: int) -> int | None:
        """Which turn of its conversation a prompt is, from 0; None where it is none."""
        asked = self.prompts[prompt]
        return asked.number if isinstance(asked, Turn) else None

    @property
    def units(self) -> list[range]:
        """The prompts that are asked together, one after another: each alone, or the turns of a conversation."""
        starts = [index for index in range(len(self.prompts)) if not self.number(index)]
        return [range(start, end) for start, end in pairwise([*starts, len(self.prompts)])]

    @property
    def in_a_row(self) -> float:
        """How many requests a user makes one after another, on average: turns, or a cold one and its warm one."""
        return len(self.prompts) / len(self.units) * max(1, len(self.caches))

    def fit(self, model: str) -> tuple[float, float]:
        """(tokens of an empty prompt, tokens of a word) of one of `models`."""
        return self.fits.get(model, UNFITTED)

    def parameters_of(self, prompt: int, model: str) -> dict[str, Any]:
        """The fields of a request: the plan's own, and those that make the answer to a synthetic prompt its length."""
        asked = self.prompts[prompt]
        if not isinstance(asked, Synthetic) or asked.output_tokens is None:
            return self.parameters
        length: dict[str, Any] = {"max_tokens": asked.output_tokens}
        if self.split(model)[0] in IGNORES_EOS:
            length["ignore_eos"] = True
        return {**length, **self.parameters}

    @property
    def output_tokens(self) -> int:
        """The most that an answer to synthetic prompts may have; 0 where there is no such limit."""
        limits = [prompt.output_tokens if isinstance(prompt, Synthetic) else None for prompt in self.prompts]
        return 0 if None in limits else max(limit for limit in limits if limit is not None)


def connections(plan: Plan) -> list[str]:
    """What is unusual about a run's connections, in words; of several ways, tables and charts have rows."""
    found = [] if plan.transport == "sse" or len(plan.transports) > 1 else [f"over {plan.transport}"]
    found += [f"as {plan.wire}"] if plan.wire and len(plan.wires) == 1 else []
    return found if plan.reuse else [*found, "a new connection for each request"]


def prefix(seed: int, prompt: int, repeat: int | str) -> str:
    """The few characters that make a repeat a prompt of its own to a prompt cache; the same seed gives the same."""
    return f"[{hashlib.blake2b(f'{seed} {prompt} {repeat}'.encode(), digest_size=4).hexdigest()}] "


def _prefixed(messages: Sequence[Mapping[str, Any]], text: str) -> list[dict[str, Any]]:
    first, *rest = ({**message} for message in messages)
    content = first.get("content")
    if isinstance(content, list):
        first["content"] = [{"type": "text", "text": text}, *content]
    else:
        first["content"] = f"{text}{content or ''}"
    return [first, *rest]


def _flaw(plan: Plan) -> str | None:
    if not plan.models:
        return "A bench needs at least one model."
    if len(set(plan.models)) < len(plan.models):
        return "A model is named twice: ask for more repeats instead."
    if not plan.prompts:
        return "A bench needs at least one prompt."
    if any(not isinstance(prompt, str | Synthetic | Turn) and not _are_messages(prompt) for prompt in plan.prompts):
        return 'A prompt is a text or a list of messages like {"role": "user", "content": "Hello"}.'
    if plan.names and len(plan.names) != len(plan.prompts):
        return "Prompts are named all or none."
    if plan.repeats < (0 if plan.duration is not None or plan.until_decided else 1):
        return f"repeats={plan.repeats}: give 1 or more, or a duration and repeats=None."
    if plan.until_decided and not plan.repeats and plan.duration is None and plan.max_cost is None:
        return "until='decided' never ends where there is no difference: give max_cost, duration or repeats too."
    if plan.duration is not None and not plan.duration > 0:
        return f"duration={plan.duration:g}: give seconds above 0."
    if plan.pause < 0 or (plan.pause and plan.rate is not None):
        return "pause is the seconds between a user's requests in a closed loop (concurrency), 0 or more."
    if plan.max_failures is not None and plan.max_failures < 1:
        return f"max_failures={plan.max_failures}: give 1 or more, or None to go on whatever fails."
    if (plan.concurrency is None) == (plan.rate is None):
        return "Give either concurrency (streams at once) or rate (requests a second)."
    if plan.concurrency is not None and plan.concurrency < 1:
        return f"concurrency={plan.concurrency}: give 1 or more."
    if plan.rate is not None and not plan.rate > 0:
        return f"rate={plan.rate:g}: give requests a second, above 0."
    if plan.rate is not None and any(isinstance(prompt, Turn) for prompt in plan.prompts):
        return "A conversation waits for its answers: give concurrency, the number of users, instead of rate."
    if plan.caches not in ((), CACHES):
        return 'cache is True, False, or ("cold", "warm"), which are compared.'
    if plan.caches and (plan.rate is not None or plan.cache):
        return "Cold and warm take turns, one after the other: give concurrency instead of rate, and no other cache."
    if plan.caches and any(isinstance(prompt, Turn) for prompt in plan.prompts):
        return "A conversation fills its own cache from turn to turn: leave cold and warm out."
    if plan.times and (len(plan.times) != len(plan.prompts) or plan.repeats != 1):
        return "A trace has a time for each of its prompts, and each is asked once: leave repeats out."
    if plan.rate_to is not None and not plan.repeats and plan.duration is None:
        return "A ramp has an end: give repeats, or a duration."
    if plan.warmup < 0 or plan.retries < 0:
        return "warmup and retries cannot be below 0."
    if unknown := set(plan.limits) - set(LIMITS):
        return f"There is no limit {', '.join(sorted(unknown))}: limits are {', '.join(LIMITS)}."
    if plan.max_cost is not None and not plan.max_cost > 0:
        return f"max_cost={plan.max_cost}: give US dollars above 0."
    if plan.wire == "":
        return _flaw_in("transport", plan.transports, TRANSPORTS) or _flaw_of_size(plan)
    return (
        _flaw_in("transport", plan.transports, TRANSPORTS)
        or _flaw_in("wire", plan.wires, WIRES)
        or _flaw_of_pairs(plan)
        or _flaw_of_size(plan)
    )


def _flaw_of_size(plan: Plan) -> str | None:
    if plan.requests > MOST_REQUESTS:
        return (
            f"This would be {plan.requests:,} requests, and a plan holds {MOST_REQUESTS:,}: ask less often, or give a "
            "duration and repeats=None."
        )
    if (plan.concurrency or 0) > MOST_STREAMS:
        return f"concurrency={plan.concurrency:,}: give {MOST_STREAMS:,} streams or fewer."
    if plan.warmup > MOST_WARMUPS:
        return f"warmup={plan.warmup:,}: give {MOST_WARMUPS:,} or fewer."
    return None


def _flaw_of_pairs(plan: Plan) -> str | None:
    wire, transport = _NO_SOCKET
    if wire in plan.wires and (
        plan.transports == (transport,) or (plan.wires == (wire,) and transport in plan.transports)
    ):
        return 'Messages have no WebSocket: ask them over transport="sse", or with wire="responses", which have one.'
    return None


def _flaw_in(name: str, given: Sequence[str], known: Sequence[str]) -> str | None:
    if strange := [each for each in given if each not in known]:
        return f"There is no {name} {strange[0]!r}: choose from {', '.join(known)}."
    if not given or len(set(given)) < len(given):
        return f"{name}={list(given)}: name each {name} once."
    return None


def _are_messages(prompt: Any) -> bool:
    return bool(prompt) and all(isinstance(message, Mapping) and "role" in message for message in prompt)
