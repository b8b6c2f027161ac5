"""Answers in an `ipywidgets.Output`, which takes no updates of what it took, nor what a button's task displays."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import kernels
import pytest

pytestmark = pytest.mark.slow

_SAID: Final = "**A simulated answer.**"
_BEGIN: Final = """import asyncio, holystream_nb as hs, ipywidgets
output, button, tasks = ipywidgets.Output(), ipywidgets.Button(), []"""
_SHOW: Final = "import json\nprint(json.dumps(output.outputs))"


def tell(kernel: kernels.Kernel, widget: str, data: dict[str, Any]) -> None:
    """What a page tells a widget in the kernel."""
    comm = kernel.run(f"print({widget}.model_id)").printed.strip()
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
    kernel.client.shell_channel.send(message)


def shown(kernel: kernels.Kernel) -> list[dict[str, Any]]:
    """The Output's outputs, when they hold no view any more."""
    end = time.monotonic() + 20
    while True:
        outputs: list[dict[str, Any]] = json.loads(kernel.run(_SHOW).printed)
        if outputs and "widget-view" not in json.dumps(outputs):
            return outputs
        assert time.monotonic() < end, outputs
        time.sleep(0.1)


def test_an_answer_that_a_buttons_task_asks_for_is_in_its_output() -> None:
    """The click has been handled when the task begins: what it displays would be seen nowhere."""
    with kernels.kernel() as kernel:
        kernel.run(f"""{_BEGIN}
async def ask():
    with output:
        await hs.stream("Hello", model="gpt-4.1")
button.on_click(lambda _: tasks.append(asyncio.ensure_future(ask())))""")
        tell(kernel, "button", {"method": "custom", "content": {"event": "click"}})
        (answer,) = shown(kernel)
    assert answer["data"]["text/markdown"].count(_SAID) == 1


def test_the_plain_answer_takes_the_views_place_in_an_output() -> None:
    """Also where the page says only later what the Output took; what else it took stays."""
    with kernels.kernel() as kernel:
        ran = kernel.run(f"{_BEGIN}\nwith output:\n    await hs.stream('Hello', model='gpt-4.1')")
        (view,) = (content for content in ran.all("display_data") if "widget-view" in json.dumps(content["data"]))
        took = {"output_type": "display_data", "data": view["data"], "metadata": {}}
        printed = {"output_type": "stream", "name": "stdout", "text": "before"}
        tell(kernel, "output", {"method": "update", "state": {"outputs": [printed, took]}, "buffer_paths": []})
        before, answer = shown(kernel)
    assert before == printed
    assert answer["data"]["text/markdown"].count(_SAID) == 1


def test_what_a_callback_waits_for_is_displayed_as_ever() -> None:
    """The page takes it, in its order with what the callback prints."""
    with kernels.kernel() as kernel:
        kernel.run(f"""{_BEGIN}
def ask(_):
    with output:
        hs.run(hs.stream("Hello", model="gpt-4.1"))
button.on_click(ask)""")
        tell(kernel, "button", {"method": "custom", "content": {"event": "click"}})
        assert json.loads(kernel.run(_SHOW).printed) == []
