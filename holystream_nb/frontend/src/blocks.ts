/**
 * Markdown arriving in pieces, cut into blocks that are finished for good. No DOM, no parser.
 *
 * Only top-level structure is followed (CommonMark 0.31.2, sections 4 and 5): enough to know that nothing to come can
 * change what was cut off. The cuts depend on the text alone, never on how it was split on its way here.
 */

/** What a block goes on in, when it does not stand for itself: the paragraph, list or table drawn just before. */
export type Joins = "" | "paragraph" | "list" | "table";

export type Piece =
  | { kind: "markdown"; source: string; joins: Joins }
  | { kind: "fence"; language: string }
  | { kind: "code"; text: string }
  | { kind: "close" };

/** What is not finished: Markdown that may still change, or the line now being written inside a fence. */
export interface Open {
  source: string;
  joins: Joins;
  code: boolean;
}

/** Where a block that grows past this many characters is cut, if it can be. */
export const SOFT = 1024;
/** Where every block is cut. */
export const HARD = 32768;
/** A line longer than this is taken in portions. */
const PORTION = 2048;

const BLANK = /^[ \t]*\n?$/;
const FENCE = /^ {0,3}(`{3,}(?=[^`\n]*\n?$)|~{3,})[ \t]*([^\s`]*)/;
const HEADING = /^ {0,3}#{1,6}(?:[ \t]|\n?$)/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})\n?$/;
const UNDERLINE = /^ {0,3}(?:=+|-+)[ \t]*\n?$/;
const QUOTE = /^ {0,3}>/;
const ITEM = /^( {0,3})([*+-]|\d{1,9}[.)])([ \t]+|\n?$)/;
const DELIMITERS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\n?$/;
/** A line that so far is only markers: what it will mean is not known yet, so it is not drawn yet. */
const UNDECIDED = /^[ \t]*(?:[-*+_=>|:#\s]*|\d{1,9}[.)]?[ \t]*|\\|(?:`{3,}|~~)[^\n]*)$/;

type Mode = "none" | "paragraph" | "list" | "table" | "quote" | "indented" | "fence";

export class Blocks {
  #pieces: Piece[] = [];
  #line = "";
  #goesOn = false;
  #return = false;

  #mode: Mode = "none";
  #chunk = "";
  #joins: Joins = "";
  #previous = "";
  #blank = false;
  #maths = false;
  #offset = 0;
  #head = "";
  #mark = "";
  #indent = 0;

  /** `cut(paragraph)` says where a long paragraph can be cut without breaking an emphasis, a link or code. */
  constructor(readonly cut: (paragraph: string) => number) {}

