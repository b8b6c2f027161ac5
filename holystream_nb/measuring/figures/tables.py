"""A result for the reader: one table with its verdict and its notes, as Markdown or as plain text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Any, Final

from ...live.harmless import plain_line
from ...money.amount import currency
from ...money.card import SIMULATED
from ..values.plan import connections
from ..values.record import Trial
from ..values.run import Run
from ..values.words import asked, digits
from .comparison import compare
from .notes import notes
from .statistics import Interval, Quantile
from .summary import MOST, WORDS, is_spoilt
from .throughput import throughput

Cells = Mapping[str, Mapping[str, Any]]

_ROWS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "": {
        "n": ["n"],
        "errors": ["errors", "error_rate"],
        "not ended by the model": ["ended"],
        "good requests (%)": ["good_share"],
    },
    "Latency": {
        "TTFT p50 (ms)": ["ttft_p50_ms"],
        "TTFT p95 · p99 (ms)": ["ttft_p95_ms", "ttft_p99_ms"],
        "TTFT mean · min · max · sd (ms)": ["ttft_mean_ms", "ttft_min_ms", "ttft_max_ms", "ttft_sd_ms"],
        "TTFT from the scheduled start p50 · p95 (ms)": ["ttft_scheduled_p50_ms", "ttft_scheduled_p95_ms"],
        "TTFT p50, net of one round trip (ms)": ["ttft_net_p50_ms"],
        "TCP round trip p50 (ms)": ["round_trip_p50_ms"],
        "TTFT p50 by the service's clock (ms)": ["service_ttft_ms"],
        "TTFA p50 (ms)": ["ttfa_p50_ms"],
        "E2E p50 (s)": ["e2e_p50_s"],
        "E2E p95 · p99 (s)": ["e2e_p95_s", "e2e_p99_s"],
        "E2E mean · min · max · sd (s)": ["e2e_mean_s", "e2e_min_s", "e2e_max_s", "e2e_sd_s"],
        "E2E from the scheduled start p50 · p95 (s)": ["e2e_scheduled_p50_s", "e2e_scheduled_p95_s"],
        "gap p50 (ms)": ["gap_p50_ms"],
        "gap p95 · p99 (ms)": ["gap_p95_ms", "gap_p99_ms"],
    },
    "Speed": {
        "TPOT p50 · p95 (ms)": ["tpot_p50_ms", "tpot_p95_ms"],
        "decode tok/s": ["decode_tokens_per_s"],
        "decode tok/s by the service's clock": ["service_decode_tokens_per_s"],
        "e2e tok/s": ["e2e_tokens_per_s"],
        "events per read · in bursts (%)": ["events_per_read", "bursts"],
        "tokens per event": ["tokens_per_event"],
    },
    "Load": {
        "in flight (mean)": ["in_flight"],
        "requests/s": ["requests_per_s"],
        "goodput (req/s)": ["goodput_per_s"],
        "output tok/s · system tok/s": ["output_tokens_per_s", "system_tokens_per_s"],
        "lag p50 · p95 (ms)": ["lag_p50_ms", "lag_p95_ms"],
        "queue p50 · p95 (ms)": ["queue_p50_ms", "queue_p95_ms"],
        "connect p50 (ms)": ["connect_p50_ms"],
        "input · output tokens per request": ["input_tokens", "output_tokens"],
        "cached tokens per request": ["cached_tokens"],
    },
    "Cost": {
        **{WORDS[name]: [name] for name in WORDS if name.endswith(("_1k_requests", "_1m_tokens"))},
        WORDS["stated_usd_per_request"]: ["stated_usd_per_request"],
    },
}
"""Groups of rows, each with its words and the figures that stand in it: of two models no more than a screen."""

_PLAIN_FROM: Final = 1.05
"""Events in a read and tokens in an event that are worth a row: from here on they are not one each."""

_NEAR: Final = 0.01
"""A round trip of less than this part of TTFT p50 changes no digit that counts."""

_ESTIMATED: Final = {
    **dict.fromkeys(
        (
            *("tpot_p50_ms", "tpot_p95_ms", "decode_tokens_per_s", "e2e_tokens_per_s", "tokens_per_event"),
            *("output_tokens_per_s", "system_tokens_per_s", "input_tokens", "output_tokens"),
        ),
        "is_counted",
    ),
    **{
        f"{name}_per_{what}": "cost_exact"
        for name in ("usd", "cny")
        for what in ("request", "1k_requests", "1m_tokens")
    },
}
"""Figures that may be estimates, and what of a trial says that they are none."""

STAR: Final = "* no interval at this size"
BURST: Final = "† came in bursts"


@dataclass(frozen=True, slots=True)
class Text:
    """What a reader gets: the lines of `first`, `rows` (a group's name alone, or words and a cell for each of `head`),
    then lines, notes.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...]
    notes: tuple[str, ...]
    first: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Names are a user's, notes may quote a service: nothing in them is Markdown."""
        table = [part for line in self.first for part in (_cell(line), "")]
        table += [_line(map(_cell, ["", *self.head])), _line(["---", *("---:" for _ in self.head)])]
        for words, *found in self.rows:
            table.append(
                _line([_cell(words) if found else f"**{_cell(words)}**", *map(_cell, found or [""] * len(self.head))])
            )
        after = [part for line in self.lines for part in ("", _cell(line))]
        return "\n".join([*table, *after, "", *(f"* {_cell(note)}" for note in self.notes)]).rstrip() + "\n"

    def html(self) -> str:
        """The table and the lines as HTML, in which every name is only text; the notes as a list."""
        head = "".join(f'<th scope="col">{escape(_clean(each))}</th>' for each in self.head)
        body = []
        for words, *found in self.rows:
            cells = "".join(f"<td>{escape(_clean(cell))}</td>" for cell in found)
            span = "" if found else f' colspan="{len(self.head) + 1}"'
            body.append(f'<tr><th scope="row"{span}>{escape(_clean(words))}</th>{cells}</tr>')
        first, lines = ("".join(f"<p>{escape(_clean(line))}</p>" for line in each) for each in (self.first, self.lines))
        notes = "".join(f"<li>{escape(_clean(note))}</li>" for note in self.notes)
        table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        return f"{first}{table}{lines}<ul>{notes}</ul>"

    def plain(self) -> str:
        """Columns that are aligned, for a terminal."""
        rows = [("", *map(_clean, self.head))]
        rows += [tuple(map(_clean, (words, *(found or [""] * len(self.head))))) for words, *found in self.rows]
        widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(
                [
                    _filled(words, widths[0], str.ljust),
                    *(_filled(c, w, str.rjust) for c, w in zip(found, widths[1:], strict=True)),
                ]
            ).rstrip()
            for words, *found in rows
        ]
        first = [*map(_clean, self.first), ""] if self.first else []
        return "\n".join([*first, *table, "", *map(_clean, self.lines), *(f"- {_clean(note)}" for note in self.notes)])


