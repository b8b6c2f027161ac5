"""A child process of the local pool.

It reads its Job as the first line of standard input, keys and other secrets as the second, and then its parent's words
(`intake.Word`), a line each, while it works. What it has to say it appends to its part-file. It lives as long as its
standard input: the parent ends it by closing that, and so does the parent's own death.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ...client.client import Client
from ...client.options import ClientOptions, client_options
from ...providers.secret import Secrets
from ..values.journal import Log
from ..values.record import Broken, Done, Line
from .intake import Intake, Word
from .worker import Job, Worker

_FRAMES: Final = 4


def handed_over(secret: Mapping[str, ClientOptions]) -> bytes:
    """What is secret, as the one line that goes through a child's standard input."""
    lines: dict[str, Any] = {}
    for label, options in secret.items():
        known: dict[str, Any] = {} if options.api_key is None else {"api_key": options.api_key.reveal()}
        for name in ("headers", "query"):
            pairs: Secrets = getattr(options, name)
            if pairs:
                known[name] = {each: value.reveal() for each, value in pairs}
        lines[label] = known
    return msgspec.json.encode(lines)


def main() -> None:
    """Runs one job and ends."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    given = msgspec.json.decode(sys.stdin.buffer.readline(), type=dict[str, dict[str, Any]])
    secret = {provider: client_options(**known) for provider, known in given.items()}
    del given
    log = Log(Path(job.path), job.run)
    code = 0
    try:
        asyncio.run(_child(job, log.write, secret))
    except Exception as exc:
        code = 1
        found = broken(job.worker, exc)
        try:
            log.write(found)
        except OSError:  # a full disk
            print(f"{found.error}: {found.message}", file=sys.stderr, flush=True)
    log.close()
    # Not by the interpreter's own end: a thread still reads standard input.
    os._exit(code)


def broken(worker: int, exc: Exception) -> Broken:
    """What to say of an exception that ended a worker: where it came from without any path of this machine."""
    while isinstance(exc, ExceptionGroup):
        exc = exc.exceptions[0]
    frames = traceback.extract_tb(exc.__traceback__)[-_FRAMES:]
    where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return Broken(worker, type(exc).__name__, str(exc), where)


async def _child(job: Job, emit: Callable[[Line], None], secret: Mapping[str, ClientOptions]) -> None:
    intake = Intake()
    threading.Thread(target=_listen, args=(asyncio.get_running_loop(), intake), daemon=True).start()
    await work(job, emit, intake, secret)
    emit(Done(job.worker, list(intake.left())))


async def work(
    job: Job, emit: Callable[[Line], None], intake: Intake, secret: Mapping[str, ClientOptions] | None = None
) -> None:
    """Warms up, says so, and does what comes in until nothing more does."""
    clients: dict[str, Client] = {}
    worker = Worker(job, emit, clients, intake, secret)
    try:
        emit(await worker.warm_up())
        # What lives now lives on: no collection looks at it again while there is something to measure.
        gc.collect()
        gc.freeze()
        await worker.run(await intake.begin())
    finally:
        gc.unfreeze()
        for client in clients.values():
            await client.aclose()


def _listen(loop: asyncio.AbstractEventLoop, intake: Intake) -> None:
    """Hands the parent's words over; ends the process when the parent closes the pipe, or dies."""
    decoder = msgspec.json.Decoder(Word)
    for line in sys.stdin.buffer:
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            loop.call_soon_threadsafe(intake.hear, decoder.decode(line))
    os._exit(0)
