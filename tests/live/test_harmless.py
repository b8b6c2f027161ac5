"""A hostile answer becomes Markdown in which nothing acts, whoever draws it; an ordinary one still says the same."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import time
import unicodedata
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from missing import missing

from holystream_nb.live.harmless import code_block, harmless, plain_line

from .payloads import DOM, HTML, MARKDOWN, MATHS, PAYLOADS

MARKED = Path(__file__).parents[2] / "holystream_nb" / "frontend" / "node_modules" / "marked" / "lib" / "marked.esm.js"
NODE = shutil.which("node")

# What may be in a page --------------------------------------------------------------------------------------------

_TAGS = re.compile(r"p|h[1-6]|[uo]l|li|blockquote|pre|code|em|strong|del|s|table|thead|tbody|t[rhd]|[hb]r|span|div")
_ATTRIBUTES: Final[dict[tuple[str, str], str]] = {
    ("code", "class"): r"language-[A-Za-z0-9_+#.-]+",
    ("ol", "start"): r"\d+",
    ("th", "align"): r"left|right|center",
    ("td", "align"): r"left|right|center",
    ("th", "style"): r"text-align: ?(left|right|center)",
    ("td", "style"): r"text-align: ?(left|right|center)",
    ("div", "class"): r"highlight",
    ("span", "class"): r"[a-z0-9 -]+",
}
_ANCHOR = {"class": r"anchor-link", "href": r"#[^\s\"<>]*"}


class Page(HTMLParser):
    """What a page holds: complaints about what could act, its text, its text outside code by run, its structure."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.complaints: list[str] = []
        self.text = ""
        self.runs = [""]
        self.structure: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        heading = bool(re.fullmatch(r"h[1-6]", tag))
        anchor = tag == "a" and self._open and re.fullmatch(r"h[1-6]", self._open[-1])
        if not _TAGS.fullmatch(tag) and not anchor:
            self.complaints.append(f"<{tag}>")
        for name, value in attrs:
            allowed = _ANCHOR.get(name) if anchor else _ATTRIBUTES.get((tag, name))
            if heading and name == "id":  # nbconvert's own
                allowed = r"[^\s\"<>]*"
            if allowed is None or not re.fullmatch(allowed, value or ""):
                self.complaints.append(f"<{tag} {name}={value!r}>")
        self.structure.append(tag)
        if tag not in ("br", "hr"):
            self._open.append(tag)
        if tag == "br":  # MathJax reads on over a line's end
            self.runs[-1] += "\n"
        else:
            self.runs.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        self.structure.append(f"/{tag}")
        self.runs.append("")

    def handle_data(self, data: str) -> None:
        if "a" in self._open:
            return
        self.text += data
        if "code" not in self._open and "pre" not in self._open:
            self.runs[-1] += data

    def handle_comment(self, data: str) -> None:
        self.complaints.append(f"<!--{data}")

    def handle_decl(self, decl: str) -> None:
        self.complaints.append(f"<!{decl}")

    def handle_pi(self, data: str) -> None:
        self.complaints.append(f"<?{data}")

    def unknown_decl(self, data: str) -> None:
        self.complaints.append(f"<![{data}")


_ACTING_TEX = re.compile(
    r"\\(href|url|includegraphics|html\w*|class|style|cssId|require|mmlToken|bbox|unicode|toggle|texttip|mathtip"
    r"|rule|raise|input|immediate|write|catcode|def|let|newcommand|data)(?![A-Za-z])"
)
_TEX_STARTS = re.compile(r"\\[(\[]|\\begin\s*\{")
_MATHS = re.compile(r"\$\$?[^$]*(?:\$\$?|\Z)")


def complaints(html: str) -> list[str]:
    """What could act in a page: elements, attributes, and TeX that MathJax would find outside code."""
    page = Page(html)
    for run in page.runs:
        if "$" in run or _TEX_STARTS.search(run):
            page.complaints += [f"TeX {found[0]}" for found in _ACTING_TEX.finditer(run)]
        page.complaints += re.findall(r"\\(?:eq)?ref\s*\{", run)
    return page.complaints


