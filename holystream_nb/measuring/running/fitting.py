"""How long a synthetic prompt must be, in words, to have its tokens at each model: found out by asking.

A model's count is taken to be a line: tokens of an empty prompt (its template, the task) and tokens of a word. Two
short requests give one; a third says whether it holds, and mends it where it does not. What is too long for the model
is asked by half: a length that does not fit is no reason to get the others wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ...client.client import Client
from ...client.options import ClientOptions
from ...errors import HolystreamError, PromptTooLong
from ..values.plan import Plan
from ..values.record import USAGE, Begun, Trial, Warmup
from ..values.schedule import Lease, Slot
from ..values.synthetic import FIT_ANSWER, UNFITTED, Synthetic, fit_lengths
from .budget import Budget
from .intake import Intake, Word
from .pace import Pace
from .worker import Address, Job, Worker

NEAR: Final = 0.005
"""A fit holds when the service counts what was asked for to half a percent: the promise is one percent."""

_LENGTHS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "ignore_eos")


@dataclass(slots=True)
class Fitting:
    """Fits a plan's synthetic prompts to its models, within the run's budget and limits.

    places, secret: as a worker has them. now: ns after `origin_ns`, the session's. `records` are the warm-ups that it
    made.
    """

    plan: Plan
    places: Mapping[str, Address]
    secret: Mapping[str, ClientOptions]
    budget: Budget
    paces: Mapping[str, Pace]
    session: int
    origin_ns: int
    now: Callable[[], int]
    records: list[Warmup] = field(default_factory=list)
    _clients: dict[str, Client] = field(default_factory=dict)

    async def fitted(self) -> Plan:
        """The plan with the fits of its models that have none yet.

        A model that cannot be asked, or does not report usage, gets none: the run itself says why.
        """
        if not (lengths := fit_lengths(self.plan.prompts)):
            return self.plan
        fits = dict(self.plan.fits)
        try:
            for model in self.plan.models:
                if model not in fits and (fit := await self._fit(model, lengths)) is not None:
                    fits[model] = fit
        finally:
            await asyncio.gather(*(client.aclose() for client in self._clients.values()))
        return msgspec.structs.replace(self.plan, fits=fits)

    async def _fit(self, model: str, lengths: list[int]) -> tuple[float, float] | None:
        """A model's fit, the best of a few rounds."""
        best, least = None, 0.0
        measured: dict[int, int] = {}
        fit, most = UNFITTED, max(lengths)
        for number, wanted in enumerate(lengths):
            tokens = min(wanted, most)
            trial = await self._asked(model, Synthetic(tokens, FIT_ANSWER), fit, number)
            if trial is not None and trial.error == PromptTooLong.__name__ and tokens > 1:
                most = tokens // 2
                continue
            if trial is None or trial.error or trial.prompt_tokens is None or trial.token_source != USAGE:
                break
            error = abs(trial.prompt_tokens - tokens) / tokens
            if measured and (best is None or error < least):
                best, least = fit, error
            if measured and error <= NEAR:
                break
            measured[max(1, round((tokens - fit[0]) / fit[1]))] = trial.prompt_tokens
            fit = _line(measured)
        return best or (fit if measured else None)

    async def _asked(self, model: str, prompt: Synthetic, fit: tuple[float, float], number: int) -> Warmup | None:
        """One request of that prompt; None where the budget does not allow it, or nothing could be asked."""
        index, provider = self.plan.models.index(model), self.plan.split(model)[0]
        if not self.budget.reserve(index):
            return None
        asked = msgspec.structs.replace(
            self.plan,
            models=(model,),
            prompts=(prompt,),
            names=(),
            repeats=1,
            concurrency=1,
            rate=None,
            rate_to=None,
            arrivals=None,
            times=(),
            caches=(),
            transport=self.plan.transports[0],
            wire=self.plan.wires[0],
            parameters={name: value for name, value in self.plan.parameters.items() if name not in _LENGTHS},
            fits={model: fit},
        )
        pace, key = self.paces[provider], ("fit", index, number)
        tokens = prompt.input_tokens + FIT_ANSWER
        at = pace.grant(key, tokens, self.now()) or self.now()
        await asyncio.sleep(max(0.0, (at - self.now()) / 1e9))
        pace.begin(key, tokens, self.now())
        records: list[Begun | Trial | Warmup] = []
        intake = Intake()
        intake.hear(Word(leases=(Lease(Slot(0, 0, -1 - number, 0.0)),), is_last=True))
        job = Job(asked, 0, (0.0,), 1, self.session, self.origin_ns, dict(self.places))
        trial = None
        try:
            await Worker(job, records.append, self._clients, intake, self.secret).warm_up()
            trial = next((record for record in records if isinstance(record, Warmup)), None)
        except HolystreamError:
            return None
        finally:
            cost, again = (None, 0) if trial is None else (trial.due_usd, trial.retries + trial.resent)
            self.budget.settle(index, cost, again=0 if trial is None else trial.resent)
            pace.settle(key, None if trial is None else trial.prompt_tokens, again, self.now())
        if trial is not None:
            # Its repeat is none of the sitting's own warm-ups'.
            repeat, way = trial.repeat - self.plan.warmup, next(iter(self.plan.ways))
            trial = msgspec.structs.replace(trial, repeat=repeat, way=way)
            self.records.append(trial)
        return trial


def _line(measured: Mapping[int, int]) -> tuple[float, float]:
    """(tokens of an empty prompt, tokens of a word) from the words and tokens of what was asked, the last two of it."""
    *_, (words, tokens) = measured.items()
    if len(measured) == 1:
        return float(tokens - words), 1.0
    (before, less), _ = list(measured.items())[-2:]
    each = (tokens - less) / (words - before)
    # Counts that do not grow with the words are not of these words.
    return (tokens - each * words, each) if each > 0 else (float(tokens - words), 1.0)
