"""How peers do it: the whole text again as a display update, every 50 ms."""

import time
from typing import Final

from IPython.display import Markdown, display

from holystream_nb import Client
from holystream_nb.events import Text

UPDATE_S: Final = 0.05


async def show(url: str, model: str) -> None:
    handle = display(Markdown(""), display_id=True)  # type: ignore[no-untyped-call]
    text, updated = "", 0.0
    async with Client("simulator", base_url=url) as client, client.stream("Count.", model=model) as stream:
        async for event in stream:
            if type(event) is not Text:
                continue
            text += event.text
            if time.monotonic() - updated >= UPDATE_S:
                handle.update(Markdown(text))  # type: ignore[no-untyped-call]
                updated = time.monotonic()
    handle.update(Markdown(text))  # type: ignore[no-untyped-call]