  /** Takes more text; returns what has been finished by it. */
  feed(text: string): Piece[] {
    if (this.#return) text = `\r${text}`;
    this.#return = text.endsWith("\r");
    if (this.#return) text = text.slice(0, -1);
    text = text.replace(/\r\n?/g, "\n");
    for (let from = 0; from < text.length; ) {
      const end = text.indexOf("\n", from);
      const room = from + PORTION - this.#line.length;
      const to = end >= 0 && end < room ? end + 1 : Math.min(text.length, room);
      this.#line += text.slice(from, to);
      from = to;
      if (this.#line.endsWith("\n")) this.#takeLine(false);
      else if (this.#line.length >= PORTION) this.#takeLine(true);
    }
    return this.#taken();
  }

  /** Ends the text; returns the rest. */
  finish(): Piece[] {
    const pieces = this.#return ? this.feed("\n") : [];
    if (this.#line) this.#takeLine(false);
    if (this.#mode === "fence") this.#pieces.push({ kind: "close" });
    this.#end();
    return [...pieces, ...this.#taken()];
  }

  get open(): Open {
    if (this.#mode === "fence") {
      const perhapsTheEnd = !this.#goesOn && /^ {0,3}[`~]*[ \t]*$/.test(this.#line);
      return { source: perhapsTheEnd ? "" : this.#dedented(this.#line), joins: "", code: true };
    }
    const line = !this.#goesOn && UNDECIDED.test(this.#line) ? "" : this.#line;
    return { source: this.#chunk + line, joins: this.#joins, code: false };
  }

  #taken(): Piece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  #takeLine(unfinished: boolean): void {
    let line = this.#line;
    this.#line = "";
    const last = line.charCodeAt(line.length - 1);
    if (unfinished && last >= 0xd800 && last < 0xdc00) {
      this.#line = line.slice(-1); // half a character: the other half is still to come
      line = line.slice(0, -1);
    }
    if (this.#mode === "fence") this.#code(line);
    else if (this.#goesOn) this.#chunk += line;
    else this.#begin(line);
    this.#previous = this.#goesOn ? "" : line;
    this.#goesOn = unfinished;
    this.#bound();
  }

  #code(line: string): void {
    const close = this.#goesOn ? null : /^ {0,3}(`{3,}|~{3,})[ \t]*\n?$/.exec(line)?.[1];
    if (close?.startsWith(this.#mark)) {
      this.#pieces.push({ kind: "close" });
      this.#mode = "none";
    } else this.#pieces.push({ kind: "code", text: this.#dedented(line) });
  }

  #dedented(line: string): string {
    return this.#goesOn ? line : line.slice(Math.min(this.#indent, line.length - line.trimStart().length));
  }

  /** A line of Markdown from its beginning: does it end the open block, does it open another? */
  #begin(line: string): void {
    if (BLANK.test(line)) return this.#blankLine(line);
    const indent = columns(line);
    const item = RULE.test(line) ? null : ITEM.exec(line);
    if (this.#blank) {
      this.#blank = false;
      const goesOn = this.#mode === "list" ? indent >= this.#offset || item : indent >= 4;
      if (!goesOn) this.#end();
    }
    if (this.#mode === "list" && indent >= this.#offset) return this.#append(line);

    const fence = FENCE.exec(line);
    if (fence) {
      this.#end();
      this.#mode = "fence";
      this.#mark = fence[1]!;
      this.#indent = indent;
      this.#pieces.push({ kind: "fence", language: fence[2]! });
    } else if (HEADING.test(line)) this.#alone(line);
    else if (this.#maths) this.#append(line);
    else if (this.#mode === "paragraph" && UNDERLINE.test(line)) {
      this.#append(line);
      this.#end();
    } else if (RULE.test(line)) this.#alone(line);
    else if (QUOTE.test(line)) this.#open("quote", line);
    else if (item && (this.#mode === "list" || this.#mode === "none" || interrupts(item))) this.#item(line, item);
    else if (this.#mode === "paragraph" && this.#isTable(line)) this.#table(line);
    else if (this.#mode === "none") this.#open(indent >= 4 ? "indented" : "paragraph", line);
    else if (this.#mode === "indented" && indent < 4) this.#open("paragraph", line);
    else if (this.#mode === "table" && this.#chunk.length >= SOFT) {
      this.#end();
      this.#open("table", this.#head + line, "table");
    } else this.#append(line);
  }

  #blankLine(line: string): void {
    if (this.#mode === "list" || this.#mode === "indented") {
      this.#blank = true;
      this.#chunk += line;
    } else this.#end();
  }

  #append(line: string): void {
    this.#chunk += line;
    if (this.#mode === "paragraph") this.#watchMaths(line);
  }

  #open(mode: Mode, line: string, joins: Joins = ""): void {
    if (mode !== this.#mode) {
      this.#end();
      this.#mode = mode;
      this.#joins = joins;
    }
    this.#append(line);
  }

  #alone(line: string): void {
    this.#end();
    this.#chunk = line;
    this.#end();
  }

  #item(line: string, [, before, marker, after]: RegExpExecArray): void {
    const joins = this.#mode === "list" ? "list" : "";
    if (this.#chunk.length >= SOFT) this.#end();
    const gap = columns(after!);
    this.#offset = before!.length + marker!.length + (gap >= 1 && gap <= 4 ? gap : 1);
    this.#open("list", line, joins);
  }

  #isTable(line: string): boolean {
    const head = this.#previous;
    const isWhole = head !== "" && this.#chunk.endsWith(head);
    return isWhole && /[|:]/.test(line) && DELIMITERS.test(line) && cells(line) === cells(head);
  }

  /** The line before turns out to be a table's head: it leaves the paragraph. */
  #table(line: string): void {
    const head = this.#previous;
    this.#chunk = this.#chunk.slice(0, -head.length);
    this.#end();
    this.#head = head + line;
    this.#open("table", this.#head);
  }

  /** Inside `$$` and `\[` the beginning of a line means nothing ("+ b" is no list); a blank line ends them. */
  #watchMaths(line: string): void {
    for (const [delimiter] of line.matchAll(/\$\$|\\\[|\\\]/g)) {
      this.#maths = delimiter === "$$" ? !this.#maths : delimiter === "\\[";
    }
  }

  #end(): void {
    const [source, joins] = [this.#chunk, this.#joins];
    this.#chunk = "";
    this.#joins = "";
    this.#mode = "none";
    this.#blank = this.#maths = false;
    if (source && (joins || !BLANK.test(source))) this.#pieces.push({ kind: "markdown", source, joins });
  }

  #bound(): void {
    while (this.#mode === "paragraph" && this.#chunk.length >= SOFT) {
      const at = this.cut(this.#chunk);
      this.#pieces.push({ kind: "markdown", source: this.#chunk.slice(0, at), joins: this.#joins });
      this.#chunk = this.#chunk.slice(at);
      this.#joins = "paragraph";
    }
    if (this.#mode !== "fence" && this.#chunk.length >= HARD) this.#end();
  }
}

/** An empty item, or a number other than 1, does not interrupt a paragraph. */
function interrupts([, , marker, after]: RegExpExecArray): boolean {
  return /[ \t]/.test(after!) && (marker!.length === 1 || /^1[.)]$/.test(marker!));
}

function columns(line: string): number {
  let width = 0;
  for (const character of line) {
    if (character === " ") width += 1;
    else if (character === "\t") width += 4 - (width % 4);
    else break;
  }
  return width;
}

function cells(row: string): number {
  return row.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).length;
}
