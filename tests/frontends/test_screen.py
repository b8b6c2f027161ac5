"""Which front-ends are known to draw widgets, by the requests they send."""

from __future__ import annotations

from typing import Any

import pytest

from holystream_nb.live.screen import draws_widgets

UUID = "0f2b8d2e-9d3c-4a41-8f8e-0d6f2b8e1c11"


def request(metadata: dict[str, Any] | None = None, **header: str) -> dict[str, Any]:
    return {"header": {"msg_type": "execute_request", **header}, "metadata": metadata or {}}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(request({"cellId": "a1", "deletedCells": []}, msg_id=UUID, session="s"), id="jupyterlab"),
        pytest.param(request({"cellId": "vscode-notebook-cell:/w/a.ipynb#W0"}, msg_id=UUID, session="s"), id="vscode"),
        pytest.param(request({"cell_id": "a1"}, msg_id="s_7_1", session="s"), id="a-server-that-runs-cells"),
        pytest.param(request(username="username", msg_id="5A0B", session="s"), id="nbclassic"),
        pytest.param(request(msg_type="comm_msg", msg_id=UUID, session="s"), id="a-widget"),
    ],
)
def test_pages_are_known_by_what_they_send(sent: dict[str, Any]) -> None:
    """They name the cell, or are a widget, or nbclassic."""
    assert draws_widgets(sent)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(request(username="ann", msg_id="s_7_1", session="s"), id="console"),
        pytest.param(request(username="username", msg_id="s_7_1", session="s"), id="console-without-user"),
        pytest.param(request(username="ann", msg_id=UUID, session="s"), id="unknown"),
        pytest.param({}, id="nothing"),
    ],
)
def test_what_is_not_known_gets_text(sent: dict[str, Any]) -> None:
    """Text can be read everywhere, a widget's name says nothing."""
    assert not draws_widgets(sent)


def test_colab_is_known_by_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests say nothing."""
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_20261101")
    assert draws_widgets(request(username="ann", msg_id=UUID, session="s"))
