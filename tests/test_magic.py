"""%%stream in real kernels: options, the awaited cell, nesting, interrupts, what is saved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import kernels
import pytest
from IPython.core.interactiveshell import InteractiveShell

from holystream_nb import Simulator
from holystream_nb.errors import SetupError
from holystream_nb.magic import Options, awaited, code, interpolated, parse


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    with kernels.kernel() as running:
        running.run("import holystream_nb as hs")
        yield running


# The option line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Options()),
        ("-m gpt-4.1 --as answer", Options(("gpt-4.1",), name="answer")),
        ("-m a -m openai:b --chat talk", Options(("a", "openai:b"), chat="talk")),
        ("-s 'You are terse. Don\"t explain.'", Options(system='You are terse. Don"t explain.')),
        ("-t 0.2 -n 50", Options(parameters={"temperature": 0.2, "max_tokens": 50})),
        (
            """-p seed=7 -p 'stop=["END"]' --param top_p=0.5""",
            Options(parameters={"seed": 7, "stop": ["END"], "top_p": 0.5}),
        ),
        ("--base-url http://127.0.0.1:8000/v1 --timeout 3", Options((), "http://127.0.0.1:8000/v1", timeout=3.0)),
        ("-f json --max-cost 0.002", Options(format="json", max_cost=Decimal("0.002"))),
        ("--transport auto", Options(transport="auto")),
        ("-m '{1+1} $HOME'", Options(("{1+1} $HOME",))),
        (
            "--key-variable MY_KEY --inactivity 240 --progress-timeout 900",
            Options(key_variable="MY_KEY", inactivity=240.0, progress_timeout=900.0),
        ),
    ],
)
def test_the_option_line_is_read_once_into_a_value(line: str, expected: Options) -> None:
    """Quoting works, and nothing in the line is evaluated."""
    assert parse(line) == expected


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("--foo", "--foo"),
        ("--mod gpt-4.1", "--mod"),
        ("-t warm", "warm"),
        ("-n 0", "--max-tokens 0"),
        ("--timeout 0", "--timeout 0"),
        ("--timeout nan", "--timeout nan"),
        ("-f html", "html"),
        ("--transport http3", "http3"),
        ("--max-cost 0", "--max-cost 0"),
        ("--max-cost nan", "--max-cost"),
        ("--max-cost cheap", "cheap"),
        ("-f code -m a -m b", "one -m"),
        ("--as 2x", "2x"),
        ("--as class", "class"),
        ("-p seed", "seed"),
        ("-p seed=seven", "seven"),
        ('-p thinking={"type":"enabled"}', r"""write it in quotes, -p 'thinking=\{"…"\}'"""),
        ("-s 'unclosed", "quotation"),
        ("stray", "stray"),
        ("-m ''", "names no model"),
        ("--timeout inf", "--timeout inf"),
        ("--inactivity 0", "--inactivity 0"),
        ("--progress-timeout -1", "--progress-timeout -1"),
        ("--base-url nowhere", "must begin with https"),
        ('-p model="gpt-4o"', "model cannot be in the parameters of %%stream"),
        ('-p prompt="Hi"', "prompt cannot be"),
        ("-p messages=[]", "messages cannot be"),
        ("-p stream=false", "stream cannot be"),
        ("-p retries=3", r"hs\.configure"),
        ('-p api_key="x"', "would go into the request's body"),
        ('-p authorization="x"', "would go into the request's body"),
    ],
)
def test_what_is_unknown_is_refused_by_name(line: str, named: str) -> None:
    """An option or value that cannot be is named in one sentence."""
    with pytest.raises(SetupError, match=named):
        parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "--api-key hs_live_0123456789abcdef",
        "hs_live_0123456789abcdef",
        "--key-variable hs_live_0123456789abcdef",
        "--key-variable 0123456789abcdef",
        "-p api_key=0123456789abcdef",
        '-p \'metadata={"note": "hs_live_0123456789abcdef"}\'',
        "-s 'Authorization: Bearer 0123456789abcdef'",
        "--base-url https://0123456789abcdef@a.example/v1",
        "-m hs_live_0123456789abcdef",
    ],
)
def test_a_key_in_the_option_line_is_refused_and_not_repeated(line: str) -> None:
    """The line is saved with the notebook; the name of a variable is enough."""
    with pytest.raises(SetupError) as caught:
        parse(line)
    assert "0123456789abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        ["x = 1\n"],
        ["get_ipython().run_cell_magic('time', '', 'x')\n"],
        ["get_ipython().run_cell_magic('stream', '', 'x'); x = 1\n"],
        ["get_ipython().run_cell_magic('stream', '', f())\n"],
        ["get_ipython().run_cell_magic('stream'\n"],
        [],
    ],
)
def test_other_cells_are_left_as_they_are(lines: list[str]) -> None:
    """Only the magic's own call, alone in its cell, may be rewritten."""
    assert awaited(lines) == lines


