"""Answers that are kept: by prompt, side by side, and judged blind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from holystream_nb.errors import SetupError
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.votes import CHOICES, Ballot, votes

Run = Callable[..., Awaitable[Result]]
PROMPTS = tuple(f"Question {number}?" for number in range(10))


class Elements(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture
def kept(trial: Callable[..., Any], result: Callable[..., Result], tmp_path: Path) -> Result:
    """Two models' answers to ten prompts, twice; the text says whose it is."""
    made = result(
        *(
            trial(f"simulator:{model}", prompt=prompt, repeat=repeat, text=f"{model} {prompt} {repeat}", ttft=ttft)
            for prompt in range(10)
            for repeat in (0, 1)
            for model, ttft in (("a", 100 + repeat), ("b", 200 + repeat))
        ),
        prompts=PROMPTS,
        repeats=2,
    )
    made.path = tmp_path / "run.jsonl"
    return made


def test_figures_by_prompt_are_medians_of_its_requests(trial: Any, result: Any) -> None:
    """A row a prompt and model; failures are counted and left out of the medians."""
    frame = result(
        trial("simulator:a", ttft=100),
        trial("simulator:a", repeat=1, ttft=300),
        trial("simulator:a", repeat=2, error="Timeout"),
        trial("simulator:a", prompt=1, error="Timeout"),
        prompts=("Hello\nthere", "x" * 200),
        names=("first", "second"),
    ).by_prompt()
    assert frame["name"].tolist() == ["first", "second"]
    assert frame["question"].tolist() == ["Hello there", "x" * 79 + "…"]
    assert frame[["n", "failed"]].to_numpy().tolist() == [[2, 1], [0, 1]]
    assert frame["ttft_ms"][0] == pytest.approx(200)
    assert frame["ttft_ms"].isna().tolist() == [False, True]


def test_answers_stand_side_by_side(kept: Result) -> None:
    """A row a prompt and repeat, a column a model."""
    frame = kept.answers().to_frame()
    assert frame.columns.tolist() == ["prompt", "repeat", "question", "a", "b"]
    assert frame.loc[3].tolist() == [1, 1, "Question 1?", "a 1 1", "b 1 1"]


def test_a_run_without_answers_says_how_to_keep_them(trial: Any, result: Any) -> None:
    """Nothing is shown that was not kept."""
    made = result(trial("simulator:a"), trial("simulator:b"))
    with pytest.raises(SetupError, match="answers=True"):
        made.answers()
    with pytest.raises(SetupError, match="answers=True"):
        made.vote()


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "![x](https://example.com/x.png)",
        "<https://example.com>",
        "```html\n<script>alert(1)</script>\n```",
    ],
)
def test_an_answer_cannot_act(trial: Any, result: Any, attack: str) -> None:
    """Neither in the tables nor in the ballot is there an element of the model's, a link or a picture."""
    made = result(
        trial("simulator:a", text=attack), trial("simulator:b", text=attack), prompts=(f"Why? {attack}",), repeats=1
    )
    for html in (made.answers()._repr_html_(), made.vote().state()["left"]):
        found = Elements(html)
        assert found.tags <= {"p", "b", "table", "tr", "th", "td", "pre", "code", "em"}
        assert found.attributes <= {"style", "class"}


def test_a_ballot_is_blind_and_each_prompt_is_judged_once(kept: Result) -> None:
    """Sides and order are random, no name is in what is shown, and the names come at the end."""
    ballot = kept.vote(seed=1)
    seen = []
    while ballot.question is not None:
        assert ballot.left is not None
        assert {ballot.left[0], (ballot.right or "")[0]} == {"a", "b"}
        assert not any(model in repr(ballot) for model in ("simulator", " a", " b"))
        with pytest.raises(SetupError, match="still to be judged"):
            ballot.preference  # noqa: B018
        seen.append((ballot.question, ballot.left[0]))
        ballot.vote("left" if ballot.left.startswith("b") else "right")
    questions = [question for question, _ in seen]
    assert sorted(questions) == sorted(PROMPTS) != questions
    assert 0 < Counter(side for _, side in seen)["a"] < 10
    assert (ballot.preference.for_a, ballot.preference.for_b) == (0, 10)
    assert str(ballot.preference).startswith(
        "b was preferred to a in 10 of 10 votes that chose (100 %, 95 % interval 69 to 100 %): more than chance."
    )


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (10, "includes 50 %; 9 of 10 alike would have shown a preference."),
        (6, "includes 50 %; 6 of 6 alike would have shown a preference."),
        (5, "includes 50 %; 6 votes alike are the fewest that show a preference."),
    ],
)
def test_votes_that_decide_nothing_say_what_would(trial: Any, result: Any, tmp_path: Path, n: int, said: str) -> None:
    """Ten questions of one's own may well end so: by how many alike, or that they were too few for any choice."""
    rows = (trial(f"x:{name}", prompt=number, text=name) for number in range(n) for name in "ab")
    made = result(*rows, prompts=PROMPTS[:n], repeats=1)
    made.path = tmp_path / "run.jsonl"
    ballot = made.vote()
    for number in range(n):
        ballot.vote("left" if (ballot.left == "a") == (number % 2 > 0) else "right")
    assert said in str(ballot.preference)


