"""This sitting, on this machine: what the first line of a run's file says."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from ... import __version__
from ..values.record import Session

_LIBRARIES: Final = ("httpx2", "httpcore2", "msgspec", "genai-prices")


def session(
    *, number: int, addresses: Mapping[str, str], executor: str, workers: int, origin_ns: int, wall_ns: int
) -> Session:
    """The Session of now. `origin_ns` and `wall_ns` are the same moment, by the monotonic and by the wall clock."""
    loop = asyncio.new_event_loop()
    loop.close()
    return Session(
        number=number,
        origin_ns=origin_ns,
        wall_ns=wall_ns,
        started=datetime.fromtimestamp(wall_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        versions={"holystream_nb": __version__, **{name: version(name) for name in _LIBRARIES}},
        python=platform.python_version(),
        cpu=_cpu(),
        cpus=os.cpu_count() or 1,
        os=platform.platform(),
        event_loop=f"{type(loop).__module__}.{type(loop).__name__}",
        addresses=dict(addresses),
        executor=executor,
        workers=workers,
    )


def _cpu() -> str:
    """The processor's name, as far as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
