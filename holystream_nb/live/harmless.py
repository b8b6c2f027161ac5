r"""A model's answer, made harmless for every renderer that a notebook file meets.

The answer is parsed (CommonMark with tables, strikethrough and maths) and written again in the few forms on which
all renderers agree, so that no renderer reads more into it than we did. No reader of the result can get an element
that acts: text never holds a bare ``<``, ``[``, `` ` ``, ``$`` or ``\``; addresses stand in inline code, where nothing
makes links of them.

What the renderers do that decides the form:

- JupyterLab cuts maths out of the *source* (``$``, ``\\(``, ``\begin{}``) before Markdown and puts it back after; it
  spares ``$`` in code that begins a line or ends on its line, nothing else, and ends maths at a blank line. So a fence
  in a list stands between blank lines if it holds such marks, and never in a quote: a cut across its end would turn
  code into HTML. MathJax then reads the drawn page again, text that was escaped in the source included.
- nbconvert (mistune, HTML on) takes ``$$…$$`` and ``\begin{}…\end{}`` anywhere, over blank lines and code alike;
  draws ``mermaid`` fences without escaping; reads ``#word`` as a heading and ``: word`` as a definition.
- GitHub and marked make links of addresses in text; some look again after entities are decoded.
- pandoc (nbconvert to PDF) gives meaning to braces after code and headings, and TeX in maths can read files.

See https://spec.commonmark.org/0.31.2/ and https://github.github.com/gfm/.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from ..wire.values import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

LONGEST = 1_000_000
"""Characters; a longer answer is shown as plain text."""

MARKS, LINES, CELLS, DEPTH, GROWTH = 50_000, 15_000, 100_000, 20, 8
"""Significant characters, lines, table cells and levels of nesting that are parsed; how much longer a result may be."""

ADDRESS_SHOWN = 300
"""Characters of an address that are shown (a data: address can be a megabyte)."""

BREAK = "\ufdd0"  # a noncharacter, so never in the text: where a word joiner goes if the finished document needs one
JOINER = "\u2060"
IMAGE = "🖼"


def harmless(markdown: str) -> str:
    """Markdown that says the same as *markdown*, and in which nothing can act in any renderer.

    Raw HTML is shown as text, links and images as their text with the address in code, maths only as far as its
    commands are known. Total: any string is taken, nothing is raised; what is nested too deeply or too long comes back
    as one block of plain text.
    """
    text = readable(markdown)
    if len(text) > LONGEST or text.count("\n") > LINES or len(_MARK.findall(text)) > MARKS or _cells(text) > CELLS:
        return _plain(text)
    try:
        return _written(text)
    except Exception:  # whatever the parser stumbles over, the reader gets the text, in the form that is always safe
        return _plain(text)


def _written(text: str) -> str:
    writer = _Writer(room=GROWTH * len(text) + 10_000)
    return writer.finished("\n".join(writer.blocks(_tree(_parser().parse(f"{text}\n"))).lines))


def _plain(text: str) -> str:
    return "\n".join([*_fence(text.strip("\n")), ""])


def code_block(code: str, language: str = "") -> str:
    """*code* as a fenced block that ends nowhere but at its end."""
    return "\n".join(_fence(readable(code).strip("\n"), language))


def plain_line(text: str) -> str:
    """*text* on one line, in which nothing is Markdown; fit for a paragraph, a heading or an emphasis."""
    writer = _Writer(room=0)
    return writer.finished(writer.line(" ".join(readable(text).split()))).rstrip("\n")


class _BeyondError(Exception):
    """The answer is nested more deeply, or would grow more, than we follow."""


# Characters ---------------------------------------------------------------------------------------------------------

_MARK = re.compile(r"[\[\]*_~`|<>&\\$!#]")
_SHOWN = (
    dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xFDD0, 0xFDF0)), "\ufffd")
    | {(plane << 16) + last: "\ufffd" for plane in range(17) for last in (0xFFFE, 0xFFFF)}
    # Text that runs backwards hides what it says: https://trojansource.codes
    | {c: f"⟨U+{c:04X}⟩" for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    | {0x09: "\t", 0x0A: "\n", 0x0B: " ", 0x0C: " ", 0x0D: "\n", 0x85: " ", 0x2028: "\n", 0x2029: "\n", 0xFEFF: ""}
)


def readable(text: str) -> str:
    """*text* with one kind of line end, and without what a reader cannot see or a parser may cut at."""
    return well_formed(text).replace("\r\n", "\n").translate(_SHOWN)


def _flat(text: str) -> str:
    """*text* that came out of entities, which can stand for any character, as readable as the rest and on one line."""
    return readable(text).replace("\n", " ")


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def _cells(text: str) -> int:
    """At most so many cells have the tables of *text*: short rows are filled up to the columns of the longest."""
    groups = (group.split("\n") for group in text.split("\n\n"))
    return sum(len(lines) * max(line.count("|") for line in lines) for lines in groups)


# Parsing ------------------------------------------------------------------------------------------------------------


@cache
def _parser() -> MarkdownIt:
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
        raise _BeyondError
    return False


_ENVIRONMENT = re.compile(r"\\begin\{([a-z]+\*?)\}")
_CLOSERS = {"$$": "$$", r"\[": r"\]"}


def _display_ends(line: str) -> tuple[str, str] | None:
    """The opening mark of display maths at the start of *line* and the mark that closes it."""
    if line[:2] in _CLOSERS:
        return line[:2], _CLOSERS[line[:2]]
    if (environment := _ENVIRONMENT.match(line)) and environment[1] in _ENVIRONMENTS:
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
    elif two == r"\b" and (environment := _ENVIRONMENT.match(src, pos)) and environment[1] in _ENVIRONMENTS:
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
class _Node:
    """A block and the blocks in it."""

    token: Token
    children: list[_Node] = field(default_factory=list)


def _tree(tokens: Sequence[Token]) -> list[_Node]:
    levels: list[list[_Node]] = [[]]
    for token in tokens:
        if token.nesting < 0:
            levels.pop()
            continue
        node = _Node(token)
        levels[-1].append(node)
        if token.nesting > 0:
            levels.append(node.children)
    return levels[0]


# Maths --------------------------------------------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMMANDS = _words(
    """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu nu xi omicron pi
    varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega digamma Gamma Delta Theta Lambda Xi Pi Sigma
    Upsilon Phi Psi Omega aleph beth gimel daleth hbar hslash ell imath jmath wp Re Im partial nabla infty emptyset
    varnothing forall exists nexists neg lnot top bot angle measuredangle sphericalangle triangle square Box blacksquare
    diamond Diamond lozenge bigstar star prime backprime complement checkmark dagger ddagger sharp flat natural
    clubsuit diamondsuit heartsuit spadesuit degree surd eth mho Finv
    sum prod coprod int iint iiint iiiint oint bigcup bigcap bigsqcup bigvee bigwedge bigodot bigoplus bigotimes
    biguplus limits nolimits
    pm mp times div cdot ast circ bullet cap cup uplus sqcap sqcup vee wedge lor land setminus smallsetminus wr amalg
    oplus ominus otimes oslash odot bigcirc boxplus boxminus boxtimes boxdot ltimes rtimes intercal dotplus
    divideontimes
    le leq leqslant lt ge geq geqslant gt ne neq equiv sim simeq approx approxeq cong doteq triangleq coloneqq eqqcolon
    propto varpropto ll gg lll ggg prec succ preceq succeq precsim succsim lesssim gtrsim lessapprox gtrapprox nless
    ngtr nleq ngeq nsim ncong subset supset subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq sqsubset sqsupset
    sqsubseteq sqsupseteq in ni owns notin not models vdash dashv Vdash vDash Vvdash nvdash nvDash perp parallel
    nparallel mid nmid bowtie asymp smile frown therefore because between pitchfork trianglelefteq trianglerighteq
    to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow longleftarrow longrightarrow
    longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow iff implies impliedby mapsto longmapsto uparrow
    downarrow updownarrow Uparrow Downarrow Updownarrow nearrow searrow swarrow nwarrow hookleftarrow hookrightarrow
    leftharpoonup leftharpoondown rightharpoonup rightharpoondown rightleftharpoons leftrightharpoons leadsto
    rightsquigarrow twoheadrightarrow twoheadleftarrow rightarrowtail nleftarrow nrightarrow nRightarrow
    nLeftrightarrow circlearrowleft circlearrowright curvearrowleft curvearrowright xleftarrow xrightarrow
    ldots cdots vdots ddots dots dotsc dotsb dotsm dotsi colon
    frac dfrac tfrac cfrac binom dbinom tbinom sqrt root over choose atop genfrac substack stackrel overset underset
    overbrace underbrace overline underline overleftarrow overrightarrow overleftrightarrow widehat widetilde hat check
    tilde acute grave dot ddot dddot breve bar vec mathring boxed fbox cancel bcancel xcancel pmod bmod mod pod
    left right middle big Big bigg Bigg bigl bigr bigm Bigl Bigr Bigm biggl biggr biggm Biggl Biggr Biggm
    langle rangle lbrace rbrace lbrack rbrack lfloor rfloor lceil rceil lvert rvert lVert rVert vert Vert ulcorner
    urcorner llcorner lrcorner backslash
    arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min
    Pr sec sin sinh sup tan tanh injlim projlim varlimsup varliminf operatorname argmax argmin
    mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak mathscr mathnormal boldsymbol bm pmb rm bf it sf tt cal
    text textrm textbf textit textsf texttt textnormal mbox hbox emph mathop mathbin mathrel mathopen mathclose
    mathpunct mathord mathinner mathstrut displaystyle textstyle scriptstyle scriptscriptstyle
    quad qquad hspace thinspace medspace thickspace negthinspace enspace space phantom hphantom vphantom smash
    begin end hline hdashline cr newline tag label nonumber notag color textcolor ket bra braket dag
    """
)
_ENVIRONMENTS = _words(
    """
    equation equation* align align* aligned alignat alignat* alignedat gather gather* gathered multline multline* split
    cases dcases rcases array subarray matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix eqnarray eqnarray* CD
    math displaymath
    """
)
_COMMAND = re.compile(r"\\(?:([A-Za-z]+)|(.?))")
_SIGNS = frozenset(r",;:!> {}|\%#&_")
_NOT_MATHS = re.compile(
    r"""[$`@]|://|www\.|url\(
    | \d{3,}\s*(?:em|ex|pt|px|cm|mm|in|mu|pc)\s*[\]}]      # a size that could cover the page
    | \\(?:text)?color(?!\{[A-Za-z]+\})
    | \\(?:begin|end)(?!\{[A-Za-z]+\*?\})
    | \\label(?!\{[\w:. -]*\})""",
    re.VERBOSE,
)
_TEX_LENGTH = 4_000
_TEX_SKIP = re.compile(r"(\\\\\*?)\s*\[\s*-?[\d.]+\s*(?:em|ex|pt|px|cm|mm|in|mu|pc)\s*\]")  # space between rows
_TEX_TEXT = re.compile(r"\\(text[a-z]*|mbox|hbox)\{([^{}]*)\}")
_TEX_REWRITTEN = re.compile(r"\\\\(?=\s?[()\[\]])|\\[A-Za-z]+|\\.|[<>&%]|[\]!](?=[(\[:])|\.(?=[^\W\d_]{2})")
_TEX_SAFE = {"<": r"\lt ", ">": r"\gt ", "&": "& ", "%": r"\%", "]": "] ", "!": "! ", ".": ". ", r"\>": r"\:"}


def _formula(source: str) -> str | None:
    r"""TeX on one line that can neither act nor become HTML or Markdown, or None if it holds what we don't know.

    MathJax and KaTeX draw ``\lt`` as ``<``; spaces mean nothing to them, so one after ``&``, ``]`` and ``\\`` keeps
    apart what would be an entity, a link or a bracket of maths to somebody else.
    """
    tex = _TEX_SKIP.sub(r"\1 ", " ".join(source.split())).strip()
    if not tex or len(tex) > _TEX_LENGTH or _NOT_MATHS.search(tex) or tex.endswith("\\"):
        return None
    if any(name not in _COMMANDS if name else sign not in _SIGNS for name, sign in _COMMAND.findall(tex)):
        return None
    if not (_is_balanced(tex) and _is_nested(tex)):
        return None
    safe = _TEX_REWRITTEN.sub(_tex_replaced, _TEX_TEXT.sub(_tex_text, tex))
    return re.sub(r" {2,}", " ", safe).strip()


def _tex_replaced(match: re.Match[str]) -> str:
    found = match[0]
    if found == r"\\" and match.string[match.end()] != " ":
        return r"\\ "
    return _TEX_SAFE.get(found, found)


def _tex_text(match: re.Match[str]) -> str:
    """Text in maths, ended before each comparison, which only maths knows, and begun again after it."""
    command = match[1]
    return re.sub("[<>]", lambda sign: f"}}{sign[0]}\\{command}{{", match[0])


def _is_balanced(tex: str) -> bool:
    depth = 0
    for brace in re.findall(r"\\.|[{}]", tex):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return depth == 0


def _is_nested(tex: str) -> bool:
    open_names: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([A-Za-z]+\*?)\}", tex):
        if name not in _ENVIRONMENTS:
            return False
        if kind == "begin":
            open_names.append(name)
        elif not open_names or open_names.pop() != name:
            return False
    return not open_names


# Inline -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    """A piece of a line: its *kind* is text, code, maths, open, close or break; *mate* is a mark's other end."""

    kind: str
    value: str
    mate: _Part | None = field(default=None, repr=False)


_ATTEMPTS = 4
_STYLES = {"em": "*", "strong": "**", "s": "~~"}


def _parts(tokens: Sequence[Token]) -> list[_Part]:
    """What the tokens say: links and images spelt out, a style within itself left out."""
    parts: list[_Part] = []
    styles: list[_Part | None] = []
    links: list[tuple[int, Token]] = []
    for token in tokens:
        if token.type == "text":
            parts.append(_Part("text", _flat(token.content)))
        elif token.type == "code_inline":
            parts.append(_Part("code", token.content))
        elif token.type == "softbreak":
            parts.append(_Part("text", " "))
        elif token.type == "hardbreak":
            parts.append(_Part("break", ""))
        elif token.type in ("math_inline", "math_block"):
            parts.append(_maths_part(token))
        elif token.type == "image":
            parts += [_Part("text", f"{IMAGE} "), *_addressed(_parts(token.children or []), token, "src")]
        elif token.type == "link_open":
            links.append((len(parts), token))
        elif token.type == "link_close":
            start, opened = links.pop()
            parts[start:] = _addressed(parts[start:], opened, "href")
        elif token.nesting > 0:
            mark = _STYLES[token.tag]
            fresh = all(style is None or style.value != mark for style in styles)
            styles.append(_Part("open", mark) if fresh else None)
            parts += filter(None, styles[-1:])
        elif opening := styles.pop():
            opening.mate = _Part("close", opening.value, opening)
            parts.append(opening.mate)
    return parts


def _maths_part(token: Token) -> _Part:
    formula = _formula(token.content)
    if formula is None:
        return _Part("code", token.markup or token.content)
    mark = "$$" if token.type == "math_block" else "$"
    return _Part("maths", f"{mark}{formula}{mark}")


def _addressed(inner: list[_Part], token: Token, attribute: str) -> list[_Part]:
    """The text of a link or image, and where it leads."""
    address = _shortened(token, attribute)
    said = "".join(part.value for part in inner if part.kind in ("text", "code"))
    if token.markup == "autolink":
        return [_Part("code", said)]
    if not address:
        return inner
    shown = _Part("code", address)
    if said.strip() in ("", address):
        return [shown]
    title = _shortened(token, "title")
    return [*inner, _Part("text", " ("), shown, _Part("text", f" “{title}”)" if title else ")")]


def _shortened(token: Token, attribute: str) -> str:
    """An attribute on one line; short, because a reference can be used again and again."""
    value = str(token.attrGet(attribute) or "")
    return _flat(value if len(value) <= ADDRESS_SHOWN else f"{value[:ADDRESS_SHOWN]}…").strip()


_ADDRESS = re.compile(r"(?i)(?<=:)//|//(?=[\w\[])|www\.|(?<=[\w.+-])@(?=[\w-])|(?:mailto|xmpp):(?=\S)")
_ADDRESS_RIGHT = re.compile(r"[^\s<>\"“”‘’«»，。；：！？、（）【】「」『』《》]*")
_TEX_SEEN = r"\\[()\[\]]|\\(?:begin|end|(?:eq)?ref)(?![A-Za-z])(?:\s*\{[^{}\s]*\})?"
_TEX_OUTSIDE = re.compile(_TEX_SEEN)
_TEX_BESIDE = re.compile(rf"{_TEX_SEEN}|(?:(?<![\w.:/-])[\w.:/-]+)?\\[A-Za-z][\w.:/\\-]*")
_TEX_BETWEEN = re.compile(rf"{_TEX_BESIDE.pattern}|(?<!\w)\w+\$[\w.,]*")  # US$5: no emphasis fits in there


def _guarded(parts: Sequence[_Part], dollars: int) -> Iterator[_Part]:
    r"""*parts* with addresses, and TeX which MathJax would find in the drawn page, put into code.

    MathJax takes ``\(``, ``\[``, ``\begin{}`` and ``\ref{}`` wherever text shows them, and any command between ``$``
    (*dollars*: how many are around); it leaves code alone.
    """
    dollars += sum(part.value.count("$") for part in parts if part.kind in ("maths", "text"))
    seen = _TEX_BETWEEN if dollars > 1 else _TEX_BESIDE if dollars else _TEX_OUTSIDE
    for part in _joined(parts):
        if part.kind != "text":
            yield part
            continue
        for word in _split_addresses(part.value):
            if word.kind == "text":
                yield from _split_by(seen, word.value)
            else:
                yield word


def _split_addresses(text: str) -> Iterator[_Part]:
    done = 0
    for found in _ADDRESS.finditer(text):
        if found.start() < done:
            continue
        left = found.start()
        while left > done and (text[left - 1].isalnum() or text[left - 1] in "._+:%-"):
            left -= 1
        right = _ADDRESS_RIGHT.match(text, found.end())
        end = right.end() if right else found.end()
        address = text[left:end].rstrip(".,;:!?'*_~|")
        if address.endswith(")") and "(" not in address:
            address = address.rstrip(").,;:")
        yield _Part("text", text[done:left])
        yield _Part("code", address)
        done = left + len(address)
    yield _Part("text", text[done:])


def _split_by(pattern: re.Pattern[str], text: str) -> Iterator[_Part]:
    done = 0
    for found in pattern.finditer(text):
        yield _Part("text", text[done : found.start()])
        yield _Part("code", found[0])
        done = found.end()
    yield _Part("text", text[done:])


def _joined(parts: Iterable[_Part]) -> list[_Part]:
    """*parts* without empty ones, and with neighbours of a kind as one: two code spans would swallow each other."""
    joined: list[_Part] = []
    full = (part for part in parts if part.value or part.kind not in ("text", "code"))
    for kind, alike in groupby(full, key=lambda part: part.kind):
        if kind in ("text", "code"):
            joined.append(_Part(kind, "".join(part.value for part in alike)))
        else:
            joined += alike
    return joined


def _without_marks(parts: Sequence[_Part], unwanted: set[int]) -> list[_Part]:
    return _joined(part for part in parts if id(part) not in unwanted)


def _empty_marks(parts: Sequence[_Part]) -> set[int]:
    """Styles of nothing, or of the joiner that keeps dollars apart (written by an earlier pass)."""
    unwanted: set[int] = set()
    for i, part in enumerate(parts):
        if part.kind != "close" or part.mate is None:
            continue
        if parts[i - 1] is part.mate:
            unwanted |= {id(part), id(part.mate)}
        elif parts[i - 1].value == JOINER and parts[i - 2] is part.mate:
            unwanted |= {id(part), id(part.mate), id(parts[i - 1])}
    return unwanted


def _weak_marks(written: Sequence[tuple[_Part, str]]) -> set[int]:
    """Marks that a reader would not take for marks there (CommonMark's flanking rules), with their mates."""
    weak: set[int] = set()
    for i, (part, mark) in enumerate(written):
        if part.kind not in ("open", "close"):
            continue
        before = written[i - 1][1][-1:] if i else ""
        after = written[i + 1][1][:1] if i + 1 < len(written) else ""
        outer, inner = (before, after) if part.kind == "open" else (after, before)
        clash = part.kind == "open" and i > 0 and written[i - 1][0].kind == "close" and before == mark[0]
        if clash or _is_space(inner) or (_is_sign(inner) and not (_is_space(outer) or _is_sign(outer))):
            weak |= {id(part), id(part.mate)}
    return weak


def _is_space(char: str) -> bool:
    return not char or char.isspace()


def _is_sign(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"


_SPECIAL = r"[&<>\\`*\[~$]|_|@(?=@)|(?<=\w)\.(?=[^\W\d_]{2})"
_SPECIALS = {
    "line": re.compile(_SPECIAL),
    "heading": re.compile(rf"{_SPECIAL}|[#{{}}]"),
    "cell": re.compile(rf"{_SPECIAL}|\|"),
}
_ENTITIES = frozenset("&<>\\`[|{}")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _escaped(text: str, place: str) -> str:
    return _SPECIALS[place].sub(_escape, text.replace("\t", " "))


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _ENTITIES:
        return _entity(char)
    if char == "_":
        text, at = match.string, match.start()
        if at and text[at - 1].isalnum() and text[at + 1 : at + 2].isalnum():
            return char
    if char == "@":  # JupyterLab would put maths in the place of @@0@@
        return f"@{JOINER}"
    return f"\\{char}"


def _entity(char: str) -> str:
    return _NAMED.get(char) or f"&#{ord(char)};"


_LINE_START = re.compile(r"[#+=:|-]|\d{1,9}(?=[.)](?:\s|$))")
_WIDE_EDGE = re.compile(r"^[^\S ]+|[^\S ]+$")


def _line_safe(line: str) -> str:
    """*line* as the start of nothing but a paragraph."""
    line = _WIDE_EDGE.sub(lambda edge: "".join(map(_entity, edge[0])), line.strip(" "))
    if start := _LINE_START.match(line):
        number = start[0] if start[0].isdigit() else ""
        return f"{number}\\{line[len(number) :]}"
    return line


_REGION_CUT = re.compile(r"(?<=\$)(?=\$)|(?<=\\)(?=(?:begin|end)\{)|(?<=\\\\)(?=[()\[\]])")
_REGION_END = re.compile(r"\\*\$\$|\\(?:begin|end)\{[a-z]*\*?\}|\\{2,}[()\[\]]")
_REGION = re.compile(r"\$|\\(?:begin|end)\{|\\\\[()\[\]]")
_REGION_ENDS = {"$$": "$$", r"\\(": r"\\)", r"\\[": r"\\]"}
_PLAIN_CELL_CODE = re.compile(r"[\w |=+,;()'\"-]*")


def _piece(part: _Part, place: str) -> str:
    match part.kind:
        case "text":
            return _escaped(part.value, place)
        case "code":
            return _code(part.value, place)
        case "maths" if place == "cell":
            return part.value.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return part.value


def _code(content: str, place: str) -> str:
    """Spans of inline code, each with one backtick around it and none in it.

    marked pairs single backticks when it looks for the end of an emphasis, and takes one after a backslash for
    escaped: with any other form it would see emphasis in code, and so code in text. Likewise pipes in a table.
    """
    content = content.replace("\n", " ")
    if place == "cell" and _PLAIN_CELL_CODE.fullmatch(content):
        content, ends = content.replace("|", r"\|"), "`"
    else:
        ends = "`|" if place == "cell" else "`"
    return "".join(
        _entity(piece) if piece in ("`", "|") else _span(piece) for piece in re.split(f"([{ends}])", content) if piece
    )


def _span(content: str) -> str:
    if content.isspace():
        return " "
    content = _REGION_CUT.sub(BREAK, content)
    pad = " " if content[-1] == "\\" or content[0] == " " == content[-1] else ""
    return f"`{pad}{content}{pad}`"


# Blocks -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines of Markdown; *calm* if they need no blank line around them in a tight list."""

    lines: list[str]
    calm: bool = False


_DOLLAR_WORD = re.compile(r"(?<!\S)\S*\$\S*")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]+")
_ACTING_LANGUAGES = ("mermaid", "math", "geojson", "topojson", "stl", "vega", "plantuml", "graphviz", "flowchart")
_TASK = re.compile(r"\[([ xX])\](?=\s)")


