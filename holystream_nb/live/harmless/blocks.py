"""The answer read: CommonMark with tables, strikethrough and maths, as a tree of blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from .characters import DEPTH
from .formulas import ENVIRONMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token


class BeyondError(Exception):
    """The answer is nested more deeply, or would grow more, than we follow."""


@cache
def parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    md = MarkdownIt("commonmark", {"maxNesting": DEPTH})
    md.enable(["table", "strikethrough"]).disable("html_inline")
    md.validateLink = lambda url: True  # type: ignore[method-assign]  # shown, never followed
    md.normalizeLink = lambda url: url  # type: ignore[method-assign]
    md.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    md.block.ruler.before("table", "depth", _depth_rule)
    md.block.ruler.before("table", "maths", _block_maths_rule, {"alt": ["paragraph", "blockquote", "list"]})
    md.inline.ruler.before("escape", "maths", _inline_maths_rule)
    md.inline.ruler.before("autolink", "html", _html_rule)
    return md


def _depth_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Stop where the parser would leave out what is nested more deeply."""
    if state.level >= DEPTH - 2:
        raise BeyondError
    return False


_ENVIRONMENT = re.compile(r"\\begin\{([a-z]+\*?)\}")
_CLOSERS = {"$$": "$$", r"\[": r"\]"}


def _display_ends(line: str) -> tuple[str, str] | None:
    """The opening mark of display maths at the start of *line* and the mark that closes it."""
    if line[:2] in _CLOSERS:
        return line[:2], _CLOSERS[line[:2]]
    if (environment := _ENVIRONMENT.match(line)) and environment[1] in ENVIRONMENTS:
        return "", rf"\end{{{environment[1]}}}"
    return None


def _block_maths_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Display maths that begins a line and ends one, without a blank line in it."""
    if state.is_code_block(start):
        return False
    first = _line(state, start)
    if not (ends := _display_ends(first)):
        return False
    opening, closing = ends
    open_until = state.env.setdefault("open", {})
    if start < open_until.get(closing, 0):
        return False
    lines = [first[len(opening) :]]
    at = start
    while closing not in lines[-1]:
        at += 1
        if at >= end or state.isEmpty(at) or state.sCount[at] < state.blkIndent:
            open_until[closing] = at
            return False
        lines.append(_line(state, at))
    if lines[-1].find(closing) + len(closing) < len(lines[-1]):
        return False
    tex = "\n".join(lines).removesuffix(closing) + ("" if opening else closing)
    if not silent:
        state.line = at + 1
        token = state.push("math_block", "", 0)
        token.content, token.markup = tex, opening and f"{opening}{tex}{closing}"
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip()


def _inline_maths_rule(state: StateInline, silent: bool) -> bool:
    found = _inline_maths(state)
    if found is None:
        return False
    tex, length, display = found
    if not silent:
        token = state.push("math_block" if display else "math_inline", "", 0)
        token.content, token.markup = tex, state.src[state.pos : state.pos + length]
    state.pos += length
    return True


def _inline_maths(state: StateInline) -> tuple[str, int, bool] | None:
    """The TeX that starts at the parser's place, the length of its source, and whether it stands on its own line."""
    src, pos = state.src, state.pos
    two = src[pos : pos + 2]
    if two[:1] == "$":
        opening = closing = two if two == "$$" else "$"
    elif two in (r"\(", r"\["):
        opening, closing = two, two.replace("(", ")").replace("[", "]")
    elif two == r"\b" and (environment := _ENVIRONMENT.match(src, pos)) and environment[1] in ENVIRONMENTS:
        opening, closing = "", rf"\end{{{environment[1]}}}"
    else:
        return None
    start = pos + len(opening)
    close = _find(state, closing, start)
    while close > 0 and src[close] == "$" and _is_escaped(src, close):
        close = _find(state, closing, close + 1)
    if close <= start:
        return None
    tex, after = src[start:close], src[close + len(closing) : close + len(closing) + 1]
    if "`" in tex:
        return None  # code begins in it
    if opening == "$":
        spaced = tex[0].isspace() + tex[-1].isspace()
        # pandoc's and GitHub's rule, so that prices and shell variables stay text; "$ x^2 $" is a habit of models
        if after.isalnum() or spaced == 1 or (spaced and not re.search(r"[\\^_={}]", tex)):
            return None
    if opening in (r"\(", r"\[") and not (re.search(r"[\\^_={}<>+|/*-]", tex) or len(tex.strip()) <= 2):
        return None  # brackets that someone escaped
    if not opening:
        tex += closing
    return tex, close + len(closing) - pos, opening not in ("$", r"\(")


def _is_escaped(src: str, pos: int) -> bool:
    before = pos
    while before > 0 and src[before - 1] == "\\":
        before -= 1
    return (pos - before) % 2 == 1


def _find(state: StateInline, what: str, start: int) -> int:
    """Where *what* is next within the parser's bounds, or -1; a search in vain is made once."""
    known = state.env.get(f"no {what}")
    if known and known[0] is state.src and start >= known[1]:
        return -1
    found = state.src.find(what, start)
    if found < 0:
        state.env[f"no {what}"] = (state.src, start)
    return found if found + len(what) <= state.posMax else -1


_TAG = re.compile(
    r"""</?[A-Za-z][A-Za-z0-9-]*
    (?:\s+[A-Za-z_:][A-Za-z0-9_.:-]*(?:\s*=\s*(?:[^\s"'=<>`]+|'[^']*'|"[^"]*"))?)*
    \s*/?>""",
    re.VERBOSE,
)
_SPANS = (("<!--", "-->"), ("<?", "?>"), ("<![CDATA[", "]]>"), ("<!", ">"))
_TAG_LENGTH = 4_000


def _html_rule(state: StateInline, silent: bool) -> bool:
    """An HTML tag, comment or instruction, kept from being read as Markdown; in linear time."""
    if state.src[state.pos] != "<":
        return False
    tag = _TAG.match(state.src, state.pos, min(state.posMax, state.pos + _TAG_LENGTH))
    end = tag.end() if tag else -1
    for opening, closing in _SPANS if end < 0 else ():
        if state.src.startswith(opening, state.pos):
            found = _find(state, closing, state.pos + len(opening))
            end = found + len(closing) if found > 0 else -1
            break
    if end < 0:
        return False
    if not silent:
        state.push("text", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


@dataclass(frozen=True, slots=True)
class Node:
    """A block and the blocks in it."""

    token: Token
    children: list[Node] = field(default_factory=list)


def tree(tokens: Sequence[Token]) -> list[Node]:
    levels: list[list[Node]] = [[]]
    for token in tokens:
        if token.nesting < 0:
            levels.pop()
            continue
        node = Node(token)
        levels[-1].append(node)
        if token.nesting > 0:
            levels.append(node.children)
    return levels[0]