# Who draws it -----------------------------------------------------------------------------------------------------

Draw = Callable[[str], str]


def commonmark(markdown: str) -> str:
    return str(MarkdownIt("commonmark").render(markdown))


def github(markdown: str) -> str:
    """GitHub's flavour with links made of anything that looks like an address, as VS Code does it."""
    return str(MarkdownIt("gfm-like", {"html": True}).render(markdown))


def nbconvert(markdown: str) -> str:
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return str(markdown2html_mistune(markdown))


# JupyterLab's way: maths leaves the source before Markdown, and comes back into the HTML.
_JUPYTERLAB = r"""
import { createInterface } from 'node:readline';
const { marked } = await import(process.argv[1]);
const MARK = new RegExp('(' + [
  '@@\\d+@@', '\\$\\$?', '\\\\[{}$]', '[{}]', '\\\\(?:begin|end)\\{[a-z]*\\*?\\}', '\\\\\\\\[()[\\]]', '(?:\\n\\s*)+',
].join('|') + ')', 'i');
const hidden = text => text.replaceAll('$', '~D');
function without(source) {
  const kept = [];
  const coded = source.includes('`') || source.includes('~~~');
  if (coded) {
    source = source.replaceAll('~', '~T')
      .replace(/^(?<fence>`{3,}|(~T){3,})[^`\n]*\n([\s\S]*?)^\k<fence>`*$/gm, hidden)
      .replace(/(^|[^\\])(`+)([^\n]*?[^`\n])\2(?!`)/gm, hidden);
  }
  const shown = text => coded ? text.replace(/~([TD])/g, (_, c) => c === 'T' ? '~' : '$') : text;
  const pieces = source.split(MARK);
  let start = -1, end = '', last = -1, depth = 0;
  const keep = to => {
    const tex = pieces.slice(start, to + 1).join('');
    pieces.fill('', start, to + 1);
    pieces[start] = `@@${kept.length}@@`;
    kept.push(shown(tex.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')));
  };
  for (let i = 1; i < pieces.length; i += 2) {
    const piece = pieces[i];
    if (piece.startsWith('@')) { pieces[i] = `@@${kept.length}@@`; kept.push(piece); }
    else if (start >= 0) {
      if (piece === end) {
        if (depth) last = i; else { keep(i); start = -1; last = -1; }
      } else if (/\n.*\n/.test(piece)) {
        if (last >= 0) { keep(last); i = last; }
        start = -1; last = -1; depth = 0;
      } else if (piece === '{') depth++;
      else if (piece === '}' && depth) depth--;
    } else {
      if (piece === '$' || piece === '$$') end = piece;
      else if (piece === '\\\\(') end = '\\\\)';
      else if (piece === '\\\\[') end = '\\\\]';
      else if (piece.startsWith('\\begin')) end = '\\end' + piece.slice(6);
      else continue;
      start = i; depth = 0;
    }
  }
  if (start >= 0 && last >= 0) keep(last);
  return [shown(pieces.join('')), kept];
}
function back(html, kept) {
  return html.replace(/@@(\d+)@@/g, (_, n) => (kept[n] ?? 'undefined')
    .replace(/^\\\\([([])([\s\S]*)\\\\([)\]])$/, '\\$1$2\\$3'));
}
for await (const line of createInterface({ input: process.stdin })) {
  const [text, kept] = without(JSON.parse(line));
  console.log(JSON.stringify(back(marked.parse(text, { gfm: true }), kept)));
}
"""


