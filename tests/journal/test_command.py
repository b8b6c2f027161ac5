"""`holystream-nb journal`: look, export, forget."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holystream_nb.__main__ import main
from holystream_nb.journal.journal import Journal
from holystream_nb.journal.values import Origin

FORMULA = "=HYPERLINK(0)"


@pytest.fixture
def ids(journal_folder: Path) -> Iterator[list[str]]:
    """Two answers: one that has ended, one whose kernel lives and has a control character."""
    journal = Journal()
    one = journal.begin(
        Origin("cell", "work/a.ipynb"), model="m-1", provider="p", messages=[{"role": "user", "content": "Explain SSE"}]
    )
    one.end(text=FORMULA, reasoning="hm", state="stopped", record={"ttft_ms": 1.5, "model": "m-1"})
    journal.flush()
    two = journal.begin(
        Origin("python"), model="m-2", messages=[{"role": "user", "content": [{"type": "text", "text": "Two\nlines"}]}]
    )
    two.add("so \x1b[31mred ")
    journal.flush()
    yield [one.id, two.id]
    journal.close()


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["journal", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def test_it_lists_the_newest_first(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Id, time, model, notebook, the first words of question and answer, and how it stands."""
    lines = said(capsys).splitlines()
    assert len(lines) == 2
    assert re.fullmatch(
        rf"{ids[1]}  \d{{4}}-\d\d-\d\d \d\d:\d\d  m-2  python  Two lines  → so \[31mred \[running\]", lines[0]
    )
    assert lines[1].startswith(ids[0])
    assert lines[1].endswith(f"m-1  work/a.ipynb  Explain SSE  → {FORMULA} [stopped]")
    assert said(capsys, "list", "-n", "1").splitlines() == lines[:1]


def test_it_finds_words_and_says_by_its_exit_code_whether(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """In question and answer, in any case."""
    assert said(capsys, "find", "explain", "HYPERLINK").startswith(ids[0])
    assert said(capsys, "find", "nowhere", code=1) == "No answer has all of these words.\n"


def test_it_shows_one_whole_by_how_its_id_begins(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """And says what it does not know."""
    shown = said(capsys, "show", ids[0][:8])
    for part in (ids[0], "Explain SSE", "hm", FORMULA, "work/a.ipynb"):
        assert part in shown
    assert "\x1b" not in said(capsys, "show", ids[1])
    assert main(["journal", "show", "zz"]) == 1
    assert "no answer whose id begins like this" in capsys.readouterr().err


def test_it_exports_by_the_files_ending(ids: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole as JSON lines, a row each as CSV without formulas, as Markdown; only its user can read it."""
    lines, table, page = tmp_path / "a.jsonl", tmp_path / "a.csv", tmp_path / "a.md"
    for path in (lines, table, page):
        assert said(capsys, "export", str(path)) == f"2 answers written to {path}.\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    newest, oldest = map(json.loads, lines.read_text().splitlines())
    assert (newest["id"], oldest["text"], oldest["record"]) == (ids[1], FORMULA, {"ttft_ms": 1.5, "model": "m-1"})
    assert oldest["origin"]["notebook"] == "work/a.ipynb"
    rows = list(csv.DictReader(table.open(newline="")))
    header = table.read_text().splitlines()[0].split(",")
    assert len({*header}) == len(header)
    assert (rows[1]["text"], rows[1]["asked"], rows[1]["ttft_ms"]) == (f"'{FORMULA}", "Explain SSE", "1.5")
    assert "Explain SSE" in page.read_text()
    assert said(capsys, "export", str(table), "--words", "explain").startswith("1 answer written")
    assert main(["journal", "export", "a.xlsx"]) == 1
    assert ".jsonl, .csv, .md" in capsys.readouterr().err


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_exported_cell_is_a_formula(start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a spreadsheet takes for the beginning of one, in a question, an answer, a notebook's name."""
    with contextlib.closing(Journal()) as writing:
        hostile = f"{start}cmd|' /C calc'!A0"
        entry = writing.begin(Origin("cell", notebook=hostile), messages=[{"role": "user", "content": hostile}])
        entry.end(text=hostile, state="done", record={"model": hostile})
    said(capsys, "export", str(tmp_path / "a.csv"))
    (row,) = csv.DictReader((tmp_path / "a.csv").open(newline="", encoding="utf-8"))
    assert {name for name, value in row.items() if value == f"'{hostile}"} == {"notebook", "asked", "text"}
    assert hostile not in row.values()


def test_it_asks_before_it_forgets(
    ids: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No is the default, also where nobody can answer; --yes does not ask."""
    for answer, code in (("", 1), ("n", 1), ("Y", 0)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        said(capsys, "forget", ids[0][:10], code=code)
    assert [answer.id for answer in Journal().answers()] == ids[1:]
    assert said(capsys, "forget", "--all", "--yes") == "1 answer forgotten.\n"
    assert said(capsys) == "The journal has no answers.\n"


def test_it_forgets_by_notebook_and_date(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Only those; nothing named is refused, and so is a date that is none."""
    assert said(capsys, "forget", "--before", "2001-01-01", "--yes") == "0 answers forgotten.\n"
    assert said(capsys, "forget", "--notebook", "work/a.ipynb", "--yes") == "1 answer forgotten.\n"
    assert said(capsys, "forget", "--before", "2999-01-01", "--yes") == "1 answer forgotten.\n"
    for wrong in (["forget", "--yes"], ["forget", "--all", "--notebook", "x"]):
        assert main(["journal", *wrong]) == 1
        assert "holystream-nb: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["journal", "forget", "--before", "soon"])


def test_it_says_where_it_is_and_what_is_masked(
    ids: list[str], journal_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folder, size, limits, the machine's file; the help has the list of marks of keys."""
    where = said(capsys, "where")
    for part in (f"{journal_folder}: on", "1 file, 1 being written", "90 days, 500 MB", "journal.toml"):
        assert part in where
    with pytest.raises(SystemExit):
        main(["journal", "--help"])
    told = capsys.readouterr().out
    for mark in ("sk-", "gsk_", "AKIA", "Bearer", "HOLYSTREAM_JOURNAL=0"):
        assert mark in told


def test_what_cannot_be_written_is_one_sentence(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there, a word that is no place."""
    assert main(["journal", "export", "/nowhere/a.csv"]) == 1
    assert capsys.readouterr().err == "holystream-nb: /nowhere/a.csv cannot be written (No such file or directory).\n"
