"""Benchmarks: `python -m tests.bench` from the repository's root, or `python -m tests.bench NAME …` for some of them.

Each module named in `__main__.BENCHMARKS` has a function `measure()` that returns figures; the first line of its
docstring is the title of its table. Times depend on the machine, so what counts are ratios of one run; a target that
is missed is printed and fails nothing.
"""
