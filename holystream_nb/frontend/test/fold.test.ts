import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { folding, foldCopies, type Model, type Renderer } from "../src/extension/fold";

const copy = (count: number): Model => ({
  data: { "text/markdown": `<details><summary>Saved copy · ${count} questions</summary>\n\n**You** ${count}\n\n</details>` },
});

/** JupyterLab's renderer: what it drew is in `models`. */
function jupyters(): Renderer & { models: Model[] } {
  const node = document.body.appendChild(document.createElement("div"));
  const models: Model[] = [];
  const renderModel = async (model: Model) => {
    models.push(model);
    node.innerHTML = String(model.data["text/markdown"]);
  };
  return { node, models, renderModel };
}

async function open(fold: HTMLDetailsElement): Promise<void> {
  fold.open = true;
  await sleep(20);
}

test("A copy is drawn when it is opened, and not before.", async () => {
  const renderer = jupyters();
  folding(renderer);
  await renderer.renderModel(copy(1));
  await renderer.renderModel(copy(2));
  assert.equal(renderer.models.length, 0);
  assert.equal(renderer.node.textContent, "Saved copy · 2 questions");
  const fold = renderer.node.querySelector("details")!;
  assert(!fold.open);
  await open(fold);
  assert.equal(renderer.models.length, 1);
  assert.match(renderer.node.textContent!, /You/);
  assert(renderer.node.querySelector("details")!.open);
});

test("One that is open stays open, and shows what has come.", async () => {
  const renderer = jupyters();
  folding(renderer);
  await renderer.renderModel(copy(1));
  await open(renderer.node.querySelector("details")!);
  await renderer.renderModel(copy(2));
  assert.match(renderer.node.textContent!, /You\*\* 2/);
  assert(renderer.node.querySelector("details")!.open);
});

test("All other Markdown is drawn as ever, an open copy too.", async () => {
  for (const markdown of ["Hello", "<details open><summary>Saved copy · 1 question</summary>\n\nHello\n\n</details>", ["Hello"], undefined]) {
    const renderer = jupyters();
    folding(renderer);
    await renderer.renderModel({ data: { "text/markdown": markdown } });
    assert.equal(renderer.models.length, 1);
  }
});

test("The application's own way to draw Markdown is wrapped, with all that it says of itself.", () => {
  const factory = { mimeTypes: ["text/markdown"], safe: true, defaultRank: 60, createRenderer: jupyters };
  const added: object[] = [];
  foldCopies({ getFactory: () => factory, addFactory: (each) => void added.push(each) });
  const { createRenderer: _ours, ...rest } = added[0] as typeof factory;
  assert.deepEqual(rest, { mimeTypes: ["text/markdown"], safe: true, defaultRank: 60 });
});
