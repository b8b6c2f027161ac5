"""Terminal IPython and plain scripts: incremental text, Ctrl-C, and no control characters from a model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from holystream_nb.live.lane import CUT_OFF

pytestmark = pytest.mark.slow

SCRIPT = """\
get_ipython().run_line_magic('load_ext', 'holystream_nb')
get_ipython().run_cell_magic('stream', '-m sim-reasoner', 'Hello\\x1b]0;title\\x07')
"""


def environment(tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    return {**kept, "IPYTHONDIR": str(tmp_path), "HOLYSTREAM_SIMULATOR_SPEED": "max", "TERM": "dumb"}


def ipython(file: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What a file of cells prints in IPython's terminal."""
    return subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment(tmp_path),
    )


def test_an_exported_script_runs_under_ipython(tmp_path: Path) -> None:
    """`jupyter nbconvert --to script` writes such calls: plain text comes out, and nothing a terminal would obey."""
    script = tmp_path / "exported.ipy"
    script.write_text(SCRIPT)
    done = ipython(script, tmp_path)
    assert "A simulated answer." in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("[sim-reasoner · simulator")
    assert "\x1b]0;" not in done.stdout
    assert done.stderr == ""


def test_an_error_shows_the_users_lines_and_its_sentence(tmp_path: Path) -> None:
    """Below them is no way through our insides, which was seventy lines long, whether it was awaited or run."""
    cells = tmp_path / "mistaken.ipy"
    cells.write_text(
        "import holystream_nb as hs\n"
        "def ask():\n"
        "    return hs.run(hs.bench('gpt-4.1', 'Hi', repeats='3'))\n"
        "get_ipython().run_cell('ask()')\n"
        'get_ipython().run_cell(\'1\\nawait hs.bench("gpt-4.1", "Hi", seed="x")\')\n'
    )
    done = ipython(cells, tmp_path)
    assert done.stdout.splitlines() == [
        "line 1: ask()",
        "line 3: return hs.run(hs.bench('gpt-4.1', 'Hi', repeats='3'))",
        "SetupError: repeats='3': give a whole number, 1 or more.",
        'line 2: await hs.bench("gpt-4.1", "Hi", seed="x")',
        "SetupError: seed='x': give a whole number, 0 or more.",
    ]


def test_ctrl_c_ends_a_bench_and_its_processes(tmp_path: Path) -> None:
    """IPython's terminal cancels nothing itself: what was awaited would go on, unseen and paid for."""
    file = tmp_path / "run.jsonl"
    shell = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        env={**environment(tmp_path), "HOLYSTREAM_SIMULATOR_SPEED": "5"},
        encoding="utf-8",
        timeout=60,
    )
    try:
        shell.expect(r"In \[1\]: ")
        shell.sendline(f"import holystream_nb as hs; await hs.bench('gpt-4.1', 'Hi', repeats=500, path={str(file)!r})")
        shell.expect(r"running · [1-9]")
        shell.sendintr()
        shell.expect_exact("Stopped; what had finished is kept: hs.load(")
        shell.expect(r"In \[2\]: ")
        shell.sendline(f"hs.load({str(file)!r}).contents.ends[-1].reason")
        shell.expect_exact("'cancelled'")
    finally:
        shell.close(force=True)


def test_a_plain_python_script_streams_too(tmp_path: Path) -> None:
    """Without IPython, hs.run(hs.stream(…)) prints, and leaves nothing behind."""
    code = "import holystream_nb as hs; print(hs.run(hs.stream('Hello', model='gpt-4.1')).finish_reason)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment(tmp_path),
    )
    assert done.stdout.endswith("stop\n")
    assert done.stderr == ""


def test_an_answer_that_may_be_cut_off_says_so_in_a_script(tmp_path: Path) -> None:
    """Behind some proxies an answer that was cut ends clean: a sentence says it, above the status line."""
    code = "import holystream_nb as hs; print(hs.run(hs.stream('Hello', model='gpt-4.1#end=5')).finish_reason)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=environment(tmp_path)
    )
    *_, warning, _, status, reason = done.stdout.splitlines()
    assert warning == CUT_OFF
    assert status.endswith(" · truncated: it may be cut off]")
    assert reason == "truncated"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[pexpect.spawn]:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--no-confirm-exit"],
        env=environment(tmp_path),
        encoding="utf-8",
        timeout=20,
    )
    child.expect(r"In \[1\]")
    child.sendline("%load_ext holystream_nb")
    child.expect(r"In \[2\]")
    yield child
    child.close(force=True)


def test_ctrl_c_in_a_terminal_keeps_the_text_and_the_session(terminal: pexpect.spawn) -> None:
    """One line of KeyboardInterrupt, the status line says stopped, and the prompt is back."""
    terminal.sendline("get_ipython().run_cell_magic('stream', '-m gpt-4.1#stall=30,after=6', 'Hello')")
    terminal.expect("simulated answer")
    terminal.sendintr()
    terminal.expect("stopped")
    terminal.expect("KeyboardInterrupt: stopped; what had arrived is kept")
    terminal.expect(r"In \[3\]")
    terminal.sendline("import holystream_nb as hs; hs.history[-1].finish_reason")
    terminal.expect("'stopped'")
