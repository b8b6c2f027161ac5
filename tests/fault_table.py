"""Every fault of the simulator against the client, as the table in the README: `python -m tests.fault_table` writes it.

`CASES` says what is expected; `measure` asks for each over every transport, and says what came.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from holystream_nb import Client, Simulator
from holystream_nb.errors import HolystreamError
from holystream_nb.reply import Reply
from holystream_nb.simulator.faults import registry
from holystream_nb.wire.transport import Response, Transport
from holystream_nb.wire.websocket import Sockets

README: Final = Path(__file__).parent.parent / "README.md"
BEGIN: Final = "<!-- faults: written by `python -m tests.fault_table` -->"
END: Final = "<!-- end of the faults -->"

TOKENS: Final = 20
INACTIVITY_S: Final = 1.0
PING_S: Final = 0.3
PONG_S: Final = 0.3
AT_ONCE: Final = "< 0.1 s"
SILENCE: Final = "1 s, inactivity"
DEAF: Final = "0.6 s, no pong"
NO_RESULT: Final = "1 s, no result"
_NOTICED: Final = {AT_ONCE: (0.0, 0.1), SILENCE: (1.0, 1.5), DEAF: (0.55, 0.95), NO_RESULT: (1.0, 1.5)}
"""What a time is called, in s: from the last thing that came, or the last request, to the end of the answer."""

_AT_A_TIME: Final = 24
_TRIES: Final = 5
_LONGEST_S: Final = 15

Over = Literal["sse", "ws", "auto"]


@dataclass(frozen=True)
class Result:
    """How an answer ended. `kept` counts tokens, with "≈" where the service did not report how many there are."""

    outcome: str = "complete"
    kept: str = f"{TOKENS} of {TOKENS}"
    error: str = ""
    retries: int = 0
    noticed: str = AT_ONCE


@dataclass(frozen=True, eq=False)
class Case:
    """Faults as they are asked for, `name=a|b` for each of several values, and what comes of them over each transport.

    `where` they are asked for: the header of the request or handshake, or the model's suffix. `options` of the stream.
    `stop_at` is the number of tokens after which its reader stops it.
    """

    faults: str
    expected: Mapping[Over, Result]
    where: Literal["header", "model"] = "header"
    options: Mapping[str, Any] = field(default_factory=dict)
    stop_at: int | None = None

    @property
    def variants(self) -> list[str]:
        """Each value's faults."""
        first, _, rest = self.faults.partition(",")
        name, equals, values = first.partition("=")
        return [f"{name}{equals}{value}" + (f",{rest}" if rest else "") for value in values.split("|")]


def both(result: Result, ws: Result | None = None, auto: Result | None = None) -> dict[Over, Result]:
    """The same over server-sent events and both kinds of socket, unless it is said otherwise."""
    return {"sse": result, **socket(ws or result, auto)}


def socket(ws: Result, auto: Result | None = None) -> dict[Over, Result]:
    """On the service's own socket, and on one it offers."""
    return {"ws": ws, "auto": auto or ws}


def broken(error: str = "StreamInterrupted", kept: int = 5, noticed: str = AT_ONCE) -> Result:
    return Result("interrupted", f"{kept} of {TOKENS}", error, noticed=noticed)


def ended(error: str = "", kept: int = 5) -> Result:
    return Result("truncated", f"{kept} of {TOKENS}", error)


def failed(error: str, retries: int = 0, noticed: str = AT_ONCE) -> Result:
    return Result("failed", f"0 of {TOKENS}", error, retries, noticed)


def again(retries: int) -> Result:
    return replace(WHOLE, retries=retries)


WHOLE = Result()
ONE_MORE = Result(kept=f"{TOKENS + 1} of {TOKENS + 1}")
UNCOUNTED = Result(kept=f"≈ {TOKENS} of {TOKENS}")
REASONED = Result(kept=f"{TOKENS} of {TOKENS}, all reasoning")
CALLS = Result("complete, `tool_calls`", "2 of 2 calls")
CALLS_ON_SOCKET = replace(CALLS, noticed=NO_RESULT)
UNREADABLE = Result("complete, 1 piece unreadable")
OVER_SSE = Result("complete, over SSE")
CUT, STALLED = broken(), broken("Stalled", noticed=SILENCE)

_TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("weather", "news")
]
_CALLING: Final = {"prompt": "Call weather and news for Oslo.", "tools": _TOOLS}
_THINKING: Final = {"model": "sim-reasoner"}

CASES: Final = (
    Case("tokens=5", both(Result(kept="5 of 5"))),
    Case("numbered", both(WHOLE)),
    Case("rate=500|max", both(WHOLE)),
    Case("group", both(WHOLE)),
    Case("bytes=1|7", both(WHOLE)),
    #
    Case("head=0.2", both(WHOLE)),
    Case("head=9", both(failed("Stalled", noticed=SILENCE))),
    Case("first=0.2", both(WHOLE)),
    Case("first=9", both(failed("Stalled", noticed=SILENCE))),
    Case("stall=0.2,after=5", both(WHOLE)),
    Case("stall=9,after=5", both(STALLED)),
    #
    Case("cut=0", both(failed("StreamInterrupted", retries=3))),
    Case("cut=5", both(CUT)),
    Case("reset=0", both(failed("StreamInterrupted", retries=3))),
    Case("reset=5,rate=100", both(CUT)),
    Case("end=0", both(ended(kept=0))),
    Case("end=5", both(ended())),
    Case("no-done", both(WHOLE, broken("Stalled", TOKENS, SILENCE))),
    Case("done-open", {"sse": WHOLE}),
    Case("finish=length", both(Result("complete, `length`"))),
    Case("finish=none", both(WHOLE)),
    Case("finish=none,no-done", both(ended(kept=TOKENS), broken("Stalled", TOKENS, SILENCE))),
    Case("close=1000,after=5", socket(ended())),
    Case("close=1008|4401|4403,after=5", socket(ended("KeyRefused"))),
    Case("close=1009,after=5", socket(ended("BadRequest"))),
    Case("close=1001|1011|1012,after=5", socket(ended("ServiceUnavailable"))),
    Case("close=1013|4429,after=5", socket(ended("RateLimited"))),
    Case("close=1013|4429,after=0", socket(failed("RateLimited", retries=3))),
    #
    Case("fail=400|422", both(failed("BadRequest"), auto=OVER_SSE)),
    Case("fail=401|403", both(failed("KeyRefused"))),
    Case("fail=404", both(failed("UnknownModel"), failed("ServiceError"), failed("UnknownModel"))),
    Case("fail=429,retry-after=0", both(again(1))),
    Case("fail=429,retry-after=99", both(failed("RateLimited"))),
    Case("fail=429,tries=9,no-retry-after", both(failed("RateLimited", retries=3))),
    Case("fail=500|503,tries=2", both(again(2))),
    Case("fail=503,tries=3,retry-date=0", both(again(3))),
    Case("fail=500|503,tries=9", both(failed("ServiceUnavailable", retries=3))),
    Case("fail=503,tries=2", {"ws": again(2)}, where="model"),
    Case("fail=drop,tries=2", both(again(2))),
    Case("fail=drop,tries=9", both(failed("StreamInterrupted", retries=3))),
    Case("error-body=openai|anthropic|message|detail|string|list|text|html|empty,fail=401", both(failed("KeyRefused"))),
    Case("refuse-usage=400|422", {"sse": UNCOUNTED}),
    Case("redirect=301|302|303|307|308", both(failed("ServiceError"))),
    #
    Case("html", both(failed("NotAStream"), failed("ServiceError"), failed("NotAStream"))),
    Case("whole", {"sse": WHOLE}),
    Case("error-200", both(failed("ServiceUnavailable", retries=3))),
    Case("charset=latin-1|utf-16", {"sse": WHOLE}),
    #
    Case("no-socket", {"auto": OVER_SSE}),
    Case("upgrade-url", {"auto": WHOLE}),
    Case("socket-host=example.com", {"auto": OVER_SSE}),
    Case("socket-dead", {"auto": OVER_SSE}),
    #
    Case("error,after=0", both(failed("ServiceUnavailable", retries=3))),
    Case("error,after=5", both(ended("ServiceUnavailable"))),
    Case("error-chunk,after=5", both(ended("ServiceUnavailable"))),
    Case("error-event,after=5", {"sse": ended("ServiceUnavailable")}),
    Case("error-field,after=5", {"sse": ended("ServiceUnavailable")}),
    Case("bad-json,after=0", both(failed("NotAStream"), UNREADABLE)),
    Case("bad-json,after=5", both(UNREADABLE)),
    #
    Case("crlf", {"sse": WHOLE}),
    Case("cr", {"sse": WHOLE}),
    Case("bom", {"sse": WHOLE}),
    Case("comments", both(WHOLE)),
    Case("fields", both(WHOLE)),
    Case("no-space", {"sse": WHOLE}),
    Case("split-utf8", both(ONE_MORE)),
    Case("bad-utf8,after=5", both(ONE_MORE, ended("NotAStream"))),
    Case("separators", both(ONE_MORE)),
    Case("huge", both(ONE_MORE)),
    Case("binary", socket(WHOLE)),
    Case("mute,stall=9,after=5", socket(broken(noticed=DEAF))),
    Case("deaf,stall=9,after=5", socket(Result("stopped", f"5 of {TOKENS}")), stop_at=5),
    #
    Case("role=only|null|none|joined", {"sse": WHOLE}),
    Case("blank=empty|null|no-choices|null-choices|no-delta|null-delta", both(WHOLE)),
    Case("usage=null|running|finish|total|outside|cached|cost|costs|ticks|estimate", both(WHOLE)),
    Case("usage=null-counts|none|zeros", both(UNCOUNTED)),
    Case("message", {"sse": WHOLE}),
    Case("parts", {"sse": WHOLE}),
    Case("refusal", both(WHOLE)),
    Case(
        "reasoning=reasoning_content|reasoning|text|summary|both|both-details|parts", both(REASONED), options=_THINKING
    ),
    Case("reasoning=encrypted|think", both(WHOLE)),
    Case(
        "tools=openai|index-1|no-index|empty-ids|null-ids|repeat-name|whole|object|no-arguments|interleaved",
        both(CALLS, CALLS_ON_SOCKET),
        options=_CALLING,
    ),
    Case(
        "arguments=strings|floats|nulls|twice|empty-first|repeat|extra", both(CALLS, CALLS_ON_SOCKET), options=_CALLING
    ),
    Case("names=prefix|channel", both(CALLS, CALLS_ON_SOCKET), options=_CALLING),
    Case("rounds=2", both(CALLS, CALLS_ON_SOCKET), options=_CALLING),
    Case("echo=deepseek|kimi|groq", {"sse": REASONED}, options=_THINKING),
    Case("echo=gemini|openrouter|mistral|minimax", {"sse": WHOLE}),
    Case("citations=annotations|search", {"sse": WHOLE}),
    Case("image", {"sse": WHOLE}),
    Case("served=other-model", {"sse": WHOLE}),
    Case("tier=flex", {"sse": WHOLE}),
    #
    Case("dialect=llama.cpp|copilot|vllm|openrouter", both(WHOLE)),
    Case("life=9", socket(WHOLE)),
)

