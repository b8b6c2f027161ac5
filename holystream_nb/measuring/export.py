"""A result for other programs: one row a request, in one schema, as CSV, Parquet or JSON.

Names are OpenTelemetry's (GenAI semantic conventions, in development, and its stable ones) where it has one, and begin
with `holystream.` elsewhere: there they are the columns of `Result.trials`. All times are in s, as OpenTelemetry has
them, so `tpot_ms` is `holystream.tpot_s`. `gen_ai.response.time_to_first_chunk` is our TTFT, to the first chunk with
output; `gen_ai.server.time_to_first_token` is what a server measures of itself, and stands nowhere here.

A row says what was asked and, where the run kept it, what was answered: whoever publishes rows publishes these texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from .. import __version__
from ..errors import SetupError
from ..money.exact import exactly
from .figures.answers import question
from .figures.figures import Figures
from .figures.trials import COLUMNS
from .values.folder import path_of

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA: Final = 2
"""Of the rows: it grows when a name comes, goes or changes its meaning. 1 had no texts."""

_CALLED: Final[Mapping[str, str]] = {
    "error": "error.type",
    "ttft_ms": "gen_ai.response.time_to_first_chunk",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "finish_reason": "gen_ai.response.finish_reasons",
    "response_id": "gen_ai.response.id",
    "status": "http.response.status_code",
}
"""OpenTelemetry's names of columns of `Result.trials`."""

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "gen_ai.operation.name": ("string", "chat"),
    "gen_ai.provider.name": ("string", "the provider's name here, or its host"),
    "gen_ai.request.model": ("string", "the model that was asked for"),
    "gen_ai.client.operation.duration": ("number", "s from the call to its end, failures too"),
    "gen_ai.response.time_to_first_chunk": ("number", "s from sent to the first output event (TTFT)"),
    "gen_ai.response.finish_reasons": ("array", "the service's words; in CSV the word alone"),
    "gen_ai.usage.input_tokens": ("integer", "cached ones included"),
    "gen_ai.usage.output_tokens": ("integer", "reasoning included"),
    "gen_ai.usage.cache_read.input_tokens": ("integer", "of the input tokens"),
    "gen_ai.usage.reasoning.output_tokens": ("integer", "of the output tokens"),
    "gen_ai.response.id": ("string", "the service's own"),
    "error.type": ("string", "the failure's class, null for none"),
    "http.response.status_code": ("integer", "of a failure"),
    "holystream.plan": ("string", "the plan's hash: rows of one plan may be put together"),
    "holystream.started": ("string", "when the request's sitting began (ISO 8601)"),
    "holystream.prompt_name": ("string", "what the prompt was called, null where prompts had no names"),
    "holystream.question": ("string", "what the prompt asks: its text, of messages the last of the user's"),
    "holystream.answer": ("string", "as it came, null where none was kept (answers=True keeps them)"),
}

Kind = Literal["string", "integer", "number", "boolean", "array", "amount"]

_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(
        (
            *("transport", "wire", "cache", "error", "token_source", "transport_used", "price_note", "ended"),
            *("message", "response_id"),
        ),
        "string",
    ),
    **dict.fromkeys(
        (
            *("prompt", "repeat", "turn", "burst", "output_tokens", "reasoning_tokens", "prompt_tokens"),
            *("cached_tokens", "characters", "bytes", "retries", "resent", "status", "session", "worker", "stream"),
        ),
        "integer",
    ),
    **dict.fromkeys(("steady", "meets_limits"), "boolean"),
    **dict.fromkeys(("cost_usd", "cost_cny", "stated_cost_usd"), "amount"),
    "finish_reason": "array",
}
"""Of the columns of `Result.trials` that are no numbers with a fraction: the same in every file, also where all values
are missing. An amount is a Decimal: in JSON and CSV a text, in Parquet a decimal of `_PLACES` places."""

_PLACES: Final = 20

