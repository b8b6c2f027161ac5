"""The ways to show a stream in a notebook that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KERNEL: Final = Path(__file__).parent / "kernel"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way: `module`, of the folder kernel/, has `show(url, model)`; without it the cell is a `%%stream`.

    live, saved: selectors of the elements whose text is the answer while it streams, and in the saved output.
    """

    name: str
    live: str
    module: str = ""
    saved: str = ""

    @property
    def setup(self) -> str:
        """A cell that has been run before."""
        return (_KERNEL / f"{self.module}.py").read_text(encoding="utf-8") if self.module else ""

    def cell(self, url: str, model: str) -> str:
        """A cell that shows one answer."""
        if not self.module:
            return f"%%stream -m simulator:{model} --base-url {url}\nCount."
        return f"await show({url!r}, {model!r})"


OURS: Final = Variant("%%stream", ".hs-body", saved=".jp-RenderedMarkdown > p")
FLOOR: Final = Variant("floor: a widget that appends", ".floor", module="floor")
UPDATE: Final = Variant("update_display every 50 ms", ".jp-OutputArea-output", module="update")
PRINT: Final = Variant("print", ".jp-OutputArea", module="prints")
