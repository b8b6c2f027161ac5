"""The console command."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import holystream_nb
from holystream_nb.__main__ import main, quickstart

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def page(url: str) -> bytes:
    """What is served there; Jupyter prints its address a moment before it listens."""
    for _ in range(100):
        try:
            return bytes(OPENER.open(url, timeout=20).read())
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {url}")


@pytest.mark.slow
def test_serve_prints_the_address_of_a_simulator_that_answers() -> None:
    """`python -m holystream_nb serve`, and its end when it is told to."""
    command = [sys.executable, "-m", "holystream_nb", "serve", "--speed", "max"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+/v1", serving.stdout.readline())
            assert found is not None
            assert b"deepseek-v3.2" in OPENER.open(f"{found[0]}/models", timeout=5).read()
        finally:
            serving.terminate()


def test_serve_says_in_one_line_what_it_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken, or that there is not: one sentence, and no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (str(taken.getsockname()[1]), "99999"):
            assert main(["serve", "--port", port]) == 1
            said = capsys.readouterr().err
            assert said.startswith("holystream-nb: The simulator cannot be served: ")
            assert said.count("\n") == 1


@pytest.mark.slow
def test_demo_serves_jupyterlab_with_the_quickstart(tmp_path: Path) -> None:
    """The address it prints opens the notebook; without a browser when told so."""
    port = 18700 + os.getpid() % 1000
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
    environment = {**kept, "HOLYSTREAM_BROWSER": "0", "HOLYSTREAM_PORT": str(port)}
    command = [sys.executable, "-m", "holystream_nb", "demo"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path, start_new_session=True
    ) as demo:
        try:
            assert demo.stderr is not None
            pattern = rf"http://127\.0\.0\.1:{port}/lab/tree/01_quickstart\.ipynb\?token=\w+"
            found = next(filter(None, (re.search(pattern, line) for line in demo.stderr)))
            assert b"JupyterLab" in page(found[0])
        finally:
            os.killpg(demo.pid, 15)
    assert (tmp_path / "holystream_notebooks" / "01_quickstart.ipynb").is_file()


def test_the_quickstart_of_a_checkout_is_opened_in_place(tmp_path: Path) -> None:
    """In a clone the committed notebook, elsewhere a copy that is made once and then kept."""
    assert quickstart(Path(__file__).parent.parent).parent.name == "notebooks"
    copy = quickstart(tmp_path)
    copy.write_text("mine")
    assert quickstart(tmp_path).read_text() == "mine"


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse names it, and the version is the package's."""
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "nonsense" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == holystream_nb.__version__


def test_the_demo_does_not_look_at_openais_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its notebook is for the simulator, whatever the shell has set for other programs."""
    seen: list[str | None] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setattr("holystream_nb.lab.run", lambda _: seen.append(os.environ.get("OPENAI_BASE_URL")) or 0)
    assert main(["demo", "--no-browser"]) == 0
    assert seen == [None]