_ONE_TOKEN_MORE: Final = {
    "split-utf8": " 🐑漢é",
    "bad-utf8": " \ufffd",
    "separators": " \u2028 \u2029 \x85",
    "huge": " b" + "a" * 1_199_999,
}


class _Asking(Transport):
    """Connections that say when the last request went out (ns)."""

    asked = 0

    async def _send(self, *args: Any) -> Response:
        self.asked = time.perf_counter_ns()
        return await super()._send(*args)


Found = Mapping[Case, Mapping[Over, Mapping[Result, list[str]]]]
"""What came of each case over each transport, and of which of its values."""


async def measure(simulator: Simulator) -> Found:
    """Asks for every case.

    A time is measured again, with nothing beside it, where it is not the expected one: a busy machine adds to it.
    """
    reasoning = (await _ask(simulator.url, "", Case("", {}, options=_THINKING), "sse"))[0].reasoning
    at_a_time = asyncio.Semaphore(_AT_A_TIME)
    found: dict[Case, dict[Over, dict[Result, list[str]]]] = {}

    async def one(case: Case, over: Over, faults: str) -> Result:
        async with at_a_time:
            reply, seconds = await _ask(simulator.url, faults, case, over)
        return _result(reply, seconds, case, over, faults, reasoning)

    asked = [(case, over, faults) for case in CASES for over in case.expected for faults in case.variants]
    came = await asyncio.gather(*(one(*each) for each in asked))
    for (case, over, faults), first in zip(asked, came, strict=True):
        result = first
        for _ in range(_TRIES):
            if result.noticed == case.expected[over].noticed:
                break
            result = await one(case, over, faults)
        found.setdefault(case, {}).setdefault(over, {}).setdefault(result, []).append(faults)
    return found


