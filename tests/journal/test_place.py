"""Where the journal lies, and who decides: this process, the environment, the site, we."""

from __future__ import annotations

from pathlib import Path

import pytest

from holystream_nb.errors import SetupError
from holystream_nb.journal import place
from holystream_nb.journal.journal import Journal
from holystream_nb.journal.place import Settings, changed, default_folder, of_file, settings


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's file, which is not there yet."""
    file = tmp_path / "journal.toml"
    monkeypatch.setattr(place, "site", lambda: of_file(file))
    return file


def test_by_default_it_is_on_in_the_users_data_folder(site: Path) -> None:
    """For 90 days and 500 MB, without pictures."""
    assert settings({}, {}) == Settings(True, None, 90, 500, False)
    assert settings({}, {}).path == default_folder()
    assert default_folder().parts[-2:] == ("holystream_nb", "journal")


@pytest.mark.parametrize("word", ["0", "off", "False", "NO", " 0 "])
def test_the_variable_turns_it_off(site: Path, word: str) -> None:
    """By any of the usual words."""
    assert not settings({}, {"HOLYSTREAM_JOURNAL": word}).is_on


def test_the_variable_names_another_folder(site: Path) -> None:
    """With ~ as the home folder; 1 is the usual one."""
    assert settings({}, {"HOLYSTREAM_JOURNAL": "/a/b"}).path == Path("/a/b")
    assert settings({}, {"HOLYSTREAM_JOURNAL": "~/b"}).path == Path.home() / "b"
    assert settings({}, {"HOLYSTREAM_JOURNAL": "1"}).path == default_folder()


def test_nearer_words_win(site: Path) -> None:
    """This process's over the environment's over the machine's."""
    site.write_text("journal = false\ndays = 30\nmegabytes = 7.5\nimages = true\n")
    assert settings({}, {}) == Settings(False, None, 30, 7.5, True)
    assert settings({}, {"HOLYSTREAM_JOURNAL": "1"}) == Settings(True, None, 30, 7.5, True)
    assert settings({}, {"HOLYSTREAM_JOURNAL": "/a"}).folder == Path("/a")
    said = changed({}, journal=False, days=1)
    assert settings(said, {"HOLYSTREAM_JOURNAL": "/a"}) == Settings(False, Path("/a"), 1, 7.5, True)
    assert settings(changed(said, journal=None), {"HOLYSTREAM_JOURNAL": "/a"}).is_on
    site.write_text('journal = "~/kept"\n')
    assert settings({}, {}).path == Path.home() / "kept"


@pytest.mark.parametrize(
    ("text", "why"),
    [("journal = 5", "a folder"), ("days = 0", "above 0"), ("colour = 1", "knows no"), ("journal", "cannot be read")],
)
def test_a_file_that_cannot_be_understood_is_said_and_nothing_is_written(
    site: Path, journal_folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    """Rather than to write what an administrator may have forbidden."""
    site.write_text(text)
    with pytest.raises(SetupError, match=why):
        settings({}, {})
    journal = Journal()
    from holystream_nb.journal.values import Origin

    assert journal.begin(Origin("cell")).id == ""
    assert str(site) in journal.notice()


def test_a_word_that_is_no_folder_is_refused() -> None:
    """`of` is no place."""
    with pytest.raises(SetupError, match="HOLYSTREAM_JOURNAL is neither 0, nor 1"):
        settings({}, {"HOLYSTREAM_JOURNAL": "of"})
    with pytest.raises(SetupError, match="days=-1"):
        Journal().configure(days=-1)
