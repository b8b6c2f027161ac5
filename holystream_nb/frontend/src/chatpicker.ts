import { icon, named, wordButton } from "./chatbutton";
import type { Conversation } from "./chatconversation";
import type { Offer } from "./chatprotocol";
import { focused } from "./focus";
import { make, say } from "./lane";

/** So many models can answer one question. */
const MOST = 4;
/** So many offers are listed at once. */
const LISTED = 40;

let count = 0;

/**
 * Whom the next question goes to: a chip for every model, and a box to search all of them.
 *
 * The box is a combobox with a list (https://www.w3.org/WAI/ARIA/apg/patterns/combobox/): the focus stays in it.
 */
export class Picker {
  readonly chips = make("div", "hs-chips");
  readonly element = make("div", "hs-picker");
  #input = make("input", "hs-input");
  #list = make("ul", "hs-offers");
  #more = make("p", "hs-quiet");
  #shown: string[] = [];
  #offers: Offer[] = [];
  #catalogue: Offer[] = [];
  #opened = new Set<string>();
  #active = -1;
  /** Which chip is chosen for; as many as there are: one more. */
  #at = 0;

  constructor(readonly conversation: Conversation) {
    this.chips.setAttribute("role", "group");
    this.chips.setAttribute("aria-label", "models");
    const id = `hs-offers-${++count}`;
    this.#list.id = id;
    this.#list.setAttribute("role", "listbox");
    this.#list.setAttribute("aria-label", "models");
    this.#input.type = "text";
    this.#input.placeholder = "Search models";
    this.#input.spellcheck = false;
    this.#input.autocomplete = "off";
    for (const [name, value] of Object.entries({ "aria-label": "search models", "aria-controls": id, "aria-autocomplete": "list" })) {
      this.#input.setAttribute(name, value);
    }
    this.#input.setAttribute("role", "combobox");
    this.#input.addEventListener("input", () => this.#search());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the box
    this.#list.addEventListener("click", (event) => {
      const option = (event.target as Element).closest("li");
      if (option) this.#choose([...this.#list.children].indexOf(option));
    });
    this.element.addEventListener("focusout", ({ relatedTarget }) => {
      if (!this.element.contains(relatedTarget as Node | null)) this.#close(false);
    });
    this.element.append(this.#input, this.#list, this.#more);
    this.element.hidden = true;
  }

  get #models(): string[] {
    return this.conversation.model.get("models");
  }

  refresh(): void {
    if (!this.element.hidden && this.conversation.model.get("catalogue") !== this.#catalogue) this.#search();
    const models = this.#models;
    if (JSON.stringify(models) === JSON.stringify(this.#shown)) return;
    const had = [...this.chips.querySelectorAll("button")].indexOf(focused(this.chips) as HTMLButtonElement);
    this.#shown = [...models];
    const chips = models.map((model, at) => this.#chip(model, at));
    if (models.length < MOST) {
      const compare = wordButton("hs-chip hs-compare", "Compare", () => this.open(models.length));
      compare.prepend(icon("add"));
      compare.title = "ask one more model the same question";
      chips.push(compare);
    }
    this.chips.replaceChildren(...chips);
    if (had >= 0) [...this.chips.querySelectorAll("button")].at(Math.min(had, 2 * models.length - 1))?.focus();
  }

  /** Shows the box, to choose another model for a chip or, beyond the last, one more. */
  open(at: number): void {
    if (!this.element.hidden && at === this.#at) return this.#close(true);
    this.#at = at;
    this.element.hidden = false;
    this.#input.value = "";
    this.#input.setAttribute("aria-expanded", "true");
    this.#search();
    this.#input.focus();
  }

  #chip(model: string, at: number): HTMLElement {
    const chip = make("span", "hs-chip");
    const name = wordButton("hs-chip-name", "", () => this.open(at));
    name.append(make("span", "", model), icon("choose"));
    name.title = "choose another model";
    name.setAttribute("aria-haspopup", "listbox");
    chip.append(name);
    if (this.#models.length > 1) {
      const drop = wordButton("hs-chip-drop", "", () => this.#set(this.#models.filter((_, index) => index !== at)));
      drop.append(icon("close"));
      named(drop, `do not ask ${model}`);
      chip.append(drop);
    }
    return chip;
  }

  #set(models: string[]): void {
    this.conversation.set("models", models);
    this.refresh();
  }

  #search(): void {
    const query = this.#input.value.trim();
    this.#look(query);
    const words = query.toLowerCase().split(/\s+/);
    const others = this.#models.filter((_, index) => index !== this.#at);
    this.#catalogue = this.conversation.model.get("catalogue");
    const found = this.#catalogue.filter(({ value, provider, note }) => {
      const all = `${value} ${provider} ${note}`.toLowerCase();
      return !others.includes(value) && words.every((word) => all.includes(word));
    });
    const first = found.filter(({ value }) => value.toLowerCase().startsWith(words[0]!));
    this.#offers = [...new Set([...(query ? first : []), ...found])].slice(0, LISTED);
    const isNew = query && !/\s/.test(query) && !others.includes(query) && !found.some(({ value }) => value === query);
    if (isNew) this.#offers.push({ value: query, provider: "", note: "as written" });
    const rest = found.length - LISTED;
    say(this.#more, rest > 0 ? `and ${rest} more: type to find them` : this.#offers.length ? "" : "no such model");
    this.#list.replaceChildren(...this.#offers.map((offer, index) => this.#option(offer, index)));
    this.#activate(query ? 0 : this.#offers.findIndex(({ value }) => value === this.#models[this.#at]));
  }

  /** A provider's name with a colon opens it, once: its service is asked which models it has. */
  #look(query: string): void {
    const provider = /^([\w-]+):/.exec(query)?.[1]?.toLowerCase();
    if (!provider || this.#opened.has(provider)) return;
    this.#opened.add(provider);
    this.conversation.say({ kind: "open", provider });
  }

  #option({ value, provider, note }: Offer, index: number): HTMLElement {
    const option = make("li", "hs-offer");
    option.id = `${this.#list.id}-${index}`;
    option.setAttribute("role", "option");
    option.append(make("span", "hs-offer-name", value), make("span", "hs-quiet", [provider, note].filter(Boolean).join(" · ")));
    return option;
  }

  #activate(index: number): void {
    this.#list.children[this.#active]?.removeAttribute("aria-selected");
    this.#active = this.#offers.length ? Math.min(index, this.#offers.length - 1) : -1;
    const option = this.#list.children[this.#active];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView?.({ block: "nearest" });
    this.#input.setAttribute("aria-activedescendant", option?.id ?? "");
  }

  #key(event: KeyboardEvent): void {
    const last = this.#offers.length - 1;
    const to = { ArrowDown: this.#active >= last ? 0 : this.#active + 1, ArrowUp: this.#active <= 0 ? last : this.#active - 1 }[event.key];
    if (to !== undefined) this.#activate(to);
    else if (event.key === "Enter" && !event.isComposing) this.#choose(this.#active);
    else if (event.key === "Escape") this.#close(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #choose(index: number): void {
    const offer = this.#offers[index];
    if (!offer) return;
    const models = [...this.#models];
    models[this.#at] = offer.value;
    this.#close(true);
    this.#set(models);
  }

  /** Hides the box; the focus goes back to where it came from. */
  #close(back: boolean): void {
    if (this.element.hidden) return;
    if (back) this.chips.querySelectorAll<HTMLElement>(".hs-chip-name, .hs-compare")[this.#at]?.focus();
    this.element.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#list.replaceChildren();
  }
}
