import { make } from "./lane";

/** A field for text that grows with it. Enter submits, Shift+Enter makes a line, Enter that chooses a character does neither. */
export class Writing {
  readonly element = make("textarea", "hs-writing");

  constructor(name: string, submit: () => void, wrote: () => void = () => {}) {
    this.element.rows = 1;
    this.element.setAttribute("aria-label", name);
    this.element.addEventListener("input", () => {
      this.grow();
      wrote();
    });
    this.element.addEventListener("keydown", (event) => {
      const isChoosing = event.isComposing || event.keyCode === 229; // 229: how Safari says it, after its own end
      if (event.key !== "Enter" || event.shiftKey || event.altKey || isChoosing) return;
      event.preventDefault();
      submit();
    });
  }

  get text(): string {
    return this.element.value;
  }

  set text(text: string) {
    if (this.element.value === text) return;
    this.element.value = text;
    this.grow();
  }

  grow(): void {
    this.element.style.height = "auto";
    const { scrollHeight, offsetHeight, clientHeight } = this.element;
    this.element.style.height = scrollHeight ? `${scrollHeight + offsetHeight - clientHeight}px` : "";
  }

  /** Puts the cursor at the end. */
  focus(): void {
    this.element.focus();
    this.element.setSelectionRange(this.text.length, this.text.length);
  }
}
