import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Answer } from "../src/answer";
import { NO_SHORTCUTS } from "../src/keys";
import { sanitised } from "../src/markdown";
import { HOSTILE } from "./attacks";
import { split } from "./samples";

const ELEMENTS = new Set(
  "blockquote br button code del div em h1 h2 h3 h4 h5 h6 hr li ol p pre span strong table tbody td th thead tr ul".split(" "),
);
const ATTRIBUTES = new Set(["align", "aria-label", "class", "role", "start", "tabindex", "type"]);

function assertHarmless(root: Element, payload: string): void {
  for (const element of root.querySelectorAll("*")) {
    assert.ok(ELEMENTS.has(element.localName), `<${element.localName}> from ${payload}`);
    assert.equal(element.namespaceURI, "http://www.w3.org/1999/xhtml", payload);
    for (const { name, value } of element.attributes) {
      if (name === NO_SHORTCUTS && element.localName === "button") continue;
      assert.ok(ATTRIBUTES.has(name), `${name}="${value}" from ${payload}`);
      if (name === "class") assert.match(value, /^(?:(?:hs-|hljs-|language-)[\w+#.-]+|[a-z]+_| )*$/, payload);
    }
    if (element.role || element.ariaLabel) assert.match(`${element.role} ${element.ariaLabel}`, /^group (?:code|table)$/, payload);
    if (element.localName === "button") assert.equal(element.className, "hs-button hs-copy", payload);
  }
}

test("Nothing hostile becomes an element or attribute that acts: at once, in pieces, or half arrived.", () => {
  assert.ok(HOSTILE.length >= 60);
  for (const payload of HOSTILE) {
    for (const parts of [[payload], split(payload, 1, payload.length > 1000 ? 900 : 9)]) {
      const root = document.createElement("div");
      const answer = new Answer(root, (error) => assert.fail(String(error)));
      for (const part of parts) {
        answer.append(part);
        answer.draw(false);
        assertHarmless(root, payload);
      }
      while (answer.draw(true));
      assertHarmless(root, payload);
    }
  }
});

test("Hostile HTML is shown as the text it is.", () => {
  for (const payload of HOSTILE.slice(0, 30)) {
    const root = document.createElement("div");
    const answer = new Answer(root, (error) => assert.fail(String(error)));
    answer.append(payload);
    while (answer.draw(true));
    const bare = (text: string) => text.replace(/&gt;|&lt;|&#x09;|[\s<>]/g, "");
    assert.equal(bare(root.textContent!), bare(payload));
  }
});

test("Should the renderer ever pass HTML on, the sanitiser alone makes it harmless.", () => {
  for (const payload of HOSTILE) {
    const root = document.createElement("div");
    root.append(sanitised(payload));
    assertHarmless(root, payload);
  }
});