@pytest.fixture(scope="module")
def jupyterlab() -> Iterator[Draw]:
    """marked in one node process, the way JupyterLab uses it."""
    if NODE is None or not MARKED.exists():
        missing("NO NODE OR NO marked UNDER frontend/node_modules: what JupyterLab draws is NOT TESTED")
    command = [NODE, "--input-type=module", "-e", _JUPYTERLAB, MARKED.as_uri()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answered = process.stdin, process.stdout

        def draw(markdown: str) -> str:
            print(json.dumps(markdown), file=asked, flush=True)
            return str(json.loads(answered.readline()))

        yield draw
        asked.close()


DRAWERS: Final[dict[str, Draw]] = {"commonmark": commonmark, "github": github, "nbconvert": nbconvert}


def each_drawer(jupyterlab: Draw) -> dict[str, Draw]:
    return {**DRAWERS, "jupyterlab": jupyterlab}


# Payloads ---------------------------------------------------------------------------------------------------------


def test_there_are_enough_payloads() -> None:
    """The issue asks for at least 60 kinds."""
    assert len(PAYLOADS) >= 150


@pytest.mark.slow
def test_the_check_sees_what_acts() -> None:
    """Nearly every payload, drawn as it is, is complained about by the check that must be silent after `harmless`."""
    drawn = [markdown for kind in (HTML, DOM, MARKDOWN, MATHS) for markdown in kind.values()]
    seen = [markdown for markdown in drawn if any(complaints(draw(markdown)) for draw in DRAWERS.values())]
    assert len(seen) > 0.8 * len(drawn)


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("drawer", DRAWERS)
def test_nothing_acts(name: str, drawer: str) -> None:
    """No payload leaves an element, an attribute or a command that acts."""
    assert complaints(DRAWERS[drawer](harmless(PAYLOADS[name]))) == []


@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_acts_in_jupyterlab(name: str, jupyterlab: Draw) -> None:
    """The same where maths is cut out of the source before Markdown."""
    assert complaints(jupyterlab(harmless(PAYLOADS[name]))) == []


@pytest.mark.slow
def test_nothing_acts_beside_others(jupyterlab: Draw) -> None:
    """All payloads in one document, in three orders: answers of several models are saved as one."""
    written = [harmless(markdown) for markdown in PAYLOADS.values()]
    for order in (written, written[::-1], sorted(written)):
        document = "\n\n".join(order)
        for name, draw in each_drawer(jupyterlab).items():
            assert complaints(draw(document)) == [], name


@pytest.mark.slow
def test_nothing_acts_in_an_exported_notebook() -> None:
    """nbconvert's HTML of a notebook whose outputs are the payloads holds only its own elements."""
    import nbformat.v4 as notebooks
    from nbconvert import HTMLExporter

    outputs = [notebooks.new_output("display_data", {"text/markdown": harmless(text)}) for text in PAYLOADS.values()]
    notebook = notebooks.new_notebook(cells=[notebooks.new_code_cell("", outputs=outputs, execution_count=1)])
    html, _ = HTMLExporter().from_notebook_node(notebook)
    parts = re.split(r'<div class="[^"]*jp-RenderedMarkdown[^"]*"[^>]*>', html)[1:]
    assert len(parts) == len(PAYLOADS)
    for name, part in zip(PAYLOADS, parts, strict=True):
        inside = re.split(r'</div>\s*</div>\s*(?=<div class="jp-OutputArea-child|</div>)', part)[0]
        assert complaints(inside) == [], name


def test_html_is_shown() -> None:
    """Raw HTML of an answer is read as it was written."""
    for name in ("HTML: script", "HTML: image handler", "DOM: svg handler", "DOM: mathml mutation"):
        markdown = PAYLOADS[name]
        assert Page(commonmark(harmless(markdown))).text.strip() == markdown


def test_links_and_images_say_where_they_lead() -> None:
    """A link is its text with the address as code, an image likewise."""
    assert harmless('[docs](https://a.test/x_y "the docs")') == "docs (`https://a.test/x_y` “the docs”)\n"
    assert harmless("![a cat](https://a.test/c.png)") == "🖼 a cat (`https://a.test/c.png`)\n"
    assert harmless("see https://a.test/x, www.a.test or <me@a.test>.") == (
        "see `https://a.test/x`, `www.a.test` or `me@a.test`.\n"
    )
    assert harmless("[a][1]\n\n[1]: javascript:x") == "a (`javascript:x`)\n"
    assert len(harmless(f"![x](data:image/png;base64,{'A' * 100_000})")) < 1_000


# Any string -------------------------------------------------------------------------------------------------------

FRAGMENTS: Final = [
    *("\n", "\n\n", "\n> ", "\n- ", "\n  ", "\n    ", "\n1. ", "\n   ", "\t", "\\\n", "  \n", " "),
    *(
        "`",
        "``",
        "```",
        "````",
        "\n```\n",
        "\n~~~\n",
        "\n```html\n",
        "\n  ```\n",
        "`a`",
        "`` ` ``",
        "`$$`",
        "`\\$$`",
        "`$$",
        "$$`",
        "`\\begin{align}",
        "` `",
    ),
    *(
        "$",
        "$$",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "\\\\(",
        "\\\\]",
        "\\begin{align}",
        "\\end{align}",
        "\n$$\n",
        "\\$",
        "$\\$5$",
        "$\\text{\\$}$",
        "^",
        "{",
        "}",
    ),
    *(
        "\\href{javascript:alert(1)}{x}",
        "x^2",
        "\\frac{a}{b}",
        "a & b",
        "\\\\",
        "\\text{",
        "\\\\[2pt]",
        "@@0@@",
        "\\end{x}",
        "\\lt",
    ),
    *(
        "<",
        ">",
        "<img src=x onerror=alert(1)>",
        "<script>",
        "</script>",
        "<!--",
        "-->",
        "<![CDATA[",
        "<?",
        "&lt;",
        "&#60;",
    ),
    *(
        "\n<div>\n",
        "\n<pre>\n",
        "\n</div>\n",
        "<b onclick=x>",
        "&",
        "&amp;",
        "&#36;",
        "&#96;",
        "&#92;",
        "&#91;",
        "&#10;",
    ),
    *(
        "[",
        "]",
        "(",
        ")",
        "](",
        "[x](javascript:alert(1))",
        "![x](https://evil.test)",
        "\n[x]: https://evil.test\n",
        "[x]",
    ),
    *("<https://evil.test>", "https://evil.test/", "www.evil.test", "you@evil.test", "evil.com", "://", "//", "@", "."),
    *(
        "*",
        "**",
        "_",
        "__",
        "~~",
        "***",
        "*a*",
        "**b**",
        "~",
        "!",
        "\\",
        "#",
        "\n# ",
        "\n===\n",
        "\n---\n",
        "---",
        "+",
        "=",
    ),
    *("|", "\n| a | b |\n|---|---|\n| ", " | ", "\\|", "\na|b\n-|-\n", ":", "\n: x", "\n\n: ", "[^1]", "[ ] ", "[x] "),
    *(
        "a",
        "é",
        "文",
        "🖼",
        "\u200b",
        "\u2060",
        "\u00a0",
        "\u2028",
        "\x00",
        "\ud800",
        "\u202e",
        "\ufdd0",
        "\u3000",
        "1",
        "9)",
    ),
]
answers = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=30).map("".join)
nested = st.recursive(
    answers,
    lambda inner: (
        st.builds(
            lambda prefix, text: re.sub(r"(?m)^", prefix, text).replace(prefix, prefix[:-1] + " ", 0),
            st.sampled_from(["> ", "- ", "  ", "    ", "1. ", "   ", "> - ", "# ", "| "]),
            inner,
        )
        | st.lists(inner, max_size=3).map("\n".join)
    ),
    max_leaves=6,
)
several = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.slow
@several
@given(answer=answers | nested)
def test_no_mixture_acts(jupyterlab: Draw, answer: str) -> None:
    """Whatever pieces of Markdown, HTML, code and maths meet, nothing acts in any renderer."""
    written = harmless(answer)
    for name, draw in each_drawer(jupyterlab).items():
        assert complaints(draw(written)) == [], (name, written)


