r"""What nbconvert writes for TeX of a hostile answer: in it TeX obeys only pandoc's text and our list of maths."""

from __future__ import annotations

import json
import os
from itertools import cycle
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import holystream_nb
from holystream_nb.live.beside import Citation
from holystream_nb.live.harmless import code_block, harmless, plain_line
from holystream_nb.live.saved import beside_markdown, marked, printable

from .latex import bodies, obeyed, pandoc
from .payloads import DOM, HTML, MARKDOWN, MATHS, PAYLOADS, TEX
from .test_harmless import FRAGMENTS

LISTS: Final = json.loads((Path(holystream_nb.__file__).parent / "live" / "harmless" / "tex.json").read_text("utf-8"))
TYPESET: Final = {
    *" ".join(LISTS["commands"]).split(),
    *("begin", "end", "left", "right", "(", ")", "[", "]"),
    *",;:!> {}|\\%#&_^~$-/\n",
}
"""What may be in a formula, and the signs of text."""
_AROUND_TEXT: Final = """
    textbackslash textasciitilde textasciicircum textless textgreater textbar textquotesingle textquotedbl textbf emph
    texttt st sout ldots section subsection subsubsection paragraph subparagraph hypertarget label texorpdfstring item
    tightlist setcounter toprule midrule bottomrule endhead endfirsthead endfoot endlastfoot tabularnewline noalign
    raggedright raggedleft centering arraybackslash columnwidth linewidth tabcolsep real textsuperscript textsubscript
    leavevmode vadjust pre rule strut DataTypeTok AlertTok AnnotationTok AttributeTok BaseNTok BuiltInTok CharTok
    CommentTok CommentVarTok ConstantTok ControlFlowTok DecValTok DocumentationTok ErrorTok ExtensionTok FloatTok
    FunctionTok ImportTok InformationTok KeywordTok NormalTok OperatorTok OtherTok PreprocessorTok RegionMarkerTok
    SpecialCharTok SpecialStringTok StringTok VariableTok VerbatimStringTok WarningTok textasciigrave kern
"""
PANDOC: Final = set(_AROUND_TEXT.split())
"""Commands that pandoc writes around text."""
AROUND: Final = {
    *("Verbatim", "verbatim", "Highlighting", "Shaded", "itemize", "enumerate", "quote", "longtable", "minipage"),
    *("tcolorbox", "document", "quotation", "center"),
}
KINDS: Final = (HTML, DOM, MARKDOWN, MATHS, TEX)


@pytest.fixture(autouse=True)
def with_pandoc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{pandoc().parent}{os.pathsep}{os.environ['PATH']}")


def acting(*written: str, mime: str = "text/markdown") -> list[list[str]]:
    """Of each output, the commands and environments that neither our list, nor pandoc's text, nor an empty one has."""
    empty, *others = bodies([{mime: text} for text in ("x", *written, "x")])[:-1]
    known, own = obeyed(empty)
    found = []
    for each in others:
        commands, environments = obeyed(each)
        places = environments - own - AROUND - set(" ".join(LISTS["environments"]).split())
        found.append(sorted((commands - known - TYPESET - PANDOC) | places))
    return found


@pytest.mark.slow
def test_tex_obeys_nothing_of_a_hostile_answer() -> None:
    """Of all payloads of a kind in one answer, TeX would obey only commands that are on a list."""
    written = ["\n\n".join(map(harmless, kind.values())) for kind in KINDS]
    assert acting(*written) == [[]] * len(KINDS)


@pytest.mark.slow
def test_tex_obeys_nothing_of_one_payload() -> None:
    """The payloads for TeX one by one, too: none needs another one's help to be inert."""
    found = zip(TEX, acting(*map(harmless, TEX.values())), strict=True)
    assert {name: commands for name, commands in found if commands} == {}


@pytest.mark.slow
def test_tex_obeys_nothing_beside_an_answer() -> None:
    """In labels, endings, sources, tool calls and answers as code or plain text, hostile text is text."""
    lines = [plain_line(text) for text in PAYLOADS.values()]
    headings = "\n\n".join(f"### {line}\n\n*{line}* **{line}**" for line in lines)
    sources = beside_markdown([Citation(text[:200], "") for text in TEX.values()], ())
    blocks = "\n\n".join(code_block(text, language) for text in TEX.values() for language in ("json", "text"))
    assert acting(headings, sources, blocks, marked("".join(TEX.values()), "")) == [[]] * 4
    assert acting(printable("\n".join(PAYLOADS.values())), mime="text/plain") == [[]]


PIECES: Final = [
    *FRAGMENTS,
    *TEX.values(),
    *(
        "^^5c",
        "\\input{/etc/passwd}",
        "{=latex}",
        "```{=latex}\n",
        "[@x]",
        "@x",
        "\n::: {.z}\n",
        "\n:::\n",
        "{.x}",
        "{#y}",
    ),
    *(
        "^[",
        "\n[^1]: ",
        "data-cite",
        '<cite data-cite="',
        "</cite>",
        "\n---\ntitle: x\n---\n",
        "\n% x\n",
        "`$x^`",
        "`$",
    ),
    *("\\begin{verbatim}", "\\end{verbatim}", "\\end{Verbatim}", "&#92;input", "&#36;", "&#94;^5cinput", "\n(@) x\n"),
    *("\n+---+\n| x |\n+---+\n", "\n  a   b\n --- ---\n x  y\n", "\n| line\n", "H~2~O", "x^2^", "^", "%", "'", '"'),
    *(
        '[x]{custom-style="\\input"}',
        "\\verb|",
        "\\def\\x{",
        "\\tag{",
        "\\cite{",
        "\n## x {-}\n",
        "\\ce{H2O}",
        "\\$",
        "\\ket{",
    ),
]
mixtures = st.lists(st.sampled_from(PIECES), min_size=2, max_size=14).map("".join)
"""Pieces to which pandoc's Markdown gives meaning."""


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(answers=st.lists(mixtures, min_size=150, max_size=150, unique=True))
def test_tex_obeys_nothing_of_any_mixture(answers: list[str]) -> None:
    """Whatever pieces meet, in an answer, a line or a block of code: TeX obeys nothing of it."""
    writers = (harmless, harmless, plain_line, code_block)
    written = [write(answer) for write, answer in zip(cycle(writers), answers, strict=False)]
    found = zip(written, acting(*written), strict=True)
    assert {text: commands for text, commands in found if commands} == {}


@pytest.mark.slow
def test_the_check_sees_what_tex_would_obey() -> None:
    """Payloads as they are written are complained about by the check that must be silent after `harmless`."""
    names = [name for name in TEX if "document" not in name]
    found = dict(zip(names, acting(*(TEX[name] for name in names)), strict=True))
    assert sum(map(bool, found.values())) > 0.6 * len(TEX)
    assert "input" in found["caret notation"]
    assert "input" in found["citation in code"]
