"""Bare writers, forked one by one when a line comes in; each streams into a journal until it is killed.

Each prints what it has handed on, with the time, into a file of its own: `seconds pieces` a line.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from holystream_nb.journal.journal import journal
from holystream_nb.journal.values import Origin


def main(folder: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever is killed is gone at once
    for line in sys.stdin:
        child = os.fork()
        if not child:
            write(folder / line.strip())
        print(child, flush=True)


def write(printed: Path) -> None:
    out = os.open(printed, os.O_CREAT | os.O_WRONLY)
    entry = journal.begin(Origin("python", conversation=printed.stem), messages=[{"role": "user", "content": "?"}])
    number = 0
    while True:
        for _ in range(5):
            entry.add(f"{number} ")
            number += 1
        os.write(out, f"{time.monotonic():.4f} {number}\n".encode())
        time.sleep(0.004)  # about 1,200 a second


main(Path(sys.argv[1]))
