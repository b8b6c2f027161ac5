"""Answers in an `ipywidgets.Output`, which takes what is displayed while it is entered.

It takes no updates of that (ipywidgets#1844): the plain answer is put in the view's place in its `outputs`. What a page
has taken into them it says at once, or never while a cell awaits (JupyterLab 4.6): then the view stays, and the page
keeps what it shows. And an Output takes nothing once the message that it was entered in has been handled: what a task
of a button's callback displays is seen nowhere, so there the view is put into the `outputs` from here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from .screen import current_shell

if TYPE_CHECKING:
    from types import FrameType

    from .widget import LiveView

_VIEW: Final = "application/vnd.jupyter.widget-view+json"


def capturing() -> Any | None:
    """The Output that is entered now: the last made, where there are several."""
    from ipywidgets import Output  # type: ignore[import-untyped]
    from ipywidgets.widgets import widget  # type: ignore[import-untyped]

    request = current_shell().kernel.get_parent("shell")
    message = request.get("header", {}).get("msg_id")
    entered = (each for each in reversed(list(widget._instances.values())) if isinstance(each, Output) and each.msg_id)
    return next((each for each in entered if each.msg_id == message), None)


def takes_displays() -> bool:
    """Whether an Output that is entered now takes what is displayed: its message is still being handled."""
    from comm.base_comm import BaseComm

    request = current_shell().kernel.get_parent("shell")
    if not str(request.get("header", {}).get("msg_type", "")).startswith("comm_"):
        return True
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not BaseComm.handle_msg.__code__:
        frame = frame.f_back
    return frame is not None


class Place:
    """Where a view stands in an Output."""

    def __init__(self, output: Any, view: LiveView) -> None:
        self._output = output
        self._model = view.model_id
        self._plain: dict[str, Any] | None = None
        self._has_replaced = False

    def replace(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Puts this in the view's place: now, or when the page, which may be behind, says that the view is there."""
        if self._plain is None:
            self._plain = {"output_type": "display_data", "data": data, "metadata": metadata}
            self._output.observe(self._look, "outputs")
            self._look()

    def _look(self, _change: object = None) -> None:
        outputs = self._output.outputs
        if any(self._is_view(each) for each in outputs):
            self._output.outputs = tuple(self._plain if self._is_view(each) else each for each in outputs)
            self._has_replaced = True
        elif self._has_replaced:
            self._output.unobserve(self._look, "outputs")

    def _is_view(self, output: dict[str, Any]) -> bool:
        return bool(output.get("data", {}).get(_VIEW, {}).get("model_id") == self._model)
