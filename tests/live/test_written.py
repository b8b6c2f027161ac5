"""What the journal has of a notebook, as outputs of its cells."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from holystream_nb.journal.journal import Journal
from holystream_nb.journal.journal import journal as ours
from holystream_nb.journal.values import Door, Origin
from holystream_nb.live.written import written

from .payloads import PAYLOADS

HERE = "/home/me/work/a.ipynb"


@pytest.fixture
def journal() -> Any:
    yield ours
    ours.close()


def answered(
    journal: Journal,
    text: str,
    *,
    notebook: str = HERE,
    cell: str = "c",
    execution: str = "e",
    door: Door = "cell",
    **said: Any,
) -> Any:
    """An answer that goes on."""
    entry = journal.begin(Origin(door, notebook, cell, execution), **{"label": "m", **said})
    entry.add(text)
    return entry


def end(entry: Any, text: str, **said: Any) -> None:
    entry.end(text=text, **{"state": "done", **said})


def test_each_executions_answers_are_in_their_order(journal: Journal) -> None:
    """Those side by side in one output; the order counts from 0 in each execution; a panel's answers are no output."""
    one = answered(journal, "one", group="g", label="a")
    end(answered(journal, "two", group="g", label="b"), "two")
    end(one, "one")
    end(answered(journal, "three"), "three")
    end(answered(journal, "four", execution="f"), "four")
    end(answered(journal, "a panel's", door="panel"), "a panel's")
    outputs = written(HERE)
    assert [(output["mark"]["execution"], output["mark"]["order"]) for output in outputs] == [
        ("f", 0),
        ("e", 0),
        ("e", 1),
    ]
    assert outputs[1]["data"]["text/plain"].startswith("== a\n\none\n\n[a]\n\n== b\n\ntwo")
    assert len(outputs[1]["mark"]["answers"]) == 2


def test_a_foreign_notebooks_answers_are_not_given(journal: Journal) -> None:
    """Neither by its path, nor by a cell's id alone; a cell and its execution, which nobody can guess, name one."""
    end(answered(journal, "theirs", notebook="/home/me/other.ipynb"), "theirs")
    assert written(HERE) == []
    assert written("", [{"cell": "c", "execution": ""}, {"cell": "c"}, ["c", "e"], "c"]) == []
    assert written(HERE, "all") == []
    (output,) = written(HERE, [{"cell": "c", "execution": "e"}])
    assert output["data"]["text/plain"].startswith("theirs")


def test_its_figures_and_its_cost_are_said(journal: Journal) -> None:
    """As in the live view's line; how it ended, too."""
    record = {"ttft_ms": 312.0, "decode_tokens_per_s": 83.0, "completion_tokens": 142, "tokens_exact": True}
    paid = {"cost_usd": "0.000062", "cost_cny": None, "cost_exact": True}
    end(answered(journal, "x"), "x", state="stopped", record={**record, **paid, "simulated": True})
    end(answered(journal, "y", execution="f"), "y", record={**record, "cost_usd": None, "cost_exact": False})
    unknown, simulated = written(HERE)
    assert (
        "[m · TTFT 312 ms · 83.0 tok/s · 142 tokens · $0.000062 (simulated) · stopped]"
        in simulated["data"]["text/plain"]
    )
    assert "142 tokens · cost unknown]" in unknown["data"]["text/plain"]


def test_an_answer_that_goes_on_is_not_called_whole(journal: Journal) -> None:
    """Its mark says so, and its text."""
    answered(journal, "so far")
    (output,) = written(HERE)
    assert output["running"]
    assert output["mark"]["unfinished"]
    assert "not the whole answer yet" in output["data"]["text/plain"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.found.add(tag)


def test_hostile_answers_are_harmless(journal: Journal) -> None:
    """Whole or cut by the kernel's end, a model's HTML is text, and no link of it acts."""
    for number, payload in enumerate(PAYLOADS.values()):
        text = payload.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        end(
            answered(journal, text, execution=f"{number}"),
            text,
            state="lost" if number % 2 else "done",
            error=text[:50],
        )
    outputs = written(HERE)
    assert len(outputs) == min(len(PAYLOADS), 200)
    for output in outputs:
        tags = _Tags()
        tags.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(output["data"]["text/markdown"]))
        assert not tags.found & {"script", "img", "iframe", "svg", "object", "embed", "style", "form", "input", "base"}
        assert "javascript:" not in str(tags.found)
