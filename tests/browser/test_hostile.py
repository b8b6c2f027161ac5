"""Hostile answers in a real JupyterLab: while they arrive, saved and trusted, opened again, converted by nbconvert.

Every payload is one answer with a view and an output of its own. All of them go the whole way once, through two pages
of JupyterLab and one of nbconvert's; the tests look at what was found there.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import sys
import unicodedata
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from markdown_it import MarkdownIt
from playwright.async_api import BrowserContext, Frame, Locator, Page

from ..live.payloads import PAYLOADS
from .notebook import LOAD, Cell, open_in_lab, open_lab, read_in_lab, write
from .server import Server
from .service import Echo

ORDINARY: Final = "Fine: a < b, `code <b>`, **strong** and $x^2$."
"""The last answer of every group: it is drawn after the others, and its maths is typeset after theirs."""

RAW: Final = (
    '<script>alert("ran")</script><img src="https://evil.test/a.png" onerror="alert(1)">'
    '<a href="javascript:alert(2)" onclick="open(location)">click</a> [click](https://evil.test)'
)
"""What would happen if answers were saved as they are: the tests must see all of it."""

PATHS: Final = ("live", "saved", "reopened", "html")
_GROUP: Final = 40
"""Answers of one cell; JupyterLab draws the first fifty outputs of a cell."""
_PATIENCE_MS: Final = 30_000

CASES: Final[list[tuple[str, str]]] = []
"""Name and answer; the number of a case is its place here."""
for _name, _payload in PAYLOADS.items():
    if len(CASES) % _GROUP == _GROUP - 1:
        CASES.append((f"ordinary {len(CASES)}", ORDINARY))
    # A prompt, which is how the service gets to know the answer, holds no half surrogate pairs.
    CASES.append((_name, _payload.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")))
CASES.append((f"ordinary {len(CASES)}", ORDINARY))
GROUPS: Final = [range(start, min(start + _GROUP, len(CASES))) for start in range(0, len(CASES), _GROUP)]

NAMES: Final = ("<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "`</code><script>alert(1)</script>`")
"""Models that do not exist: their names are in labels, headings, tables and error sentences."""

_ASK: Final = """import asyncio, json, pathlib
import holystream_nb as hs

answers = json.loads(pathlib.Path("{answers}").read_text())

async def ask(start, end):
    async def one(number):
        await asyncio.sleep((number - start) / 100)  # one after the other
        await hs.stream(answers[number], model=f"ollama:case-{{number}}", base_url="{url}")
    await asyncio.gather(*(one(number) for number in range(start, end)))"""
_COMPARE: Final = "%%stream -m gpt-4.1#tokens=3 " + " ".join(f'-m "simulator:{name}"' for name in NAMES) + "\nHello"
_AS_TEXT: Final = """await hs.stream("\\n\\n".join(answers), format="text", model="ollama:text", base_url="{url}");"""
_DISPLAY_RAW: Final = f"""from IPython.display import display
display({{"text/markdown": {RAW!r} + "\\n\\n*case-0*"}}, raw=True)"""

# In every page, before its own scripts. `hsComplaints` says what stands in an answer that no answer may put there;
# what arrives and goes again is looked at too. The product's own controls and the renderers' own marks are allowed:
# the frame with a copy button round code, a heading's link to itself, and MathJax's `mjx-container`.
_WATCH: Final = r"""
const TAGS = /^(P|H[1-6]|[UO]L|LI|BLOCKQUOTE|PRE|CODE|EM|STRONG|DEL|S|TABLE|THEAD|TBODY|T[RHD]|[HB]R|SPAN|DIV)$/;
const CLASSES = new RegExp("^(language-[\\w+#.-]+|" + [
  "hs-(maths|image|address|stretch|code|table|plain|raw)|hljs-[a-z_-]+|[a-z]+_", // live
  "ͼ\\w+|numbering-entry", // JupyterLab
  "highlight|hll|[a-z][a-z0-9]?", // nbconvert
].join("|") + ")$");
const ALIGNED = /^text-align: ?(left|right|center);?$/;
const MATHML = "http://www.w3.org/1998/Math/MathML";
const OURS = "button.hs-copy, div.hs-code";

