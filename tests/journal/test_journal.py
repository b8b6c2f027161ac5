"""The journal's door: what is written, when, and how it is read again."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kernels import kernel

from holystream_nb.journal import file as files_module
from holystream_nb.journal.entry import Entry
from holystream_nb.journal.file import files
from holystream_nb.journal.journal import Journal
from holystream_nb.journal.values import Origin
from holystream_nb.providers.secret import Key

HERE = Origin("cell", "work/a.ipynb", "cell-1", "msg-1", "kernel-1")
QUESTION = [{"role": "user", "content": "Explain SSE"}]


@pytest.fixture
def journal() -> Iterator[Journal]:
    one = Journal()
    yield one
    one.close()


def begin(journal: Journal, origin: Origin = HERE, **given: Any) -> Entry:
    given = {"label": "m", "model": "m", "provider": "p", "messages": QUESTION, **given}
    return journal.begin(origin, **given)


def written(journal: Journal, text: str, origin: Origin = HERE, **given: Any) -> str:
    entry = begin(journal, origin, **given)
    entry.end(text=text, state="done")
    return entry.id


def on_disk(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir() if each.is_file())


def test_an_answer_is_there_while_it_comes_and_as_it_ended(journal: Journal) -> None:
    """Its text so far, then the whole with its figures; what was asked and where, in both."""
    entry = begin(journal, group="g", note="simulator", parameters={"temperature": 0.5}, format="json")
    entry.add("Server-sent ")
    entry.add(reasoning="hm")
    entry.add("events", "")
    (running,) = journal.answers()
    assert (running.text, running.reasoning, running.state) == ("Server-sent events", "hm", "streaming")
    assert (running.is_running, running.ended) == (True, None)
    entry.end(text="events", reasoning="hm, server-sent", state="done", ending="e", error="x", record={"ttft_ms": 1.5})
    (ended,) = journal.answers()
    assert (ended.text, ended.reasoning, ended.state) == ("events", "hm, server-sent", "done")
    assert (ended.ending, ended.error, ended.record) == ("e", "x", {"ttft_ms": 1.5})
    assert (ended.id, ended.group, ended.origin, ended.note) == (entry.id, "g", HERE, "simulator")
    assert (ended.messages, ended.parameters, ended.format) == ((*QUESTION,), {"temperature": 0.5}, "json")
    assert not ended.is_running
    assert ended.ended is not None
    assert 0 <= ended.ended - ended.began < 5


def test_what_is_asked_later_of_the_same_lists_changes_nothing(journal: Journal) -> None:
    """What was sent is written as it was then."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "one"}]}]
    written(journal, "", messages=messages)
    messages[0]["content"][0]["text"] = "two"
    messages.clear()
    assert journal.answers()[0].messages == ({"role": "user", "content": [{"type": "text", "text": "one"}]},)


def test_answers_are_found_by_where_they_were_asked_and_by_words(journal: Journal) -> None:
    """Each condition, several at once, and the newest first."""
    one = written(journal, "An EVENT stream", Origin("cell", "a.ipynb", "c1", "m1", "k1"))
    two = written(journal, "Straße", Origin("panel", "b.ipynb", "c1", "m2", "k1", "talk"))
    three = written(
        journal, "", Origin("python", "a.ipynb", "c2", "m3", "k2"), messages=[{"role": "user", "content": "W"}]
    )
    found = {
        name: [answer.id for answer in journal.answers(**how)]
        for name, how in {
            "all": {},
            "ids": {"ids": [one, three]},
            "notebook": {"notebook": "a.ipynb"},
            "cell": {"cell": "c1"},
            "both": {"cell": "c1", "notebook": "b.ipynb"},
            "execution": {"execution": "m3"},
            "kernel": {"kernel": "k1"},
            "door": {"door": "python"},
            "conversation": {"conversation": "talk"},
            "words": {"words": "sse event"},
            "folded": {"words": ["STRASSE"]},
            "none": {"words": "sse event w"},
            "limit": {"limit": 2},
        }.items()
    }
    assert found == {
        "all": [three, two, one],
        "ids": [three, one],
        "notebook": [three, one],
        "cell": [two, one],
        "both": [two],
        "execution": [three],
        "kernel": [two, one],
        "door": [three],
        "conversation": [two],
        "words": [one],
        "folded": [two],
        "none": [],
        "limit": [three, two],
    }