def test_votes_are_on_disk_as_they_are_given(kept: Result) -> None:
    """Beside the run's file; another ballot goes on where the first stood, also with the arms exchanged."""
    first = kept.vote(seed=1)
    for choice in CHOICES:
        first.vote(choice)
    path = kept.path.with_name("run.jsonl.votes")
    assert len(votes(path)) == 4
    path.write_bytes(path.read_bytes() + b'{"prompt": 1, "rep')
    again = kept.vote("b", "a", seed=2)
    assert repr(again) == "4 of 10 prompts judged; names come last."
    while again.question is not None:
        again.vote("tie")
    assert (again.preference.ties, again.preference.both_bad) == (7, 1)
    assert again.preference.for_a + again.preference.for_b == 2
    assert "because the interval includes 50 %" in str(again.preference)


def test_a_click_counts_once(kept: Result) -> None:
    """A double click is not a vote on the next pair; a choice that does not exist is none."""
    ballot = kept.vote()
    view = ballot.widget
    for content in ({"choice": "tie", "number": 0}, {"choice": "tie", "number": 0}, {"choice": "x", "number": 1}):
        ballot._heed(view, content)
    assert len(votes(ballot.path)) == view.state["number"] == 1
    ballot.vote("tie")
    assert view.state["number"] == 2
    assert view.state["question"] == ballot.question


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """What a notebook's file holds of a ballot, by display: a widget there is only its text."""
    outputs: dict[str, dict[str, str]] = {}

    def show(content: Any, *, display_id: str = "here", **_: Any) -> None:
        outputs[display_id] = content if isinstance(content, dict) else {"text/plain": repr(content)}

    monkeypatch.setattr("holystream_nb.measuring.votes.screen", lambda: "page")
    monkeypatch.setattr("IPython.display.display", show)
    monkeypatch.setattr("IPython.display.update_display", show)
    return outputs


def test_how_far_a_vote_is_and_what_it_says_stays_in_the_notebook(
    kept: Result, shown: dict[str, dict[str, str]]
) -> None:
    """A file cannot hold the widget: the line under it is text, and at the end a heading takes the widget's place."""
    ballot = kept.vote()
    ballot._ipython_display_()
    widget, line = shown
    assert "run this cell again" in shown[widget]["text/plain"]
    for number in range(10):
        assert shown[line]["text/plain"] == repr(ballot) == f"{number} of 10 prompts judged; names come last."
        ballot._heed(ballot.widget, {"choice": "tie", "number": number})
    assert shown[widget]["text/plain"] == "Judged blind:"
    assert shown[line]["text/plain"] == repr(ballot) == f"{ballot.preference} 10 of 10 prompts judged."
    assert "10 ties" in shown[line]["text/html"]


def test_where_nobody_looks_on_a_vote_is_text(
    kept: Result, shown: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a notebook that a program executes: the question and both answers, without names and without a widget."""
    monkeypatch.setattr("holystream_nb.measuring.votes.screen", lambda: "file")
    ballot = kept.vote(seed=1)
    ballot._ipython_display_()
    (output,) = shown.values()
    assert output["text/plain"] == ballot.asked
    assert ballot.left in output["text/html"]


def test_a_vote_is_cast_in_a_terminal(kept: Result, capsys: pytest.CaptureFixture[str]) -> None:
    """Question, both answers without names, and how to judge them; after each vote the next pair, then the verdict."""
    ballot = kept.vote(seed=1)
    while ballot.question is not None:
        ballot._ipython_display_()
        said = capsys.readouterr().out
        assert ballot.question in said
        assert f"LEFT\n{ballot.left}" in said
        assert 'v.vote("both bad"), where v = result.vote().' in said
        ballot.vote("tie")
    ballot._ipython_display_()
    assert "10 ties" in capsys.readouterr().out


def test_answers_are_readable_in_a_terminal(kept: Result) -> None:
    """The questions, and how each answer begins; no more than a screen, and nothing that steers it."""
    said = repr(kept.answers())
    assert "Question 1?" in said
    assert "  a: a 1 1" in said
    assert said.count("\n") <= 40
    assert said.endswith("to_frame() has all of them, whole.")


def test_a_notebook_draws_no_more_answers_than_are_read(trial: Any, result: Any) -> None:
    """Of ten thousand the first hundred, and how many there are besides; all are in the frame."""
    made = result(
        *(trial("simulator:a", prompt=number, text=f"Answer {number}.") for number in range(120)),
        prompts=tuple(f"Question {number}?" for number in range(120)),
        repeats=1,
    ).answers()
    html = made._repr_html_()
    assert "Answer 99." in html
    assert "Answer 100." not in html
    assert html.endswith("<p>20 more. to_frame() has all of them.</p>")
    assert len(made.to_frame()) == 120


def test_votes_that_cannot_be_are_refused(kept: Result) -> None:
    """In one sentence."""
    with pytest.raises(SetupError, match="A vote is one of left, right, tie, both bad"):
        kept.vote().vote("middle")
    with pytest.raises(SetupError, match="with itself"):
        Ballot(kept, "a", "a")


@pytest.mark.slow
async def test_a_bench_keeps_answers_on_request(run: Run) -> None:
    """Of three models as well; without the request there is none in the file."""
    models = [f"simulator:{name}#tokens=5" for name in ("gpt-4.1", "deepseek-v3.2", "gemini-2.5-flash")]
    result = await run(models=models, prompts=["One?", "Two?"], answers=True)
    assert result.answers().to_frame().shape == (2, 6)
    assert all(trial.text and trial.similarity is None for trial in result.records)
    with pytest.raises(SetupError, match="Name two"):
        result.vote()


@pytest.mark.slow
async def test_a_bench_keeps_no_answers_unasked(run: Run) -> None:
    """What was said leaves the process that measured it nowhere."""
    result = await run()
    assert not any(trial.text for trial in result.records)
