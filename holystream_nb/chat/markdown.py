"""A conversation as plain output: harmless Markdown and text, and the saved copy under a panel."""

from __future__ import annotations

from typing import Any, Final

from ..live.lane import stretches
from ..live.saved import (
    MARKDOWN_LIMIT,
    WORDS,
    beside_markdown,
    bracketed,
    call_markdown,
    marked,
    plain_beside,
    plain_call,
    printable,
)
from .conversation import Answer, Conversation, Turn

EMPTY: Final = "No question was asked yet."


def status_line(answer: Answer, *, is_chosen: bool = False) -> str:
    """`deepseek-v3.2 · simulator · TTFT 312 ms · 83 tok/s · 142 tokens · $0.000062 (simulated) · stopped`

    How the service ended it, where that must be said, is not in it.
    """
    parts = [answer.label, *([answer.note] if answer.note else []), *answer.figures]
    if answer.state in WORDS:
        parts.append(WORDS[answer.state])
    return " · ".join([*parts, *(["chosen"] if is_chosen else [])])


def turn_markdown(turn: Turn) -> str:
    """A question and its answers, in which nothing acts in any renderer."""
    from ..live.harmless import harmless, plain_line  # late: it brings the Markdown parser

    several = len(turn.lanes) > 1
    parts = ["**You**", harmless(turn.question)]
    for index, answer in enumerate(turn.answers):
        parts.append(f"**{plain_line(answer.label)}**")
        if answer.reasoning.strip():
            thought = [f"*{plain_line(answer.thought)}*"] if answer.thought else []  # a file may say anything here
            parts += ["<details><summary>Reasoning</summary>", harmless(answer.reasoning), *thought, "</details>"]
        for text, calls in stretches(answer.text, answer.calls):
            parts += [harmless(text)] if text.strip("\n") else []
            parts += map(call_markdown, calls)
        parts += filter(None, [beside_markdown(answer.sources, answer.pictures)])
        if answer.error:
            parts.append(f"**{plain_line(answer.error)}**")
        parts.append(marked(status_line(answer, is_chosen=several and turn.chosen == index), answer.ending))
    if turn.verdict:
        parts.append(f"*{plain_line(turn.verdict)}*")
    return "\n\n".join(part.strip("\n") for part in parts)


def turn_text(turn: Turn) -> str:
    """The same for a terminal."""
    several = len(turn.lanes) > 1
    parts = [f"You: {turn.question}"]
    for index, answer in enumerate(turn.answers):
        if answer.reasoning.strip():
            parts.append(f"[reasoning · {answer.thought}]\n{answer.reasoning.strip()}")
        (first, calls), *more = stretches(answer.text, answer.calls)
        parts += [f"{answer.label}: {first}".rstrip(), *map(plain_call, calls)]
        for text, calls in more:
            parts += [text.strip("\n")] if text.strip() else []
            parts += map(plain_call, calls)
        parts += filter(None, [plain_beside(answer.sources, answer.pictures), answer.error])
        status = status_line(answer, is_chosen=several and turn.chosen == index)
        parts.append(bracketed(status, answer.ending))
    if turn.verdict:
        parts.append(f"[{turn.verdict}]")
    return printable("\n\n".join(parts))


def markdown(conversation: Conversation) -> str:
    """All of it."""
    return "\n\n---\n\n".join([*map(turn_markdown, conversation.turns)] or [EMPTY]) + "\n"


Bundle = tuple[dict[str, str], dict[str, Any]]
"""An output's data by mime type, and its metadata."""

NOTHING: Final[Bundle] = ({"text/plain": ""}, {})
"""An output that is needed no more."""

PIECE: Final = 12_000
"""Characters of Markdown from which on an output of the copy takes no more turns: JupyterLab draws it in one task."""


class SavedCopy:
    """The saved copy as outputs of a few turns each, so that one more turn changes the last of them alone.

    Turns that stay as they are, are not written anew.

    is_open: whether the fold is open, as where nobody is there to open it.
    """

    def __init__(self, *, is_open: bool) -> None:
        self._is_open = is_open
        self._turns: dict[str, tuple[Turn, str, str]] = {}

    def pieces(self, conversation: Conversation, *, at_most: int | None = None) -> list[Bundle]:
        """The outputs in their order; the last of `at_most` takes all that is left. There is one at least."""
        self._turns = {turn.id: self._written(turn) for turn in conversation.turns}
        pieces: list[list[tuple[Turn, str, str]]] = [[]]
        size = 0
        for each in self._turns.values():
            size += len(each[1])
            if pieces[-1] and size > PIECE and (at_most is None or len(pieces) < at_most):
                pieces.append([])
                size = len(each[1])
            pieces[-1].append(each)
        if len(pieces) == 1:
            count = len(pieces[0])
            return [self._bundle(f"{count} question{'' if count == 1 else 's'}", pieces[0])]
        bundles, before = [], 0
        for piece in pieces:
            last = before + len(piece)
            bundles.append(self._bundle(_range(before + 1, last), piece))
            before = last
        return bundles

    def _bundle(self, what: str, turns: list[tuple[Turn, str, str]]) -> Bundle:
        text = "\n\n".join(text for _, _, text in turns) or EMPTY
        records = [dict(answer.record) for turn, _, _ in turns for answer in turn.answers]
        metadata = {"holystream": {"answers": records}}
        if len(text.encode()) > MARKDOWN_LIMIT:
            note = f"[plain text: the conversation is larger than {MARKDOWN_LIMIT:,} bytes]"
            return {"text/plain": f"{text}\n\n{note}"}, metadata
        body = "\n\n---\n\n".join(markdown for _, markdown, _ in turns) or EMPTY
        opening = "<details open>" if self._is_open else "<details>"
        fold = f"{opening}<summary>Saved copy · {what}</summary>\n\n{body}\n\n</details>"
        return {"text/plain": text, "text/markdown": fold}, metadata

    def _written(self, turn: Turn) -> tuple[Turn, str, str]:
        before = self._turns.get(turn.id)
        if before is not None and before[0] is turn:
            return before
        return turn, turn_markdown(turn), turn_text(turn)


def _range(first: int, last: int) -> str:
    return f"question {first}" if first == last else f"questions {first} to {last}"
