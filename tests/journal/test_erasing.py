"""What is forgotten leaves no byte; what is too old or too much goes, the oldest first."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from holystream_nb.journal import file as files_module
from holystream_nb.journal.erasing import prune
from holystream_nb.journal.file import File, files
from holystream_nb.journal.journal import Journal
from holystream_nb.journal.values import Origin

SECRET = "the-word-to-forget"  # no key: what a user regrets


@contextmanager
def kernel() -> Iterator[Journal]:
    """A journal that stands for a kernel that lives."""
    journal = Journal()
    yield journal
    journal.close()


def written(journal: Journal, text: str, notebook: str = "a.ipynb") -> str:
    entry = journal.begin(Origin("cell", notebook), messages=[{"role": "user", "content": f"question {text}"}])
    entry.add(f"{text} ")
    journal.flush()  # in the log as a piece, then as an ending
    entry.end(text=text * 3, reasoning=text, state="done", record={"why": text})
    journal.flush()
    return entry.id


def places(folder: Path, word: str = SECRET) -> list[str]:
    """Files that have these bytes."""
    return [each.name for each in folder.iterdir() if each.is_file() and word.encode() in each.read_bytes()]


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("how", ["ids", "before", "notebook", "everything"])
def test_what_is_forgotten_is_in_no_file(
    journal_folder: Path, how: str, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of kernels that have ended and that live, in this process and in others; with and without a log."""
    monkeypatch.setattr(files_module, "is_local", lambda folder: local)
    with kernel() as ended:
        ids = [written(ended, SECRET)]
    with kernel() as other, kernel() as own:
        ids += [written(other, SECRET), written(own, SECRET)]
        after = time.time()
        kept = written(own, "stays", "b.ipynb")
        assert len(places(journal_folder)) >= 3
        found = {
            "ids": lambda: own.forget(ids),
            "before": lambda: own.forget(before=after),
            "notebook": lambda: own.forget(notebook="a.ipynb"),
            "everything": lambda: own.forget(everything=True),
        }[how]()
        assert own.notice() == ""
        assert found == (4 if how == "everything" else 3)
        assert places(journal_folder) == []
        assert [answer.id for answer in own.answers()] == ([] if how == "everything" else [kept])
        assert len(files(journal_folder)) == 2  # those of living kernels stay
        written(other, "and on")
        assert "and on" * 3 in [answer.text for answer in own.answers()]


def test_an_answer_that_is_forgotten_while_it_runs_does_not_come_back(journal_folder: Path) -> None:
    """Neither its next pieces nor its end; the file of a kernel that ends with nothing goes."""
    with kernel() as writer, kernel() as other:
        entry = writer.begin(Origin("cell"), messages=[{"role": "user", "content": SECRET}])
        entry.add(f"{SECRET} one ")
        writer.flush()
        assert other.forget([entry.id]) == 1
        entry.add(f"{SECRET} two ")
        writer.flush()
        entry.end(text=SECRET, state="done")
        writer.flush()
        assert places(journal_folder) == []
        assert other.answers() == []
    assert [each.name for each in journal_folder.iterdir()] == ["told"]


def test_what_others_share_with_a_forgotten_answer_stays(journal_folder: Path) -> None:
    """A message that was sent twice goes with the last answer to it."""
    with kernel() as journal:
        entries = [journal.begin(Origin("cell"), messages=[{"role": "user", "content": SECRET}]) for _ in range(2)]
        for entry in entries:
            entry.end(text="x", state="done")
        journal.flush()
        journal.forget([entries[0].id])
        assert journal.answers()[0].messages == ({"role": "user", "content": SECRET},)
        journal.forget([entries[1].id])
        assert places(journal_folder) == []


CALLED = [
    {"role": "assistant", "content": f"{SECRET} I look", "tool_calls": [{"id": "1", "arguments": SECRET}]},
    {"role": "tool", "tool_call_id": "1", "content": SECRET},
    {"role": "assistant", "content": f"{SECRET} I found"},
]


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def turn(journal: Journal, messages: list[dict[str, Any]], text: str) -> str:
    """A turn of the conversation "talk", which is kept with its answer."""
    entry = journal.begin(Origin("cell", "a.ipynb", conversation="talk"), messages=messages)
    entry.end(text=text, state="done")
    state = {"messages": [*messages, said("assistant", text)], "asked": []}
    journal.keep_conversation("talk", "a.ipynb", json.dumps(state))
    journal.flush()
    return entry.id


