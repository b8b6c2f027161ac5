"""Load time: what `%load_ext holystream_nb` takes in a fresh IPython, against importing httpx2 alone in another.

Both are all CPU once the files are in memory; the CPU time beside it tells a slow import from a busy machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .figures import Figure, ratio
from .rounds import rounds

ROUNDS: Final = 21
PROGRAM: Final = """
import json, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
wall, cpu = time.perf_counter_ns(), time.process_time_ns()
{what}
print(json.dumps({{"wall": time.perf_counter_ns() - wall, "cpu": time.process_time_ns() - cpu}}))
"""


def measure() -> list[Figure]:
    variants = {
        "%load_ext holystream_nb": (
            "-c",
            PROGRAM.format(what='shell.extension_manager.load_extension("holystream_nb")'),
        ),
        "import httpx2": ("-c", PROGRAM.format(what="import httpx2")),
    }
    rounds(variants, 1)  # writes the bytecode files
    found = rounds(variants, ROUNDS)
    load, httpx2 = (_figure(name, results, "wall") for name, results in found.items())
    load_cpu, httpx2_cpu = (_figure(f"{name}, CPU", results, "cpu") for name, results in found.items())
    what = "%load_ext holystream_nb / import httpx2"
    return [
        load,
        httpx2,
        ratio(what, load, httpx2, at_most=1.5),
        load_cpu,
        httpx2_cpu,
        ratio(f"{what}, CPU", load_cpu, httpx2_cpu),
    ]


def _figure(what: str, results: Sequence[Mapping[str, int]], clock: str) -> Figure:
    return Figure(what, tuple(result[clock] / 1e6 for result in results), "ms")
