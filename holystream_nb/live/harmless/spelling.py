r"""Commands that not every renderer knows, spelt out in those that all know.

One command that LaTeX does not know ends the PDF of a whole notebook, and MathJax shows it in red; the live view
(Temml) draws them all.
"""

from __future__ import annotations

import re
from typing import Final

_SPELT: Final[dict[str, tuple[int, str]]] = {
    "bm": (0, r"\boldsymbol "),
    "argmax": (0, r"\operatorname*{arg\,max}"),
    "argmin": (0, r"\operatorname*{arg\,min}"),
    "coloneqq": (0, r"\mathrel{:=}"),
    "eqqcolon": (0, r"\mathrel{=:}"),
    "degree": (0, r"{^{\circ}}"),
    "hdashline": (0, r"\hline "),
    "oiint": (0, "∯ "),
    "oiiint": (0, "∰ "),
    "llbracket": (0, "⟦ "),
    "rrbracket": (0, "⟧ "),
    "AA": (0, "Å "),
    **{letter: (0, rf"{{\mathbb{{{letter}}}}}") for letter in "RNZ"},
    **{name: (0, rf"\operatorname{{{name}}}") for name in ("Tr", "tr", "sgn")},
    "dd": (0, r"\mathrm{d}"),
    "dv": (2, r"\frac{\mathrm{d} #1}{\mathrm{d} #2}"),
    "pdv": (2, r"\frac{\partial #1}{\partial #2}"),
    "norm": (1, r"\left\lVert #1\right\rVert "),
    "abs": (1, r"\left\lvert #1\right\rvert "),
    "bra": (1, r"{\langle #1\rvert }"),
    "ket": (1, r"{\lvert #1\rangle }"),
    "braket": (1, r"{\langle #1\rangle }"),
    "xRightarrow": (1, r"\overset{#1}{\Longrightarrow}"),
    "xLeftarrow": (1, r"\overset{#1}{\Longleftarrow}"),
    "xLeftrightarrow": (1, r"\overset{#1}{\Longleftrightarrow}"),
    "xleftrightarrow": (1, r"\overset{#1}{\longleftrightarrow}"),
    "xhookrightarrow": (1, r"\overset{#1}{\hookrightarrow}"),
    "xlongequal": (1, r"\overset{#1}{=}"),
    "xmapsto": (1, r"\overset{#1}{\longmapsto}"),
    "ce": (1, ""),
}
_NAMED: Final = re.compile(rf"(?<!\\)((?:\\\\)*)\\({'|'.join(_SPELT)})(?![A-Za-z])")


def spelt_out(tex: str) -> str | None:
    """*tex*, whose groups are closed, in the commands that all renderers know; None where an argument is missing."""
    for found in reversed(list(_NAMED.finditer(tex))):
        count, spelt = _SPELT[found[2]]
        end = found.end()
        arguments: list[str] = []
        while len(arguments) < count:
            group = group_at(tex, end)
            if group is None:
                return None
            end = group[1]
            arguments.append(group[0])
        if found[2] == "ce":
            spelt = _chemistry(arguments[0])
        for number, argument in enumerate(arguments, 1):
            spelt = spelt.replace(f"#{number}", argument)
        tex = f"{tex[: found.start(2) - 1]}{spelt}{tex[end:]}"
    return tex


def group_at(tex: str, at: int) -> tuple[str, int] | None:
    """What is in the braces at *at*, and where they end."""
    depth = 0
    at += tex[at : at + 1] == " "
    for sign in _BRACES.finditer(tex, at) if tex[at : at + 1] == "{" else ():
        depth += {"{": 1, "}": -1}.get(sign[0], 0)
        if not depth:
            return tex[at + 1 : sign.start()], sign.end()
    return None


_BRACES: Final = re.compile(r"\\.|[{}]")


_PIECES: Final = re.compile(
    r"(?P<arrow><=>|<->|->|<-)(?:\[(?P<above>[^\[\]]*)\])?|[\^_]\{(?P<group>[^{}]*)\}|[\^_](?P<bare>[0-9]*[+-]?)|(?P<digits>[0-9]+)"
    r"|(?P<charge>[+-])(?=[ )\]]|$)|(?P<letters>[A-Za-z]+|[)\]])|(?P<space> +)|(?P<other>.)"
)
_ARROWS: Final = {
    "->": r"\longrightarrow ",
    "<-": r"\longleftarrow ",
    "<->": r"\longleftrightarrow ",
    "<=>": r"\rightleftharpoons ",
}


def _chemistry(formula: str) -> str:
    """mhchem's commonest forms: numbers after a letter below it, charges above, arrows between spaces."""
    written: list[str] = []
    raised: set[str] = set()
    last = ""
    for piece in _PIECES.finditer(formula):
        kind, text = "arrow" if piece["arrow"] else str(piece.lastgroup), piece[0]
        follows = last in ("letters", "group", "bare", "digits below", "charge above")
        mark = ""
        if kind in ("group", "bare"):
            mark, text = text[0], piece[kind]
            if not text:
                mark, kind, text = "", "other", r"\uparrow " if mark == "^" else r"\downarrow "
        elif kind == "digits" and follows:
            mark, kind = "_", "digits below"
        elif kind == "charge" and follows:
            mark, kind = "^", "charge above"
        if mark:
            if not follows or mark in raised:
                written.append("{}")
                raised.clear()
            raised.add(mark)
            written.append(f"{mark}{{{text}}}")
        else:
            raised.clear()
            if kind == "arrow":
                text = _ARROWS[piece["arrow"]]
                text = rf"\overset{{{piece['above']}}}{{{text}}}" if piece["above"] else text
            elif text in ("-", "=", ".") and last in ("letters", "digits below"):
                text = r"\cdot " if text == "." else f"{{{text}}}"
            written.append(r"\," if kind == "space" and last == "digits" else text)
        last = kind
    return rf"\mathrm{{{''.join(written)}}}"
