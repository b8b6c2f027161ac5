"""%%stream --tools in real kernels and terminals: cards, consent, what is saved, conversations, money."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kernels
import pexpect
import pytest
from test_terminal import environment

from holystream_nb.errors import SetupError
from holystream_nb.magic import parse

pytestmark = pytest.mark.slow

TOOLS = '''
import holystream_nb as hs

ran = []

@hs.tool
def get_weather(city: str) -> str:
    """Says what the weather will be."""
    ran.append(city)
    return f"<b>blue</b> over {city}"

async def get_time(zone: str) -> str:
    return f"12:00 in {zone}"

def untyped(x): ...
'''


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    with kernels.kernel() as running:
        running.run(TOOLS)
        yield running


def statuses(ran: kernels.Ran) -> list[dict[str, Any]]:
    """The states of calls that went to the view."""
    sent = [content["data"]["content"] for content in ran.all("comm_msg") if content["data"].get("method") == "custom"]
    return [call for message in sent if message["kind"] == "status" for call in message["calls"]]


def test_the_options_are_read() -> None:
    """With commas or repeated; a name that cannot be one is named."""
    options = parse("--tools a,b --tools c --allow a --allow all")
    assert (options.tools, options.allow) == (("a", "b", "c"), ("a", "all"))
    with pytest.raises(SetupError, match="--tools a-b"):
        parse("--tools a-b")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--tools nothing", "--tools nothing: there is no function of this name"),
        ("--tools ran", "--tools ran: this is no function"),
        ("--tools untyped", "x has no type"),
        ("--tools get_time --allow get_tine", "get_tine cannot be allowed"),
        ("--allow all", "give --tools"),
        ("--tools get_time -p tools=[]", "Tools are given twice"),
    ],
)
def test_what_cannot_be_is_one_sentence(kernel: Any, line: str, said: str) -> None:
    """Nothing is sent."""
    ran = kernel.run(f"%%stream -m gpt-4.1 {line}\nHello")
    assert said in ran.error
    assert len(ran.error.splitlines()) == 1


def test_an_allowed_tool_runs_and_is_shown(kernel: Any) -> None:
    """The card goes through its states; call and result are saved as text; the totals count both requests."""
    kernel.run("ran.clear(); before = hs.history[-1] if hs.history else None")
    count = "from holystream_nb.session import session; print(session.totals.requests)"
    before = int(kernel.run(count).printed)
    ran = kernel.run(
        "%%stream -m gpt-4.1#rate=200 --tools get_weather,get_time --allow get_weather --as r\nUse get_weather, Paris"
    )
    assert ran.reply["status"] == "ok"
    states = [call["state"] for call in statuses(ran)]
    assert [state for n, state in enumerate(states) if state not in states[:n]] == ["writing", "running", "done"]
    assert statuses(ran)[-1]["result"] == "<b>blue</b> over Paris"
    plain = ran.all("update_display_data")[-1]["data"]["text/plain"]
    assert '[get_weather({"city":"Paris"}) · ' in plain
    assert "```text\n<b>blue</b> over Paris\n```" in ran.markdown
    assert "Paris" not in str(ran.all("update_display_data")[-1]["metadata"])
    assert kernel.run("print(ran, r is hs.history[-1], r.finish_reason)").printed == "['Paris'] True stop\n"
    assert int(kernel.run(count).printed) == before + 2


def test_over_a_socket_it_is_one_request(kernel: Any) -> None:
    """The card, the result and the conversation are the same; the figures say what carried it."""
    kernel.run("ran.clear()")
    count = "from holystream_nb.session import session; print(session.totals.requests)"
    before = int(kernel.run(count).printed)
    line = "%%stream -m gpt-4.1 --tools get_weather,get_time --allow all --chat socket --as r"
    ran = kernel.run(f"{line} --transport ws\nUse get_weather in Paris, then get_time")
    assert ran.reply["status"] == "ok"
    states = [(call["name"], call["state"]) for call in statuses(ran)]
    assert {("get_weather", "running"), ("get_weather", "done"), ("get_time", "done")} <= set(states)
    assert "```text\n<b>blue</b> over Paris\n```" in ran.markdown
    assert " · ws · TTFT " in ran.all("update_display_data")[-1]["data"]["text/plain"]
    assert kernel.run("print(ran, r.finish_reason, r.usage.exact)").printed == "['Paris'] stop True\n"
    assert int(kernel.run(count).printed) == before + 1
    roles = kernel.run("print([m['role'] for m in session.conversations['socket']])")
    assert roles.printed == "['user', 'assistant', 'tool', 'assistant', 'tool', 'assistant']\n"


@pytest.mark.parametrize(("answer", "state"), [("allow", "done"), ("refuse", "refused")])
def test_a_click_answers_the_question(kernel: Any, answer: str, state: str) -> None:
    """The cell waits for it; what is no answer is none."""
    kernel.run("ran.clear()")
    msg_id = kernel.start("%%stream -m gpt-4.1 --tools get_weather\nUse get_weather, Paris")
    outputs, comm_id = [], ""
    for kind, content in kernel.messages(msg_id):
        outputs.append((kind, content))
        if kind == "comm_open" and "lanes" in content["data"]["state"]:
            comm_id = content["comm_id"]
        message = content.get("data", {}).get("content", {}) if kind == "comm_msg" else {}
        if [call["state"] for call in message.get("calls", [])] == ["asking"]:
            _send(kernel, comm_id, kind="ready")
            _send(kernel, comm_id, kind="consent", lane=0, call=0, answer="nonsense")
            _send(kernel, comm_id, kind="consent", lane=0, call=[7], answer=answer)
            _send(kernel, comm_id, kind="consent", lane=0, call=0, answer=answer)
    ran = kernels.Ran({}, outputs)
    assert statuses(ran)[-1]["state"] == state
    assert kernel.run("print(ran)").printed == ("['Paris']\n" if answer == "allow" else "[]\n")


def _send(kernel: Any, comm_id: str, **content: Any) -> None:
    data = {"method": "custom", "content": content}
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))


def test_where_nobody_can_click_the_call_is_refused_with_the_sentence_that_helps(kernel: Any) -> None:
    """nbclient and its kin: the cell goes on at once, and says how to allow the call."""
    kernel.run("ran.clear()")
    ran = kernel.run("%%stream -m gpt-4.1 --tools get_weather\nUse get_weather, Paris", watched=False)
    assert ran.reply["status"] == "ok"
    assert "--allow get_weather" in ran.all("display_data")[-1]["data"]["text/plain"]
    assert kernel.run("print(ran)").printed == "[]\n"
    captured = kernel.run("%%capture out\n%%stream -m gpt-4.1 --tools get_weather\nUse get_weather, Paris")
    assert captured.reply["status"] == "ok"


def test_a_view_that_is_never_heard_is_given_up(kernel: Any) -> None:
    """A kernel that hears no click while its cell runs: after a while the call is refused."""
    kernel.run("import holystream_nb.live.feed as feed; feed._DEAF_S, patience = 0.1, feed._DEAF_S")
    ran = kernel.run("%%stream -m gpt-4.1 --tools get_weather\nUse get_weather, Paris")
    kernel.run("feed._DEAF_S = patience")
    assert statuses(ran)[-1]["state"] == "refused"
    assert "hears no click" in statuses(ran)[-1]["error"]


def test_a_conversation_keeps_calls_and_results(kernel: Any) -> None:
    """--chat sends them again with the next question."""
    kernel.run("%%stream -m gpt-4.1 --tools get_weather --allow all --chat trip\nUse get_weather, Paris")
    kernel.run("%%stream -m gpt-4.1 --chat trip\nAnd now?")
    roles = kernel.run(
        "from holystream_nb.session import session; print([m['role'] for m in session.conversations['trip']])"
    )
    assert roles.printed == "['user', 'assistant', 'tool', 'assistant', 'user', 'assistant']\n"


def test_python_gives_tools_too_in_several_lanes(kernel: Any) -> None:
    """hs.stream(…, tools=…, allow=…); and the magic with two models runs each one's own calls."""
    kernel.run("ran.clear()")
    ran = kernel.run(
        "r = await hs.stream('Use get_time', model='gpt-4.1', tools=[get_time], allow='get_time')\nprint(r.text)"
    )
    assert "12:00 in" in ran.printed
    both = kernel.run("%%stream -m gpt-4.1 -m gpt-4o --tools get_weather --allow all\nUse get_weather, Paris")
    assert both.reply["status"] == "ok"
    assert both.markdown.count("```text") == 2
    assert kernel.run("print(ran)").printed == "['Paris', 'Paris']\n"


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_max_cost_is_for_all_requests_together(kernel: Any, transport: str) -> None:
    """Each round may use what is left, also on a socket; a prompt that it does not pay for is not sent."""
    line = "%%stream -m gpt-4.1#tokens=2000 --tools get_weather --allow all --max-cost {} --as cheap"
    line += f" --transport {transport}"
    cell = f"{line}\nUse get_weather, Paris"
    ran = kernel.run(cell.format("0.004"))
    assert "--max-cost reached" in ran.markdown
    assert kernel.run("print(0.003 < cheap.cost.usd < 0.005, cheap.finish_reason)").printed == "True length\n"
    ran = kernel.run(cell.format("0.0001"))
    assert "does not pay for the prompt" in ran.error


