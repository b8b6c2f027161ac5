"""A live view's end in a real kernel: also where its loop has ended, and where its page has gone without a word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel, kernel

from holystream_nb.journal.journal import Journal

pytestmark = pytest.mark.slow

IN_A_THREAD = """
import threading, holystream_nb as hs
said = []
def ask():
    said.append(hs.run(hs.stream("Hello", model="gpt-4.1#tokens=5")).text)
thread = threading.Thread(target=ask)
thread.start()
thread.join()
print(said)
"""
STANDING = "from ipywidgets.widgets.widget import _instances; print(len(_instances))"


@pytest.fixture(scope="module")
def running() -> Iterator[Kernel]:
    with kernel() as started:
        yield started


def opened(outputs: list[tuple[str, dict[str, Any]]]) -> str:
    """The comm of the live view that was opened."""
    states = [(content["comm_id"], content["data"]["state"]) for kind, content in outputs if kind == "comm_open"]
    return next(comm for comm, state in states if "keyframe" in state)


def say(kernel: Kernel, comm: str, **content: Any) -> None:
    client = kernel.client
    data = {"method": "custom", "content": content}
    client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm, "data": data}))


def closes(kernel: Kernel, comm: str, within: float = 5) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            message = kernel.client.get_iopub_msg(timeout=0.2)
        except Exception as exc:
            if type(exc).__name__ != "Empty":
                raise
            continue
        if message["msg_type"] == "comm_close" and message["content"]["comm_id"] == comm:
            return True
    return False


def test_a_view_made_in_a_thread_draws_ends_and_closes(running: Kernel, capfd: pytest.CaptureFixture[str]) -> None:
    """`hs.run` in a thread: its loop ends with it, and what comes later from the page raises and logs nothing."""
    ran = running.run(IN_A_THREAD)
    assert ran.printed.startswith("['")
    comm = opened(ran.outputs)
    kinds = [content["data"].get("content", {}).get("kind") for content in ran.all("comm_msg")]
    assert "delta" in kinds
    assert "whole" in kinds
    assert ran.markdown
    numbered = {"from": "page"}
    say(running, comm, kind="ready", view="v", number=1, **numbered)
    for number, kind in enumerate(("missed", "stop", "consent", "painted"), 2):
        say(running, comm, kind=kind, lane=0, number=number, **numbered)
    say(running, comm, kind="gone", view="v", number=6, **numbered)
    assert closes(running, comm)
    say(running, comm, kind="have", seq=1, **numbered)
    assert running.run("1").reply["status"] == "ok"
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err


def test_after_the_last_view_has_gone_the_kernel_holds_nothing_of_it(running: Kernel) -> None:
    """No widget, and no layout."""
    before = running.run(STANDING).printed
    ran = running.run("%%stream -m gpt-4.1#tokens=5\nHello")
    comm = opened(ran.outputs)
    assert running.run(STANDING).printed != before
    say(running, comm, kind="ready", view="v")
    say(running, comm, kind="gone", view="v")
    assert closes(running, comm)
    assert running.run(STANDING).printed == before


def test_a_view_whose_page_went_without_a_word_is_forgotten(running: Kernel) -> None:
    """After a while; on a page that is still there it stays as it is: no word of an end goes out."""
    before = running.run(STANDING).printed
    running.run("import holystream_nb.live.feed as feed; feed.LINGER_S = 1.0")
    ran = running.run("%%stream -m gpt-4.1#tokens=5\nHello")
    comm = opened(ran.outputs)
    say(running, comm, kind="ready", view="v")
    assert not closes(running, comm, within=4)
    assert running.run(STANDING).printed == before


def shut_down(kernel: Kernel) -> None:
    kernel.manager.shutdown_kernel(now=False)


def restart(kernel: Kernel) -> None:
    kernel.manager.restart_kernel(now=False)


def shut_down_late(kernel: Kernel) -> None:
    """As a busy server does: the interrupt that comes first has been heeded long before."""
    kernel.interrupt()
    time.sleep(0.05)
    kernel.manager.request_shutdown()
    kernel.manager.finish_shutdown()


@pytest.mark.parametrize("end", [shut_down, restart, shut_down_late])
def test_an_answer_whose_kernel_is_shut_down_is_not_called_stopped(
    end: Callable[[Kernel], None], tmp_path: Path
) -> None:
    """By a restart, or in order with its server: the journal says that the kernel ended, with the text so far."""
    journal = Journal()
    journal.configure(journal=tmp_path)
    with kernel(HOLYSTREAM_JOURNAL=str(tmp_path)) as own:
        own.start("%%stream -m gpt-4.1#rate=100,numbered,tokens=9000\nCount.")
        deadline = time.monotonic() + 20
        while not (answers := journal.answers()) or " 20 " not in answers[0].text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        end(own)
        (answer,) = journal.answers()
    assert (answer.state, answer.error, answer.is_running) == ("lost", "", False)
    assert answer.text.startswith("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 ")
