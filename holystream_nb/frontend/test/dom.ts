/** A page for the tests: import this before anything that draws. */
import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!doctype html><body></body>", { pretendToBeVisual: true });
const matchMedia = () => ({ matches: false });
const getSelection = () => window.getSelection();
const { document, getComputedStyle, HTMLOListElement, MutationObserver } = window;
Object.assign(globalThis, { window, document, getComputedStyle, getSelection, matchMedia });
Object.assign(globalThis, { HTMLOListElement, MutationObserver });