def test_an_answer_that_is_continued_is_an_awaited_cell(kernel: Any) -> None:
    """■ works there as in %%stream; other line magics are called as ever."""
    tried = (
        "from holystream_nb.magic import awaited\nimport holystream_nb.magic as m\nwas = m._is_nested\n"
        "m._is_nested = lambda: False\ncall = \"get_ipython().run_line_magic('stream', {!r})\\n\"\n"
        "print([awaited([call.format(line)])[0].startswith('await ') for line in ('continue 2', 'last', '')])\n"
        "m._is_nested = was"
    )
    assert kernel.run(tried).printed == "[True, False, False]\n"


def test_a_cell_that_is_read_outside_ipython_makes_no_shell_there() -> None:
    """Whoever came after it in that process was taken for a user of IPython."""
    awaited(["get_ipython().run_cell_magic('stream', '', 'x')\n"])
    assert not InteractiveShell.initialized()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Summarise {notes}.", "Summarise two words."),
        ("{notes}{notes}", "two wordstwo words"),
        ("{unknown} {}", "{unknown} {}"),
        (
            "{notes.upper()} {notes[0]} {notes!r} {notes:>9} {1+1}",
            "{notes.upper()} {notes[0]} {notes!r} {notes:>9} {1+1}",
        ),
        ('{"notes": {"a": 1}}', '{"notes": {"a": 1}}'),
        ("f() { return x; }", "f() { return x; }"),
        ("{größe}", "12"),
    ],
)
def test_only_plain_names_are_interpolated(text: str, expected: str) -> None:
    """Names of variables, nothing that is evaluated; unknown names, JSON and code stay."""
    assert interpolated(text, {"notes": "two words", "größe": 12}) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Here:\n```python\nx = 1\n```\nand\n~~~\ny = 2\n~~~\n", "x = 1\n\ny = 2"),
        ("````\n```\nnested\n```\n````", "```\nnested\n```"),
        ("x = 1", "x = 1"),
    ],
)
def test_the_code_of_an_answer_is_what_stands_in_fences(answer: str, expected: str) -> None:
    """All fenced blocks in order, or the whole answer."""
    assert code(answer) == expected


# In a kernel


@pytest.mark.slow
def test_the_help_explains_the_options(kernel: Any) -> None:
    """%%stream? shows every option with its help."""
    shown = kernel.run("%%stream?").reply["payload"][0]["data"]["text/plain"]
    for option in (
        "--model",
        "--system",
        "--temperature",
        "--max-tokens",
        "--param",
        "--as",
        "--base-url",
        "--timeout",
    ):
        assert option in shown


@pytest.mark.slow
def test_a_cell_streams_and_ends_as_plain_markdown(kernel: Any) -> None:
    """A live view first, replaced at the end by Markdown and text with the figures and the record."""
    ran = kernel.run("%%stream -m gpt-4.1#rate=400\nShow me a table")  # at once, an answer has no speed
    assert ran.reply["status"] == "ok"
    (first,) = ran.all("display_data")
    (last,) = ran.all("update_display_data")
    assert "application/vnd.jupyter.widget-view+json" in first["data"]
    assert first["transient"]["display_id"] == last["transient"]["display_id"]
    assert set(last["data"]) == {"text/markdown", "text/plain"}
    for figure in ("gpt-4.1", "simulator", "TTFT", "tok/s", "tokens", "$", " (simulated)"):
        assert figure in last["data"]["text/plain"]
    assert last["metadata"]["holystream"]["simulated"] is True
    assert not ran.all("execute_result")


