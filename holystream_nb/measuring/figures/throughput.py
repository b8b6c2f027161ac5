"""What the run as a whole got: tokens a second, requests a second, good requests a second."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from ..values.record import Trial
from ..values.run import Run
from .limits import good
from .steady import sittings


def throughput(result: Run) -> Mapping[str, float | None]:
    """Of all models together; None where there is nothing to count. The span is from the first request sent to the last
    one's end, of failures too, also those that a later session made again; sessions are added up.

    system_tokens_per_s: output tokens in the window / window, where the window is from the moment all clients had
        started to the first one's finish (open loop: from the first request sent to the last one sent).
    output_tokens_per_s, input_tokens_per_s: all output tokens, all tokens of prompts / the span: what most tools call
        throughput. Start and end, when few clients run, are in it: it is the lower one.
    requests_per_s: requests that succeeded / the span.
    goodput_per_s: requests that met all limits / the span; None without limits.
    in_flight: requests that ran at once, the mean over the span. duration_s: the span.
    """
    seconds = span_s(result)
    records, limits = result.records, result.plan.limits
    made = (*records, *result.contents.retried)
    sums = {
        "output_tokens_per_s": sum(trial.output_tokens or 0 for trial in made),
        "input_tokens_per_s": sum(trial.prompt_tokens or 0 for trial in made if trial.sent is not None),
        "requests_per_s": sum(not trial.error for trial in records),
        "goodput_per_s": sum(good(trial, limits) for trial in records) if limits else None,
        "in_flight": busy_s(made),
    }
    return {
        "system_tokens_per_s": system_tokens_per_s(result),
        **{name: None if count is None or not seconds else count / seconds for name, count in sums.items()},
        "duration_s": seconds or None,
    }


def span_s(result: Run) -> float:
    """Seconds from the first request's start to the last one's end, sessions added up."""
    return sum(_span(trials) for trials in sittings(result)) / 1e9


def busy_s(trials: Sequence[Trial]) -> float:
    """The time of all requests, side by side or not, from sent to over."""
    return sum(trial.over - trial.begun for trial in trials) / 1e9


def system_tokens_per_s(result: Run) -> float | None:
    """Tokens in the window / window. A request's tokens are spread over its reads by the events each brought.

    None where the window is too short for any: two requests of an open loop, of which both answer after the second.
    """
    tokens, length = 0.0, 0
    for trials in sittings(result):
        start, end = _window(trials, open_loop=result.plan.rate is not None)
        if end > start:
            length += end - start
            tokens += sum(_tokens_within(trial, start, end) for trial in trials)
    return tokens * 1e9 / length if tokens else None


def _span(trials: Sequence[Trial]) -> int:
    return max(trial.over for trial in trials) - min(trial.begun for trial in trials)


def _window(trials: Sequence[Trial], *, open_loop: bool) -> tuple[int, int]:
    if open_loop:
        sent = [trial.begun for trial in trials]
        return min(sent), max(sent)
    starts: dict[tuple[int, int], int] = {}
    ends: dict[tuple[int, int], int] = {}
    for trial in trials:
        client = trial.worker, trial.stream
        starts[client] = min(starts.get(client, trial.begun), trial.begun)
        ends[client] = max(ends.get(client, 0), trial.over)
    return max(starts.values()), min(ends.values())


def _tokens_within(trial: Trial, start: int, end: int) -> float:
    stamps = trial.timing.reads
    if not stamps or not trial.output_tokens:
        return 0.0
    if start <= stamps[0] and stamps[-1] <= end:
        return float(trial.output_tokens)
    first, last = bisect_left(stamps, start), bisect_right(stamps, end)
    if not trial.events:
        return trial.output_tokens * (last - first) / len(stamps)
    return trial.output_tokens * sum(trial.events[first:last]) / sum(trial.events)
