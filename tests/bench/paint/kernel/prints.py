"""`print` for every token."""

from holystream_nb import Client
from holystream_nb.events import Text


async def show(url: str, model: str) -> None:
    async with Client("simulator", base_url=url) as client, client.stream("Count.", model=model) as stream:
        async for event in stream:
            if type(event) is Text:
                print(event.text, end="", flush=True)
