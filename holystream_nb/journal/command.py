"""`holystream-nb journal`: look into the journal, take something out of it, forget something."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ..errors import SetupError
from ..live.saved import printable
from ..wire.redaction import MARKS
from .journal import journal
from .place import SITE_FILE, VARIABLE
from .reading import content_of
from .values import Answer

EPILOG: Final = f"""\
Every answer of %%stream, hs.stream and the panels is kept as it arrives, for 90 days and 500 MB at most.
{VARIABLE}=0 turns that off, {VARIABLE}=/a/folder puts it elsewhere; for all users of a machine
{SITE_FILE} says so (`where` names its place). Keys that are in use are never kept. Masked is what looks like one:
{MARKS}
Pictures are kept as their sha256 and size."""

_WIDTH: Final = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listed = actions.add_parser("list", help="the newest answers (the default)")
    listed.add_argument("-n", type=_count, default=20, help="how many (default 20)")
    found = actions.add_parser("find", help="answers in which, or in whose question, all words are")
    found.add_argument("words", nargs="+", help="in any case and order")
    found.add_argument("-n", type=_count, default=20, help="how many (default 20)")
    shown = actions.add_parser("show", help="one answer, whole")
    shown.add_argument("id", help="its id, or how it begins")
    exported = actions.add_parser("export", help="all answers, to a file")
    exported.add_argument("file", type=Path, help=".jsonl, .csv or .md")
    exported.add_argument("--words", nargs="+", default=[], help="only answers with all of these words")
    forgotten = actions.add_parser("forget", help="erase answers; their bytes are overwritten")
    forgotten.add_argument("ids", nargs="*", metavar="ID")
    forgotten.add_argument("--before", type=_date, metavar="DATE", help="older ones: 2026-05-31")
    forgotten.add_argument("--notebook", metavar="PATH", help="those of one notebook")
    forgotten.add_argument("--all", action="store_true", help="all answers and conversations")
    forgotten.add_argument("--yes", action="store_true", help="do not ask")
    actions.add_parser("where", help="where the journal is, how large it is, and what holds")


def run(options: argparse.Namespace) -> int:
    """Carries it out; the exit code. Raises SetupError for what cannot be."""
    action = options.action or "list"
    code = 0
    if action == "list":
        _print(_lines(journal.answers(limit=getattr(options, "n", 20))))
    elif action == "find":
        code = _find(options.words, options.n)
    elif action == "show":
        _print([_whole(_named(options.id))])
    elif action == "export":
        _export(options.file, journal.answers(words=options.words))
    elif action == "forget":
        code = _forget(options)
    else:
        _where()
    if said := journal.notice():
        print(printable(said), file=sys.stderr)
    return code


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("give a whole number, 1 or more")
    return int(text)


def _date(text: str) -> float:
    """A day or a moment, in the time of this place, in seconds since 1970."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError("give a date, as 2026-05-31, or 2026-05-31T18:00") from None


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _lines(answers: Sequence[Answer]) -> list[str]:
    """A line for each: id, time, model, notebook, and the first words of question and answer."""
    return [_line(answer) for answer in answers] or ["The journal has no answers."]


def _line(answer: Answer) -> str:
    where = answer.origin.notebook or answer.origin.door
    parts = [answer.id, f"{_time(answer.began):%Y-%m-%d %H:%M}", answer.model, where, _short(asked(answer))]
    return "  ".join([*parts, f"→ {_short(answer.text)}{_state(answer)}"])


def _state(answer: Answer) -> str:
    if answer.is_running:
        return " [running]"
    if answer.ended is None:
        return " [interrupted: the kernel ended]"
    return "" if answer.state == "done" else f" [{answer.state}]"


def asked(answer: Answer) -> str:
    """The text of what was asked: of the last message that a user sent."""
    asked = [message for message in answer.messages if message.get("role") == "user"]
    return content_of(asked[-1]) if asked else ""


def _short(text: str) -> str:
    words = " ".join(text[: 4 * _WIDTH].split())
    return words if len(words) <= _WIDTH else f"{words[: _WIDTH - 1]}…"


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds).astimezone()


def _find(words: Sequence[str], limit: int) -> int:
    found = journal.answers(words=" ".join(words), limit=limit)
    _print([_line(answer) for answer in found] or ["No answer has all of these words."])
    return 0 if found else 1


def _named(beginning: str) -> Answer:
    found = journal.answers(ids=[beginning])
    if len(found) != 1:
        count = "no answer" if not found else f"{len(found)} answers"
        raise SetupError(f"The journal has {count} whose id begins like this: `holystream-nb journal` lists them.")
    return found[0]