def test_words_of_a_conversation_are_found_where_they_were_asked(journal: Journal) -> None:
    """What was asked before goes with every later question, and is no match of those."""
    before = [*QUESTION, {"role": "assistant", "content": "It is a format."}]
    written(journal, "It is a format.", messages=QUESTION)
    written(journal, "No.", messages=[*before, {"role": "user", "content": "Is it old?"}])
    assert [answer.text for answer in journal.answers(words="explain")] == ["It is a format."]
    assert [answer.text for answer in journal.answers(words="old")] == ["No."]


def test_a_long_conversation_is_stored_once(journal: Journal, journal_folder: Path) -> None:
    """Each message is in the file once, however often it was sent again."""
    messages: list[dict[str, str]] = []
    for turn in range(50):
        messages.append({"role": "user", "content": f"{turn}: {'what ' * 400}"})
        written(journal, "because", messages=messages)
        messages.append({"role": "assistant", "content": "because"})
    journal.flush()
    assert len(journal.answers()[0].messages) == 99
    with closing(sqlite3.connect(files(journal_folder)[0].path)) as connection:
        assert connection.execute("SELECT count(*), sum(length(body)) < 120000 FROM messages").fetchone() == (51, 1)


def test_of_keys_nothing_reaches_the_disk(journal: Journal, journal_folder: Path) -> None:
    """In prompts, parameters, pieces, whole answers, reasoning, errors and conversations."""
    key = Key("correct-horse-77")
    shaped = f"sk-ant-{'a1B2' * 8}"
    both = f"{key.reveal()} and {shaped}"
    entry = begin(
        journal,
        messages=[{"role": "user", "content": both}, {"role": "user", "content": [{"type": "text", "text": both}]}],
        parameters={"user": both, "metadata": {"api_key": "plain"}},
    )
    for character in both + ".":
        entry.add(character, character)
        journal.flush()
    assert key.reveal()[4:].encode() not in on_disk(journal_folder)
    entry.end(text=both, reasoning=both, state="failed", ending=both, error=both, record={"why": both})
    journal.keep_conversation("talk", "a.ipynb", f'{{"a": "{both}"}}')
    assert journal.conversation("talk", "a.ipynb") == '{"a":"… and …"}'
    (answer,) = journal.answers()
    assert (answer.text, answer.reasoning, answer.error) == ("… and …", "… and …", "… and …")
    for secret in (key.reveal(), shaped[10:], "plain"):
        assert secret.encode() not in on_disk(journal_folder)


def test_pictures_are_kept_where_they_are_asked_for(journal: Journal) -> None:
    """`images` leaves a data: address as it is."""
    address = f"data:image/png;base64,{'QUJD' * 100}"
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}
    written(journal, "one", messages=[message])
    journal.flush()
    journal.configure(images=True)
    written(journal, "two", messages=[message])
    kept = [answer.messages[0]["content"][0]["image_url"]["url"] for answer in journal.answers()]
    assert kept[0] == address
    assert kept[1].startswith("sha256:")


@pytest.mark.slow
def test_adding_costs_a_list_append_and_takes_no_thread(journal: Journal) -> None:
    """Well under a microsecond a piece; the thread is there from the first answer on."""
    before = threading.active_count()
    quiet = Journal()
    quiet.answers()
    assert threading.active_count() == before
    entry = begin(journal)
    add, count = entry.add, 100_000
    best = min(_time(add, count) for _ in range(5)) / count
    assert best < 1e-6


