"""Which cell shows which answer: what a page that comes back, or has missed the end, is told and puts into its place.

`frontend/src/extension/cells.ts` is the page's half. An output of ours says in its metadata, under `MARK`, whose it is:
`id`, `cell`, `execution`, `order` (among those of its execution), `answers` (its ids in the journal), and `unfinished`
where it is not the answer's last word: a live view, or the text so far in a file that was saved meanwhile. A chat
panel is kept in its cell in the same way; its mark has `panel`, by which its widget's script calls it.

Page -> kernel:  cells {cell?} (what is there? in one cell, or in all) · bundle {answer}
                 · saved {answers} (they are in the file)
                 · cleared {answers} (by the reader, or by the cell)
                 · renamed {from, to} (a notebook) · written {notebook, marks} (what the journal here has of them)
Kernel -> page:  cells {answers, runs, cleared} · bundle {answer, data, metadata} · written {outputs}
                 · answer {answer} (it is displayed, or its output replaced, as far as the kernel reaches)

An answer is told of as its mark with `notebook`, `count` (the prompt's number), `ended`, and of a running one `view`,
the model of its live view, and `text`, which stands for that where it cannot be drawn. `runs` has each cell's newest
execution, `cleared` what must not come back from a journal, by its ids there too. Marks that come from a page are a
file's words: they are looked up, never believed.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from ..journal.values import Origin
from .marks import MARK, is_at, mark_of, renamed
from .page import Message, Reply, page
from .screen import current_shell
from .where import notebook, origin

KEPT: Final = 100
"""Answers whose place is remembered."""
RUNS: Final = 1000
"""Cells whose newest execution is remembered, and answers that were cleared."""

Bundle = tuple[dict[str, str], dict[str, Any]]
"""An output's data and metadata."""


@dataclass
class Shown:
    """An answer, or several side by side, or a panel, in a cell.

    `answers` gives their ids in the journal, `view` is the model of the live view, `final` what has replaced it.
    """

    id: str
    origin: Origin
    order: int
    count: int
    answers: Callable[[], Sequence[str]]
    view: str = ""
    final: Bundle | None = None
    panel: str = ""
    text: str = "An answer that is being written."

    @property
    def mark(self) -> dict[str, Any]:
        """What stands in its output's metadata."""
        mark = mark_of(self.id, self.origin, self.order, self.answers())
        if self.panel:
            mark["panel"] = self.panel
        return mark if self.final is not None else {**mark, "unfinished": True}

    @property
    def told(self) -> dict[str, Any]:
        """What a page is told of it."""
        ended = self.final is not None
        place = {"notebook": self.origin.notebook, "count": self.count, "ended": ended}
        return {**self.mark, **place, "view": "" if ended else self.view, "text": self.text}


class Cells:
    """The answers of this kernel that a cell shows, the last 100, until they are in the notebook's file."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._shown: _Latest[Shown] = _Latest(KEPT)
        self._orders: _Latest[int] = _Latest(KEPT)
        self._runs: _Latest[str] = _Latest(RUNS)
        self._cleared: _Latest[bool] = _Latest(RUNS)
        self._answers = False

    def begin(self) -> None:
        """Answers the pages' questions from now on, and notices when a cell is run again; nothing the second time."""
        events = getattr(current_shell(), "events", None)
        if events is not None and self._run not in events.callbacks[_RUN]:
            events.register(_RUN, self._run)
        if self._answers:
            return
        self._answers = True
        page.on("cells", lambda message, reply: reply("cells", self.told(message.get("cell"))))
        page.on("bundle", self._give)
        page.on("saved", lambda message, _reply: self._saved(_words(message.get("answers"))))
        page.on("cleared", lambda message, _reply: self._clear(_words(message.get("answers"))))
        page.on("renamed", lambda message, _reply: self._renamed(str(message.get("from")), str(message.get("to"))))
        page.on("written", _give_written)

    def end(self) -> None:
        """The opposite."""
        if (events := getattr(current_shell(), "events", None)) is not None and self._run in events.callbacks[_RUN]:
            events.unregister(_RUN, self._run)

    def show(self, answers: Callable[[], Sequence[str]]) -> Shown:
        """A live view is about to be displayed by the cell that asks now."""
        here = origin("cell")
        with self._lock:
            order = self._orders.get(here.execution, -1) + 1
            self._orders.put(here.execution, order)
            shown = Shown(uuid.uuid4().hex, here, order, _count(), answers)
            if here.cell:  # else no page could find its place
                self._shown.put(shown.id, shown)
        return shown

    @staticmethod
    def end_of(shown: Shown, data: dict[str, str], metadata: dict[str, Any]) -> Bundle:
        """Its final output, with its mark; it is held until a page has it in the file."""
        answers = tuple(shown.answers())
        shown.answers = lambda: answers
        shown.final = data, metadata
        metadata[MARK] = shown.mark
        return shown.final

    @staticmethod
    def tell(shown: Shown) -> None:
        """It has been displayed, or replaced, in the page that ran its cell: the pages look whether they have it so."""
        page.send("answer", {"answer": shown.told})

    def told(self, cell: object = None) -> dict[str, Any]:
        """What a page is told of those of a cell, or of all."""
        with self._lock:
            answers = [shown.told for shown in self._shown.values() if cell in (None, shown.origin.cell)]
            runs = {each: run for each, run in self._runs.items() if cell in (None, each)}
            return {"answers": answers, "runs": runs, "cleared": [*self._cleared] if cell is None else []}

    def _run(self, info: Any) -> None:
        cell = getattr(info, "cell_id", None)
        if not cell:
            return
        with self._lock:
            self._runs.put(cell, origin("cell").execution)
            for shown in [each for each in self._shown.values() if each.origin.cell == cell]:
                del self._shown[shown.id]

    def _give(self, message: Message, reply: Reply) -> None:
        with self._lock:
            shown = self._shown.get(str(message.get("answer")))
        data, metadata = shown.final if shown is not None and shown.final is not None else ({}, {})
        reply("bundle", {"answer": message.get("answer"), "data": data, "metadata": metadata})

    def _saved(self, answers: Sequence[str]) -> None:
        with self._lock:
            for answer in answers:
                if (shown := self._shown.get(answer)) is not None and shown.final is not None:
                    del self._shown[answer]

    def _clear(self, answers: Sequence[str]) -> None:
        with self._lock:
            for answer in answers:
                if (shown := self._shown.pop(answer, None)) is not None:
                    for each in (answer, *shown.answers()):
                        self._cleared.put(each, True)

    def _renamed(self, old: str, new: str) -> None:
        with self._lock:
            for shown in self._shown.values():
                shown.origin = replace(shown.origin, notebook=renamed(shown.origin.notebook, old, new))


_RUN: Final = "pre_run_cell"
_V = TypeVar("_V")


class _Latest(OrderedDict[str, _V]):
    """The newest `size` entries."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def put(self, key: str, value: _V) -> None:
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._size:
            self.popitem(last=False)


def _count() -> int:
    """The number of the cell that runs now: IPython 9 counts it before it runs, 8 after."""
    return max(0, len(getattr(current_shell(), "user_ns", {}).get("In", ())) - 1)


def _words(given: Any) -> list[str]:
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def _give_written(message: Message, reply: Reply) -> None:
    from .written import written  # late: it brings the journal and what writes Markdown

    here = notebook(current_shell())
    is_ours = is_at(here, str(message.get("notebook")))
    reply("written", {"outputs": written(here if is_ours else "", message.get("marks"))})


cells: Final = Cells()
"""Those of this process's kernel."""
