"""Clients that read one stream, in a process of its own: `python -m tests.bench.readers CLIENT URL MODEL METER`.

Each module has `reader(url)`, an asynchronous context manager that gives a function: a model's name -> the number of
chunks that brought text, and the whole text.
"""
