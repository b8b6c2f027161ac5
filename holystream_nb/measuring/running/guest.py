"""What runs in a worker of a foreign executor: a look around, then a worker's whole part of a run, or a short batch.

How it is told what to do (`Post`): by a file of words that its parent appends to, by calls of a Dask client (`hear`),
or by the batch itself.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from ...client.client import Client
from ...sync import run as run_here
from ..values.journal import Follower, Log, encoded
from ..values.record import Begun, Done, Line, Trial, Warmup
from ..values.schedule import Slot
from .child import broken, work
from .intake import Intake, Word
from .worker import Job, Worker

T = TypeVar("T")

AGAIN: Final = b"again"
"""What `serve` answers where it was begun before: nothing was sent."""

ORPHAN_S: Final = 25.0
"""A worker that hears nothing for so long ends: its parent, which says something every few seconds, is gone. A new
run waits longer than this for the workers of its executor (`remote.BEGIN_S`)."""

_LOOK_S: Final = 0.05
_REACH_S: Final = 2.0


class Post(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a worker and its parent talk: over two files that both see, or under a topic of Dask's."""

    part: str = ""
    words: str = ""
    topic: str = ""


# A look around


class Around(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker sees: its host and process, loopback addresses that nobody answers at, and who wrote into a file
    that the parent made (none where it is not seen)."""

    host: str
    pid: int
    silent: tuple[str, ...] = ()
    mark: str = ""


def look(urls: Sequence[str], file: str, mark: str, stay_s: float) -> bytes:
    """Looks around for a moment, so that a pool's other workers look too; an Around as JSON."""
    time.sleep(stay_s)
    silent = tuple(url for url in urls if not _answers(url))
    seen = ""
    with suppress(OSError):
        path = Path(file)
        if path.read_text("utf-8").startswith(mark):
            seen = os.urandom(8).hex()
            with path.open("ab", buffering=0) as log:
                log.write(f" {seen}".encode())
    return msgspec.json.encode(Around(socket.gethostname(), os.getpid(), silent, seen))


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port or 80), _REACH_S):
            return True
    except OSError:
        return False


# A worker's whole part of a run


def serve(job: bytes, wall_ns: int, post: bytes) -> bytes:
    """Does a worker's part of a run as its parent says, and tells it everything at once; AGAIN for a second start."""
    asked, how = msgspec.json.decode(job, type=Job), msgspec.json.decode(post, type=Post)
    if how.words and not Path(how.words).exists():
        return b""  # the run was over before it was begun
    emit = _to_topic(how.topic, asked.run) if how.topic else _to_file(how.part, asked.run)
    return AGAIN if emit is None else alone(_serve(asked, wall_ns, how, emit))


def alone(task: Coroutine[Any, Any, T]) -> T:
    """Runs it in a thread and a loop of its own: the executor's thread may have a loop that runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, task).result()


def _to_file(path: str, run: str) -> Callable[[Line], None] | None:
    """Appends to the worker's part-file; None where it is there already."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return None
    return Log(Path(path), run).write


def _to_topic(topic: str, run: str) -> Callable[[Line], None] | None:
    """Logs an event of Dask's for each line, the first an empty one; None where this process did that before."""
    from distributed import get_worker

    worker = get_worker()
    with _lock:
        if topic in _begun:
            return None
        _begun.add(topic)
    worker.log_event(topic, b"")
    return lambda line: worker.log_event(topic, encoded(line, run))


async def _serve(job: Job, wall_ns: int, post: Post, emit: Callable[[Line], None]) -> bytes:
    job = msgspec.structs.replace(job, origin_ns=_origin(wall_ns))
    intake = Intake()
    ear = _Ear(intake, asyncio.ensure_future(work(job, emit, intake)))
    listening = asyncio.ensure_future(ear.follow(Path(post.words)) if post.words else ear.listen(post.topic))
    try:
        await ear.work
    except asyncio.CancelledError:
        pass  # it was told to stop, or is an orphan
    except Exception as exc:
        emit(broken(job.worker, exc))
        return b""
    finally:
        listening.cancel()
    emit(Done(job.worker, list(intake.left())))
    return b""


def _origin(wall_ns: int) -> int:
    """The session's origin by this process's stopwatch: machines of a cluster share no other clock than the wall's."""
    return time.perf_counter_ns() - (time.time_ns() - wall_ns)


