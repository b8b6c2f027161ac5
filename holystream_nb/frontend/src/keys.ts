/** Where it stands on the element that has the focus, the notebook looks for no shortcut (Lumino's mark). */
export const NO_SHORTCUTS = "data-lm-suppress-shortcuts";

/** A button that has its keys to itself: the notebook would take them, and two d's delete the cell. */
export function button(className: string, label = ""): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.className = className;
  element.textContent = label;
  element.setAttribute(NO_SHORTCUTS, "true");
  return element;
}
