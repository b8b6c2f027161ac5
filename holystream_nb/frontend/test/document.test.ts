import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cell, NotebookPanel } from "../src/extension/application";
import { SharedDocument } from "../src/extension/document";
import { MARK, type Output, WIDGET } from "../src/extension/outputs";

function output(id: string, words: string, unfinished = false): Output {
  const mark = { id, cell: "cell", execution: "run", order: 0, answers: [], ...(unfinished ? { unfinished } : {}) };
  return { output_type: "display_data", data: { "text/plain": words }, metadata: id ? { [MARK]: mark } : {} };
}

/** A cell whose outputs are these in the document, and those here. */
function cell(there: Output[], here = there) {
  const shown = [...here];
  const changed = {
    emit: ({ outputsChange: [gone, come] }: { outputsChange: [{ delete: number }, { insert: Output[] }] }) =>
      void shown.splice(0, gone.delete, ...come.insert),
  };
  const sharedModel = {
    getOutputs: () => [...there],
    updateOutputs: (start: number, end: number, outputs: Output[]) => void there.splice(start, end - start, ...outputs),
    changed,
  };
  const get = (index: number) => ({ ...shown[index]!, type: shown[index]!.output_type });
  const outputs = { get length() { return shown.length; }, get }; // prettier-ignore
  return { cell: { sharedModel, outputs, isDisposed: false } as unknown as Cell, there, shown };
}

function shared(clientID: number, others: number[] = []) {
  const awareness = { clientID, getStates: () => new Map([clientID, ...others].map((id) => [id, {}])) };
  const rendermime = { mimeTypes: [WIDGET], preferredMimeType: () => "text/plain" };
  const context = { model: { collaborative: true, sharedModel: { awareness }, cells: [] } };
  return { document: SharedDocument.of({ context, content: { rendermime } } as unknown as NotebookPanel)!, rendermime };
}

const words = (outputs: Output[]) => outputs.map(({ data }) => data["text/plain"]).join(" ");

test("Of an answer that stands twice in a cell, the first that is whole stays; what is not ours stays as it is.", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { document } = shared(1);
  const one = cell([output("", "a"), output("x", "view", true), output("x", "whole"), output("", "a"), output("x", "again"), output("y", "other")]);
  document.look(one.cell);
  t.mock.timers.tick(500);
  assert.equal(words(one.there), "a whole a other");
  assert.equal(words(one.shown), "a whole a other");
});

test("What this page has in another order than the document is made anew, and nothing is written.", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { document } = shared(1);
  const there = Object.freeze([output("x", "first"), output("", "figure"), output("y", "second")]) as Output[];
  const one = cell(there, [there[1]!, there[2]!, there[0]!]);
  document.look(one.cell);
  t.mock.timers.tick(500);
  assert.equal(words(one.shown), "first figure second");
});

test("An output is found by its answer, wherever it stands here, and only while it is unfinished.", () => {
  const { document } = shared(1);
  const one = cell([output("", "a"), output("x", "view", true)], [output("x", "view", true), output("", "a")]);
  document.replace(one.cell, "x", [output("x", "whole")]);
  document.replace(one.cell, "x", [output("x", "late")]);
  assert.equal(words(one.there), "a whole");
  assert.equal(words(one.shown), "a whole");
});

test("The pages of a document have their turns one after the other.", () => {
  assert.deepEqual(
    [7, 5, 9].map((id) => shared(id, [5, 7, 9].filter((other) => other !== id)).document.turn),
    [2_000, 1_000, 3_000],
  );
});

test("A view is drawn in a cell that is not trusted when the kernel has told of it.", () => {
  const { document, rendermime } = shared(1);
  const preferred = rendermime.preferredMimeType as (data: object) => string;
  const view = { [WIDGET]: { model_id: "told" } };
  assert.equal(preferred(view), "text/plain");
  document.draw("told");
  assert.equal((rendermime.preferredMimeType as typeof preferred)(view), WIDGET);
  assert.equal((rendermime.preferredMimeType as typeof preferred)({ [WIDGET]: { model_id: "a stranger's" } }), "text/plain");
});

test("A notebook that one page has for itself is written as ever.", () => {
  const panel = { context: { model: { collaborative: false } } } as unknown as NotebookPanel;
  assert.equal(SharedDocument.of(panel), null);
});
