"""What to know before believing a figure: sentences that every table of a result carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Final

from ...timing import GROUPED, MEND
from ...wire.endings import kind_of, words_of
from ..values.plan import TRANSPORTS
from ..values.record import USAGE, Calibration, Trial
from ..values.run import Run
from ..values.synthetic import Synthetic
from ..values.words import counted, digits, endings
from . import network
from .comparison import decision_of
from .error import quantiles
from .statistics import FOR_A_MEAN, Quantile
from .steady import steady
from .summary import in_bursts
from .trials import gaps_ms

SMALL: Final = 0.05
"""A timing error up to this part of the figure it spoils is small: its p95, or p50 where p95 has no interval."""

NEAR: Final = 0.01
"""Synthetic prompts and their answers that are so near to what was asked for are as long as that."""

UNMEASURED: Final = "The timing error was not measured: see hs.calibrate."

_APART: Final = 12
"""Of more lengths than these nobody looks at each: they are a distribution, or a trace."""

_LATE: Final = 0.5
_UNDECIDED: Final = {
    "max_cost": "the budget was spent",
    "duration": "the time was up",
    "complete": "all repeats were made",
    "failures": "one of them was asked no more",
    "stopped": "it was stopped",
    "cancelled": "it was stopped",
}
_ENDINGS: Final = {
    "stopped": "It was stopped before its end.",
    "cancelled": "It was stopped before its end.",
    "duration": "Its time was up: the rest was not sent.",
    "failed": "Workers ended before their time, and none was left that could do the rest.",
    "max_cost": "max_cost was reached, or the session's budget: the rest was not sent.",
}


def notes(result: Run) -> list[str]:
    """The sentences, the gravest first."""
    contents = result.contents
    found = [f"{sentence}." for end in contents.ends for sentence in (*end.stops, *end.losses)]
    if contents.lost:
        found.append(
            f"{counted(len(contents.lost), 'request')} not seen to end: counted as paid at the most that it may cost."
        )
    if contents.begun:
        found.append(
            f"{counted(contents.begun, 'request')} begun whose end is not known: the run goes on, or it broke off, and "
            "resume= counts them as paid."
        )
    if contents.retried:
        found.append(f"{counted(len(contents.retried), 'failed request')} made again: the newer one counts.")
    if contents.foreign:
        found.append(f"{counted(contents.foreign, 'line')} of another run beside the file, left out.")
    if contents.ends and result.missing and (word := _ENDINGS.get(contents.ends[-1].reason)):
        found.append(word)
    if result.plan.until_decided:
        found.append(_until_decided(result))
    if result.simulator:
        found.append(
            f"{result.simulator}: no model answered; its latencies are HolySheep's documents', and nothing is paid."
        )
    if result.plan.source:
        found.append(f"Asked: {result.plan.source}.")
    found += _lengths(result)
    if result.missing:
        missing = f"{result.missing} of {counted(result.plan.requests, 'request')} missing"
        found.append(f"{missing}: run it again with resume=result.path.")
    failed = Counter(trial.error for trial in result.records if trial.error)
    if failed:
        listed = ", ".join(f"{count} {word}" for word, count in failed.most_common())
        found.append(f"{counted(failed.total(), 'request')} failed ({listed}); percentiles are of the others.")
    if any(trial.error and trial.end is None for trial in result.records):
        found.append(
            "WARNING: This file is of a version that did not note when failures ended, and takes them for shorter than "
            "they were: duration and in flight are too low, rates per second too high."
        )
    odd = [trial for trial in result.records if trial.ended and not trial.error and not _is_at_its_limit(trial)]
    if odd:
        found.append(
            f"WARNING: {counted(len(odd), 'answer')} did not end as answers do ({endings(odd)}); "
            "they are among the others."
        )
    found += network.said(result.trips)
    if contents.torn:
        were = "was" if contents.torn == 1 else "were"
        found.append(f"{counted(contents.torn, 'line')} of the file {were} torn, and left out.")
    if len(result.plan.wires) > 1 and "messages" in result.plan.wires and "ws" in result.plan.transports:
        found.append("Messages have no WebSocket: they were not asked over ws.")
    if found_elsewhere := _elsewhere(result):
        found.append(found_elsewhere)
    if any(trial.token_source != USAGE and not trial.error for trial in result.records):
        found.append("≈ Some token counts are estimated from the text: the service reported no usage.")
    if any(not trial.cost_exact and trial.token_source == USAGE and trial.usd is not None for trial in result.records):
        found.append("≈ Some costs are estimates: a price that they need, or what output was, is only likely.")
    if any(trial.price_note == "unknown" and not trial.error for trial in result.records):
        found.append("Some prices are unknown: their cost is left out, not taken as 0.")
    if (lag := late(result)) is not None:
        found.append(lag)
    if result.plan.rate is not None and result.plan.arrivals is None and len(result.arms) > 1:
        found.append(
            f"The rate of {result.plan.rate:g} requests/s is of all rows together; each got "
            f"{digits(result.plan.rate / len(result.arms))}."
        )
    if result.plan.rate is not None and result.plan.limits:
        found.append("Limits on TTFT and E2E are judged from the scheduled start.")
    if result.plan.limits and len(result.arms) > 1:
        found.append(
            "Of one row's good requests only the share is stated: how many a second also depends on the others."
        )
    if any(session.executor.endswith("in batches") for session in result.sessions) and result.plan.rate is None:
        found.append("System tok/s includes the pauses between the batches of the executor.")
    if (part := steady(result).sentence) and result.records:
        found.append(part)
    if any(len(trials) >= FOR_A_MEAN for trials in _succeeded(result)):
        found.append(
            "Intervals of means know of no stall that is rarer than one in a hundred requests; those of percentiles "
            "hold whatever there is."
        )
    return [*found, *bursts(result), *_groups(result), *_timing(result)]


def _succeeded(result: Run) -> list[list[Trial]]:
    """Of each arm, the requests that percentiles are of."""
    part = steady(result)
    return [[trial for trial in part.counted(result.of(arm)) if not trial.error] for arm in result.arms]


def _lengths(result: Run) -> list[str]:
    """How near synthetic prompts and their answers came to the tokens that were asked for."""
    said: dict[str, list[str]] = {}
    for model in result.models:
        for word, ratios in _reached(result, model).items():
            if ratios and max(abs(ratio - 1) for ratio in ratios) > NEAR:
                low, high = (f"{100 * ratio:.3g}" for ratio in (min(ratios), max(ratios)))
                why = "" if model in result.plan.fits else ", where no request that finds out lengths succeeded"
                said.setdefault(word, []).append(f"{low} to {high} % at {model}{why}")
            elif not ratios:
                said.setdefault(word, []).append(f"unknown at {model}, which reports no usage")
    found = [f"{word} of what was asked for: {'; '.join(parts)}." for word, parts in said.items()]
    several = len({prompt.input_tokens for prompt in result.plan.prompts if isinstance(prompt, Synthetic)})
    if 1 < several <= _APART:
        found.append(
            f"Prompts of {several} lengths are mixed in every figure here: result.by_prompt() has them one by one."
        )
    return found


def _reached(result: Run, model: str) -> dict[str, list[float]]:
    """Tokens counted by the service over those that were asked for, of a model's synthetic prompts that succeeded."""
    prompts = result.plan.prompts
    synthetic = [
        (prompt, trial)
        for trial in result.records
        if trial.model == model and not trial.error and isinstance(prompt := prompts[trial.prompt], Synthetic)
    ]
    exact = [(prompt, trial) for prompt, trial in synthetic if trial.is_counted]
    if not synthetic:
        return {}
    found = {"Input tokens": [(trial.prompt_tokens or 0) / prompt.input_tokens for prompt, trial in exact]}
    if all(prompt.output_tokens for prompt, _ in synthetic):
        found["Output tokens"] = [(trial.output_tokens or 0) / (prompt.output_tokens or 1) for prompt, trial in exact]
    return found