@pytest.mark.parametrize("transport", ["ws", "auto"])
def test_a_cell_over_a_socket_says_so(kernel: Any, transport: str) -> None:
    """The same view and the same saved output, with what carried it in figures and record."""
    ran = kernel.run(f"%%stream -m gpt-4.1 --transport {transport}\nShow me a table")
    (last,) = ran.all("update_display_data")
    assert " · ws · " in last["data"]["text/plain"]
    assert last["metadata"]["holystream"]["transport"] == "ws"
    assert last["metadata"]["holystream"]["finish_reason"] == "stop"


def test_deltas_travel_once(kernel: Any) -> None:
    """The deltas add up to the answer, numbered without a gap: only new text is sent."""
    ran = kernel.run("%%stream -m gpt-4.1#tokens=400,numbered,rate=1200\nCount")
    sent = [content["data"]["content"] for content in ran.all("comm_msg") if content["data"].get("method") == "custom"]
    assert [message["seq"] for message in sent] == list(range(1, len(sent) + 1))
    deltas = [message for message in sent if message["kind"] == "delta"]
    assert "".join(delta["text"] for delta in deltas) == "".join(f"{i} " for i in range(400))
    assert 3 < len(deltas) < 30
    assert [message["kind"] for message in sent[-2:]] == ["status", "whole"]
    assert sent[-2]["state"] == "done"


def test_without_a_person_there_is_no_widget(kernel: Any) -> None:
    """nbclient and its kin get the final output only."""
    ran = kernel.run("%%stream -m gpt-4.1\nHello", watched=False)
    assert not ran.all("comm_open")
    (only,) = ran.all("display_data")
    assert "text/markdown" in only["data"]


def test_as_keeps_the_reply(kernel: Any) -> None:
    """--as NAME holds the Reply, and hs.history has it too."""
    kernel.run("%%stream -m gpt-4.1 --as answer\nHello")
    ran = kernel.run("import holystream_nb as hs; print(answer is hs.history[-1], answer.finish_reason)")
    assert ran.printed == "True stop\n"


def test_capture_holds_the_final_output(kernel: Any) -> None:
    """Nested in %%capture the ordinary magic runs; one plain output is captured."""
    ran = kernel.run("%%capture out\n%%stream -m gpt-4.1\nHello")
    assert (ran.reply["status"], ran.markdown) == ("ok", "")
    assert "TTFT" in kernel.run("print(len(out.outputs), out.outputs[0].data['text/plain'])").printed


def test_time_measures_the_whole_cell(kernel: Any) -> None:
    """Nested in %%time it shows the answer and then the time."""
    ran = kernel.run("%%time\n%%stream -m gpt-4.1\nHello")
    assert ran.reply["status"] == "ok"
    assert "Wall time" in ran.printed
    assert "TTFT" in ran.markdown


def test_with_autoawait_off_the_ordinary_magic_runs(kernel: Any) -> None:
    """%autoawait off changes nothing for the reader."""
    kernel.run("%autoawait off")
    try:
        assert "TTFT" in kernel.run("%%stream -m gpt-4.1\nHello").markdown
    finally:
        kernel.run("%autoawait on")


def test_nothing_in_line_or_cell_is_evaluated_when_nested(kernel: Any) -> None:
    """IPython would expand {…} and $… of a nested option line: ours is left as it is."""
    kernel.run("secret = 'expanded'")
    ran = kernel.run("%%capture\n%%stream -m {secret}$secret --as r\nHello")
    assert "{secret}$secret" in ran.error


