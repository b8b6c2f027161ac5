"""Questions in whatever people have them, and wrong input at the doors that measure."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from missing import imported

import holystream_nb as hs
from holystream_nb.errors import SetupError
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.prompts import COLUMNS, read_prompts

Run = Callable[..., Awaitable[Result]]

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
ANSWERED = [*MESSAGES, {"role": "assistant", "content": "Hello."}]
SHAREGPT = [
    {"from": "human", "value": "Hi"},
    {"from": "gpt", "value": "Hello."},
    {"from": "human", "value": "Bye"},
    {"from": "gpt", "value": "Bye."},
]
SAID = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]


def read(given: object) -> Any:
    return read_prompts("hs.bench", given)


def test_texts_and_messages_are_taken_as_they_are() -> None:
    """A text is one prompt; a list holds several; nothing is said of where they come from."""
    assert read("Hello").prompts == ("Hello",)
    both = read(["Hello", MESSAGES])
    assert (both.prompts, both.names, both.source) == (("Hello", MESSAGES), (), "")
    assert type(read([np.str_("Hello")]).prompts[0]) is str


@pytest.mark.parametrize("column", COLUMNS)
def test_a_frame_has_its_prompts_in_a_column(column: str) -> None:
    """Any of the usual names; the source says which."""
    found = read(pd.DataFrame({"note": ["x", "y"], column: ["One?", "Two?"]}))
    assert found.prompts == ("One?", "Two?")
    assert found.source == f"2 prompts from a DataFrame, column {column}"


def test_a_frame_without_such_a_column_is_refused_by_its_columns() -> None:
    """Its column names are no prompts."""
    with pytest.raises(SetupError, match=r"without a column of prompts.*but with first, second: rename one"):
        read(pd.DataFrame({"first": ["One?"], "second": ["Two?"]}))


def test_a_series_is_a_column_and_its_index_are_names() -> None:
    """An index of names stays; one that only numbers the rows does not."""
    named = read(pd.Series(["One?", "Two?"], index=["a", "b"], name="q"))
    assert (named.prompts, named.names) == (("One?", "Two?"), ("a", "b"))
    assert named.source == "2 prompts from a Series, column q"
    assert read(pd.Series(["One?", "Two?"])).names == ()
    assert read(np.array(["One?", "Two?"])).prompts == ("One?", "Two?")


def test_rows_in_which_nothing_is_asked_are_left_out_and_counted() -> None:
    """An empty cell is no prompt, and the names stay with their rows."""
    found = read(pd.DataFrame({"prompt": ["One?", None, float("nan"), " ", "Two?"]}, index=list("abcde")))
    assert (found.prompts, found.names) == (("One?", "Two?"), ("a", "e"))
    assert found.source.endswith("; 3 rows left out, in which nothing is asked")
    with pytest.raises(SetupError, match="in which nothing is asked"):
        read(pd.DataFrame({"prompt": [None]}))


@pytest.mark.slow
@pytest.mark.parametrize("library", ["polars", "pyarrow", "datasets"])
def test_tables_of_other_libraries_are_read_as_well(library: str) -> None:
    """A table, and one of its columns; texts, and messages."""
    module = imported(library)
    columns = {"id": [1, 2], "prompt": ["One?", "Two?"]}
    chats = {"messages": [ANSWERED, [{"role": "user", "content": "Bye"}]]}
    made = {
        "polars": lambda data: module.DataFrame(data),
        "pyarrow": lambda data: module.table(data),
        "datasets": lambda data: module.Dataset.from_dict(data),
    }[library]
    assert read(made(columns)).prompts == ("One?", "Two?")
    assert read(made(columns)["prompt"]).prompts == ("One?", "Two?")
    assert read(made(chats)).prompts == (MESSAGES, [{"role": "user", "content": "Bye"}])


@pytest.mark.slow
def test_a_streamed_dataset_and_one_of_several_splits_are_refused() -> None:
    """What has no end cannot be a plan; of several splits one must be named."""
    datasets = imported("datasets")
    whole = datasets.Dataset.from_dict({"prompt": ["One?"]})
    for wrong in (whole.to_iterable_dataset(), datasets.DatasetDict(train=whole)):
        with pytest.raises(SetupError):
            read(wrong)


def test_a_csv_file_is_a_table(tmp_path: Path) -> None:
    """By Path or by name; a comma and a line end inside quotes are part of the prompt, and `NA` is a text."""
    path = tmp_path / "questions.csv"
    path.write_text('\ufeffid,prompt\nq1,"One, or\ntwo?"\nq2,NA\n', encoding="utf-8")
    for given in (path, str(path)):
        found = read(given)
        assert (found.prompts, found.names) == (("One, or\ntwo?", "NA"), ("q1", "q2"))
        assert found.source == "2 prompts from questions.csv, column prompt"


def test_json_lines_of_messages_are_asked_up_to_what_the_user_said_last(tmp_path: Path) -> None:
    """The form of OpenAI's fine-tuning files: the recorded answer is left out, since it is what is asked for."""
    path = tmp_path / "chats.jsonl"
    path.write_text("\n\n".join(json.dumps({"messages": each}) for each in (ANSWERED, MESSAGES)))
    found = read(path)
    assert found.prompts == (MESSAGES, MESSAGES)
    assert found.source == "2 prompts from chats.jsonl, column messages"


