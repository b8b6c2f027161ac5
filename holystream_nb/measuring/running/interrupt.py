"""Ctrl-C and ■ while something is awaited: heard at once, and a cancellation also in IPython's terminal.

`asyncio.run` and a kernel cancel what is awaited. IPython's terminal does not: the loop alone is left, and what was
awaited would go on in its processes, unseen and paid for. And a kernel cancels from a signal's handler, which wakes no
loop that sleeps: ■ was heard when the next event came, 18 s later between two sittings of a watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Final

_AWAKE_S: Final = 0.1


@contextlib.contextmanager
def cancelled_by_ctrl_c() -> Iterator[None]:
    """Within it, Ctrl-C cancels the task that is running now; where a handler is set already, that one has its way.

    The loop does not sleep for longer than a tenth of a second meanwhile.
    """
    task = asyncio.current_task()
    is_ours = (
        task is not None
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and _in_terminal()
    )
    loop = asyncio.get_running_loop()
    if is_ours and task is not None:
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(signal.SIGINT, task.cancel)
    awake = asyncio.ensure_future(_awake())
    try:
        yield
    finally:
        awake.cancel()
        if is_ours:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(signal.SIGINT)


async def _awake() -> None:
    while True:  # noqa: ASYNC110  # for the wakening alone
        await asyncio.sleep(_AWAKE_S)


def _in_terminal() -> bool:
    from ...live.screen import current_shell

    shell = current_shell()
    return shell is not None and getattr(shell, "kernel", None) is None
