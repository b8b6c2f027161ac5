/** How much text is drawn in one go, in characters: more would keep the page from answering its reader. */
const PORTION = 8192;

/** Text that has arrived and is not drawn yet. */
export class Pending {
  #text = "";

  get isEmpty(): boolean {
    return this.#text === "";
  }

  add(text: string): void {
    this.#text += text;
  }

  /** Takes a portion from its beginning, in whole characters. */
  take(): string {
    const last = this.#text.charCodeAt(PORTION - 1);
    const end = last >= 0xd800 && last < 0xdc00 ? PORTION + 1 : PORTION;
    const portion = this.#text.slice(0, end);
    this.#text = this.#text.slice(end);
    return portion;
  }
}
