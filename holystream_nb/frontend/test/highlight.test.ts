import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import highlighter from "highlight.js";
import { highlighted } from "../src/highlight";

const CODE: Record<string, string> = {
  python: `${'def f(a: int = 3) -> str:\n    """Doc\n    of lines."""\n    return f"{a!r} <b>" + \'x\'  # why\n'.repeat(40)}@property\n`,
  typescript: "export const f = async <T>(a: T) => `a ${a ? `b ${1}` : /re/g} c`; // note\n".repeat(60),
  xml: '<p class="a">x &amp; <b>y</b><style>p { color: red }</style><script>let a = "</p>";</script></p>\n'.repeat(40),
  json: JSON.stringify(Array.from({ length: 120 }, (_, index) => ({ index, is: true, not: null, text: `"${index}"` })), null, 1),
  bash: 'for f in *.py; do echo "$f: $(wc -l < $f)"; done # lines\n',
  markdown: "# Title\n\n*em* `code`\n\n```js\nlet a = 1;\n```\n",
  sql: "select a, count(*) from t where x = 'y' group by a;\n",
};

/** highlight.js as it comes: it writes HTML. */
const original = highlighter.newInstance();
for (const name of [...Object.keys(CODE), "javascript", "css"]) {
  original.registerLanguage(name, () => highlighter.getLanguage(name)!.rawDefinition!());
}

/** For every character the classes of the elements around it, from the inside out. */
function classes(root: Node): string[] {
  const found: string[] = [];
  const walk = (node: Node, above: string) => {
    if (node.nodeType === 3) found.push(...Array.from(node.textContent!, (character) => `${character} ${above}`));
    for (const child of node.childNodes) {
      const own = child instanceof window.Element ? child.className : "";
      walk(child, /^hljs-/.test(own) ? `${own} < ${above}` : above);
    }
  };
  walk(root, "");
  return found;
}

for (const [language, code] of Object.entries(CODE)) {
  test(`Code in ${language} is coloured as highlight.js does it, in stretches of whole lines.`, () => {
    const ours = document.createElement("div");
    ours.append(...highlighted(code, language)!);
    const theirs = document.createElement("div");
    theirs.innerHTML = original.highlight(code, { language }).value;
    assert.equal(ours.textContent, code);
    assert.deepEqual(classes(ours), classes(theirs));
    assert.equal(ours.childElementCount > 1, code.length > 2200);
    for (const stretch of [...ours.children].slice(0, -1)) {
      assert.ok(stretch.textContent!.endsWith("\n"));
      assert.ok(stretch.textContent!.length < 4096);
    }
  });
}

test("Code in an unknown language and very long code have no colours.", () => {
  assert.equal(highlighted("x = 1", "nonsense"), null);
  assert.equal(highlighted("x = 1\n".repeat(5000), "python"), null);
});