def test_a_failure_is_one_sentence_and_keeps_the_text(kernel: Any) -> None:
    """No traceback through our insides; what arrived stays on the screen."""
    ran = kernel.run("%%stream -m gpt-4.1#cut=20\nHello")
    assert ran.reply["status"] == "error"
    assert len(ran.error.splitlines()) == 1
    assert ran.error.startswith("StreamInterrupted: ")
    assert "simulated answer" in ran.markdown
    assert "interrupted" in ran.markdown


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%stream -m gpt-17\nHello", "gpt-17"),
        ("%%stream -m openai:gpt-4.1\nHello", "OPENAI_API_KEY"),
        ("%%stream --nonsense\nHello", "--nonsense"),
        ("%%stream\n", "empty"),
    ],
)
def test_setup_errors_are_one_sentence(kernel: Any, cell: str, said: str) -> None:
    """What to do stands in the sentence."""
    ran = kernel.run(cell)
    assert ran.reply["status"] == "error"
    assert len(ran.error.splitlines()) == 1
    assert said in ran.error


@pytest.mark.parametrize("limit", ["", "--max-cost 1"])
def test_a_stop_from_the_view_ends_the_stream_and_not_the_cell(kernel: Any, limit: str) -> None:
    """A click arrives while the cell runs: *stopped*, the text stays, tokens are "≈", the cell has not failed.

    A limit that was not reached is not named.
    """
    msg_id = kernel.start(f"%%stream -m gpt-4.1#stall=30,after=5 {limit}\nHello")
    outputs, comm_id = [], ""
    for kind, content in kernel.messages(msg_id):
        outputs.append((kind, content))
        if kind == "comm_open" and content["target_name"] == "jupyter.widget" and "lanes" in content["data"]["state"]:
            comm_id = content["comm_id"]
        message = content.get("data", {}).get("content", {}) if kind == "comm_msg" else {}
        if message.get("kind") == "status" and message["units"] == 5 and message["state"] == "streaming":
            click = {"method": "custom", "content": {"kind": "stop", "lane": 0}}
            kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": click}))
    ran = kernels.Ran({}, outputs)
    assert not ran.error
    assert "stopped" in ran.markdown
    assert "≈5 tokens" in ran.markdown
    assert "--max-cost" not in ran.markdown


@pytest.mark.slow
@pytest.mark.flaky(reruns=2)  # a busy machine may be late
def test_an_interrupt_ends_the_cell_in_one_line_and_leaves_the_kernel_alive(kernel: Any) -> None:
    """■: stopped too, one line of KeyboardInterrupt, and the simulator saw the client leave within 100 ms."""
    kernel.run("%%stream -m gpt-4.1#tokens=1\nHello")  # what it imports is there
    msg_id = kernel.start("%%stream -m gpt-4.1#stall=30,after=5\nHello")
    time.sleep(1)
    interrupted = time.perf_counter_ns()
    kernel.interrupt()
    ran = kernel.finish(msg_id)
    assert ran.reply["status"] == "error"
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert len(ran.error.splitlines()) == 1
    assert "stopped" in ran.markdown
    left = kernel.run(
        "from holystream_nb.session import session\n"
        "print(session._simulator.record(hs.history[-1].request_id)['disconnected_ns'])"
    )
    assert (int(left.printed) - interrupted) / 1e6 < 100
    assert kernel.run("print('alive')").printed == "alive\n"


@pytest.mark.slow
def test_an_interrupt_of_a_nested_magic(kernel: Any) -> None:
    """Under %%time the cell is synchronous; ■ ends it the same way."""
    kernel.run("%%stream -m gpt-4.1#tokens=1\nHello")  # what it imports is there
    msg_id = kernel.start("%%time\n%%stream -m gpt-4.1#stall=30,after=5\nHello")
    time.sleep(1)
    kernel.interrupt()
    ran = kernel.finish(msg_id)
    assert "KeyboardInterrupt" in ran.error
    assert "stopped" in ran.markdown
    assert kernel.run("print('alive')").printed == "alive\n"


def test_hs_run_works_in_a_plain_and_in_an_awaiting_cell(kernel: Any) -> None:
    """The one synchronous door, where a loop is running already."""
    ran = kernel.run("print(hs.run(hs.stream('Hello', model='gpt-4.1')).finish_reason)")
    assert "stop" in ran.printed
    ran = kernel.run("import asyncio\nawait asyncio.sleep(0)\nprint(hs.run(hs.stream('Hello', model='gpt-4.1')))")
    assert "stop" in ran.printed


