"""hs.load: a run's file, or a folder of runs, as what made it returned it."""

from __future__ import annotations

from pathlib import Path

from .capacity import Capacity, load_capacity
from .result import Result
from .sweep import Sweep, load_sweep
from .values.folder import path_of, read_about
from .values.journal import read
from .watch import Watch, load_watch


def load(path: str | Path) -> Result | Sweep | Capacity | Watch:
    """The Result of a file that a bench wrote, whole or not; for a folder, the Sweep, Capacity or Watch of its runs."""
    path = path_of(path, "a run, a sweep, a search or a watch", "a file or a folder")
    if not path.is_dir():
        return Result(read(path), path)
    about = read_about(path)
    if about.get("kind") == "watch":
        return load_watch(path, about)
    return load_capacity(path, about) if about.get("kind") == "capacity" else load_sweep(path)
