/** How much text may stand in one block, in characters: adding to it makes the browser lay out all of it again. */
const STRETCH = 4096;
/** How much of one line may, for the same reason; the line then goes on in a part of its own. */
const LONGEST = 16_384;

/** Plain text that grows at its end, in blocks of whole lines: appending costs what is appended, however long it is. */
export class Run {
  #stretch: HTMLElement | null = null;
  #length = 0;
  #isInLine = false;

  constructor(readonly host: Element) {}

  /** Where the line now being written goes on. */
  get end(): Element {
    return this.#isInLine ? (this.#stretch ?? this.host) : this.host;
  }

  append(text: string): void {
    while (text) {
      const line = text.indexOf("\n", Math.max(0, STRETCH - this.#length)) + 1 || text.length;
      const isTooLong = this.#length + line > LONGEST;
      const end = isTooLong ? broken(text, LONGEST - this.#length) : line;
      const stretch = this.#add(text.slice(0, end));
      text = text.slice(end);
      if (isTooLong) stretch.classList.add("hs-part");
      if (isTooLong || (this.#length >= STRETCH && !this.#isInLine)) this.#close();
    }
  }

  #add(text: string): HTMLElement {
    if (!this.#stretch) {
      this.#stretch = document.createElement("span");
      this.#stretch.className = this.#isInLine ? "hs-stretch hs-part" : "hs-stretch";
      this.host.append(this.#stretch);
    }
    this.#stretch.append(text);
    this.#length += text.length;
    this.#isInLine = !text.endsWith("\n");
    return this.#stretch;
  }

  #close(): void {
    this.#stretch = null;
    this.#length = 0;
  }
}

/** Where a line is broken: after the last space before `room` is used up, or there, but not inside a character. */
function broken(text: string, room: number): number {
  const space = text.lastIndexOf(" ", room - 1) + 1;
  const last = text.charCodeAt(room - 1);
  return space || (last >= 0xd800 && last < 0xdc00 ? room + 1 : room);
}
