/** How far from the end a reader who scrolls down still comes to it, in pixels. */
const NEAR = 24;
/** How long a wheel turned upwards counts although the end is still in sight, in milliseconds: the browser scrolls smoothly. */
const TURNED_MS = 300;

/**
 * Keeps the end of what stands in a scroller in sight while either grows or shrinks, until the reader scrolls up; and
 * again once the reader is back at the end. Nothing around the scroller moves.
 *
 * It looks only after the browser has laid out the page for itself: to ask in between would lay it out once more for
 * every piece of an answer, and for every panel.
 */
export class End {
  #isKept = true;
  #top = 0;
  #turned = -Infinity;
  #sizes = new ResizeObserver(() => this.#isKept && this.reach());

  constructor(
    readonly scroller: Element,
    content: Element,
  ) {
    scroller.addEventListener("scroll", () => this.#scrolled());
    scroller.addEventListener("wheel", (event) => this.#turn(event as WheelEvent), { passive: true });
    this.#sizes.observe(scroller);
    this.#sizes.observe(content);
  }

  /** Goes to the end, and keeps it. */
  reach(): void {
    this.#isKept = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#top = this.scroller.scrollTop;
  }

  leave(): void {
    this.#sizes.disconnect();
  }

  #scrolled(): void {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    const beyond = scrollHeight - clientHeight - scrollTop;
    if (scrollTop < this.#top && beyond > 1) this.#isKept = false;
    else if (beyond <= NEAR && performance.now() - this.#turned > TURNED_MS) this.#isKept = true;
    this.#top = scrollTop;
  }

  /** The first steps of a smooth scroll are smaller than what is added meanwhile: the wheel itself says what is meant. */
  #turn({ deltaY, target }: WheelEvent): void {
    this.#turned = -Infinity;
    if (deltaY >= 0 || this.scroller.scrollTop === 0) return;
    for (let inner = target as Element | null; inner && inner !== this.scroller; inner = inner.parentElement) {
      if (inner.scrollTop > 0) return;
    }
    this.#turned = performance.now();
    this.#isKept = false;
  }
}