function tag(element, attribute) {
  return `<${element.localName}${attribute ? ` ${attribute.name}="${attribute.value}"` : ""}>`;
}
function isHeadingLink(element) {
  const isTheirs = element.matches("a.jp-InternalAnchorLink[href^='#'], a.anchor-link[href^='#']");
  return isTheirs && /^H[1-6]$/.test(element.parentElement.tagName);
}
function isAllowed(element, { name, value }) {
  const where = element.tagName;
  if (name === "class") return value.split(/\s+/).every((part) => !part || CLASSES.test(part));
  if (name === "align") return ["TH", "TD"].includes(where);
  if (name === "style") return ["TH", "TD"].includes(where) && ALIGNED.test(value);
  if (name === "start") return where === "OL";
  if (["tabindex", "role", "aria-label"].includes(name)) return element.matches("pre, .hs-table");
  return (name === "id" || name === "data-jupyter-id") && /^H[1-6]$/.test(where);
}
function complaints(root) {
  const found = [];
  for (const element of root.querySelectorAll("*")) {
    if (element.closest("mjx-container")) {
      const isMaths = element.localName.startsWith("mjx-") || element.namespaceURI === MATHML;
      if (!isMaths) found.push(`${tag(element)} in maths`);
      for (const attribute of element.attributes) {
        const { name, value } = attribute;
        if (/^on|href|src|action|^id$/.test(name) || /url\(|fixed/.test(value)) found.push(tag(element, attribute));
      }
    } else if (!isHeadingLink(element) && !element.matches("button.hs-copy")) {
      if (!TAGS.test(element.tagName)) found.push(tag(element));
      const odd = [...element.attributes].filter((attribute) => !isAllowed(element, attribute));
      found.push(...odd.map((attribute) => tag(element, attribute)));
      const { position } = getComputedStyle(element);
      if (position !== "static" && !element.matches(OURS)) found.push(`${tag(element)} is ${position}`);
    }
  }
  return found;
}
window.hsComplaints = complaints;
window.hsPassing = new Set();

const watcher = new MutationObserver((mutations) => {
  const parts = new Set();
  for (const { target } of mutations) {
    const element = target.nodeType === 1 ? target : target.parentElement;
    const part = element?.closest(".hs-body, .jp-OutputArea-output.jp-RenderedMarkdown");
    if (part?.isConnected) parts.add(part);
  }
  for (const part of parts) for (const complaint of complaints(part)) hsPassing.add(complaint);
});
const EVERYTHING = { subtree: true, childList: true, attributes: true, characterData: true };
watcher.observe(document, EVERYTHING);
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) { // marimo draws each widget in one
  const root = attach.call(this, options);
  watcher.observe(root, EVERYTHING);
  return root;
};

