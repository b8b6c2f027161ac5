"""README's table of what is kept."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from kept_table import CASES, in_readme, render

TESTS = Path(__file__).parent / "browser" / "test_kept.py"


def test_every_row_has_a_test_that_does_it() -> None:
    """Each case names a function of the browser's tests."""
    functions = {
        node.name for node in ast.walk(ast.parse(TESTS.read_text("utf-8"))) if isinstance(node, ast.AsyncFunctionDef)
    }
    assert {case.test for case in CASES} <= functions


def test_readme_has_the_table() -> None:
    """It says what the cases say."""
    if not in_readme():
        pytest.skip("README has no such part yet")
    assert in_readme() == render()
