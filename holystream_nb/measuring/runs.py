"""hs.runs, hs.compare_runs, hs.merge: what was measured before, beside one another and together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .. import kinds
from ..errors import HolystreamError, SetupError
from ..live.saved import printable
from ..money.cost import due_usd
from .figures.against import Against
from .load import load
from .result import Result
from .running.progress import shown
from .values.folder import path_of, read_about, runs_folder
from .values.journal import Log, is_held, parts, read
from .values.record import Contents, Header, Session, Trial
from .values.words import counted

if TYPE_CHECKING:
    from pandas import DataFrame

_SHOWN: Final = 30
"""Runs that a list shows: a screen."""
_WIDE: Final = 60
COLUMNS: Final = ("file", "started", "models", "n", "failed", "cost_usd", "note")


class _Line(msgspec.Struct):
    """What a list needs of a record."""

    kind: str
    error: str = ""
    usd: Decimal | None = None
    stated_usd: Decimal | None = None
    reason: str = ""


_line: Final = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True)
class Saved:
    """One saved run, or a folder of a sweep's, a capacity search's or a watch's."""

    path: Path
    started: str
    models: tuple[str, ...]
    n: int
    failed: int
    cost_usd: Decimal
    note: str


class Runs(Sequence[Any]):
    """Saved runs, the newest first, as they were when `hs.runs` was called: `runs[0]` loads the first one, `table()`
    lists them.

    In the next list every number is another run's as soon as one begins. To hold on to one keep this list, or its file,
    which `table().file` has and `hs.load` takes.
    """

    def __init__(self, saved: Sequence[Saved], folder: Path) -> None:
        self.saved = tuple(saved)
        self.folder = folder

    def __len__(self) -> int:
        return len(self.saved)

    def __getitem__(self, index: Any) -> Any:
        """The Result of a run, or the Sweep, Capacity or Watch of a folder."""
        return Runs(self.saved[index], self.folder) if isinstance(index, slice) else load(self.saved[index].path)

    def table(self) -> DataFrame:
        """A row a run (`COLUMNS`): its file for `hs.load`, when it began, its models, how many requests are there, how
        many of them failed, what they cost (a Decimal, USD, with warm-ups and what was lost in flight; what is unknown
        left out), and what to know.
        """
        from pandas import DataFrame

        return DataFrame([self._row(each) for each in self.saved], columns=list(COLUMNS))

    def _row(self, each: Saved) -> list[Any]:
        models = ", ".join(each.models)
        return [shown(each.path), each.started, models, each.n, each.failed, each.cost_usd, each.note]

    def __repr__(self) -> str:
        if not self.saved:
            return f"No run is saved in {shown(self.folder)}."
        rows = self._rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, self._foot])

    def _repr_html_(self) -> str:
        """The same as a table, whose cells are broken where a page is narrow; every name is only text."""
        if not self.saved:
            return f"<p>{escape(printable(repr(self)))}</p>"
        head, *body = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in self._rows())
        rows = "".join(f"<tr>{row}</tr>" for row in body)
        head = head.replace("td>", "th>")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{escape(self._foot)}</p>"

    def _rows(self) -> list[list[str]]:
        rows = [[f"[{index}]", *_shown(each)] for index, each in enumerate(self.saved[:_SHOWN])]
        return [["", "started (UTC)", "models", "n", "failed", "cost (USD)", "note"], *rows]

    @property
    def _foot(self) -> str:
        rest = len(self) - _SHOWN
        more = f", and {counted(rest, 'older one')}" if rest > 0 else ""
        return (
            f"In {printable(shown(self.folder))}{more}. runs[0] loads the first; a new run moves the numbers, "
            "files stay: table() has them."
        )


def _shown(each: Saved) -> list[str]:
    """A run's row for a reader: its file only where nothing else is known of it."""
    models = ", ".join(each.models)
    cells = [f"{each.n:,}", f"{each.failed:,}", f"{each.cost_usd:.4f}", each.note or ""]
    return [*map(printable, (each.started[:16].replace("T", " "), _short(models or each.path.name), *cells))]