def test_awaiting_hs_stream_gives_the_same_view(kernel: Any) -> None:
    """From Python: the same live view, the same saved output, and the reply."""
    ran = kernel.run("reply = await hs.stream('Hello', model='gpt-4.1', max_tokens=9)\nprint(reply.finish_reason)")
    assert ran.all("comm_open")
    assert "9 tokens" in ran.markdown
    assert ran.printed == "length\n"


def test_history_is_bounded(kernel: Any) -> None:
    """The last 100 replies."""
    ran = kernel.run("print(hs.history.maxlen, type(hs.history[-1]).__name__)")
    assert ran.printed == "100 Reply\n"


def test_a_second_load_changes_nothing_and_unload_puts_back(kernel: Any) -> None:
    """One transformer, one magics object; after unload there is none, and a load brings it back."""
    count = (
        "from holystream_nb.magic import awaited\nip = get_ipython()\n"
        "print(ip.input_transformers_post.count(awaited),"
        " sum(type(c).__name__ == 'StreamMagics' for c in ip.configurables),"
        " ip.find_cell_magic('stream') is not None)"
    )
    kernel.run("%reload_ext holystream_nb")
    assert kernel.run(count).printed == "1 1 True\n"
    kernel.run("%unload_ext holystream_nb")
    assert kernel.run(count).printed == "0 0 False\n"
    kernel.run("%load_ext holystream_nb")
    assert kernel.run(count).printed == "1 1 True\n"


@pytest.mark.slow
def test_the_simulator_starts_at_the_first_request_and_dies_with_a_killed_kernel() -> None:
    """Never at load; and SIGKILL of the kernel ends it."""
    import psutil

    with kernels.kernel() as fresh:
        process = psutil.Process(fresh.manager.provisioner.pid)
        assert not process.children()
        fresh.run("%%stream\nHello")
        (simulator,) = process.children()
        process.kill()
        simulator.wait(timeout=5)
        assert not simulator.is_running()


# Several models, conversations, formats, limits


def test_several_models_answer_side_by_side(kernel: Any) -> None:
    """One view with a lane each; saved as a section per model, a table, and who was first, fastest and cheapest."""
    ran = kernel.run(
        "%%stream -m gpt-4.1#rate=400 -m deepseek-v3.2#rate=400 -m simulator:gpt-4o#rate=400 --as answers\nHello"
    )
    (opened,) = [c for c in ran.all("comm_open") if "lanes" in c["data"]["state"]]
    assert len(opened["data"]["state"]["lanes"]) == 3
    for heading in ("### gpt-4.1", "### deepseek-v3.2", "### simulator:gpt-4o"):
        assert heading in ran.markdown
    assert "| model | TTFT | speed | tokens | cost | ended |" in ran.markdown
    for word in ("first to speak: ", "fastest: ", "cheapest: deepseek-v3.2"):
        assert word in ran.markdown
    listed = kernel.run("print({name: reply.finish_reason for name, reply in answers.items()})").printed
    assert (
        listed
        == str({"gpt-4.1#rate=400": "stop", "deepseek-v3.2#rate=400": "stop", "simulator:gpt-4o#rate=400": "stop"})
        + "\n"
    )


def test_one_failing_model_does_not_stop_the_others(kernel: Any) -> None:
    """The cell fails at the end and says which; the others' answers are whole."""
    ran = kernel.run("%%stream -m gpt-4.1#cut=5 -m deepseek-v3.2 --as both\nHello")
    assert len(ran.error.splitlines()) == 1
    assert "1 of 2 models failed. gpt-4.1#cut=5: " in ran.error
    assert "interrupted" in ran.markdown
    assert kernel.run("print([r.finish_reason for r in both.values()])").printed == "['interrupted', 'stop']\n"


