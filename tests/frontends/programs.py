"""Front-ends beside the environment: a folder for each, so that none changes what the other tests run on.

`make .venv/frontends/ready` fills them. Voila and jupyter-collaboration act on every Jupyter server by being
installed, and Spyder's kernel wants an older ipykernel.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from missing import missing

_READY_S: Final = 60.0


def installed(program: str) -> Path:
    """Its folder; skips where it is not installed."""
    folder = Path(sys.prefix) / "frontends" / program
    if not folder.is_dir():
        missing(f"{program} is not installed: make .venv/frontends/ready")
    return folder


def beside(program: str) -> dict[str, str]:
    """The environment in which this program, and what it starts, finds itself; skips where it is not installed."""
    folder = installed(program)
    kept = keyless()
    path = os.pathsep.join(filter(None, [str(folder), kept.get("PYTHONPATH", "")]))
    return {
        **kept,
        "PYTHONPATH": path,
        "JUPYTER_PATH": str(folder / "share" / "jupyter"),
        "JUPYTER_CONFIG_PATH": str(folder / "etc" / "jupyter"),
    }


def keyless() -> dict[str, str]:
    """The environment without keys; what its simulator says comes at once."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    return {**kept, "HOLYSTREAM_SIMULATOR_SPEED": "max"}


@contextmanager
def serving(folder: Path, *command: str, variables: Mapping[str, str]) -> Iterator[str]:
    """Runs a Python module that serves a page, in a folder; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, f"--port={port}"],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        end = time.monotonic() + _READY_S
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
