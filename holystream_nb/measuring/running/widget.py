"""The progress view's Python half; `progress.js` is the other. `progress` says what travels between them."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets


class ProgressView(anywidget.AnyWidget):
    """A table of models, a line, and Stop."""

    _esm = Path(__file__).with_name("progress.js")
    state = traitlets.Dict().tag(sync=True)

    def __repr__(self) -> str:
        return "ProgressView()"
