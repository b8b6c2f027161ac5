"""The live view's Python half; `frontend/src/live.ts` is the other. Traits are state, messages are motion.

Kernel -> view:  delta {seq, lane, text, reasoning, sent?} · snapshot {seq, lanes, sent}
                 · status {seq, lane, state, figures, ending, error, elapsed_ms, units, thought, sources, pictures,
                   calls}
View -> kernel:  ready {} (a view appeared) · missed {} (a snapshot is wanted) · gone {} (a view left its page)
                 · stop {lane} · consent {lane, call, answer} (allow, always or refuse a tool's call)
                 · painted {lane, at, sent, down} (its first text, once: see `painted`)

`seq` counts the deltas and statuses of one widget, from 1: a view applies each once and in order, and asks for a
snapshot where one is missing. `keyframe` is a snapshot as a trait: it reaches a view on kernels that hear no `ready`
while a cell runs.
"""

from __future__ import annotations

import traitlets

from .bundle import Bundled


class LiveView(Bundled):
    """Lanes side by side, drawn as their deltas arrive."""

    _bundle = "live"
    lanes = traitlets.List(traitlets.Dict()).tag(sync=True)
    keyframe = traitlets.Dict().tag(sync=True)
    format = traitlets.Unicode("markdown").tag(sync=True)
    verdict = traitlets.Unicode("").tag(sync=True)

    def __repr__(self) -> str:
        return f"LiveView({', '.join(lane['label'] for lane in self.lanes)})"