@pytest.mark.parametrize("is_open", [True, False])
def test_what_later_questions_repeat_goes_too(journal_folder: Path, is_open: bool) -> None:
    """Question, answer, calls of tools and their results; by a mark in their place, in all kernels' files."""
    first, second, third = said("user", "one"), said("user", SECRET), said("user", "three")
    answered = [said("system", "brief"), first, said("assistant", "1")]
    mark = ["[forgotten]"] * 4
    with kernel() as ended:
        turn(ended, answered[:2], "1")
        name = turn(ended, [*answered, second], f"{SECRET} I look{SECRET} I found")
    with kernel() as later, kernel() as forgetting:
        turn(later, [*answered, second, *CALLED, third], "3")
        again = turn(later, [*answered, second], "another answer")
        turn(later, [*answered, second, said("assistant", "another answer"), third], "3")
        turn(later, [*answered, second, *CALLED, third, said("assistant", "3"), said("user", "four")], "4")
        if not is_open:
            later.close()
        assert forgetting.forget([name]) == 1
        assert ("still runs" in forgetting.notice()) == is_open
        texts = [[each["content"] for each in answer.messages] for answer in forgetting.answers()]
        assert texts[:4] == [
            ["brief", "one", "1", *mark, "three", "3", "four"],
            ["brief", "one", "1", SECRET, "another answer", "three"],  # it is asked there too
            ["brief", "one", "1", SECRET],
            ["brief", "one", "1", *mark, "three"],
        ]
        state = json.loads(forgetting.conversation("talk", "a.ipynb") or "")
        roles = "".join(each["role"][0] for each in state["messages"])
        assert roles == "suauaaauaua"
        assert forgetting.forget([again]) == 1
        assert places(journal_folder) == []


def test_an_answer_that_was_continued_goes_with_what_continued_it(journal_folder: Path) -> None:
    """Later questions repeat both as one."""
    with kernel() as journal:
        name = turn(journal, [said("user", "one")], f"{SECRET} is")
        turn(journal, [said("user", "one"), said("assistant", f"{SECRET} is that."), said("user", "two")], "2")
        journal.forget([name])
        assert places(journal_folder) == []


def test_nothing_named_forgets_nothing() -> None:
    """`forget()` alone is no way to lose everything; nor are no ids."""
    with kernel() as journal:
        written(journal, "stays")
        assert journal.forget() == 0
        assert journal.forget([]) == 0
        assert len(journal.answers()) == 1


def test_conversations_go_with_their_notebook_and_with_everything(journal_folder: Path) -> None:
    """Their bytes too; ids name answers only."""
    with kernel() as journal:
        name = written(journal, "x")
        for notebook in ("a.ipynb", "b.ipynb"):
            journal.keep_conversation("talk", notebook, f'{{"text":"{SECRET}"}}')
        journal.flush()
        journal.forget([name])
        assert journal.conversation("talk", "a.ipynb") is not None
        journal.forget(notebook="a.ipynb")
        assert journal.conversation("talk", "a.ipynb") is None
        assert journal.conversation("talk", "b.ipynb") is not None
        journal.forget_conversation("talk", "b.ipynb")
        assert places(journal_folder) == []


