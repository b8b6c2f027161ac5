"""What a machine lacks is said, and in CI nothing may be lacking."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples import examples
from missing import imported, missing, needs

HERE = Path(__file__).parent


def test_what_is_missing_skips_and_in_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program, a library, and a mark of several tests."""
    monkeypatch.delenv("CI", raising=False)
    for ask in (lambda: missing("NO pandoc"), lambda: imported("no_such_library")):
        with pytest.raises(pytest.skip.Exception, match="NO "):
            ask()
    assert needs(False, "NO node").args == (True,)
    monkeypatch.setenv("CI", "true")
    for ask in (lambda: missing("NO pandoc"), lambda: imported("no_such_library")):
        with pytest.raises(pytest.fail.Exception, match="NO "):
            ask()
    assert needs(False, "NO node").args == (False,)


def test_no_test_skips_in_another_way() -> None:
    """But for what only another system could show."""
    ways = (f"pytest.{'skip'}(", f"importor{'skip'}(")
    found = {path.name for path in HERE.rglob("*.py") if any(way in path.read_text("utf-8") for way in ways)}
    assert found == {"missing.py", "test_providers.py"}


@pytest.mark.parametrize("name", ["CI", "HOLYSTREAM_NIGHTLY"])
def test_properties_have_all_their_examples_in_ci_and_at_night(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a fifth."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("HOLYSTREAM_NIGHTLY", raising=False)
    assert (examples(300), examples(3)) == (60, 1)
    monkeypatch.setenv(name, "1")
    assert examples(300) == 300
