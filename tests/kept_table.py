"""What is left of an answer, as the table in the README: `python -m tests.kept_table` writes it.

Its rows stand at the browser's tests that do each thing for real; it is written only if all of them pass.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

README: Final = Path(__file__).parent.parent / "README.md"
BEGIN: Final = "<!-- kept: written by `python -m tests.kept_table` -->"
END: Final = "<!-- end of what is kept -->"
TESTS: Final = ("test_kept",)
"""The modules of `browser` whose tests have rows."""


@dataclass(frozen=True)
class Row:
    """`happens` befalls an answer, `how` is what is seen of it, `test` does it."""

    happens: str
    how: str
    test: str


def kept(happens: str, how: str) -> pytest.MarkDecorator:
    """The test is a row of the table."""
    return pytest.mark.kept(happens, how)


def rows() -> list[Row]:
    """In the order of the tests."""
    found = []
    for module in TESTS:
        for name, test in vars(import_module(f"browser.{module}")).items():
            marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "kept"]
            found += [Row(*mark.args, test=name) for mark in marks if name.startswith("test_")]
    return found


def render() -> str:
    """The README's part."""
    table = "".join(f"| {row.happens} | *kept*: {row.how} |\n" for row in rows())
    return f"{BEGIN}\n\n| while an answer streams | what you see |\n|---|---|\n{table}\n{END}"


def in_readme() -> str:
    """What the README holds now; "" where it has no such part."""
    text = README.read_text("utf-8")
    return text[text.index(BEGIN) : text.index(END) + len(END)] if BEGIN in text else ""


class Witness:
    """How the tests of the rows ended: all of a test's cases must have passed."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.outcome != "rerun" and (report.when == "call" or report.outcome != "passed"):
            name = report.nodeid.rpartition("::")[2].partition("[")[0]
            self.seen.setdefault(name, []).append(report.outcome)

    def missing(self) -> list[Row]:
        """The rows that nothing has shown."""
        return [row for row in rows() if set(self.seen.get(row.test, ())) != {"passed"}]


def main() -> int:
    witness = Witness()
    files = [str(Path(__file__).parent / "browser" / f"{module}.py") for module in TESTS]
    pytest.main(["-m", "browser and kept", *files], plugins=[witness])
    for row in witness.missing():
        print(f"Not shown: {row.happens} ({row.test})", file=sys.stderr)
    if witness.missing():
        return 1
    text = README.read_text("utf-8")
    README.write_text(text.replace(in_readme(), render()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
