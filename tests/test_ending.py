"""The console commands end with everything that they have started, however they are told to."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient

ROOT = Path(__file__).resolve().parent.parent
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
DEMO = (sys.executable, "-m", "holystream_nb", "demo")
MAKE = ("make", "-f", str(ROOT / "Makefile"), "-o", ".venv/demo", f"BIN={Path(sys.executable).parent}", "demo")
CELL = """
import subprocess, time
from holystream_nb.session import session
session.simulator_url()
child = subprocess.Popen(["sleep", "600"])
"""
BUSY = "while True:\n    try:\n        time.sleep(600)\n    except BaseException:\n        pass"
ENDED_S = 5.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@contextmanager
def demo(command: tuple[str, ...], folder: Path) -> Iterator[tuple[subprocess.Popen[str], BlockingKernelClient]]:
    """`holystream-nb demo` with a kernel that was opened over its address, and a client to run cells there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "JPY"))}
    own = {"JUPYTER_RUNTIME_DIR": str(folder), "HOLYSTREAM_BROWSER": "0", "HOLYSTREAM_PORT": port}
    environment = {**kept, **own, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder, start_new_session=True
    ) as started:
        tree: list[psutil.Process] = []
        try:
            assert started.stderr is not None
            pattern = rf"(http://127\.0\.0\.1:{port})/lab/tree/01_quickstart\.ipynb\?token=(\w+)"
            base, token = next(filter(None, (re.search(pattern, line) for line in started.stderr))).groups()
            client = BlockingKernelClient(connection_file=str(folder / f"kernel-{opened(base, token)}.json"))
            client.load_connection_file()
            client.start_channels()
            client.kernel_info(reply=True, timeout=30)
            tree = tree_of(started)
            yield started, client
            client.stop_channels()
        finally:
            for process in tree:
                if process.is_running():
                    process.kill()
            started.kill()


def opened(base: str, token: str) -> str:
    """A new kernel, by Jupyter's REST API; it prints its address a moment before it listens."""
    request = urllib.request.Request(
        f"{base}/api/kernels", b'{"name": "python3"}', {"authorization": f"token {token}"}, method="POST"
    )
    deadline = time.monotonic() + 20
    while True:
        try:
            with OPENER.open(request, timeout=20) as answer:
                return str(json.load(answer)["id"])
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def shown(message: Any) -> None:
    """A cell that fails says why."""
    if message["msg_type"] in ("error", "stream"):
        print(message["content"])


def tree_of(started: subprocess.Popen[Any]) -> list[psutil.Process]:
    top = psutil.Process(started.pid)
    return [top, *top.children(recursive=True)]


def alive(tree: list[psutil.Process]) -> list[str]:
    """Which of them are there after 5 s, by their command lines; zombies of a parent that reads nothing are not."""
    deadline = time.monotonic() + ENDED_S
    while True:
        left = []
        for process in tree:
            try:
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(" ".join(process.cmdline())[:200])
            except psutil.NoSuchProcess:
                pass
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "how", "busy"),
    [
        pytest.param(DEMO, signal.SIGTERM, False, id="SIGTERM"),
        pytest.param(DEMO, signal.SIGHUP, True, id="SIGHUP, a cell runs that nothing interrupts"),
        pytest.param(DEMO, signal.SIGINT, False, id="SIGINT"),
        pytest.param(DEMO, signal.SIGKILL, False, id="SIGKILL"),
        pytest.param(MAKE, signal.SIGTERM, False, id="make"),
    ],
)
def test_demo_ends_with_all_that_it_has_started(
    command: tuple[str, ...], how: signal.Signals, busy: bool, tmp_path: Path
) -> None:
    """JupyterLab, its kernel, the simulator and a process that a cell has started, whatever ends the command."""
    with demo(command, tmp_path) as (started, client):
        client.execute_interactive(CELL, timeout=30, output_hook=shown)
        tree = tree_of(started)
        lines = [" ".join(process.cmdline()) for process in tree]
        for part in ("holystream_nb.lab", "ipykernel", "--speed", "sleep 600"):
            assert any(part in line for line in lines), (part, lines)
        if busy:
            client.execute(BUSY)
            time.sleep(0.3)
        started.send_signal(how)
        assert alive(tree) == []
        if command is DEMO:
            assert started.wait(1) == (128 + how if how is not signal.SIGKILL else -how)


@pytest.mark.slow
def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice has the prompt back at once; the kernel sees that JupyterLab has gone."""
    with demo(DEMO, tmp_path) as (started, client):
        client.execute_interactive(CELL, timeout=30, output_hook=shown)
        client.execute(BUSY)
        tree = tree_of(started)
        time.sleep(0.3)
        started.send_signal(signal.SIGINT)
        time.sleep(0.3)
        started.send_signal(signal.SIGINT)
        assert started.wait(1) == 128 + signal.SIGINT
        assert [line for line in alive(tree) if "sleep 600" not in line] == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_serve_ends_at_once_and_silently(how: signal.Signals) -> None:
    """Also while an answer runs."""
    command = [sys.executable, "-m", "holystream_nb", "serve"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as serving:
        try:
            assert serving.stdout is not None
            assert serving.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:\d+/v1", serving.stdout.readline())
            assert found is not None
            request = urllib.request.Request(
                f"{found[0]}/chat/completions",
                b'{"model": "gpt-4.1#stall=60", "stream": true, "messages": [{"role": "user", "content": "x"}]}',
                {"authorization": "Bearer key"},
            )
            with OPENER.open(request, timeout=5) as answer:
                assert answer.readline()
                serving.send_signal(how)
                serving.wait(2)
            assert serving.stderr.read() == ""
        finally:
            serving.kill()
