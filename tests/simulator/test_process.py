"""The simulator's process: it starts fast, and ends with its parent, however that ends."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from holystream_nb.simulator import Simulator, run
from holystream_nb.simulator.process import SimulatorError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def answers(url: str) -> bool:
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=1):
            return True
    except OSError:
        return False


def gone(url: str, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not answers(url):
            return True
        time.sleep(0.02)
    return False


def parent(code: str, **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def test_start_and_stop() -> None:
    """Start waits for a server that answers, stop ends it at once, both can be repeated, and a restart works."""
    simulator = Simulator(speed=None)
    with pytest.raises(RuntimeError, match="not been started"):
        _ = simulator.url
    try:
        url = simulator.start().url
        assert (simulator.start().url, simulator.running) == (url, True)
        assert answers(url)
        started = time.monotonic()
        simulator.stop()
        simulator.stop()
        assert time.monotonic() - started < 1
        assert not answers(url)
        assert not simulator.running
        assert answers(simulator.start().url)
    finally:
        simulator.stop()


def test_start_is_fast() -> None:
    """The best of three starts takes less than 600 ms."""
    times = []
    for _ in range(3):
        started = time.monotonic()
        with Simulator():
            times.append(time.monotonic() - started)
    assert min(times) < 0.6


def test_stop_with_a_running_stream() -> None:
    """Stop does not wait for a stream."""
    with Simulator(speed=None) as simulator:
        request = urllib.request.Request(
            simulator.url + "/chat/completions",
            b'{"model": "gpt-4.1#stall=60", "stream": true, "messages": [{"role": "user", "content": "x"}]}',
            {"authorization": "Bearer key"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            assert answer.readline()
            started = time.monotonic()
            simulator.stop()
            assert time.monotonic() - started < 1


def test_port_that_is_taken() -> None:
    """A start that cannot work is an error with the child's own last line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SimulatorError, match=r"did not start: OSError.*in use"):
            Simulator(port=taken.getsockname()[1]).start()


@pytest.mark.parametrize("speed", [0, -1, float("nan"), "fast", "2", True, [1]])
def test_speeds_that_cannot_be(speed: Any) -> None:
    """A speed must be above 0, or max."""
    with pytest.raises(ValueError, match=r'a number above 0, or "max"'):
        Simulator(speed=speed)


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"port": -1},
            {"port": 65536},
            {"port": "80"},
            {"seed": "x"},
            {"seed": 1.5},
            {"key": ""},
            {"key": "schlüssel"},
        ),
        *({"network_delay_ms": value} for value in (-1, "20", True, float("nan"), float("inf"))),
        *({"network_mbit_s": value} for value in (0, "10", float("inf"))),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    """What no simulator can be given is refused before one starts, in the foreground too; a key is not repeated."""
    for door in (Simulator, run):
        with pytest.raises(ValueError, match=rf"^The {next(iter(options))} of a simulator is .*\.$") as refused:
            door(**options, **({"on_ready": print} if door is run else {}))
        assert "schl" not in str(refused.value)


def test_max_is_a_speed() -> None:
    """The word of the command line is understood by the constructor: nothing is paced."""
    with Simulator(speed="max") as simulator:
        request = urllib.request.Request(
            simulator.url + "/chat/completions",
            b'{"model": "gpt-4.1", "stream": true, "messages": [{"role": "user", "content": "count to 3"}]}',
            {"authorization": "Bearer key"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            answer.read()
            record = simulator.record(answer.headers["x-request-id"])
    assert record["sent_ns"][0] - record["received_ns"] < 0.3e9  # gpt-4.1's first token comes after 1.2 s at speed 1


def test_speed_divides_the_latency() -> None:
    """At speed 20, gpt-4.1's first token comes after about 62 ms."""
    with Simulator(speed=20) as simulator:
        request = urllib.request.Request(
            simulator.url + "/chat/completions",
            b'{"model": "gpt-4.1", "stream": true, "messages": [{"role": "user", "content": "count to 3"}]}',
            {"authorization": "Bearer key"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            answer.read()
            record = simulator.record(answer.headers["x-request-id"])
    assert 0.02e9 < record["sent_ns"][0] - record["received_ns"] < 0.2e9


def test_dropped_simulator_ends() -> None:
    """With the last reference to it, a simulator that was never stopped ends."""
    simulator = Simulator().start()
    url = simulator.url
    del simulator
    gc.collect()
    assert gone(url, within=1)


@posix
@pytest.mark.parametrize("end", ["kill", "exit"])
def test_ends_with_its_parent(end: str) -> None:
    """A parent that is killed, or that ends without a stop, takes the simulator with it."""
    code = (
        "import sys; from holystream_nb.simulator import Simulator; s = Simulator().start(); print(s.url, flush=True); "
    )
    with parent(code + "sys.stdin.read()", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        url = process.stdout.readline().strip()
        assert answers(url)
        if end == "kill":
            process.kill()
        else:
            process.stdin.close()
        assert gone(url, within=2)


@posix
def test_interrupt_of_the_kernel_does_not_reach_it() -> None:
    """An interrupt goes to the kernel's whole process group; the simulator is not in it."""
    code = (
        "import signal, sys; from holystream_nb.simulator import Simulator\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "s = Simulator().start(); print(s.url, flush=True); sys.stdin.read()"
    )
    with parent(code, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
        assert answers(url)
        process.kill()


@posix
def test_foreground_ends_silently() -> None:
    """`run()` says when it is ready, and Ctrl-C ends it at once without a word, a running stream included."""
    code = "from holystream_nb.simulator import run; run(speed=None, on_ready=lambda url: print(url, flush=True))"
    with parent(code) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        request = urllib.request.Request(
            url + "/chat/completions",
            b'{"model": "gpt-4.1#stall=60", "stream": true, "messages": [{"role": "user", "content": "x"}]}',
            {"authorization": "Bearer key"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
            assert answer.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=2)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_file_named_like_a_module_does_no_harm(tmp_path: Path) -> None:
    """The folder a notebook runs in is not on the simulator's path."""
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('wrong uvicorn')")
    (tmp_path / "json.py").write_text("raise SystemExit('wrong json')")
    code = (
        "import sys, json; from holystream_nb.simulator import Simulator\n"
        "sys.path.insert(0, '')\n"
        "with Simulator() as s: print('fine')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_loopback_only(simulator: Simulator) -> None:
    """The server listens on 127.0.0.1 and on no other address."""
    port = urlsplit(simulator.url).port
    assert urlsplit(simulator.url).hostname == "127.0.0.1"
    with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
        socket.create_connection(("127.0.0.2", port), timeout=1)


def test_door_is_light() -> None:
    """Importing the package, and the class, loads neither the server nor its libraries."""
    code = (
        "import sys; from holystream_nb.simulator import Simulator; "
        "print([name for name in ('uvicorn', 'starlette', 'asyncio', 'h11') if name in sys.modules])"
    )
    with parent(code) as process:
        out, _ = process.communicate(timeout=10)
    assert out.strip() == "[]"


def test_imports_nothing_from_the_client_side() -> None:
    """A bug in shared code would cancel itself out, so nothing of the package outside the simulator is loaded."""
    code = (
        "import sys; import holystream_nb.simulator.server, holystream_nb.simulator.process; "
        "print(sorted(name for name in sys.modules if name.startswith('holystream_nb.') "
        "and not name.startswith('holystream_nb.simulator')))"
    )
    with parent(code) as process:
        out, _ = process.communicate(timeout=10)
    assert out.strip() == "[]"
