"""The console command: `holystream-nb demo`, `holystream-nb serve`, `holystream-nb bench`, `holystream-nb journal`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import __version__, lab
from .errors import HolystreamError, SetupError
from .simulator.__main__ import speed_factor

QUICKSTART: Final = "01_quickstart.ipynb"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="holystream-nb", description="Stream language models into notebook cells.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="open the quickstart notebook in JupyterLab")
    demo.add_argument(
        "--port", type=int, default=_environment_port(), help="port of JupyterLab (HOLYSTREAM_PORT; default 8888)"
    )
    demo.add_argument(
        "--no-browser",
        action="store_true",
        default=os.environ.get("HOLYSTREAM_BROWSER") == "0",
        help="only print the address (HOLYSTREAM_BROWSER=0)",
    )
    serve = commands.add_parser("serve", help="run the simulator of the service, and print its address")
    serve.add_argument("--port", type=int, default=0, help="default: any free port")
    serve.add_argument(
        "--speed", type=speed_factor, default=1.0, help="a number, or max for no pauses at all (default 1)"
    )
    serve.add_argument("--seed", type=int, default=0, help="same seed, same streams (default 0)")
    serve.add_argument("--key", help="accept this key only (default: any)")
    command = next(iter(sys.argv[1:] if arguments is None else arguments), "")
    measured = commands.add_parser("bench", help="measure models, and say by the exit code whether limits held")
    if command == "bench":
        _describe_bench(measured, sys.argv[1:] if arguments is None else arguments)
    kept = commands.add_parser("journal", help="look into the answers that are kept, export or forget them")
    if command == "journal":
        _describe_journal(kept)
    options = parser.parse_args(arguments)
    try:
        if options.command == "bench":
            from .measuring.command import run

            return run(options)
        if options.command == "journal":
            from .journal.command import run as look

            return look(options)
        if options.command == "demo":
            return _demo(options.port, browser=not options.no_browser)
        return _serve(options.port, options.speed, options.seed, options.key)
    except HolystreamError as exc:
        from .live.saved import printable

        print(f"holystream-nb: {printable(str(exc))}", file=sys.stderr)
        return 2 if options.command == "bench" else 1
    except KeyboardInterrupt:
        return 130


def _describe_bench(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    from .measuring.command import EPILOG, add_arguments, check_names  # late: the other commands need nothing of it

    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
    add_arguments(parser)
    check_names(parser, arguments)


def _describe_journal(parser: argparse.ArgumentParser) -> None:
    from .journal.command import EPILOG, add_arguments  # late, as above

    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
    add_arguments(parser)


def _environment_port() -> int:
    text = os.environ.get("HOLYSTREAM_PORT", "")
    return int(text) if text.isdecimal() else 8888


def quickstart(folder: Path) -> Path:
    """The quickstart notebook of the checkout in `folder`, else a copy of the packaged one, made there once."""
    ours = folder / "notebooks" / QUICKSTART
    if ours.is_file():
        return ours
    copy = folder / "holystream_notebooks" / QUICKSTART
    if not copy.exists():
        package = Path(__file__).parent
        packaged = package / "notebooks" / QUICKSTART
        source = packaged if packaged.is_file() else package.parent / "notebooks" / QUICKSTART
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, copy)
    return copy


def _demo(port: int, *, browser: bool) -> int:
    notebook = quickstart(Path.cwd())
    arguments = [f"--port={port}", f"--ServerApp.root_dir={notebook.parent}"]
    arguments.append(f"--LabApp.default_url=/lab/tree/{notebook.name}")  # also in the address that is printed
    if not browser:
        arguments.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")  # in a container; Jupyter refuses to start otherwise
    os.environ.pop("OPENAI_BASE_URL", None)  # set for other programs: the demo's cells are for the simulator
    return lab.run(arguments)


def _serve(port: int, speed: float | None, seed: int, key: str | None) -> int:
    from .simulator import run

    try:
        run(port=port, speed=speed, seed=seed, key=key, on_ready=_announce)
    except (ValueError, OSError) as exc:
        raise SetupError(f"The simulator cannot be served: {exc}") from exc
    return 0


def _announce(url: str) -> None:
    print(f"The simulator answers at {url} (Ctrl-C ends it)", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