class _Ear:
    """Hands the parent's words to the work, and ends it when it is told to, or when nothing is heard any more."""

    def __init__(self, intake: Intake, work: asyncio.Future[None]) -> None:
        self._intake = intake
        self.work = work
        self._heard = time.monotonic()

    def hear(self, word: Word) -> None:
        self._heard = time.monotonic()
        self._intake.hear(word)
        if word.is_stop:
            self.work.cancel()

    def _is_orphan(self) -> bool:
        return time.monotonic() - self._heard > ORPHAN_S

    async def follow(self, words: Path) -> None:
        """Words that are appended to a file. Where it has gone, so has the parent."""
        follower, decoder, stamp = Follower(words), msgspec.json.Decoder(Word), 0
        while words.exists() and not self._is_orphan():  # noqa: ASYNC240  # quick, and twenty times a second
            for line in follower.lines():
                self.hear(decoder.decode(line))
            with suppress(FileNotFoundError):
                if (now := words.stat().st_mtime_ns) != stamp:  # noqa: ASYNC240
                    stamp, self._heard = now, time.monotonic()
            await asyncio.sleep(_LOOK_S)
        self.work.cancel()

    async def listen(self, topic: str) -> None:
        """Words that a Dask client calls `hear` with."""
        loop = asyncio.get_running_loop()
        with _lock:
            early = _early.pop(topic, [])
            _listeners[topic] = lambda word: loop.call_soon_threadsafe(self.hear, word)
        try:
            for word in early:
                self.hear(word)
            while not self._is_orphan():  # noqa: ASYNC110
                await asyncio.sleep(1)
            self.work.cancel()
        finally:
            with _lock:
                del _listeners[topic]
                _over.add(topic)


_lock: Final = threading.Lock()
_begun: Final[set[str]] = set()
_over: Final[set[str]] = set()
_listeners: Final[dict[str, Callable[[Word], Any]]] = {}
_early: Final[dict[str, list[Word]]] = {}
_count: Final[dict[str, int]] = {}


def hear(topic: str, number: int, words: Sequence[bytes]) -> None:
    """Words for a worker in this process, which may not have begun yet.

    number: that of the first. Those that were heard before are left out: a call whose answer is lost is made again.
    A worker of an earlier sitting of this run, whose parent was killed, makes room.
    """
    run, session, _ = topic.rsplit(" ", 2)
    with _lock:
        orphans = [
            each
            for other, each in _listeners.items()
            if other.startswith(f"{run} ") and not other.startswith(f"{run} {session} ")
        ]
        known = [msgspec.json.decode(word, type=Word) for word in words[max(0, _count.get(topic, 0) - number) :]]
        _count[topic] = max(_count.get(topic, 0), number + len(words))
        listener = _listeners.get(topic)
        if listener is None and topic not in _over:
            _early.setdefault(topic, []).extend(known)
    with suppress(RuntimeError):  # its loop has just ended
        for orphan in orphans:
            orphan(Word(is_stop=True))
    if listener is not None:
        with suppress(RuntimeError):
            for word in known:
                listener(word)


# A short batch


class Batch(msgspec.Struct, frozen=True):
    """What comes back: records as lines of the file, and what was not begun.

    `error` and `message` are those of a warm-up that nothing can follow.
    """

    lines: list[bytes]
    rest: list[Slot]
    error: str = ""
    message: str = ""


class _Here(threading.local):
    """What a thread of a worker keeps from batch to batch: the clients of one run."""

    def __init__(self) -> None:
        self.run: tuple[str, int] | None = None
        self.clients: dict[str, Client] = {}


_here: Final = _Here()


def batch(job: bytes, wall_ns: int, word: bytes, batch_s: float) -> bytes:
    """Does one batch in this process, and begins nothing after its time. Connections of one run stay open between."""
    asked = msgspec.json.decode(job, type=Job)
    return run_here(_batch(asked, wall_ns, msgspec.json.decode(word, type=Word), batch_s))


async def _batch(job: Job, wall_ns: int, word: Word, batch_s: float) -> bytes:
    if _here.run != (job.run, wall_ns):
        for client in _here.clients.values():
            await client.aclose()
        _here.run, _here.clients = (job.run, wall_ns), {}
    job = msgspec.structs.replace(job, origin_ns=_origin(wall_ns))
    records: list[Begun | Trial | Warmup] = []
    intake = Intake()
    intake.hear(word)
    worker = Worker(job, records.append, _here.clients, intake)
    ready = await worker.warm_up()
    if not ready.error:
        start = time.perf_counter_ns() - job.origin_ns
        intake.hear(Word(start=start, until=word.until))
        intake.ends = start + round(batch_s * 1e9)
        await worker.run(start)
    lines = [encoded(record, job.run) for record in records]
    return msgspec.msgpack.encode(Batch(lines, list(intake.left()), ready.error, ready.message))
