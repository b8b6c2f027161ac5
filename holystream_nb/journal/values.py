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
class Begun:
    """What is known of an answer when it is asked for; `id` names it in all journals.

    `group` is the same for answers side by side, `messages` is what was sent, `began` seconds since 1970 (UTC).
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
    format: str = "markdown"


@dataclass(frozen=True, slots=True)
class Answer(Begun):
    """An answer as it was written down, without keys and images.

    `ended` is in seconds since 1970; it is None while it runs, or where its kernel ended first. `state` is a lane's
    (`live.lane.State`), `record` its figures (`live.figures.record`); `is_running` tells whether its kernel still lives
    and writes.
    """

    ended: float | None = None
    text: str = ""
    reasoning: str = ""
    state: str = "streaming"
    ending: str = ""
    error: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    is_running: bool = False
