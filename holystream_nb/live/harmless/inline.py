"""A line's pieces, and the Markdown that says them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from itertools import chain, groupby, zip_longest
from typing import TYPE_CHECKING

from .characters import ADDRESS_SHOWN, BREAK, IMAGE, flat
from .formulas import safe_tex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from markdown_it.token import Token


@dataclass(slots=True)
class Part:
    """A piece of a line: its *kind* is text, code, maths, open, close or break; *mate* is a mark's other end."""

    kind: str
    value: str
    mate: Part | None = field(default=None, repr=False)


_ATTEMPTS = 4
_STYLES = {"em": "*", "strong": "**", "s": "~~"}


def parsed_parts(tokens: Sequence[Token]) -> list[Part]:
    """What the tokens say: links and images spelt out, a style within itself left out."""
    parts: list[Part] = []
    styles: list[Part | None] = []
    links: list[tuple[int, Token]] = []
    for token in tokens:
        if token.type == "text":
            parts.append(Part("text", flat(token.content)))
        elif token.type == "code_inline":
            parts.append(Part("code", token.content))
        elif token.type == "softbreak":
            parts.append(Part("text", " "))
        elif token.type == "hardbreak":
            parts.append(Part("break", ""))
        elif token.type in ("math_inline", "math_block"):
            parts.append(_maths_part(token))
        elif token.type == "image":
            parts += [Part("text", f"{IMAGE} "), *_addressed(parsed_parts(token.children or []), token, "src")]
        elif token.type == "link_open":
            links.append((len(parts), token))
        elif token.type == "link_close":
            start, opened = links.pop()
            parts[start:] = _addressed(parts[start:], opened, "href")
        elif token.nesting > 0:
            mark = _STYLES[token.tag]
            fresh = all(style is None or style.value != mark for style in styles)
            styles.append(Part("open", mark) if fresh else None)
            parts += filter(None, styles[-1:])
        elif opening := styles.pop():
            opening.mate = Part("close", opening.value, opening)
            parts.append(opening.mate)
    return parts


def _maths_part(token: Token) -> Part:
    is_display = token.type == "math_block"
    formula = safe_tex(token.content, is_display=is_display)
    if formula is None:
        return Part("code", token.markup or token.content)
    mark = "$$" if is_display else "$"
    return Part("maths", f"{mark}{formula}{mark}")


def _addressed(inner: list[Part], token: Token, attribute: str) -> list[Part]:
    """The text of a link or image, and where it leads."""
    address = _shortened(token, attribute)
    said = "".join(part.value for part in inner if part.kind in ("text", "code"))
    if token.markup == "autolink":
        return [Part("code", said)]
    if not address:
        return inner
    shown = Part("code", address)
    if said.strip() in ("", address):
        return [shown]
    title = _shortened(token, "title")
    return [*inner, Part("text", " ("), shown, Part("text", f" “{title}”)" if title else ")")]


def _shortened(token: Token, attribute: str) -> str:
    """An attribute on one line; short, because a reference can be used again and again."""
    value = str(token.attrGet(attribute) or "")
    return flat(value if len(value) <= ADDRESS_SHOWN else f"{value[:ADDRESS_SHOWN]}…").strip()


_ADDRESS = re.compile(r"(?i)(?<=:)//|//(?=[\w\[])|www\.|(?<=[\w.+-])@(?=[\w-])|(?:mailto|xmpp):(?=\S)")
_ADDRESS_RIGHT = re.compile(r"[^\s<>\"“”‘’«»，。；：！？、（）【】「」『』《》]*")
_TEX_SEEN = r"\\+(?=[\\$])[\\$]|\\[()\[\]]|\\(?:begin|end|(?:eq)?ref)(?![A-Za-z])(?:\s*\{[^{}\s]*\})?|@(?=@\d+@@)"
_TEX_OUTSIDE = re.compile(_TEX_SEEN)
_TEX_BESIDE = re.compile(rf"{_TEX_SEEN}|(?:(?<![\w.:/-])[\w.:/-]+)?\\[A-Za-z][\w.:/\\-]*")
_TEX_BETWEEN = re.compile(rf"{_TEX_BESIDE.pattern}|(?<!\w)\w*\$(?:[\w$.,:/{{}}()-]*[\w}}$])?")


