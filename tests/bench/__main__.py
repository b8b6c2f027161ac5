"""Runs the benchmarks named on the command line, or all."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import import_module
from importlib.metadata import version

from holystream_nb import __version__

from .figures import table

BENCHMARKS = (
    "timing_truth",
    "client_cost",
    "transport_cost",
    "load_time",
    "summary_time",
    "start_to_wire",
    "journal_cost",
    "memory",
    "kernel_memory",
    "paint_lag",
    "page_memory",
    "many_cells",
    "long_answers",
    "panel_turns",
    "panels",
    "dask_run",
    "beside_peers",
)
LIBRARIES = ("httpx2", "httpcore2", "msgspec", "openai", "anthropic", "ipython", "ipykernel")


def main(names: list[str]) -> None:
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        sys.exit(f"There is no benchmark {', '.join(unknown)}: choose from {', '.join(BENCHMARKS)}.")
    print(f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.system()} {platform.release()}")
    print(f"{platform.python_implementation()} {platform.python_version()}, holystream_nb {__version__}")
    print(", ".join(f"{library} {version(library)}" for library in LIBRARIES))
    for name in names or BENCHMARKS:
        benchmark = import_module(f".{name}", __package__)
        start = time.perf_counter()
        figures = benchmark.measure()
        title = (benchmark.__doc__ or name).splitlines()[0]
        print(f"\n{title}\n\n{table(figures)}\n({name}: {time.perf_counter() - start:.0f} s)", flush=True)


main(sys.argv[1:])
