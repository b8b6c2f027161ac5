"""The tree of blocks written as canonical Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .blocks import BeyondError, Node
from .characters import BREAK, longest_run
from .formulas import safe_tex
from .inline import REGION, Part, is_cut_open, line_safe, parsed_parts, written_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markdown_it.token import Token


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines of Markdown; *calm* if they need no blank line around them in a tight list."""

    lines: list[str]
    calm: bool = False


_BRACKET = re.compile(r"\\\\[()\[\]]")
_EDGE = re.compile(r"\\(?:begin|end)\{")
_CITED = re.compile("data-cite", re.IGNORECASE)  # nbconvert reads it in any tag, in code too, and undoes its entities
_INDENTED = re.compile(r"^[ \t]+\S", re.MULTILINE)
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]+")
_ACTING_LANGUAGES = ("mermaid", "math", "geojson", "topojson", "stl", "vega", "plantuml", "graphviz", "flowchart")
_TASK = re.compile(r"\[([ xX])\](?=\s)")


class Writer:
    """Tokens into canonical Markdown; raises BeyondError when the text outgrows *room* characters.

    *apart*: marks in code that a renderer could take for the begin or end of maths stand between two spans of code.
    """

    def __init__(self, room: int, apart: bool = False) -> None:
        self._room = room
        self._apart = apart

    def blocks(self, nodes: Sequence[Node], path: str = "", tight: bool = False) -> _Block:
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
                raise BeyondError
            if lines and not (tight and last.calm and block.calm):
                lines.append("")
            lines += block.lines
            last = block
            calm = calm and block.calm
        return _Block(lines, calm)

    def line(self, text: str) -> str:
        """*text* as it is, escaped for any place but a table."""
        return line_safe(" ".join(written_lines([Part("text", text)], "heading", apart=self._apart)))

    def _block(self, node: Node, path: str, other: bool) -> _Block:
        token = node.token
        match token.type:
            case "paragraph_open":
                return _Block(self._paragraph(parsed_parts(_inline(node))), calm=token.hidden)
            case "heading_open":
                line = f"{'#' * int(token.tag[1])} {self._single(_inline(node), 'heading')}"
                return _Block([line.rstrip(" ")], calm=True)
            case "fence" | "code_block":
                return self._code_block(token.content, token.info, path)
            case "math_block":
                formula = safe_tex(token.content)
                if formula is None:
                    return self._code_block(token.markup or token.content, "latex", path)
                return _Block([f"$${formula}$$"])
            case "html_block":
                return self._shown(token.content, path)
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
        raise BeyondError

    def _list(self, node: Node, path: str, markers: Sequence[str]) -> _Block:
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

    def _table(self, node: Node) -> _Block:
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
        cut = bool(REGION.search(code))
        if path in ("", "l", "ll", "lll") or (path == "q" and not cut):
            return _Block(fence(code, info), calm=not cut)
        return _Block(_spelt(code, self._apart))

    def _shown(self, html: str, path: str) -> _Block:
        if _INDENTED.search(html):
            return self._code_block(html, "html", path)
        parts: list[Part] = []
        for line in html.strip("\n").split("\n"):
            parts += [Part("text", line), Part("break", "")]
        return _Block(self._paragraph(parts))

    def _paragraph(self, parts: Sequence[Part]) -> list[str]:
        return _paragraph(written_lines(parts, "line", apart=self._apart))

    def _single(self, tokens: Sequence[Token], place: str, dollars: int = 0) -> str:
        return " ".join(written_lines(parsed_parts(tokens), place, dollars, self._apart)).strip()


def _inline(node: Node) -> Sequence[Token]:
    return [token for child in node.children for token in child.token.children or []]


def _tick(item: Node) -> None:
    """Turn the check box of a task into a character."""
    if item.children and item.children[0].token.type == "paragraph_open":
        line = item.children[0].children[0].token
        box = _TASK.match(line.content)
        if box and line.children and line.children[0].content.startswith(box[0]):
            line.children[0].content = ("☐" if box[1] == " " else "☑") + line.children[0].content[len(box[0]) :]


def settled(write: Callable[[Writer], str], room: int = 0) -> str:
    """What *write* writes, with marks in code apart if a renderer could cut from one span of code to another block."""
    text = write(Writer(room))
    if any(BREAK in block and is_cut_open(block) for block in text.split("\n\n")):
        text = write(Writer(room, apart=True))
    return text.replace(BREAK, "")


def fence(code: str, info: str = "") -> list[str]:
    """Lines of a fenced block, or of inline code where its text would act even there."""
    if _CITED.search(code):
        return _spelt(code, apart=True)
    mark = "`" * max(3, 1 + longest_run(code))
    return [f"{mark}{'' if _is_cut(code) else _language(info)}", *code.split("\n"), mark]


def _is_cut(code: str) -> bool:
    """Whether JupyterLab cuts maths out of *code*; where it colours numbers, it does not find their place again."""
    return bool(_BRACKET.search(code) or ("$" in code and _EDGE.search(code)))


def _spelt(code: str, apart: bool) -> list[str]:
    parts: list[Part] = []
    for line in code.split("\n"):
        parts += [Part("code", line), Part("break", "")]
    return _paragraph(written_lines(parts, "line", apart=apart))


def _paragraph(lines: Sequence[str]) -> list[str]:
    """One paragraph of lines that stay apart, blank ones too."""
    safe = "\n".join(map(line_safe, lines)).strip("\n").split("\n")
    return [*(f"{line}\\" for line in safe[:-1]), *filter(None, safe[-1:])]


def _language(info: str) -> str:
    """The first word of a fence's info string, if nothing acts on it."""
    word = "".join(_LANGUAGE.findall(info.split(maxsplit=1)[0]))[:32] if info.strip() else ""
    return "" if word.lower().startswith(_ACTING_LANGUAGES) or _CITED.search(word) else word