def _guarded(parts: Sequence[Part], dollars: int) -> Iterator[Part]:
    r"""*parts* with addresses, and TeX which MathJax would find in the drawn page, put into code.

    MathJax takes ``\(``, ``\[``, ``\begin{}`` and ``\ref{}`` wherever text shows them, and all between two ``$``
    (*dollars*: how many are around), prices too; it leaves code alone.
    It takes a backslash for an escape before another one and before a dollar. JupyterLab would put maths in the place
    of @@0@@ if no element began in it.
    """
    dollars += sum(part.value.count("$") for part in parts if part.kind in ("maths", "text"))
    seen = _TEX_BETWEEN if dollars > 1 else _TEX_BESIDE if dollars else _TEX_OUTSIDE
    for part in _joined(parts):
        if part.kind != "text":
            yield part
            continue
        for word in _split_addresses(part.value):
            if word.kind == "text":
                yield from split_by(seen, word.value)
            else:
                yield word


def _split_addresses(text: str) -> Iterator[Part]:
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
        yield Part("text", text[done:left])
        yield Part("code", address)
        done = left + len(address)
    yield Part("text", text[done:])


def split_by(pattern: re.Pattern[str], text: str) -> Iterator[Part]:
    done = 0
    for found in pattern.finditer(text):
        yield Part("text", text[done : found.start()])
        yield Part("code", found[0])
        done = found.end()
    yield Part("text", text[done:])


def _joined(parts: Iterable[Part]) -> list[Part]:
    """*parts* without empty ones, and with neighbours of a kind as one: two code spans would swallow each other."""
    joined: list[Part] = []
    full = (part for part in parts if part.value or part.kind not in ("text", "code"))
    for kind, alike in groupby(full, key=lambda part: part.kind):
        if kind in ("text", "code"):
            joined.append(Part(kind, "".join(part.value for part in alike)))
        else:
            joined += alike
    return joined


def _without_marks(parts: Sequence[Part], unwanted: set[int]) -> list[Part]:
    return _joined(part for part in parts if id(part) not in unwanted)


def _empty_marks(parts: Sequence[Part]) -> set[int]:
    """Styles of nothing."""
    empty = [part for i, part in enumerate(parts) if part.kind == "close" and parts[i - 1] is part.mate]
    return {id(mark) for part in empty for mark in (part, part.mate)}


def _weak_marks(written: Sequence[tuple[Part, str]]) -> set[int]:
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


_SPECIAL = r"[&<>\\`*\[~$^]|_|(?i:(?<=data)-(?=cite))|(?<=\w)\.(?=[^\W\d_]{2})"
_SPECIALS = {
    "line": re.compile(_SPECIAL),
    "heading": re.compile(rf"{_SPECIAL}|[#{{}}]"),
    "cell": re.compile(rf"{_SPECIAL}|\|"),
}
_ENTITIES = frozenset("&<>\\`[|{}-")
"""``-``: nbconvert cites what any tag's data-cite says."""
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
    return f"\\{char}"


def _entity(char: str) -> str:
    return _NAMED.get(char) or f"&#{ord(char)};"


_LINE_START = re.compile(r"[#+=:|%-]|\d{1,9}(?=[.)](?:\s|$))")
_WIDE_EDGE = re.compile(r"^[^\S ]+|[^\S ]+$")


def line_safe(line: str) -> str:
    """*line* as the start of nothing but a paragraph."""
    line = _WIDE_EDGE.sub(lambda edge: "".join(map(_entity, edge[0])), line.strip(" "))
    if start := _LINE_START.match(line):
        number = start[0] if start[0].isdigit() else ""
        return f"{number}\\{line[len(number) :]}"
    return line