@pytest.mark.slow
@several
@given(answer=answers | nested)
def test_again_changes_nothing(answer: str) -> None:
    """What is harmless stays harmless, and shows the same text, when it goes through again."""
    once = harmless(answer)
    twice = harmless(once)
    assert complaints(github(twice)) == []
    assert said(github(twice)) == said(github(once))


@pytest.mark.slow
@several
@given(text=st.text(max_size=200) | answers)
def test_a_line_is_a_line(text: str) -> None:
    """A label or an error in the saved output is one line of text without Markdown, in emphasis and headings too."""
    line = plain_line(text)
    assert "\n" not in line
    assert "\u2060" not in line or "\u2060" in text
    for around in ("{}", "### {}", "*{}*", "**{}**"):
        assert complaints(github(around.format(line))) == []


def test_a_code_block_ends_at_its_end() -> None:
    """Code that holds fences is fenced more strongly, and the language is one word."""
    assert code_block("```\n<b>\n```", 'html" onclick') == "````html\n```\n<b>\n```\n````"


def said(html: str) -> str:
    return "".join(Page(html).text.split())


# What an ordinary answer says ---------------------------------------------------------------------------------------

ORDINARY: Final = r"""# Sorting, `sorted` & friends

A *stable* sort keeps **equal** items in order; ~~quicksort~~ doesn't. 🎉 日本語の文章。 Use `a < b` when
a < b && c > d, snake_case_names, 2 * 3 * 4, C:\path, AT&T, #hashtag, e.g. 3.14 and "quotes" – ok.

#hashtag first
1986\. A great year\
second line after a hard break  
third line

3. three
4. four
   - nested
   - deeper
     1. one
5. five

- loose

  with a second paragraph

- item

  ```python title="x"
  if a < b and c > d:
      print("<b>&amp;</b>")

  print(f"${x}")
  ```

* [ ] todo
* [x] done

| Left | Right | `x` |
|:-----|------:|:---:|
| a \| b | 2 * 3 | `int | None` |
| **b** | 1_000 |

> A quote
> with *two* lines
>
> - and a list
>
> > nested

```html
<script>alert("shown")</script>
```

```
no language: `ticks` and ~~~
```

## Costs: $5 and $6

It is \$5 or $6 - or 7$.

---

    indented < code

Intra**word**emphasis, ***both***, *a **b** c*, **a *b***, `code`*em*, ([brackets]) {braces} a[0] x^2 ~ ok! a|b.
"""
"""Nothing here is HTML, a link or maths: it must look the same before and after."""