def _time(add: Any, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        add("piece ", "")
    return time.perf_counter() - start


async def test_the_loop_imports_and_opens_nothing(
    journal: Journal, journal_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite is called in the journal's own thread only."""
    seen: set[str] = set()
    real = sqlite3.connect

    def connect(*given: Any, **named: Any) -> Any:
        seen.add(threading.current_thread().name)
        return real(*given, **named)

    monkeypatch.setattr(sqlite3, "connect", connect)
    entry = begin(journal)
    for _ in range(20):
        entry.add("a ")
        await asyncio.sleep(0.01)
    entry.end(text="a", state="done")
    journal.flush()
    assert "holystream-journal" in seen
    assert "MainThread" not in seen


@pytest.mark.slow
def test_a_text_is_written_within_half_a_second(journal: Journal) -> None:
    """Read by another process's eyes: without the flush of one's own."""
    entry = begin(journal)
    journal.flush()
    entry.add("there ")
    time.sleep(0.5)
    assert Journal().answers()[0].text == "there "


def test_only_its_user_can_read_it(journal: Journal, tmp_path: Path) -> None:
    """The folder has 0700 and every file 0600, whatever the umask is."""
    journal.configure(journal=tmp_path / "new" / "journal")
    before = os.umask(0)
    try:
        written(journal, "mine")
        journal.flush()
        folder = tmp_path / "new" / "journal"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {each.suffix: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
        assert {*modes.values()} == {0o600}
        assert {".sqlite", ".lock", ".sqlite-wal"} <= {*modes}
    finally:
        os.umask(before)


@pytest.mark.parametrize("local", [True, False])
def test_a_log_beside_the_file_is_for_local_disks_only(
    journal: Journal, journal_folder: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    """Elsewhere it is a rollback journal, and all works as well."""
    monkeypatch.setattr(files_module, "is_local", lambda folder: local)
    entry = begin(journal)
    entry.add("some text ")
    assert journal.answers()[0].text == "some text "
    assert journal.answers()[0].is_running
    names = {each.suffix for each in journal_folder.iterdir()}
    assert (".sqlite-wal" in names) == local
    with closing(sqlite3.connect(files(journal_folder)[0].path)) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == ("wal" if local else "delete")


def test_nothing_is_written_where_it_is_turned_off(
    journal: Journal, journal_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable, and in this process; no thread, no file."""
    threads = threading.active_count()
    monkeypatch.setenv("HOLYSTREAM_JOURNAL", "0")
    assert written(journal, "a") == ""
    monkeypatch.setenv("HOLYSTREAM_JOURNAL", str(journal_folder))
    journal.configure(journal=False)
    entry = begin(journal)
    entry.add("x")
    entry.end(text="x", state="done")
    journal.keep_conversation("a", "b", "{}")
    assert entry.id == ""
    assert threading.active_count() == threads
    assert [each.name for each in journal_folder.iterdir()] == ["told"]
    journal.configure()
    assert written(journal, "a") != ""


def test_the_first_use_says_where_it_is_and_how_to_turn_it_off(tmp_path: Path) -> None:
    """Once for each user, not for each kernel."""
    said = []
    for _ in range(2):
        journal = Journal()
        journal.configure(journal=tmp_path / "journal")
        assert journal.notice() == ""
        written(journal, "a")
        said += [journal.notice(), journal.notice()]
        journal.close()
    assert said[1:] == ["", "", ""]
    for word in (str(tmp_path / "journal"), "90 days", "HOLYSTREAM_JOURNAL=0", "%config StreamMagics.journal = False"):
        assert word in said[0]


def test_a_folder_that_cannot_be_written_is_said_once_and_stops_nothing(journal: Journal, tmp_path: Path) -> None:
    """The stream goes on; so it is with a file in the folder's place."""
    (tmp_path / "taken").write_text("")
    journal.configure(journal=tmp_path / "taken")
    for _ in range(3):
        entry = begin(journal)
        entry.add("a")
        entry.end(text="a", state="done")
        assert not journal.flush()
    said = journal.notice()
    assert said.startswith(f"Answers are not written down ({tmp_path / 'taken'}: ")
    assert said.count("\n") == 0
    assert journal.answers() == []
    assert journal.notice() == ""


@pytest.mark.slow
def test_a_full_disk_is_said_once_and_what_waits_is_written_when_there_is_room(
    journal: Journal, journal_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SQLite's own limit on a file's pages, which it reports as a full disk."""
    monkeypatch.setattr("holystream_nb.journal.writer.AGAIN", 0.0)
    create = files_module.create
    full: list[sqlite3.Connection] = []

    def small(folder: Path) -> Any:
        file, sign, connection = create(folder)
        connection.execute("PRAGMA max_page_count = 20")
        full.append(connection)
        return file, sign, connection

    monkeypatch.setattr("holystream_nb.journal.writer.create", small)
    one = begin(journal)
    assert journal.flush()
    one.add("long " * 40_000)
    one.end(text="long " * 40_000, state="done")
    assert not journal.flush()
    assert "full" in journal.notice()
    assert not journal.flush()
    assert journal.notice() == ""
    monkeypatch.setattr("holystream_nb.journal.writer.create", create)
    shutil.rmtree(journal_folder)  # and so another file is begun, without the limit
    assert journal.flush()
    assert journal.answers()[0].text == "long " * 40_000


def test_a_python_without_sqlite_streams_on(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are built without it: said once."""
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    monkeypatch.delitem(sys.modules, "holystream_nb.journal.reading", raising=False)
    written(journal, "a")
    written(journal, "b")
    journal.flush()
    assert journal.answers() == []
    said = journal.notice()
    assert "no sqlite3" in said
    assert "\n" not in said


def test_a_damaged_file_of_another_kernel_is_said_once_and_passed_over(journal: Journal, journal_folder: Path) -> None:
    """The other files are read all the same; so is one of a newer version, and an empty one without a word."""
    written(journal, "mine")
    (journal_folder / "damaged.sqlite").write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    with closing(sqlite3.connect(journal_folder / "newer.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    (journal_folder / "empty.sqlite").touch()
    (journal_folder / "folder.sqlite").mkdir()
    assert [answer.text for answer in journal.answers()] == ["mine"]
    assert [answer.text for answer in journal.answers()] == ["mine"]
    said = journal.notice()
    assert "damaged.sqlite" in said
    assert "a newer version of holystream_nb wrote it" in said
    assert said.count("\n") == 1


def test_a_removed_folder_is_made_again(journal: Journal, journal_folder: Path) -> None:
    """What goes on running is whole at its end."""
    entry = begin(journal)
    entry.add("one ")
    journal.flush()
    shutil.rmtree(journal_folder)
    entry.add("two")
    assert journal.answers()[0].is_running
    entry.end(text="one two", state="done")
    assert [answer.text for answer in journal.answers()] == ["one two"]


def test_another_folder_from_now_on(journal: Journal, tmp_path: Path) -> None:
    """What runs goes on where it began."""
    entry = begin(journal)
    journal.configure(journal=tmp_path / "other")
    written(journal, "there")
    entry.end(text="here", state="done")
    assert [answer.text for answer in journal.answers()] == ["there"]
    journal.configure()
    assert [answer.text for answer in journal.answers()] == ["here"]


def test_what_json_cannot_hold_is_written_as_its_text(journal: Journal) -> None:
    """Nothing that is asked or answered keeps the rest from being written."""
    odd = {"role": "user", "content": "a\ud800", "n": float("nan"), "at": Path("x"), 5: {1}}
    written(journal, "b\udfff", messages=[odd], parameters={"f": object})
    (answer,) = journal.answers()
    assert answer.text == "b\ufffd"
    assert answer.messages[0]["content"] == "a\ufffd"
    assert answer.messages[0]["at"] == "x"


def test_a_name_that_is_no_text_is_found_again(journal: Journal) -> None:
    """A notebook's path whose bytes are no UTF-8, as Linux allows."""
    name = os.fsdecode(b"caf\xe9.ipynb")
    written(journal, "one", Origin("cell", notebook=name), label="\ud800", model="\udfff")
    journal.keep_conversation("\ud800", name, "{}")
    assert [answer.text for answer in journal.answers(notebook=name)] == ["one"]
    assert journal.conversation("\ud800", name) == "{}"
    journal.forget_conversation("\ud800", name)
    assert journal.conversation("\ud800", name) is None
    assert journal.forget(notebook=name) == 1


def test_what_no_file_can_hold_keeps_no_other_answer_from_it(journal: Journal) -> None:
    """It is said, and the rest is written."""
    running = begin(journal)
    running.add("so far")
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    deep = begin(journal)
    deep.end(text="x", state="done", record={"calls": nested})
    journal.flush()
    running.end(text="all of it", state="done")
    assert "all of it" in [answer.text for answer in journal.answers()]
    assert "cannot be written down (RecursionError" in journal.notice()


def test_conversations_are_kept_by_name_and_notebook(journal: Journal) -> None:
    """The newest state of any kernel; forgotten for good."""
    other = Journal()
    journal.keep_conversation("talk", "a.ipynb", '{"n":1}')
    journal.keep_conversation("talk", "b.ipynb", '{"n":2}')
    assert journal.conversation("talk", "a.ipynb") == '{"n":1}'
    other.keep_conversation("talk", "a.ipynb", '{"n":3}')
    assert other.conversation("talk", "a.ipynb") == '{"n":3}'
    assert journal.conversation("talk", "a.ipynb") == '{"n":3}'
    journal.forget_conversation("talk", "a.ipynb")
    assert journal.conversation("talk", "a.ipynb") is None
    assert journal.conversation("talk", "b.ipynb") == '{"n":2}'
    assert journal.conversation("talk", "none") is None
    other.close()


FORKS = """
import os, sys
from holystream_nb.journal.journal import journal
from holystream_nb.journal.values import Origin

parent = journal.begin(Origin("python", conversation="parent"))
parent.add("before ")
journal.flush()
child = os.fork()
if not child:
    parent.add("from the child ")
    own = journal.begin(Origin("python", conversation="child"))
    own.end(text="child's", state="done")
    sys.exit(0)  # as a program ends: with atexit
os.waitpid(child, 0)
parent.add("after")
journal.flush()
print(sorted((answer.origin.conversation, answer.text, answer.is_running) for answer in journal.answers()))
parent.end(text="before after", state="done")
"""


@pytest.mark.slow
def test_a_fork_writes_its_own_and_leaves_its_parents(journal: Journal, journal_folder: Path) -> None:
    """Both are whole, and what was not flushed is at the interpreter's end."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout == "[('child', \"child's\", False), ('parent', 'before after', True)]\n"
    found = sorted(answer.text for answer in journal.answers())
    assert found == ["before after", "child's"]
    assert not [*journal_folder.glob("*.lock"), *journal_folder.glob("*-wal")]


@pytest.mark.slow
def test_a_kernel_that_is_shut_down_writes_all_and_leaves_one_file(journal: Journal, journal_folder: Path) -> None:
    """As by *Restart*: the text up to the last piece, and no log or lock beside it."""
    with kernel() as running:
        running.run(
            "from holystream_nb.journal.journal import journal\n"
            "from holystream_nb.journal.values import Origin\n"
            "entry = journal.begin(Origin('cell'))\n"
            "entry.add('all of it')"
        )
        running.manager.shutdown_kernel(now=False)
        (answer,) = journal.answers()
        assert (answer.text, answer.is_running, answer.state) == ("all of it", False, "streaming")
        assert sorted(each.suffix for each in journal_folder.iterdir()) == ["", ".sqlite"]