async def _ask(url: str, faults: str, case: Case, over: Over) -> tuple[Reply, float]:
    """The reply, and how long its end took to come: since the last thing that came, or the last request (s)."""
    options = {"prompt": "Hello", "model": "gpt-4.1", **case.options}
    base = f"tokens={TOKENS},numbered" if "tools" not in options else ""
    asked = ",".join(filter(None, (base, faults)))
    headers = {"X-Sim-Run": uuid.uuid4().hex}
    if case.where == "header":
        headers["X-Simulate"] = asked
    else:
        options["model"] += f"#{asked}"
    connections = _Asking()
    sockets = Sockets(connections, ping_s=PING_S, pong_s=PONG_S)
    async with (
        asyncio.timeout(_LONGEST_S),
        Client(
            "simulator",
            base_url=url,
            api_key="sim-key-1",
            transport=over,
            inactivity=INACTIVITY_S,
            backoff=0.01,
            headers=headers,
            connections=connections,
            sockets=sockets,
        ) as client,
        client.stream(options.pop("prompt"), **options) as stream,
    ):
        last = 0
        try:
            async for event in stream:
                last = event.read
                if stream.progress.events == case.stop_at:
                    stream.stop()
        except HolystreamError:
            pass  # it is the reply's
        seconds = (time.perf_counter_ns() - max(last, connections.asked)) / 1e9
    return stream.reply, seconds


def _result(reply: Reply, seconds: float, case: Case, over: Over, faults: str, reasoning: str) -> Result:
    if reply.error is not None and not reply.text:
        outcome = "failed"
    elif reply.finish_reason in ("truncated", "interrupted", "stopped"):
        outcome = reply.finish_reason
    else:
        outcome = "complete" if reply.finish_reason == "stop" else f"complete, `{reply.finish_reason}`"
    if reply.unreadable:
        outcome += f", {reply.unreadable} piece unreadable"
    kept = _calls(reply, faults) if case.options is _CALLING else _text(reply, faults)
    if case.options is _THINKING:
        kept += ", all reasoning" if reply.reasoning == reasoning else f", not {reply.reasoning!r}"
    if outcome != "failed" and outcome.startswith("complete") != reply.usage.exact:
        kept = f"≈ {kept}"
    elsewhere = reply.transport != ("sse" if over == "sse" else "ws")
    low, high = _NOTICED[case.expected[over].noticed]
    return Result(
        f"{outcome}, over {reply.transport.upper()}" if elsewhere and reply.text else outcome,
        kept,
        _name(reply.error),
        reply.timing.retries,
        case.expected[over].noticed if low <= seconds < high else f"{seconds:.1f} s",
    )


def _name(error: HolystreamError | None) -> str:
    """The error's class, if its message is one clean sentence."""
    name = type(error).__name__ if error is not None else ""
    is_clean = error is None or (str(error).endswith((".", '."', '"')) and "<" not in str(error))
    return name if is_clean else f"{name}: {error}"


def _text(reply: Reply, faults: str) -> str:
    """How many tokens were kept, if the text is those and nothing else."""
    names = dict(each.partition("=")[::2] for each in faults.split(","))
    tokens = [f"{index} " for index in range(int(names.get("tokens", TOKENS)))]
    tokens[int(names.get("after", 3)) : 0] = (token for name, token in _ONE_TOKEN_MORE.items() if name in names)
    if reply.error is not None and "bad-utf8" in names:
        tokens = tokens[: int(names["after"])] + tokens[int(names["after"]) + 1 :]
    kept, rest = 0, reply.text.partition("</think>\n\n")[2] or reply.text
    while kept < len(tokens) and rest.startswith(tokens[kept]):
        rest = rest.removeprefix(tokens[kept])
        kept += 1
    return f"{kept} of {len(tokens)}" if not rest else f"{kept} and {rest[:50]!r}"


