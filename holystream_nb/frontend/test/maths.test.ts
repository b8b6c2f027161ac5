import "./dom";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Answer } from "../src/answer";
import { sanitised, typesetted, typesetting } from "../src/chatmaths";
import { NO_SHORTCUTS } from "../src/keys";
import { HOSTILE } from "./attacks";
import { split } from "./samples";

function drawn(parts: string[], ended = true): HTMLElement {
  const root = document.createElement("div");
  const answer = new Answer(root, (error) => assert.fail(String(error)), typesetting);
  for (const part of parts) {
    answer.append(part);
    answer.draw(false);
  }
  while (ended && answer.draw(true));
  return root;
}

const MATHML = "http://www.w3.org/1998/Math/MathML";

test("Formulas in all four kinds of delimiters become MathML, displayed ones as displays.", () => {
  const root = drawn(["Euler: $e^{i\\pi}$ and \\(a_1\\).\n\n$$\n\\sum_{i=0}^n x_i\n$$\n\n\\[ \\begin{aligned} a &= b \\\\ c &= d \\end{aligned} \\]\n"]);
  const formulas = [...root.querySelectorAll("math")];
  assert.equal(formulas.length, 4);
  assert.deepEqual(formulas.map((formula) => formula.getAttribute("display")), [null, null, "block", "block"]);
  assert.ok(formulas.every((formula) => formula.namespaceURI === MATHML && formula.querySelector("mi, mo, mn")));
});

test("Formulas that people write are drawn.", () => {
  const formulas = readFileSync("../../tests/live/formulas.txt", "utf8").trim().split("\n");
  assert.deepEqual(formulas.filter((formula) => !typesetted(`$$${formula}$$`)), []);
});

test("Money is not maths.", () => {
  const root = drawn(["It costs $5 and $6, or \\$7 for $8.\n"]);
  assert.equal(root.querySelector("math"), null);
  assert.equal(root.textContent!.trim(), "It costs $5 and $6, or $7 for $8.");
});

test("While it arrives a formula is its source; once its block has ended it is typeset.", () => {
  const source = "So $x^2$ and $y";
  assert.equal(drawn([source], false).textContent!.trim(), source);
  assert.equal(drawn([source], false).querySelector("math"), null);
  for (const [begun, end] of [["\\[ a_1 * b_2 \\\\ c", "\\]"], ["\\( a_1 * b_2", "\\)"], ["$$\na_1 * b_2", "$$"]] as const) {
    assert.equal(drawn([`So ${begun}`], false).textContent!.trim(), `So ${begun}${end}`, "the source, closed");
  }
  assert.ok(drawn(["So $x^2$.\n\nNext"], false).querySelector("math"));
});

test("What cannot be typeset stays its source: unknown commands, errors, definitions.", () => {
  for (const source of ["\\nosuchthing{x}", "\\frac{a}", "}{", "\\def\\a{\\a\\a}\\a", "\\newcommand{\\b}{\\b}\\b", "\\let\\x=\\y"]) {
    assert.equal(typesetted(`$${source}$`), null, source);
    assert.equal(drawn([`$${source}$`]).textContent!.trim(), `$${source}$`);
  }
});

const ATTACKS = [
  "\\href{javascript:alert(1)}{x}",
  "\\url{javascript:alert(1)}",
  "\\includegraphics[width=9em]{https://evil.example/leak.png}",
  "\\htmlClass{jp-Dialog}{x}",
  "\\htmlId{main}{x}",
  "\\htmlData{commandlinker-command=x}{y}",
  "\\htmlStyle{position:fixed}{x}",
  "\\class{jp-Dialog}{x}",
  "\\id{main}{x}",
  "\\style{position:fixed;inset:0}{x}",
  "\\data{x=y}{z}",
  "\\text{<img src=x onerror=alert(1)>}",
  "\\text{</mtext></math><script>alert(1)</script>}",
  "\\mbox{<style>*{color:red}</style>}",
  "\\textcolor{red;position:fixed}{x}",
  "\\colorbox{url(//evil.example)}{x}",
  "\\color{expression(alert(1))} x",
  "\\label{main}\\tag{\"onmouseover=alert(1)}",
  "\\rule{9999em}{9999em}",
  "\\hspace{9999em}\\kern-9999em\\raisebox{9999em}{x}",
  "\\unicode{60}\\char60 script\\char62",
  "\\operatorname{<b onclick=alert(1)>}",
  "\\mathrm{<svg/onload=alert(1)>}",
  "\\begin{array}{*{99999}{c}}a\\end{array}",
];

