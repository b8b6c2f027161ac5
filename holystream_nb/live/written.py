"""What the journal has of a notebook's answers, as the outputs that stand for them in their cells.

For answers whose kernel has ended, or is not heard: the Jupyter server reads them for a page, or the next kernel does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ..journal.journal import journal
from ..journal.values import Answer
from ..money.card import SIMULATED, UNKNOWN
from ..money.cost import Cost
from .figures import approximate, milliseconds, money, rate, tokens
from .marks import mark_of
from .saved import WORDS, bracketed, limited, marked, printable

MOST: Final = 200
"""Answers of a notebook that are looked at, the newest first."""
LARGEST: Final = 16_000_000
"""Characters of all outputs together."""

RUNNING: Final = "still being written: this is not the whole answer yet"

Output = dict[str, Any]


def written(notebook: str, marks: Any = None) -> list[Output]:
    """The outputs of this notebook's cells, each execution's in their order: `{mark, notebook, began, running, …}`.

    notebook: its path; also asked for by their marks are answers that it showed under another name: a mark names both
    a cell and the execution, which nobody can guess. `data` and `metadata` are an output's; `running`: it is not whole.
    """
    found = {answer.id: answer for answer in journal.answers(notebook=notebook, limit=MOST)} if notebook else {}
    for cell, execution in _places(marks):
        found |= {answer.id: answer for answer in journal.answers(cell=cell, execution=execution, limit=MOST)}
    outputs: list[Output] = []
    room = LARGEST
    for run in _runs(found.values()):
        for order, answers in enumerate(run):
            output = _output(answers, order)
            room -= sum(map(len, output["data"].values()))
            if room >= 0:
                outputs.append(output)
    return outputs


def _places(marks: Any) -> list[tuple[str, str]]:
    places = []
    for mark in marks[:MOST] if isinstance(marks, list) else []:
        cell, execution = (mark.get("cell"), mark.get("execution")) if isinstance(mark, dict) else (None, None)
        if isinstance(cell, str) and isinstance(execution, str) and cell and execution:
            places.append((cell, execution))
    return places


def _runs(answers: Iterable[Answer]) -> list[list[list[Answer]]]:
    """By execution, the newest first; in each, its groups in the order of asking."""
    runs: dict[tuple[str, str], dict[str, list[Answer]]] = {}
    for answer in sorted(answers, key=lambda answer: answer.began):
        where = answer.origin
        if where.door in ("cell", "python") and where.cell and where.execution:
            groups = runs.setdefault((where.cell, where.execution), {})
            groups.setdefault(answer.group or answer.id, []).append(answer)
    return [[*groups.values()] for groups in reversed(runs.values())]


def _output(answers: Sequence[Answer], order: int) -> Output:
    origin, ids = answers[0].origin, [answer.id for answer in answers]
    running = any(answer.is_running and answer.ended is None for answer in answers)
    mark = mark_of(ids[0], origin, order, ids)
    several = len(answers) > 1
    plain = "\n\n".join(_plain(answer, titled=several) for answer in answers)
    data = limited(plain, answers[0].format, lambda: _markdown(answers))
    records = {answer.label: dict(answer.record) for answer in answers}
    return {
        "mark": {**mark, "unfinished": True} if running else mark,
        "notebook": origin.notebook,
        "began": answers[0].began,
        "running": running,
        "data": data,
        "metadata": {"holystream": records if several else dict(answers[0].record)},
    }


def _how(answer: Answer) -> str:
    if answer.ended is not None:
        said: str = WORDS.get(answer.state, "")  # type: ignore[call-overload]  # it is a state
        return said
    return RUNNING if answer.is_running else WORDS["lost"]


def _status(answer: Answer) -> str:
    return " · ".join(filter(None, [answer.label, answer.note, *_figures(answer.record), _how(answer)]))


def _figures(record: Mapping[str, Any]) -> list[str]:
    """Those figures of an answer that its record has."""
    found, exact = [], bool(record.get("tokens_exact"))
    if (ttft := record.get("ttft_ms")) is not None:
        found.append(f"TTFT {milliseconds(ttft)}")
    if (pace := record.get("decode_tokens_per_s")) is not None:
        found.append(f"{approximate(exact)}{rate(pace)}")
    if (count := record.get("completion_tokens")) is not None:
        found.append(tokens(count, exact=exact))
    if "cost_usd" in record:
        found.append(money(_cost(record)))
    return found


def _cost(record: Mapping[str, Any]) -> Cost:
    usd, cny = (None if (sum_ := record.get(name)) is None else Decimal(sum_) for name in ("cost_usd", "cost_cny"))
    note = UNKNOWN if usd is None else SIMULATED if record.get("simulated") else ""
    return Cost(usd, cny, bool(record.get("cost_exact")), "", "", note)


def _plain(answer: Answer, *, titled: bool) -> str:
    parts = [f"== {answer.label}" if titled else ""]
    if answer.reasoning.strip():
        parts.append(f"[reasoning]\n{answer.reasoning.strip()}")
    parts += [answer.text, bracketed(_status(answer), answer.ending), answer.error]
    return printable("\n\n".join(part for part in parts if part))


def _markdown(answers: Sequence[Answer]) -> str:
    from .harmless import plain_line

    parts: list[str] = []
    for answer in answers:
        if len(answers) > 1:
            parts.append(f"### {plain_line(answer.label)}")
        parts += _section(answer)
        if answer.error:
            parts.append(f"**{plain_line(answer.error)}**")
        parts += [*(["---"] if parts else []), marked(_status(answer), answer.ending)]
    return "\n\n".join(parts)


def _section(answer: Answer) -> list[str]:
    from .harmless import code_block, harmless

    parts = []
    if answer.reasoning.strip():
        parts += ["<details><summary>Reasoning</summary>", harmless(answer.reasoning), "</details>"]
    if answer.text.strip("\n"):
        parts.append(code_block(answer.text, "json") if answer.format == "json" else harmless(answer.text))
    return [part.strip("\n") for part in parts]
