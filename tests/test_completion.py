"""Completion of %%stream and %stream, by the kernel's own completer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kernels import Kernel, kernel

from holystream_nb.completion import completions

Complete = Callable[[str], tuple[list[str], str]]


def offered(text: str, **variables: object) -> list[str]:
    """What could stand at the end of a cell."""
    lines = text.split("\n")
    _fragment, offers = completions(text, len(lines) - 1, lines[-1], variables)
    return [offer for offer, _meaning in offers]


def test_options_and_their_values_are_offered() -> None:
    """Options after a dash, the choices of an option after it, and nothing where anything may stand."""
    assert {"-m", "--model", "--format", "--max-cost"} <= set(offered("%%stream -"))
    assert "-m" not in offered("%%stream --f")
    assert offered("%%stream --format ") == ["markdown", "text", "code", "json"]
    assert offered("%%stream -m x --wire ") == ["chat", "messages", "responses"]
    assert offered("%%stream --transport s") == ["sse", "ws", "auto"]
    assert offered("%%stream --system ") == offered("%%stream x") == offered("%%streaming -") == []


def test_variables_are_offered_in_braces_of_a_prompt_and_functions_as_tools() -> None:
    """The notebook's own names; `{{` begins no variable."""
    names = {"notes": "text", "_hidden": 1, "look_up": len, "pytest": pytest}
    assert offered("%%stream\nSummarise {", **names) == ["notes"]
    assert offered("%%stream\nSummarise {no", **names) == ["notes"]
    assert offered("%%stream\nSummarise {{no", **names) == offered("%%stream\nnotes", **names) == []
    assert offered("%%stream --tools ", **names) == ["look_up"]


def test_subcommands_are_offered_as_the_help_has_them() -> None:
    """And providers after those that take one."""
    assert {"config", "models", "check", "last", "forget"} <= set(offered("%stream "))
    assert "simulator" in offered("%stream models ")
    assert offered("%stream last ") == offered("stream ") == []


@pytest.fixture(scope="module")
def running() -> Iterator[Kernel]:
    with kernel() as started:
        yield started


@pytest.mark.slow
def test_a_kernel_completes_them_for_every_front_end(running: Kernel) -> None:
    """What is replaced is the whole word, models with colons and dots included, and no Python name is among them."""

    def complete(text: str) -> tuple[list[str], str]:
        reply = running.client.complete(text, reply=True, timeout=20)["content"]
        return reply["matches"], text[reply["cursor_start"] : reply["cursor_end"]]

    running.run("notes = 'text'")
    assert complete("%%stream --max-c") == (["--max-cost"], "--max-c")
    assert complete("%%stream --format js") == (["json"], "js")
    assert complete("%%stream\nSummarise {not") == (["notes"], "not")
    assert complete("%stream mod") == (["models"], "mod")
    models, replaced = complete("%%stream -m deepseek-v3.")
    for _ in range(20):  # a busy machine lists them for the next try
        if not models:
            models, replaced = complete("%%stream -m deepseek-v3.")
    assert "deepseek-v3.2" in models
    assert replaced == "deepseek-v3."
    running.run("%unload_ext holystream_nb")
    assert running.run("print(get_ipython().Completer.custom_matchers)").printed == "[]\n"
