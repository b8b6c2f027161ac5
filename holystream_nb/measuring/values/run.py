"""What a bench left, complete or not, as data: the plan, the sittings, the records."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...errors import SetupError
from .plan import Plan
from .record import Calibration, Contents, Session, Trial, Trip, Warmup


class Run:
    """The contents of a run's file; `path` is the file."""

    def __init__(self, contents: Contents, path: Path) -> None:
        self.contents = contents
        self.path = path
        self.plan: Plan = contents.header.plan
        self.sessions: tuple[Session, ...] = contents.sessions
        self.calibration: Calibration | None = contents.calibration
        self.records: tuple[Trial, ...] = contents.trials
        self.trips: tuple[Trip, ...] = contents.trips
        self.warmup_records: tuple[Warmup, ...] = contents.warmups

    @property
    def models(self) -> tuple[str, ...]:
        """Models in the plan's order, each `provider:model`."""
        return self.plan.models

    @property
    def arms(self) -> tuple[str, ...]:
        """What is compared: the models, or `provider:model · ws` for each way where there are several."""
        return tuple(self.plan.arms)

    def of(self, arm: str, records: Iterable[Trial] | None = None) -> list[Trial]:
        """The records of an arm among these (all that count)."""
        model, way = self.plan.arms[arm]
        among = self.records if records is None else records
        return [trial for trial in among if trial.model == model and trial.way == way]

    @property
    def missing(self) -> int:
        """Requests of the plan that are not there: `hs.bench(…, resume=result.path)` makes them; none once decided."""
        if self.contents.ends and self.contents.ends[-1].reason == "decided":
            return 0
        return max(0, self.plan.requests - len(self.records))

    @property
    def simulator(self) -> str:
        """ "simulator ×20" and the like where no model answered; charts name it. "" otherwise."""
        return self.plan.simulator

    def arm(self, name: str) -> str:
        """The arm that a name means: its label, a model or a way where that is enough; SetupError names those meant.

        `simulator:deepseek-v3.2 · ws` is also `deepseek-v3.2 · ws`, `deepseek-v3.2 ws`, and `ws` if there is one model.
        """
        found = [
            arm for arm, (model, way) in self.plan.arms.items() if name in _names(model, self.plan.split(model)[1], way)
        ]
        if len(found) == 1:
            return found[0]
        raise SetupError(
            f"{name!r} is {'several' if found else 'none'} of what was compared here: {', '.join(found or self.arms)}."
        )

    def label(self, arm: str) -> str:
        """An arm's name for a table or a chart: without its provider where all have the same."""
        providers = {self.plan.split(each)[0] for each in self.models}
        return self.plan.split(arm)[1] if len(providers) == 1 else arm


def _names(model: str, name: str, way: str) -> list[str]:
    """All that an arm may be called."""
    models = (model, name)
    return [way, *models, *(f"{each}{between}{way}" for each in models for between in (" · ", " "))]
