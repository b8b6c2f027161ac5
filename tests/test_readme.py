"""The README's code does what the README says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import kernels
import pytest

from holystream_nb.providers.table import providers

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.notebook
def test_the_python_code_runs_in_order_in_one_notebook(tmp_path: Path) -> None:
    """Every block, as a user would run them."""
    assert blocks("python")
    with kernels.kernel(HOLYSTREAM_SIMULATOR_SPEED="20") as kernel:
        kernel.run(f"%cd {tmp_path}")
        for code in blocks("python"):
            ran = kernel.run(code)
            assert ran.reply["status"] == "ok", (code, ran.error)


def test_the_toml_is_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of a provider's entry is read as one."""
    (example,) = blocks("toml")
    path = tmp_path / "providers.toml"
    path.write_text(example)
    monkeypatch.setenv("HOLYSTREAM_PROVIDERS", str(path))
    for name in tomllib.loads(example):
        assert name in providers()


def test_every_provider_is_named() -> None:
    """The table of providers is complete."""
    for name in providers():
        assert f"`{name}`" in README or name in ("holysheep", "simulator")


def test_every_option_of_the_magic_is_named() -> None:
    """The options in the README are those of %%stream?."""
    from holystream_nb.magic import StreamMagics

    for action in StreamMagics.stream.parser._actions:
        assert any(f"`{option}" in README for option in action.option_strings), action.option_strings


def test_every_local_link_leads_somewhere() -> None:
    """Pictures and pages exist."""
    root = Path(__file__).parent.parent
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert targets
    for target in targets:
        assert (root / target).exists(), target
