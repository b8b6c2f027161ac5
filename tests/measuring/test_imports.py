"""What importing costs, and that no module takes a function's place on the door."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def after(code: str) -> list[str]:
    """The modules that are there after some code, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_worker_imports_only_what_it_needs() -> None:
    """A child is there in a fraction of a second: nothing of the parent's tables, charts and displays."""
    heavy = {"pandas", "numpy", "scipy", "matplotlib", "IPython", "anywidget", "starlette", "genai_prices"}
    assert not heavy & set(after("import holystream_nb.measuring.running.child"))


@pytest.mark.slow
def test_a_bench_imports_tables_and_charts_late() -> None:
    """Only who looks at a result needs them."""
    heavy = {"pandas", "scipy", "matplotlib", "anywidget", "starlette"}
    assert not heavy & set(after("import holystream_nb.measuring.bench, holystream_nb.measuring.result"))


@pytest.mark.slow
def test_no_module_takes_a_functions_place() -> None:
    """Importing a submodule sets its name on its package: no such name may be set on `holystream_nb` itself."""
    code = """
import pkgutil, importlib, holystream_nb, holystream_nb.measuring as room
for each in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(each.name)
assert not {"bench", "calibrate", "load", "preset", "project_cost", "sweep"} & set(vars(holystream_nb))
"""
    assert "holystream_nb.measuring.sweep" in after(code)
