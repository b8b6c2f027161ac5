"""The page that says which format was tried on what is what the providers' table and the tests say."""

from __future__ import annotations

import os

import pytest
from formats_page import FOREIGN, FORMS, PAGE, REAL, ROOT, SIMULATED, Trial, imitated, render, spoken

from holystream_nb.providers.table import providers

PROVIDERS = providers({"HOLYSTREAM_PROVIDERS": os.devnull})


def test_the_page_is_up_to_date() -> None:
    """`python -m tests.formats_page` writes it; a change of the table, a version or the simulator changes it."""
    assert PAGE.read_text("utf-8") == render()


@pytest.mark.parametrize("trial", [*REAL, *FOREIGN, SIMULATED], ids=lambda each: f"{each.package}-{each.forms[0]}")
def test_what_is_said_to_be_tried_has_its_tests(trial: Trial) -> None:
    """They are there, name what they try, and are never skipped."""
    for path in trial.tests:
        text = (ROOT / path).read_text("utf-8")
        assert trial in (*REAL, SIMULATED) or trial.package.removesuffix("-slim").replace("-", "_") in text
        assert "importorskip" not in text
        assert "pytest.skip" not in text
        assert ("pytest.mark.real" in text) == (trial in REAL)


def test_who_is_said_to_be_asked_speaks_the_format() -> None:
    """Real programs and imitated services are entries of the table that speak what was tried with them."""
    for trial in (*REAL, SIMULATED):
        assert set(trial.forms) <= set(spoken(PROVIDERS[trial.provider]))
    services = {(name, form) for name, form in imitated() if name != "copilot"}  # no provider of ours
    assert all(form in spoken(PROVIDERS[name]) for name, form in services)


def test_every_format_was_tried_by_others() -> None:
    """No format rests on our own client and our own simulator alone."""
    assert {form for trial in FOREIGN for form in trial.forms} == set(FORMS)