class _Writer:
    """Tokens into canonical Markdown; raises _BeyondError when the text outgrows *room* characters."""

    def __init__(self, room: int) -> None:
        self._room = room

    def blocks(self, nodes: Sequence[_Node], path: str = "", tight: bool = False) -> _Block:
        """The lines of *nodes*; *path* has an l for each list around them, a q for each quote."""
        calm = True
        lines: list[str] = []
        last = _Block([])
        twin = ""
        for node in nodes:
            kind = node.token.type
            twin = f"{kind}*" if twin == kind else kind
            block = self._block(node, path, other=twin.endswith("*"))
            if not block.lines:
                continue
            self._room -= sum(map(len, block.lines))
            if self._room < 0:
                raise _BeyondError
            if lines and not (tight and last.calm and block.calm):
                lines.append("")
            lines += block.lines
            last = block
            calm = calm and block.calm
        return _Block(lines, calm)

    def line(self, text: str) -> str:
        """*text* as it is, escaped for any place but a table."""
        parts = _split_by(_DOLLAR_WORD, text) if text.count("$") > 1 else [_Part("text", text)]
        return _line_safe(" ".join(self._lines(list(parts), "heading")))

    def finished(self, text: str) -> str:
        """*text* with a joiner at the places where a renderer could cut from one code span to another, and only there.

        Cuts within one block stay within code.
        """
        if BREAK in text:
            text = "\n\n".join(
                block.replace(BREAK, JOINER if _is_cut_open(block) else "") for block in text.split("\n\n")
            )
        return f"{text}\n" if text else ""

    def _block(self, node: _Node, path: str, other: bool) -> _Block:
        token = node.token
        match token.type:
            case "paragraph_open":
                return _Block(self._paragraph(_parts(_inline(node))), calm=token.hidden)
            case "heading_open":
                line = f"{'#' * int(token.tag[1])} {self._single(_inline(node), 'heading')}"
                return _Block([line.rstrip(" ")], calm=True)
            case "fence" | "code_block":
                return self._code_block(token.content, token.info, path)
            case "math_block":
                formula = _formula(token.content)
                if formula is None:
                    return self._code_block(token.markup or token.content, "latex", path)
                return _Block([f"$${formula}$$"])
            case "html_block":
                return self._shown(token.content)
            case "hr":
                return _Block(["___"], calm=True)
            case "blockquote_open":
                inner = self.blocks(node.children, f"{path}q").lines
                return _Block([f"> {line}".rstrip(" ") for line in inner])
            case "bullet_list_open":
                return self._list(node, path, ["*" if other else "-"] * len(node.children))
            case "ordered_list_open":
                start = int(token.attrGet("start") or 0) if token.attrs else 1
                end = ")" if other else "."
                numbers = (min(start + i, 999_999_999) for i in range(len(node.children)))
                return self._list(node, path, [f"{number}{end}" for number in numbers])
            case "table_open":
                return self._table(node)
        raise _BeyondError

    def _list(self, node: _Node, path: str, markers: Sequence[str]) -> _Block:
        tight = all(
            child.token.hidden
            for item in node.children
            for child in item.children
            if child.token.type == "paragraph_open"
        )
        items: list[list[str]] = []
        calm = True
        for item, marker in zip(node.children, markers, strict=True):
            _tick(item)
            block = self.blocks(item.children, f"{path}l", tight)
            calm = calm and block.calm
            first, *rest = block.lines or [""]
            indent = " " * (len(marker) + 1)
            items.append([f"{marker} {first}".rstrip(" "), *(f"{indent}{line}".rstrip(" ") for line in rest)])
        tight = tight and calm and all(all(lines) for lines in items)
        lines = [line for lines in items for line in ([] if tight else [""]) + lines]
        starts = markers[0] in ("-", "*", "1.", "1)") and " " in items[0][0]
        return _Block(lines if tight else lines[1:], calm=tight and starts)

    def _table(self, node: _Node) -> _Block:
        head, *bodies = node.children
        rows = [row for part in (head, *bodies) for row in part.children]
        columns = [str(cell.token.attrGet("style") or "") for cell in rows[0].children]
        rules = {"text-align:left": ":--", "text-align:right": "--:", "text-align:center": ":-:"}
        # Not every renderer knows tables everywhere: then all cells are one paragraph
        dollars = sum(token.content.count("$") for row in rows for cell in row.children for token in _inline(cell))
        lines = [
            "| " + " | ".join(self._single(_inline(cell), "cell", dollars) for cell in row.children) + " |"
            for row in rows
        ]
        lines.insert(1, "| " + " | ".join(rules.get(column, "---") for column in columns) + " |")
        return _Block(lines)

    def _code_block(self, content: str, info: str, path: str) -> _Block:
        """A fence where all renderers see it end at the same line, otherwise lines of inline code."""
        code = content.strip("\n")
        cut = bool(_REGION.search(code))
        if path in ("", "l", "ll", "lll") or (path == "q" and not cut):
            return _Block(_fence(code, info), calm=not cut)
        parts: list[_Part] = []
        for line in code.split("\n"):
            parts += [_Part("code", line), _Part("break", "")]
        return _Block(self._paragraph(parts))

    def _shown(self, html: str) -> _Block:
        parts: list[_Part] = []
        for line in html.strip("\n").split("\n"):
            bare = line.lstrip(" \t")
            parts += [_Part("text", "\xa0" * (len(line) - len(bare)) + bare if bare else ""), _Part("break", "")]
        return _Block(self._paragraph(parts))

    def _paragraph(self, parts: Sequence[_Part]) -> list[str]:
        lines = [_line_safe(line) for line in self._lines(parts, "line")]
        lines = [line for line in lines if line]
        return [*(f"{line}\\" for line in lines[:-1]), *lines[-1:]]

    def _single(self, tokens: Sequence[Token], place: str, dollars: int = 0) -> str:
        return " ".join(self._lines(_parts(tokens), place, dollars)).strip()

    def _lines(self, parts: Sequence[_Part], place: str, dollars: int = 0) -> list[str]:
        safe = _joined(_guarded(parts, dollars))
        safe = _without_marks(safe, _empty_marks(safe))
        written = [(part, _piece(part, place)) for part in safe]
        for attempt in range(_ATTEMPTS):  # without one mark, another may be weak
            if not (weak := _weak_marks(written)):
                break
            if attempt == _ATTEMPTS - 1:
                weak = {id(part) for part in safe if part.kind in ("open", "close")}
            safe = _without_marks(safe, weak)
            written = [(part, _piece(part, place)) for part in safe]
        return _assembled(written)


