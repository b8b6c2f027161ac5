"""An MCP server of 2025-06-18, written by hand, whose every line a test can read: `python mcp_old_server.py LOG [WAY]`.

LOG gets each message that it receives, one a line. `ask` asks the client for all that it might offer, `change`
describes its tools in another way and says so, `wait` never answers, `twist` writes what is no message. The ways are
`many` (tools) and `pages` (of tools, without end).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

log = Path(sys.argv[1])
VERSION = "2025-06-18"
TOOLS = ["ask", "change", "wait", "twist", "plain"]
description = "Does it."
waiting: Any = None


def send(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def said(id: Any, text: str) -> None:
    send(id=id, result={"content": [{"type": "text", "text": text}]})


def called(id: Any, name: str) -> None:
    global description, waiting
    if name == "ask":
        waiting = id
        nothing = {"type": "object", "properties": {}}
        send(id="roots", method="roots/list")
        send(id="sampling", method="sampling/createMessage", params={"messages": [], "maxTokens": 9})
        send(id="elicitation", method="elicitation/create", params={"message": "?", "requestedSchema": nothing})
    elif name == "change":
        description = "Does it, and more."
        send(method="notifications/tools/list_changed")
        said(id, "changed")
    elif name == "twist":
        sys.stdout.write("Loading sk-abcdefghij1234567890 …\n")
        said(id, "twisted")
    elif name != "wait":
        said(id, f"{name} done")


def main() -> None:
    global waiting
    answers = []
    for line in sys.stdin:
        with log.open("a") as file:
            file.write(line)
        message = json.loads(line)
        id, method = message.get("id"), message.get("method")
        if method == "initialize":
            info = {"name": "old", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            send(id=id, result={"protocolVersion": VERSION, "capabilities": capabilities, "serverInfo": info})
        elif method == "tools/list":
            tools = [{"name": name, "description": description, "inputSchema": {"type": "object"}} for name in TOOLS]
            if "many" in sys.argv:
                tools = [{**tools[0], "name": f"tool{number}"} for number in range(200)]
            more = {"nextCursor": "on"} if "pages" in sys.argv else {}
            send(id=id, result={"tools": tools, **more})
        elif method == "tools/call":
            called(id, message["params"]["name"])
        elif method is None:
            answers.append(f"{id}: {'error' if 'error' in message else 'result'}")
            if len(answers) == 3:
                said(waiting, ", ".join(answers))
        elif id is not None:
            send(id=id, error={"code": -32601, "message": "Method not found"})


main()
