"""How many examples a property is tried on."""

from __future__ import annotations

import os


def examples(whole: int) -> int:
    """All of them in CI and under HOLYSTREAM_NIGHTLY, else a fifth: a person waits for `pytest`."""
    return whole if os.environ.get("CI") or os.environ.get("HOLYSTREAM_NIGHTLY") else max(1, whole // 5)
