import { Answer, type Typeset } from "./answer";
import { Code, type Colouring } from "./code";
import { Pending } from "./pending";
import type { Format } from "./protocol";
import { Run } from "./run";

/** Text on the page while it arrives. */
export interface Drawing {
  append(text: string): void;
  /** Brings the page up to date, by a portion; `ended` when nothing more will come. Returns whether there is more to do. */
  draw(ended: boolean): boolean;
}

export function drawing(
  format: Format,
  root: HTMLElement,
  failed: (error: unknown) => void,
  typeset: Typeset | null = null,
): Drawing {
  if (format === "text") return new Plain(root);
  if (format === "json") return new Json(root);
  return new Answer(root, failed, typeset);
}

/** Text as it is, in wrapped lines. */
export class Plain implements Drawing {
  #pending = new Pending();
  #run: Run;

  constructor(root: HTMLElement) {
    const page = document.createElement("div");
    page.className = "hs-plain";
    this.#run = new Run(root.appendChild(page));
  }

  append(text: string): void {
    this.#pending.add(text);
  }

  draw(): boolean {
    this.#run.append(this.#pending.take());
    return !this.#pending.isEmpty;
  }
}

/** A line of JSON longer than this is taken in portions. */
const LONG = 2048;

/** One block of JSON. */
class Json implements Drawing {
  #pending = new Pending();
  #code = new Code("json");
  #line = "";
  #colouring: Colouring | null = null;

  constructor(readonly root: HTMLElement) {}

  append(text: string): void {
    this.#pending.add(text);
  }

  draw(ended: boolean): boolean {
    this.#line += this.#pending.take();
    if (this.#line && !this.root.firstChild) this.root.append(this.#code.element);
    const isAll = (ended && this.#pending.isEmpty) || this.#line.length > LONG;
    const end = isAll ? this.#line.length : this.#line.lastIndexOf("\n") + 1;
    this.#code.append(this.#line.slice(0, end));
    this.#line = this.#line.slice(end);
    this.#code.draw(this.#line);
    if (!ended || !this.#pending.isEmpty) return !this.#pending.isEmpty;
    this.#colouring ??= this.#code.close();
    return !this.#colouring.next().done;
  }
}
