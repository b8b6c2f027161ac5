"""Whether a writer lives, and whether a folder is on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from holystream_nb.journal import alive
from holystream_nb.journal.alive import Sign, flags_of, is_local, kind_of, lives

LINUX = """\
22 27 0:20 / /proc rw,nosuid - proc proc rw
27 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
30 27 0:45 / /home rw - nfs4 server:/home rw,vers=4.2
31 30 0:46 / /home/me/local\\040disk rw - xfs /dev/sdb rw
32 27 0:47 / /data rw - fuse.sshfs me@there: rw
33 32 0:48 / /data rw - btrfs /dev/sdc rw
"""
MACOS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//me@server/home on /Volumes/home (smbfs, nodev, nosuid, mounted by me)
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/root/.local", "ext4"),
        ("/home/me/.local", "nfs4"),
        ("/home/me/local disk/x", "xfs"),
        ("/homely", "ext4"),
        ("/data/x", "btrfs"),  # mounted over the other
        ("/proc/x", "proc"),
    ],
)
def test_the_mount_table_says_what_a_folder_is_on(folder: str, kind: str) -> None:
    """The longest mount point that it is in, and the last one there."""
    assert kind_of(Path(folder), LINUX) == kind


@pytest.mark.parametrize(
    ("folder", "local"),
    [("/Users/me", True), ("/System/Volumes/Data/Users/me", True), ("/Volumes/home/x", False)],
)
def test_macos_says_which_of_its_mounts_are_local(folder: str, local: bool) -> None:
    """Among the words in brackets."""
    assert ("local" in flags_of(Path(folder), MACOS)) == local


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "virtiofs", "lustre", "ceph", ""])
def test_a_disk_of_a_network_is_not_local(kind: str) -> None:
    """Nor is what nobody knows."""
    assert kind not in alive.LOCAL


def test_where_nobody_can_tell_it_is_not_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows, another system."""
    monkeypatch.setattr(alive.sys, "platform", "win32")
    assert not is_local(tmp_path)


@pytest.mark.parametrize("local", [True, False])
def test_a_writer_lives_as_long_as_it_holds_its_sign(tmp_path: Path, local: bool) -> None:
    """By the system's lock."""
    assert not lives(tmp_path / "x.lock")
    sign = Sign(tmp_path / "x.lock", is_local=local)
    assert lives(tmp_path / "x.lock")
    sign.close()
    assert not lives(tmp_path / "x.lock")


def test_without_locks_a_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk knows no locks, or another machine reads: a beat is enough, for a few seconds."""
    monkeypatch.setattr(alive, "fcntl", None)
    sign = Sign(tmp_path / "x.lock", is_local=False)
    assert not lives(tmp_path / "x.lock")
    sign.beat()
    assert lives(tmp_path / "x.lock")
    now = time.time()
    monkeypatch.setattr(alive.time, "time", lambda: now + alive.SILENCE + 1)
    assert not lives(tmp_path / "x.lock")
    sign.close()
