import type { Typeset } from "./answer";
import { type Drawing, Plain, drawing } from "./drawing";
import type { Feed } from "./feed";
import { type Format, type Label, type State, running } from "./protocol";
import { scrollable } from "./scroll";

/** What is said of an end that is not the answer's own. */
const ENDS: Record<State, string> = {
  waiting: "",
  streaming: "",
  done: "",
  stopped: "stopped",
  interrupted: "interrupted: the connection broke",
  truncated: "truncated: the answer has no end",
  failed: "failed",
};

/** One model's answer: the fold of its reasoning, its text, and a status line. */
export class Lane {
  readonly element = make("section", "hs-lane");
  #fold = make("details", "hs-reasoning");
  #summary = make("summary", "");
  #thoughts = make("div", "hs-thoughts");
  #body = make("div", "hs-body jp-RenderedHTMLCommon jp-RenderedMarkdown");
  #error = make("p", "hs-error");
  #status = make("div", "hs-status");
  #time = make("span", "hs-time");
  #figures = make("span", "hs-figures");
  #word = make("span", "hs-word");
  #hint = make("span", "hs-hint");
  #stop = make("button", "hs-button hs-stop");

  #answer!: Drawing;
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
    this.#stop.type = "button";
    this.#stop.addEventListener("click", () => {
      if (this.#isStopping) return;
      this.#isStopping = true;
      this.refresh(false);
      stop();
    });
    this.#status.append(make("span", "hs-dot"), name);
    if (label.note) this.#status.append(make("span", "hs-badge", label.note));
    this.#status.append(this.#figures, this.#time, this.#word, this.#hint, this.#stop);
    this.element.append(title, this.#fold, this.#body, this.#error, this.#status);
    this.replace();
  }

  append(text: string, reasoning: string): void {
    if (this.#isEnded) return this.replace();
    this.#answer.append(text);
    this.#reasoning.append(reasoning);
  }

  /** Starts again with what the feed holds. */
  replace(): void {
    this.#isEnded = false;
    this.#thought = 0;
    this.#body.replaceChildren();
    this.#thoughts.replaceChildren();
    this.#answer = drawing(this.format, this.#body, this.failed, this.typeset);
    this.#reasoning = new Plain(this.#thoughts);
    const { text, reasoning } = this.feed.lanes[this.index]!;
    this.append(text, reasoning);
  }

  /** Draws what was added, by a portion; returns whether there is more to draw. */
  draw(): boolean {
    const { state, text } = this.feed.lanes[this.index]!;
    this.#isEnded = !running(state) && !this.feed.behind;
    if (!this.#isTouched) this.#fold.open = running(state) && !text;
    const isThinking = this.#think();
    return this.#answer.draw(this.#isEnded) || isThinking;
  }

  /** Draws the reasoning, and keeps its end in sight unless the reader has scrolled up in it. */
  #think(): boolean {
    const { reasoning, thought } = this.feed.lanes[this.index]!;
    this.#fold.hidden = !reasoning;
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
    const { state, figures, error } = this.feed.lanes[this.index]!;
    const runs = running(state) && !this.feed.lost;
    this.element.dataset.state = this.feed.lost && running(state) ? "interrupted" : state;
    say(this.#figures, figures.join(" · "));
    say(this.#word, this.#circumstance(state));
    say(this.#error, error);
    say(this.#hint, runs && !this.feed.heard && deaf ? "press ■ to stop" : "");
    if (!runs && document.activeElement === this.#stop) this.element.focus({ preventScroll: true });
    say(this.#stop, runs && this.feed.heard ? (this.#isStopping ? "stopping…" : "Stop") : "");
    this.#stop.ariaDisabled = String(this.#isStopping); // not `disabled`: the keyboard's focus would be lost
    this.#stop.ariaLabel = this.#isStopping ? "stopping" : `Stop ${this.label.label}`;
    this.tick();
  }

  /** Moves the clock that runs until something arrives; returns whether it runs. */
  tick(coarse = false): boolean {
    const { state, since } = this.feed.lanes[this.index]!;
    const runs = state === "waiting" && !this.feed.lost;
    const seconds = Math.max(0, this.feed.clock() - since) / 1000;
    say(this.#time, runs ? `${seconds.toFixed(coarse ? 0 : 1)} s …` : "");
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
