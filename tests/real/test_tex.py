"""TeX itself on what nbconvert writes of answers: of hostile ones no file is read, and allowed maths is typeset.

Nothing here needs the engine. TeX is the system's: Debian's texlive-xetex, -latex-extra and -fonts-recommended.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from holystream_nb.live.harmless import harmless

from ..live.latex import exported, pandoc, typeset
from ..live.payloads import PAYLOADS
from ..live.test_formulas import FORMULAS

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("xelatex") is None, reason="NO xelatex: what TeX makes of answers is NOT TESTED"),
]

ORDINARY: Final = r"""$\alpha + \frac{a}{b} \leq \sqrt{x}$ and $a < b$, $\text{if a < b_c \& d}$, 50\% of $5 or $6

\begin{align} a &= b \label{x} \\ c &< d \nonumber \end{align}

$$\begin{equation} x^2 \tag{1} \end{equation}$$

\[ \left( \begin{array}{cc|c} 1 & 2 & 3 \\ \hline 4 & 5 & 6 \end{array} \right) \]

\[ f = \begin{cases} a & b \\ c & d \end{cases} \]

\begin{gather*} a \\ b \end{gather*}

$$\begin{alignat}{2} a &= b & c &= d \end{alignat}$$

$$\begin{multline} a \\ b \end{multline}$$ $\color{red} x$ $\textcolor{blue}{y}$ $\operatorname*{argmax}_x$ $\mathbb{R}$

$\underbrace{a}_{b} \xrightarrow{x} \begin{pmatrix}1&2\\3&4\end{pmatrix}$
"""


@pytest.fixture(autouse=True)
def with_pandoc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(pandoc().parent), prepend=":")


def test_tex_reads_no_file_of_a_hostile_answer(tmp_path: Path) -> None:
    """XeLaTeX opens its own files and the document, writes nothing but its own, and finds no error in any payload."""
    said, opened = typeset(exported([{"text/markdown": harmless(text)} for text in PAYLOADS.values()]), tmp_path)
    assert {Path(name).name for name in opened if not re.search("texm?f|texlive|fontconfig|/fonts/", name)} <= {
        "notebook.tex",
        "notebook.aux",
        "notebook.out",
    }
    assert {path.suffix for path in tmp_path.iterdir()} <= {".tex", ".aux", ".out", ".log", ".fls", ".pdf"}
    assert re.findall(r"(?m)^! .*", said) == []
    assert (tmp_path / "notebook.pdf").exists()


def test_tex_would_read_one(tmp_path: Path) -> None:
    """The same, not made harmless: the test above sees the file that was read."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    _, opened = typeset(exported([{"text/markdown": "$^^5cinput{secret.txt}$"}]), tmp_path)
    assert "secret.txt" in {Path(name).name for name in opened}


def test_allowed_maths_is_typeset(tmp_path: Path) -> None:
    """A document with every kind of environment is typeset without an error."""
    said, _ = typeset(exported([{"text/markdown": harmless(ORDINARY)}]), tmp_path)
    assert re.findall(r"(?m)^! .*", said) == []
    assert (tmp_path / "notebook.pdf").exists()


def test_formulas_that_people_write_are_typeset(tmp_path: Path) -> None:
    """XeLaTeX finds no error in a document of them, within lines and as displays: one error ends a notebook's PDF."""
    lines = [f"${formula}$\n\n$$\n{formula}\n$$" for formula in FORMULAS]
    said, _ = typeset(exported([{"text/markdown": harmless("\n\n".join(lines))}]), tmp_path)
    assert re.findall(r"(?m)^! .*(?:\n.*)*?l\.\d+ .*", said) == []
