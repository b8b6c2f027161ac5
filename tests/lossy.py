"""Real pages (`frontend/test/pipe.ts`, in node) on a pipe that loses, doubles and reorders, in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import tempfile
from array import array
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import holystream_nb
from holystream_nb.events import Text, Usage
from holystream_nb.live.questions import Questions
from holystream_nb.money.cost import Cost
from holystream_nb.reply import Progress, Reply
from holystream_nb.timing import Timing
from holystream_nb.tools.call import Call

FRONTEND: Final = Path(holystream_nb.__file__).parent / "frontend"
NODE: Final = shutil.which("node")
ESBUILD: Final = FRONTEND / "node_modules" / "esbuild" / "bin" / "esbuild"
IS_BUILDABLE: Final = NODE is not None and ESBUILD.exists()

TRAVEL_S: Final = 0.005
"""How long a message is on its way, when all is well."""


@cache
def _script() -> Path:
    script = Path(tempfile.mkdtemp()) / "pipe.mjs"
    options = ["--bundle", "--platform=node", "--format=esm", f"--outfile={script}", "--log-level=error"]
    subprocess.run([str(ESBUILD), "test/pipe.ts", *options], cwd=FRONTEND, check=True)
    return script


@dataclass(frozen=True)
class Weather:
    """What the pipe does to messages from `begins` to `ends` (s): each is lost or doubled so often, or late by up to so
    much (s).

    down, up: losses from the kernel to the page, and to the kernel.
    """

    seed: int = 0
    begins: float = 0.0
    ends: float = 0.0
    down: float = 0.0
    up: float = 0.0
    doubled: float = 0.0
    late: float = 0.0


class Page:
    """A widget on a page; `hear` is the kernel's half, which takes what the page says. Each has a name of its own."""

    def __init__(self, weather: Weather, name: str = "page") -> None:
        self.process = _process()
        self.weather = weather
        self.name = name
        self.random = random.Random(f"{weather.seed} {name}")
        self.hear: Callable[[dict[str, Any]], object] = lambda message: None
        self.sent: list[tuple[float, dict[str, Any]]] = []
        """All that the kernel sent, and when."""
        self.said: list[tuple[float, dict[str, Any]]] = []
        """All that the page said, and when."""
        self.is_gone = False
        self._waker: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[str, dict[str, Any]]] | None = None

    def tell(self, do: str, *, look: bool = False, **what: Any) -> Any:
        """Lets the page do something now; `look`: returns what it shows."""
        loop = asyncio.get_running_loop()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = {"page": self.name, "at": round(loop.time() * 1e3, 3), "do": do, "look": look, **what}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        for message in answer["sent"]:
            self.said.append((loop.time(), message))
            self._travel(self.weather.up, lambda message=message: self.hear(message))
        if self._waker is not None:
            self._waker.cancel()
        self._waker = None if answer["wake"] is None else loop.call_at(answer["wake"] / 1e3 + 1e-6, self.tell, "wake")
        return answer["shows"]

    def shows(self) -> Any:
        return self.tell("wake", look=True)

    def send(self, message: dict[str, Any]) -> None:
        """A message of the kernel."""
        copy = json.loads(json.dumps(message))
        self.sent.append((asyncio.get_running_loop().time(), copy))
        self._travel(self.weather.down, lambda: self._arrive("message", message=copy))

    def update(self, state: dict[str, Any]) -> None:
        """Traits that the kernel sets, in one message."""
        copy = json.loads(json.dumps(state))
        self._travel(self.weather.down, lambda: self._arrive("update", state=copy))

    def close(self) -> None:
        """It is reloaded or closed, and says no goodbye."""
        self.is_gone = True
        if self._waker is not None:
            self._waker.cancel()

    def sleep(self) -> None:
        """Its timers stand still, and what comes waits, until it is woken."""
        self._waiting = []
        if self._waker is not None:
            self._waker.cancel()

    @property
    def is_asleep(self) -> bool:
        return self._waiting is not None

    def wake(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        self.tell("wake", late=True)
        for do, what in waiting:
            self.tell(do, **what)

    def _arrive(self, do: str, **what: Any) -> None:
        if self._waiting is not None:
            self._waiting.append((do, what))
        elif not self.is_gone:
            self.tell(do, **what)

    def _travel(self, loss: float, arrive: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        if not self.weather.begins <= loop.time() < self.weather.ends:
            loop.call_later(TRAVEL_S, arrive)
            return
        for _ in range(1 + (self.random.random() < self.weather.doubled)):
            if self.random.random() >= loss:
                loop.call_later(TRAVEL_S + self.random.random() * self.weather.late, arrive)


@cache
def _process() -> subprocess.Popen[str]:
    """One for all pages; it ends with its input."""
    assert NODE is not None
    return subprocess.Popen([NODE, str(_script())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@dataclass
class Speaking:
    """A source that says so many words, one each `pause` (s)."""

    words: int = 40
    pause: float = 0.05
    name: str = "m"
    said: list[str] = field(default_factory=list)
    has_ended: bool = False
    is_stopped: bool = False

    @property
    def reply(self) -> Reply:
        reason = ("stopped" if self.is_stopped else "stop") if self.has_ended else ""
        cost = Cost(None, None, True, "", "")
        timing = Timing(submitted=0, sent=0, reads=array("q", [10**9] if self.said else []))
        usage = Usage(prompt_tokens=1, completion_tokens=len(self.said))
        return Reply("".join(self.said), "", (), reason, usage, timing, cost, self.name, "p")

    @property
    def progress(self) -> Progress:
        return Progress(1.0, 1.0 if self.said else None, len(self.said), None, 0, 0.0, "", events=len(self.said))

    def stop(self) -> None:
        self.is_stopped = True

    async def __aiter__(self) -> AsyncIterator[Text]:
        for number in range(self.words):
            await asyncio.sleep(self.pause)
            if self.is_stopped:
                break
            self.said.append(f"{number} ")
            yield Text(f"{number} ", 1)
        self.has_ended = True


@dataclass
class Calling(Speaking):
    """One that calls a tool after each ten words, and asks whether it may; what was allowed is done, once."""

    questions: Questions = field(default_factory=Questions)
    calls: tuple[Call, ...] = ()
    done: list[int] = field(default_factory=list)

    async def __aiter__(self) -> AsyncIterator[Text | Call]:  # type: ignore[override]
        async for text in super().__aiter__():
            yield text
            if len(self.said) % 10 == 0:
                async for call in self._call():
                    yield call
        self.has_ended = True

    async def _call(self) -> AsyncIterator[Call]:
        number = len(self.calls)
        call = Call(number, number + 1, len("".join(self.said)), f"c{number}", "look", '{"at": 1}', "asking")
        self.calls += (call,)
        yield call
        asking = asyncio.ensure_future(self.questions.ask(call))
        while not asking.done() and not self.is_stopped:
            await asyncio.wait({asking}, timeout=0.05)
        if asking.done():
            self.done.append(number)
            ended = replace(call, state="done", result="seen", seconds=0.1)
        else:
            asking.cancel()
            ended = replace(call, state="stopped", error="stopped")
        self.calls = (*self.calls[:-1], ended)
        yield ended
