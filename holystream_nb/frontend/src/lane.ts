import type { Typeset } from "./answer";
import { Beside } from "./beside";
import { Card } from "./calls";
import { type Drawing, Plain, drawing } from "./drawing";
import type { Feed } from "./feed";
import { focused } from "./focus";
import { button } from "./keys";
import { type Answer, type Format, type Label, type State, running } from "./protocol";
import { scrollable } from "./scroll";

/** What is said of an end that is not the answer's own. */
const ENDS: Record<State, string> = {
  waiting: "",
  streaming: "",
  done: "",
  stopped: "stopped",
  interrupted: "interrupted: the connection broke",
  lost: "interrupted: the kernel ended",
  truncated: "truncated: it may be cut off",
  failed: "failed",
};

/** One model's answer: the fold of its reasoning, its text with the calls of tools where they came, a status line. */
export class Lane {
  readonly element = make("section", "hs-lane");
  #fold = make("details", "hs-reasoning");
  #summary = make("summary", "");
  #thoughts = make("div", "hs-thoughts");
  #error = make("p", "hs-error");
  #status = make("div", "hs-status");
  #time = make("span", "hs-time");
  #figures = make("span", "hs-figures");
  #word = make("span", "hs-word");
  #ending = make("span", "hs-ending");
  #beside: Beside;
  #hint = make("span", "hs-hint");
  #stop = button("hs-button hs-stop");

  /** Stretches of text, and between them the calls. */
  #parts: HTMLElement[] = [];
  #cards: Card[] = [];
  #answer!: Drawing;
  #closed: Drawing[] = [];
  #length = 0;
  #isFresh = true;
  #reasoning!: Drawing;
  #thought = 0;
  #isEnded = false;
  #isTouched = false;
  #isStopping = false;