for (const name of ["alert", "confirm", "prompt", "print", "open"]) {
  Object.defineProperty(window, name, { value: (...given) => void hsCaught(`${name}(${given})`) });
}
"""
_LOOK: Final = r"""(outputs) => outputs.map((output) => {
  const part = output.querySelector(".hs-body") ?? output;
  const number = /case-(\d+)/.exec(output.textContent)?.[1] ?? "";
  return { number, text: part.innerText, complaints: hsComplaints(part) };
})"""
_LINKS: Final = """(outputs) => outputs.flatMap((output) => {
  const links = output.querySelectorAll("[href]:not([href^='#']), [src], form, script");
  return [...links].map((link) => link.cloneNode(false).outerHTML);
})"""
_LEADS: Final = """(outputs) => outputs.flatMap((output) => {
  const links = output.querySelectorAll("[href]:not([href^='#']), [src], form, script");
  return [...links].map((link) => [link.localName, link.getAttribute("href"), link.textContent]);
})"""
_CLICK: Final = r"""(outputs) => {
  let clicked = 0;
  for (const output of outputs) {
    for (const element of (output.querySelector(".hs-body") ?? output).querySelectorAll("*")) {
      if (element.matches("a[href^='#']")) continue;
      for (const kind of ["pointerover", "mouseover", "mouseenter", "mousemove", "mouseup", "dblclick"]) {
        element.dispatchEvent(new MouseEvent(kind, { bubbles: kind !== "mouseenter", cancelable: true }));
      }
      element.focus?.();
      element.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: false }));
      element.click?.();
      clicked += 1;
    }
  }
  return clicked;
}"""
_IS_LIVE: Final = """([cell, count]) => {
  const bodies = [...cell.querySelectorAll(".holystream .hs-body")];
  return bodies.length === count && bodies.every((body) => body.textContent) && /x\\^2/.test(bodies.at(-1).textContent);
}"""
_IS_TYPESET: Final = """([cell, count]) => {
  const outputs = [...cell.querySelectorAll(".jp-OutputArea-output")];
  const isSaved = outputs.length === count && !cell.querySelector(".holystream");
  return isSaved && outputs.at(-1).querySelector("mjx-container");
}"""
_ALL_DRAWN: Final = ".jp-Cell { content-visibility: visible !important; }"
"""JupyterLab leaves it to the browser to skip what is out of sight; there it has no visible text."""
_IS_TRUSTED: Final = """(path) => {
  const panel = [...jupyterapp.shell.widgets("main")].find((panel) => panel.context?.path === path);
  return [...panel.content.model.cells].every((cell) => !cell.outputs?.length || cell.trusted);
}"""


class Witness:
    """What a page does that it must not, in words."""

    def __init__(self, page: Page, is_ordinary: Callable[[str], bool]) -> None:
        self._acts: list[str] = []
        self._is_ordinary = is_ordinary
        page.on("request", lambda request: self._went(request.url))
        page.on("framenavigated", self._navigated)
        page.on("websocket", lambda socket: self._went(socket.url.replace("ws:", "http:")))
        page.on("dialog", lambda dialog: self._acts.append(f"dialog {dialog.message}"))
        page.on("popup", lambda popup: self._acts.append(f"window {popup.url}"))
        page.on("download", lambda download: self._acts.append(f"download {download.url}"))
        page.on("frameattached", lambda frame: self._acts.append(f"frame {frame.name or frame.url}"))

    @classmethod
    async def of(cls, page: Page, is_ordinary: Callable[[str], bool]) -> Witness:
        """A new page's witness, which tells `is_ordinary` requests from others."""
        witness = cls(page, is_ordinary)
        await page.expose_function("hsCaught", lambda act: witness._acts.append(act))
        await page.add_init_script(_WATCH)
        return witness

    def testify(self) -> list[str]:
        """What has happened since it was asked last."""
        acts = self._acts[:]
        self._acts.clear()
        return acts

    def _navigated(self, frame: Frame) -> None:
        if urlsplit(frame.url).hostname != "127.0.0.1":
            self._acts.append(f"navigation to {frame.url}")

    def _went(self, url: str) -> None:
        if not self._is_ordinary(url):
            self._acts.append(f"request {url}")


@dataclass
class Found:
    """What was there on one path: of each case its text and complaints; what came and went; what the page did.

    `control` is what was seen when raw HTML was put into the same page afterwards.
    """

    texts: dict[str, str] = field(default_factory=dict)
    complaints: dict[str, list[str]] = field(default_factory=dict)
    passing: list[str] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    clicks: int = 0
    control: list[str] = field(default_factory=list)

    async def look(self, outputs: Locator) -> None:
        """Adds answers that are on the page, before and after everything in them has been clicked."""
        await self._add(outputs)
        self.clicks += await outputs.evaluate_all(_CLICK)
        await self._add(outputs)

    async def _add(self, outputs: Locator) -> None:
        for look in await outputs.evaluate_all(_LOOK):
            name = look["number"] and CASES[int(look["number"])][0]
            self.texts.setdefault(name, look["text"])
            if look["complaints"]:
                self.complaints[name] = look["complaints"]


@dataclass
class Journey:
    """What was found on each path, in the saved output of models with hostile names, in plain text, and in Markdown."""

    paths: dict[str, Found] = field(default_factory=lambda: {path: Found() for path in PATHS})
    names: Found = field(default_factory=Found)
    names_links: list[str] = field(default_factory=list)
    text_links: list[tuple[str, str, str]] = field(default_factory=list)
    markdown: str = ""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def found(context: BrowserContext, server: Server, echo: Echo) -> AsyncIterator[Journey]:
    """All answers, once through all pages."""
    journey = Journey()
    pages = [await context.new_page() for _ in range(3)]
    try:
        file = await _in_the_session(pages[0], server, echo, journey)
        converted = await asyncio.gather(_converted(file, "html"), _converted(file, "markdown"))
        await _reopened(pages[1], server, file, journey.paths["reopened"])
        await _in_html(pages[2], server, converted[0], journey.paths["html"])
        journey.markdown = converted[1]
        yield journey
    finally:
        echo.release()
        for page in pages:
            await page.close()


