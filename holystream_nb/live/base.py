"""What all widgets of ours have in common: closed, they leave nothing."""

from __future__ import annotations

import anywidget

from .comms import ended


class Widget(anywidget.AnyWidget):
    """A widget whose layout goes with it: ipywidgets keeps the model and the comm of a layout for ever."""

    def close(self) -> None:
        layout = self.layout
        ended(self.comm)
        super().close()
        layout.close()