def _short(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}…"


def runs(folder: str | Path | None = None) -> Runs:
    """The saved runs of a folder, the newest first; by default those in the user's data folder.

    The note of one that goes on now, here or in another process, begins with "running". Numbers are places in this
    list: see `Runs`.
    """
    where = runs_folder() if folder is None else path_of(folder).absolute()
    if folder is not None and not where.is_dir():
        raise SetupError(f"{where} is no folder.")
    paths = [path for path in where.glob("*") if path.suffix == ".jsonl" or path.is_dir()] if where.is_dir() else []
    found = [each for path in paths if (each := _saved(path)) is not None]
    return Runs(sorted(found, key=lambda each: each.started, reverse=True), where)


def _saved(path: Path) -> Saved | None:
    if not path.is_dir():
        return _of_file(path)
    found = [_of_file(file) for file in sorted(path.glob("*.jsonl"))]
    if not found:
        return None
    others = "sweep" if all(len(each.models) == 1 for each in found) else "folder"
    kind = str(read_about(path).get("kind", others))
    notes = dict.fromkeys(each.note for each in found if each.note)
    return Saved(
        path=path,
        started=min(each.started for each in found),
        models=tuple(dict.fromkeys(model for each in found for model in each.models)),
        n=sum(each.n for each in found),
        failed=sum(each.failed for each in found),
        cost_usd=sum((each.cost_usd for each in found), Decimal(0)),
        note=", ".join([f"{kind} of {counted(len(found), 'run')}", *notes]),
    )


def _of_file(path: Path) -> Saved:
    try:
        rows = path.read_bytes().split(b"\n")
        header = msgspec.json.decode(rows[0], type=Header)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, HolystreamError) as exc:
        return Saved(path, "", (), 0, 0, Decimal(0), f"cannot be read: {type(exc).__name__}")
    for piece in parts(path):
        with suppress(FileNotFoundError):  # the run has just taken it over
            rows += piece.read_bytes().split(b"\n")
    n, failed, usd, reason = 0, 0, Decimal(0), ""
    for row in dict.fromkeys(rows[1:]):
        try:
            line = _line.decode(row)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if line.kind in ("trial", "warmup", "lost"):
            usd += due_usd(line.usd, line.stated_usd) or Decimal(0)
        n += line.kind == "trial"
        failed += line.kind == "trial" and bool(line.error)
        reason = line.reason if line.kind in ("session", "end") else reason
    plan, is_running = header.plan, not reason and is_held(path)
    notes = ["running" if is_running else "", plan.simulator]
    if n < plan.requests:
        notes += [f"{plan.requests - n:,} {'to go' if is_running else 'missing'}", reason]
    return Saved(path, header.session.started, plan.models, n, failed, usd, ", ".join(filter(None, notes)))


def compare_runs(before: Result | str | Path, after: Result | str | Path) -> Against:
    """Is it better than last week? A later run against an earlier one of the same prompts, model by model.

    Each a Result, or the file of one. Percentiles differ by independent samples (see `figures.unpaired`), medians by
    prompt where there are six or more. SetupError where the prompts differ or no model is in both.
    """
    return _result(after).against(_result(before))


