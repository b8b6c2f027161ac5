"""Front-ends beside the environment: a folder for each, so that none changes what the other tests run on.

`make .venv/frontends/ready` fills them. Voila and jupyter-collaboration act on every Jupyter server by being
installed, and Spyder's kernel wants an older ipykernel.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from missing import missing


def installed(program: str) -> Path:
    """Its folder; skips where it is not installed."""
    folder = Path(sys.prefix) / "frontends" / program
    if not folder.is_dir():
        missing(f"{program} is not installed: make .venv/frontends/ready")
    return folder


def beside(program: str) -> dict[str, str]:
    """The environment in which this program, and what it starts, finds itself; skips where it is not installed."""
    folder = installed(program)
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    path = os.pathsep.join(filter(None, [str(folder), kept.get("PYTHONPATH", "")]))
    return {
        **kept,
        "HOLYSTREAM_SIMULATOR_SPEED": "max",
        "PYTHONPATH": path,
        "JUPYTER_PATH": str(folder / "share" / "jupyter"),
        "JUPYTER_CONFIG_PATH": str(folder / "etc" / "jupyter"),
    }
