"""JupyterLab as a child process, which lives as long as its standard input: as long as the process that started it.

However that one ends, by a signal, with its terminal or by force, the system closes the pipe, and JupyterLab stops as
if it had been told to: its kernels end, and with them what their cells have started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Final

_ENDING_S: Final = 10.0
_KERNELS_ENDING_S: Final = 3.0  # Jupyter's own 5 s would be all the time that a shell or a container gives


def run(arguments: Sequence[str]) -> int:
    """Runs JupyterLab until it ends, or a signal says so (SIGTERM, SIGHUP, Ctrl-C; a second one is obeyed at once).

    Returns its exit code, or 128 and the signal's number.
    """
    command = [sys.executable, "-m", __name__, f"--KernelManager.shutdown_wait_time={_KERNELS_ENDING_S}", *arguments]
    received: list[int] = []
    lab: subprocess.Popen[bytes] | None = None

    def end(number: int, _: FrameType | None) -> None:
        received.append(number)
        if lab is not None:
            _end(lab, at_once=len(received) > 1)

    with _Handled(end):
        # In a session of its own: Ctrl-C is for this process, and JupyterLab would stop to ask whether it is meant.
        lab = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=sys.platform != "win32")  # noqa: S603
        if received:
            _end(lab, at_once=False)
        code = lab.wait()
    number = received[0] if received else -min(code, 0)
    return 128 + number if number else code


class _Handled:
    """A handler for what ends a process; what was ignored (`nohup`) stays so."""

    def __init__(self, handler: signal._HANDLER) -> None:
        names = ("SIGTERM", "SIGHUP", "SIGINT", "SIGBREAK")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        self._before = {number: signal.getsignal(number) for number in numbers}
        self._handler = handler

    def __enter__(self) -> None:
        for number, before in self._before.items():
            if before is not signal.SIG_IGN:
                signal.signal(number, self._handler)

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


def _end(lab: subprocess.Popen[bytes], *, at_once: bool) -> None:
    if at_once:
        lab.kill()
        return
    assert lab.stdin is not None  # noqa: S101  # it is a pipe
    lab.stdin.close()
    by_force = threading.Timer(_ENDING_S, lab.kill)
    by_force.daemon = True
    by_force.start()


def main() -> None:
    """JupyterLab, in this process."""
    pipe = os.dup(0)  # not inheritable: neither a kernel nor a terminal holds it
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()

    from jupyterlab.labapp import main as lab  # type: ignore[import-untyped]

    lab()


def _end_with_parent(pipe: int) -> None:
    while os.read(pipe, 4096):
        pass
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGTERM)
    else:  # to the thread that waits for the network, which would not notice a signal that another one gets
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


if __name__ == "__main__":
    main()
