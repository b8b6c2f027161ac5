"""What runs in the Jupyter server: in a real one, seen from where it hands a kernel's messages to the network."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest
from browser.server import TOKEN, serving
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

from holystream_nb.journal.journal import Journal
from holystream_nb.journal.values import Origin

_CONFIGURATION: Final = """
import json, socket, sys
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

class Witness(ZMQChannelsWebsocketConnection):
    def connect(self):
        stream = self.websocket_handler.ws_connection.stream
        seen = {{
            "nodelay": bool(stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
            "modules": sorted(name for name in sys.modules if name.partition(".")[0] == "holystream_nb"),
        }}
        with open({seen!r}, "w") as file:
            json.dump(seen, file)
        return super().connect()

c.ServerApp.kernel_websocket_connection_class = Witness
"""


@pytest.mark.slow
async def test_a_kernels_messages_leave_at_once(tmp_path: Path) -> None:
    """Nagle's algorithm is off on a kernel's WebSocket; the class that was configured stays; no more is loaded."""
    seen, configuration = tmp_path / "seen.json", tmp_path / "config" / "jupyter_server_config.py"
    configuration.parent.mkdir()
    configuration.write_text(_CONFIGURATION.format(seen=str(seen)), encoding="utf-8")
    with serving(tmp_path) as server:
        http = AsyncHTTPClient()
        post = {"method": "POST", "body": "{}", "headers": {"Authorization": f"token {TOKEN}"}}
        made = await http.fetch(f"{server.url}api/kernels", **post)
        address = f"{server.url.replace('http', 'ws', 1)}api/kernels/{json.loads(made.body)['id']}/channels"
        socket = await asyncio.wait_for(websocket_connect(f"{address}?token={TOKEN}"), 30)
        socket.close()
    found = json.loads(seen.read_text(encoding="utf-8"))
    assert found == {
        "nodelay": True,
        "modules": ["holystream_nb", "holystream_nb.serveranswers", "holystream_nb.serverextension"],
    }


@pytest.mark.slow
async def test_answers_are_given_to_those_who_may_read_the_notebook(tmp_path: Path) -> None:
    """Nobody else gets any, nor one that is not the notebook's; model's text stays text."""
    with serving(tmp_path) as server:
        journal = Journal()
        journal.configure(journal=server.journal)
        entry = journal.begin(Origin("cell", str(server.folder / "a.ipynb"), "c", "e"), label="m")
        entry.add("<script>alert(1)</script>")
        journal.close()

        async def outputs(query: str, token: str = TOKEN) -> tuple[int, list[dict[str, object]]]:
            headers = {"Authorization": f"token {token}"} if token else {}
            address = f"{server.url}holystream_nb/answers?{query}"
            response = await AsyncHTTPClient().fetch(address, headers=headers, raise_error=False)
            return response.code, json.loads(response.body).get("outputs", [])

        assert (await outputs("notebook=a.ipynb", token=""))[0] == 403
        assert (await outputs("notebook=a.ipynb", token="another"))[0] == 403
        for foreign in ("", "notebook=b.ipynb", "notebook=../a.ipynb", "notebook=b.ipynb&mark=c", "mark=c,another"):
            assert await outputs(foreign) == (200, []), foreign
        for own in ("notebook=a.ipynb", "notebook=/a.ipynb", "notebook=renamed.ipynb&mark=c,e"):
            code, [output] = await outputs(own)
            assert code == 200
            assert "interrupted: the kernel ended" in str(output["data"])
            assert "<script>" not in output["data"]["text/markdown"]  # type: ignore[index]
