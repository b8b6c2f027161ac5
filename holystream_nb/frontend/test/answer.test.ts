import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Answer } from "../src/answer";
import { HARD, SOFT } from "../src/blocks";
import { SAMPLES, split } from "./samples";

function drawing(): { root: HTMLElement; answer: Answer } {
  const root = document.createElement("div");
  return { root, answer: new Answer(root, (error) => assert.fail(String(error))) };
}

function finish(answer: Answer): void {
  while (answer.draw(true));
}

function drawn(parts: string[]): HTMLElement {
  const { root, answer } = drawing();
  for (const part of parts) {
    answer.append(part);
    answer.draw(false);
  }
  finish(answer);
  return root;
}

/** The letters and digits of a text, in their order: what no drawing may lose. */
function letters(text: string): string {
  return text.replace(/[^\p{L}\p{N}]/gu, "");
}

function page(root: HTMLElement): string {
  root.normalize();
  return root.innerHTML;
}

for (const [name, sample] of Object.entries(SAMPLES)) {
  test(`However "${name}" is split on its way, the drawing is the same.`, () => {
    const whole = page(drawn([sample]));
    const lengths = sample.length > 3000 ? [900] : [1, 5, 40];
    lengths.forEach((longest, seed) => assert.equal(page(drawn(split(sample, seed, longest))), whole));
  });
}

