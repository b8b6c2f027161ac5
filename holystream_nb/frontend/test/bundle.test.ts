import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { test } from "node:test";

const bundle = readFileSync("../static/live.js", "utf8");

test("The bundle has at most 350 kB and no source map.", () => {
  assert.ok(statSync("../static/live.js").size <= 350_000);
  assert.doesNotMatch(bundle, /sourceMappingURL/);
});

test("Nothing in the bundle loads from a network.", () => {
  assert.doesNotMatch(bundle, /\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|EventSource|importScripts|\bimport\(/);
  assert.doesNotMatch(readFileSync("../static/live.css", "utf8"), /url\(|@import/);
});

test("The lock file names no registry.", () => {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as { packages: Record<string, { resolved?: string }> };
  assert.deepEqual(Object.values(lock.packages).filter((entry) => entry.resolved), []);
});
