import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Place } from "../src/place";

/** A cell of JupyterLab whose output is a view 300 pixels high. */
function cell() {
  document.body.innerHTML = `<div tabindex="0"><div class="jp-OutputArea"><div class="jp-OutputArea-output">
    <div class="view"><button>Stop</button></div></div></div><button>elsewhere</button></div>`;
  const area = document.querySelector<HTMLElement>(".jp-OutputArea")!;
  area.getBoundingClientRect = () => ({ height: 300 }) as DOMRect;
  const place = new Place(area.querySelector(".view")!);
  return { area, output: area.firstElementChild!, place, cell: area.parentElement!, stop: area.querySelector("button")! };
}

function output(text = ""): Element {
  const made = document.createElement("div");
  made.className = "jp-OutputArea-output";
  made.textContent = text;
  return made;
}

test("The area keeps its height until the saved output is drawn.", async () => {
  const { area, output: old, place } = cell();
  place.look();
  const saved = output();
  old.replaceWith(saved);
  place.leave();
  await sleep(50);
  assert.equal(area.style.minHeight, "300px");
  saved.textContent = "The answer";
  await sleep(0);
  assert.equal(area.style.minHeight, "");
});

test("Where nothing is drawn the height is given back after a while; where the output was cleared, at once.", async () => {
  const { area, output: old, place } = cell();
  place.look();
  old.replaceWith(output());
  place.leave();
  await sleep(1100);
  assert.equal(area.style.minHeight, "");
  const cleared = cell();
  cleared.place.look();
  cleared.output.remove();
  cleared.place.leave();
  await sleep(0);
  assert.equal(cleared.area.style.minHeight, "");
});

test("The keyboard's focus goes to the cell if it was in the view, and stays where it is if it was not.", () => {
  const { cell: first, output: old, place, stop } = cell();
  stop.focus();
  place.look();
  old.remove();
  place.leave();
  assert.equal(document.activeElement, first);

  const second = cell();
  second.stop.focus();
  second.place.look();
  const elsewhere = second.cell.lastElementChild as HTMLElement;
  elsewhere.focus();
  second.output.remove();
  second.place.leave();
  assert.equal(document.activeElement, elsewhere);
});

test("Outside JupyterLab nothing is held.", () => {
  document.body.innerHTML = "<div></div>";
  const place = new Place(document.body.firstElementChild!);
  place.look();
  document.body.replaceChildren();
  place.leave();
  assert.equal(document.body.innerHTML, "");
});
