"""The live view's Python half; `frontend/src/live.ts` is the other. Traits are state, messages are motion.

Kernel -> view:  delta {seq, lane, text, reasoning, sent?} · snapshot {seq, lanes, verdict, whole, sent}
                 · status {seq, lane, state, figures, ending, error, elapsed_ms, units, thought, sources, pictures,
                   calls} · whole {seq, verdict}, the last that counts · beat {seq, heard} · stays {}
                 (after the end: nothing has put the plain output in the view's place) · closed {}
View -> kernel:  ready {view} (a view appeared) · missed {} (a snapshot is wanted) · gone {view} (one left its page)
                 · stop {lane} · consent {lane, call, answer} (allow, always or refuse a tool's call)
                 · painted {lane, at, sent, down} (its first text, once: see `painted`)
                 · have {seq} (all of an answer that is whole has come)

`seq` counts the deltas, statuses, redrawings and the `whole` of one widget, from 1: a view applies each once and in
order, and asks for a snapshot where one is missing. What a view says has `from`, a random word, and `number`, from 1:
it is said again until a beat's `heard` has it, and heeded once and in order (`heard.py`); painted and have are not
numbered. `keyframe` is a snapshot as a trait: it reaches a view on kernels that hear no `ready` while a cell runs.
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
    answer = traitlets.Unicode("").tag(sync=True)

    def forget(self) -> None:
        """Closes it in the kernel alone: a page keeps the view."""
        for widget in (self, self.layout):
            if widget.comm is not None:
                widget.comm.publish_msg = lambda *_arguments, **_options: None
        self.close()

    def __repr__(self) -> str:
        return f"LiveView({', '.join(lane['label'] for lane in self.lanes)})"