def _until_decided(result: Run) -> str:
    """What a run that was to go on until decided came to, and what that does to intervals."""
    reason = contents.ends[-1].reason if (contents := result.contents).ends else ""
    why = f" ({why})" if (why := _UNDECIDED.get(reason)) and reason != "decided" else ""
    return (
        f"It was to end once the difference is clear: {decision_of(result).sentence}{why}. Intervals of pairs hold at "
        "whatever pair it stops; those of single rows are of a number of requests that was not fixed before."
    )


def timing_error(calibration: Calibration) -> str:
    """The error in words."""
    rows = {name: quantiles(calibration, name.lower()) for name in ("TTFT", "E2E", "gap")}
    words = " · ".join(f"{name} {_three(row)} ms" for name, row in rows.items() if row)
    if calibration.ttft_ms_by_transport:
        ways = {way: quantiles(calibration, f"ttft {way}") for way in calibration.ttft_ms_by_transport}
        listed = ", ".join(f"{'over' if way in TRANSPORTS else 'as'} {way} {_three(row)}" for way, row in ways.items())
        words += f" · TTFT {listed} ms"
    whose = "of these requests" if calibration.own else "of a run like this one, against the simulator"
    star = "; * no interval at this size" if "*" in words else ""
    of = counted(calibration.requests, "request")
    return f"Timing error {whose} (p50 / p95 / p99 of {of}, with 95 % intervals{star}): {words}."


