"""%%stream --mcp and panels in a real kernel: one process for all cells, the interrupt, unloading, the kernel's end."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kernels
import pytest

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[1] / "mcp_server.py"
SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an mcp.json, in which `box` is a real server and `gone` is not there."""
    folder = tmp_path_factory.mktemp("mcp")
    box = {"command": sys.executable, "args": [str(SERVER), str(folder / "notes")], "env": {"SECRET_WORD": SECRET}}
    servers = {"mcpServers": {"box": box, "gone": {"command": "/opt/nowhere"}}}
    (folder / "mcp.json").write_text(json.dumps(servers))
    return folder


@pytest.fixture(scope="module")
def kernel(folder: Path) -> Iterator[kernels.Kernel]:
    with kernels.kernel(HOLYSTREAM_MCP=str(folder / "mcp.json")) as running:
        running.run("import holystream_nb as hs")
        yield running


def pids(folder: Path) -> list[int]:
    return [int(line.split()[1]) for line in (folder / "notes").read_text().splitlines() if line.startswith("started")]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_cell_takes_the_tools_of_a_named_server(kernel: kernels.Kernel, folder: Path) -> None:
    """The card goes through its states, and its keys are in nothing that is shown or saved."""
    line = "%%stream -m gpt-4.1 --mcp box --allow box__add,box__environment"
    ran = kernel.run(f"{line}\nUse box__add then box__environment")
    assert ran.reply["status"] == "ok"
    saved = ran.all("update_display_data")[-1]["data"]["text/plain"]
    assert "[box__add({" in saved
    assert "SECRET_WORD" in saved
    assert SECRET not in json.dumps(ran.outputs, default=str)
    captured = kernel.run("%%capture out\n%%stream -m gpt-4.1 --mcp box --allow all\nUse box__process")
    assert captured.reply["status"] == "ok"
    assert len(pids(folder)) == 1


def test_where_nobody_can_click_nothing_runs_that_was_not_allowed(kernel: kernels.Kernel) -> None:
    """The cell goes on, and says how to allow it."""
    ran = kernel.run("%%stream -m gpt-4.1 --mcp box\nUse box__add", watched=False)
    assert ran.reply["status"] == "ok"
    assert "--allow box__add" in ran.all("display_data")[-1]["data"]["text/plain"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--mcp bax", "has no MCP server 'bax': known are box, gone."),
        ("--mcp gone", "The MCP server gone did not start: nowhere cannot be run (No such file or directory)"),
        ("--mcp box --allow box__ad", "box__ad cannot be allowed: there is no such tool (there are: box__add"),
        ("--mcp ,", "this is not an MCP server's name"),
    ],
)
def test_what_cannot_be_is_one_sentence(kernel: kernels.Kernel, line: str, said: str) -> None:
    """Nothing is sent."""
    ran = kernel.run(f"%%stream -m gpt-4.1 {line}\nHello")
    assert said in ran.error
    assert len(ran.error.splitlines()) == 1


def test_the_file_and_its_servers_are_among_what_is_set(kernel: kernels.Kernel, folder: Path) -> None:
    """By name; none is started for it."""
    shown = kernel.run("%stream config").all("display_data")[-1]["data"]["text/plain"]
    row = next(line for line in shown.splitlines() if "mcp.json" in line)
    assert str(folder / "mcp.json") in row
    assert "box, gone" in row


def test_a_panel_and_the_cells_share_one_process(kernel: kernels.Kernel, folder: Path) -> None:
    """Though a panel has a loop of its own."""
    ran = kernel.run(
        "panel = hs.ChatPanel('gpt-4.1', tools=[hs.mcp('box')], allow=['box__process'])\n"
        "reply = await panel.send('Use box__process')\n"
        "print([m['content'] for m in panel.to_messages() if m['role'] == 'tool'])"
    )
    assert f"['{pids(folder)[0]} " in ran.printed


def test_an_interrupt_ends_the_call_and_not_the_server(kernel: kernels.Kernel, folder: Path) -> None:
    """The next cell finds the same process."""
    msg_id = kernel.start("%%stream -m gpt-4.1 --mcp box --allow all\nUse box__sleep")
    until(lambda: "sleeping" in (folder / "notes").read_text())
    kernel.interrupt()
    assert "KeyboardInterrupt: stopped" in kernel.finish(msg_id).error
    until(lambda: "cancelled" in (folder / "notes").read_text())
    assert is_alive(pids(folder)[0])
    kernel.run("%%stream -m gpt-4.1 --mcp box --allow all\nUse box__add")
    assert "added" in (folder / "notes").read_text().split("cancelled")[-1]
    assert len(pids(folder)) == 1


def test_unloading_ends_the_process_and_so_does_the_kernel(kernel: kernels.Kernel, folder: Path) -> None:
    """After unloading, the next use starts it anew."""
    kernel.run("%unload_ext holystream_nb")
    assert not is_alive(pids(folder)[0])
    kernel.run("%load_ext holystream_nb")
    kernel.run("%%stream -m gpt-4.1 --mcp box --allow all\nUse box__add")
    assert is_alive(pids(folder)[1])
    kernel.manager.shutdown_kernel(now=False)
    until(lambda: not is_alive(pids(folder)[1]))
