r"""Whether a formula is whole: each command has its arguments, no script is on a script, no row has a cell too many.

MathJax writes an error in the place of a formula that is not; LaTeX writes no PDF of a notebook that has one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from .spelling import group_at

_ONE_ARGUMENT: Final = """
    sqrt boxed fbox cancel bcancel xcancel pmod operatorname underbrace overbrace overline underline overleftarrow
    overrightarrow overleftrightarrow underleftarrow underrightarrow underleftrightarrow widehat widetilde hat check
    tilde acute grave dot ddot dddot breve bar vec mathring mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak
    mathscr mathnormal boldsymbol pmb emph text textrm textbf textit textsf texttt textnormal mbox hbox mathop mathbin
    mathrel mathopen mathclose mathpunct mathord mathinner phantom hphantom vphantom smash substack
    xleftarrow xrightarrow
"""
_TWO_ARGUMENTS: Final = "frac dfrac tfrac cfrac binom dbinom tbinom overset underset stackrel"
_ARGUMENTS: Final[dict[str, int]] = {
    **dict.fromkeys(_ONE_ARGUMENT.split(), 1),
    **dict.fromkeys(_TWO_ARGUMENTS.split(), 2),
    "genfrac": 6,
}
_BIG: Final = [f"{size}{side}" for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r", "m")]
_FENCES: Final = frozenset(("left", "right", "middle", *_BIG))
_FENCE: Final = re.compile(
    r" ?(?:[()\[\]|/.<>⟦⟧]|\\(?:[{}|]|(?:[lr](?:brace|brack|floor|ceil|angle|vert|Vert)|[uU]parrow|[dD]ownarrow"
    r"|[uU]pdownarrow|vert|Vert|backslash|[ul][lr]corner)(?![A-Za-z])))"
)
_LIMITED: Final = re.compile(
    r"(?:\\(?:sum|(?:co)?prod|i{0,4}nt|oint|idotsint|big(?:cup|cap|sqcup|vee|wedge|odot|oplus|otimes|uplus)|lim|limsup"
    r"|liminf|max|min|sup|inf|det|gcd|Pr|injlim|projlim|var(?:inj|proj)lim|varlim(?:sup|inf))|[∑∏∫∯∰]|\}) ?$"
)
_RULED: Final = re.compile(r"(?:\\\\|\\cr|\\hline|\\begin\{[A-Za-z]*\}(?: ?\{[^{}]*\})?) ?$")
_INFIX: Final = frozenset(("over", "choose", "atop"))
_WORDS: Final = "text textrm textbf textit textsf texttt textnormal mbox hbox emph quad qquad ldots dots hspace space"
_IN_TEXT: Final = frozenset(_WORDS.split())
_COLUMNS: Final = {"cases": 2, "dcases": 2, "rcases": 2, "gathered": 1, "subarray": 1} | dict.fromkeys(
    ("matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "smallmatrix"), 10
)
_MANY: Final = 100
_OPTIONAL: Final = frozenset(("sqrt", "xleftarrow", "xrightarrow", "smash", "operatorname"))
_TOKEN: Final = re.compile(
    r"\\(begin|end)\{([A-Za-z]+\*?)\}(?:\[[tbc]\])?(?: ?\{([lcr|: ]+)\})?|\\([A-Za-z]+)|\\(.)|(.)"
)


@dataclass(slots=True)
class _Group:
    """What is open: a brace, an environment of so many *columns* or a fence, and what was seen in it."""

    kind: str
    columns: int = 0
    is_text: bool = False
    cell: int = 1
    scripts: set[str] = field(default_factory=set)
    """The scripts that the last sign has."""
    script_follows: bool = False
    has_infix: bool = False


def is_whole(tex: str) -> bool:
    """Whether *tex*, which is allowed and spelt out, would be typeset without an error."""
    groups = [_Group("")]
    texts: set[int] = set()
    for token in _TOKEN.finditer(tex):
        group, char = groups[-1], token[6]
        if char == " " or (group.is_text and char == "_"):
            continue
        if char in ("^", "_"):
            is_second = char in group.scripts and tex[token.start() - 1] != "'"
            if group.is_text or is_second or _NO_SCRIPT.match(tex, token.end()):
                return False
            group.scripts.add(char)
            group.script_follows = True
        elif char == "'":
            if "^" in group.scripts and tex[token.start() - 1] != "'":
                return False
            group.scripts.add("^")
        elif not _is_placed(tex, token, groups, texts):
            return False
    return True


def _is_placed(tex: str, token: re.Match[str], groups: list[_Group], texts: set[int]) -> bool:
    """Whether *token* may stand where it does; opens and closes what it opens and closes."""
    edge, environment, columns, command, sign, char = token.groups()
    group, start, end = groups[-1], token.start(), token.end()
    if edge == "end" or command == "right" or char == "}":
        groups.pop()
        return command != "right" or bool(_FENCE.match(tex, end))
    if not group.script_follows:
        group.scripts.clear()
    group.script_follows = False
    if char == "{":
        groups.append(_Group("{", is_text=group.is_text or start in texts))
    elif edge:
        many = sum(map(columns.count, "lcr")) if columns and environment == "array" else _COLUMNS.get(environment)
        groups.append(_Group(environment, many or _MANY))
    elif char == "&":
        group.cell += 1
        return group.cell <= group.columns
    elif sign == "\\" or command == "cr":
        group.cell = 1
    if command is None:
        return not (edge and group.is_text)
    if group.is_text and command not in _IN_TEXT:
        return False
    if command == "tag" and len(groups) > 1:
        return False
    if command == "left":
        groups.append(_Group("left"))
    elif command in _INFIX:
        if group.has_infix:
            return False
        group.has_infix = True
    elif command in ("limits", "nolimits"):
        return bool(_LIMITED.search(tex, max(0, start - 20), start))
    elif command == "hline":
        return bool(_RULED.search(tex, max(0, start - 90), start))
    elif command in _ARGUMENTS:
        option = _OPTION.match(tex, end) if command in _OPTIONAL else None
        at = option.end() if option else end
        if option and tex[at : at + 1] == "[":
            return False
        if command in _IN_TEXT:
            texts.add(at + (tex[at : at + 1] == " "))
        return _has_arguments(tex, at, _ARGUMENTS[command])
    return command not in _FENCES or (bool(_FENCE.match(tex, end)) and (command != "middle" or group.kind == "left"))


_NO_SCRIPT: Final = re.compile(
    r" ?(?:[}&^_']|\\(?:\\|(?:begin|end|left|right|middle|over|choose|atop|cr|limits|nolimits|hline)(?![A-Za-z]))|$)"
)
_TAKING: Final = "|".join((*_ARGUMENTS, *_FENCES, "color", "textcolor", "hspace", "tag"))
_NO_ARGUMENT: Final = re.compile(rf"{_NO_SCRIPT.pattern}| ?\\(?:{_TAKING})(?![A-Za-z])")
_ONE: Final = re.compile(r" ?(?:\\[A-Za-z]+|\\.|.)")
_OPTION: Final = re.compile(r"\*? ?(?:\[[^\[\]]*\])?")


def _has_arguments(tex: str, at: int, count: int) -> bool:
    for left in range(count, 0, -1):
        if _NO_ARGUMENT.match(tex, at):
            return False
        if left > 1:
            group = group_at(tex, at)
            one = _ONE.match(tex, at)
            at = group[1] if group else one.end() if one else len(tex)
    return True
