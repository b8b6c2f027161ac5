"""Which of two answers is better, asked blind: the votes, and what they say with their interval.

The file of the votes stands beside the run's, `….votes`: JSON Lines, a vote as it is given. Of two votes on one prompt
the later counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import SetupError
from ..live.saved import printable
from ..live.screen import screen
from .figures.answers import drawn, question
from .figures.figures import Figures
from .figures.statistics import Interval, preference
from .values.words import counted

if TYPE_CHECKING:
    from .running.widget import VoteView

_FEWEST: Final = 6
"""Of five alike the interval still includes 50 %."""

CHOICES: Final = ("left", "right", "tie", "both bad")


class Vote(msgspec.Struct, frozen=True):
    """One vote on the answers of two arms to a prompt: `better` is one of them, or "tie" or "both bad"."""

    prompt: int
    repeat: int
    a: str
    b: str
    better: str


@dataclass(frozen=True, slots=True)
class Preference:
    """What the votes say: how many preferred either arm, ties and "both bad" apart.

    share: of the votes that chose, in % those for `b`, with the exact interval of Clopper and Pearson. Each prompt is
    voted on once, so that votes are independent as far as prompts are.
    """

    a: str
    b: str
    for_a: int
    for_b: int
    ties: int
    both_bad: int
    share: Interval
    is_more_than_noise: bool

    def __str__(self) -> str:
        rest = f"{counted(self.ties, 'tie')}, {self.both_bad:,} both bad"
        chosen = self.for_a + self.for_b
        if self.share.value is None or self.share.low is None or self.share.high is None:
            return f"Nobody chose between {self.a} and {self.b}: {rest}."
        noise = f"no more than chance, because the interval includes 50 %; {_missing(chosen)}"
        verdict = "more than chance" if self.is_more_than_noise else noise
        low, high = f"{self.share.low:.0f}", f"{self.share.high:.0f}"
        return (
            f"{self.b} was preferred to {self.a} in {self.for_b} of {counted(chosen, 'vote')} that chose "
            f"({self.share.value:.0f} %, 95 % interval {low} to {high} %): {verdict}. {rest}."
        )

    __repr__ = __str__


def _missing(chosen: int) -> str:
    """What would have shown a preference: of so many votes, or the fewest that can."""
    for most in range((chosen + 1) // 2, chosen + 1):
        if preference(most, chosen - most).is_more_than_noise:
            return f"{most} of {chosen} alike would have shown a preference"
    return f"{_FEWEST} votes alike are the fewest that show a preference"


class Ballot:
    """A vote on two arms of a run, prompt by prompt in random order, left and right at random, and without their names.

    In a notebook it is a small widget, with a line under it that stays in the file. Without one: `question`, `left` and
    `right` are what is to be judged next (None when there is nothing left), `vote(…)` judges it. `preference` says who
    was preferred, once all is judged. What was judged before is not asked again.
    """

    def __init__(self, run: Figures, a: str, b: str, *, seed: int | None = None) -> None:
        self._run, self._a, self._b = run, run.arm(a), run.arm(b)
        if self._a == self._b:
            raise SetupError(f"{a!r} cannot be compared with itself: name two.")
        self.path = run.path.with_name(f"{run.path.name}.votes")
        self._random = Random(seed)  # noqa: S311  # an order, not a secret
        self._texts = self._pairs()
        if not self._texts:
            raise SetupError(
                "There are no two answers to one prompt in this run: ask with answers=True to keep them, of two that "
                "answer."
            )
        self._votes = {vote.prompt: vote for vote in votes(self.path) if self._is_ours(vote)}
        self._left = [prompt for prompt in self._texts if prompt not in self._votes]
        self._view: VoteView | None = None
        self._widget_id, self._line_id = token_hex(16), token_hex(16)
        self._random.shuffle(self._left)
        self._turn()

    @property
    def asked(self) -> str:
        """What is to be judged next, and how, for a terminal; at the end what the votes say."""
        if not self._left:
            return printable(repr(self))
        sides = f"LEFT\n{self.left}\n\nRIGHT\n{self.right}"
        how = 'v.vote("left"), v.vote("right"), v.vote("tie") or v.vote("both bad")'
        return printable(f"{self.question}\n\n{sides}\n\n{self._done} Judge it by {how}, where v = result.vote().")

    def __repr__(self) -> str:
        return self._done if self._left else f"{self.preference} {self._done}"

    @property
    def _done(self) -> str:
        done = f"{len(self._votes):,} of {counted(len(self._texts), 'prompt')} judged"
        return f"{done}; names come last." if self._left else f"{done}."

    def _ipython_display_(self) -> None:
        from IPython.display import display

        on = screen()
        if on == "text":
            print(self.asked)
            return
        if not self._left or on == "file":
            display(_text(self.asked), raw=True)  # type: ignore[no-untyped-call]
            return
        display(self.widget, display_id=self._widget_id)  # type: ignore[no-untyped-call]
        display(_text(repr(self)), raw=True, display_id=self._line_id)  # type: ignore[no-untyped-call]

    @property
    def question(self) -> str | None:
        return question(self._run.plan, self._left[0]) if self._left else None

    @property
    def left(self) -> str | None:
        return self._shown[0] if self._left else None

    @property
    def right(self) -> str | None:
        return self._shown[1] if self._left else None

    def vote(self, choice: str) -> None:
        """Judges the pair that is shown: one of `CHOICES`. It is on disk when this returns."""
        if choice not in CHOICES:
            raise SetupError(f"A vote is one of {', '.join(CHOICES)}.")
        if not self._left:
            raise SetupError("All answers are judged: see preference.")
        prompt = self._left[0]
        sides = (self._b, self._a) if self._is_swapped else (self._a, self._b)
        better = sides[CHOICES.index(choice)] if choice in CHOICES[:2] else choice
        vote = Vote(prompt, self._texts[prompt][0], self._a, self._b, better)
        try:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(vote) + b"\n")
        except OSError as exc:
            raise SetupError(f"{self.path} cannot be written ({exc.strerror}): the vote does not count.") from exc
        self._votes[prompt] = vote
        self._left.pop(0)
        self._turn()
        self._draw()

    @property
    def preference(self) -> Preference:
        """Raises SetupError while answers are still to be judged: a look at the names would not be blind."""
        if self._left:
            raise SetupError(
                f"{counted(len(self._left), 'prompt')} still to be judged: the models are named at the end."
            )
        better = [vote.better for vote in self._votes.values()]
        for_a, for_b = better.count(self._a), better.count(self._b)
        a, b = self._run.label(self._a), self._run.label(self._b)
        ties, bad = better.count("tie"), better.count("both bad")
        found = preference(for_b, for_a, ties + bad)
        return Preference(a, b, for_a, for_b, ties, bad, found.share, found.is_more_than_noise)

    @property
    def widget(self) -> VoteView:
        if self._view is None:
            from .running.widget import VoteView  # late: it brings ipywidgets

            self._view = VoteView(state=self.state())
            self._view.on_msg(self._heed)
        return self._view

    def state(self) -> dict[str, Any]:
        """What the widget shows: harmless HTML, and the number of the pair; {} at the end."""
        if not self._left:
            return {}
        left, right = self._shown
        return {"question": self.question, "left": drawn(left), "right": drawn(right), "number": len(self._votes)}

    def _heed(self, _view: object, content: dict[str, Any], _buffers: object = None) -> None:
        """A click; one on a pair that is judged already, as a double click is, counts for nothing."""
        if self._left and content.get("choice") in CHOICES and content.get("number") == len(self._votes):
            self.vote(str(content["choice"]))

    def _draw(self) -> None:
        """Brings the widget and its line up to date; at the end a heading takes the widget's place, which no file could
        hold.
        """
        if self._view is None:
            return
        from IPython.display import update_display

        update_display(_text(repr(self)), raw=True, display_id=self._line_id)  # type: ignore[no-untyped-call]
        if self._left:
            self._view.state = self.state()
            return
        update_display(_text("Judged blind:"), raw=True, display_id=self._widget_id)  # type: ignore[no-untyped-call]
        self._view.close()
        self._view = None

    def _turn(self) -> None:
        """Which of the next two answers stands left is chosen anew for each pair."""
        self._is_swapped = self._random.random() < 0.5
        if self._left:
            _, first, second = self._texts[self._left[0]]
            self._shown = (second, first) if self._is_swapped else (first, second)

    def _pairs(self) -> dict[int, tuple[int, str, str]]:
        """Of each prompt the first repeat that both arms answered, and the two answers."""
        ours, theirs = (
            {(trial.prompt, trial.repeat): trial.text for trial in self._run.of(arm) if trial.text and not trial.error}
            for arm in (self._a, self._b)
        )
        found: dict[int, tuple[int, str, str]] = {}
        for prompt, repeat in sorted(ours.keys() & theirs.keys()):
            found.setdefault(prompt, (repeat, ours[prompt, repeat], theirs[prompt, repeat]))
        return found

    def _is_ours(self, vote: Vote) -> bool:
        return {vote.a, vote.b} == {self._a, self._b} and vote.prompt in self._texts


def _text(said: str) -> dict[str, str]:
    """What stays in the notebook, as text and as HTML in which every name is only text."""
    said = printable(said)
    return {"text/plain": said, "text/html": f'<div style="white-space:pre-wrap">{escape(said)}</div>'}


def votes(path: Path) -> list[Vote]:
    """The votes in a file, in the order in which they were given; a torn line is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Vote))
        except msgspec.MsgspecError:
            continue
    return found
