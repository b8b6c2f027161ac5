"""Consoles on a kernel draw no widgets and take no updates: the text comes as it arrives, once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import kernels
import pexpect
import pytest
from jupyter_client.manager import KernelManager

from .programs import beside

pytestmark = pytest.mark.slow

_SAID: Final = "**A simulated answer.**"
_ENDED: Final = "[gpt-4.1 · simulator"
CELLS: Final = [
    "%load_ext holystream_nb",
    "%%stream -m gpt-4.1\nHello",
    "import holystream_nb as hs\nreply = await hs.stream('Hi', model='gpt-4.1')",
    "panel = hs.ChatPanel(model='gpt-4.1')\npanel",
    "reply = await panel.send('Kangaroos?')",
]


def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    return {**kept, "IPYTHONDIR": str(tmp_path), "HOLYSTREAM_SIMULATOR_SPEED": "max", "TERM": "dumb"}


def test_qtconsole_shows_each_answer_once(tmp_path: Path) -> None:
    """Also a panel's, which says how it is asked there."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("qt.py"))],
        input=json.dumps(CELLS),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(tmp_path),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    magic, function, panel, sent, _ = re.split(r"In \[\d\]: ", done.stdout)[2:]
    for answered in (magic, function, sent):
        assert (answered.count(_SAID), answered.count(_ENDED)) == (1, 1)
    assert 'await panel.send("…")' in panel
    assert "View(" not in done.stdout


@pytest.fixture
def console(tmp_path: Path) -> Iterator[pexpect.spawn]:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "jupyter_console", "--simple-prompt", "--ZMQTerminalInteractiveShell.banner="],
        env=environment(tmp_path),
        encoding="utf-8",
        timeout=60,
    )
    child.expect(r"In \[1\]: ")
    yield child
    child.sendeof()
    child.close(force=True)


@pytest.mark.flaky(reruns=1)  # the console may not answer its first line
def test_jupyter_console_prints_an_answer_as_it_arrives(console: pexpect.spawn) -> None:
    """The first words are there while the rest is held back; Ctrl-C keeps them."""
    console.sendline("import holystream_nb as hs")
    console.expect(r"In \[2\]: ")
    console.sendline("reply = await hs.stream('Hello', model='gpt-4.1')")
    console.expect(r"In \[3\]: ")
    shown = console.before
    assert (shown.count(_SAID), shown.count(_ENDED), shown.count("View(")) == (1, 1, 0)
    console.sendline("await hs.stream('Hello', model='gpt-4.1#stall=30,after=6')")
    console.expect("A simulated answer")
    console.sendintr()
    console.expect("KeyboardInterrupt: stopped; what had arrived is kept")


@pytest.mark.flaky(reruns=1)  # the console may not answer its first line
def test_jupyter_console_asks_whether_a_tool_may_run(console: pexpect.spawn) -> None:
    """On its own line, as a terminal does."""
    console.sendline("import holystream_nb as hs")
    console.expect(r"In \[2\]: ")
    console.sendline("def get_weather(city: str) -> str: return f'Snow in {city}'")
    console.sendline("")
    console.expect(r"In \[3\]: ")
    console.sendline("r = await hs.stream('Use get_weather, Paris', model='gpt-4.1', tools=[get_weather])")
    console.expect_exact("[y]es, [a]lways, [N]o: ")
    console.sendline("y")
    console.expect("Snow in ")


def test_spyders_kernel_prints_each_answer_once(tmp_path: Path) -> None:
    """Spyder's console is qtconsole's, on a kernel of its own class and an older ipykernel."""
    variables = {**beside("spyder"), "IPYTHONDIR": str(tmp_path)}
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv = [sys.executable, "-m", "spyder_kernels.console", "-f", "{connection_file}"]
    manager.start_kernel(env=variables)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        kernel = kernels.Kernel(manager, client)

        def run(code: str) -> kernels.Ran:
            return kernel.finish(kernels.send(client, code, allow_stdin=True, metadata={}))

        assert "SpyderKernel" in run("print(type(get_ipython().kernel).__name__)").printed
        for cell in CELLS:
            ran = run(cell)
            assert ran.error == ""
            assert ran.all("display_data") == []
            answers = 0 if cell in (CELLS[0], CELLS[3]) else 1
            assert (ran.printed.count(_SAID), ran.printed.count(_ENDED)) == (answers, answers)
        chart = run("result = await hs.bench('gpt-4.1', 'Hi', repeats=2)")
        assert "done · 2 of 2" in chart.printed
        assert "image/png" in run("result.plot()").all("execute_result")[0]["data"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