def shape(html: str) -> list[str]:
    """The elements of a page, without the code in which prices stand and the colon of a looser list."""
    return Page(re.sub(r"<code>(\w*\$\w*)</code>", r"\1", html)).structure


def test_an_ordinary_answer_looks_the_same() -> None:
    """Text and structure are the same before and after, as markdown-it draws them."""
    boxes = ORDINARY.replace("[ ]", "☐").replace("[x] done", "☑ done").replace("int | None", "int \\| None")
    draw = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render
    before, after = draw(boxes), draw(harmless(ORDINARY.replace("int | None", "int \\| None")))
    assert said(after) == said(before)
    assert shape(after) == shape(before)


def test_an_ordinary_answer_looks_the_same_elsewhere(jupyterlab: Draw) -> None:
    """nbconvert and JupyterLab show all of its words, too."""
    wanted = said(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(harmless(ORDINARY)))
    assert said(nbconvert(harmless(ORDINARY))) == wanted
    assert said(jupyterlab(harmless(ORDINARY))) == wanted


def test_maths_survives() -> None:
    """Each way to write maths becomes dollars, which all front-ends know; `<` and `&` become what cannot be HTML."""
    assert harmless(r"so $a_1 < b^2$ and \(x > y\)") == r"so $a_1 \lt b^2$ and $x \gt y$" + "\n"
    assert harmless("\\[\n\\frac{a}{b} = c\n\\]") == "$$\\frac{a}{b} = c$$\n"
    assert harmless("$$\na\n- b\n= c\n$$") == "$$a - b = c$$\n"
    aligned = "\\begin{aligned}a&=b\\\\[2pt]c&<d\\end{aligned}"
    assert harmless(aligned.replace("aligned", "align")) == ("$$\\begin{aligned}a& =b\\\\ c& \\lt d\\end{aligned}$$\n")
    assert harmless(harmless(f"$${aligned}$$")) == harmless(f"$${aligned}$$")


