"""What the run as a whole got: tokens a second, requests a second, good requests a second."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby

from ..values.record import Trial
from ..values.run import Run
from .limits import good


def throughput(result: Run) -> Mapping[str, float | None]:
    """Of all models together; None where there is nothing to count.

    system_tokens_per_s: output tokens in the window / window, where the window is from the moment all clients had
        started to the first one's finish (open loop: from the first request sent to the last one sent).
    requests_per_s: requests that succeeded / the span from the first start to the last end.
    goodput_per_s: requests that met all limits / that span; None without limits.
    """
    seconds = span_s(result)
    succeeded = sum(not trial.error for trial in result.records)
    limits = result.plan.limits
    kept = sum(good(trial, trial.timing, limits) for trial in result.records)
    return {
        "system_tokens_per_s": system_tokens_per_s(result),
        "requests_per_s": succeeded / seconds if seconds else None,
        "goodput_per_s": kept / seconds if seconds and limits else None,
    }


def span_s(result: Run) -> float:
    """Seconds from the first request's start to the last one's end, sessions added up."""
    return sum(_span(trials) for trials in _sittings(result)) / 1e9


def system_tokens_per_s(result: Run) -> float | None:
    """Tokens in the window / window. A request's tokens are spread over its reads by the events each brought."""
    tokens, length = 0.0, 0
    for trials in _sittings(result):
        start, end = _window(trials, open_loop=result.plan.rate is not None)
        if end > start:
            length += end - start
            tokens += sum(_tokens_within(trial, start, end) for trial in trials)
    return tokens * 1e9 / length if length else None


def _sittings(result: Run) -> list[list[Trial]]:
    ordered = sorted(result.records, key=lambda trial: trial.session)
    return [list(trials) for _, trials in groupby(ordered, key=lambda trial: trial.session)]


def _span(trials: Sequence[Trial]) -> int:
    return max(trial.over for trial in trials) - min(_begin(trial) for trial in trials)


def _window(trials: Sequence[Trial], *, open_loop: bool) -> tuple[int, int]:
    if open_loop:
        sent = [_begin(trial) for trial in trials]
        return min(sent), max(sent)
    starts: dict[tuple[int, int], int] = {}
    ends: dict[tuple[int, int], int] = {}
    for trial in trials:
        client = trial.worker, trial.stream
        starts[client] = min(starts.get(client, _begin(trial)), _begin(trial))
        ends[client] = max(ends.get(client, 0), trial.over)
    return max(starts.values()), min(ends.values())


def _tokens_within(trial: Trial, start: int, end: int) -> float:
    stamps = list(trial.read_stamps())
    if not stamps or not trial.output_tokens:
        return 0.0
    first, last = bisect_left(stamps, start), bisect_right(stamps, end)
    events = trial.events or [1] * len(stamps)
    return trial.output_tokens * sum(events[first:last]) / sum(events)


def _begin(trial: Trial) -> int:
    return trial.submitted if trial.sent is None else trial.sent
