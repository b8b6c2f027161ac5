"""Conversations in files: JSON of a schema of our own, and Markdown. Never a key."""

from __future__ import annotations

import secrets
from dataclasses import fields, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from ..errors import SetupError
from .conversation import MOST_LANES, OPEN, Conversation, Turn
from .settings import Settings
from .spent import Spent

VERSION: Final = 1

_LEAST: Final = Decimal("1E-30")
"""Far below any price of a token; what is smaller would be written with as many digits as it pleases."""


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: `holystream_chat` is the schema's version."""

    holystream_chat: int
    settings: Settings
    spent: Spent
    turns: tuple[Turn, ...]


def save(path: Path, conversation: Conversation, settings: Settings, spent: Spent) -> None:
    """Writes JSON at once, or nothing: a file that was there stays whole until the new one is."""
    saved = Saved(VERSION, settings, spent, conversation.turns)
    write(path, msgspec.json.format(msgspec.json.encode(saved), indent=1))


def load(path: Path) -> Saved:
    """What `save` wrote; SetupError says what is wrong with the file."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise SetupError(f"{path} cannot be read ({exc.strerror}).") from exc
    try:
        if msgspec.json.decode(data, type=_Version).holystream_chat > VERSION:
            raise SetupError(f"{path} was saved by a newer holystream_nb: upgrade it with pip.")
        saved = msgspec.json.decode(data, type=Saved)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:  # also a value of the wrong kind, which it names
        raise SetupError(f"{path} is not a saved chat panel ({exc}): load the .json that `save` wrote.") from exc
    return checked(saved, str(path))


def checked(saved: Saved, name: str) -> Saved:
    """It with everything that a panel relies on; SetupError where it has not."""
    for turn in saved.turns:
        if not _is_whole(turn):
            raise SetupError(f"{name} is not a saved chat panel (the turn {turn.id!r} is not whole).")
    if len({turn.id for turn in saved.turns}) < len(saved.turns):
        raise SetupError(f"{name} is not a saved chat panel (a turn is there twice).")
    if not _is_sum(saved.spent):
        raise SetupError(f"{name} is not a saved chat panel (what it says was spent cannot be).")
    saved.settings.checked()
    spent = saved.spent
    if spent.simulated and not spent.simulated_usd:  # a file from before there was this field
        spent = replace(spent, simulated_usd=spent.usd)
    if spent.simulated and not spent.simulated_cny:  # the same
        is_all = spent.simulated_usd == spent.usd
        spent = replace(spent, simulated_cny=spent.cny if is_all else spent.simulated_usd)  # its rate is 1
    return msgspec.structs.replace(saved, spent=spent, turns=Conversation(saved.turns).ended().turns)


def _is_whole(turn: Turn) -> bool:
    lanes = len(turn.lanes)
    if not 1 <= lanes <= MOST_LANES or len(turn.answers) != lanes or turn.chosen not in range(OPEN, lanes):
        return False
    for answer in turn.answers:
        places = [call.at for call in answer.calls]
        if places != sorted(places) or [call.number for call in answer.calls] != [*range(len(places))]:
            return False
    return True


def _is_sum(spent: Spent) -> bool:
    """Whether counts and amounts can be added to and written out: finite, 0 or from 10^-30 to below 10^15."""
    values = [getattr(spent, field.name) for field in fields(Spent)]
    amounts = [value for value in values if isinstance(value, int | Decimal)]
    return all(Decimal(value).is_finite() and (not value or _LEAST <= value < 10**15) for value in amounts)


class _Version(msgspec.Struct):
    holystream_chat: int


def write(path: Path, data: bytes) -> None:
    """Puts a file in its place when it is whole."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            beside.write_bytes(data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as exc:
        raise SetupError(f"{path} cannot be written ({exc.strerror}).") from exc


def write_new(folder: Path, text: str, now: datetime) -> Path:
    """Writes `chat-2026-11-21.md`, or with a number behind it: no file is written over. Returns its path."""
    number = 1
    while True:
        path = folder / f"chat-{now:%Y-%m-%d}{f'-{number}' if number > 1 else ''}.md"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            return path
        except FileExistsError:
            number += 1
        except OSError as exc:
            raise SetupError(f"{path} cannot be written ({exc.strerror}).") from exc
