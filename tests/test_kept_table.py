"""README's table of what is kept."""

from __future__ import annotations

from types import SimpleNamespace

from kept_table import Witness, in_readme, render, rows


def test_readme_has_the_rows_that_the_browsers_tests_have() -> None:
    """Word for word, in their order, and none beside them."""
    assert in_readme() == render()


def test_a_row_whose_test_is_skipped_fails_or_is_missing_is_not_shown() -> None:
    """Of several cases each must pass; at its second try too."""
    first, second, third, *others = [row.test for row in rows()]
    witness = Witness()
    ends = [(f"{first}[lab]", "passed"), (f"{first}[notebook7]", "failed"), (second, "skipped")]
    ends += [(third, "rerun"), (third, "passed")]
    for name, outcome in ends:
        report = SimpleNamespace(nodeid=f"tests/browser/test_kept.py::{name}", when="call", outcome=outcome)
        witness.pytest_runtest_logreport(report)
    assert [row.test for row in witness.missing()] == [first, second, *others]
