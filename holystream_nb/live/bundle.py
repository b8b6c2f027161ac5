"""The script and style sheet of a widget: sent whole, or as a line that takes them from the page's extension.

A bundle has 200 to 500 KB, and anywidget sends it with every widget. A page of JupyterLab or Notebook 7 that has our
extension, of the same version as the kernel's package, loads it once from the extension's own files. A widget that such
a page asked for may also come to one without the extension, a second browser for instance: there the line asks
the kernel for the whole.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

import traitlets

from .base import Widget
from .page import page, sources

_STATIC: Final = Path(__file__).parent.parent / "static"

_STUB: Final = """const take = globalThis[Symbol.for("holystream_nb/bundle")];
const wait = () => ({ render({ model, el }) {
  el.textContent = "This view is drawn as soon as the kernel hears this page.";
  model.send({ kind: "whole" });
} });
export default (await take?.("NAME", "SOURCES")) ?? wait;
"""


@cache
def whole(name: str) -> tuple[str, str]:
    """Script and style sheet; ImportError where the package was built without them."""
    try:
        script, style = (_STATIC.joinpath(f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    except OSError:
        raise ImportError(
            "holystream_nb was installed without its front-end: install it again with `pip install`."
        ) from None
    return script, style


@cache
def stub(name: str) -> tuple[str, str]:
    return _STUB.replace("NAME", name).replace("SOURCES", sources()), ""


class Bundled(Widget):
    """A widget of ours; `_bundle` names its files."""

    _bundle: ClassVar[str]
    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        page.begin()
        asking = page.asking()
        has_it = asking is not None and asking.bundle == sources()
        script, style = (stub if has_it else whole)(self._bundle)
        super().__init__(_esm=script, _css=style, **traits)
        self.on_msg(self._hear_stub)

    def _hear_stub(self, _view: object, content: dict[str, Any], _buffers: object = None) -> None:
        if content.get("kind") == "whole":
            with self.hold_sync():
                self._esm, self._css = whole(self._bundle)