def test_a_conversation_goes_on_over_cells_until_it_is_forgotten(kernel: Any) -> None:
    """The second question carries the first one and its answer."""
    kernel.run("%%stream -m gpt-4.1 --chat talk -s 'Be brief.'\nHello")
    kernel.run("%%stream -m gpt-4.1 --chat talk --as second\nAnd now?")
    show = "from holystream_nb.session import session; print([m['role'] for m in session.conversations['talk']])"
    assert kernel.run(show).printed == "['system', 'user', 'assistant', 'user', 'assistant']\n"
    alone = kernel.run("%%stream -m gpt-4.1 --as alone\nAnd now?")
    assert alone.reply["status"] == "ok"
    assert kernel.run("print(second.usage.prompt_tokens > alone.usage.prompt_tokens + 10)").printed == "True\n"
    assert "forgotten" in kernel.run("%stream forget talk").printed
    assert "'talk'" in kernel.run("%stream forget talk").error


def test_variables_reach_the_model(kernel: Any) -> None:
    """{name} in the cell becomes the variable's text, braces of code stay, and the record does not keep it."""
    kernel.run("topic = 'zebras'")
    ran = kernel.run("%%stream -m gpt-4.1 --chat zoo\nTell me of {topic} and {nothing}")
    sent = kernel.run("from holystream_nb.session import session; print(session.conversations['zoo'][0]['content'])")
    assert sent.printed == "Tell me of zebras and {nothing}\n"
    assert "zebras" in ran.markdown
    assert "zebras" not in str(ran.all("update_display_data")[-1]["metadata"])


def test_format_json_must_be_valid_and_is_parsed(kernel: Any) -> None:
    """The reply holds the data; an answer that is none fails the cell, and its text stays."""
    ran = kernel.run("%%stream -m gpt-4.1 -f json --as found\nGive me JSON about sheep")
    assert ran.reply["status"] == "ok"
    assert "```json" in ran.markdown
    assert kernel.run("print(type(found.data).__name__)").printed == "dict\n"
    ran = kernel.run('%%stream -m gpt-4.1#tokens=20,numbered -f json -p \'response_format={"type": "text"}\'\nHello')
    assert ran.error.startswith("NotJSON: ")
    assert "0 1 2 3" in ran.markdown


def test_format_code_offers_the_next_cell(kernel: Any) -> None:
    """The code is put into a new cell, and not run."""
    ran = kernel.run("%%stream -m gpt-4.1 -f code\nWrite some code")
    (payload,) = [item for item in ran.reply["payload"] if item["source"] == "set_next_input"]
    assert "print(" in payload["text"]
    assert "```" not in payload["text"]


def test_format_text_is_saved_as_text(kernel: Any) -> None:
    """No Markdown is made of it."""
    ran = kernel.run("%%stream -m gpt-4.1 -f text\nHello")
    assert set(ran.all("update_display_data")[-1]["data"]) == {"text/plain"}


def test_max_cost_ends_the_answer_before_it_is_passed(kernel: Any) -> None:
    """The service is asked for no more than the money pays for, and the output says why it ends there."""
    ran = kernel.run("%%stream -m gpt-4.1#tokens=1000 --max-cost 0.0008 --as cheap\nHello")
    assert "--max-cost reached" in ran.markdown
    assert kernel.run("print(0.0005 < cheap.cost.usd < 0.001, cheap.finish_reason)").printed == "True length\n"
    assert "nothing was sent" in kernel.run("%%stream -m gpt-4.1 --max-cost 0.000001\nHello").error
    assert "price of sim-reasoner is not known" in kernel.run("%%stream -m sim-reasoner --max-cost 1\nHello").error


@pytest.mark.slow
def test_a_very_long_answer_is_saved_as_text_and_says_so(kernel: Any) -> None:
    """Above 300 kB JupyterLab's own drawing of Markdown would block the page."""
    ran = kernel.run("%%stream -m gpt-4.1#tokens=60000,numbered\nHello")
    (last,) = ran.all("update_display_data")
    assert set(last["data"]) == {"text/plain"}
    assert "larger than 300,000 bytes" in last["data"]["text/plain"]
    assert " 59999 " in last["data"]["text/plain"]