const ELEMENTS = /^(?:math|menclose|mfrac|mi|mmultiscripts|mn|mo|mover|mpadded|mphantom|mprescripts|mroot|mrow|ms|mspace|msqrt|mstyle|msu[bp]|msubsup|mtable|mt[dr]|mtext|munder|munderover|none|span|div|p|pre|code|button|em|strong|br|h[1-6]|hr|li|ol|ul|blockquote|del|table|tbody|thead|th|td|tr)$/;
const REFUSED = /^(?:on.*|href|src|id|xlink:.*|data-.*|action|formaction)$/;

function assertHarmless(root: ParentNode, payload: string): void {
  for (const element of root.querySelectorAll("*")) {
    assert.match(element.localName, ELEMENTS, payload);
    for (const { name, value } of element.attributes) {
      if (name === NO_SHORTCUTS && element.localName === "button") continue;
      assert.doesNotMatch(name, REFUSED, payload);
      if (name === "style") assert.doesNotMatch(value, /position|url|inset|expression|[()\\@]/, payload);
      if (name === "class") assert.match(value, /^(?:(?:hs-|hljs-|language-|tml-)[\w+#.-]+|mathcal|mathscr|(?:up|down)strike|sout|[a-z]+_| )*$/, payload);
    }
  }
}

test("Hostile TeX becomes nothing that acts, loads or covers the page.", () => {
  for (const attack of [...ATTACKS, ...HOSTILE]) {
    for (const payload of [`$${attack}$`, `\\(${attack}\\)`, `$$\n${attack}\n$$`, `\\[${attack}\\]`]) {
      for (const parts of [[payload], split(payload, 3, payload.length > 1000 ? 900 : 9)]) assertHarmless(drawn(parts), payload);
    }
  }
});

test("Should Temml ever pass on what it must not, the sanitiser alone makes it harmless.", () => {
  for (const payload of HOSTILE) {
    const inside = sanitised(`<math><mtext style="position:fixed;color:red" onclick="alert(1)" class="jp-Dialog tml-eqn" href="x">${payload}</mtext></math>`);
    if (inside) assertHarmless(inside, payload);
  }
});

test("What would grow without end costs little: definitions, loops, depth, length.", () => {
  const bombs = [
    `\\def\\a{${"x".repeat(900)}}${"\\a".repeat(900)}`,
    "\\def\\a{\\b\\b}\\def\\b{\\c\\c}\\def\\c{\\a\\a}\\a",
    "\\gdef\\x{\\x\\x}\\x",
    "{".repeat(3900),
    "\\frac{".repeat(600),
    "\\sqrt{".repeat(600) + "x" + "}".repeat(600),
    "x^{".repeat(900) + "x" + "}".repeat(900),
    "\\begin{matrix}".repeat(250),
    "&".repeat(3900),
    "\\\\".repeat(1900),
    `\\begin{array}{*{99999}{c}}${"a&".repeat(1500)}\\end{array}`,
    "\\cfrac{1}{".repeat(380),
    "\\left(".repeat(600),
  ];
  for (const bomb of bombs) {
    const start = performance.now();
    const found = typesetted(`$$${bomb}$$`);
    if (found) assertHarmless(found, bomb);
    assert.ok(performance.now() - start < 2000, `${bomb.slice(0, 30)} took ${performance.now() - start} ms`);
  }
});

test("Many formulas are typeset in portions, and all of them in the end.", () => {
  const root = document.createElement("div");
  const answer = new Answer(root, (error) => assert.fail(String(error)), typesetting);
  answer.append(`${"Let $x_{10}+y^2$ be. ".repeat(150)}\n\n`);
  answer.draw(false);
  const first = root.querySelectorAll("math").length;
  assert.ok(first > 0 && first < 60, String(first));
  while (answer.draw(true));
  assert.equal(root.querySelectorAll("math").length, 150);
});