def _calls(reply: Reply, faults: str) -> str:
    """How many calls are whole, their names and arguments read as those of models that write them oddly."""
    wanted = {"no-arguments": {}, "extra": {"city": "Oslo", "explanation": "because"}}
    arguments = wanted.get(faults.partition("=")[2], {"city": "Oslo"})
    whole = [
        call.name.removeprefix("functions.").partition("<|")[0]
        for call in reply.tool_calls
        if call.id and json.loads(call.arguments or "{}") == arguments
    ]
    return f"{len(whole)} of 2 calls" if set(whole) == {"weather", "news"} else f"{reply.tool_calls}"


# The table

_COLUMNS: Final = ("fault", "the service", "over", "outcome", "kept", "error", "retries", "noticed after")
_HEAD: Final = f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|\n"
_NAMES: Final = {"sse": "SSE", "ws": "WS", "auto": "auto"}


def render(found: Found) -> str:
    """The README's part: what does something to an answer, and folded, what does nothing."""
    harmless = [case for case, overs in found.items() if all(map(_does_nothing, overs.values()))]
    about = f"""An answer of {TOKENS} numbered tokens, with each of the simulator's faults: over server-sent events,
over a WebSocket, and with `auto` over the one that the service offers. The client has 3 retries,
`inactivity={INACTIVITY_S:g}`, and pings every {PING_S:g} s that want an answer within {PONG_S:g} s. What is kept is
compared letter by letter: nothing is lost or doubled. “≈”: the service did not report the tokens of a complete answer,
so they were counted here. “Noticed after”: from the last thing that came, or the last request, to the end of the
answer."""
    return f"""{BEGIN}

{" ".join(about.split())}

{_table({case: overs for case, overs in found.items() if case not in harmless})}
<details><summary>The {len(harmless)} that change nothing</summary>

{_table({case: found[case] for case in harmless})}
</details>

{END}"""


def _does_nothing(results: Mapping[Result, list[str]]) -> bool:
    return all(
        result.outcome.startswith("complete")
        and result != UNREADABLE
        and (result.retries, result.noticed) == (0, AT_ONCE)
        for result in results
    )


def _table(found: Found) -> str:
    told: set[str] = set()
    rows = [row for case, overs in found.items() for row in _rows(case, overs, told)]
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(case: Case, overs: Mapping[Over, Mapping[Result, list[str]]], told: set[str]) -> list[tuple[str, ...]]:
    """One row, or one for each transport where they differ; `told` are the faults that have been explained."""
    first, *others = case.variants
    name = first.partition(",")[0].partition("=")[0]
    meaning = "" if name in told else next(entry.meaning for entry in registry() if entry.name == name)
    told.add(name)
    values = [other.partition(",")[0].partition("=")[2] for other in others]
    fault = ", ".join(f"`{each}`" for each in (first, *values)) + (" in `init`" if case.where == "model" else "")
    alike: dict[tuple[str, ...], list[str]] = {}
    for over, results in overs.items():
        alike.setdefault(_cells(results), []).append(_NAMES[over])
    rows = [("", "", ", ".join(names), *cells) for cells, names in alike.items()]
    missing = ", ".join(name for over, name in _NAMES.items() if over not in overs)
    where = rows[0][2] + (f"; {missing}: n/a" if missing else "")
    return [(fault, meaning, where, *rows[0][3:]), *rows[1:]]


def _cells(results: Iterable[Result]) -> tuple[str, ...]:
    """What all of them have in common; more than one in a cell is a failed expectation."""
    columns = zip(
        *((r.outcome, r.kept, f"`{r.error}`" if r.error else "–", str(r.retries), r.noticed) for r in results),
        strict=True,
    )
    return tuple(" / ".join(dict.fromkeys(column)) for column in columns)


def in_readme() -> str:
    """What the README holds now."""
    text = README.read_text("utf-8")
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def main() -> None:
    with Simulator(speed=None) as simulator:
        table = render(asyncio.run(measure(simulator)))
    README.write_text(README.read_text("utf-8").replace(in_readme(), table), "utf-8")


if __name__ == "__main__":
    main()