def test_two_settings_that_cannot_be_together_are_refused_when_they_are_set(kernel: Any) -> None:
    """Both were taken, and from then on every cell failed, and %stream config with them."""
    kernel.run("%config StreamMagics.inactivity = 1000")
    try:
        ran = kernel.run("%config StreamMagics.progress_timeout = 500")
        assert "inactivity=1000 is above progress_timeout=500" in ran.error + ran.printed
        assert "1000" in kernel.run("%stream config").markdown
        assert kernel.run("%%stream -m gpt-4.1\nHello").reply["status"] == "ok"
    finally:
        kernel.run("%config StreamMagics.inactivity = None\n%config StreamMagics.progress_timeout = None")


def test_stream_alone_shows_what_the_session_has_used(kernel: Any) -> None:
    """Provider, model, and the totals."""
    shown = kernel.run("%stream").markdown
    for word in ("provider", "simulator", "deepseek-v3.2", "requests", "output tokens", "cost", "simulated"):
        assert word in shown


def test_the_models_with_pace_and_prices(kernel: Any) -> None:
    """The documents' figures and the card's prices, in one table."""
    shown = kernel.run("%stream models").markdown
    assert "| gpt-4.1 | 1,240 ms | 48 ms |" in shown.replace("\\", "")
    assert "15.00 (simulated)" in shown
    priced = [line for line in shown.splitlines() if "HolySheep document" in line]
    assert all(line.count("(simulated)") == 2 for line in priced), "nobody is paid, and each line says so"


def test_an_answer_is_shown_again_in_plain_form(kernel: Any) -> None:
    """The last one, or the n-th last of this kernel."""
    kernel.run("%%stream -m gpt-4.1\nCount to 3")
    kernel.run("%%stream -m gpt-4.1\nCount to 4")
    assert kernel.run("%stream last").printed.startswith("1, 2, 3, 4\n")
    assert kernel.run("%stream last 2").printed.startswith("1, 2, 3\n")
    assert "answers: give a number from 1 to " in kernel.run("%stream last 1000").error
    assert "nonsense" in kernel.run("%stream nonsense").error


def test_defaults_come_from_config(kernel: Any) -> None:
    """%config StreamMagics sets what the option line does not say."""
    kernel.run("%config StreamMagics.model = 'gemini-2.5-flash'\n%config StreamMagics.max_tokens = 7")
    try:
        ran = kernel.run("%%stream\nHello")
        assert "gemini-2.5-flash" in ran.markdown
        assert "7 tokens" in ran.markdown
        assert "9 tokens" in kernel.run("%%stream -n 9\nHello").markdown
        assert "gemini-2.5-flash" in kernel.run("%stream").markdown
    finally:
        kernel.run("%config StreamMagics.model = ''\n%config StreamMagics.max_tokens = None")


@pytest.mark.slow
def test_a_budget_of_the_session_and_costs_in_yuan(kernel: Any) -> None:
    """Both of %config: what was spent before counts, the report says how much, and a cell too many is refused."""
    spent = "from holystream_nb.session import session; print(session.budget.spent > 0)"
    assert kernel.run("%%stream -m gpt-4.1\nHello").reply["status"] == "ok"
    assert kernel.run(spent).printed == "True\n"
    kernel.run("%config StreamMagics.session_budget = 50\n%config StreamMagics.currency = 'CNY'")
    try:
        shown = kernel.run("%stream").markdown
        assert "| 50 USD, of which 0." in shown
        assert "¥1 to the dollar at simulator" in shown
        assert "CNY per 1M tokens in" in kernel.run("%stream models").markdown
        ran = kernel.run("%%stream -m gpt-4.1\nHello")
        assert "¥0.0" in ran.markdown
        assert "$0.0" not in ran.markdown
        kernel.run("%config StreamMagics.session_budget = 0.000001")
        for cell in ("%%stream -m gpt-4.1\nHello", "await hs.stream('Hello', model='gpt-4.1')"):
            error = kernel.run(cell).error
            assert "session_budget=0.000001 is spent" in error
            assert "Raise it: %config StreamMagics.session_budget" in error
    finally:
        kernel.run("%config StreamMagics.session_budget = None\n%config StreamMagics.currency = 'USD'")
    assert "$0.0" in kernel.run("%%stream -m gpt-4.1\nHello").markdown


# A service of the session's own


