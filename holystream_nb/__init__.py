"""Stream language models into notebook cells, and measure how fast they answer.

In a notebook: `%load_ext holystream_nb`, then `%%stream`. In Python: `await hs.stream("…")`, or a `Client` without any
display. Everything is imported when it is first used, so that loading the extension is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ChatPanel": "chat.panel",
    "Client": "client.client",
    "Conversation": "measuring.values.turns",
    "Event": "events",
    "Finish": "events",
    "Guard": "migration.guard",
    "HolystreamError": "errors",
    "OtherChoice": "events",
    "Reasoning": "events",
    "Reply": "reply",
    "Rollout": "migration.rollout",
    "Simulator": "simulator",
    "Text": "events",
    "ToolCallEnd": "events",
    "ToolCallPart": "events",
    "Usage": "events",
    "bench": "measuring.bench",
    "calibrate": "measuring.calibrate",
    "capacity": "measuring.capacity",
    "check": "checking",
    "claims_table": "money.claims",
    "compare_runs": "measuring.runs",
    "configure": "session",
    "history": "session",
    "load": "measuring.load",
    "mcp": "tools.mcp_servers",
    "merge": "measuring.runs",
    "preset": "measuring.presets",
    "project_cost": "money.projection",
    "run": "sync",
    "run_tools": "tools.run",
    "runs": "measuring.runs",
    "shadow": "measuring.shadow",
    "stream": "session",
    "sweep": "measuring.sweep",
    "synthetic": "measuring.workloads",
    "tool": "tools.function",
    "trace": "measuring.workloads",
    "watch": "measuring.watch",
}

__all__ = [
    "ChatPanel",
    "Client",
    "Conversation",
    "Event",
    "Finish",
    "Guard",
    "HolystreamError",
    "OtherChoice",
    "Reasoning",
    "Reply",
    "Rollout",
    "Simulator",
    "Text",
    "ToolCallEnd",
    "ToolCallPart",
    "Usage",
    "bench",
    "calibrate",
    "capacity",
    "check",
    "claims_table",
    "compare_runs",
    "configure",
    "history",
    "load",
    "mcp",
    "merge",
    "preset",
    "project_cost",
    "run",
    "run_tools",
    "runs",
    "shadow",
    "stream",
    "sweep",
    "synthetic",
    "tool",
    "trace",
    "watch",
]

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .chat.panel import ChatPanel
    from .checking import check
    from .client.client import Client
    from .errors import HolystreamError
    from .events import Event, Finish, OtherChoice, Reasoning, Text, ToolCallEnd, ToolCallPart, Usage
    from .measuring.bench import bench
    from .measuring.calibrate import calibrate
    from .measuring.capacity import capacity
    from .measuring.load import load
    from .measuring.presets import preset
    from .measuring.runs import compare_runs, merge, runs
    from .measuring.shadow import shadow
    from .measuring.sweep import sweep
    from .measuring.values.turns import Conversation
    from .measuring.watch import watch
    from .measuring.workloads import synthetic, trace
    from .migration.guard import Guard
    from .migration.rollout import Rollout
    from .money.claims import claims_table
    from .money.projection import project_cost
    from .reply import Reply
    from .session import configure, history, stream
    from .simulator import Simulator
    from .sync import run
    from .tools.function import tool
    from .tools.mcp_servers import mcp
    from .tools.run import run_tools


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext holystream_nb`"""
    from . import completion, magic
    from .chat.sidebar import sidebar

    magic.load(shell)
    completion.load(shell)
    sidebar.begin()


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext holystream_nb`"""
    from . import completion, magic

    completion.unload(shell)
    magic.unload(shell)
