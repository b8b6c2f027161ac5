"""Programs that run a notebook without a person: the saved file holds each answer once, drawn, and no widget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import kernels
import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

_SAID: Final = "**A simulated answer.**"
_CELLS: Final = (
    "%load_ext holystream_nb",
    "%%stream -m gpt-4.1\nHello",
    "import holystream_nb as hs\nreply = await hs.stream('Hi', model='gpt-4.1')",
    "hs.run(hs.stream('Hi', model='gpt-4.1'))\nNone",
)


def written(folder: Path) -> Path:
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        cells=[nbformat.v4.new_code_cell(source) for source in _CELLS],
    )
    path = folder / "asked.ipynb"
    nbformat.write(notebook, path)
    return path


def by_nbclient(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}).execute()
    nbformat.write(notebook, path)


def by_command(*arguments: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        command = [sys.executable, *(part.format(path=path) for part in arguments)]
        done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(by_nbclient, id="nbclient"),
        pytest.param(by_command("-m", "papermill", "{path}", "{path}"), id="papermill"),
        pytest.param(by_command("-m", "jupyter", "execute", "--inplace", "{path}"), id="jupyter-execute"),
    ],
)
def test_the_file_holds_each_answer_once(
    run: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the magic, by the function, and from synchronous code."""
    monkeypatch.setenv("HOLYSTREAM_SIMULATOR_SPEED", "max")
    path = written(tmp_path)
    run(path)
    saved = nbformat.read(path, 4)
    assert "widgets" not in saved.metadata
    assert "widget-view" not in path.read_text("utf-8")
    for cell in saved.cells[1:]:
        answers = [output for output in cell.outputs if _SAID in json.dumps(output)]
        assert [output.output_type for output in answers] == ["display_data"]
        assert answers[0].data["text/markdown"].count(_SAID) == 1


_PROBE: Final = """
import json
import nbval.plugin

ran = nbval.plugin.IPyNbCell.runtest


def runtest(cell):
    try:
        ran(cell)
    finally:
        with open({told!r}, "a") as file:
            file.write(json.dumps(cell.test_outputs or []) + "\\n")


nbval.plugin.IPyNbCell.runtest = runtest
"""


@pytest.mark.parametrize("mode", ["--nbval", "--nbval-lax"])
def test_nbval_sees_each_answer_once(mode: str, tmp_path: Path) -> None:
    """It compares what is displayed, and takes no updates."""
    notebook = nbformat.read(written(tmp_path), 4)
    by_path = tmp_path / "asked.ipynb"
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in notebook.cells[1:]:
        cell.source = f"# NBVAL_IGNORE_OUTPUT\n{cell.source}" if not cell.source.startswith("%%") else cell.source
        cell.metadata["tags"] = ["nbval-ignore-output"]
    nbformat.write(notebook, by_path)
    told = tmp_path / "told"
    (tmp_path / "conftest.py").write_text(_PROBE.format(told=str(told)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", mode, str(by_path)],
        cwd=tmp_path,
        env={**os.environ, "HOLYSTREAM_SIMULATOR_SPEED": "max"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen: list[Any] = [json.loads(line) for line in told.read_text().splitlines()]
    assert [json.dumps(outputs).count("text/markdown") for outputs in seen] == [0, 1, 1, 1]


def test_an_unknown_front_end_gets_readable_text() -> None:
    """Its requests name no cell: whatever it draws, it shows the text, and there is nothing besides."""
    with kernels.kernel(HOLYSTREAM_SIMULATOR_SPEED="max") as kernel:
        ran = kernel.finish(kernels.send(kernel.client, "%%stream -m gpt-4.1\nHello", allow_stdin=True, metadata={}))
    assert ran.printed.count(_SAID) == 1
    assert ran.all("display_data") == ran.all("comm_open") == []
