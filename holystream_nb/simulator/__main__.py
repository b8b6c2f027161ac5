"""`python -m holystream_nb.simulator`: the simulator as a child process, which lives as long as its standard input.

Prints one line of JSON, `{"url": …}`, when it accepts connections.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading


def main(arguments: list[str] | None = None) -> None:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m holystream_nb.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--speed", type=speed_factor, default=1.0, help="a number above 0, or max")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--key", default=None, help="the only key to accept")
    parser.add_argument("--network-delay-ms", type=float, default=0.0, help="each way")
    parser.add_argument("--network-mbit-s", type=float, default=None, help="each way, of each connection")
    options = parser.parse_args(arguments)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    from .server import run

    run(
        port=options.port,
        speed=options.speed,
        seed=options.seed,
        key=options.key,
        network_delay_ms=options.network_delay_ms,
        network_mbit_s=options.network_mbit_s,
        on_ready=_announce,
    )


def speed_factor(text: str) -> float | None:
    """A speed factor as written on a command line: a number above 0, or max (None: as fast as possible)."""
    if text == "max":
        return None
    speed = float(text)
    if not speed > 0:
        raise argparse.ArgumentTypeError("a number above 0, or max")
    return speed


def _announce(url: str) -> None:
    print(json.dumps({"url": url}), flush=True)


def _end_with_parent() -> None:
    """End at once when the parent closes its end of the pipe, or is killed: the system closes it then.

    Reads the descriptor itself: a read of `sys.stdin` in a thread can hold its lock at the interpreter's end.
    """
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