@pytest.mark.parametrize("form", ["json", "lines", "bare"])
def test_sharegpt_files_become_messages(tmp_path: Path, form: str) -> None:
    """human and gpt are user and assistant; a conversation in which nobody asks is left out."""
    rows = [{"id": "c1", "conversations": SHAREGPT}, {"id": "c2", "conversations": [{"from": "gpt", "value": "Hi"}]}]
    path = tmp_path / "sharegpt.json"
    bare = [row["conversations"] for row in rows]
    text = "\n".join(map(json.dumps, rows)) if form == "lines" else json.dumps(rows if form == "json" else bare)
    path.write_text(text)
    found = read(path)
    assert found.prompts == (SAID,)
    assert found.names == (("c1",) if form != "bare" else ())
    assert "1 row left out" in found.source


def test_a_text_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    """A line ends where an editor ends it. Where it is not there, a text that ends in .txt may well be a question."""
    path = tmp_path / "questions.txt"
    path.write_text("One?\n\nTwo,\u2028or three?\n", encoding="utf-8")
    for given in (path, str(path)):
        assert read(given).prompts == ("One?", "Two,\u2028or three?")
    assert read(path).source.endswith("1 row left out, in which nothing is asked")  # the empty one between them
    assert read("What is in robots.txt").prompts == ("What is in robots.txt",)
    assert read("~nobody, what is " + "very " * 99 + "long.txt").prompts[0].startswith("~nobody")


def test_the_name_of_a_file_of_another_kind_is_no_question(tmp_path: Path) -> None:
    """Neither is it sent to a model, where it is there."""
    path = tmp_path / "questions.csv.gz"
    path.write_bytes(b"")
    with pytest.raises(SetupError, match=r"a kind that is not read here, questions\.csv\.gz"):
        read(str(path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "\ufeffID;Prompt\r\nq1;One, or two? 🐑\r\nq2;Three?\r\n"),
        ("a.csv", "ID\t Prompt \nq1\tOne, or two? 🐑\nq2\tThree?\n"),
        ("a.tsv", "prompt\nOne, or two? 🐑\nThree?\n"),
    ],
)
def test_tables_of_other_programs_are_read(tmp_path: Path, name: str, text: str) -> None:
    """With semicolons or tabs, as spreadsheets write them, and with columns in capitals."""
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert read(path).prompts == read(str(path)).prompts == ("One, or two? 🐑", "Three?")


