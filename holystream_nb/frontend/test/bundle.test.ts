import "./dom";
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { test } from "node:test";

const LIMITS = { live: 350_000, chat: 600_000 };

test("The bundles are no larger than they must be, and have no source map.", () => {
  for (const [name, limit] of Object.entries(LIMITS)) {
    assert.ok(statSync(`../static/${name}.js`).size <= limit, name);
    assert.doesNotMatch(readFileSync(`../static/${name}.js`, "utf8"), /sourceMappingURL/);
  }
});

test("Nothing in the bundles loads from a network.", () => {
  for (const name of Object.keys(LIMITS)) {
    const script = readFileSync(`../static/${name}.js`, "utf8");
    assert.doesNotMatch(script, /(?<!\.)\bfetch\((?!\)\{)|XMLHttpRequest|WebSocket|sendBeacon|EventSource|importScripts|\bimport\(/);
    assert.doesNotMatch(readFileSync(`../static/${name}.css`, "utf8"), /url\(|@import/);
  }
});

test("A page runs a bundle once, however often it is imported.", async () => {
  for (const name of Object.keys(LIMITS)) {
    const source = readFileSync(`../static/${name}.js`, "utf8");
    assert.doesNotMatch(source, /[^\x00-\x7f]/, "one byte a character");
    const copies = [1, 2].map((copy) => import(`data:text/javascript,${encodeURIComponent(`${source}//${copy}`)}`) as Promise<object>);
    const [first, second] = (await Promise.all(copies)) as { default: () => { render?: unknown } }[];
    assert.notEqual(first, second);
    assert.equal(first!.default, second!.default);
    assert.ok(first!.default().render);
  }
});

test("The lock file names no registry.", () => {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as { packages: Record<string, { resolved?: string }> };
  assert.deepEqual(Object.values(lock.packages).filter((entry) => entry.resolved), []);
});
