"""qtconsole's own widget, on a screen that nobody sees: runs cells, and prints the text that its user would read."""

from __future__ import annotations

import json
import os
import sys
import time

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from qtconsole.manager import QtKernelManager
from qtconsole.rich_jupyter_widget import RichJupyterWidget
from qtpy.QtWidgets import QApplication

_CELL_S = 20.0


def main() -> None:
    application = QApplication([])
    manager = QtKernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    console = RichJupyterWidget()
    console.kernel_manager, console.kernel_client = manager, client

    def prompt(number: int) -> None:
        """Waits for this prompt: all before it has ended."""
        end = time.monotonic() + _CELL_S
        while not console._control.toPlainText().rstrip().endswith(f"In [{number}]:"):
            if time.monotonic() > end:
                raise TimeoutError(console._control.toPlainText())
            application.processEvents()
            time.sleep(0.01)

    try:
        prompt(1)
        for number, cell in enumerate(json.load(sys.stdin), start=1):
            console.execute(cell)
            prompt(number + 1)
        print(console._control.toPlainText())
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


main()
