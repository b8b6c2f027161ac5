import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawing } from "../src/drawing";
import type { Format } from "../src/protocol";
import { Run } from "../src/run";
import { SAMPLES, split } from "./samples";

function drawn(format: Format, parts: string[]): HTMLElement {
  const root = document.createElement("div");
  const answer = drawing(format, root, (error) => assert.fail(String(error)));
  for (const part of parts) {
    answer.append(part);
    answer.draw(false);
  }
  while (answer.draw(true));
  return root;
}

/** The text of the answer itself. */
function text(root: HTMLElement): string {
  for (const button of root.querySelectorAll("button")) button.remove();
  return root.textContent!;
}

const LONG = Array.from({ length: 30_000 }, (_, index) => `${index} 🐑`).join(" ");

test("As text, every character is shown as it is, and none is anything else.", () => {
  for (const sample of [...Object.values(SAMPLES), LONG]) {
    const root = drawn("text", split(sample, 3, 700));
    assert.equal(root.textContent, sample);
    assert.equal(root.querySelector(":not(.hs-plain, .hs-stretch)"), null);
  }
});

test("As JSON, the answer is one block of code with a copy button, in colours at its end.", () => {
  const json = JSON.stringify({ list: [1, true, null, "a\nb"], text: "x".repeat(3000), html: "</code><b>" });
  for (const source of [json, JSON.stringify(JSON.parse(json), null, 2), `${json}\n`, '{"cut":']) {
    const root = drawn("json", split(source, 5, 50));
    assert.equal(root.querySelectorAll(".hs-code > pre > code").length, 1);
    assert.equal(root.querySelectorAll(".hs-copy").length, 1);
    assert.ok(root.querySelector(".hljs-attr"));
    assert.equal(text(root), source);
  }
});

test("A waiting answer in JSON shows no empty block.", () => {
  assert.equal(drawn("json", []).childElementCount, 0);
});

test("An answer whose code is wanted is drawn as Markdown.", () => {
  const root = drawn("code", ["Here **it** is:\n\n```python\nx = 1\n```"]);
  assert.ok(root.querySelector("strong"));
  assert.equal(root.querySelector("code")!.textContent, "x = 1\n");
});

for (const format of ["markdown", "text", "json"] as const) {
  test(`As ${format}, what was drawn stays the same node, and a long answer that comes at once is drawn in portions.`, () => {
    const root = document.createElement("div");
    const answer = drawing(format, root, (error) => assert.fail(String(error)));
    const source = `${"One line of some text.\n".repeat(2000)}\nend`;
    answer.append(source);
    const lengths: number[] = [];
    let first: Element | null = null;
    for (let isMore = true; isMore; ) {
      isMore = answer.draw(true);
      first ??= root.querySelector(".hs-stretch, p");
      lengths.push(root.textContent!.length);
      assert.ok(root.contains(first));
    }
    const steps = lengths.map((length, index) => length - (lengths[index - 1] ?? 0));
    assert.ok(Math.max(...steps) <= 20_000, String(steps));
    assert.ok(text(root).replace(/\s/g, "") === source.replace(/\s/g, ""));
  });
}

test("Plain text that grows stands in small blocks of whole lines; only a very long line is taken apart.", () => {
  const host = document.createElement("code");
  const run = new Run(host);
  const source = `${SAMPLES.longLines}\n${"🐑".repeat(30_000)}\n${SAMPLES.longLines}`;
  for (const part of source.match(/[^]{1,300}/gu)!) run.append(part);
  const stretches = [...host.children];
  assert.equal(host.textContent, source);
  for (const stretch of stretches) assert.ok(stretch.textContent!.length <= 16_385);
  const parts = stretches.map((stretch) => stretch.classList.contains("hs-part"));
  const isOpen = stretches.map((stretch) => stretch !== host.lastChild && !stretch.textContent!.endsWith("\n"));
  stretches.forEach((_, index) => assert.equal(parts[index], isOpen[index] || isOpen[index - 1] === true));
  assert.ok(parts.filter(Boolean).length >= 4 && parts.some((isPart) => !isPart));
  for (const stretch of stretches) assert.doesNotMatch(stretch.textContent!, /\p{Surrogate}/u);
});