_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet would carry out, the wide forms too (OWASP, CSV Injection)."""


def _name(column: str) -> str:
    if column in _CALLED:
        return _CALLED[column]
    return f"holystream.{column.removesuffix('_ms')}_s" if column.endswith("_ms") else f"holystream.{column}"


def schema() -> dict[str, Any]:
    """The rows' JSON Schema: every name, its type, and what it means where that is not `Result.trials`' own."""
    columns = [column for column in COLUMNS if column != "model"]
    ours = {name: f"; {column} of Result.trials" for column, name in _CALLED.items()}
    found: dict[str, dict[str, Any]] = {
        name: {"type": [kind, "null"], "description": f"{words}{ours.get(name, '')}"}
        for name, (kind, words) in _WORDS.items()
    }
    for column in columns:
        kind = "string" if _kind(column) == "amount" else _kind(column)
        words = f"{column} of Result.trials{_unit(column)}"
        found.setdefault(_name(column), {"type": [kind, "null"], "description": words})
    found["gen_ai.response.finish_reasons"]["items"] = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A request measured by holystream_nb, schema {SCHEMA}",
        "type": "object",
        "properties": found,
        "required": list(found),
        "additionalProperties": False,
    }


def _kind(column: str) -> Kind:
    return _KINDS.get(column, "number")


def _unit(column: str) -> str:
    if _kind(column) == "amount":
        return ", exact, as a text"
    return ", in s" if column.endswith("_ms") else ""


def rows(result: Figures) -> list[dict[str, Any]]:
    """One mapping a request, by the names of `schema()`: numbers, texts, True, False, None; Decimals for costs."""
    started = {session.number: session.started for session in result.sessions}
    anchors = {session.number: session.wall_ns for session in result.sessions}
    records = sorted(result.records, key=lambda trial: anchors.get(trial.session, 0) + trial.submitted)
    names = result.plan.names
    found = []
    for trial, row in zip(records, result.trials.to_dict("records"), strict=True):
        provider, model = result.plan.split(trial.model)
        found.append(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.client.operation.duration": (trial.over - trial.submitted) / 1e9,
                "holystream.plan": result.plan.hash,
                "holystream.started": started.get(trial.session, ""),
                "holystream.prompt_name": names[trial.prompt] if names else None,
                "holystream.question": question(result.plan, trial.prompt),
                "holystream.answer": trial.text or None,
            }
            | {_name(column): _value(column, row[column]) for column in COLUMNS if column != "model"}
        )
    return found


def _value(column: str, value: Any) -> Any:
    if column == "finish_reason":
        return [value] if value else []
    if value is None or value != value or (column == "error" and not value):
        return None
    match _kind(column):
        case "integer":
            return int(value)
        case "number":
            return float(value) / 1e3 if column.endswith("_ms") else float(value)
        case "boolean":
            return bool(value)
        case _:
            return value


def document(result: Figures) -> dict[str, Any]:
    """All of it as JSON has it: the schema, how the run came to be, the summary, the notes, the rows."""
    return {
        "schema": schema(),
        "holystream_nb": __version__,
        "run": {
            "plan": result.plan.hash,
            "models": list(result.models),
            "prompts": len(result.plan.prompts),
            "repeats": result.plan.repeats,
            "concurrency": result.plan.concurrency,
            "rate": result.plan.rate,
            "rate_to": result.plan.rate_to,
            "arrivals": result.plan.arrivals,
            "seed": result.plan.seed,
            "limits": result.plan.limits,
            "parameters": result.plan.parameters,
            "simulator": result.simulator,
            "missing": result.missing,
            "sessions": [session.started for session in result.sessions],
        },
        "summary": {arm: {name: _cell(cell) for name, cell in row.items()} for arm, row in result.cells.items()},
        "notes": list(result.notes),
        "requests": rows(result),
    }


def _cell(cell: Any) -> Any:
    """A figure with its interval, where it has one: {value, low, high, n}."""
    if hasattr(cell, "has_interval"):
        return {"value": cell.value, "low": cell.low, "high": cell.high, "n": cell.n}
    return cell


def to_json(result: Figures, path: str | Path) -> Path:
    return written(path, lambda to: to.write_text(as_json(document(result)), "utf-8"))


def as_json(value: Any) -> str:
    """JSON that every reader takes: Decimals are texts, and what is not finite is null."""
    return json.dumps(_plain(value), ensure_ascii=False, indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value


def to_csv(result: Figures, path: str | Path) -> Path:
    """As spreadsheets read it: they take a file for UTF-8 by its mark, and part rows at a bare CR too."""
    frame = _frame(result)
    frame["gen_ai.response.finish_reasons"] = [" ".join(each) for each in frame["gen_ai.response.finish_reasons"]]
    for name, kind in _columns().items():
        if kind not in _DTYPES:
            frame[name] = [_cell_of_csv(value) for value in frame[name]]
    return written(path, lambda to: frame.to_csv(to, index=False, encoding="utf-8-sig"))


def _cell_of_csv(value: Any) -> Any:
    if isinstance(value, str):
        text = value.replace("\r\n", "\n").replace("\r", "\n")
        return f"'{text}" if text.startswith(_FORMULAS) else text
    return f"{value:f}" if isinstance(value, Decimal) else value


def to_parquet(result: Figures, path: str | Path) -> Path:
    try:
        pyarrow = import_module("pyarrow")  # has no types
    except ImportError as exc:
        raise SetupError("Parquet is written by pyarrow: pip install pyarrow, or use to_csv or to_json.") from exc
    types = {
        "string": pyarrow.string(),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "array": pyarrow.list_(pyarrow.string()),
        "amount": pyarrow.decimal128(38, _PLACES),
    }
    columns = pyarrow.schema([(name, types[kind]) for name, kind in _columns().items()])
    frame = _frame(result)
    for name, kind in _columns().items():
        if kind == "amount":
            frame[name] = frame[name].map(_placed)
    return written(path, lambda to: frame.to_parquet(to, engine="pyarrow", index=False, schema=columns))


def _placed(amount: Decimal | None) -> Decimal | None:
    if amount is None:
        return None
    with exactly():
        return amount.quantize(Decimal(1).scaleb(-_PLACES))


_DTYPES: Final = {"integer": "Int64", "number": "float64", "boolean": "boolean"}


def _columns() -> dict[str, Kind]:
    """Every name of the schema with what it holds."""
    kinds = {_name(column): _kind(column) for column in COLUMNS}
    words: dict[str, Kind] = {"gen_ai.client.operation.duration": "number"}
    return {name: kinds.get(name) or words.get(name, "string") for name in schema()["properties"]}


def _frame(result: Figures) -> DataFrame:
    """Rows as a frame; whole numbers, and True and False, stay such where some are missing."""
    from pandas import DataFrame

    kinds = _columns()
    frame = DataFrame(rows(result), columns=list(kinds), dtype=object)
    return frame.astype({name: _DTYPES[kind] for name, kind in kinds.items() if kind in _DTYPES})


def written(path: str | Path, write: Callable[[Path], object]) -> Path:
    """What `write` makes of a path, in folders that are made for it; SetupError where there is no writing."""
    to = path_of(path)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write(to)
    except OSError as exc:
        raise SetupError(f"{to} cannot be written ({exc.strerror}).") from exc
    return to
