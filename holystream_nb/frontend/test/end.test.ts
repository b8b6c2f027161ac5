import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { End } from "../src/chatend";

const HEIGHT = 100;

/** A scroller of HEIGHT with `length` pixels in it, inside another; `laidOut` is what the browser does after a change. */
function reading(length: number) {
  document.body.innerHTML = `<div style="overflow-y: auto"><div><div></div></div></div>`;
  const outer = document.body.firstElementChild!;
  const scroller = outer.firstElementChild!;
  const content = scroller.firstElementChild!;
  let top = 0;
  const state = { length };
  const most = () => state.length - HEIGHT;
  Object.defineProperty(scroller, "clientHeight", { value: HEIGHT });
  Object.defineProperty(scroller, "scrollHeight", { get: () => state.length });
  Object.defineProperty(scroller, "scrollTop", { get: () => top, set: (to: number) => (top = Math.max(0, Math.min(to, most()))) });
  let laidOut = () => {};
  globalThis.ResizeObserver = class {
    constructor(changed: () => void) {
      laidOut = changed;
    }
    observe(): void {}
    disconnect(): void {}
  } as unknown as typeof ResizeObserver;
  new End(scroller, content);
  laidOut();
  const scroll = (to: number) => {
    scroller.scrollTop = to;
    scroller.dispatchEvent(new window.Event("scroll"));
  };
  const grow = (by: number) => {
    state.length += by;
    laidOut();
    scroller.dispatchEvent(new window.Event("scroll"));
  };
  const wheel = (deltaY: number) => content.dispatchEvent(Object.assign(new window.Event("wheel", { bubbles: true }), { deltaY }));
  return { outer, scroller, scroll, grow, wheel };
}

test("A panel begins at the conversation's end and stays there while it grows; nothing around it moves.", () => {
  const { outer, scroller, grow } = reading(500);
  assert.equal(scroller.scrollTop, 400);
  grow(80);
  assert.equal(scroller.scrollTop, 480);
  assert.equal(outer.scrollTop, 0);
});

test("Who scrolls up reads on there; back at the end it is kept again.", () => {
  const { scroller, scroll, grow } = reading(500);
  scroll(390);
  grow(80);
  assert.equal(scroller.scrollTop, 390);
  scroll(470);
  grow(80);
  assert.equal(scroller.scrollTop, 560);
});

test("A wheel turned upwards counts before the page has moved a whole pixel.", () => {
  const { scroller, scroll, grow, wheel } = reading(500);
  wheel(-10);
  scroll(399.5);
  grow(80);
  grow(80);
  assert.equal(scroller.scrollTop, 399.5);
});

test("What grows while the page is still on its way to the end does not count as scrolling up.", () => {
  const { scroller, grow } = reading(500);
  for (let count = 0; count < 3; count++) grow(200);
  assert.equal(scroller.scrollTop, 1000);
});
