"""The panel in the sidebar: "Chat about this notebook"; `frontend/src/extension/sidebar.ts` is its half on the page.

Page -> kernel:  chat {} (answered: panel {model_id} or refused {error}) · context {cells, is_sent} (the notebook as the
                 page has it; answered: context {text, cells, left_out})
There is one panel for each notebook of the kernel; it stays when the sidebar is closed. What is sent of the notebook is
one text in the system prompt, made anew whenever the page sends its cells, and shown there as it is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..live.page import Message, Page, Reply, page
from ..live.where import whole_path

if TYPE_CHECKING:
    from .panel import ChatPanel

LIMIT: Final = 60_000
"""Characters of a notebook that are sent at most: 15,000 tokens or so."""

_OUTPUT: Final = 2_000
_HEAD: Final = "The user asks about this Jupyter notebook. Its cells, with the text of their outputs, as they are now:"


class Sidebar:
    """The panels of this kernel's notebooks, by path."""

    def __init__(self) -> None:
        self._panels: dict[str, ChatPanel] = {}
        self._contexts: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._is_begun = False

    def begin(self) -> None:
        """Listens to pages; nothing the second time."""
        if not self._is_begun:
            self._is_begun = True
            page.on("chat", self._chat)
            page.on("context", self._cells)
        page.begin()

    def _chat(self, message: Message, reply: Reply) -> None:
        from ..errors import HolystreamError

        asking: Page = message["page"]
        try:
            reply("panel", {"model_id": self._panel(asking).shown_alone()})
        except HolystreamError as exc:
            reply("refused", {"error": str(exc)})

    def _panel(self, asking: Page) -> ChatPanel:
        from .panel import ChatPanel

        self._follow(asking)
        panel = self._panels.get(asking.notebook)
        if panel is None:
            panel = self._panels[asking.notebook] = ChatPanel(name="sidebar")
            panel.tell_context(lambda: self._contexts.get(self._path(panel), ""))
        return panel

    def _path(self, panel: ChatPanel) -> str:
        return next((path for path, each in self._panels.items() if each is panel), "")

    def _follow(self, asking: Page) -> None:
        """A notebook that was renamed keeps its panel: also one whose page was closed, where its file has gone."""
        pages = page.pages
        before = self._paths.get(asking.id)
        self._paths = {each.id: self._paths.get(each.id, each.notebook) for each in pages}
        self._paths[asking.id] = asking.notebook
        if asking.notebook in self._panels:
            return
        here = {each.notebook for each in pages}
        left = [path for path in self._panels if path not in here]
        if before not in left:
            gone = [path for path in left if not _is_there(path)]
            before = gone[0] if len(gone) == len(here) == 1 else None
        if before is not None:
            panel = self._panels[asking.notebook] = self._panels.pop(before)
            self._contexts[asking.notebook] = self._contexts.pop(before, "")
            panel.keep_at(whole_path(asking.notebook))

    def _cells(self, message: Message, reply: Reply) -> None:
        asking: Page = message["page"]
        text, left_out = context(message["cells"])
        self._follow(asking)
        self._contexts[asking.notebook] = text if message["is_sent"] else ""
        reply("context", {"text": text, "cells": len(message["cells"]) - left_out, "left_out": left_out})


def _is_there(path: str) -> bool:
    """Whether a notebook that a page calls so is where its kernel's own is found."""
    return any((parent / path).is_file() for parent in Path(os.environ.get("JPY_SESSION_NAME", "")).parents)


def context(cells: list[dict[str, Any]]) -> tuple[str, int]:
    """The notebook as a text without what looks like a key, and how many cells were left out of it.

    cells: {type, source, outputs (text)}. Long outputs are cut in the middle; where the whole is too long, the cells at
    the beginning are left out.
    """
    from ..wire.redaction import redact

    texts = [redact(_text(number, cell)) for number, cell in enumerate(cells, 1)]
    size, kept = 0, len(texts)
    while kept and size + len(texts[kept - 1]) <= LIMIT:
        kept -= 1
        size += len(texts[kept])
    if not texts:
        return "", 0
    said = [f"(The first {kept} cells are left out: the notebook is long.)"] if kept else []
    return "\n\n".join([_HEAD, *said, *texts[kept:]]), kept


def _text(number: int, cell: dict[str, Any]) -> str:
    output = str(cell.get("outputs", "")).strip()
    if len(output) > _OUTPUT:
        output = f"{output[: _OUTPUT // 2]}\n[…]\n{output[-_OUTPUT // 2 :]}"
    shown = f"\n<output>\n{output}\n</output>" if output else ""
    return f'<cell number="{number}" type="{cell.get("type", "code")}">\n{cell.get("source", "")}{shown}\n</cell>'


sidebar: Final = Sidebar()
"""The sidebar of this process's kernel."""
