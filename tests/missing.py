"""What a test needs and this machine may lack: it is skipped with a line, and where CI runs it fails."""

from __future__ import annotations

import importlib
import os
from typing import Any, NoReturn

import pytest


def missing(said: str) -> NoReturn:
    """Skips the test that calls it; fails it in CI, which has all that any test needs."""
    if os.environ.get("CI"):
        pytest.fail(f"in CI nothing may be missing: {said}", pytrace=False)
    pytest.skip(said)


def needs(is_here: bool, said: str) -> pytest.MarkDecorator:
    """The mark of tests that are skipped where this is not here; in CI they run all the same, and fail."""
    return pytest.mark.skipif(not is_here and not os.environ.get("CI"), reason=said)


def imported(library: str) -> Any:
    """This module of a library of the extra `test`."""
    try:
        return importlib.import_module(library)
    except ImportError:
        missing(f"NO {library} HERE: pip install 'holystream_nb[test]'")
