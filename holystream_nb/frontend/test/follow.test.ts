import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Follower } from "../src/follow";

const HEIGHT = 100;

/** A view that is `length` pixels long, in a scroller of HEIGHT that stands at the view's end. */
function reading(length: number) {
  document.body.innerHTML = `<div style="overflow-y: auto"><div class="view"><div class="inner"></div></div></div>`;
  const scroller = document.body.firstElementChild!;
  const view = scroller.firstElementChild!;
  const state = { length, scroller, inner: view.firstElementChild!, follower: new Follower(view) };
  scroller.getBoundingClientRect = () => ({ top: 0 }) as DOMRect;
  Object.defineProperty(scroller, "clientHeight", { value: HEIGHT });
  view.getBoundingClientRect = () => ({ bottom: state.length - scroller.scrollTop }) as DOMRect;
  scroller.scrollTop = length - HEIGHT;
  state.follower.around(() => {});
  const grow = (by: number) => state.follower.around(() => (state.length += by));
  const wheel = (deltaY: number, on: Element = view) =>
    on.dispatchEvent(Object.assign(new window.Event("wheel", { bubbles: true }), { deltaY }));
  return { state, scroller, grow, wheel };
}

test("The end is followed while it grows.", () => {
  const { scroller, grow } = reading(500);
  grow(80);
  assert.equal(scroller.scrollTop, 480);
});

test("A wheel turned upwards ends that before the page has moved a whole pixel.", () => {
  const { scroller, grow, wheel } = reading(500);
  wheel(-10);
  grow(80);
  grow(80);
  assert.equal(scroller.scrollTop, 400);
});

test("A wheel turned downwards does not, nor one that scrolls something inside.", () => {
  const { state, scroller, grow, wheel } = reading(500);
  wheel(10);
  state.inner.scrollTop = 20;
  wheel(-10, state.inner);
  grow(80);
  assert.equal(scroller.scrollTop, 480);
});

test("Back at the end it is followed again.", () => {
  const { state, scroller, grow, wheel } = reading(500);
  wheel(-10);
  grow(80);
  wheel(10);
  scroller.scrollTop = state.length - HEIGHT;
  grow(80);
  assert.equal(scroller.scrollTop, 560);
});
