"""Panels in real kernels: beside other cells, over subshells, displayed, saved, closed, shut down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import ipykernel
import kernels
import pytest
from pages import KernelPage, opened

from holystream_nb import Simulator

pytestmark = pytest.mark.slow

NEW = "import holystream_nb as hs, time, threading\npanel = hs.ChatPanel({model!r})\npanel"

WAIT = "end = time.monotonic() + 15\nwhile not ({}) and time.monotonic() < end: time.sleep(0.02)\nprint({})"
"""The main thread is blocked until something is so, which a panel's loop alone can bring about, or for 15 s."""

SUBSHELLS = pytest.mark.skipif(ipykernel.version_info < (7,), reason="this ipykernel has no subshells")


def new(model: str = "gpt-4.1#tokens=8") -> str:
    return NEW.format(model=model)


@pytest.fixture(scope="module")
def kernel() -> Iterator[kernels.Kernel]:
    with kernels.kernel() as running:
        yield running


def copies(page: KernelPage) -> list[dict[str, Any]]:
    """The displays of the saved copy, the first and its updates."""
    return [each for each in page.displays if "text/markdown" in each["data"]]


def asked_and_stopped(page: KernelPage) -> None:
    """The reader asks and stops while a cell computes, which sees it."""
    cell = page.start(WAIT.replace("{}", "'stopped' in panel.to_markdown()"))
    page.send(kind="send", text="Hello")
    page.until(lambda: len(page.of("turn")) > 5)
    page.send(kind="stop")
    page.until(lambda: cell in page.idle)
    assert page.printed[-1] == (cell, "True\n")


def test_a_panel_streams_beside_a_cell_that_computes(kernel: kernels.Kernel) -> None:
    """Whole and in order, while the main thread does nothing but sleep; the program hears of it afterwards."""
    with opened(kernel, new("gpt-4.1#tokens=40,rate=100,numbered")) as page:
        answered = WAIT.replace("{}", "question.is_answered")
        cell = page.run(f"question = panel.send('Count')\n{answered}; was = panel.is_streaming")
        page.until(lambda: not page.state["is_streaming"])
        assert (cell, "True\n") in page.printed
        assert page.text() == "".join(f"{n} " for n in range(40))
        assert page.state["total"].startswith("1 request")
        page.run("print(was, panel.is_streaming, question.is_answered, len(panel.messages))")
        assert page.printed[-1][1] == "True False True 2\n"


@SUBSHELLS
def test_a_reader_asks_and_stops_while_a_cell_computes(kernel: kernels.Kernel) -> None:
    """JupyterLab sends what a widget says over a subshell; ipykernel 7.3 and 7.4 hear it there."""
    with opened(kernel, new("gpt-4.1#rate=50,tokens=1000")) as page:
        page.open_subshell()
        page.run("warm = 1")
        asked_and_stopped(page)
        page.until(lambda: not page.state["is_streaming"])
        states = [each["message"].get("state") for each in page.of("turn")]
        assert [state for state in states if state][-1] == "stopped"


SLOWLY = """
import threading
def slow(*arguments, real=get_ipython().kernel.session.send, **options):
    if threading.current_thread() is not threading.main_thread():
        time.sleep(0.03)
    return real(*arguments, **options)
get_ipython().kernel.session.send = slow
"""


@SUBSHELLS
def test_a_reader_stops_while_a_cell_computes_and_the_panel_sends_without_a_pause() -> None:
    """What comes while the panel is sending goes to the reader's subshell too; ipykernel 7.4 would let it wait."""
    with kernels.kernel() as running, opened(running, new("gpt-4.1#rate=200,tokens=4000")) as page:
        page.open_subshell()
        page.run(SLOWLY)
        asked_and_stopped(page)


