"""hs.bench: from what is asked to a Result, with everything on disk as it happens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from decimal import Decimal
from inspect import signature
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec

from .. import kinds
from ..client.options import client_options
from ..errors import SetupError
from ..providers.secret import sealing
from .carry import as_begun, carry_out, file_of, measured_fields, seed_of
from .figures.comparison import WORDS
from .result import Result
from .running import addresses, executors
from .running.addresses import Model
from .running.estimate import check_forms
from .running.worker import Answers
from .values.arrivals import arrivals_of, rates_of
from .values.folder import path_of
from .values.given import limits_of, repeats_of, transports_of, wires_of
from .values.journal import read
from .values.plan import MAX_FAILURES, Plan
from .values.prompts import read_prompts

_SHORTEST_TRACE_S: Final = 1.0
Until = Literal["decided"]


@sealing("models")
async def bench(
    models: Model | Sequence[Model] | None = None,
    prompts: Any = None,
    *,
    repeats: int | None = None,
    duration: kinds.Span | None = None,
    until: Until | None = None,
    metric: str = "ttft_ms",
    concurrency: int | None = None,
    pause: float = 0.0,
    rate: float | tuple[float, float] | None = None,
    arrivals: str | float | None = None,
    warmup: int = 1,
    seed: int | None = None,
    limits: Mapping[str, float] | None = None,
    max_cost: Decimal | float | str | None = None,
    max_failures: int | None = MAX_FAILURES,
    cache: bool | tuple[str, str] = False,
    retries: int = 0,
    timeout: float | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    key_variable: str | None = None,
    key_header: str | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    ca: str | Path | None = None,
    cert: str | Path | tuple[str | Path, str | Path] | None = None,
    connect_timeout: float | None = None,
    inactivity: float | None = None,
    progress_timeout: float | None = None,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    transport: str | Sequence[str] = "sse",
    wire: str | Sequence[str] | None = None,
    reuse: bool = True,
    executor: Executor | None = None,
    workers: int | None = None,
    path: str | Path | None = None,
    resume: str | Path | None = None,
    retry_failed: bool = False,
    calibrate: bool = True,
    answers: bool = False,
    parameters: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Result:
    """Measures models in child processes, while this one only draws, and returns what they did.

    models: each `model`, at the session's service (`%stream config` says which), or `provider:model`. Or at an
        address of its own: `"http://127.0.0.1:8080/v1:MODEL"`, `("http://127.0.0.1:8080/v1", "MODEL")`, or a mapping
        with `model` and the options of a Client, `{"base_url": …, "model": …, "key_variable": …}`. A model left out is
        the server's only one. Those of a host that no table has are called by it.
    prompts: every model is asked each of them `repeats` times, in random order, in turns. A text; a list of texts or of
        lists of messages; a Series or an array; a DataFrame, pyarrow Table or `datasets.Dataset` with a column prompt,
        messages, conversations, question or text; or a file (CSV, JSON Lines, JSON; a .txt has a prompt a line): a
        Path, its name, or any text that ends in .csv, .tsv, .jsonl or .json; see `values.prompts`. Or a workload by its
        lengths: `hs.synthetic`, `hs.trace`. Conversations, each turn of which waits for the answer before:
        `hs.Conversation`, or a ChatPanel, whose questions are asked again.
    repeats: by default 1; with a duration, or until, without end.
    duration: seconds, or "10s", "30min", "2h", after which nothing new begins; what runs is finished.
    until: "decided" asks two models, or one in two ways, pair after pair until the difference in `metric` is clear, or
        `max_cost`, `duration` or `repeats` ends it: one of these it needs. Looking after every pair is reckoned with:
        where there is no difference, at most 5 of 100 such runs find one. The timing error, which is measured
        afterwards, may still be larger than what was found; the result says so.
    metric: what until decides by: one of `figures.comparison.WORDS`.
    transport: "sse", "ws" or "auto", or several: every model is then asked over each of them in turns, and the result
        has a row for each model and transport, such as `deepseek-v3.2 · ws`.
    wire: "chat", "messages" or "responses", or several, in the same way: `deepseek-v3.2 · messages`; of several wires
        and transports each pair is a row, `deepseek-v3.2 · responses ws`, but for Messages, which have no WebSocket. By
        default each provider's own.
    reuse: whether connections are kept, as a client keeps them; False opens one for every request, whose cost is
        `connect_ms`.
    concurrency: streams at once (closed loop, the default with 1): so many users, who ask again when they are answered.
    rate: requests a second of each model and way (open loop), whatever becomes of them: three models at rate=2 are six
        requests a second. A pair, (1, 10), is a ramp from the first to the second over the run.
    arrivals: how they come at that rate: "poisson" (the default) as from many users who do not know of each other,
        independently for each model and way; "constant"; or a number, their burstiness: the shape of gamma-distributed
        distances, as vLLM's --burstiness. 1 is Poisson, 0.2 comes in bursts, 10 is nearly even.
    pause: seconds between a user's answer and the next request, on average: evenly from 0 to twice as much. 0 by
        default: a user of a closed loop asks again at once.
    warmup: discarded requests for each worker, model, transport and wire before anything counts.
    seed: of order, arrivals and prefixes; random if not given. The same seed sends the same requests again.
    limits: what a good request keeps: any of `ttft_ms`, `tpot_ms`, `e2e_s`.
    max_cost: USD. What is foreseen to cost more is refused before anything is sent; what turns out to, is not sent. The
        session's budget (`%config StreamMagics.session_budget`) holds in the same way.
    max_failures: failures in a row after which a model (in a way) is asked no more, while the others go on; what then
        runs is finished, so that with more streams than this as many fail. None is never.
    cache: whether a service's prompt cache may answer repeats; otherwise each has a short prefix of its own. With
        ("cold", "warm") every model is asked each prompt twice in a row, first with a beginning that no cache has, then
        with the same: rows `model · cold` and `model · warm` (closed loop). Where the cold one failed, or was made in
        an earlier sitting, it is made again first, kept among the warm-ups; if that fails too, so did the warm one.
    retries: 0 by default: a 429 is a failure. Its pause is obeyed.
    timeout: limit on each answer, in seconds.
    base_url … tokens_per_minute: as for `Client`, and for all workers together. The first minute's worth of
        requests_per_minute may go at once; no 60 s ever hold more. Keys, and the values of headers and of
        the query, go to the local workers through their standard input and are in no file.
    fields, parameters: as for `Client.stream` (temperature, max_tokens, …).
    executor: a `concurrent.futures.Executor` of processes, here or on a cluster, instead of the local pool: Dask's
        `client.get_executor()`, ProcessPoolExecutor, loky, ipyparallel's `view.executor`. Its workers are handed no
        key: they read the variable of theirs. Threads, hidden ones too, are refused: they would share the interpreter
        with the drawing. Workers are told and heard while they work, on Dask by its own calls and events, elsewhere by
        files beside the run's; where they do not see those, they get batches of a second. Others take over from a
        killed worker; where it breaks the pool (ProcessPoolExecutor, loky), the rest is missing, and resume= makes it.
    workers: processes; all that the executor has, or locally one for every 100 streams.
    path: the file of the run (JSON Lines); by default one of its own in the user's data folder.
    resume: the file of a run of this very plan, of which only what is missing is made. Without models and prompts the
        plan is the file's, and only what is in no file (keys, headers, limits on a minute, an executor) or ends a run
        (duration, max_cost, max_failures) is given with it. A request that failed is not missing; with retry_failed it
        is made again, and then the newer one counts.
    answers: keeps the answers in the run's file on this machine, for `result.answers()` and `result.vote()`. By default
        they are written nowhere.
    calibrate: whether to measure the timing error afterwards (a few seconds, on the simulator).

    Stop in its view ends the run and returns what is there; a cancellation (■) ends it within a second (an executor's
    within two) and leaves what is there in the file. What was in flight is listed as lost, and counted as paid.

    Raises SetupError for what cannot be, and MissingKey, before anything is sent; what fails later is in the records.
    """
    before = None if resume is None else read(path_of(resume))
    held = before.header.plan if before is not None and models is None and prompts is None else None
    if held is not None:
        told = [name for name, value in locals().items() if name in _PLANNED and value != _DEFAULTS[name]]
        if more := [*told, *fields]:
            raise SetupError(f"{more[0]} is as the file of resume says: leave it out, or give models and prompts too.")
    asked = measured_fields("hs.bench", fields, parameters, names=KEYWORDS)
    options = client_options(
        base_url=base_url,
        api_key=api_key,
        key_variable=key_variable,
        key_header=key_header,
        headers=headers,
        query=query,
        ca=ca,
        cert=cert,
        connect_timeout=connect_timeout,
        inactivity=inactivity,
        progress_timeout=progress_timeout,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
    )
    workers = kinds.optional_count("workers", workers, least=1)
    kinds.switch("calibrate", calibrate)
    kept: Answers = "only kept" if kinds.switch("answers", answers) else "dropped"
    executors.check(executor)
    if held is not None:
        models, options = addresses.again(held, options)
        wanted = msgspec.structs.replace(
            held,
            duration=held.duration if duration is None else kinds.span("duration", duration),
            max_cost=held.max_cost if max_cost is None else kinds.money("max_cost", max_cost),
            max_failures=held.max_failures
            if max_failures == MAX_FAILURES
            else kinds.optional_count("max_failures", max_failures, least=1),
        )
    else:
        read_in = read_prompts("hs.bench", prompts)
        per_second, at_end = rates_of(rate)
        if read_in.times:
            if concurrency is not None or rate is not None or arrivals is not None:
                raise SetupError(
                    "A trace has times of its own: give hs.bench no concurrency, rate or arrivals with it."
                )
            per_second, arrivals = len(read_in.times) / max(read_in.times[-1], _SHORTEST_TRACE_S), "poisson"
        compared = tuple(map(str, cache)) if isinstance(cache, list | tuple) else None
        wanted = Plan(
            models=("to be located",),
            prompts=read_in.prompts,
            names=read_in.names,
            source=read_in.source,
            repeats=repeats_of(repeats, is_endless=duration is not None or until is not None),
            duration=kinds.optional_span("duration", duration),
            pause=kinds.number("pause", pause, unit="seconds"),
            max_failures=kinds.optional_count("max_failures", max_failures, least=1),
            times=read_in.times,
            concurrency=1
            if concurrency is None and per_second is None
            else kinds.optional_count("concurrency", concurrency),
            rate=per_second,
            rate_to=at_end,
            arrivals=arrivals_of(arrivals, per_second, None if before is None else before.header.plan),
            warmup=kinds.count("warmup", warmup),
            seed=seed_of(kinds.optional_count("seed", seed), before),
            limits=limits_of(limits),
            max_cost=kinds.optional_money("max_cost", max_cost),
            cache=kinds.switch("cache", cache) if compared is None else False,
            caches=compared or (),
            retries=kinds.count("retries", retries),
            timeout=kinds.optional_seconds("timeout", timeout),
            parameters=asked,
            base_url=options.base_url,
            transport=transports_of(transport),
            wire=wires_of(wire),
            reuse=kinds.switch("reuse", reuse),
            until_decided=_decided_by(until, metric),
        )
    located = await addresses.locate("hs.bench", models, options)
    plan = located.planned(wanted)
    if plan.until_decided and len(plan.arms) != 2:
        raise SetupError(
            f"until='decided' compares two, and here are {len(plan.arms)}: name two models, or one in two ways."
        )
    if plan.until_decided and any(plan.number(prompt) for prompt in range(len(plan.prompts))):
        raise SetupError("until='decided' takes prompts by chance; a conversation's turns come in order: leave it out.")
    check_forms(plan)
    plan = as_begun(plan, before)
    file = file_of(plan, path, resume, before)
    return await carry_out(
        plan,
        located,
        file,
        before,
        executor=executor,
        workers=workers,
        calibrate=calibrate,
        retry_failed=kinds.switch("retry_failed", retry_failed),
        answers=kept,
    )


def _decided_by(until: Until | None, metric: str) -> str:
    kinds.choice("metric", metric, WORDS)
    return "" if until is None else metric if kinds.choice("until", until, get_args(Until)) else ""


_DEFAULTS: Final = {name: each.default for name, each in signature(bench).parameters.items()}
_PLANNED: Final = (
    *("repeats", "until", "metric", "concurrency", "pause", "rate", "arrivals", "warmup", "seed", "limits", "cache"),
    *("retries", "timeout", "base_url", "connect_timeout", "inactivity", "progress_timeout", "transport", "wire"),
    *("reuse", "parameters"),
)
"""What a run's file says of its plan."""

KEYWORDS: Final = frozenset(signature(bench).parameters) - {"fields"}


def check_fields(door: str, keywords: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raises SetupError for keywords that `bench` would refuse; `names` are those of the door they were given to."""
    if "until" in keywords or "metric" in keywords:
        raise SetupError(f"{door} ends by its own rules: it is hs.bench that goes on until two models are decided.")
    fields = {name: value for name, value in keywords.items() if name not in KEYWORDS}
    measured_fields(door, fields, keywords.get("parameters"), names=names)