def _whole(answer: Answer) -> str:
    """An answer as Markdown: where and when, what was asked, what came."""
    where = [answer.origin.notebook or answer.origin.door, f"{_time(answer.began):%Y-%m-%d %H:%M:%S}"]
    parts = [f"## {answer.id}", " · ".join([answer.label or answer.model, answer.provider, *where]) + _state(answer)]
    for message in answer.messages:
        parts.append(f"**{message.get('role', 'message')}**\n\n{content_of(message)}")
    if answer.reasoning:
        parts.append(f"**reasoning**\n\n{answer.reasoning}")
    parts.append(f"**answer**\n\n{answer.text}")
    parts += [each for each in (answer.ending, answer.error) if each]
    return "\n\n".join(parts)


def _export(path: Path, answers: Sequence[Answer]) -> None:
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        raise SetupError(f"{path.name} ends in none of {', '.join(_WRITERS)}: the ending says what is written.")
    text = _WRITERS[ending](answers)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # as private as the journal
        with os.fdopen(file, "w", encoding="utf-8", newline="") as to:
            to.write(text)
    except OSError as exc:
        raise SetupError(f"{path} cannot be written ({exc.strerror}).") from exc
    print(f"{_counted(len(answers), 'answer')} written to {printable(str(path))}.")


def _jsonl(answers: Sequence[Answer]) -> str:
    return "".join(json.dumps(_plain(answer), ensure_ascii=False) + "\n" for answer in answers)


def _plain(answer: Answer) -> dict[str, Any]:
    return {**asdict(answer), "began": _time(answer.began).isoformat(), "ended": _moment(answer.ended)}


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else _time(seconds).isoformat()


def _csv(answers: Sequence[Answer]) -> str:
    """A row for each; no cell begins like a formula, which a spreadsheet would carry out."""
    to = io.StringIO()
    rows = csv.writer(to)
    fixed = ("id", "began", "ended", "door", "notebook", "cell", "model", "provider", "state", "asked", "text", "error")
    figures = [*dict.fromkeys(name for answer in answers for name in answer.record if name not in fixed)]
    rows.writerow([*fixed, *figures])
    for answer in answers:
        origin = answer.origin
        told = [origin.door, origin.notebook, origin.cell, answer.model, answer.provider, answer.state]
        row = [answer.id, _moment(answer.began), _moment(answer.ended), *told, asked(answer), answer.text, answer.error]
        rows.writerow([_cell(each) for each in [*row, *(answer.record.get(name) for name in figures)]])
    return to.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What begins one: https://owasp.org/www-community/attacks/CSV_Injection"""


def _markdown(answers: Sequence[Answer]) -> str:
    return "\n\n---\n\n".join(map(_whole, answers)) + "\n"


_WRITERS: Final = {".jsonl": _jsonl, ".csv": _csv, ".md": _markdown}


def _forget(options: argparse.Namespace) -> int:
    if not (options.ids or options.all or options.before is not None or options.notebook is not None):
        raise SetupError("Nothing is named: give ids, --before DATE, --notebook PATH, or --all.")
    if options.all and (options.ids or options.before is not None or options.notebook is not None):
        raise SetupError("--all is for everything: leave out ids, --before and --notebook.")
    named = [_named(each) for each in options.ids]
    ids = [answer.id for answer in named] or None
    if not options.yes and not _agrees("everything" if options.all else "these answers"):
        return 1
    gone = journal.forget(ids, before=options.before, notebook=options.notebook, everything=options.all)
    print(f"{_counted(gone, 'answer')} forgotten.")
    return 0


def _agrees(what: str) -> bool:
    try:
        return input(f"Forget {what} for good? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _where() -> None:
    from .file import files
    from .place import site_file

    held = journal.settings
    there = files(held.path)
    size = sum(file.size for file in there) / 1e6
    running = sum(file.is_living for file in there)
    lines = [
        f"{held.path}: {'on' if held.is_on else 'off'}",
        f"{size:,.1f} MB in {_counted(len(there), 'file')}, {running:,} being written",
        f"kept for {held.days:g} days, {held.megabytes:g} MB at most, pictures {'too' if held.images else 'as hashes'}",
        f"the machine's file: {site_file()}",
    ]
    _print(lines)


def _print(lines: Sequence[str]) -> None:
    """Safe for a terminal, to standard output as long as somebody reads it."""
    try:
        print("\n".join(map(printable, lines)), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more at its end
