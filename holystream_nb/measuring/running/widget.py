"""The Python halves of two views; `progress.js` and `votes.js` are the others.

`progress` and `votes.Ballot` say what travels between them.
"""

from __future__ import annotations

from pathlib import Path

import traitlets

from ...live.base import Widget


class ProgressView(Widget):
    """A table of models, a line, and Stop."""

    _esm = Path(__file__).with_name("progress.js")
    state = traitlets.Dict().tag(sync=True)

    def __repr__(self) -> str:
        return "ProgressView()"


class VoteView(Widget):
    """Two answers, without the models' names, and what may be said of them."""

    _esm = Path(__file__).with_name("votes.js")
    state = traitlets.Dict().tag(sync=True)

    def __repr__(self) -> str:
        return "A vote, which needs its kernel: run this cell again to go on."