  constructor(
    readonly index: number,
    readonly label: Label,
    readonly format: Format,
    readonly feed: Feed,
    stop: () => void,
    readonly failed: (error: unknown) => void,
    readonly answer: (call: number, answer: Answer) => void = () => undefined,
    readonly typeset: Typeset | null = null,
  ) {
    const title = make("div", "hs-title", label.label);
    title.ariaHidden = "true"; // the section is called so
    const name = make("span", "hs-label", label.label);
    name.title = label.provider;
    this.element.setAttribute("aria-label", label.label);
    this.element.tabIndex = -1; // takes the focus when Stop goes
    this.#summary.addEventListener("click", () => (this.#isTouched = true));
    scrollable(this.#thoughts, "reasoning");
    this.#fold.append(this.#summary, this.#thoughts);
    this.#stop.addEventListener("click", () => {
      if (this.#isStopping) return;
      this.#isStopping = true;
      this.refresh(false);
      stop();
    });
    this.#status.append(make("span", "hs-dot"), name);
    if (label.note) this.#status.append(make("span", "hs-badge", label.note));
    this.#status.append(this.#figures, this.#time, this.#word, this.#ending, this.#hint, this.#stop);
    this.#beside = new Beside(label.label);
    this.element.append(title, this.#fold, this.#beside.element, this.#error, this.#status);
    this.replace();
  }

  append(text: string, reasoning: string): void {
    if (this.#isEnded) return this.replace();
    this.#write(text);
    this.#reasoning.append(reasoning);
  }

  /** Adds text; where a call stands in it, or at its end, the text goes on below the call. */
  #write(text: string): void {
    const { calls } = this.feed.lanes[this.index]!;
    for (let call; (call = calls[this.#cards.length]) && call.at <= this.#length + text.length; ) {
      const before = Math.max(0, call.at - this.#length);
      this.#extend(text.slice(0, before));
      text = text.slice(before);
      this.#open(call.number);
    }
    this.#extend(text);
  }

  #extend(text: string): void {
    this.#length += text.length;
    if (this.#isFresh && this.#cards.length) text = text.replace(/^\n+/, ""); // the blank line between two rounds
    if (!text) return;
    if (this.#isFresh) this.#parts.at(-1)!.hidden = false;
    this.#isFresh = false;
    this.#answer.append(text);
  }

  /** A card after the text so far: with the one before it, if no text is between them. */
  #open(call: number): void {
    const card = new Card((answer) => this.answer(call, answer));
    const isNext = this.#isFresh && this.#cards.length > 0;
    this.#cards.push(card);
    if (isNext) return this.#parts.at(-2)!.append(card.element);
    if (this.#isFresh) this.#parts.at(-1)!.hidden = true;
    this.#closed.push(this.#answer);
    this.#add("hs-calls").append(card.element);
    this.#begin();
    this.#parts.at(-1)!.hidden = true; // until something stands below the call
  }

  #begin(): void {
    this.#isFresh = true;
    const body = this.#add("hs-body jp-RenderedHTMLCommon jp-RenderedMarkdown");
    this.#answer = drawing(this.format, body, this.failed, this.typeset);
  }

  #add(className: string): HTMLElement {
    const part = make("div", className);
    this.#parts.push(part);
    this.#beside.element.before(part);
    return part;
  }

  /** Starts again with what the feed holds. */
  replace(): void {
    this.#isEnded = false;
    this.#thought = 0;
    this.#length = 0;
    this.#closed = [];
    this.#cards = [];
    for (const part of this.#parts.splice(0)) part.remove();
    this.#begin();
    this.#thoughts.replaceChildren();
    this.#reasoning = new Plain(this.#thoughts);
    const { text, reasoning } = this.feed.lanes[this.index]!;
    this.append(text, reasoning);
  }

  /** Draws what was added, by a portion; returns whether there is more to draw. */
  draw(): boolean {
    const { state, text, calls } = this.feed.lanes[this.index]!;
    this.#isEnded = !running(state) && !this.feed.behind;
    this.#write("");
    const runs = running(state) && !this.feed.lost;
    this.#cards.forEach((card, number) => calls[number] && card.draw(calls[number], this.feed.heard, runs));
    if (!this.#isTouched) this.#fold.open = running(state) && !text && !calls.length;
    const isThinking = this.#think();
    this.#closed = this.#closed.filter((drawing) => drawing.draw(true));
    return this.#answer.draw(this.#isEnded) || this.#closed.length > 0 || isThinking;
  }

  /** Draws the reasoning, and keeps its end in sight unless the reader has scrolled up in it. */
  #think(): boolean {
    const { reasoning, thought } = this.feed.lanes[this.index]!;
    this.#fold.hidden = !/\S/.test(reasoning);
    say(this.#summary, ["Reasoning", thought].filter(Boolean).join(" · "));
    if (this.#thought === reasoning.length) return false;
    const box = this.#thoughts;
    const isFollowed = box.scrollTop + box.clientHeight >= box.scrollHeight - 1;
    const isMore = this.#reasoning.draw(false);
    if (isFollowed) box.scrollTop = box.scrollHeight;
    if (!isMore) this.#thought = reasoning.length;
    return isMore;
  }

  /** Brings the status line up to date; `deaf` when the kernel has not answered for a while. */
  refresh(deaf: boolean): void {
    const { state, figures, ending, error, sources, pictures } = this.feed.lanes[this.index]!;
    const runs = running(state) && !this.feed.lost;
    this.element.dataset.state = this.feed.lost && running(state) ? "interrupted" : state;
    say(this.#figures, figures.join(" · "));
    say(this.#word, this.#circumstance(state));
    say(this.#ending, ending);
    this.element.toggleAttribute("data-flawed", ending !== "");
    this.#beside.draw(sources, pictures);
    say(this.#error, error);
    say(this.#hint, runs && !this.feed.heard && deaf ? "press ■ to stop" : "");
    if (!runs && focused(this.#stop) === this.#stop) this.element.focus({ preventScroll: true });
    say(this.#stop, runs && this.feed.heard ? (this.#isStopping ? "stopping…" : "Stop") : "");
    this.#stop.ariaDisabled = String(this.#isStopping); // not `disabled`: the keyboard's focus would be lost
    this.#stop.ariaLabel = this.#isStopping ? "stopping" : `Stop ${this.label.label}`;
    this.tick();
  }

  /** Moves the clock that runs until something arrives; returns whether it runs. A notice has a clock of its own. */
  tick(coarse = false): boolean {
    const { state, since, figures } = this.feed.lanes[this.index]!;
    const runs = state === "waiting" && !this.feed.lost;
    const seconds = Math.max(0, this.feed.clock() - since) / 1000;
    say(this.#time, runs && !figures.length ? `${seconds.toFixed(coarse ? 0 : 1)} s …` : "");
    return runs;
  }

  #circumstance(state: State): string {
    if (!running(state)) return ENDS[state];
    if (this.feed.lost) return "the kernel has gone; what had arrived stays here";
    return this.feed.behind ? "catching up …" : "";
  }
}

/** Sets a text; an element that says nothing is hidden. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className: string,
  text = "",
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}
