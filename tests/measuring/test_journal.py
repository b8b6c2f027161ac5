"""The file: whole lines, torn lines, two sessions, part-files that a killed kernel left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from holystream_nb.errors import SetupError
from holystream_nb.measuring.load import load
from holystream_nb.measuring.running.machine import session
from holystream_nb.measuring.values.journal import Follower, Log, mend, part, parts, read
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.measuring.values.record import (
    SCHEMA,
    Begun,
    Done,
    End,
    Header,
    Leased,
    Ready,
    Trial,
    Warmup,
    decode,
    encoder,
)
from holystream_nb.measuring.values.schedule import Slot

Make = Callable[..., Trial]


def header(**changes: object) -> Header:
    plan = Plan(models=("simulator:a",), prompts=("Hello",), repeats=5)
    here = session(
        number=0, addresses={"simulator": "http://x/v1"}, executor="processes", workers=1, origin_ns=5, wall_ns=7
    )
    return msgspec.structs.replace(Header(schema=SCHEMA, plan=plan, plan_hash=plan.hash, session=here), **changes)


def write(path: Path, *lines: object, tail: bytes = b"") -> Path:
    path.write_bytes(b"".join(encoder.encode(line) + b"\n" for line in lines) + tail)
    return path


def test_a_trial_survives_its_line(trial: Make) -> None:
    """What is written is what is read; defaults take no room."""
    one = trial(scheduled=1, retry_after=2.5, events=[1, 3, 1], message="a \u2028 line")
    line = encoder.encode(one)
    assert decode(line) == one
    assert b"\n" not in line
    assert b"reasoning_tokens" not in line


def test_warm_ups_are_kept_apart(tmp_path: Path, trial: Make) -> None:
    """A warm-up is in `warmups` and in no figure."""
    warm = Warmup(**{name: getattr(trial(repeat=-1), name) for name in Trial.__struct_fields__})
    found = load(write(tmp_path / "run.jsonl", header(), warm, trial()))
    assert (len(found.trials), len(found.warmups)) == (1, 1)
    assert found.warmups.repeat.tolist() == [-1]


def test_the_first_line_says_how_it_came_to_be() -> None:
    """Schema, plan and hash, seed, versions, processor, system, event loop, address and the wall clock's anchor."""
    found = msgspec.json.decode(encoder.encode(header()))
    assert {"kind", "schema", "plan", "plan_hash", "session", "run"} == set(found)
    assert found["plan"]["seed"] == 0
    here = found["session"]
    assert {"holystream_nb", "httpx2"} <= set(here["versions"])
    assert (here["origin_ns"], here["wall_ns"], here["addresses"]) == (5, 7, {"simulator": "http://x/v1"})
    assert all(here[name] for name in ("python", "cpu", "os", "event_loop", "started", "cpus"))


@pytest.mark.parametrize("tail", [b'{"kind":"trial","mod', b"\xff\xfe", b"null"])
def test_a_torn_last_line_loses_only_itself(tmp_path: Path, trial: Make, tail: bytes) -> None:
    """What stands before it is there, and the loss is said."""
    found = load(write(tmp_path / "run.jsonl", header(), trial(), trial(repeat=1), tail=tail))
    assert len(found.trials) == 2
    assert any("1 line of the file was torn" in note for note in found.notes)


def test_a_torn_line_is_mended_before_more_is_written(tmp_path: Path, trial: Make) -> None:
    """A new line is not glued to half an old one."""
    path = write(tmp_path / "run.jsonl", header(), trial(), tail=b'{"kind":"tri')
    mend(path)
    log = Log(path)
    log.write(trial(repeat=1))
    log.close()
    contents = read(path)
    assert ([one.repeat for one in contents.trials], contents.torn) == ([0, 1], 0)


def test_what_a_killed_kernel_left_in_part_files_is_there(tmp_path: Path, trial: Make) -> None:
    """A part-file beside the file counts, whether or not its lines were taken over already; mending takes them over."""
    path = write(tmp_path / "run[1].jsonl", header(), trial())
    write(part(path, 0), trial(), trial(repeat=1), Ready(0), tail=b'{"kin')
    write(part(path, 1), trial(repeat=2))
    assert sorted(one.repeat for one in read(path).trials) == [0, 1, 2]
    mend(path)
    assert parts(path) == []
    assert sorted(one.repeat for one in read(path).trials) == [0, 1, 2]
    assert path.read_bytes().count(b'"kind":"trial"') == 3


def test_what_was_begun_and_not_ended_is_counted_and_listed(tmp_path: Path, trial: Make) -> None:
    """Of six that a worker was told to make one had ended; of three nobody knows whether they were begun."""
    path = write(tmp_path / "run.jsonl", header())
    slots = [Slot(0, 0, repeat, 0.0) for repeat in range(6)]
    leased = [Leased(slot) for slot in slots]
    begun = [Begun(slot, 7) for slot in slots[:3]]
    write(part(path, 2), *leased, *begun, trial(repeat=1), Done(2, [slots[5]]), leased[5], tail=b'{"kin')
    write(path.with_name("run.jsonl.part"), tail=b"a download of that name is none of ours")
    found = load(path)
    assert found.contents.begun == 5
    assert any(note.startswith("5 requests begun whose end is not known") for note in found.notes)
    assert [(worker, slot.repeat, at) for worker, slot, at in mend(path)] == [
        (2, 0, 7),
        (2, 2, 7),
        (2, 3, None),
        (2, 4, None),
        (2, 5, None),
    ]
    assert (read(path).begun, parts(path)) == (0, [])


def test_a_trial_that_stands_twice_counts_once(tmp_path: Path, trial: Make) -> None:
    """The first one counts."""
    found = read(write(tmp_path / "run.jsonl", header(), trial(sent=1), trial(sent=2)))
    assert [one.sent for one in found.trials] == [1_000_000]


def test_the_follower_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    """The file is the channel: half a line is not handed on, and nothing is handed on twice."""
    path = tmp_path / "part"
    follower = Follower(path)
    assert follower.lines() == []
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert follower.lines() == [b"one"]
        file.write(b"o\n")
        assert follower.lines() == [b"two"]
    assert follower.lines() == []


def test_every_line_is_with_the_system_when_write_returns(tmp_path: Path, trial: Make) -> None:
    """A process that is killed the next moment has lost nothing."""
    path = tmp_path / "run.jsonl"
    child = os.fork()
    if child == 0:
        log = Log(path)
        log.write(header())
        log.write(trial())
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert len(read(path).trials) == 1


def test_a_full_disk_is_an_error_and_not_silence() -> None:
    """`Log.write` raises when the system takes no more."""
    log = Log(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        log.write(End(0, "complete"))
    log.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no header"),
        (b"hello\n", "no header"),
        (b'{"kind":"trial"}\n', "no header"),
        (b'{"kind":"header","schema":99,"plan":"new"}\n', "newer holystream_nb"),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """The sentence says what is wrong with it."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=words):
        load(path)


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    """No traceback from our insides."""
    with pytest.raises(SetupError, match="cannot be read"):
        load(tmp_path / "none.jsonl")