_REGION_CUT = re.compile(r"(?<=\$)\$|(?<=\\begin)\{|(?<=\\end)\{|(?<=\\\\)[()\[\]]")
_REGION_END = re.compile(r"\\*\$\$|\\(?:begin|end)\{[a-z]*\*?\}|\\{2,}[()\[\]]")
REGION = re.compile(r"\$|\\(?:begin|end)\{|\\\\[()\[\]]")
_REGION_ENDS = {"$$": "$$", r"\\(": r"\\)", r"\\[": r"\\]"}
_PLAIN_CELL_CODE = re.compile(r"[\w |=+,;()'\"-]*")


def _piece(part: Part, place: str, apart: bool) -> str:
    match part.kind:
        case "text":
            return _escaped(part.value, place)
        case "code":
            return _code(part.value, place, apart)
        case "maths" if place == "cell":
            return part.value.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return part.value


def _code(content: str, place: str, apart: bool) -> str:
    """Spans of inline code, each with one backtick around it and none in it.

    marked pairs single backticks when it looks for the end of an emphasis, and takes one after a backslash for
    escaped: with any other form it would see emphasis in code, and so code in text. Likewise pipes in a table. What may
    not stand in code stands between two spans of it. *apart*: so does what a renderer would take for an end of maths.
    """
    content = content.replace("\n", " ")
    ends = r"`|(?i:(?<=data)-(?=cite))"
    if place == "cell" and _PLAIN_CELL_CODE.fullmatch(content):
        content = content.replace("|", r"\|")
    elif place == "cell":
        ends += r"|\|"
    if apart:
        ends += f"|{_REGION_CUT.pattern}"
    pieces = re.split(f"({ends})", content)
    spans, between = map(_span, pieces[::2]), ("".join(map(_entity, end)) for end in pieces[1::2])
    return "".join(chain(*zip_longest(spans, between, fillvalue="")))


def _span(content: str) -> str:
    if not content or content.isspace():
        return " " if content else ""
    content = _REGION_CUT.sub(rf"{BREAK}\g<0>", content)
    pad = " " if content[-1] == "\\" or content[0] == " " == content[-1] else ""
    return f"`{pad}{content}{pad}`"


def written_lines(parts: Sequence[Part], place: str, dollars: int = 0, apart: bool = False) -> list[str]:
    """The lines of *parts* at a *place*: line, heading or cell, with so many *dollars* around."""
    safe = _joined(_guarded(parts, dollars + 2 * apart))
    safe = _without_marks(safe, _empty_marks(safe))
    written = [(part, _piece(part, place, apart)) for part in safe]
    for attempt in range(_ATTEMPTS):  # without one mark, another may be weak
        if not (weak := _weak_marks(written)):
            break
        if attempt == _ATTEMPTS - 1:
            weak = {id(part) for part in safe if part.kind in ("open", "close")}
        safe = _without_marks(safe, weak)
        written = [(part, _piece(part, place, apart)) for part in safe]
    return _assembled(written)


def _assembled(written: Sequence[tuple[Part, str]]) -> list[str]:
    lines: list[list[str]] = [[]]
    for i, (part, piece) in enumerate(written):
        if part.kind == "break":
            lines.append([])
            continue
        before = written[i - 1][0].kind if i else ""
        after = written[i + 1][0].kind if i + 1 < len(written) else ""
        if part.kind == before == "maths":
            lines[-1].append(" ")
        if part.kind == "text":  # pandoc reads `code`{=html} as HTML, MyST {role}`code` as a role
            if before == "code" and piece.startswith("{"):
                piece = _entity("{") + piece[1:]
            if after == "code" and piece.endswith("}"):
                piece = piece[:-1] + _entity("}")
        lines[-1].append(piece)
    return ["".join(pieces) for pieces in lines]


def is_cut_open(block: str) -> bool:
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