def merge(*several: Result | str | Path | Iterable[Result | str | Path], path: str | Path | None = None) -> Result:
    """Several runs of one plan as one Result: sittings are kept, seeds may differ, and max_cost.

    several: Results or their files, each by itself or in one list.
    A run that is there twice, or a copy of it that went on elsewhere, counts once; every other run adds its repeats.
    path: writes the whole into a file; otherwise `path` of the Result is that of the first run.

    Raises SetupError where plans differ in more than seed, repeats and max_cost, and for runs that were to end when
    decided: each stopped by what it had found, and no interval holds for several of those together.
    """
    given = several[0] if len(several) == 1 else several
    if isinstance(given, str | Path | Result) or not isinstance(given, Iterable):
        raise SetupError("hs.merge takes several runs, or a list of them: Results, or their files.")
    results = [_result(each) for each in given]
    if not results:
        raise SetupError("hs.merge takes several runs, or a list of them: here is none.")
    first = results[0]
    if len(results) > 1 and first.plan.until_decided:
        raise SetupError("Runs that end when decided are not merged: each stopped by what it had found.")
    for result in results[1:]:
        different = set(first.plan.difference(result.plan)) - {"seed", "repeats"}
        if different:
            raise SetupError(
                f"{result.path.name} is a run of another plan, which differs in {', '.join(sorted(different))}."
            )
    contents = _merged(results)
    if path is None:
        return Result(contents, first.path)
    to = path_of(path)
    if to.exists():
        raise SetupError(f"{to} is there already: give another path.")
    to.parent.mkdir(parents=True, exist_ok=True)
    log = Log(to)
    try:
        for line in _lines(contents):
            log.write(line)
    finally:
        log.close()
    return Result(read(to), to)


def _merged(results: Sequence[Result]) -> Contents:
    numbers: dict[tuple[int, int, str], int] = {}
    offsets: dict[tuple[int, int, str], int] = {}
    sessions: list[Session] = []
    trials: dict[tuple[int, str, str, int, int], Trial] = {}
    beside: dict[str, dict[bytes, Any]] = {"warmups": {}, "retried": {}, "lost": {}, "trips": {}}
    repeats, lengths = 0, dict[tuple[int, int, str], int]()
    for result in results:
        begun, made = _identity(result.sessions[0]), max((trial.repeat for trial in result.records), default=-1)
        lengths[begun] = max(lengths.get(begun, 0), result.plan.repeats or made + 1)
    for result in results:
        own = {session.number: _identity(session) for session in result.sessions}
        begun = _identity(result.sessions[0])
        if begun not in offsets:
            offsets[begun] = repeats
            repeats += lengths[begun]
        for session in result.sessions:
            if _identity(session) not in numbers:
                numbers[_identity(session)] = len(sessions)
                sessions.append(msgspec.structs.replace(session, number=len(sessions)))
        for trial in result.records:
            number = numbers[own[trial.session]]
            moved = msgspec.structs.replace(trial, session=number, repeat=trial.repeat + offsets[begun])
            trials.setdefault((number, moved.model, moved.way, moved.prompt, moved.repeat), moved)
        for name, lines in beside.items():
            for line in getattr(result.contents, name):
                kept = msgspec.structs.replace(line, session=numbers[own[line.session]])
                lines.setdefault(msgspec.json.encode(kept), kept)
    first = results[0].contents.header
    plan = msgspec.structs.replace(first.plan, repeats=repeats if first.plan.repeats else 0)
    known = [result.calibration for result in results if result.calibration is not None]
    return Contents(
        header=Header(schema=first.schema, plan=plan, plan_hash=plan.hash, session=sessions[0]),
        sessions=tuple(sessions),
        trials=tuple(trials.values()),
        warmups=tuple(beside["warmups"].values()),
        retried=tuple(beside["retried"].values()),
        lost=tuple(beside["lost"].values()),
        trips=tuple(beside["trips"].values()),
        calibration=max(known, key=lambda each: each.ttft_ms[1], default=None),
        ends=tuple(end for result in results for end in result.contents.ends),
        torn=sum(result.contents.torn for result in results),
    )


def _lines(contents: Contents) -> list[Any]:
    rest = [contents.calibration] if contents.calibration is not None else []
    beside = (*contents.warmups, *contents.retried, *contents.lost, *contents.trips)
    return [contents.header, *contents.sessions[1:], *contents.trials, *beside, *rest, *contents.ends]


def _identity(session: Session) -> tuple[int, int, str]:
    return session.wall_ns, session.origin_ns, session.started


def _result(given: object) -> Result:
    if isinstance(given, Result):
        return given
    if not isinstance(given, str | Path):
        raise SetupError(f"A run is {kinds.kind(given)}: give a Result, or its file.")
    found = load(given)
    if not isinstance(found, Result):
        raise SetupError(f"{given} is a folder of several runs: give the file of one.")
    return found
