r"""Maths: which TeX is drawn as a formula, and which is shown as its source.

A formula is what it is because all of it is allowed, not because nothing in it is forbidden: it is read as TeX reads it
(``^^5c`` is a backslash), and a command, an environment or a character that is not on a list makes it text. The lists
are in ``tex.json``, and the page's live view reads them by the same rule (``frontend/src/tex.ts``).
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Final

from .spelling import spelt_out
from .whole import is_whole

_LISTS: Final = json.loads(Path(__file__).with_name("tex.json").read_text("utf-8"))
_COMMANDS: Final = frozenset(" ".join(_LISTS["commands"]).split())
ENVIRONMENTS: Final = frozenset(" ".join(_LISTS["environments"]).split())

_LENGTH, _DEPTH = 4_000, 40
"""Characters of a formula, and groups, environments and fences within one another."""

_SIGNS: Final = frozenset(r",;:!> {}|\%#&_$")
_TOKEN: Final = re.compile(r"\\(?:(begin|end)\{([A-Za-z]+\*?)\}|([A-Za-z]+)|(.?))|([{}&])")
_SIZE: Final = r"-?[0-9]{1,2}(?:\.[0-9]{1,4})? ?(?:em|ex|pt|cm|mm|in|pc)"
_COLOUR: Final = "|".join(" ".join(_LISTS["colours"]).split())
_ARGUMENTS: Final[dict[str, re.Pattern[str]]] = {
    "array": re.compile(r"(?:\[[tbc]\])? ?\{[lcr|: ]{1,64}\}"),
    "subarray": re.compile(r"\{[lcr]\}"),
    **dict.fromkeys(("alignat", "alignat*", "alignedat"), re.compile(r"\{[0-9]{1,2}\}")),
    **dict.fromkeys(("color", "textcolor"), re.compile(rf"\{{(?:{_COLOUR})\}}")),
    "ce": re.compile(r"\{(?:[A-Za-z0-9()\[\] .+=<>-]|[\^_](?:\{[0-9+-]{1,8}\})?)+\}"),
    "hspace": re.compile(rf"\*?\{{{_SIZE}\}}"),
    "label": re.compile(r"\{[\w:. -]{0,64}\}", re.ASCII),
    "tag": re.compile(r"\*?\{[\w:. '*+-]{0,64}\}", re.ASCII),
}
_REFUSED: Final = re.compile(
    r"""[`@] | (?<!\\)[\^_]\s*[\^_] | \^\^ | (?<!\\)(?:\\\\)*[%\#$]
    | \d{3,}\s*(?:em|ex|pt|px|cm|mm|in|mu|pc)\s*[\]}]      # a size that could cover the page
    | ://|www\.|data-cite                                   # links for GitHub, a citation for nbconvert""",
    re.VERBOSE | re.IGNORECASE,
)
_SPACE: Final = re.compile(r"[\s\ufeff]+")  # what both Python and JavaScript take for space
_SKIP: Final = re.compile(r"(\\\\\*?)\s*\[\s*-?[\d.]+\s*(?:em|ex|pt|px|cm|mm|in|mu|pc)\s*\]")  # space between rows


def safe_tex(source: str, *, is_display: bool = True) -> str | None:
    r"""TeX on one line that can neither act nor become HTML or Markdown, or None if it holds what we don't know.

    MathJax and KaTeX draw ``\lt`` as ``<``; spaces mean nothing to them, so one after ``&``, ``]`` and ``\\`` keeps
    apart what would be an entity, a link or a bracket of maths to somebody else.
    """
    tex = on_one_line(source)
    if not is_allowed(tex):
        return None
    spelt = spelt_out(_inner(tex, is_display))
    if spelt is None or not is_whole(spelt):
        return None
    safe = re.sub(r" {2,}", " ", _REWRITTEN.sub(_replaced, _TEXT.sub(_text, spelt))).strip()
    return safe if is_allowed(safe) else None


def on_one_line(source: str) -> str:
    """*source* without line ends, and without the space that it wants between rows."""
    return _SKIP.sub(r"\1 ", _SPACE.sub(" ", source)).strip(" ")


def is_allowed(tex: str) -> bool:
    """Whether *tex*, on one line, is made of known commands, environments and characters, with all closed it opens."""
    if not tex or len(tex) > _LENGTH or _REFUSED.search(tex) or not all(map(_is_written, set(tex))):
        return False
    opened: list[str] = []
    for token in _TOKEN.finditer(tex):
        edge, environment, command, sign, mark = token.groups()
        arguments = _ARGUMENTS.get((environment if edge == "begin" else command) or "")
        if arguments and not arguments.match(tex, token.end()):
            return False
        if edge == "begin" or command == "left" or mark == "{":
            opened.append(environment or command or mark)
            is_known = len(opened) <= _DEPTH and (edge is None or environment in ENVIRONMENTS)
        elif edge == "end" or command == "right" or mark == "}":
            is_known = bool(opened) and opened.pop() == (environment or {"right": "left", "}": "{"}[command or mark])
        elif mark == "&":
            is_known = bool(opened) and opened[-1] in ENVIRONMENTS
        else:
            is_known = command in _COMMANDS if command else sign in _SIGNS
        if not is_known:
            return False
    return not opened


def _is_written(char: str) -> bool:
    """ASCII that is printed; of the rest letters, digits, marks, punctuation and signs."""
    return " " <= char <= "~" if char < "\x80" else unicodedata.category(char)[0] in "LMNPS"


_NUMBERED: Final = re.compile(r"\\label\{[^{}]*\}|\\(?:nonumber|notag)(?![A-Za-z])")
_TAG: Final = re.compile(r"\\tag(\*?)\{([^{}]*)\}")  # one for a display, none for a row of it or in a line
_ROWS: Final = {
    **dict.fromkeys(("align", "align*", "eqnarray", "eqnarray*"), "aligned"),
    **dict.fromkeys(("alignat", "alignat*"), "alignedat"),
    **dict.fromkeys(("gather", "gather*", "multline", "multline*"), "gathered"),
    "split": "aligned",
    **dict.fromkeys(("equation", "equation*", "math", "displaymath"), ""),
}
"""Environments that are displays of their own, with what says the same within a display: LaTeX insists on it."""
_OWN: Final = re.compile(r"\\(begin|end)\{([a-z]+\*?)\}")
_TEXT: Final = re.compile(r"\\(text[a-z]*|mbox|hbox)\{([^{}]*)\}")
_REWRITTEN: Final = re.compile(
    r"\\\\(?=\s?[()\[\]])|\\\$(?:\{\})?|\\[A-Za-z]+|\\.|[<>&]|[\]!](?=[(\[:])|\.(?=[^\W\d_]{2})"
)
_SAFE: Final = {"<": r"\lt ", ">": r"\gt ", "&": "& ", "]": "] ", "!": "! ", ".": ". ", r"\>": r"\:", r"\$": r"\${}"}


def _inner(tex: str, is_display: bool) -> str:
    """*tex* as it stands within a display or a line, without the marks that other text would refer to."""
    tex = _OWN.sub(_within, _NUMBERED.sub("", tex))
    if is_display and r"\begin" not in tex and tex.count(r"\tag") < 2:
        return tex
    return _TAG.sub(lambda tag: rf"\quad \text{{{tag[2] if tag[1] else f'({tag[2]})'}}}", tex)


def _within(found: re.Match[str]) -> str:
    name = _ROWS.get(found[2], found[2])
    return rf"\{found[1]}{{{name}}}" if name else ""


def _replaced(match: re.Match[str]) -> str:
    found = match[0]
    if found == r"\\" and match.string[match.end()] != " ":
        return r"\\ "
    return _SAFE.get(found, found)


def _text(match: re.Match[str]) -> str:
    """Text in maths, ended before each sign that only maths knows in every renderer, and begun again after it."""
    command = match[1]
    return re.sub(r"\\[%&#_]|[<>_]", lambda sign: rf"}}{_SIGN.get(sign[0], sign[0])}\{command}{{", match[0])


_SIGN: Final = {"_": r"\_"}