async def _in_the_session(page: Page, server: Server, echo: Echo, journey: Journey) -> Path:
    """Live and saved; returns the file."""
    witness = await Witness.of(page, _is_of_lab(server))
    await open_lab(page, server)
    answers = server.folder / "answers.json"
    answers.write_text(json.dumps([answer for _, answer in CASES]), encoding="utf-8")
    url = echo.magic.rpartition(" ")[2]
    ask = _ASK.format(answers=answers.name, url=url)
    groups = [f"await ask({group.start}, {group.stop})" for group in GROUPS]
    file = write(server, [LOAD, ask, *groups, _COMPARE, _AS_TEXT.format(url=url), _DISPLAY_RAW])
    notebook = await open_in_lab(page, file)
    await page.add_style_tag(content=_ALL_DRAWN)
    live, saved = journey.paths["live"], journey.paths["saved"]
    await notebook.cell(0).run()
    await notebook.cell(1).run()
    witness.testify()
    for index, group in enumerate(GROUPS, start=2):
        cell = notebook.cell(index)
        echo.hold()
        await cell.start()
        await _until(page, _IS_LIVE, cell, group)
        await _all_there(_outputs(cell))
        await live.look(_outputs(cell))
        live.acts += witness.testify()
        echo.release()
        await _until(page, _IS_TYPESET, cell, group)
        await saved.look(_outputs(cell))
        saved.acts += witness.testify()
    names, text, raw = (notebook.cell(2 + len(GROUPS) + number) for number in range(3))
    await names.run()
    await journey.names.look(_outputs(names).filter(has=page.locator("table")))
    journey.names_links = await _outputs(names).evaluate_all(_LINKS)
    await text.run()
    journey.text_links = await _outputs(text).evaluate_all(_LEADS)
    saved.acts += witness.testify()
    live.passing = saved.passing = await page.evaluate("[...hsPassing]")
    assert await page.evaluate(_IS_TRUSTED, notebook.name), "JupyterLab sanitised: this proves nothing"
    await notebook.save()

    await raw.run()
    await page.wait_for_timeout(300)
    control = Found()
    await control.look(_outputs(raw))
    await page.wait_for_timeout(300)
    saved.control = [*witness.testify(), *chain(*control.complaints.values())]
    await notebook.shutdown()
    return file


async def _reopened(page: Page, server: Server, file: Path, found: Found) -> None:
    witness = await Witness.of(page, _is_of_lab(server))
    notebook = await read_in_lab(page, server, file)
    await page.add_style_tag(content=_ALL_DRAWN)
    for index, group in enumerate(GROUPS, start=2):
        cell = notebook.cell(index)
        await cell.select()
        await _until(page, _IS_TYPESET, cell, group)
        await found.look(_outputs(cell))
    assert await page.evaluate(_IS_TRUSTED, notebook.name), "JupyterLab sanitised: this proves nothing"
    found.passing = await page.evaluate("[...hsPassing]")
    found.acts = witness.testify()


async def _in_html(page: Page, server: Server, content: str, found: Found) -> None:
    """A page by nbconvert. What it loads itself, MathJax among it, is not there: no test depends on a network."""
    address = f"{server.url}converted.html"
    its_own = re.findall(r"https://[^\s\"'<>]+", content.partition("<body")[0])
    witness = await Witness.of(page, lambda url: url == address or url in its_own)
    await page.route(lambda url: urlsplit(url).hostname != "127.0.0.1", lambda route: route.abort())
    await page.route(address, lambda route: route.fulfill(body=content, content_type="text/html"))
    await page.goto(address)
    outputs = page.locator(".jp-OutputArea-output.jp-RenderedMarkdown", has_text="case-")
    await found.look(outputs)
    found.passing = await page.evaluate("[...hsPassing]")
    found.acts = witness.testify()

    raw = f'<div class="jp-OutputArea-output jp-RenderedMarkdown">{RAW}<p>case-0</p></div></body>'
    content = content.replace("</body>", raw)
    await page.goto(address)
    control = Found()
    await control.look(outputs.last)
    await page.wait_for_timeout(300)
    found.control = [*witness.testify(), *chain(*control.complaints.values())]


