"""Where an answer is asked for, as real kernels say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kernels
import pytest

from holystream_nb.journal.journal import journal
from holystream_nb.journal.values import Origin
from holystream_nb.live.where import notice, origin, whole_path

ASK = "from dataclasses import asdict\nfrom holystream_nb.live.where import origin\nimport json, asyncio, threading\n"


def run_as(kernel: kernels.Kernel, code: str, cell: str) -> tuple[str, kernels.Ran]:
    """Runs it as a front-end does that names its cells; the message's id, and what came."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    message = kernel.client.session.msg("execute_request", {**content, "stop_on_error": True})
    message["metadata"] = {"cellId": cell}
    kernel.client.shell_channel.send(message)
    return message["header"]["msg_id"], kernel.finish(message["header"]["msg_id"])


def told(ran: kernels.Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.printed.splitlines()]


def test_what_is_said_of_the_journal_names_no_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A line that is printed is saved with the notebook; where everything is at home, nothing is replaced."""
    for home, said in ((str(tmp_path), "in ~/j."), ("/", f"in {tmp_path}/j.")):
        monkeypatch.setenv("HOME", home)
        monkeypatch.setattr(journal, "notice", lambda: f"in {tmp_path}/j.")
        assert notice() == said


def test_a_notebook_that_was_renamed_or_moved_has_the_path_that_its_page_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where there is such a file; else what the kernel was begun with."""
    (tmp_path / "b").mkdir()
    for name in ("a.ipynb", "b/new.ipynb"):
        (tmp_path / name).touch()
    own = str(tmp_path / "b" / "old.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", own)
    assert whole_path("b/old.ipynb") == own
    assert whole_path("b/new.ipynb") == str(tmp_path / "b" / "new.ipynb")
    assert whole_path("a.ipynb") == str(tmp_path / "a.ipynb")
    assert whole_path("nowhere.ipynb") == own
    assert whole_path("") == own


def test_outside_a_kernel_there_is_no_cell() -> None:
    """A script's answer has a door and nothing else."""
    assert origin("python", "talk") == Origin("python", conversation="talk")


@pytest.mark.slow
def test_an_origin_is_the_cell_that_asks_also_from_a_task_that_outlives_it_and_from_a_thread() -> None:
    """Tasks of two cells that run at once, while a third runs, each name their own."""
    later = "async def later():\n await asyncio.sleep(0.3)\n found.append(asdict(origin('cell')))\n"
    task = f"{later}t = asyncio.create_task(later())"
    with kernels.kernel(JPY_SESSION_NAME="/home/ann/Talk.ipynb") as kernel:
        ids = [
            run_as(kernel, f"{ASK}found = []\n{task}", "one")[0],
            run_as(kernel, task.replace("t =", "u ="), "two")[0],
            run_as(kernel, "await asyncio.sleep(0.8)\nfound.append(asdict(origin('cell')))", "three")[0],
        ]
        inside = "threading.Thread(target=lambda: found.append(asdict(origin('python')))).start()"
        ids.append(run_as(kernel, inside, "four")[0])
        found = told(kernel.run("for each in found: print(json.dumps(each))"))
    assert [(each["cell"], each["execution"]) for each in found] == list(
        zip(["one", "two", "three", "four"], ids, strict=True)
    )
    assert {each["notebook"] for each in found} == {"/home/ann/Talk.ipynb"}
    assert len({each["kernel"] for each in found}) == 1
    assert found[0]["kernel"]


@pytest.mark.slow
def test_the_notebook_is_what_vs_code_says_and_a_front_end_without_cell_ids_names_none() -> None:
    """VS Code puts the path into a variable; the console's cells have no id."""
    with kernels.kernel() as kernel:
        code = f"__vsc_ipynb_file__ = '/w/v.ipynb'\n{ASK}print(json.dumps(asdict(origin('cell'))))"
        (found,) = told(kernel.finish(kernels.send(kernel.client, code, allow_stdin=True, metadata={})))
    assert found["notebook"] == "/w/v.ipynb"
    assert found["cell"] == ""
