"""A Jupyter server of its own for the tests in a browser: JupyterLab at /lab, Notebook 7 at /notebooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import holystream_nb

TOKEN: Final = "holystream-tests"
_READY_S: Final = 120.0
_END_S: Final = 10.0
_OPTIONS: Final = (
    "--no-browser",
    "--allow-root",
    "--ip=127.0.0.1",
    f"--IdentityProvider.token={TOKEN}",
    "--ServerApp.terminals_enabled=False",
    "--LabApp.news_url=",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.expose_app_in_browser=True",
    "--JupyterNotebookApp.expose_app_in_browser=True",
)
# Plugins' settings, by schema. Tests save when they mean to.
_SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}

# nbdime is installed for `nbdiff`; its buttons and requests are none of a user's page.
_WITHOUT_NBDIME: Final[Mapping[str, str]] = {
    "jupyter_server_config.json": '{"ServerApp": {"jpserver_extensions": {"nbdime": false}}}',
    "labconfig/page_config.json": '{"disabledExtensions": {"nbdime-jupyterlab": true}}',
}
_WITHOUT_BOTH: Final[Mapping[str, str]] = {
    "jupyter_server_config.json": json.dumps(
        {"ServerApp": {"jpserver_extensions": {"nbdime": False, "holystream_nb.serverextension": False}}}
    ),
    "labconfig/page_config.json": json.dumps(
        {"disabledExtensions": {"nbdime-jupyterlab": True, "holystream_nb": True}}
    ),
}


@dataclass(frozen=True)
class Server:
    """A running server: `url` ends with a slash, `folder` holds its notebooks, `journal` its kernels' answers."""

    url: str
    folder: Path
    journal: Path

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0


@contextmanager
def serving(
    root: Path, *, speed: str = "max", port: int = 0, is_extended: bool = True, installed: Path | None = None
) -> Iterator[Server]:
    """Runs a server whose every file is below `root`: nothing of the user's configuration is read or changed.

    One that has ended can be started again, with the same root and port.

    speed: of the simulator in its kernels, as HOLYSTREAM_SIMULATOR_SPEED takes it.
    is_extended: whether its pages and the server itself have our extensions.
    installed: a folder beside the environment whose programs act on the server too.
    """
    folder = root / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for schema, values in _SETTINGS.items():
        file = root / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{schema}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    for name, text in (_WITHOUT_NBDIME if is_extended else _WITHOUT_BOTH).items():
        file = root / "config" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    log = root / "server.log"
    command = [sys.executable, "-m", "jupyterlab", *_OPTIONS, f"--port={port}", f"--ServerApp.root_dir={folder}"]
    variables = _environment(root, speed, installed)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield Server(_url(process, root / "runtime", log), folder, root / "journal")
    finally:
        process.terminate()  # ends the kernels too
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(root: Path, speed: str, installed: Path | None) -> dict[str, str]:
    """The environment without keys, and with every configuration folder below `root`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith(("_API_KEY", "_BASE_URL")) and not name.startswith(("HOLYSTREAM_", "JUPYTER_"))
    }
    data = str(_extended(root))
    if installed is not None:
        data = f"{data}{os.pathsep}{installed / 'share' / 'jupyter'}"
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(installed), kept.get("PYTHONPATH", "")]))
        kept["JUPYTER_CONFIG_PATH"] = str(installed / "etc" / "jupyter")
    return {
        **kept,
        "HOLYSTREAM_JOURNAL": str(_journal(root)),
        "HOLYSTREAM_SIMULATOR_SPEED": speed,
        "IPYTHONDIR": str(root / "ipython"),
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "JUPYTER_PATH": data,
        "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
        "XDG_CONFIG_HOME": str(root / "xdg"),
        "XDG_DATA_HOME": str(root / "xdg-data"),
    }


def _journal(root: Path) -> Path:
    """A folder for the journal, of which its user has been told."""
    folder = root / "journal"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "told").touch()
    return folder


def _extended(root: Path) -> Path:
    """A folder of Jupyter data in which this tree's JupyterLab extension lies, whatever is installed."""
    data = root / "tree"
    if not data.exists():
        data.mkdir()
        (data / "labextensions").symlink_to(Path(holystream_nb.__file__).parent / "labextension")
    return data


def _url(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """The address from the file that the server writes once it listens."""
    too_late = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < too_late:
        for file in runtime.glob(f"jpserver-{process.pid}.json"):
            try:
                return str(json.loads(file.read_text(encoding="utf-8"))["url"])
            except ValueError:  # half written
                break
        time.sleep(0.02)
    raise RuntimeError(f"The Jupyter server did not start:\n{log.read_text(errors='replace')[-2000:]}")