def text(result: Run, cells: Cells) -> Text:
    """The reader's text of a result, whose cells these are. Costs are in the currency that the reader chose."""
    rows: list[tuple[str, ...]] = []
    for group, each in _ROWS.items():
        found = [row for words, names in each.items() if (row := _row(result, cells, words, names))]
        rows += [(group,)] if group and found else []
        rows += found
    lines = [*_verdict(result), _of_the_run(result), *_prices(result, cells), *legend(rows)]
    heads = tuple(result.label(arm) for arm in cells)
    return Text(heads, tuple(rows), tuple(lines), tuple(notes(result)))


def legend(rows: Sequence[Sequence[str]]) -> list[str]:
    """What the marks in these rows mean."""
    cells = "\n".join(cell for _, *found in rows for cell in found)
    marks = [words for words in (STAR, BURST) if words[0] in cells]
    return [" · ".join(marks)] if marks else []


def _row(result: Run, cells: Cells, words: str, names: Sequence[str]) -> tuple[str, ...] | None:
    """None where no arm has a value, or none that says anything."""
    other = "usd_" if currency() == "CNY" else "cny_"
    if names[0].startswith(other) or _is_idle(names[0], cells):
        return None
    if names[0] == "cached_tokens" and not result.plan.cache and not any(row[names[0]] for row in cells.values()):
        return None
    found = [_joined([_shown(result, arm, row, name) for name in names]) for arm, row in cells.items()]
    return (words, *found) if any(cell != "–" for cell in found) else None