@pytest.mark.parametrize("text", ["prompt\nHello, how are you?\n", "id,prompt\n1,Hello, how are you?\n2,Fine\n"])
def test_a_question_without_its_quotation_marks_is_not_cut(tmp_path: Path, text: str) -> None:
    """What stands behind its last comma is not what is asked."""
    path = tmp_path / "questions.csv"
    path.write_text(text)
    with pytest.raises(SetupError, match=r"line 2, saw \d \(a text with a separator in it stands in quotation marks"):
        read(path)


def test_a_column_that_is_there_twice_is_refused() -> None:
    """Its name alone would be read as the prompts."""
    with pytest.raises(SetupError, match="a DataFrame with 2 columns prompt: give one of them"):
        read(pd.DataFrame([["One?", "Two?"]], columns=["prompt", "prompt"]))


def test_batch_files_are_asked_by_their_messages(tmp_path: Path) -> None:
    """Of OpenAI's form, in which they stand in a body; they are called by their custom_id."""
    path = tmp_path / "batch.jsonl"
    lines = ({"custom_id": f"r{i}", "method": "POST", "body": {"model": "x", "messages": ANSWERED}} for i in (1, 2))
    path.write_text("\n".join(map(json.dumps, lines)))
    found = read(path)
    assert (found.prompts, found.names) == ((MESSAGES, MESSAGES), ("r1", "r2"))


def test_only_what_a_message_says_is_sent_of_a_file() -> None:
    """Users' addresses and ratings, as WildChat has them, go to no service; an empty turn is no question."""
    said = {"role": "user", "content": "Hi", "name": "Ann", "hashed_ip": "0f", "toxic": False, "timestamp": pd.NaT}
    rest = [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": " "}]
    found = read([{"conversation": [said, *rest]}, {"conversation": rest}])
    assert found.prompts == ([{"role": "user", "content": "Hi", "name": "Ann"}],)


def test_messages_in_a_cell_of_a_csv_are_messages(tmp_path: Path) -> None:
    """As JSON; what only looks like it is not sent as a question."""
    path = tmp_path / "chats.csv"
    pd.DataFrame({"messages": [json.dumps(ANSWERED), "Hi"]}).to_csv(path)
    assert read(path).prompts == (MESSAGES, "Hi")
    pd.DataFrame({"messages": [ANSWERED]}).to_csv(path)
    with pytest.raises(SetupError, match="messages that are no JSON in it"):
        read(path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "cannot be read as CSV"),
        ("a.jsonl", '{"prompt": "One?"}\n{"prompt": ', "line 2"),
        ("a.json", '{"prompt": "One?"}', "must be a list"),
        ("a.json", "[1, 2]", "with of type int in it"),
        ("a.jsonl", '{"query": "One?"}', "without a column of prompts.*but with query"),
        ("a.parquet", "", "a kind that is not read here"),
    ],
)
def test_a_file_that_holds_no_prompts_is_refused_in_a_sentence(tmp_path: Path, name: str, text: str, said: str) -> None:
    """It says which, and what is wrong with it."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SetupError, match=said):
        read(path)


def test_a_file_that_is_not_there_is_no_prompt() -> None:
    """A misspelt name is not sent to a model as a question."""
    with pytest.raises(SetupError, match=r"^There is no file questions\.csv in this folder: a prompt that ends so"):
        read("questions.csv")
    with pytest.raises(SetupError, match=r"^There is no file b\.jsonl in /nowhere"):
        read(Path("/nowhere/b.jsonl"))


@pytest.mark.slow
async def test_a_run_says_what_its_prompts_were_read_from(run: Run, tmp_path: Path, capsys: Any) -> None:
    """Before anything is sent, and in the notes; names and source are in the file, and not in the plan's hash."""
    path = tmp_path / "questions.csv"
    path.write_text("id,prompt\nq1,One?\nq2,Two?\n")
    result = await run(prompts=path)
    assert "2 prompts from questions.csv, column prompt; 2 requests" in capsys.readouterr().out
    assert "Asked: 2 prompts from questions.csv, column prompt." in result.notes
    assert result.plan.names == ("q1", "q2")
    same = await run(prompts=["One?", "Two?"], resume=result.path)
    assert len(same.records) == 2


