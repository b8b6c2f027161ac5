"""What tests of every room share: a running simulator, and the browser if the machine has one."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from holystream_nb import Simulator

from .examples import examples
from .missing import needs

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
for _name in ("HOLYSHEEP_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY", "HOLYSTREAM_PROVIDERS"):
    os.environ.pop(_name, None)  # no test asks a service because of where it runs

JOURNALS = Path(tempfile.mkdtemp(prefix="holystream-journals-"))
"""No test writes into the user's journal: kernels and servers have it from the environment too."""
atexit.register(shutil.rmtree, JOURNALS, ignore_errors=True)
_numbers = itertools.count(1)


def _journal_folder(name: str) -> str:
    """A folder for a journal, of which its user has been told."""
    folder = JOURNALS / name
    folder.mkdir(mode=0o700)
    (folder / "told").touch()
    return str(folder)


os.environ["HOLYSTREAM_JOURNAL"] = _journal_folder("shared")

settings.register_profile("tests", max_examples=examples(100))
settings.load_profile("tests")

NO_CHROMIUM = (
    "NO CHROMIUM ON THIS MACHINE: the browser tests are SKIPPED. On Debian or Ubuntu: apt-get install chromium"
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kept(happens, how): a row of the README's table (`kept_table`)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(needs(CHROMIUM is not None, "no chromium"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for failed in terminalreporter.getreports("rerun"):  # what passed at its second try says why it had to
        terminalreporter.section(f"the first try of {failed.nodeid}", sep="-")
        terminalreporter.write_line(failed.longreprtext)
    if CHROMIUM is None:
        terminalreporter.write_line(NO_CHROMIUM, red=True, bold=True)


@pytest.fixture(autouse=True)
def journal_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a journal of its own; what is started for several tests shares one."""
    folder = _journal_folder(f"{next(_numbers)}")
    monkeypatch.setenv("HOLYSTREAM_JOURNAL", folder)
    return Path(folder)


@pytest.fixture(scope="session")
def chromium() -> str:
    assert CHROMIUM is not None, NO_CHROMIUM
    return CHROMIUM


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """One simulator for the whole run, as fast as possible."""
    with Simulator(speed=None) as running:
        yield running
