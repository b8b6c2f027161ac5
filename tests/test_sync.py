"""hs.run: the one bridge from synchronous code."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from holystream_nb import run


async def double(value: int) -> int:
    await asyncio.sleep(0.001)
    return 2 * value


def test_it_runs_without_a_loop_and_keeps_one_per_thread() -> None:
    """The loop stays, so that connections stay warm; another thread has its own."""

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    here = run(loop())
    assert run(double(3)) == 6
    assert run(loop()) is here
    there: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: there.append(run(loop())))
    thread.start()
    thread.join()
    assert there[0] is not here


def test_an_error_comes_out_as_it_is() -> None:
    """Nothing is wrapped."""

    async def fail() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        run(fail())


def in_a_process(code: str) -> str:
    """Runs code in a fresh interpreter: nesting patches asyncio for good."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_nests_in_a_running_loop() -> None:
    """A synchronous call inside a coroutine gets its result, and the loop goes on."""
    code = """
import asyncio, holystream_nb as hs
async def inner():
    await asyncio.sleep(0.01)
    return "inner"
def synchronous():
    return hs.run(inner())
async def outer():
    first = synchronous()
    await asyncio.sleep(0.01)
    return first, await asyncio.gather(inner(), inner())
print(asyncio.run(outer()))
"""
    assert in_a_process(code) == "('inner', ['inner', 'inner'])\n"


def test_a_cancelled_caller_cancels_what_runs_inside() -> None:
    """■ cancels the awaiting cell, which waits in a synchronous call: the inner awaitable hears it and cleans up."""
    code = """
import asyncio, holystream_nb as hs
async def inner():
    try:
        await asyncio.sleep(30)
    finally:
        print("cleaned up")
async def outer():
    try:
        hs.run(inner())
    except KeyboardInterrupt:
        print("interrupted")
async def main():
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(outer())
    loop.call_later(0.2, task.cancel)
    await asyncio.wait([task])
asyncio.run(main())
"""
    started = time.monotonic()
    assert in_a_process(code) == "cleaned up\ninterrupted\n"
    assert time.monotonic() - started < 10


def test_ctrl_c_cancels_waits_for_the_clean_up_and_goes_on() -> None:
    """KeyboardInterrupt comes out after the awaitable has cleaned up."""
    code = """
import asyncio, os, signal, threading, holystream_nb as hs
async def work():
    try:
        await asyncio.sleep(30)
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up")
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    hs.run(work())
except KeyboardInterrupt:
    print("interrupted")
async def after():
    return "still works"
print(hs.run(after()))
"""
    assert in_a_process(code) == "cleaned up\ninterrupted\nstill works\n"