def test_a_late_word_to_a_closed_panel_prints_nothing(kernel: kernels.Kernel) -> None:
    """It may be on its way while the panel is closed: the reader of some cell is not told of it."""
    with opened(kernel, new()) as page:
        page.run("panel.close()")
        page.send(kind="have", seq=1, told=1, at=1)
        page.run("time.sleep(0.2)")
        assert [text for _, text in page.printed if "comm" in text] == []
        page.comm_id = "of nobody"
        page.send(kind="have")
        page.run("time.sleep(0.2)")
        assert any("No such comm: of nobody" in text for _, text in page.printed)


@SUBSHELLS
def test_a_reader_stops_what_the_program_asked_for_while_it_computes(kernel: kernels.Kernel) -> None:
    """What the panel sends never calls the page's messages back to the main thread (ipykernel 7.4 would)."""
    with opened(kernel, new("gpt-4.1#rate=50,tokens=1000")) as page:
        page.open_subshell()
        answered = WAIT.replace("{}", "question.is_answered")
        cell = page.start(f"question = panel.send('Hello'); panel.system = 'x'\n{answered}")
        page.until(lambda: len(page.of("turn")) > 5)
        page.send(kind="stop")
        page.until(lambda: cell in page.idle)
        assert page.printed[-1] == (cell, "True\n")
        page.until(lambda: not page.state["is_streaming"])


@pytest.mark.skipif(ipykernel.version_info < (7, 4), reason="hears no comm on the main thread while a cell awaits")
def test_clicks_arrive_while_a_cell_awaits(kernel: kernels.Kernel) -> None:
    """Without subshells too."""
    with opened(kernel, new("gpt-4.1#stall=30,after=3")) as page:
        cell = page.start("reply = await panel.send('Hello'); print(reply.finish_reason)")
        page.until(lambda: page.text())
        page.send(kind="stop")
        page.until(lambda: cell in page.idle)
        assert page.printed[-1] == (cell, "stopped\n")


@SUBSHELLS
def test_a_call_is_allowed_and_runs_while_a_cell_computes(kernel: kernels.Kernel) -> None:
    """On the panels' thread, a sync function in one of its own; the card and the saved copy have what it returned."""
    code = (
        "import holystream_nb as hs, time\n"
        "def get_weather(city: str) -> str:\n    return f'blue over {city}'\n"
        "panel = hs.ChatPanel('gpt-4.1', tools=[get_weather])\npanel"
    )
    with opened(kernel, code) as page:
        page.open_subshell()
        cell = page.start(WAIT.replace("{}", "'blue over Paris' in panel.to_markdown()"))
        page.send(kind="send", text="Use get_weather, Paris")

        def states() -> list[str]:
            found = [message["message"].get("calls", []) for message in page.of("turn")]
            return [call["state"] for calls in found for call in calls]

        page.until(lambda: "asking" in states())
        consent = {"kind": "consent", "lane": 0, "call": 0, "answer": "allow"}
        page.send(kind="turn", turn=page.of("added")[-1]["turn"]["id"], message=consent)
        page.until(lambda: cell in page.idle)
        assert page.printed[-1] == (cell, "True\n")
        page.until(lambda: not page.state["is_streaming"])
        assert states()[-1] == "done"
        page.until(lambda: "blue over Paris" in copies(page)[-1]["data"]["text/plain"])


def test_an_interrupt_of_an_awaited_question_is_one_line(kernel: kernels.Kernel) -> None:
    """What a stopped %%stream shows, and no traceback; the answer is stopped, and what arrived stays."""
    with opened(kernel, new("gpt-4.1#stall=30,after=3")) as page:
        cell = page.start("await panel.send('Hello')")
        page.until(lambda: page.text())
        kernel.interrupt()
        page.until(lambda: cell in page.idle)
        assert page.printed[-1] == (cell, "KeyboardInterrupt: stopped; what had arrived is kept.")
        page.until(lambda: not page.state["is_streaming"])
        page.run("print(panel.messages[-1]['state'], bool(panel.messages[-1]['content']))")
        assert page.printed[-1][1] == "stopped True\n"