@pytest.mark.slow
def test_while_somebody_reads_it_is_said_that_not_all_is_overwritten(journal_folder: Path) -> None:
    """And the next time it is."""
    with kernel() as journal:
        name = written(journal, SECRET)
        with closing(sqlite3.connect(files(journal_folder)[0].path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM answers").fetchall()
            journal.forget([name])
            assert "try again" in journal.notice()
        written(journal, "another")
        journal.forget(everything=True)
        assert places(journal_folder) == []


def test_damaged_files_go_with_everything(journal_folder: Path) -> None:
    """Unless their kernel lives."""
    (journal_folder / "damaged.sqlite").write_bytes(SECRET.encode() * 500)
    (journal_folder / "folder.sqlite").mkdir()
    with kernel() as journal:
        journal.forget(everything=True)
    (journal_folder / "folder.sqlite").rmdir()
    assert places(journal_folder) == []


def test_a_file_that_its_kernel_never_filled_goes_without_a_word(journal_folder: Path) -> None:
    """Its kernel was killed in the instant between making it and its tables."""
    journal_folder.mkdir(exist_ok=True)
    (journal_folder / "empty.sqlite").touch()
    with kernel() as journal:
        written(journal, "mine")
        journal.notice()
        assert journal.forget(before=1.0) == 0
        assert journal.notice() == ""
    assert not (journal_folder / "empty.sqlite").exists()


def old(journal_folder: Path, days: float, *texts: str) -> File:
    """A file of a kernel that ended so many days ago."""
    before = {file.path for file in files(journal_folder)}
    with kernel() as journal:
        for text in texts:
            written(journal, text)
    (file,) = (each for each in files(journal_folder) if each.path not in before)
    then = time.time() - days * 86400
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("UPDATE answers SET began = began - ?", [days * 86400])
    os.utime(file.path, (then, then))
    return file


def another(file: File, name: str, ended: float | None) -> None:
    """A very old answer beside one that is there."""
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("CREATE TEMP TABLE one AS SELECT * FROM answers LIMIT 1")
        connection.execute("UPDATE one SET id = ?, began = 5, ended = ?", [name, ended])
        connection.execute("INSERT INTO answers SELECT * FROM one")


@pytest.mark.slow
def test_what_is_too_old_goes(journal_folder: Path) -> None:
    """Whole files and single answers, of kernels that have ended and of our own; not what others still write."""
    gone = old(journal_folder, 91, "gone")
    mixed = old(journal_folder, 89, "stays")
    another(mixed, "x", None)
    with kernel() as own, kernel() as other:
        for each in (own, other):
            written(each, "living")
        with closing(sqlite3.connect(files(journal_folder)[0].path)) as connection, connection:
            connection.execute("UPDATE answers SET began = 7")  # of the one that was written last: other
        assert own._own is not None
        another(own._own, "y", 6.0)
        another(own._own, "z", None)
        said: list[str] = []
        prune(journal_folder, 90, 500, own._own, said.append)
        assert said == []
        assert not gone.path.exists()
        left = {answer.id if len(answer.id) == 1 else answer.text for answer in own.answers() if answer.began != 7}
        assert left == {"staysstaysstays", "livinglivingliving", "z"}  # z runs
        assert any(answer.began == 7 for answer in own.answers())


@pytest.mark.slow
def test_what_is_too_much_goes_the_oldest_first(journal_folder: Path) -> None:
    """Until nine tenths of the limit are left; over all files."""
    for day in (3, 5, 1, 4, 2):
        old(journal_folder, day, *(f"{day}{letter}" * 30_000 for letter in "ab"))
    with kernel() as reader:
        before = len(reader.answers())
        total = sum(file.size for file in files(journal_folder)) / 1e6
        said: list[str] = []
        prune(journal_folder, 90, total / 2, None, said.append)
        assert said == []
        left = [answer.text[:2] for answer in reader.answers()]
        assert before == 10
        assert left == ["1b", "1a", "2b", "2a"]
        assert sum(file.size for file in files(journal_folder)) / 1e6 <= total / 2


@pytest.mark.slow
def test_a_kernels_own_file_is_kept_within_the_limit_while_it_writes(journal_folder: Path) -> None:
    """One that never ends does not fill the disk."""
    with kernel() as own:
        for number in range(20):
            written(own, f"{number:02}" * 30_000)
        running = own.begin(Origin("cell"), messages=[])
        running.add("goes on ")
        own.flush()
        prune(journal_folder, 90, 2, own._own, print)
        texts = [answer.text[:2] for answer in own.answers()]
        assert texts[:3] == ["go", "19", "18"]
        assert 3 <= len(texts) < 12
        assert own.notice() == ""


def test_locks_of_files_that_are_gone_are_swept(journal_folder: Path) -> None:
    """As a file was removed whose process was killed."""
    (journal_folder / "gone.lock").touch()
    with kernel() as journal:
        written(journal, "x")
        prune(journal_folder, 90, 500, journal._own, print)
        assert len([*journal_folder.glob("*.lock")]) == 1
        assert journal.answers()[0].text == "xxx"


@pytest.mark.slow
def test_the_limits_hold_without_being_asked_for(journal_folder: Path) -> None:
    """At a process's first answer, in the background, by what is set for it."""
    old(journal_folder, 31, "gone")
    code = """
import time
from holystream_nb.journal.journal import journal
from holystream_nb.journal.values import Origin
journal.configure(days=30)
journal.begin(Origin("python")).end(text="new", state="done")
time.sleep(3)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with kernel() as reader:
        assert [answer.text for answer in reader.answers()] == ["new"]
