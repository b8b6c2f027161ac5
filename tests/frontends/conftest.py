"""Tests in a browser here may be late on a busy machine: once more, and said in the summary."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before the markers are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))
