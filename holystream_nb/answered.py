"""hs.history: the replies of this kernel, and the answers that the journal holds of all kernels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, overload

from .journal.values import Answer
from .reply import Reply

if TYPE_CHECKING:
    from pandas import DataFrame

MOST: Final = 100
"""Replies that are kept in memory."""

SHORT: Final = 8
"""Characters of an id that are shown."""

_SHOWN: Final = 20
"""Rows of a table."""

_BEGINNING: Final = 60
"""Characters of a text that its row shows."""

COLUMNS: Final = (
    *("began", "model", "door", "notebook", "cell", "conversation", "prompt", "text", "reasoning", "state", "ended"),
    *("error", "wire", "transport_used", "queue_ms", "connect_ms", "dns_ms", "tcp_ms", "tls_ms", "ttft_ms", "ttfa_ms"),
    *("e2e_s", "tpot_ms", "decode_tokens_per_s", "output_tokens", "token_source", "reasoning_tokens", "prompt_tokens"),
    *("cached_tokens", "characters", "bytes", "retries", "resent", "cost_usd", "cost_cny", "stated_cost_usd"),
    *("finish_reason", "id", "group"),
)
"""One row an answer, named and measured as in `result.trials` of a bench; beside those:

began: when it was asked for, UTC · door: cell, python or panel · notebook, cell: where
conversation: of `--chat`, or a panel · prompt: what was asked last
state: done, stopped, interrupted, truncated, failed or streaming · ended: how it ended in plain words, "" where that is
as answers end · id, group: of the answer, and of those side by side with it
"""


class Answers(list[Answer]):
    """Answers of the journal, the newest last; shown as a table."""

    def to_frame(self) -> DataFrame:
        """A DataFrame with a row an answer (`answered.COLUMNS`)."""
        from pandas import DataFrame, to_datetime

        frame = DataFrame([_row(answer) for answer in self], columns=list(COLUMNS))
        frame["began"] = to_datetime(frame["began"], unit="s", utc=True)
        return frame.astype({name: float for name in COLUMNS if name.endswith(("_ms", "_s"))})

    def __repr__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]

    def _repr_mimebundle_(self, **_kinds: Any) -> dict[str, str]:
        return _bundle(f"{_count(len(self), 'answer')}, the newest last", answer_rows(self[-_SHOWN:]))


class History(deque[Reply]):
    """The last 100 replies of this kernel, the newest last: `hs.history[-1]` is the last one.

    `find`, `all` and `to_frame` look through the journal: the answers of all kernels of this user.
    """

    def __init__(self, replies: Iterable[Reply] = (), maxlen: int | None = MOST) -> None:
        super().__init__(replies, maxlen)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Reply: ...
    @overload
    def __getitem__(self, index: slice) -> list[Reply]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Reply | list[Reply]:
        return list(self)[index] if isinstance(index, slice) else super().__getitem__(index)

    def all(self) -> Answers:
        """Every answer in the journal, the newest last."""
        return found()

    def find(self, words: str) -> Answers:
        """The answers that have all of these words, in what was asked or in what came, the newest last."""
        return found(words=words)

    def to_frame(self) -> DataFrame:
        """Every answer in the journal as a DataFrame, the newest last: a row an answer, with a bench's columns."""
        return self.all().to_frame()

    def __repr__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]

    def _repr_mimebundle_(self, **_kinds: Any) -> dict[str, str]:
        from .live.saved import WORDS

        rows = [["n", "model", "answer", "ended"]]
        for index, reply in list(enumerate(self))[-_SHOWN:]:
            ours = WORDS.get(reply.finish_reason, "") if reply.end is None else ""  # type: ignore[call-overload]
            ours = ours or (type(reply.error).__name__ if reply.error else "")
            ended = ", ".join(filter(None, (ours, reply.ending_words)))
            rows.append([str(index - len(self)), f"{reply.provider}:{reply.model}", beginning(reply.text), ended])
        return _bundle(f"{_count(len(self), 'reply', 'replies')} of this kernel, the newest last", rows)


def found(**of: Any) -> Answers:
    """What the journal has (`journal.answers`), the newest last."""
    from .journal.journal import journal

    return Answers(reversed(journal.answers(**of)))


def answer_rows(answers: Sequence[Answer]) -> list[list[str]]:
    """A table of answers in the order they are given."""
    rows = [["id", "began", "model", "notebook", "prompt", "answer", "ended"]]
    for answer in answers:
        began = datetime.fromtimestamp(answer.began).strftime("%Y-%m-%d %H:%M")
        notebook = PureWindowsPath(answer.origin.notebook).name  # it knows both kinds of slashes
        texts = (beginning(asked(answer)), beginning(answer.text), how_it_ended(answer))
        rows.append([short_id(answer), began, f"{answer.provider}:{answer.model}", notebook, *texts])
    return rows


def short_id(answer: Answer) -> str:
    return answer.id[:SHORT]


def how_it_ended(answer: Answer) -> str:
    """In plain words; "" where that is as answers end."""
    from .live.saved import WORDS

    if answer.ended is None:
        return "still running" if answer.is_running else WORDS["lost"]
    said = WORDS.get(answer.state, "")  # type: ignore[call-overload]  # it is a state
    return ", ".join(filter(None, (said, answer.ending)))


def asked(answer: Answer) -> str:
    """The last message of the user's, as text."""
    content = next((each.get("content") for each in reversed(answer.messages) if each.get("role") == "user"), "")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def beginning(text: str) -> str:
    """A text's beginning on one line."""
    line = " ".join(text[: 4 * _BEGINNING].split())
    return line if len(line) <= _BEGINNING else f"{line[: _BEGINNING - 1]}…"


def _row(answer: Answer) -> dict[str, Any]:
    record, origin = answer.record, answer.origin
    same = {name: record.get(name) for name in COLUMNS if name in record}
    parts = record.get("parts_ms") or {}
    money = ("cost_usd", "cost_cny", "stated_cost_usd")
    return {
        **same,
        "began": answer.began,
        "model": f"{answer.provider}:{answer.model}",
        "door": origin.door,
        "notebook": origin.notebook,
        "cell": origin.cell,
        "conversation": origin.conversation,
        "prompt": asked(answer),
        "text": answer.text,
        "reasoning": answer.reasoning,
        "state": answer.state,
        "ended": how_it_ended(answer),
        "error": record.get("error") or "",
        "transport_used": record.get("transport"),
        **{f"{name}_ms": parts.get(name) for name in ("dns", "tcp", "tls")},
        "output_tokens": record.get("completion_tokens"),
        "token_source": None if not record else "usage" if record.get("tokens_exact") else "text",
        "characters": len(answer.text) + len(answer.reasoning),
        **{name: None if record.get(name) is None else Decimal(record[name]) for name in money},
        "id": answer.id,
        "group": answer.group,
    }


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def _bundle(line: str, rows: list[list[str]]) -> dict[str, str]:
    from .live.table import bundle

    if len(rows) == 1:
        return {"text/plain": line, "text/markdown": line}
    return {kind: f"{line}\n\n{table}" for kind, table in bundle(rows).items()}