@pytest.mark.slow
def test_in_a_terminal_the_question_is_asked_there(tmp_path: Path) -> None:
    """y runs the call, Enter refuses it; Ctrl-C while it waits keeps the session."""
    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--no-confirm-exit"],
        env=environment(tmp_path),
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.expect(r"In \[1\]")
        (tmp_path / "mine.py").write_text(TOOLS, encoding="utf-8")
        child.sendline(f"%run {tmp_path / 'mine.py'}")
        child.expect(r"In \[2\]")
        child.sendline("%load_ext holystream_nb")
        child.expect(r"In \[3\]")
        cell = "get_ipython().run_cell_magic('stream', '-m gpt-4.1 --tools get_weather', 'Use get_weather, Paris')"
        for number, (typed, said) in enumerate([("y", "over Paris"), ("", "the user did not allow")], start=4):
            child.sendline(cell)
            child.expect(r"Run get_weather\(\{\"city\":\"Paris\"\}\)\?")
            child.sendline(typed)
            child.expect(said)
            child.expect(rf"In \[{number}\]")
        child.sendline(cell)
        child.expect(r"\[N\]o:")
        child.sendintr()
        child.expect("KeyboardInterrupt: stopped")
        child.expect(r"In \[6\]")
        child.sendline("ran")
        child.expect(r"\['Paris'\]")
    finally:
        child.close(force=True)


TYPED_AHEAD = """\
import fcntl, struct, termios, time
import holystream_nb as hs

def get_weather(city: str) -> str:
    print("It ran.")
    return "fine"

print("Type now.", flush=True)
while not struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, bytes(4)))[0]:
    time.sleep(0.01)
hs.run(hs.stream("Use get_weather, Paris", model="gpt-4.1", tools=[get_weather]))
"""


def test_what_was_typed_before_the_question_is_no_consent(tmp_path: Path) -> None:
    """A y that waits in the terminal answers nothing; the question still waits for its own answer."""
    child = pexpect.spawn(sys.executable, ["-c", TYPED_AHEAD], env=environment(tmp_path), encoding="utf-8", timeout=30)
    try:
        child.expect("Type now.")
        child.sendline("y")
        child.expect(r"\[N\]o:")
        child.sendline("n")
        child.expect("the user did not allow")
        child.expect(pexpect.EOF)
        assert "It ran." not in child.before
    finally:
        child.close(force=True)
