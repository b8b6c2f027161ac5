"""A panel's name: its conversation goes on where its cell is run again, after a restart and after a `kill -9`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kernels
import pytest

from holystream_nb.journal.journal import Journal

pytestmark = pytest.mark.slow

MODEL = "gpt-4.1#tokens=8"
CELL = f"import holystream_nb as hs\npanel = hs.ChatPanel({MODEL!r})\npanel"


@contextmanager
def kernel(notebook: str = "work/a.ipynb", **variables: str) -> Iterator[kernels.Kernel]:
    """A kernel of a notebook, which writes down what there is before it is killed."""
    with kernels.kernel(JPY_SESSION_NAME=notebook, **variables) as running:
        yield running
        if running.manager.is_alive():
            running.run("from holystream_nb.journal.journal import journal; journal.flush()")


def run(kernel: kernels.Kernel, code: str, cell: str = "one") -> kernels.Ran:
    """Runs a cell as JupyterLab does, with its id."""
    client = kernel.client
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    message = client.session.msg("execute_request", content, metadata={"cellId": cell})
    client.shell_channel.send(message)
    return kernel.finish(message["header"]["msg_id"])


def told(kernel: kernels.Kernel, expression: str) -> Any:
    ran = kernel.run(f"import json; print(json.dumps({expression}))")
    assert not ran.error, ran.error
    return json.loads(ran.printed.splitlines()[-1])


QUESTIONS = "[message['content'] for message in panel.messages if message['role'] == 'user']"


def test_after_a_restart_the_cell_goes_on_with_everything() -> None:
    """Questions, answers, figures, the choice, settings set on the page, what was spent."""
    models = f"models=[{MODEL!r}, 'deepseek-v3.2#tokens=5']"
    cell = f"import holystream_nb as hs\npanel = hs.ChatPanel({models})\npanel"
    state = "[panel.messages, panel.models, panel.system, panel.temperature, panel.usage.completion_tokens]"
    with kernel() as first:
        run(first, cell)
        first.run("await panel.send('One'); panel.choose('deepseek-v3.2#tokens=5'); await panel.send('Two')")
        first.run("panel.system = 'Be terse.'; panel.temperature = 0.25")
        before = told(first, state)
    with kernel() as second:
        shown = run(second, cell)
        assert told(second, state) == before
        assert "Saved copy · 2 questions" in shown.markdown
        second.run("await panel.send('Three')")
        assert told(second, QUESTIONS) == ["One", "Two", "Three"]
        sent = told(second, "[message['content'] for message in panel.to_messages()][:2]")
        assert sent == ["Be terse.", "One"]


def test_an_argument_that_was_changed_in_the_code_wins() -> None:
    """What the reader has set holds as long as the code says what it said."""
    with kernel() as first:
        run(first, CELL)
        first.run("panel.system = 'Sing.'; panel.temperature = 0.5")
    with kernel() as second:
        run(second, CELL.replace("panel = hs.ChatPanel(", "panel = hs.ChatPanel(temperature=1.5, model="))
        assert told(second, "[panel.model, panel.system, panel.temperature]") == [MODEL, "Sing.", 1.5]


def test_a_killed_kernel_leaves_the_partial_answer() -> None:
    """Marked; and the conversation goes on from it."""
    cell = CELL.replace("tokens=8", "numbered,tokens=4000,rate=100")
    with kernel() as first:
        run(first, cell)
        first.run(
            "import asyncio, os, signal\n"
            "question = panel.send('Count')\n"
            "while len(list(question.replies.values())[0].text) < 300: await asyncio.sleep(0.05)\n"
            "await asyncio.sleep(0.8)"
        )
        first.client.execute("os.kill(os.getpid(), signal.SIGKILL)")
        first.manager.provisioner.process.wait(10)
    with kernel() as second:
        shown = run(second, cell)
        [asked, answer] = told(second, "panel.messages")
        assert asked["content"] == "Count"
        assert answer["state"] == "lost"
        numbers = [int(word) for word in answer["content"].split()]
        assert numbers[:-1] == list(range(len(numbers) - 1))
        assert len(answer["content"]) >= 300
        assert "interrupted: the kernel ended" in shown.markdown
        assert told(second, "panel.is_streaming") is False
        second.run(f"panel.model = {MODEL!r}\nawait panel.send('More')")
        assert told(second, "[message['role'] for message in panel.to_messages()]") == ["user", "assistant"] * 2


def test_what_is_forgotten_is_gone_from_its_conversation_too(journal_folder: Path) -> None:
    """A turn that the user has erased is a mark in the panel of the next kernel, which goes on."""
    with kernel() as first:
        run(first, CELL.replace("tokens=8", "numbered,tokens=300"))
        first.run("await panel.send('One'); await panel.send('To forget'); await panel.send('Three')")
    (answer,) = Journal().answers(words="forget")
    with kernel() as second:
        run(second, CELL)
        second.run("await panel.send('Four')")
    assert Journal().forget([answer.id]) == 1
    assert b"To forget" not in b"".join(each.read_bytes() for each in journal_folder.iterdir())
    with kernel() as third:
        run(third, CELL)
        assert told(third, QUESTIONS) == ["One", "[forgotten]", "Three", "Four"]
        assert told(third, "panel.messages[3]['content']") == "[forgotten]"
        third.run("await panel.send('Five')")
        assert told(third, "[each['role'] for each in panel.to_messages()]") == ["user", "assistant"] * 5


def test_a_cell_run_five_times_leaves_one_widget() -> None:
    """Its conversation goes on, and the running answer with it."""
    with kernel() as running:
        run(running, CELL)
        running.run("old = panel; await panel.send('One')")
        running.run("panel.model = 'gpt-4.1#numbered,tokens=60,rate=40'; question = panel.send('Two')")
        for _ in range(4):
            run(running, CELL)
        names = "[type(each).__name__ for each in __import__('ipywidgets').widgets.widget._instances.values()]"
        assert sorted(told(running, names)) == ["LayoutModel", "PanelView"] or sorted(told(running, names)) == [
            "Layout",
            "PanelView",
        ]
        assert told(running, QUESTIONS) == ["One", "Two"]
        assert told(running, "[panel.is_streaming, old.is_streaming]") == [True, False]
        running.run("reply = await question")
        assert told(running, "panel.messages[-1]['content'].split()") == [f"{n}" for n in range(60)]
        assert "This panel is closed" in running.run("old.send('Three')").error


def test_a_cell_s_panels_and_other_cells_keep_apart() -> None:
    """The second panel of a cell has a number; a copy of the notebook begins with nothing."""
    two = f"import holystream_nb as hs\none, two = hs.ChatPanel({MODEL!r}), hs.ChatPanel({MODEL!r})"
    asked = "[[m['content'] for m in p.messages[::2]] for p in (one, two, panel)]"
    with kernel() as first:
        run(first, two, "pair")
        run(first, CELL)
        first.run("await one.send('1'); await two.send('2'); await panel.send('3')")
    with kernel() as again:
        run(again, CELL)
        run(again, two, "pair")
        assert told(again, asked) == [["1"], ["2"], ["3"]]
    with kernel("work/copy.ipynb") as copied:
        run(copied, CELL)
        assert told(copied, QUESTIONS) == []


def test_a_given_name_goes_on_in_any_cell() -> None:
    """Of the same notebook; the panel that had it says where it went."""
    named = "import holystream_nb as hs\npanel = hs.ChatPanel(name='notes', model='gpt-4.1#tokens=8')\npanel"
    with kernel() as running:
        run(running, named, "one")
        running.run("await panel.send('One')")
        moved = run(running, named, "two")
        assert told(running, QUESTIONS) == ["One"]
        left = [each["data"] for each in moved.all("update_display_data")]
        assert {"text/plain": "Chat panel of gpt-4.1#tokens=8 goes on in another cell."} in left


def test_a_new_conversation_keeps_the_one_before() -> None:
    """Under a name that is said, and that opens it."""
    with kernel() as running:
        run(running, CELL)
        running.run("await panel.send('One'); panel.reset()")
        assert told(running, QUESTIONS) == []
        running.run("await panel.send('Two')")
    with kernel() as again:
        run(again, CELL)
        assert told(again, QUESTIONS) == ["Two"]
        names = kernel_names(again)
        [name] = [each for each in names if each != "panel one"]
        run(again, f"panel = hs.ChatPanel(name={name.removeprefix('panel ')!r})", "other")
        assert told(again, QUESTIONS) == ["One"]


def kernel_names(kernel: kernels.Kernel) -> list[str]:
    """What the journal calls its conversations."""
    code = (
        "import sqlite3, pathlib\n"
        "from holystream_nb.journal.journal import journal\n"
        "from holystream_nb.journal.file import ENDING\n"
        "journal.flush()\n"
        "print([row[0] for file in journal.settings.path.iterdir() if file.suffix == ENDING "
        "for row in sqlite3.connect(file).execute('SELECT name FROM conversations')])"
    )
    ran = kernel.run(code)
    assert not ran.error, ran.error
    return list(set(eval(ran.printed)))


def test_without_a_journal_the_cell_begins_anew_after_a_restart() -> None:
    """And goes on while its kernel lives."""
    with kernel(HOLYSTREAM_JOURNAL="0") as first:
        shown = run(first, CELL)
        first.run("await panel.send('One')")
        run(first, CELL)
        assert told(first, QUESTIONS) == ["One"]
        states = [each["data"]["state"] for each in shown.all("comm_open")]
        assert [state["is_kept"] for state in states if "is_kept" in state] == [False]
    with kernel(HOLYSTREAM_JOURNAL="0") as second:
        run(second, CELL)
        assert told(second, QUESTIONS) == []


def test_a_loaded_file_wins_and_what_was_said_is_kept(tmp_path: Any) -> None:
    """Under another name."""
    file = str(tmp_path / "talk.json")
    with kernel() as running:
        run(running, CELL)
        running.run(f"await panel.send('One'); panel.save({file!r}); await panel.send('Two')")
        run(running, f"panel = hs.ChatPanel.load({file!r})")
        assert told(running, QUESTIONS) == ["One"]
        assert len(kernel_names(running)) == 2


def test_a_notebook_that_runs_without_a_person_begins_with_nothing() -> None:
    """Nobody says which cell runs: nbclient, papermill, nbval, Voila."""
    for _ in range(2):
        with kernel() as running:
            running.run(CELL, watched=False)
            assert told(running, QUESTIONS) == []
            running.run("await panel.send('One')", watched=False)
