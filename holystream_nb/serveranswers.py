"""What the journal has of a notebook's answers, for a page whose kernel is gone or does not hear: a GET of the server.

`…/holystream_nb/answers?notebook=PATH&mark=CELL,EXECUTION&mark=…` gives `{"outputs": […]}` (`live.written`), to those
who may read the server's files. PATH is below the server's root; only that notebook's answers are given, and those of a
cell and execution that are both named.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import authenticated


def handlers(base_url: str) -> list[tuple[str, type[APIHandler]]]:
    return [(url_path_join(base_url, "holystream_nb", "answers"), Answers)]


class Answers(APIHandler):
    """The answers of one notebook."""

    auth_resource = "contents"

    @authenticated
    @authorized
    async def get(self) -> None:
        notebook = self.get_query_argument("notebook", "")
        marks = [mark.partition(",")[::2] for mark in self.get_query_arguments("mark")]
        places = [{"cell": cell, "execution": execution} for cell, execution in marks]
        outputs = await asyncio.to_thread(_written, self._whole(notebook), places)
        self.set_header("Cache-Control", "no-store")
        await self.finish(json.dumps({"outputs": outputs}))

    def _whole(self, path: str) -> str:
        """The path in the file system, as the server tells it to a kernel; "" where there can be none."""
        root = str(getattr(self.contents_manager, "root_dir", ""))
        parts = path.strip("/").split("/")
        return str(Path(root, *parts)) if root and path and ".." not in parts else ""


def _written(notebook: str, places: list[dict[str, str]]) -> list[dict[str, Any]]:
    from .live.written import written  # late, in a thread: it brings the journal and what writes Markdown

    return written(notebook, places)