def test_config_makes_an_address_the_default_of_every_door(kernel: Any, simulator: Simulator) -> None:
    """%%stream, hs.stream and ChatPanel go there; the first answer says so, and %stream config does."""
    host = simulator.url.removeprefix("http://").removesuffix("/v1")
    assert not kernel.run(f"%config StreamMagics.base_url = {simulator.url!r}").all("error")
    try:
        first = kernel.run("%%stream -m gpt-4.1 --as first\nHello")
        assert f"{host} (%config StreamMagics)" in first.markdown.replace("\\", "")
        assert "local, no price" in first.markdown
        again = kernel.run("r = await hs.stream('Hello', model='gpt-4.1'); print(first.provider, r.provider)")
        assert again.printed == f"{host} {host}\n"
        assert "StreamMagics" not in again.markdown
        ran = kernel.run("panel = hs.ChatPanel('gpt-4.1')\nprint((await panel.send('Hello')).provider)\npanel.close()")
        assert ran.printed == f"{host}\n"
        shown = kernel.run("%stream config").all("display_data")[-1]["data"]["text/plain"]
        for part in (simulator.url, "%config StreamMagics", "providers.toml", "base_url"):
            assert part in shown
        assert "serves" in kernel.run("%%stream\nHello").error
        assert kernel.run("%%stream -m simulator:gpt-4.1\nHello").reply["status"] == "ok"
    finally:
        kernel.run("%config StreamMagics.base_url = ''")
    assert "simulator" in kernel.run("%stream").markdown


def test_hs_configure_does_the_same_below_config(kernel: Any, simulator: Simulator) -> None:
    """And None takes it back."""
    host = simulator.url.removeprefix("http://").removesuffix("/v1")
    kernel.run(f"hs.configure(base_url={simulator.url!r}, model='gpt-4.1', inactivity=240)")
    try:
        ran = kernel.run("%%stream --as first\nHello")
        assert f"{host} (hs.configure)" in ran.markdown.replace("\\", "")
        assert kernel.run("print(first.model)").printed == "gpt-4.1\n"
    finally:
        kernel.run("hs.configure(base_url=None, model=None, inactivity=None)")
    assert kernel.run("%%stream\nHello").reply["status"] == "ok"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("base_url = 'nowhere'", "must begin with https"),
        ("base_url = 'https://0123456789abcdef@a.example'", "before the @"),
        ("key_variable = 'hs_live_0123456789abcdef'", "never the key itself"),
        ("inactivity = 0", "inactivity=0"),
        ("timeout = -1", "timeout=-1"),
        ("max_cost = float('inf')", "max_cost=inf"),
        ("session_budget = 0", "session_budget=0"),
        ("currency = 'EUR'", "currency"),
        ("retries = -1", "retries=-1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_sentence(kernel: Any, setting: str, said: str) -> None:
    """And what was set before stays."""
    ran = kernel.run(f"%config StreamMagics.{setting}")
    shown = ran.error + ran.printed
    assert said in shown
    assert "0123456789abcdef" not in shown
    assert "Traceback" not in shown
    assert kernel.run("%%stream -m gpt-4.1\nHello").reply["status"] == "ok"


@pytest.mark.slow
def test_the_simulator_says_once_why_it_answers() -> None:
    """`no key set`, to whoever looks on; a notebook that is run again has its word alone."""
    with kernels.kernel() as fresh:
        assert "no key set" not in fresh.run("%%stream\nHello", watched=False).markdown
        assert "simulator, unpaced (no key set)" in fresh.run("%%stream\nHello").markdown.replace("\\", "")
        assert "no key set" not in fresh.run("%%stream\nHello").markdown


@pytest.mark.slow
def test_the_environment_names_a_service_where_address_and_key_are_set(simulator: Simulator) -> None:
    """OPENAI_BASE_URL with its key, and not one of them."""
    host = simulator.url.removeprefix("http://").removesuffix("/v1")
    with kernels.kernel(OPENAI_BASE_URL=simulator.url, OPENAI_API_KEY="EMPTY") as fresh:
        ran = fresh.run("%%stream -m gpt-4.1\nHello")
        assert f"{host} (OPENAI_BASE_URL)" in ran.markdown.replace("\\", "")
