"""The wheel, installed where there is no source tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import holystream_nb

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BUNDLE_LIMIT = 350_000


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Runs a command and returns what it printed; a failure shows all of it."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--wheel-dir", folder, cwd=ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel in it, and this environment's other packages beside it.

    They are named in a `.pth` file; such files inside the folder it names are not read, so an editable install of ours
    stays unseen, and an ordinary one comes second.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home)
    paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    interpreter = Path(paths["scripts"], Path(sys.executable).name)
    run(sys.executable, "-m", "pip", "--python", interpreter, "install", "--no-deps", "--no-index", wheel, cwd=home)
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(paths["purelib"], "test_environment.pth").write_text("\n".join(sorted(ours)), encoding="utf-8")
    return interpreter


def test_the_wheel_holds_the_bundle_and_the_data_but_no_sources_of_the_front_end(wheel: Path) -> None:
    """Everything that is needed at run time is in the wheel, and nothing that is needed only to build it."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix("holystream_nb/") for name in archive.namelist()}
    assert names >= {
        "static/live.js",
        "static/live.css",
        "static/chat.js",
        "static/chat.css",
        "static/LICENSES.txt",
        "py.typed",
        "providers/providers.toml",
        "providers/FORMATS.md",
    }
    assert not [name for name in names if "frontend" in name or "node_modules" in name]
    [extension] = {name for name in names if name.endswith("labextensions/holystream_nb/package.json")}
    folder = extension.removesuffix("package.json")
    scripts = {name.removeprefix(folder).partition(".")[0] for name in names if name.startswith(f"{folder}static/")}
    assert scripts == {"static/remoteEntry", "static/live", "static/chat"}
    assert not [name for name in names if "labextension/" in name], "JupyterLab's files are there once"


def test_the_package_is_imported_from_the_wheel_with_its_bundle(python: Path, tmp_path: Path) -> None:
    """Outside the source tree the package comes from the environment, and the live view finds a small bundle."""
    code = (
        "import holystream_nb; from holystream_nb.live.widget import LiveView\n"
        "print(holystream_nb.__file__); print(len(LiveView(lanes=[])._esm.encode()))"
    )
    origin, size = run(python, "-I", "-c", code, cwd=tmp_path).splitlines()[-2:]
    assert Path(origin).is_relative_to(python.parent.parent)
    assert 50_000 < int(size) <= BUNDLE_LIMIT


def test_jupyterlab_finds_the_wheels_extension(python: Path, tmp_path: Path) -> None:
    """`jupyter labextension list` has it, enabled and OK, in the version of the package."""
    isolated = {"JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_DATA_DIR": str(tmp_path)}
    shown = run(python, "-I", "-m", "jupyterlab.labextensions", "list", "--no-build", cwd=tmp_path, **isolated)
    lines = [line for line in shown.splitlines() if "holystream_nb" in line]
    assert len(lines) == 1, shown
    assert re.search(rf"holystream_nb v{re.escape(holystream_nb.__version__)}.*enabled.*OK", lines[0]), lines


def test_the_extension_loads_from_the_wheel(python: Path, tmp_path: Path) -> None:
    """`%load_ext holystream_nb` works outside the source tree and brings the magics."""
    code = "%load_ext holystream_nb\nprint('stream' in get_ipython().magics_manager.magics['cell'])"
    shown = run(python, "-I", "-m", "IPython", "--no-banner", "-c", code, cwd=tmp_path, IPYTHONDIR=str(tmp_path))
    assert shown.splitlines()[-1] == "True"