async def _converted(file: Path, to: str) -> str:
    command = [sys.executable, "-m", "nbconvert", "--log-level=ERROR", "--to", to, "--stdout", str(file)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def _until(page: Page, condition: str, cell: Cell, group: range) -> None:
    given = [await cell.root.element_handle(), len(group)]
    await page.wait_for_function(condition, arg=given, polling=50, timeout=_PATIENCE_MS)


async def _all_there(outputs: Locator) -> None:
    """Waits for the last piece of every answer. One that never comes is told by the test that looks for it."""
    for _ in range(100):
        looks = await outputs.evaluate_all(_LOOK)
        if not any(_lost(CASES[int(look["number"] or 0)][1], look["text"]) for look in looks):
            break
        await asyncio.sleep(0.1)


def _outputs(cell: Cell) -> Locator:
    return cell.root.locator(".jp-OutputArea-output")


def _is_of_lab(server: Server) -> Callable[[str], bool]:
    """Whether JupyterLab itself asks for an address, or an extension: ours the journal, and that of ipyparallel.

    An image `x` of an answer would be `/lab/tree/x` or `/lab/x`.
    """
    its_own = (
        r"(lab(\?|$|/(api|extensions|workspaces)/)|static/|kernelspecs/|(\w+/)?api/|lsp/status|ipyparallel/clusters"
        r"|holystream_nb/answers\?notebook=)"
    )
    own = re.compile(re.escape(server.url) + its_own)
    return lambda url: bool(own.match(url)) or url.startswith(f"blob:{server.url}")


_INFO: Final = re.compile(r"^([ \t>*\-\d.]*(?:```+|~~~+))[^\n`]*", re.MULTILINE)
_COMMAND: Final = re.compile(r"\\[A-Za-z]+")


def _lost(answer: str, shown: str) -> list[str]:
    """Words of an answer that are not shown; the language of a fence and TeX's commands need not be."""
    text = html.unescape(re.sub(r"[\s\u200b\u2060]", "", unicodedata.normalize("NFKC", shown)))
    visible = _COMMAND.sub(" ", _INFO.sub(r"\1", unicodedata.normalize("NFKC", html.unescape(answer))))
    return [word for word in re.findall(r"[A-Za-z]{3,}", visible) if word not in text]


ON_EVERY_PATH = pytest.mark.parametrize("path", PATHS)


@ON_EVERY_PATH
async def test_nothing_stands_in_an_answer_that_could_act(found: Journey, path: str) -> None:
    """Only elements and attributes of plain text, also while it is drawn: no link, image, form, script or handler."""
    assert len(PAYLOADS) >= 80
    assert len(found.paths[path].texts) == len(CASES)
    assert found.paths[path].complaints == {}
    assert found.paths[path].passing == []


@ON_EVERY_PATH
async def test_no_answer_does_anything(found: Journey, path: str) -> None:
    """Drawn, and with everything in it clicked: no script runs, nothing is asked for, nothing opens or navigates."""
    assert found.paths[path].clicks > len(CASES)
    assert found.paths[path].acts == []


@ON_EVERY_PATH
async def test_what_a_hostile_answer_says_can_be_read(found: Journey, path: str) -> None:
    """Raw HTML is shown as text, addresses too: no word is lost."""
    lost = {name: words for name, answer in CASES if (words := _lost(answer, found.paths[path].texts[name]))}
    assert lost == {}


@pytest.mark.parametrize("path", ["saved", "html"])
async def test_what_would_act_is_seen(found: Journey, path: str) -> None:
    """Raw HTML in the same page, not made harmless, acts, and these tests see it."""
    control = " ".join(found.paths[path].control)
    assert "alert(1)" in control
    assert "alert(2)" in control
    assert "open(" in control
    assert "request https://evil.test/a.png" in control
    assert '<img onerror="alert(1)">' in control
    assert '<a href="javascript:alert(2)">' in control


async def test_a_models_name_does_nothing(found: Journey) -> None:
    """In labels, headings, tables and error sentences, where a service can put any text, nothing can act either."""
    [shown] = found.names.texts.values()
    assert all(name in shown for name in NAMES)
    assert found.names.complaints == {}
    assert found.names_links == []


async def test_links_in_plain_text_say_where_they_lead(found: Journey) -> None:
    """`--format text`: JupyterLab makes links of addresses, as in any print; each leads where its own text says."""
    assert found.text_links
    assert [link for link in found.text_links if link[1] not in (link[2], f"https://{link[2]}")] == []
    assert {name for name, _, _ in found.text_links} == {"a"}


async def test_exported_markdown_has_no_html(found: Journey) -> None:
    """`nbconvert --to markdown`: no HTML, link or image in what CommonMark reads out of it."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(found.markdown)
    everything = [token for outer in tokens for token in (outer, *(outer.children or ()))]
    acting = {"html_block", "html_inline", "link_open", "image"}
    assert [token.content or token.attrs for token in everything if token.type in acting] == []
    assert found.markdown.count("case-") >= len(CASES)
