"""Whether the process that writes a file still lives, and whether a folder is on a disk of this machine.

On a local disk a writer holds a lock of the system, which goes with it, whatever ends it. Elsewhere, where locks may
reach no further than one machine, it also writes the time into the locked file every second, while answers run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

BEAT: Final = 1.0
SILENCE: Final = 4.0
"""Seconds without a beat after which a writer on a network's disk is taken for ended."""

LOCAL: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "overlay", "tmpfs", "ramfs"}
)


class Sign:
    """The sign of life of one writer: a locked file, and beats in it where a lock is not enough."""

    def __init__(self, path: Path, *, is_local: bool) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        self._beats = not is_local
        self._beaten = 0.0
        try:
            if fcntl is None:
                raise OSError
            fcntl.flock(self._file, fcntl.LOCK_EX)  # one who looks holds it for an instant
        except OSError:
            self._beats = True

    def beat(self) -> None:
        if self._beats and time.monotonic() - self._beaten >= BEAT:
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, f"{time.time():.3f}".encode())
            self._beaten = time.monotonic()

    def close(self) -> None:
        """Lets go of the lock; in a forked child its parent keeps it."""
        os.close(self._file)


def lives(path: Path) -> bool:
    """Whether somebody holds this lock, or has just beaten."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                pass
        beat = os.read(file, 32)
        return bool(beat) and abs(time.time() - float(beat)) < SILENCE
    except (OSError, ValueError):
        return False
    finally:
        os.close(file)


def is_local(folder: Path) -> bool:
    """Whether it is surely on a disk of this machine: by the mount table (Linux), or by what `mount` says (macOS).

    Where nobody can tell (Windows, other systems, a FUSE mount), it counts as a network's.
    """
    try:
        if sys.platform == "linux":
            return kind_of(folder.resolve(), Path("/proc/self/mountinfo").read_text("utf-8", "replace")) in LOCAL
        if sys.platform == "darwin":
            said = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=2, check=True)
            return "local" in flags_of(folder.resolve(), said.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        pass
    return False


def kind_of(folder: Path, mounts: str) -> str:
    """The type of the file system it is on, by the lines of `/proc/self/mountinfo`."""
    found: list[tuple[str, str]] = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if len(words := before.split(" ")) > 4 and after:
            found.append((re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[4]), after.split(" ")[0]))
    return _nearest(folder, found)


def flags_of(folder: Path, mounts: str) -> list[str]:
    """What macOS' `mount` says of it: `/dev/disk3s1 on /System/Volumes/Data (apfs, local, journaled)`."""
    lines = re.findall(r"^.*? on (/.*?) \(([^()]*)\)$", mounts, re.MULTILINE)
    return _nearest(folder, lines).split(", ")


def _nearest(folder: Path, mounts: list[tuple[str, str]]) -> str:
    """What is said of the mount that the folder is in; the later one where two are at the same place."""
    reaching = [(len(point), index) for index, (point, _) in enumerate(mounts) if folder.is_relative_to(point)]
    return mounts[max(reaching)[1]][1] if reaching else ""
