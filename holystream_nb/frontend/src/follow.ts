/** How far below the edge the end may lie and still count as being read, in pixels. */
const NEAR = 24;
/** How long a wheel turned upwards counts although the end is still in sight, in milliseconds: the browser scrolls smoothly. */
const TURNED_MS = 300;

/**
 * Keeps the end of an element in sight while it grows, if it was in sight before and the reader has not scrolled up
 * since: then the end is left alone until the reader comes back to it.
 *
 * Works on whatever scrolls around the element (JupyterLab's notebook panel, a scrolled output, the page), from the
 * inside out.
 */
export class Follower {
  #tops = new WeakMap<Element, number>();
  #left = new WeakSet<Element>();
  #turned = -Infinity;

  constructor(readonly element: Element) {
    element.addEventListener("wheel", (event) => this.#turn(event as WheelEvent), { passive: true });
  }

  around(grow: () => void): void {
    const all = scrollers(this.element);
    const followed = all.filter((scroller) => this.#isFollowed(scroller));
    grow();
    for (const scroller of followed) {
      const beyond = this.#end - edges(scroller).bottom;
      if (beyond > 0) scroller.scrollTop += beyond;
    }
    for (const scroller of all) this.#tops.set(scroller, scroller.scrollTop);
  }

  /** The first steps of a smooth scroll are smaller than what is added meanwhile: the wheel itself says what is meant. */
  #turn({ deltaY, target }: WheelEvent): void {
    this.#turned = -Infinity;
    if (deltaY >= 0) return;
    for (let inner = target as Element | null; inner && inner !== this.element; inner = inner.parentElement) {
      if (inner.scrollTop > 0) return;
    }
    this.#turned = performance.now();
    for (const scroller of scrollers(this.element)) if (scroller.scrollTop > 0) this.#left.add(scroller);
  }

  get #end(): number {
    return this.element.getBoundingClientRect().bottom;
  }

  #isFollowed(scroller: Element): boolean {
    const { top, bottom } = edges(scroller);
    const end = this.#end;
    if (end <= bottom + 1 && performance.now() - this.#turned > TURNED_MS) this.#left.delete(scroller);
    else if (scroller.scrollTop < (this.#tops.get(scroller) ?? 0)) this.#left.add(scroller);
    return end >= top && end <= bottom + NEAR && !this.#left.has(scroller);
  }
}

function edges(scroller: Element): { top: number; bottom: number } {
  if (scroller === document.scrollingElement) return { top: 0, bottom: document.documentElement.clientHeight };
  const { top } = scroller.getBoundingClientRect();
  return { top: top + scroller.clientTop, bottom: top + scroller.clientTop + scroller.clientHeight };
}

function scrollers(element: Element): Element[] {
  const found: Element[] = [];
  for (let above = element.parentElement; above && above !== document.body; above = above.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(above).overflowY)) found.push(above);
  }
  if (document.scrollingElement) found.push(document.scrollingElement);
  return found;
}
