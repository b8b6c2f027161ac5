"""The simulator in a process of its own, which ends with this one."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

from .options import delay_of, key_of, port_of, rate_of, seed_of, speed_of

_READY_TIMEOUT_S = 30
_END_TIMEOUT_S = 0.5
_PACKAGE = __package__ or ""
# the child finds what this process finds (also a source tree put on the path by hand), but nothing in the folder it
# happens to run in: a notebook beside a file named json.py must not break it
_CHILD = f"import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from {_PACKAGE}.__main__ import main; main()"


_started: Final[weakref.WeakValueDictionary[str, Simulator]] = weakref.WeakValueDictionary()


class SimulatorError(RuntimeError):
    """The simulator's process did not start; the message has the last line it wrote to its standard error."""


class Simulator:
    """A HolySheep on this machine: `with Simulator() as simulator: … simulator.url …`, or `start()` and `stop()`.

    `speed` 1 keeps the documents' latencies, 20 is twenty times as fast, "max" (or None, or inf) as fast as possible.
    With the same `seed`, the same request gets the same stream. With a `key`, only that key is accepted.
    `network_delay_ms` puts a line between it and its clients, on which every byte takes so long each way, at any speed;
    `network_mbit_s` is what that line carries each way, for each connection. Opening a connection takes no time, as on
    loopback: over a real line TCP takes a round trip, and TLS one more. Records have the simulator's own times, so the
    line counts as an error of the stopwatch, where that is measured.
    Once started, it ends with `stop()`, with the last reference to it, and with this process, even a killed one.

    Raises ValueError for what is none of these.
    """

    def __init__(
        self,
        *,
        speed: float | Literal["max"] | None = 1.0,
        seed: int = 0,
        port: int = 0,
        key: str | None = None,
        network_delay_ms: float = 0.0,
        network_mbit_s: float | None = None,
    ) -> None:
        factor = speed_of(speed)
        self._speed = factor
        self._options = [f"--port={port_of(port)}", f"--seed={seed_of(seed)}"]
        self._options += ["--speed=max" if factor is None else f"--speed={factor}"]
        self._options += [] if key is None else [f"--key={key_of(key)}"]
        self._options += [f"--network-delay-ms={delay_of(network_delay_ms) * 1e3}"]
        if not math.isinf(rate_of(network_mbit_s)):
            self._options += [f"--network-mbit-s={network_mbit_s}"]
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._end: weakref.finalize[..., Simulator] | None = None

    @property
    def url(self) -> str:
        """The base URL, `http://127.0.0.1:PORT/v1`; raises RuntimeError before `start()`."""
        if not self._url:
            raise RuntimeError("The simulator has not been started.")
        return self._url

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the process and wait until it accepts connections; does nothing if it already runs.

        Raises SimulatorError if the process ends instead, for instance because the port is taken.
        """
        if self.running:
            return self
        self.stop()
        with tempfile.TemporaryFile() as complaints:
            process = _spawn(self._options, complaints)
            self._end = weakref.finalize(self, _end, process)
            self._url = _ready_url(process, complaints)
        self._process = process
        _started[self._url] = self
        return self

    def stop(self) -> None:
        """End the process, running streams included; does nothing if it does not run."""
        if self._end is not None:
            self._end()
        self._process, self._end, self._url = None, None, ""

    def record(self, request_id: str) -> dict[str, Any]:
        """What is known of one request (its `x-request-id`), as in `records.Record`; times in ns of `perf_counter_ns`.

        Raises LookupError if there is no such record, or no longer.
        """
        return self._get(f"sim/requests/{request_id}")

    def requests(self, most: int = 100) -> list[dict[str, Any]]:
        """Summaries of the newest requests, newest first: of `most` at most, and of those that are still kept."""
        return list(self._get(f"sim/requests?most={most}")["requests"])

    def active(self) -> int:
        """How many answers are running now."""
        return int(self._get("sim/active")["active"])

    def sockets(self) -> int:
        """How many WebSockets are open now."""
        return int(self._get("sim/active")["sockets"])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Simulator {self._url if self.running else 'not running'}>"

    def _get(self, path: str) -> dict[str, Any]:
        from urllib.error import HTTPError
        from urllib.request import ProxyHandler, build_opener

        try:
            with build_opener(ProxyHandler({})).open(f"{self.url.removesuffix('v1')}{path}", timeout=10) as answer:
                return dict(json.load(answer))
        except HTTPError as exc:
            raise LookupError(f"The simulator has nothing at {path}.") from exc


def note_of(url: str) -> str:
    """What a figure says that was measured on the simulator at this base URL: "simulator ×20". Its speed is known if
    this process has started it.
    """
    found = _started.get(url)
    return note(1 if found is None else found._speed)


def note(speed: float | None) -> str:
    """What a figure says that was measured on a simulator: "simulator" as documented, "simulator ×20" for faster."""
    return "simulator" if speed == 1 else f"simulator ×{speed:g}" if speed else "simulator, unpaced"


def _spawn(options: list[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    """The child, in a session of its own: an interrupt of the kernel goes to its whole process group."""
    root = str(Path(__file__).resolve().parents[_PACKAGE.count(".") + 1])
    path = [entry for entry in sys.path if entry]
    command = [sys.executable, "-P", "-c", _CHILD, json.dumps([*path, root]), *options]
    flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
    return subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        start_new_session=sys.platform != "win32",
        creationflags=flags,
    )


def _ready_url(process: subprocess.Popen[bytes], complaints: IO[bytes]) -> str:
    """The URL from the child's first line."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    too_late = threading.Timer(_READY_TIMEOUT_S, process.kill)
    too_late.daemon = True
    too_late.start()
    try:
        line = process.stdout.readline()
    finally:
        too_late.cancel()
    if not line:
        _end(process)
        complaints.seek(0)
        lines = complaints.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise SimulatorError(f"The simulator did not start: {lines[-1]}")
    return str(json.loads(line)["url"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child by closing its standard input, or by force if it does not go."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
