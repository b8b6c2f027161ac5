"""What TeX would obey in a document that nbconvert wrote: its commands and environments, read with TeX's eyes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import nbformat.v4 as notebooks
from missing import missing
from nbconvert import LatexExporter

_CARETS: Final = re.compile(r"\^\^\^\^([0-9a-f]{4})|\^\^([0-9a-f]{2})|\^\^([\x00-\x7f])")
_LITERAL: Final = re.compile(r"\\begin\{verbatim\}.*?\\end\{verbatim\}", re.DOTALL)
_BOXED: Final = re.compile(r"(\\begin\{(Verbatim|Highlighting)\}\[[^\]\n]*\])(.*?)(\\end\{\2\})", re.DOTALL)
_DEFINED: Final = re.compile(r"\\def(\\labelenum[iv]+\{\(?\\[a-zA-Z]+\{enum[iv]+\}[.)]\}|\\LTcaptype\{\w+\})")
"""What pandoc defines for the numbers of a list and of tables."""


def exported(outputs: Sequence[Mapping[str, str]]) -> str:
    """The LaTeX of a notebook with these mime bundles as outputs."""
    made = [notebooks.new_output("display_data", dict(data)) for data in outputs]
    notebook = notebooks.new_notebook(cells=[notebooks.new_code_cell("", outputs=made)])
    tex, _ = LatexExporter().from_notebook_node(notebook)
    return str(tex)


def bodies(outputs: Sequence[Mapping[str, str]]) -> list[str]:
    """The LaTeX of each output."""
    between = {"text/plain": "hsbetween"}
    tex = exported([part for data in outputs for part in (between, data)])
    return tex.split("hsbetween")[1:]


def obeyed(tex: str) -> tuple[set[str], set[str]]:
    """The commands and the environments that are active in *tex*."""
    text = _DEFINED.sub("", _LITERAL.sub(r"\\begin{verbatim}", tex))
    # fancyvrb obeys backslashes and braces alone
    text = _BOXED.sub(lambda found: found[1] + re.sub(r"\\?%|\^", "", found[3]) + found[4], text)
    while (plain := _CARETS.sub(_character, text)) != text:
        text = plain
    text = re.sub(r"(?<!\\)((?:\\\\)*)%.*", r"\1", text)
    commands = set(re.findall(r"\\([A-Za-z]+|[^A-Za-z])", text))
    return commands, set(re.findall(r"\\(?:begin|end)\s*\{([^{}]*)\}", text))


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code:
        return chr(int(code, 16))
    return chr(ord(found[3]) ^ 64)


@cache
def pandoc() -> Path:
    """pandoc, which nbconvert needs for LaTeX: the system's, or the one in pypandoc_binary."""
    if found := shutil.which("pandoc"):
        return Path(found)
    try:
        import pypandoc
    except ImportError:
        missing("NO pandoc: what nbconvert writes for TeX is NOT TESTED (pip install pypandoc_binary)")
    return Path(pypandoc.get_pandoc_path())


def typeset(tex: str, folder: Path) -> tuple[str, set[str]]:
    """What XeLaTeX says of a document, and the files it has opened."""
    (folder / "notebook.tex").write_text(tex, encoding="utf-8")
    command = ["xelatex", "-interaction=nonstopmode", "-recorder", "-no-shell-escape", "notebook.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    record = (folder / "notebook.fls").read_text("utf-8", "replace")
    opened = {line.partition(" ")[2] for line in record.splitlines() if line.startswith("INPUT ")}
    return done.stdout.decode("utf-8", "replace"), opened
