/** Lets a part that scrolls be reached and scrolled by keyboard. */
export function scrollable(part: HTMLElement, name: string): void {
  part.tabIndex = 0;
  part.setAttribute("role", "group");
  part.setAttribute("aria-label", name);
  part.addEventListener("focus", () => addEventListener("keydown", keep, { capture: true }));

  /** JupyterLab would take the arrow keys for itself, before they reach the part. */
  function keep(event: KeyboardEvent): void {
    if (event.target !== part) removeEventListener("keydown", keep, { capture: true });
    else if (isScrolledBy(part, event)) event.stopImmediatePropagation();
  }
}

function isScrolledBy(part: Element, { key, shiftKey, ctrlKey, altKey, metaKey }: KeyboardEvent): boolean {
  if (shiftKey || ctrlKey || altKey || metaKey) return false;
  if (key === "ArrowLeft" || key === "ArrowRight") return part.scrollWidth > part.clientWidth;
  return (key === "ArrowUp" || key === "ArrowDown") && part.scrollHeight > part.clientHeight;
}
