"""The committed notebooks: executed as their users' tools do, and looked at afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytestmark = pytest.mark.notebook

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
SIMULATED = [notebook for notebook in NOTEBOOKS if notebook.stem != "09_two_models_on_this_machine"]
"""Those that need nobody; the other asks two real models, and `make real` executes it."""


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.endswith(("_API_KEY", "_BASE_URL"))}
    return {**kept, "HOLYSTREAM_SIMULATOR_SPEED": "20"}


def executed(tool: list[str], notebook: Path, folder: Path) -> Any:
    """The notebook as a tool left it."""
    done = folder / notebook.name
    command = [sys.executable, "-m", *(part.format(source=notebook, target=done) for part in tool)]
    subprocess.run(command, check=True, capture_output=True, timeout=240, env=environment(), cwd=folder)
    return nbformat.read(done, as_version=4)


def check(notebook: Any) -> None:
    """Markdown in every %%stream cell, no widget anywhere, and no error but where one is wanted."""
    assert "widget" not in json.dumps(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        wanted = "raises-exception" in cell.metadata.get("tags", [])
        assert any(output.output_type == "error" for output in cell.outputs) == wanted
        if cell.source.startswith("%%stream"):
            assert any("text/markdown" in output.get("data", {}) for output in cell.outputs)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_file_has_its_outputs(notebook: Path) -> None:
    """It reads without being run: on GitHub, in a mail, without a kernel."""
    check(nbformat.read(notebook, as_version=4))


@pytest.mark.parametrize("notebook", SIMULATED, ids=lambda path: path.stem)
def test_it_passes_nbval(notebook: Path, tmp_path: Path) -> None:
    """`nbval --nbval-lax` runs it on the simulator; its cells assert what must hold."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval-lax",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            str(notebook),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment(),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    "tool",
    [
        ["jupyter", "execute", "{source}", "--output={target}"],
        ["nbconvert", "--to", "notebook", "--execute", "{source}", "--output", "{target}"],
        ["papermill", "{source}", "{target}"],
    ],
    ids=["jupyter-execute", "nbclient", "papermill"],
)
def test_the_quickstart_runs_under_every_executor(tool: list[str], tmp_path: Path) -> None:
    """The re-executed file has the answers as Markdown."""
    if tool[0] == "papermill":
        # papermill stops at an error, wanted or not
        source = tmp_path / "source.ipynb"
        notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
        failing = next(i for i, c in enumerate(notebook.cells) if "raises-exception" in c.metadata.get("tags", []))
        notebook.cells = notebook.cells[:failing]
        nbformat.write(notebook, source)
        check(executed(tool, source, tmp_path / ".."))
    else:
        check(executed(tool, NOTEBOOKS[0], tmp_path))
