"""Maths: which TeX is drawn as a formula, and which is shown as its source."""

from __future__ import annotations

import re


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
ENVIRONMENTS = _words(
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


def safe_tex(source: str) -> str | None:
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
        if name not in ENVIRONMENTS:
            return False
        if kind == "begin":
            open_names.append(name)
        elif not open_names or open_names.pop() != name:
            return False
    return not open_names
