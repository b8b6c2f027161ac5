"""In the Jupyter *server*: what a kernel sends to a page leaves at once, and answers outlive their kernel.

The server leaves Nagle's algorithm (RFC 896) on for a kernel's WebSocket: a small message waits until the browser has
acknowledged the one before, and a browser may take 40 ms for that (RFC 1122, section 4.2.3.2). What streams in small
messages is drawn in jerks.

A kernel that was killed answers nobody: what its journal has of a notebook is read here (`serveranswers`). Neither
needs a kernel or a key, and nothing more is imported before a page asks.

`jupyter server extension disable holystream_nb.serverextension` turns it off.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Takes whatever class the server uses for a kernel's connection (its own, a gateway's), and keeps it."""
    from .serveranswers import handlers

    settings = server.web_app.settings
    server.web_app.add_handlers(".*$", handlers(settings["base_url"]))
    if connection := settings.get("kernel_websocket_connection_class"):
        settings["kernel_websocket_connection_class"] = type(connection.__name__, (_AtOnce, connection), {})


class _AtOnce:
    websocket_handler: Any

    def connect(self) -> Any:
        self.websocket_handler.set_nodelay(True)  # TCP_NODELAY; does nothing on a Unix socket
        return super().connect()  # type: ignore[misc]  # the server's class comes next