def _is_idle(name: str, cells: Cells) -> bool:
    """Whether a row would only repeat what is plain: TTFA that is TTFT, one event a read, no queue, no distance."""
    values = [(_value(row[name]), row) for row in cells.values()]
    if name == "ttfa_p50_ms":
        return all(value == _value(row["ttft_p50_ms"]) for value, row in values)
    if name in ("ttft_net_p50_ms", "round_trip_p50_ms"):
        return all(
            (_value(row["round_trip_p50_ms"]) or 0) < _NEAR * (_value(row["ttft_p50_ms"]) or 0)
            for row in cells.values()
        )
    if name in ("events_per_read", "tokens_per_event"):
        return all((value or 0) < _PLAIN_FROM for value, _ in values)
    if name in ("queue_p50_ms", "connect_p50_ms"):
        return all(
            (_value(row[name.replace("p50", "p95")] if name[0] == "q" else row[name]) or 0) < 1
            for row in cells.values()
        )
    return False


def _value(figure: Any) -> float | None:
    return figure.value if isinstance(figure, Quantile | Interval) else figure


def _shown(result: Run, arm: str, row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    said = shown(value)
    if said == "–":
        return said
    if name == "error_rate":
        return f"({digits(value.low)} to {digits(value.high)} %)" if value.has_interval else ""
    if known := _ESTIMATED.get(name):
        said = _approximate(said, result.of(arm), known)
    if "usd_" in name or "cny_" in name:
        said = _labelled(said, row["price_source"])
    return f"{said}{dagger(row, name)}"


def dagger(row: Mapping[str, Any], name: str) -> str:
    """The mark of a figure that bursts spoil, in the row of an arm whose answers came in them."""
    return "†" if is_spoilt(name) and (row["bursts"].value or 0.0) > MOST else ""


def _joined(parts: Sequence[str]) -> str:
    if parts[-1].endswith("%)"):
        return " ".join(parts)
    return "–" if all(part == "–" for part in parts) else " · ".join(parts)


def _verdict(result: Run) -> list[str]:
    """The first arm against each other one, in pairs: TTFT, and of two also whole answers and speed."""
    first, *others = result.arms
    found = [compare(result, first, other) for other in others]
    if len(found) == 1 and found[0].difference.has_interval:
        found += [compare(result, first, others[0], metric) for metric in ("e2e_s", "decode_tokens_per_s")]
    return [each.sentence for each in found]


def _prices(result: Run, cells: Cells) -> list[str]:
    """Whose prices these are, and of when: once where they are the same for all."""
    said = {
        arm: row["price_source"] + (f" ({row['price_as_of']})" if row["price_as_of"] else "")
        for arm, row in cells.items()
    }
    if len(set(said.values())) == 1:
        return [f"Prices: {text}" for text in {*said.values()} if text]
    return [f"Prices: {'; '.join(f'{result.label(arm)}: {text}' for arm, text in said.items() if text)}"]


def _of_the_run(result: Run) -> str:
    """How it was asked, and what all arms together got."""
    plan, whole = result.plan, throughput(result)
    parts = [*asked(plan), *connections(plan), f"seed {plan.seed}"]
    words_of = {
        "duration_s": "{} s",
        "requests_per_s": "{} requests/s",
        "in_flight": "{} in flight",
        "goodput_per_s": "goodput {} req/s",
        "output_tokens_per_s": "output {} tok/s",
        "system_tokens_per_s": "system {} tok/s",
    }
    for name, words in words_of.items():
        if (value := whole[name]) is not None:
            known = _ESTIMATED.get(name)
            parts.append(words.format(_approximate(digits(value), result.records, known) if known else digits(value)))
    return " · ".join(parts)


def shown(value: Any) -> str:
    """A figure as it stands in a cell; "–" where there is none."""
    if value is None or value != value or value == "":
        return "–"
    if isinstance(value, Quantile | Interval):
        return "–" if value.value is None else str(value)
    if isinstance(value, Decimal | float):
        return digits(float(value))
    return str(value)


def _labelled(cell: str, price: str) -> str:
    """An amount that nobody is paid says so itself: a line of a table is read alone."""
    return f"{cell} ({SIMULATED})" if price.startswith(SIMULATED) and cell != "–" else cell


def _approximate(cell: str, trials: Sequence[Trial], name: str) -> str:
    """The cell, marked where what it says of one of these requests is an estimate."""
    is_exact = all(getattr(trial, name) for trial in trials if not trial.error)
    return cell if is_exact or not cell[:1].isdigit() else f"≈{cell}"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return plain_line(text).replace("|", "\\|")


def _clean(text: str) -> str:
    """One line without control characters, which a terminal might obey."""
    return "".join(each if each.isprintable() else " " for each in text)


def _width(text: str) -> int:
    """Columns that a terminal needs."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _filled(text: str, width: int, fill: Callable[[str, int], str]) -> str:
    return fill(text, width - _width(text) + len(text))
