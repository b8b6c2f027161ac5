"""What a kernel remembers of the answers that its cells show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holystream_nb.journal.values import Origin
from holystream_nb.live import cells as module
from holystream_nb.live.cells import KEPT, RUNS, Cells, Shown


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Cells:
    """Those of a kernel in which `cell()` runs."""
    monkeypatch.setattr(module, "origin", lambda door: replace(place[0], door=door))
    return Cells()


place = [Origin("cell")]


def show(cells: Cells, cell: str, execution: str = "") -> Shown:
    place[0] = Origin("cell", "/home/me/a.ipynb", cell, execution or f"run of {cell}")
    return cells.show(lambda: ["id"])


def answers(cells: Cells) -> list[dict[str, Any]]:
    return list(cells.told()["answers"])  # type: ignore[call-overload]


def test_several_of_one_execution_have_their_order(cells: Cells) -> None:
    """It counts from 0 in each; an answer is unfinished until its end."""
    first, second = show(cells, "a"), show(cells, "a")
    assert (first.order, second.order, show(cells, "b").order) == (0, 1, 0)
    _, metadata = cells.end_of(first, {"text/plain": "x"}, {})
    assert "unfinished" not in metadata["holystream_answer"]
    assert [told["ended"] for told in answers(cells)] == [True, False, False]


def test_an_answer_is_forgotten_when_its_file_has_it(cells: Cells) -> None:
    """Of one that goes on, a file has its text so far: it stays."""
    first, second = show(cells, "a"), show(cells, "b")
    cells.end_of(first, {"text/plain": "x"}, {})
    cells._saved([first.id, second.id])
    assert [told["id"] for told in answers(cells)] == [second.id]


def test_what_is_cleared_is_told_also_by_its_journals_id(cells: Cells) -> None:
    """A page that comes later must not take it from there."""
    shown = show(cells, "a")
    cells._clear([shown.id, "a stranger's"])
    assert answers(cells) == []
    assert cells.told()["cleared"] == [shown.id, "id"]


def test_a_renamed_notebooks_answers_go_with_it(cells: Cells) -> None:
    """Only those of that notebook."""
    show(cells, "a")
    cells._renamed("other/a.ipynb", "b.ipynb")
    assert answers(cells)[0]["notebook"] == "/home/me/a.ipynb"
    cells._renamed("a.ipynb", "b.ipynb")
    assert answers(cells)[0]["notebook"] == "/home/me/b.ipynb"


def test_a_kernel_that_runs_for_long_remembers_the_newest(cells: Cells) -> None:
    """Nothing grows for ever, whoever saves or does not."""
    for number in range(RUNS + 50):
        cells._clear([show(cells, f"{number}").id])
    for number in range(2 * KEPT):
        cells.end_of(show(cells, f"{number}"), {"text/plain": "x"}, {})
    held = (cells._shown, cells._orders, cells._runs, cells._cleared)
    assert [len(each) for each in held] == [KEPT, KEPT, 0, RUNS]


def test_a_page_may_ask_for_one_cell(cells: Cells) -> None:
    """It is told of that cell's answers and newest execution, and of nothing else."""
    first, _ = show(cells, "a"), show(cells, "b")
    cells._runs.put("a", "run of a")
    cells._runs.put("b", "run of b")
    cells._cleared.put("another", True)
    told = cells.told("a")
    assert [answer["id"] for answer in told["answers"]] == [first.id]
    assert (told["runs"], told["cleared"]) == ({"a": "run of a"}, [])
