"""What is measured, as a value: its hash, and the schedule that is a pure function of its seed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final, get_args

import msgspec

from ..client import kinds
from ..errors import SetupError
from ..facts import WIRES
from ..reply import TransportChoice

Prompt = str | list[dict[str, Any]]

LIMITS: Final = ("ttft_ms", "tpot_ms", "e2e_s")
TRANSPORTS: Final = get_args(TransportChoice)
STREAMS_PER_PROCESS: Final = 100
"""A process reads about 10,000 chunks a second from many sockets; past some 100 streams its stamps would be late."""

_START_S: Final = 0.010
_PAUSE_S: Final = 0.025
_LONG_ANSWER_S: Final = 10.0
_LATER: Final[dict[str, Any]] = {"wire": "", "reuse": True, "own": {}, "options": {}}


_NO_SOCKET: Final = ("messages", "ws")
"""A pair that no service has: a row of it would be the one over `sse` once more."""

_json = msgspec.json.Encoder(order="deterministic").encode


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """One request to make: indices of its model, prompt and way, its repeat, and when.

    `wait_s` is a pause before the request (closed loop), or the time since the slot before it (open loop).
    """

    model: int
    prompt: int
    repeat: int
    wait_s: float
    way: int = 0

    @property
    def id(self) -> tuple[int, int, int, int]:
        return self.model, self.prompt, self.repeat, self.way


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of whom, how often and how; two runs of one plan can be continued from one another.

    models: each `provider:model`.
    prompts: texts, or lists of messages.
    repeats: requests for each model, way and prompt.
    concurrency: streams at once (closed loop); rate: requests a second (open loop, Poisson). One of the two.
    warmup: discarded requests for each worker, model and way before anything counts.
    limits: what a good request keeps: any of `ttft_ms`, `tpot_ms`, `e2e_s`.
    max_cost: USD; None is no limit.
    cache: whether repeats send the very same prompt, so that a service's prompt cache may answer; otherwise each
        repeat has a short prefix of its own.
    retries, timeout (s), parameters, base_url: as for `Client` and its `stream`.
    transport: one of `TRANSPORTS`, or several. wire: one of `facts.WIRES`, or several; "" is each provider's own. Of
        several, each pair of a wire and a transport is a way, and every model is asked in every way; Messages have no
        WebSocket, and no such way.
    reuse: whether connections are kept from request to request; otherwise each request opens one of its own.
    own: addresses that are not the table's, by the provider's name in `models`, which is its host.
    options: how services were reached, as far as it is no secret: limits, and names of headers and of a query.
    simulator: "" or how the simulator ran ("simulator ×20"), where one did.
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
        """12 hexadecimal digits for everything but `max_cost`: a run that met it is continued with a higher one.

        Fields that came after the first version are left out while they are as it was then: its files go on.
        """
        fields = msgspec.structs.asdict(msgspec.structs.replace(self, max_cost=None))
        kept = {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}
        parts = (b'"%s":%s' % (name.encode(), _json(value)) for name, value in kept.items())
        return hashlib.blake2b(b"{%s}" % b",".join(parts), digest_size=6).hexdigest()

    def split(self, model: str) -> tuple[str, str]:
        """The provider's name and the model's of one of `models`."""
        for name in sorted(self.own, key=len, reverse=True):
            if model.startswith(f"{name}:"):
                return name, model[len(name) + 1 :]
        name, _, rest = model.partition(":")
        return name, rest

    @property
    def requests(self) -> int:
        """How many requests count; warm-ups come on top."""
        return len(self.arms) * len(self.prompts) * self.repeats

    @property
    def transports(self) -> tuple[str, ...]:
        return (self.transport,) if isinstance(self.transport, str) else self.transport

    @property
    def wires(self) -> tuple[str, ...]:
        return (self.wire,) if isinstance(self.wire, str) else self.wire

    @property
    def ways(self) -> dict[str, tuple[str, str]]:
        """(wire, transport) by its name: `ws`, `messages`, or `responses ws`, as there are several of either."""
        pairs = [(wire, transport) for wire in self.wires for transport in self.transports]
        pairs = [pair for pair in pairs if pair != _NO_SOCKET]
        if len(self.wires) == 1:
            return {transport: (wire, transport) for wire, transport in pairs}
        if len(self.transports) == 1:
            return {wire: (wire, transport) for wire, transport in pairs}
        return {f"{wire} {transport}": (wire, transport) for wire, transport in pairs}

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
        streams = self.concurrency or int((self.rate or 0) * _LONG_ANSWER_S)
        return -(-max(1, min(streams, self.requests)) // STREAMS_PER_PROCESS)

    def difference(self, other: Plan) -> list[str]:
        """Names of the fields in which two plans differ, but for `max_cost`."""
        names = [field for field in self.__struct_fields__ if field != "max_cost"]
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def messages(self, prompt: int, repeat: int | str, way: int = 0) -> list[dict[str, Any]]:
        """What is sent: the prompt, with the prefix of its repeat unless caches may answer.

        All models get the same text for the same prompt and repeat: they are compared in pairs. A model asked in a
        second way gets another prefix of the same length: it has the first one's text in its cache.
        """
        asked = self.prompts[prompt]
        messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        if self.cache and isinstance(repeat, int):
            return messages
        label = f"{repeat} {list(self.ways)[way]}" if way else repeat
        return _prefixed(messages, prefix(self.seed, prompt, label))


def transports_of(transport: object) -> tuple[str, ...]:
    """Transports as they are given: one, or several."""
    return _several("transport", transport, TRANSPORTS)


def wires_of(wire: object) -> tuple[str, ...]:
    """Wire formats as they are given: none (each provider's own), one, or several."""
    return ("",) if wire is None else _several("wire", wire, WIRES)


def _several(name: str, given: object, known: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise SetupError(f"{name} is {kinds.kind(given)}: give one or a list of {', '.join(known)}.")
    return tuple(given)


def prompts_of(door: str, prompts: object) -> tuple[Prompt, ...]:
    """Prompts as they are given: a text, or a list of texts and of lists of messages.

    Raises SetupError for what is neither; a single list of messages is one prompt only inside of a list.
    """
    if isinstance(prompts, str):
        kinds.messages(prompts)
        return (prompts,)
    example = 'like ["Hello", [{"role": "user", "content": "Hello"}]]'
    if not isinstance(prompts, list | tuple) or not prompts:
        raise SetupError(
            f"The prompts of {door} are {kinds.kind(prompts)}: give a text, or a list of texts or lists of messages, "
            f"{example}."
        )
    if all(isinstance(each, Mapping) for each in prompts):
        raise SetupError(f"The prompts of {door} are messages: put them into a list of prompts, {example}.")
    return tuple(each if isinstance(each, str) and kinds.messages(each) else kinds.messages(each) for each in prompts)


def limits_of(limits: object) -> dict[str, float]:
    """What a good request keeps, by names among `LIMITS`."""
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise SetupError(f"limits is {kinds.kind(limits)}: give a mapping like {{'ttft_ms': 500}}.")
    return {str(name): kinds.number(f"The limit {name}", limit, above=0) for name, limit in limits.items()}


def connections(plan: Plan) -> list[str]:
    """What is unusual about a run's connections, in words; of several ways, tables and charts have rows."""
    found = [] if plan.transport == "sse" or len(plan.transports) > 1 else [f"over {plan.transport}"]
    found += [f"as {plan.wire}"] if plan.wire and len(plan.wires) == 1 else []
    return found if plan.reuse else [*found, "a new connection for each request"]


def prefix(seed: int, prompt: int, repeat: int | str) -> str:
    """The few characters that make a repeat a prompt of its own to a prompt cache; the same seed gives the same."""
    return f"[{hashlib.blake2b(f'{seed} {prompt} {repeat}'.encode(), digest_size=4).hexdigest()}] "


def schedule(plan: Plan) -> list[list[Slot]]:
    """Every request in order, in blocks: one block is one prompt and repeat, asked of every model in every way.

    Blocks are in random order, and so are the requests in each: models and ways take turns, and what is compared in
    pairs is asked at nearly the same time.
    """
    rng = Random(f"schedule {plan.seed}")  # noqa: S311  # an order, not a secret
    pairs = [(prompt, repeat) for prompt in range(len(plan.prompts)) for repeat in range(plan.repeats)]
    rng.shuffle(pairs)
    blocks = []
    for prompt, repeat in pairs:
        arms = [(model, way) for model in range(len(plan.models)) for way in range(len(plan.ways))]
        rng.shuffle(arms)
        blocks.append([Slot(model, prompt, repeat, _wait(plan, rng), way) for model, way in arms])
    return blocks


def _wait(plan: Plan, rng: Random) -> float:
    if plan.rate is not None:
        return rng.expovariate(plan.rate)
    return rng.uniform(0, _PAUSE_S) if (plan.concurrency or 1) > 1 else 0.0


class Share(msgspec.Struct, frozen=True):
    """What one worker does. `starts` has the first moment of each of its streams, in s after the start (closed loop).

    In an open loop `starts` is empty and every slot's `wait_s` is its time after the start.
    """

    worker: int
    starts: tuple[float, ...]
    slots: tuple[Slot, ...]


def shares(plan: Plan, workers: int, done: Collection[tuple[int, int, int, int]] = ()) -> list[Share]:
    """The schedule without what is `done`, dealt to workers: whole blocks, so that pairs stay in one process.

    Streams start one after another, about 10 ms apart: replies that begin together end together, and then restart
    together, and that would measure the client.
    """
    blocks = [[slot for slot in block if slot.id not in done] for block in schedule(plan)]
    blocks = [block for block in blocks if block]
    if plan.rate is not None:
        blocks = _due(blocks)
    workers = max(1, min(workers, len(blocks), plan.concurrency or workers))
    rng = Random(f"starts {plan.seed}")  # noqa: S311
    streams = plan.concurrency or 0
    starts = [(index + rng.random()) * _START_S for index in range(streams)] if streams > 1 else [0.0] * streams
    dealt: list[list[Slot]] = [[] for _ in range(workers)]
    for index, block in enumerate(blocks):
        dealt[index % workers] += block
    return [Share(worker, tuple(starts[worker::workers]), tuple(slots)) for worker, slots in enumerate(dealt)]


def _due(blocks: Sequence[Sequence[Slot]]) -> list[list[Slot]]:
    """The same slots with `wait_s` from the start on."""
    clock = 0.0
    timed = []
    for block in blocks:
        row = []
        for slot in block:
            clock += slot.wait_s
            row.append(msgspec.structs.replace(slot, wait_s=clock))
        timed.append(row)
    return timed


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
    if any(not isinstance(prompt, str) and not _are_messages(prompt) for prompt in plan.prompts):
        return 'A prompt is a text or a list of messages like {"role": "user", "content": "Hello"}.'
    if plan.repeats < 1:
        return f"repeats={plan.repeats}: give 1 or more."
    if (plan.concurrency is None) == (plan.rate is None):
        return "Give either concurrency (streams at once) or rate (requests a second)."
    if plan.concurrency is not None and plan.concurrency < 1:
        return f"concurrency={plan.concurrency}: give 1 or more."
    if plan.rate is not None and not plan.rate > 0:
        return f"rate={plan.rate:g}: give requests a second, above 0."
    if plan.warmup < 0 or plan.retries < 0:
        return "warmup and retries cannot be below 0."
    if unknown := set(plan.limits) - set(LIMITS):
        return f"There is no limit {', '.join(sorted(unknown))}: limits are {', '.join(LIMITS)}."
    if plan.max_cost is not None and not plan.max_cost > 0:
        return f"max_cost={plan.max_cost}: give US dollars above 0."
    if plan.wire == "":
        return _flaw_in("transport", plan.transports, TRANSPORTS)
    return (
        _flaw_in("transport", plan.transports, TRANSPORTS)
        or _flaw_in("wire", plan.wires, WIRES)
        or _flaw_of_pairs(plan)
    )


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
