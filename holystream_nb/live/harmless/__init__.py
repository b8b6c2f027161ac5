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
- pandoc (nbconvert to PDF) gives meaning to braces after code and headings, and raises all between two ``^``, code cut
  in two; TeX in maths can read files.

See https://spec.commonmark.org/0.31.2/ and https://github.github.com/gfm/.
"""

from __future__ import annotations

from .characters import CELLS, GROWTH, IMAGE, LINES, LONGEST, MARK, MARKS, cells, readable

# The parser and the writer come late: what is readable must be known when the magic is loaded, and is all that is.

__all__ = ["IMAGE", "code_block", "harmless", "plain_line", "readable"]


def harmless(markdown: str) -> str:
    """Markdown that says the same as *markdown*, and in which nothing can act in any renderer.

    Raw HTML is shown as text, links and images as their text with the address in code, maths only as far as its
    commands are known. Total: any string is taken, nothing is raised; what is nested too deeply or too long comes back
    as one block of plain text.
    """
    text = readable(markdown)
    if len(text) > LONGEST or text.count("\n") > LINES or len(MARK.findall(text)) > MARKS or cells(text) > CELLS:
        return _plain(text)
    try:
        return _written(text)
    except Exception:  # whatever the parser stumbles over, the reader gets the text, in the form that is always safe
        return _plain(text)


def _written(text: str) -> str:
    from .blocks import parser, tree
    from .writer import settled

    nodes = tree(parser().parse(f"{text}\n"))
    written = settled(lambda writer: "\n".join(writer.blocks(nodes).lines), room=GROWTH * len(text) + 10_000)
    return f"{written}\n" if written else ""


def _plain(text: str) -> str:
    from .writer import fence

    return "\n".join([*fence(text.strip("\n")), ""])


def code_block(code: str, language: str = "") -> str:
    """*code* as a fenced block that ends nowhere but at its end."""
    from .writer import fence

    return "\n".join(fence(readable(code).strip("\n"), language))


def plain_line(text: str) -> str:
    """*text* on one line, in which nothing is Markdown; fit for a paragraph, a heading or an emphasis."""
    from .writer import settled

    line = " ".join(readable(text).split())
    return settled(lambda writer: writer.line(line))
