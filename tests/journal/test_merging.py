"""The files of several kernels, read as one."""

from __future__ import annotations

import gc
import time
from itertools import count
from pathlib import Path

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holystream_nb.journal.journal import Journal
from holystream_nb.journal.values import Origin

NUMBERS = count()
WORDS = st.lists(st.sampled_from(["alpha", "Beta", "gamma"]), max_size=3).map(" ".join)
STEP = st.tuples(st.integers(0, 3), WORDS, st.booleans())


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEP, max_size=12),
    closed=st.sets(st.integers(0, 3)),
    limit=st.none() | st.integers(1, 5),
    words=st.sampled_from(["", "alpha", "BETA gamma"]),
)
def test_any_number_of_kernels_is_read_as_one_list(
    tmp_path: Path, steps: list[tuple[int, str, bool]], closed: set[int], limit: int | None, words: str
) -> None:
    """Newest first, each once, those that run with their text so far, with any limit and any words."""
    folder = tmp_path / f"{next(NUMBERS)}"
    kernels = [Journal() for _ in range(4)]
    expected: list[tuple[str, str, bool]] = []
    for kernel in kernels:
        kernel.configure(journal=folder)
    for number, text, is_ended in steps:
        entry = kernels[number].begin(Origin("python", kernel=f"{number}"), messages=[{"role": "user", "content": "q"}])
        entry.add(text)
        if is_ended:
            entry.end(text=text, state="done")
        expected.insert(0, (entry.id, text, not is_ended and number not in closed))
        time.sleep(1e-4)  # their times differ
    for number in closed:
        kernels[number].close()
    for kernel in kernels:
        kernel.flush()
    reader = Journal()
    reader.configure(journal=folder)
    found = reader.answers(words=words, limit=limit)
    wanted = [each for each in expected if all(word.lower() in each[1].lower() for word in words.split())]
    assert [(answer.id, answer.text, answer.is_running) for answer in found] == wanted[:limit]
    assert reader.notice() == ""
    for kernel in kernels:
        kernel.close()


@pytest.mark.slow
def test_the_newest_of_thousands_come_at_once(journal_folder: Path) -> None:
    """A thousand answers in a hundred files: twenty of them in well under a second."""
    for kernel in range(100):
        journal = Journal()
        for number in range(10):
            entry = journal.begin(Origin("python"), messages=[{"role": "user", "content": f"{kernel}.{number}"}])
            entry.end(text="text " * 500, state="done")
        journal.close()
    reader = Journal()
    gc.disable()  # a collection of all that the other tests have left takes as long
    try:
        start = time.process_time()
        assert len(reader.answers(limit=20)) == 20
        assert time.process_time() - start < 0.5
    finally:
        gc.enable()
    assert len(reader.answers()) == 1000
