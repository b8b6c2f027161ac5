"""This project's client in Anthropic's Messages format."""

from functools import partial

from . import ours

reader = partial(ours.reader, wire="messages", max_tokens=100_000)