def _assembled(written: Sequence[tuple[_Part, str]]) -> list[str]:
    r"""Lines of the pieces, with an empty emphasis between two dollars that are not maths.

    ``\$5 and \$6`` is drawn as ``$5 and $6``, in which MathJax then finds maths; it does not look across elements.
    """
    lines: list[list[str]] = [[]]
    dollar = False
    around: set[str] = set()
    for i, (part, piece) in enumerate(written):
        if part.kind == "break":
            lines.append([])
            continue
        if part.kind in ("open", "close"):
            around ^= {piece}
        if part.kind in ("open", "close", "code"):
            dollar = False
        mark = next((mark for mark in ("*", "**") if mark not in around), "")
        apart = f"{mark}{JOINER}{mark}" if mark else " "
        before = written[i - 1][0].kind if i else ""
        after = written[i + 1][0].kind if i + 1 < len(written) else ""
        if part.kind == "maths":
            lines[-1].append(apart if dollar else " " if before == "maths" else "")
            dollar = False
        elif part.kind == "text":
            first, *rest = piece.split(r"\$")
            piece = first + "".join((apart if dollar or k else "") + rf"\${text}" for k, text in enumerate(rest))
            dollar = dollar or bool(rest)
            # pandoc reads `code`{=html} as HTML, MyST {role}`code` as a role
            if before == "code" and piece.startswith("{"):
                piece = _entity("{") + piece[1:]
            if after == "code" and piece.endswith("}"):
                piece = piece[:-1] + _entity("}")
            if before == "maths" and piece.startswith(r"\$"):
                piece = f" {piece}"
        lines[-1].append(piece)
    return ["".join(pieces) for pieces in lines]


