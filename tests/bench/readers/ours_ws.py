"""This project's client over WebSocket."""

from functools import partial

from . import ours

reader = partial(ours.reader, transport="ws")
