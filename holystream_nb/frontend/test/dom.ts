/** A page for the tests: import this before anything that draws. */
import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!doctype html><body></body>", { pretendToBeVisual: true });
const matchMedia = () => ({ matches: false });
const getSelection = () => window.getSelection();
const { document, navigator, getComputedStyle, HTMLOListElement, MutationObserver } = window;
Object.assign(globalThis, { window, document, getComputedStyle, getSelection, matchMedia });
Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true }); // newer Node has its own
class ResizeObserver {
  observe(): void {}
  disconnect(): void {}
}
Object.assign(globalThis, { ResizeObserver, IntersectionObserver: ResizeObserver, HTMLOListElement, MutationObserver });
Object.assign(globalThis, {
  addEventListener: window.addEventListener.bind(window),
  removeEventListener: window.removeEventListener.bind(window),
});
