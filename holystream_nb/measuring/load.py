"""hs.load: a run's file, or a sweep's folder, as what made it returned it."""

from __future__ import annotations

from pathlib import Path

from .figures.sweep import Sweep
from .result import Result
from .sweep import load_sweep
from .values.given import path_of
from .values.journal import read


def load(path: str | Path) -> Result | Sweep:
    """The Result of a file that a bench wrote, whole or not; for a folder that a sweep wrote, its Sweep."""
    path = path_of(path, "a run or a sweep", "a file or a folder")
    return load_sweep(path) if path.is_dir() else Result(read(path), path)