def test_words_in_maths_survive() -> None:
    r"""MathJax knows no comparison within ``\text``: it stands between two of them."""
    assert harmless(r"$x \text{ if a < b}$") == r"$x \text{ if a }\lt \text{ b}$" + "\n"


def test_a_row_of_dollars_in_formulas_ends_none() -> None:
    r"""A dollar in a formula ends with braces, so that no renderer reads ``\$$`` as the end of a display."""
    assert harmless(r"so $2 \times \$5 = \$10$ and $\$$") == r"so $2 \times \${}5 = \${}10$ and $\${}$" + "\n"


def test_unknown_maths_is_shown_as_code() -> None:
    """Maths with a command that we don't know to be harmless is read as its source."""
    assert harmless(r"see $\href{javascript:alert(1)}{x}$") == r"see `$\href{javascript:alert(1)}{x}$`" + "\n"


def test_code_with_backticks_says_the_same() -> None:
    """Backticks in inline code stand beside the code: no renderer counts them then."""
    assert harmless("`` a`b `` and ``` `` ```") == "`a`&#96;`b` and &#96;&#96;\n"


def test_money_is_no_maths(jupyterlab: Draw) -> None:
    """Dollars of prices and variables are text, and stay apart on the page, where MathJax looks for pairs."""
    for money in ("$5 and $6", "US$5, $6 and $x$", "$HOME/bin:$PATH is set", "**$5 to $6**, not $7", "5$ or 6$"):
        html = jupyterlab(harmless(money))
        assert said(html) == said(f"<p>{money.replace('**', '')}</p>")
        pairs = [pair for run in Page(html).runs for pair in re.findall(r"\$[^$]+\$", run)]
        assert pairs == re.findall(r"\$x\$", money)


# What is copied ------------------------------------------------------------------------------------------------------

COPIED: Final[dict[str, str]] = {
    "yaml": '```yaml\nurl: https://a.test/x_y?z=1&w=2#f\nto: me@a.test\n\nlist:\n  - $HOME/a\n  - "@@0@@"\n```',
    "shell": "```bash\necho \"$PATH:$HOME\" | sed 's/\\$//' && \\\n  curl -s https://a.test | tr -d '`'\n```",
    "latex": "```latex\n\\begin{align}\n  a &= b \\\\\n\\end{align}\n$$x$$ \\(y\\)\n```",
    "citation": '```html\n<p>\n\n  <cite data-cite="x">y</cite>\n</p>\n```',
    "address": "https://a.test/x_y?z=1&w=2#f and www.a.test, ftp://a.test/",
    "e-mail": "me@a.test or mailto:me@a.test",
    "prices": "It costs $5, $6.50 or US$7, not $8.",
    "variables": "Set $HOME/bin:$PATH, ${x} and $1.",
    "code": "`\\begin{align}` `$$` `\\\\(` `a|b` `@@0@@` `<b data-cite=x>` `C:\\x`",
    "marks of a notebook": "@@0@@ @@1@@ a@@b ~D ~T",
    "escapes": "C:\\path, AT&T, a_b_c, 2 * 3 * 4, ~ok~, [x] (y) {z} <3 #h !",
    "percent": "% of it",
    "paths": "Open C:\\Users\\me\\new_file.txt, %APPDATA%\\x and ~/.bashrc.",
    "patterns": "`^\\d{3}-\\w+$`, \\d+ and (?:a|b)[^c]*$ or ^\\s+|\\s+$ here.",
    "diff": "```diff\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n-a $x\n+b $y\n```",
    "right to left": "مرحبا بالعالم, שלום עולם: a_b (c) 5$.",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ✅ 1️⃣ ™",
    "CJK": "“你好”，世界。価格は$5〜$10です。全角＄５、「https://a.test/路径」を参照。",
    "powers": "2^10 and x^2^3, ^^, a~b~c and E=mc^2.",
    "names": "@user, user@host:~/x, #123, a/b#4, :smile:, [^1], [@x2020]",
    "PHP": "$a = $b['x']; $c->d(); $$e; {$f}",
    "more prices": "$5-$10, $5/$10, ($5), $5k, $1,000.50, US$5, -$5, $5.",
    "templates": "50% of 20%, %s %d, {x} {{ y }} {% z %} &c.",
    "types": "List<String>, a<b>c, x <y> z, </b>",
    "refused maths": "see $\\href{x}{y}$, $x#y$ and $^^5cinput{x}$",
    "html": "<div>\n  <p>x</p>\n</div>",
}
"""Answers whose text, without the marks of Markdown, is the same when it is copied from what was saved."""
_MARKS = re.compile(r"^```\w*\n|\n```$|`(?=[^\s`])|(?<=[^\s`])`")