def _is_cut_open(block: str) -> bool:
    """Whether maths that a renderer sees to begin in *block* would end in another one."""
    wanted = ""
    for end in _REGION_END.findall(block.replace(BREAK, "")):
        if end.lstrip("\\") == "$$" != end or end.startswith("\\" * 3):
            return True  # after a backslash, it is an end for one renderer and not for another
        if not wanted:
            wanted = end.replace("begin", "end") if end.startswith(r"\begin") else _REGION_ENDS.get(end, "")
        elif end == wanted:
            wanted = ""
    return bool(wanted)


def _inline(node: _Node) -> Sequence[Token]:
    return [token for child in node.children for token in child.token.children or []]


def _fence(code: str, info: str = "") -> list[str]:
    fence = "`" * max(3, 1 + _longest_run(code))
    return [f"{fence}{_language(info)}", *code.split("\n"), fence]


def _language(info: str) -> str:
    """The first word of a fence's info string, if nothing acts on it."""
    word = "".join(_LANGUAGE.findall(info.split(maxsplit=1)[0]))[:32] if info.strip() else ""
    return "" if word.lower().startswith(_ACTING_LANGUAGES) else word


def _tick(item: _Node) -> None:
    """Turn the check box of a task into a character."""
    if item.children and item.children[0].token.type == "paragraph_open":
        line = item.children[0].children[0].token
        box = _TASK.match(line.content)
        if box and line.children and line.children[0].content.startswith(box[0]):
            line.children[0].content = ("☐" if box[1] == " " else "☑") + line.children[0].content[len(box[0]) :]