def test_the_copy_under_the_panel_is_brought_up_to_date_when_a_turn_ends(kernel: kernels.Kernel) -> None:
    """By its display id, whoever asked; no prompt in its metadata."""
    with opened(kernel, new()) as page:
        first = copies(page)[0]
        assert first["kind"] == "display_data"
        assert "Saved copy · 0 questions" in first["data"]["text/markdown"]
        page.run("await panel.send('Kangaroos?')")
        page.send(kind="send", text="Wallabies?")
        page.until(lambda: len(copies(page)) == 3)
        last = copies(page)[-1]
        assert last["kind"] == "update_display_data"
        assert last["transient"] == first["transient"]
        assert "Kangaroos?" in last["data"]["text/markdown"]
        assert "Wallabies?" in last["data"]["text/plain"]
        records = last["metadata"]["holystream"]["answers"]
        assert [record["model"] for record in records] == ["gpt-4.1#tokens=8"] * 2
        assert all(record["simulated"] for record in records)
        assert "Wallabies" not in str(last["metadata"])


def test_callbacks_run_on_the_main_thread_and_print_into_a_sensible_cell(kernel: kernels.Kernel) -> None:
    """The cell that asked; for a reader's question, the cell that registered the callback."""
    with opened(kernel, new()) as page:
        page.run("print('before')")
        registered = page.run(
            "@panel.on_reply\n"
            "def told(reply):\n"
            "    print(threading.current_thread() is threading.main_thread(), reply.finish_reason)"
        )
        asked = page.run("reply = await panel.send('Hello')")
        page.until(lambda: (asked, "True length\n") in page.printed or (asked, "True stop\n") in page.printed)
        page.send(kind="send", text="Hello")
        page.until(lambda: page.printed[-1][0] == registered)
        assert page.printed[-1][1].startswith("True ")


