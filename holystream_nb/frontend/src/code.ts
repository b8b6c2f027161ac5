import { highlighted } from "./highlight";
import { button } from "./keys";
import { Run } from "./run";
import { scrollable } from "./scroll";

/** While code of this length is open it is coloured line by line; longer code gets its colours when it ends. */
const LIVELY = 4096;

/** The colouring of finished code: every step takes little time. */
export type Colouring = Iterator<void>;

/** A code block while it is written: lines are appended, the line being written stands at the end. */
export class Code {
  readonly element: HTMLElement;
  #code: HTMLElement;
  #run: Run;
  #line = document.createTextNode("");
  #source = "";
  #fresh = "";

  constructor(readonly language: string) {
    const pre = document.createElement("pre");
    this.#code = pre.appendChild(document.createElement("code"));
    this.#run = new Run(this.#code);
    this.element = framed(pre);
  }

  append(lines: string): void {
    this.#source += lines;
    this.#fresh += lines;
  }

  /** Shows what was appended, and the line that is not finished. */
  draw(line: string): void {
    if (this.#fresh) this.#line.remove();
    if (this.#fresh && !this.#colour()) this.#run.append(this.#fresh);
    this.#fresh = "";
    if (this.#line.data !== line) this.#line.data = line;
    const end = this.#run.end;
    if (end.lastChild !== this.#line) end.append(this.#line);
  }

  /** Ends the block; its last colours are still to come. */
  close(): Colouring {
    this.#line.remove();
    this.#run.append(this.#fresh);
    return colouring(this.#code, this.language);
  }

  /** Colours all there is, if that is whole lines and little. */
  #colour(): boolean {
    if (this.#source.length > LIVELY || !this.#source.endsWith("\n")) return false;
    const coloured = highlighted(this.#source, this.language);
    if (!coloured) return false;
    this.#code.replaceChildren(...coloured);
    this.#run = new Run(this.#code);
    return true;
  }
}

/** Colours finished code from its beginning on, one stretch of lines at a time. */
export function* colouring(code: Element, language: string): Generator<void> {
  const source = code.textContent!;
  const coloured = highlighted(source, language);
  if (!coloured) return;
  const rest = document.createTextNode(source);
  code.replaceChildren(rest);
  for (const stretch of coloured) {
    rest.before(stretch);
    rest.data = rest.data.slice(stretch.textContent!.length);
    yield;
  }
  rest.remove();
}

/** Puts a `<pre>` into a frame with a copy button. */
export function framed(pre: HTMLElement): HTMLElement {
  const code = pre.querySelector("code") ?? pre;
  const frame = document.createElement("div");
  frame.className = "hs-code";
  scrollable(pre, "code");
  pre.replaceWith(frame);
  frame.append(pre, copyButton(code));
  return frame;
}

function copyButton(code: Element): HTMLButtonElement {
  const copy = button("hs-button hs-copy", "Copy");
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(code)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  return copy;
}

/** Copies code, also where the page is not secure and has no clipboard; where nothing helps it is left selected. */
export async function copied(code: Element, text = code.textContent!): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(code, text);
  }
}

/** The older way: the browser copies what is selected, and asks us what that is. */
function copiedBySelection(code: Element, text: string): boolean {
  const selection = getSelection()!;
  selection.selectAllChildren(code);
  let isCopied = false;
  const fill = (event: ClipboardEvent) => {
    event.clipboardData!.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
    isCopied = true;
  };
  addEventListener("copy", fill, { capture: true });
  try {
    document.execCommand("copy");
  } finally {
    removeEventListener("copy", fill, { capture: true });
  }
  if (isCopied) selection.removeAllRanges();
  return isCopied;
}
