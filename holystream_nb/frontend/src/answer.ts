import { Blocks, type Joins, type Piece } from "./blocks";
import { Code, colouring, framed } from "./code";
import type { Drawing } from "./drawing";
import { blocks, cut, mended, phrase } from "./markdown";
import { Pending } from "./pending";
import { Run } from "./run";
import { scrollable } from "./scroll";

/** An open block longer than this is no longer parsed again with every addition: the addition is shown as text. */
const PARSED = 8192;

/** Blocks on one page: the browser lays out a page that does not change only once. */
const PAGE = 64;

/** Pieces that may go on in one paragraph, list or table, for the same reason; then another one follows it closely. */
const JOINED = { paragraph: 8, list: 32, table: 32 };

/** Typesets the formulas of a finished block; every step takes little time. */
export type Typeset = (formulas: Iterable<Element>) => Iterator<void>;

/** Markdown drawn while it arrives: what is finished is never parsed or drawn again, only the open end is. */
export class Answer implements Drawing {
  #blocks = new Blocks(cut);
  #pending = new Pending();
  #page: HTMLElement;
  #last: Element | null = null;
  #joined = 0;
  #code: Code | null = null;
  #finishing: Iterator<void>[] = [];
  #tail: ChildNode[] = [];
  #tailSource = "";
  #raw: Run | null = null;

  constructor(
    readonly root: HTMLElement,
    readonly failed: (error: unknown) => void,
    readonly typeset: Typeset | null = null,
  ) {
    this.#page = root.appendChild(document.createElement("div"));
  }

  append(text: string): void {
    this.#pending.add(text);
  }

  draw(ended: boolean): boolean {
    const pieces = this.#blocks.feed(this.#pending.take());
    if (ended && this.#pending.isEmpty) pieces.push(...this.#blocks.finish());
    if (pieces.length) this.#dropTail();
    for (const piece of pieces) this.#place(piece);
    this.#drawTail();
    if (this.#finishing[0]?.next().done) this.#finishing.shift();
    return !this.#pending.isEmpty || this.#finishing.length > 0;
  }

  #place(piece: Piece): void {
    if (this.#page.childElementCount >= PAGE) this.#page = this.root.appendChild(document.createElement("div"));
    if (piece.kind === "markdown") {
      const before = this.#last;
      this.#put(piece.source, piece.joins, true);
      this.#last = this.#page.lastElementChild ?? this.#last;
      this.#joined = this.#last === before ? this.#joined + 1 : 0;
    } else if (piece.kind === "fence") {
      this.#code = new Code(piece.language);
      this.#page.append(this.#code.element);
      this.#last = null;
    } else if (piece.kind === "code") this.#code?.append(piece.text);
    else {
      if (this.#code) this.#finishing.push(this.#code.close());
      this.#code = null;
    }
  }

  #drawTail(): void {
    const { source, joins, code } = this.#blocks.open;
    if (code) return this.#code?.draw(source);
    if (source === this.#tailSource) return;
    if (this.#raw) {
      this.#raw.append(source.slice(this.#tailSource.length));
    } else {
      this.#dropTail();
      this.#tail = this.#put(mended(source), joins, false);
      if (source.length > PARSED) this.#raw = this.#plain();
    }
    this.#tailSource = source;
  }

  #plain(): Run {
    const raw = document.createElement("div");
    raw.className = "hs-raw";
    this.#page.append(raw);
    this.#tail.push(raw);
    return new Run(raw);
  }

  #dropTail(): void {
    for (const node of this.#tail) node.remove();
    this.#tail = [];
    this.#tailSource = "";
    this.#raw = null;
  }

  /** Adds Markdown to the page and returns the nodes it became. */
  #put(source: string, joins: Joins, finished: boolean): ChildNode[] {
    const nodes = this.#nodes(source, joins);
    for (const pre of nodes.querySelectorAll("pre")) {
      const language = /language-(\S+)/.exec(pre.firstElementChild!.className)?.[1];
      if (finished && language) this.#finishing.push(colouring(pre.firstElementChild!, language));
      framed(pre);
    }
    const formulas = nodes.querySelectorAll(".hs-maths");
    if (finished && formulas.length && this.typeset) this.#finishing.push(this.typeset(formulas));
    for (const table of nodes.querySelectorAll("table")) wide(table);
    const added: ChildNode[] = [];
    const move = (from: ParentNode, to: ParentNode) => {
      added.push(...from.childNodes);
      to.append(...from.childNodes);
    };
    const [last, first] = [this.#last, nodes.firstElementChild];
    if (joins && last && first && last.tagName === first.tagName) {
      if (this.#joined < JOINED[joins]) {
        move(inside(first), inside(last));
        first.remove();
      } else follow(last, first);
    }
    move(nodes, this.#page);
    return added;
  }

  #nodes(source: string, joins: Joins): DocumentFragment {
    try {
      return joins === "paragraph" ? paragraph(phrase(source)) : blocks(source);
    } catch (error) {
      this.failed(error);
      return paragraph(source);
    }
  }
}

function paragraph(inside: Node | string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  fragment.append(document.createElement("p"));
  fragment.firstElementChild!.append(inside);
  return fragment;
}

/** Where the items of a list, the rows of a table, the words of a paragraph stand. */
function inside(block: Element): Element {
  return block.querySelector(":scope > table > tbody") ?? block;
}

/** Lets a block read as the continuation of another: no gap between them, the numbers go on. */
function follow(last: Element, next: Element): void {
  last.classList.add("hs-continues");
  if (last instanceof HTMLOListElement && next instanceof HTMLOListElement) {
    next.start = last.start + last.childElementCount;
  }
}

function wide(table: HTMLTableElement): void {
  const frame = document.createElement("div");
  frame.className = "hs-table";
  scrollable(frame, "table");
  table.replaceWith(frame);
  frame.append(table);
}
