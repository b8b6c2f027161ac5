import { make } from "./lane";

/** Outlines in a field of 16 by 16. */
const ICONS = {
  add: "M8 3.5v9M3.5 8h9",
  choose: "M4.8 6.5L8 9.7l3.2-3.2",
  close: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  copy: "M6 5.5h6.5V13H6zM3.5 10.5V3H10v2.5",
  delete: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.7M9.2 7v3.7",
  begin: "M8.5 3H3v9.5h9.5V8M10.2 3.5l2.3 2.3-4.6 4.6-2.7.4.4-2.7z",
  done: "M3.5 8.5l3 3 6-7",
  edit: "M3 13l.7-2.9 7.2-7.2 2.2 2.2-7.2 7.2zM9.6 4.2l2.2 2.2",
  regenerate: "M12.7 6.5A5 5 0 1 0 13 9M13 3v3.5H9.5",
  save: "M8 2.5v7.5M5 7.2L8 10l3-2.8M3 11.5V13h10v-1.5",
  send: "M8 13V3.5M4 7.3L8 3.3l4 4",
  settings: "M2.5 5h6M11.5 5h2M2.5 11h2M7.5 11h6M10 3.3v3.4M6 9.3v3.4",
  stop: "M4.5 4.5h7v7h-7z",
} as const;

export type Icon = keyof typeof ICONS;

export function icon(name: Icon): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "hs-icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A small button with a picture; `words` are its name, and shown when the pointer rests on it. */
export function iconButton(name: Icon, words: string, act: () => void): HTMLButtonElement {
  const button = make("button", "hs-icon-button");
  button.type = "button";
  button.append(icon(name));
  named(button, words);
  button.addEventListener("click", act);
  return button;
}

export function wordButton(className: string, words: string, act: () => void): HTMLButtonElement {
  const button = make("button", className, words);
  button.type = "button";
  button.addEventListener("click", act);
  return button;
}

export function named(button: HTMLElement, words: string): void {
  if (button.title === words) return;
  button.title = words;
  button.setAttribute("aria-label", words);
}

/** How long a question stays, in milliseconds. */
const PATIENCE_MS = 5000;

/**
 * Lets a button ask before it acts: the first press turns it into the question, the second one answers it.
 *
 * `question()` is "" where nothing has to be asked. Time, Escape and leaving the button take the question back.
 */
export function asking(button: HTMLButtonElement, question: () => string, act: () => void, tell: (words: string) => void): void {
  const words = make("span", "hs-question-mark");
  const name = button.title;
  let patience: ReturnType<typeof setTimeout> | undefined;
  const calm = () => {
    clearTimeout(patience);
    patience = undefined;
    words.remove();
    named(button, name);
    button.classList.remove("hs-asking");
  };
  button.addEventListener("click", () => {
    const asked = question();
    if (patience !== undefined || !asked) {
      calm();
      act();
      return;
    }
    words.textContent = asked;
    button.append(words);
    named(button, asked);
    button.classList.add("hs-asking");
    tell(`${asked} Press again.`);
    patience = setTimeout(calm, PATIENCE_MS);
  });
  button.addEventListener("blur", calm);
  button.addEventListener("keydown", (event) => event.key === "Escape" && calm());
}

/** Buttons side by side that take one stop of the Tab key; the arrow keys go between them. */
export function toolbar(name: string, ...buttons: HTMLElement[]): HTMLElement {
  const bar = make("div", "hs-tools");
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", name);
  bar.append(...buttons);
  const stop = (at: HTMLElement) => buttons.forEach((button) => (button.tabIndex = button === at ? 0 : -1));
  if (buttons[0]) stop(buttons[0]);
  bar.addEventListener("focusin", (event) => stop(event.target as HTMLElement));
  bar.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target as HTMLElement);
    const last = buttons.length - 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    buttons[(to + buttons.length) % buttons.length]?.focus();
  });
  return bar;
}
