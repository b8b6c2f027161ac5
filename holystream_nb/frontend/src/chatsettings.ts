import type { Conversation } from "./chatconversation";
import { focused } from "./focus";
import { make, say } from "./lane";
import { Writing } from "./chatwriting";

/** What goes with every question: the system prompt, temperature, the longest answer. */
export class Settings {
  readonly element = make("div", "hs-settings");
  #system = new Writing("system prompt", () => this.#system.element.blur());
  #numbers: Number[];

  constructor(readonly conversation: Conversation) {
    this.#system.element.placeholder = "How the models should answer";
    this.#system.element.addEventListener("change", () => conversation.set("system", this.#system.text));
    this.#numbers = [
      new Number(conversation, "temperature", "Temperature", { min: 0, max: 2, step: 0.1 }),
      new Number(conversation, "max_tokens", "Max tokens", { min: 1, step: 1 }),
    ];
    const row = make("div", "hs-row");
    row.append(...this.#numbers.map((number) => number.element));
    this.element.append(field("System prompt", this.#system.element), row);
    this.element.hidden = true;
  }

  refresh(): void {
    if (focused(this.#system.element) !== this.#system.element) this.#system.text = this.conversation.model.get("system");
    for (const number of this.#numbers) number.refresh();
  }

  /** Shows or hides it; returns whether it is shown. */
  toggle(): boolean {
    this.element.hidden = !this.element.hidden;
    if (!this.element.hidden) {
      this.#system.grow();
      this.#system.focus();
    }
    return !this.element.hidden;
  }
}

/** A number that may be left to the model. */
class Number {
  readonly element: HTMLElement;
  #input = make("input", "hs-input");
  #wrong = make("span", "hs-wrong");

  constructor(
    readonly conversation: Conversation,
    readonly trait: "temperature" | "max_tokens",
    name: string,
    readonly range: { min: number; max?: number; step: number },
  ) {
    this.#input.type = "text";
    this.#input.inputMode = range.step < 1 ? "decimal" : "numeric";
    this.#input.placeholder = "the model's own";
    this.#input.addEventListener("change", () => this.#take());
    this.#input.addEventListener("keydown", ({ key }) => key === "Enter" && this.#take());
    this.element = field(name, this.#input);
    this.element.append(this.#wrong);
    this.#wrong.setAttribute("role", "alert");
    this.refresh();
  }

  refresh(): void {
    if (focused(this.#input) === this.#input || this.#wrong.textContent) return;
    this.#input.value = String(this.conversation.model.get(this.trait) ?? "");
    this.#judge("");
  }

  #take(): void {
    const text = this.#input.value.trim().replace(",", ".");
    const value = text === "" ? null : +text;
    const { min, max = Infinity, step } = this.range;
    const isWrong = value !== null && !(value >= min && value <= max && (step < 1 || value % 1 === 0));
    this.#judge(isWrong ? (max === Infinity ? `a whole number from ${min}` : `a number from ${min} to ${max}`) : "");
    if (!isWrong && value !== this.conversation.model.get(this.trait)) this.conversation.set(this.trait, value);
  }

  #judge(wrong: string): void {
    say(this.#wrong, wrong);
    this.#input.setAttribute("aria-invalid", String(wrong !== ""));
  }
}

function field(name: string, input: HTMLElement): HTMLElement {
  const label = make("label", "hs-field");
  label.append(make("span", "hs-quiet", name), input);
  input.removeAttribute("aria-label");
  return label;
}
