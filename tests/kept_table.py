"""What is left of an answer, as the table in the README: `python -m tests.kept_table` writes it.

`CASES` says what happens, what is left, and which test of `browser/test_kept.py` does it for real.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

README: Final = Path(__file__).parent.parent / "README.md"
BEGIN: Final = "<!-- kept: written by `python -m tests.kept_table` -->"
END: Final = "<!-- end of what is kept -->"
SEEN: Final = "*kept*"


@dataclass(frozen=True)
class Case:
    """`test` names the function that does it; `how` is what is seen until the plain output is there."""

    happens: str
    how: str
    test: str


CASES: Final = (
    Case("the page is reloaded, saved before or not", "the view comes back with all the text", "test_a_reload_unsaved"),
    Case("… twice, and Stop is pressed then", "Stop works", "test_stop_after_a_reload"),
    Case("the notebook is saved meanwhile", "the file has the text so far", "test_a_reload_saved"),
    Case(
        "… while another cell blocks the kernel",
        "the text so far, and the view when the kernel can answer",
        "test_a_reload_while_another_cell_blocks_the_kernel",
    ),
    Case("… beside other outputs, with several answers", "each in its place", "test_a_reload_beside_other_outputs"),
    Case("the tab is closed, and opened after the end", "the plain output", "test_a_closed_tab"),
    Case("the notebook is open in a second browser", "both have it", "test_a_second_browser"),
    Case("the kernel is killed", "at once the text so far, *interrupted: the kernel ended*", "test_a_killed_kernel"),
    Case(
        "… while the page is away",
        "the same when it comes back",
        "test_a_killed_kernel_while_the_page_was_away",
    ),
    Case("the kernel is restarted", "the text so far", "test_a_restarted_kernel"),
    Case(
        "the cell is moved, cut and pasted, deleted and undone, split, merged, or Markdown for a while",
        "the answer, once",
        "test_a_cell_that_is",
    ),
)


def render() -> str:
    """The README's part."""
    rows = "".join(f"| {case.happens} | {SEEN}: {case.how} |\n" for case in CASES)
    return f"{BEGIN}\n\n| what happens while an answer streams | what you see |\n|---|---|\n{rows}\n{END}"


def in_readme() -> str:
    """What the README holds now; "" where it has no such part."""
    text = README.read_text("utf-8")
    return text[text.index(BEGIN) : text.index(END) + len(END)] if BEGIN in text else ""


def main() -> None:
    text = README.read_text("utf-8")
    README.write_text(text.replace(in_readme(), render()), "utf-8")


if __name__ == "__main__":
    main()
