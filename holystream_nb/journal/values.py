"""What the journal holds of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Door = Literal["cell", "python", "panel"]
"""Who asked: `%%stream`, `hs.stream`, a panel."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an answer was asked for.

    `notebook` is the notebook's path as its server knows it, `cell` the id of its cell, `execution` the `msg_id` of the
    request that ran it, `kernel` the kernel's id; each "" where nobody says it. `conversation` names a panel, or the
    conversation of `--chat`.
    """

    door: Door
    notebook: str = ""
    cell: str = ""
    execution: str = ""
    kernel: str = ""
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was written down; `id` names it in all journals, `group` is the same for answers side by side.

    `began` and `ended` are seconds since 1970 (UTC); `ended` is None while it runs, or where its kernel ended first.
    `state` is a lane's (`live.lane.State`), `record` its figures (`live.figures.record`), `messages` what was sent,
    without keys and images; `is_running` tells whether its kernel still lives and writes.
    """

    id: str
    group: str
    origin: Origin
    label: str
    model: str
    provider: str
    note: str
    messages: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any]
    began: float
    ended: float | None = None
    text: str = ""
    reasoning: str = ""
    state: str = "streaming"
    ending: str = ""
    error: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    format: str = "markdown"
    is_running: bool = False