def copied(answer: str) -> str:
    """What a reader copies from an answer: its characters without the marks of code."""
    return answer.split("\n", 1)[1].removesuffix("\n```") if answer.startswith("```") else _MARKS.sub("", answer)


@pytest.mark.parametrize("name", COPIED)
@pytest.mark.parametrize("drawer", DRAWERS)
def test_what_is_copied_is_what_was_written(name: str, drawer: str) -> None:
    """Addresses, prices, code and escapes have every character of theirs and no other, wherever they are drawn."""
    assert Page(DRAWERS[drawer](harmless(COPIED[name]))).text.strip("\n") == copied(COPIED[name])


@pytest.mark.parametrize("name", COPIED)
def test_what_is_copied_in_jupyterlab_is_what_was_written(name: str, jupyterlab: Draw) -> None:
    """The same in JupyterLab."""
    assert Page(jupyterlab(harmless(COPIED[name])).replace("<br>", "\n")).text.strip("\n") == copied(COPIED[name])


def unseen(text: str) -> set[str]:
    return {char for char in text if unicodedata.category(char) in ("Cf", "Zs", "Zl", "Zp") and char != " "}


@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_unseen_is_added(name: str) -> None:
    """No joiner, wide space or other invisible character stands in a saved answer that was not in the answer."""
    assert unseen(harmless(PAYLOADS[name])) <= unseen(PAYLOADS[name])


@pytest.mark.slow
@several
@given(answer=answers | nested)
def test_nothing_unseen_is_added_to_any_mixture(answer: str) -> None:
    """Nor in any mixture of pieces, nor in a line of ours."""
    entities = unseen(html.unescape(answer))
    assert unseen(html.unescape(harmless(answer))) <= unseen(answer) | entities
    assert unseen(plain_line(answer)) <= unseen(answer)


# Any size -----------------------------------------------------------------------------------------------------------

