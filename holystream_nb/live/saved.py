"""The plain output that replaces the live view and stays in the file: Markdown and text, with the call's record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ..tools.call import Call
from ..wire.values import well_formed
from .beside import Citation, Picture, named
from .cards import card, ending, plain
from .figures import bursts, costs, figures, milliseconds, rate, record, verdict, way
from .lane import Lane, State, stretches

WORDS: Final[dict[State, str]] = {
    "stopped": "stopped",
    "interrupted": "interrupted: the connection broke",
    "lost": "interrupted: the kernel ended",
    "truncated": "truncated: it may be cut off",
    "failed": "failed",
}
_LINE: Final = 200
"""Characters of a call's arguments that its line shows."""

MARKDOWN_LIMIT: Final = 300_000
"""Bytes above which the output is saved as text only: drawing Markdown of that size blocks JupyterLab's page."""


def bundle(lanes: Sequence[Lane]) -> tuple[dict[str, str], dict[str, Any]]:
    """The mime bundle and metadata of ended lanes."""
    plain = "\n\n".join(_plain(lane, titled=len(lanes) > 1) for lane in lanes)
    if said := _verdict(lanes):
        plain += f"\n\n[{printable(said)}]"
    data = limited(plain, lanes[0].format, lambda: _markdown(lanes))
    records = {lane.label: record(lane.reply) for lane in lanes}
    return data, {"holystream": records if len(records) > 1 else record(lanes[0].reply)}


def limited(plain: str, format: str, markdown: Callable[[], str]) -> dict[str, str]:
    """An output's data from its text and, unless it would be too large or is not wanted, its Markdown."""
    if len(plain.encode()) > MARKDOWN_LIMIT:
        return {"text/plain": f"{plain}\n\n[plain text: the output is larger than {MARKDOWN_LIMIT:,} bytes]"}
    if format == "text":
        return {"text/plain": plain}
    return {"text/plain": plain, "text/markdown": markdown()}


def status_line(lane: Lane) -> str:
    """`deepseek-v3.2 · simulator · TTFT 312 ms · 83 tok/s · 142 tokens · $0.000062 (simulated) · stopped`

    How the service ended it, where that must be said, is not in it.
    """
    parts = [lane.label, *([lane.note] if lane.note else []), *lane.summed()]
    return " · ".join([*parts, *([WORDS[lane.state]] if lane.state in WORDS else [])])


def bracketed(status: str, ending: str) -> str:
    """A status line in plain text; how an answer ended, where that must be said, has a line of its own."""
    return f"[{status}]\n[{ending}]" if ending else f"[{status}]"


def marked(status: str, ending: str) -> str:
    """A status line in Markdown; how an answer ended, where that must be said, stands out."""
    from .harmless import plain_line

    return f"*{plain_line(status)}*" + (f" · **{plain_line(ending)}**" if ending else "")


def printable(text: str) -> str:
    """Text without the control characters a terminal would obey (ESC and its kin); lines and tabs stay.

    Lone halves of surrogate pairs, which no file can hold, become U+FFFD.
    """
    return well_formed(text).translate(_OBEYED)


_OBEYED: Final = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def tool_calls(lane: Lane) -> str:
    """The calls that a model asked for where nobody was there to run them."""
    return "" if lane.calls else "\n".join(f"{call.name}({call.arguments})" for call in lane.reply.tool_calls)


def plain_call(call: Call) -> str:
    """A call as text: its line, then what it returned."""
    return printable(plain(call))


def plain_beside(sources: Sequence[Citation], pictures: Sequence[Picture]) -> str:
    """An answer's pictures and sources as lines of text; "" where there are none."""
    lines = [f"[{picture.words}{f' · {picture.address}' if picture.address else ''}]" for picture in pictures]
    if sources:
        lines.append("Sources:")
    for number, source in enumerate(sources, start=1):
        lines.append(f"[{number}] {source.title}{f' · {source.address}' if source.address else ''}")
    return "\n".join(lines)


def beside_markdown(sources: Sequence[Citation], pictures: Sequence[Picture]) -> str:
    """The same in Markdown: small pictures are in it, sources are numbered links beside which their host stands."""
    parts = [_pictured(picture) for picture in pictures]
    if sources:
        parts.append("**Sources**")
        parts.append("\n".join(f"{number}. {_linked(each)}" for number, each in enumerate(sources, start=1)))
    return "\n\n".join(parts)


def _pictured(picture: Picture) -> str:
    from .harmless import IMAGE, plain_line

    if picture.is_saved:
        return f"![{plain_line(picture.words)}]({picture.data})"
    if picture.address:
        return f"{IMAGE} {_link(picture.words, picture.address, picture.host)}"
    return f"{IMAGE} {plain_line(picture.words)} (not kept in this file)"


def _linked(source: Citation) -> str:
    from .harmless import plain_line

    return _link(source.title, source.address, source.host) if source.address else plain_line(source.title)


def _link(words: str, address: str, host: str) -> str:
    """A link whose words cannot hide where it leads; `address` is one that `beside` made safe."""
    from .harmless import plain_line

    title = plain_line(words.translate({ord("["): "(", ord("]"): ")"}))
    return f"[{title}](<{address.replace('&', '&amp;')}>) · {plain_line(host)}"


