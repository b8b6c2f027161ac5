/** Where it stands on the element that has the focus, the notebook looks for no shortcut (Lumino's mark). */
export const NO_SHORTCUTS = "data-lm-suppress-shortcuts";

/** A button that has its keys to itself: JupyterLab would take Enter and Space, Notebook 7 every letter (`d d`). */
export function button(className: string, label = ""): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.className = className;
  element.textContent = label;
  element.setAttribute(NO_SHORTCUTS, "true");
  return element;
}