def _three(row: Sequence[Quantile]) -> str:
    return " / ".join(map(str, row))


def _timing(result: Run) -> list[str]:
    calibration = result.calibration
    if calibration is None:
        return [UNMEASURED] if result.records else []
    found = [timing_error(calibration)]
    shown = _succeeded(result)
    ttfts = [[ttft for trial in row if (ttft := trial.timing.ttft_ms) is not None] for row in shown]
    gaps = [[gap for trial in row for gap in gaps_ms(trial)] for row in shown]
    for name, figures in (("TTFT", ttfts), ("gap", gaps)):
        error = next((each for each in quantiles(calibration, name.lower())[1::-1] if each.n >= each.needed), None)
        figure = min((median(row) for row in figures if row), default=None)
        if error and figure and (error.value or 0.0) > SMALL * figure:
            found.append(
                f"WARNING: the timing error of {name} ({digits(error.value or 0.0)} ms at p{100 * error.p:g}) is not "
                f"small against its p50 ({digits(figure)} ms): this machine is too busy for this load."
            )
    return found


def bursts(result: Run) -> list[str]:
    """A word about each arm whose answers came in bursts: which figures that spoils, by how much, and what mends it."""
    found, part = [], steady(result)
    for arm in result.arms:
        trials = part.counted(result.of(arm))
        if not (held := in_bursts(trials)):
            continue
        answers = sum(not trial.error for trial in trials)
        waits = [median(row) for timing in held if (row := timing.gaps_ms)]
        late = f" (by about its gap, {digits(median(waits))} ms, or more)" if waits else ""
        size = median(timing.burst or 0 for timing in held)
        spoilt = median(waits or [timing.ttft_ms or 0.0 for timing in held])
        is_busy = _own_delay(result, trials) > _LATE * spoilt
        cause = "This machine is too busy for this load, or a proxy" if is_busy else "A proxy"
        found.append(
            f"WARNING: {len(held)} of {counted(answers, 'answer')} of {result.label(arm)} came in bursts of "
            f"about {size:.0f} events (†): TTFT is too long{late}, gaps are those between bursts, and decode tok/s may "
            f"be too high, because the last one empties a buffer. {cause} may be buffering ({MEND})."
        )
    return found


def _own_delay(result: Run, trials: Sequence[Trial]) -> float:
    """By how much this machine was late itself, in ms: with sending (an open loop), or with stamps of first events."""
    lags = [lag for trial in trials if (lag := trial.timing.lag_ms) is not None] if result.plan.rate else []
    error = quantiles(result.calibration, "ttft")[:1] if result.calibration is not None else []
    return max(median(lags or [0.0]), *(each.value or 0.0 for each in error), 0.0)


def _groups(result: Run) -> list[str]:
    """A word about each arm whose service puts several tokens into an event."""
    found = []
    for arm in result.arms:
        succeeded = [trial.timing for trial in result.of(arm) if not trial.error and trial.is_counted]
        sizes = [timing.tokens_per_event for timing in succeeded if timing.tokens_per_event is not None]
        if sizes and (size := median(sizes)) > GROUPED:
            found.append(
                f"{result.label(arm)} sends about {digits(size)} tokens an event: gaps are between groups of tokens; "
                "for TPOT and decode tok/s, the tokens of its first read are estimated by its share of the characters."
            )
    return found


def _is_at_its_limit(trial: Trial) -> bool:
    """Whether all there is to say is that it reached a limit on its length, as a bench may want it."""
    return kind_of(trial.finish_reason) == "length" and trial.ended == words_of(trial.finish_reason)


def _elsewhere(result: Run) -> str:
    """A word about answers that came over another transport than the one that was asked for."""
    moved = Counter(
        (asked, trial.transport_used)
        for trial in result.records
        if trial.transport_used and (asked := result.plan.ways[trial.way][1]) != "auto"
    )
    return " ".join(
        f"WARNING: {counted(count, 'request')} asked for over {asked} came over {used}: the service opened no socket."
        for (asked, used), count in moved.items()
    )


def late(result: Run) -> str | None:
    """A word about an open loop whose requests did not go out when they should have."""
    if result.plan.rate is None:
        return None
    lags = [lag for trial in result.records if (lag := trial.timing.lag_ms) is not None]
    if not lags or median(lags) < 1e3 / (result.plan.total_rate or 1) * _LATE:
        return None
    return f"WARNING: requests went out {digits(median(lags))} ms late (median): the load was less than asked for."
