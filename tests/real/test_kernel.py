"""A real kernel and a real engine: ■, Stop and a panel's conversation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import kernels
import pytest
from pages import opened

from .programs import Engine

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def kernel() -> Iterator[kernels.Kernel]:
    with kernels.kernel() as running:
        running.run("import holystream_nb as hs")
        yield running


def cell(engine: Engine) -> str:
    line = f"-m llama.cpp:{engine.model} --base-url {engine.url} -n 900 -p ignore_eos=true"
    return f"%%stream {line}\nTell me a long story about a tree."


def until_it_streams(kernel: kernels.Kernel, msg_id: str, outputs: list[tuple[str, dict[str, object]]]) -> str:
    """Listens until text has been drawn; the view's comm."""
    comm_id = ""
    for kind, content in kernel.messages(msg_id):
        outputs.append((kind, content))
        if kind == "comm_open" and "lanes" in content["data"]["state"]:
            comm_id = content["comm_id"]
        if kind == "comm_msg" and content["data"].get("content", {}).get("kind") == "delta":
            return comm_id
    pytest.fail("the cell ended before it had streamed")


@pytest.mark.flaky(reruns=2)  # a busy machine may be late
@pytest.mark.parametrize("ended_by", ["■", "Stop"])
def test_a_cell_that_is_ended_frees_the_engine(
    kernel: kernels.Kernel, smollm: Engine, state: Callable[[str], None], ended_by: str
) -> None:
    """Within 100 ms; the text so far is kept. ■ ends the cell in one line, Stop ends only the answer."""
    smollm.until_free()
    outputs: list[tuple[str, dict[str, object]]] = []
    msg_id = kernel.start(cell(smollm))
    comm_id = until_it_streams(kernel, msg_id, outputs)
    assert smollm.busy == 1
    start = time.perf_counter()
    if ended_by == "■":
        kernel.interrupt()
    else:
        click = {"method": "custom", "content": {"kind": "stop", "lane": 0}}
        kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": click}))
    smollm.until_free(5)
    freed_ms = (time.perf_counter() - start) * 1e3
    state(f"%%stream in a kernel: /slots free {freed_ms:.0f} ms after {ended_by}")
    ran = kernel.finish(msg_id)
    ran.outputs[:0] = outputs
    assert "stopped" in ran.markdown
    assert "local, no price" in ran.markdown
    assert ran.reply["status"] == ("error" if ended_by == "■" else "ok")
    assert len(ran.error.splitlines()) == (1 if ended_by == "■" else 0)
    assert kernel.run("print(hs.history[-1].finish_reason, bool(hs.history[-1].text))").printed == "stopped True\n"
    assert freed_ms < 100


def test_a_panel_converses(kernel: kernels.Kernel, smollm: Engine) -> None:
    """The second question goes with the first and its answer, which the engine finds in its prompt cache."""
    code = f"panel = hs.ChatPanel('llama.cpp:{smollm.model}', base_url={smollm.url!r}, max_tokens=30)\npanel"
    with opened(kernel, code) as page:
        for asked, text in enumerate(("Tell me about trees.", "Tell me more."), start=1):
            page.send(kind="send", text=text)
            page.until(lambda: not page.state["is_streaming"] and page.state["total"].startswith(f"{asked} request"))  # noqa: B023
        page.run("for each in panel.messages: print(each['role'], bool(each['content']), each.get('state', ''))")
        assert "".join(text for _, text in page.printed) == "user True \nassistant True done\n" * 2
        page.printed.clear()
        page.run("figures = panel.messages[-1]['figures']; print(figures['prompt_tokens'], figures['cached_tokens'])")
        prompt, cached = map(int, page.printed[-1][1].split())
        assert cached > 30
        assert prompt > cached
