"""The notebook that asks two real models, executed as its reader does, on the two servers that it tells to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from test_notebooks import check, environment

from .programs import engine

pytestmark = pytest.mark.real

NOTEBOOK = Path(__file__).parent.parent.parent / "notebooks" / "09_two_models_on_this_machine.ipynb"


def test_two_models_are_compared(tmp_path: Path) -> None:
    """Its own assertions hold, and the executed file has its answers as Markdown."""
    done = tmp_path / NOTEBOOK.name
    with (
        engine("smollm2-135m.gguf", "smollm2-135m-alone", template=None) as smollm,
        engine("gemma-3-270m.gguf", "gemma-3-270m", template=None) as gemma,
    ):
        subprocess.run(
            [sys.executable, "-m", "jupyter", "execute", str(NOTEBOOK), f"--output={done}"],
            check=True,
            timeout=240,
            env={**environment(), "SMOLLM_URL": smollm.url, "GEMMA_URL": gemma.url},
            cwd=tmp_path,
        )
    check(nbformat.read(done, as_version=4))
