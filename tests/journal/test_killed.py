"""`kill -9` in any moment: what was written is a prefix, and at most half a second short."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Lock

import pytest

from holystream_nb.journal.file import files
from holystream_nb.journal.journal import Journal

KILLS = 200
AT_ONCE = 4


class Writers:
    """Starts bare writers, whose prints lie in `folder`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self._lock = Lock()

    def start(self, name: str) -> int:
        with self._lock:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(f"{name}\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline())

    def handed_on(self, name: str) -> list[tuple[float, int]]:
        """When it had handed on how many pieces."""
        lines = (self.folder / name).read_text().splitlines()
        return [(float(line.split()[0]), int(line.split()[1])) for line in lines]


@pytest.fixture
def writers(tmp_path: Path, journal_folder: Path) -> Iterator[Writers]:
    command = [sys.executable, str(Path(__file__).with_name("killed_writers.py")), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Writers(process, tmp_path)


@pytest.mark.slow
def test_a_writer_killed_in_any_moment_leaves_all_but_the_last_half_second(
    writers: Writers, journal_folder: Path
) -> None:
    """200 writers, killed 0.05 to 1.2 s after they began: text, files and the sign of life."""
    chance = random.Random(12)

    def kill(number: int) -> None:
        pid = writers.start(f"{number}")
        time.sleep(chance.uniform(0.05, 1.2))
        os.kill(pid, signal.SIGKILL)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(kill, range(KILLS)))

    journal = Journal()
    found = {answer.origin.conversation: answer for answer in journal.answers()}
    assert journal.notice() == ""  # no file was damaged
    assert len(found) > KILLS / 2
    for number in range(KILLS):
        printed = writers.handed_on(f"{number}")
        text = found[f"{number}"].text if f"{number}" in found else ""
        pieces = text.count(" ")
        assert text == "".join(f"{each} " for each in range(pieces))
        owed = [count for at, count in printed if at <= printed[-1][0] - 0.5]
        assert pieces >= max(owed, default=0), f"{number}: {pieces} of {printed[-1]} are there"
    assert not any(answer.is_running for answer in found.values())
    for file in files(journal_folder):
        with closing(sqlite3.connect(file.path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.slow
def test_whether_a_writer_lives_is_known_at_once(writers: Writers) -> None:
    """Its answer runs until it is killed, and not a tenth of a second longer."""
    pid = writers.start("one")
    journal = Journal()
    deadline = time.monotonic() + 5
    while not (found := journal.answers()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found[0].is_running
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert not journal.answers()[0].is_running
