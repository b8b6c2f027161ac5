"""Results by prompt, and the answers that were kept, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from ...errors import SetupError
from ...live.saved import printable
from ..values.plan import Plan
from ..values.record import Trial
from ..values.run import Run
from ..values.synthetic import Synthetic
from ..values.turns import Turn

if TYPE_CHECKING:
    from pandas import DataFrame

_SHORT: Final = 80
_LINE: Final = 160
"""Letters of an answer in a terminal: two of its lines."""
_FIRST: Final = 10
"""Prompts there: a screen."""
_DRAWN: Final = 100
"""Prompts in a notebook: 10,000 short answers took 20 s to draw, and 2.5 MB of the file."""
_FIGURES: Final = ("ttft_ms", "e2e_s", "decode_tokens_per_s")


def question(plan: Plan, prompt: int) -> str:
    """What a prompt asks, as text: of messages the last of the user's."""
    asked = plan.prompts[prompt]
    if isinstance(asked, Turn):
        return asked.text
    if isinstance(asked, Synthetic):
        return f"(a synthetic prompt of {asked.input_tokens:,} tokens)"
    if isinstance(asked, str):
        return asked
    content = next((each.get("content") for each in reversed(asked) if each.get("role") == "user"), "")
    if isinstance(content, str):
        return content
    parts = [part.get("text", "") for part in content or () if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str) and part)


def by_prompt(run: Run) -> DataFrame:
    """One row a prompt and arm, in the plan's order.

    prompt: its number · name: what it was called, where prompts have names · question: its beginning · turn: of a
    conversation, from 1 · model: the arm · n: requests that succeeded · failed · ttft_ms, e2e_s, decode_tokens_per_s,
    output_tokens, cost_usd (Decimal): medians of those that succeeded, None where there are none. With few repeats
    these are single observations: compare models over all prompts, by `compare`.
    """
    from pandas import DataFrame

    found: dict[tuple[int, str], list[Trial]] = {}
    for arm in run.arms:
        for trial in run.of(arm):
            found.setdefault((trial.prompt, arm), []).append(trial)
    order = {arm: index for index, arm in enumerate(run.arms)}
    keys = sorted(found, key=lambda key: (key[0], order[key[1]]))
    frame = DataFrame([_row(run, prompt, arm, found[prompt, arm]) for prompt, arm in keys])
    unused = [] if run.plan.names else ["name"]
    unused += [] if any(isinstance(prompt, Turn) for prompt in run.plan.prompts) else ["turn"]
    return frame.drop(columns=unused, errors="ignore")


def _row(run: Run, prompt: int, arm: str, trials: Sequence[Trial]) -> dict[str, Any]:
    plan, good = run.plan, [trial for trial in trials if not trial.error]
    number = plan.number(prompt)
    return {
        "prompt": prompt,
        "name": plan.names[prompt] if plan.names else "",
        "question": _shortened(question(plan, prompt)),
        "turn": None if number is None else number + 1,
        "model": run.label(arm),
        "n": len(good),
        "failed": len(trials) - len(good),
        **{name: _median([getattr(trial.timing, name) for trial in good]) for name in _FIGURES},
        "output_tokens": _median([trial.output_tokens for trial in good]),
        "cost_usd": _median([trial.due_usd for trial in good]),
    }


def _shortened(text: str, most: int = _SHORT) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _median(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    return median(known) if known else None


class Answers:
    """The answers of a run side by side: `to_frame()` has them, a notebook shows them as tables.

    A model's Markdown is shown in a form in which nothing of it acts (`live.harmless`).
    """

    def __init__(self, run: Run) -> None:
        if not any(trial.text for trial in run.records):
            raise SetupError("No answers were kept in this run: ask with answers=True to keep them.")
        self._run = run
        self._texts: dict[tuple[int, int], dict[str, str]] = {}
        for arm in run.arms:
            for trial in run.of(arm):
                said = f"({trial.error})" if trial.error else trial.text
                self._texts.setdefault((trial.prompt, trial.repeat), {})[arm] = said

    def __repr__(self) -> str:
        lines = []
        for prompt, repeat in sorted(self._texts)[:_FIRST]:
            lines.append(f"{_shortened(question(self._run.plan, prompt))}{self._again(repeat)}")
            said = self._texts[prompt, repeat]
            lines += [f"  {self._run.label(arm)}: {_shortened(said.get(arm, '–'), _LINE)}" for arm in self._run.arms]
        return printable("\n".join([*lines, f"{self._more(_FIRST)}to_frame() has all of them, whole."]))

    def _more(self, shown: int) -> str:
        rest = len(self._texts) - shown
        return f"{rest:,} more. " if rest > 0 else ""

    def _again(self, repeat: int) -> str:
        return f" · repeat {repeat + 1}" if self._run.plan.repeats > 1 else ""

    def to_frame(self) -> DataFrame:
        """One row a prompt and repeat: prompt, repeat, question, and a column for each arm with its answer as it came;
        the error in brackets where a request failed, None where it is missing.
        """
        from pandas import DataFrame

        labels = {arm: self._run.label(arm) for arm in self._run.arms}
        return DataFrame(
            [
                {
                    "prompt": prompt,
                    "repeat": repeat,
                    "question": question(self._run.plan, prompt),
                    **{label: texts.get(arm) for arm, label in labels.items()},
                }
                for (prompt, repeat), texts in sorted(self._texts.items())
            ]
        )

    def _repr_html_(self) -> str:
        arms = self._run.arms
        width = f"{100 / len(arms):.4g}%"
        heads = "".join(
            f'<th style="width:{width};text-align:left">{escape(self._run.label(arm))}</th>' for arm in arms
        )
        parts = []
        for (prompt, repeat), texts in sorted(self._texts.items())[:_DRAWN]:
            cells = "".join(
                f'<td style="vertical-align:top;text-align:left;white-space:normal">{drawn(texts.get(arm, "–"))}</td>'
                for arm in arms
            )
            parts.append(
                f"<p><b>{escape(question(self._run.plan, prompt))}</b>{self._again(repeat)}</p>"
                f'<table style="width:100%;table-layout:fixed"><tr>{heads}</tr><tr>{cells}</tr></table>'
            )
        more = self._more(_DRAWN)
        return "".join([*parts, *([f"<p>{more}to_frame() has all of them.</p>"] if more else [])])


def drawn(markdown: str) -> str:
    """A model's Markdown as HTML in which nothing acts: no link, no picture, no element of its own."""
    from markdown_it import MarkdownIt

    from ...live.harmless import harmless

    return str(
        MarkdownIt("commonmark", {"html": False})
        .enable("table")
        .disable(["link", "image", "autolink"])
        .render(harmless(markdown))
    )