SIZE: Final = 200_000
HEAVY: Final = [
    *(
        "> ",
        "- ",
        "1. ",
        "> - ",
        "[",
        "![",
        "[a](",
        "![a](b",
        "[a][",
        "](",
        "*",
        "*a ",
        "a**b ",
        "**a*",
        "*_",
        "~~a",
        "_ ",
    ),
    *(
        "`",
        "`a``",
        "``` ",
        "\n```\n",
        "<",
        "<!--",
        "<?",
        "<!A",
        "<![CDATA[",
        '<a b="',
        "<a b ",
        "&",
        "&#",
        "\\",
        "|a",
        "\t",
    ),
    *(
        "$",
        "$$",
        "$a",
        "$a$",
        "\\(",
        "\\[",
        "\\begin{align}",
        "\n$$a",
        "\n\\[a",
        "\n\\begin{align}",
        "`$$` ",
        "`\\begin{a}` ",
    ),
    *(
        "a\n",
        "\n- ",
        "- a\n  - b\n",
        "    x\n",
        "a|b\n-|-\n",
        "| a | b |\n",
        "\n\n",
        "<div>\n",
        "[a]: b\n",
        "a\n=\n",
        "x@y.zz ",
    ),
    *(
        "http://a.bc ",
        "http:",
        "www.",
        "a",
        "a.bc ",
        "文",
        "# ",
        "*a* ",
        "`a` ",
        "- `a`\n",
        "\ud800",
        "$5 ",
        "[a](b) ",
        "\\a ",
        "x@",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", HEAVY)
def test_the_nastiest_repetition_is_quick(piece: str) -> None:
    """200 kB of one piece, or of a nested one, take well under two seconds (of processor time)."""
    start = time.process_time()
    written = harmless(piece * (SIZE // len(piece)))
    assert time.process_time() - start < 2
    assert len(written) < 12 * SIZE


@pytest.mark.slow
@pytest.mark.parametrize("opening", ["$$", r"\[", r"\begin{align}", "```", "<!--", "[a]: b '", "> $$", "- $$"])
def test_an_end_after_many_starts_is_found_quickly(opening: str) -> None:
    """Many openings and one end for them take well under two seconds, too."""
    ends = {"[": r"\]", "b": r"\end{align}"}
    start = time.process_time()
    harmless(f"{opening} a\n" * 14_000 + ends.get(opening[1:2], "$$"))
    harmless(f"{opening} a " * 14_000 + ends.get(opening[1:2], "$$"))
    assert time.process_time() - start < 4


LINEAR: Final[dict[str, str]] = {
    "words": "Ordinary words of *an* answer, with `code`, $x_1$ and [a link](https://a.test/x).\n\n",
    "list": "- one\n  - `two`\n",
    "table": "| a | $x_1$ |\n|---|---|\n| b | `c` |\n\n",
    "code": "```python\nprint('x')\n```\n\n",
    "formulas": "$$\\begin{aligned}a&=\\ket{b}\\\\c&=\\frac{d}{2}\\end{aligned}$$\n\n",
    "prices": "costs $5 to $10, ",
    "html": "<b onclick=x>a</b>\n",
    "one block of code with ends of maths": "\\end{x}a\n",
    "escapes": "a\\_b\\*c ",
    "one line": "x",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LINEAR)
def test_time_grows_with_the_length_alone(kind: str) -> None:
    """Eight times an answer of any kind takes about eight times as long, parsed or as plain text, at up to 2 MB."""
    answer = LINEAR[kind]
    for length in (15_000, 250_000):
        short, long = (answer * (size // len(answer)) for size in (length, 8 * length))
        assert _quickest(long) < 24 * _quickest(short) + 0.02  # 64 times, were it the square


def _quickest(answer: str) -> float:
    """Seconds of processor time, the least of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        harmless(answer)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.slow
def test_growth_is_bounded() -> None:
    """One long address, used by ten thousand short references, and a table of empty cells do not fill the memory."""
    assert len(harmless(f"[a]: {'x' * 50_000}\n\n{'[a] ' * 10_000}")) < 12 * SIZE
    assert len(harmless("|a" * 5_000 + "|\n" + "|-" * 5_000 + "|\n" + "|\n" * 15_000)) < 12 * SIZE


def test_an_answer_cut_in_a_quote_is_still_markdown() -> None:
    """A stop may leave a last line of nothing but a quote's mark (markdown-it-py raises an IndexError for it)."""
    assert harmless("> a\n> 1. <?b\n>   ") == "> a\n>\n> 1. &lt;?b\n"


def test_too_deep_is_plain_text() -> None:
    """What is nested beyond reason is one block of text, nothing lost."""
    deep = "> " * 50 + "<img src=x onerror=alert(1)>"
    assert harmless(deep) == f"```\n{deep}\n```\n"
