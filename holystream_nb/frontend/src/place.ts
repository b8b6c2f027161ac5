import { focused } from "./focus";

/** How long the output's height is held at most, in milliseconds. */
const HOLD_MS = 1000;

/**
 * Where a view stands in JupyterLab: an output area, which will replace the view by the saved output.
 *
 * JupyterLab removes the one before it has drawn the other; for some frames the cell would be empty, and the page
 * would jump. So the area keeps its height until something is in it again.
 */
export class Place {
  #area: HTMLElement | null = null;
  #height = 0;
  #hasFocus = false;

  constructor(readonly view: Element) {}

  /** Looks round; when the view is removed it is too late. */
  look(): void {
    this.#area = this.view.closest<HTMLElement>(".jp-OutputArea");
    this.#height = this.#area?.getBoundingClientRect().height ?? 0;
    this.#hasFocus = this.view.contains(focused(this.view));
  }

  /** The view has been removed: the height stays for a moment, and the keyboard's focus goes to the cell. */
  leave(): void {
    const area = this.#area;
    if (!area?.isConnected) return;
    const isLost = this.#hasFocus && document.activeElement === document.body;
    if (isLost) area.closest<HTMLElement>("[tabindex]")?.focus({ preventScroll: true });
    area.style.minHeight = `${this.#height}px`;
    const release = () => {
      observer.disconnect();
      clearTimeout(patience);
      area.style.minHeight = "";
    };
    const observer = new MutationObserver(() => isFilled(area) && release());
    observer.observe(area, { childList: true, subtree: true });
    const patience = setTimeout(release, HOLD_MS);
    queueMicrotask(() => {
      if (!area.querySelector(".jp-OutputArea-output")) release(); // cleared, not replaced
    });
  }
}

function isFilled(area: Element): boolean {
  return [...area.querySelectorAll(".jp-OutputArea-output")].every((output) => output.textContent!.trim() !== "");
}