def _verdict(lanes: Sequence[Lane]) -> str:
    """The line under several answers; "" where there is nothing to compare."""
    return verdict({lane.label: lane.reply for lane in lanes})


def _plain(lane: Lane, *, titled: bool) -> str:
    reply = lane.reply
    parts = [f"== {lane.label}" if titled else ""]
    if reply.reasoning.strip():
        parts.append(f"[reasoning · {lane.thought()}]\n{reply.reasoning.strip()}")
    for text, calls in stretches(lane.reply.text, lane.calls):
        parts += [text.strip("\n") if lane.calls else text, *map(plain_call, calls)]
    parts += [tool_calls(lane), plain_beside(lane.sources, lane.pictures), lane.warning]
    parts += [bracketed(status_line(lane), lane.ending), str(lane.error or "") if titled else ""]
    return printable("\n\n".join(part for part in parts if part))


def _markdown(lanes: Sequence[Lane]) -> str:
    if len(lanes) == 1:
        section = _section(lanes[0])
        return "\n\n".join([*section, *(["---"] if section else []), marked(status_line(lanes[0]), lanes[0].ending)])
    from .harmless import plain_line

    parts: list[str] = []
    for lane in lanes:
        parts += [f"### {plain_line(lane.label)}", *_section(lane)]
        if lane.error is not None:  # alone, its error is the cell's; a warning is nowhere else
            parts.append(f"**{plain_line(str(lane.error))}**")
    held = [f"*{plain_line(f'{lane.label} {said}')}*" for lane in lanes for said in bursts(lane.reply)]
    compared = [f"*{plain_line(said)}*" for said in [_verdict(lanes)] if said]
    return "\n\n".join([*parts, "---", _table(lanes), *held, *compared])


def _section(lane: Lane) -> list[str]:
    from .harmless import code_block, harmless, plain_line  # late: it brings the Markdown parser

    reply, parts = lane.reply, []
    if reply.reasoning.strip():
        summary = plain_line(f"Reasoning · {lane.thought()}")
        parts += [f"<details><summary>{summary}</summary>", harmless(reply.reasoning), "</details>"]
    for text, calls in stretches(lane.reply.text, lane.calls):
        if text.strip("\n") or (text and not lane.calls):
            parts.append(code_block(text, "json") if lane.format == "json" else harmless(text))
        parts += map(call_markdown, calls)
    if reply.tool_calls and not lane.calls:
        parts.append(code_block(tool_calls(lane), "python"))
    parts += filter(None, [beside_markdown(lane.sources, lane.pictures)])
    if lane.warning:
        parts.append(f"**⚠️ {plain_line(lane.warning)}**")
    return [part.strip("\n") for part in parts]


def call_markdown(call: Call) -> str:
    """A call on one line, then what came back; what is long is folded away."""
    from .harmless import code_block, plain_line

    shown = card(call)
    arguments = " ".join(shown["arguments"].split())
    is_short = len(arguments) <= _LINE
    line = f"{shown['name']}({arguments if is_short else f'{arguments[:_LINE]} …'}) · {ending(call)}"
    parts = [f"🔧 {plain_line(line)}"]
    if not is_short:
        parts.append(_folded("Arguments", code_block(shown["arguments"], "json")))
    if result := shown["result"]:
        block = code_block(result, "text")
        parts.append(block if len(result) <= _LINE and result.count("\n") < 4 else _folded("Result", block))
    return "\n\n".join(parts)


def _folded(summary: str, block: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{block}\n\n</details>"


def _table(lanes: Sequence[Lane]) -> str:
    from .harmless import plain_line

    rows = [["model", "TTFT", "speed", "tokens", "cost", "ended"]]
    for lane in lanes:
        reply = lane.reply
        timing, usage = reply.timing, reply.usage
        tokens = "unknown" if usage.completion_tokens is None else f"{usage.completion_tokens:,}"
        has_answered = bool(figures(reply))
        beside = [*filter(None, [lane.note]), *(way(reply) if has_answered else []), *named(reply)]
        ended = [*filter(None, [WORDS.get(lane.state), lane.ending])]
        rows.append(
            [
                f"{lane.label} ({', '.join(beside)})" if beside else lane.label,
                "–" if timing.ttft_ms is None else milliseconds(timing.ttft_ms),
                "–" if timing.decode_tokens_per_s is None else rate(timing.decode_tokens_per_s),
                (tokens if usage.exact else f"≈{tokens}") if has_answered else "–",
                ", ".join(costs(reply)) if has_answered else "–",
                ", ".join(ended) or reply.finish_reason,
            ]
        )
    cells = [[plain_line(cell).replace("|", "&#124;") for cell in row] for row in rows]
    for row, lane in zip(cells[1:], lanes, strict=True):
        row[-1] = f"**{row[-1]}**" if lane.ending else row[-1]  # it stands out, as under a single answer
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "| :--- | ---: | ---: | ---: | ---: | :--- |", *lines[1:]])
