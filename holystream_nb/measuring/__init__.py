"""plan -> run (child processes) -> records -> results -> statistics -> charts.

A room of its own name: `holystream_nb.bench` is a function, and importing a package of that name would replace it.
`bench.bench` is the way in, `results.load` the way back from a file; `worker` is what a child process runs, and imports
nothing that only the parent needs.
"""