test("No letter or digit of an answer is lost, except list numbers, languages and entities' names.", () => {
  for (const [name, sample] of Object.entries(SAMPLES)) {
    const expected = letters(
      sample
        .replace(/^([ >]*)\d+[.)]/gm, "$1")
        .replace(/^([ >]*)(`{3,}|~{3,})\w+/gm, "$1")
        .replace(/\[[xX]\]/g, "")
        .replace(/&(amp|lt|gt);/g, ""),
    );
    const root = drawn(split(sample, 7, sample.length > 3000 ? 3000 : 30));
    for (const button of root.querySelectorAll("button")) button.remove();
    assert.equal(letters(root.textContent!), expected, name);
  }
});

test("A finished block is the same node ever after.", () => {
  const { root, answer } = drawing();
  const seen: Element[] = [];
  for (const part of split(SAMPLES.paragraphs + "\n\n" + SAMPLES.fences + "\n\n" + SAMPLES.table, 3, 12)) {
    answer.append(part);
    answer.draw(false);
    const drawn = [...root.querySelectorAll(":scope > div > *")];
    const finished = drawn.slice(0, -2);
    seen.forEach((element, index) => assert.equal(drawn[index], element));
    if (finished.length > seen.length) seen.splice(0, seen.length, ...finished);
  }
  assert.ok(seen.length >= 6);
});

test("The open end of any kind of block is bounded: what lies before stays as it is.", () => {
  for (const name of ["longParagraph", "longLines", "longList", "longLoose", "longTable", "longQuote", "longItem"]) {
    const { root, answer } = drawing();
    const sample = SAMPLES[name]!;
    let kept: { node: Node; before: number } | undefined;
    for (const part of split(sample, 1, 2500)) {
      answer.append(part);
      answer.draw(false);
      const shown = root.textContent!.length;
      if (kept && shown > kept.before + 2 * HARD) assert.fail(`${name}: nothing was finished in ${2 * HARD} characters`);
      const first = root.querySelector("p, li, td, blockquote")?.firstChild;
      if (shown > 2 * SOFT && !kept && first) kept = { node: first, before: shown };
    }
    assert.ok(kept, name);
    const isBounded = ["longQuote", "longItem"].includes(name) || root.contains(kept.node);
    assert.ok(isBounded, `${name}: its beginning was drawn again`);
  }
});

test("A long list, table or paragraph is one list, table or paragraph; a very long one goes on, a list with its numbers.", () => {
  assert.equal(drawn([SAMPLES.longList!]).querySelectorAll("ol").length, 1);
  assert.equal(drawn([SAMPLES.longList!]).querySelectorAll("ol > li").length, 700);
  const lists = [...drawn([SAMPLES.longList!.replace("\n\nend", "") + "\n1. more".repeat(5000)]).querySelectorAll("ol")];
  assert.ok(lists.length > 1);
  lists.slice(1).forEach((list, index) => {
    const before = lists[index]!;
    assert.equal(list.start, before.start + before.childElementCount);
  });
  assert.equal(drawn([SAMPLES.longTable!]).querySelectorAll("table").length, 1);
  assert.equal(drawn([SAMPLES.longTable!]).querySelectorAll("tbody tr").length, 900);
  assert.equal(drawn([`${"word ".repeat(1500)}\n\nend`]).querySelectorAll("p").length, 2);
  assert.equal(drawn([SAMPLES.longParagraph!]).querySelectorAll("p.hs-continues + p").length, 1);
  assert.equal(drawn([SAMPLES.longParagraph!]).querySelectorAll("strong, p > code").length, 2);
});

test("An open fence takes its lines as text: the block is there from the first line, without Markdown in it.", () => {
  const { root, answer } = drawing();
  answer.append("```py\n# *not* a heading\nx = ");
  answer.draw(false);
  const block = root.querySelector("code")!;
  assert.equal(block.textContent, "# *not* a heading\nx = ");
  answer.append("1\n``");
  answer.draw(false);
  assert.equal(root.querySelector("code"), block);
  assert.equal(block.textContent, "# *not* a heading\nx = 1\n");
  answer.append("`\nafter");
  finish(answer);
  assert.equal(root.querySelector("code"), block);
  assert.ok(block.querySelector(".hljs-comment"));
  assert.equal(root.querySelector("p")!.textContent, "after");
});

test("An open end shows strong and code before their closing marks arrive, and no heading before its time.", () => {
  const { root, answer } = drawing();
  answer.append("Here is **strong te");
  answer.draw(false);
  assert.equal(root.querySelector("strong")?.textContent, "strong te");
  answer.append("xt** and `co");
  answer.draw(false);
  assert.equal(root.querySelector("code")?.textContent, "co");
  answer.append("de`:\n-");
  answer.draw(false);
  assert.equal(root.querySelector("h2"), null);
  answer.append(" item");
  answer.draw(false);
  assert.equal(root.querySelector("li")?.textContent?.trim(), "item");
});

test("Maths stays source text that Markdown does not read.", () => {
  const text = drawn([SAMPLES.maths!]).querySelectorAll(".hs-maths");
  assert.deepEqual(
    [...text].map((element) => element.textContent),
    [
      "$e^{i\\pi} + 1 = 0$",
      "\\(a_1*b_2*c_3\\)",
      "$$\na_1\n+ b_1\n- c*d*e\n= 0\n$$",
      "\\[ x_1 * y_1 * z_1 \\]",
    ],
  );
  const list = drawn([SAMPLES.listMaths!]);
  assert.equal(list.querySelectorAll("ol > li").length, 2);
  assert.equal(list.querySelector("li:last-child em")?.textContent, "a $x*y$ b");
});

test("Raw HTML, comparisons and definitions are shown as the text they are.", () => {
  const { textContent } = drawn([SAMPLES.html!]);
  assert.match(textContent!, /<script>\s+alert\(1\)/);
  assert.match(textContent!, /if a < b && c > d: <br> & <i>/);
  assert.match(drawn([SAMPLES.comment!]).textContent!, /before <!-- hidden --> after/);
  assert.match(drawn([SAMPLES.definitions!]).textContent!, /\[ref\]: https:\/\/example\.com "Title"/);
});

test("A link is its text and its address, an image its description and its address; both only as text.", () => {
  const root = drawn([SAMPLES.links!]);
  assert.equal(
    root.textContent!.trim(),
    'text (https://example.com “title”), https://example.org, https://example.net/a_b_c, a@b.example, 🖼 alt (x.png)',
  );
  assert.equal(root.querySelector("a, img"), null);
});

test("Task lists have characters for boxes.", () => {
  const items = [...drawn([SAMPLES.tasks!]).querySelectorAll("li")].map((item) => item.textContent!.trim());
  assert.deepEqual(items, ["☐ open", "☑ done", "☑ also"]);
});

test("Code in a known language is coloured and keeps its text; every code block has a copy button.", () => {
  const root = drawn([`${SAMPLES.fences}\n\n${SAMPLES.loose}`]);
  assert.ok(root.querySelector(".hljs-keyword"));
  assert.match(root.querySelector("pre")!.textContent!, /^def f\(\):\n\n {4}return '```'\n$/);
  assert.equal(root.querySelectorAll(".hs-code > pre").length, root.querySelectorAll("pre").length);
  assert.equal(root.querySelectorAll(".hs-code > button").length, 4);
});