@pytest.mark.slow
async def test_numbers_and_arrays_of_numpy_are_numbers_and_lists(run: Run) -> None:
    """In the door's own arguments, in fields of the request, and as models."""
    result = await run(
        models=pd.Series(["simulator:gpt-4.1#tokens=5"]),
        repeats=np.int64(1),
        warmup=np.int32(0),
        timeout=np.float32(30),
        cache=np.False_,
        limits={"ttft_ms": np.int64(500)},
        max_tokens=np.int64(3),
        parameters={"stop": np.array(["never"])},
    )
    assert result.plan.parameters == {"max_tokens": 3, "stop": ["never"]}
    assert [trial.error for trial in result.records] == [""]


@pytest.mark.parametrize(
    ("door", "given", "said"),
    [
        (hs.bench, {"concurency": 5}, "hs.bench does not know concurency: did you mean concurrency"),
        (hs.sweep, {"concurency": 5}, "hs.sweep does not know concurency: did you mean concurrencies"),
        (hs.sweep, {"concurencies": [5]}, "did you mean concurrencies"),
        (hs.sweep, {"path": 5}, "The path of a sweep is of type int"),
        (hs.bench, {"limits": {"tfft_ms": 5}}, "no limit tfft_ms: did you mean ttft_ms"),
        (hs.bench, {"timeout": Path("x")}, "timeout is of type PosixPath: give a number of seconds"),
        (hs.bench, {"parameters": {"stop": Path("x")}}, "stop of hs.bench is or holds what JSON has no form for"),
        (hs.bench, {"repeats": [1]}, "repeats is a list: give a whole number"),
    ],
)
async def test_wrong_input_is_one_sentence(door: Any, given: dict[str, Any], said: str) -> None:
    """With the nearest right name, and before anything is sent."""
    with pytest.raises(SetupError, match=said):
        await door("simulator:gpt-4.1", "Hello", **given)


async def test_load_refuses_what_is_no_path() -> None:
    """In words."""
    with pytest.raises(SetupError, match="The path of a run, a sweep, a search or a watch is of type int"):
        hs.load(5)  # type: ignore[arg-type]


async def test_the_history_is_a_workload(simulator: hs.Simulator) -> None:
    """What replies answered is asked again, each question once, also of models side by side and of a list of them."""
    replies = []
    async with hs.Client("simulator", base_url=simulator.url) as client:
        for text in ("One?", "Two?", "One?"):
            async with client.stream(text, model="gpt-4.1#tokens=2") as stream:
                async for _ in stream:
                    pass
            replies.append(stream.reply)
    asked = tuple([{"role": "user", "content": text}] for text in ("One?", "Two?"))
    assert read_prompts("hs.bench", deque(replies)).prompts == asked
    assert read_prompts("hs.bench", replies[:1]).prompts == asked[:1]
    assert "One?" not in repr(replies[0])


def test_a_part_of_many_prompts_is_chosen_at_random_and_always_the_same() -> None:
    """A search asks no more of 10,000 rows than it needs; a larger part holds a smaller one; turns stay together."""
    texts = {f"q{number:03}": f"Question {number}?" for number in range(1000)}
    frame = pd.DataFrame({"prompt": texts})
    whole = read(frame)
    some, more = whole.part(120), whole.part(240)
    assert (len(some.prompts), some.source) == (120, "120 of 1,000 prompts from a DataFrame, column prompt")
    assert set(some.prompts) < set(more.prompts)
    assert list(some.names) == sorted(some.names) != list(texts)[:120]
    assert whole.part(1000) is whole
    talks = read([hs.Conversation(["One?", "Two?", "Three?"]) for _ in range(50)]).part(10)
    assert [turn.number for turn in talks.prompts] == [0, 1, 2] * 4
    assert talks.repeats(12, users=10) == 3
