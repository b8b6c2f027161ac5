"""values <- running; values <- figures <- charts <- the doors (bench, sweep, shadow, calibrate, presets, load).

A room of its own name: `holystream_nb.bench` is a function, and importing a package of that name would replace it.
"""