def test_a_reloaded_page_gets_everything_and_is_told_that_its_copy_is_stale(kernel: kernels.Kernel) -> None:
    """And goes on streaming."""
    with opened(kernel, new("gpt-4.1#tokens=40,rate=60")) as page:
        assert page.state["stale"] == []
        page.send(kind="send", text="Hello")
        page.until(lambda: page.text())
        page.send(kind="ready", page="another")
        page.until(lambda: len(page.of("conversation")) == 2)
        keyframe = page.of("conversation")[1]["turns"][0]["keyframe"]
        assert keyframe["lanes"][0]["text"]
        page.until(lambda: not page.state["is_streaming"])
        numbers = [each["message"]["seq"] for each in page.of("turn")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert page.state["stale"] == ["another"]


def test_what_the_page_sets_the_program_reads_and_the_other_way_round(kernel: kernels.Kernel) -> None:
    """Models and settings."""
    with opened(kernel, new()) as page:
        page.send(kind="set", models=["gpt-4.1#tokens=3", "deepseek-v3.2#tokens=3"], temperature=0.25)
        page.until(lambda: page.state["title"].endswith("deepseek-v3.2#tokens=3"))
        page.run("print(panel.models, panel.temperature)")
        assert page.printed[-1][1] == "['gpt-4.1#tokens=3', 'deepseek-v3.2#tokens=3'] 0.25\n"
        page.run("panel.model = 'gpt-4o'; panel.system = 'Be terse.'")
        assert (page.state["models"], page.state["system"]) == (["gpt-4o"], "Be terse.")
        page.send(kind="set", max_tokens=0)
        page.until(lambda: page.of("said"))
        page.until(lambda: page.state["max_tokens"] is None)


def test_the_picker_knows_the_models_without_asking_anybody(kernel: kernels.Kernel) -> None:
    """A moment after the panel was displayed; of providers without a key, none."""
    with opened(kernel, new()) as page:
        page.until(lambda: page.state["catalogue"])
        assert {entry["provider"] for entry in page.state["catalogue"]} == {"simulator"}
        assert page.state["catalogue"][0]["value"] == "deepseek-v3.2"
        assert page.state["catalogue"][0]["provider"] == "simulator"


@pytest.mark.parametrize(
    "closing", ["panel.close()", "panel.widget.close()", "import ipywidgets; ipywidgets.Widget.close_all()", ""]
)
def test_a_closed_widget_stops_its_stream(kernel: kernels.Kernel, closing: str) -> None:
    """Closed by the program, by ipywidgets, or by the page's end of the comm; the conversation is kept."""
    with opened(kernel, new("gpt-4.1#stall=30,after=3")) as page:
        page.run("question = panel.send('Hello')")
        page.until(lambda: page.text())
        if closing:
            page.run(closing)
        else:
            client = kernel.client
            client.shell_channel.send(client.session.msg("comm_close", {"comm_id": page.comm_id, "data": {}}))
        page.run("reply = await question; print(reply.finish_reason, len(panel.messages), panel.messages[1]['state'])")
        assert page.printed[-1][1] == "stopped 2 stopped\n"


def test_a_closed_panel_leaves_a_line_and_its_copy(kernel: kernels.Kernel) -> None:
    """A file with a closed widget would show an error in its place."""
    with opened(kernel, new()) as page:
        shown = page.displays[0]
        assert "saved copy is below" in shown["data"]["text/plain"]
    page.until(lambda: page.displays[-1]["kind"] == "update_display_data")
    assert page.displays[-1]["transient"] == shown["transient"]
    assert page.displays[-1]["data"] == {"text/plain": "Chat panel of gpt-4.1#tokens=8, closed."}


def test_without_a_person_there_is_no_widget_but_an_open_copy(kernel: kernels.Kernel) -> None:
    """As nbclient, papermill and nbval run it."""
    shown = kernel.run(new(), watched=False)
    assert shown.all("comm_open") == []
    assert shown.markdown.startswith("<details open>")
    asked = kernel.run("reply = await panel.send('Kangaroos?')", watched=False)
    assert asked.all("update_display_data")[0]["transient"] == shown.all("display_data")[0]["transient"]
    assert "Kangaroos?" in asked.markdown
    assert kernel.run("panel.close()", watched=False).error == ""


def test_a_failing_question_fails_the_cell_that_awaits_it(kernel: kernels.Kernel) -> None:
    """And stands in the copy."""
    ran = kernel.run(
        "import holystream_nb as hs\np = hs.ChatPanel('nonsense')\ndisplay(p)\nawait p.send('x')", watched=False
    )
    assert "UnknownModel" in ran.error
    assert "nonsense" in ran.markdown


def test_an_interrupt_of_the_cell_that_awaits_stops_the_answer(kernel: kernels.Kernel) -> None:
    """■ stops the bill."""
    with opened(kernel, new("gpt-4.1#stall=30,after=3")) as page:
        cell = page.start("await panel.send('Hello')")
        page.until(lambda: page.text())
        kernel.interrupt()
        page.until(lambda: cell in page.idle and not page.state["is_streaming"])
        page.run("print(panel.messages[1]['state'])")
        assert page.printed[-1][1] == "stopped\n"


def test_a_kernel_that_shuts_down_leaves_nothing_running(simulator: Simulator) -> None:
    """The service sees the connection close."""
    with kernels.kernel() as own:
        own.run(
            "import holystream_nb as hs, threading\n"
            f"panel = hs.ChatPanel('gpt-4.1#rate=50,tokens=100000', base_url={simulator.url!r})\n"
            "question = panel.send('Hello')\n"
            "import asyncio\n"
            "while not list(question.replies.values())[0].text: await asyncio.sleep(0.01)"
        )
        printed = own.run("print(list(question.replies.values())[0].request_id)").printed
        started = time.monotonic()
        own.client.shutdown()
        while own.manager.is_alive() and time.monotonic() - started < 10:
            time.sleep(0.05)
        assert not own.manager.is_alive()
    record = simulator.record(printed.strip())
    assert record["outcome"] == "disconnected"
