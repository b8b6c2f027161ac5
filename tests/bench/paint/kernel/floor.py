"""The floor: a widget that merely appends plain text, sent every 30 ms."""

import asyncio
from typing import Final

import anywidget
from IPython.display import display

from holystream_nb import Client
from holystream_nb.events import Text

FLUSH_S: Final = 0.03


class Floor(anywidget.AnyWidget):
    _esm = """
    export default {
      render({ model, el }) {
        const text = document.createElement("pre");
        text.className = "floor";
        text.style.whiteSpace = "pre-wrap";
        el.append(text);
        model.on("msg:custom", (message) => text.append(message.text));
        model.send({ kind: "ready" });
      },
    };
    """


async def show(url: str, model: str) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    view = Floor()
    view.on_msg(lambda *_: loop.call_soon_threadsafe(ready.set))
    display(view)  # type: ignore[no-untyped-call]
    waiting: list[str] = []

    async def send() -> None:
        await ready.wait()
        while True:
            flush()
            await asyncio.sleep(FLUSH_S)

    def flush() -> None:
        if waiting:
            view.send({"text": "".join(waiting)})
            waiting.clear()

    sender = asyncio.create_task(send())
    async with Client("simulator", base_url=url) as client, client.stream("Count.", model=model) as stream:
        async for event in stream:
            if type(event) is Text:
                waiting.append(event.text)
    await ready.wait()
    flush()
    sender.cancel()
