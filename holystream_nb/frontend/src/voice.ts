import type { Feed } from "./feed";
import { type Label, type State, running } from "./protocol";

/** How long words stay where a screen reader can find them, in milliseconds. */
const STAY_MS = 10_000;

/** Tells those who listen that an answer has started and how it has ended; they do not hear its tokens. */
export class Voice {
  #region = region();
  #said: (State | "")[];
  #asked = new Set<string>();

  constructor(
    readonly feed: Feed,
    readonly labels: Label[],
  ) {
    this.#said = feed.lanes.map(({ state }) => (running(state) ? "" : state));
  }

  /** Says what is new, once, however many views there are. */
  speak(): void {
    this.feed.lanes.forEach(({ state, text, figures, ending, error, calls }, index) => {
      for (const { number, name, state } of calls) {
        if (state !== "asking" || this.#asked.has(`${index} ${number}`)) continue;
        this.#asked.add(`${index} ${number}`);
        this.#say(index, `${name} waits for your answer`);
      }
      if (this.#said[index] === "" && text) {
        this.#said[index] = "streaming";
        this.#say(index, "answer started");
      }
      const end = this.feed.lost && running(state) ? "interrupted" : state;
      if (running(end) || this.#said[index] === end) return;
      this.#said[index] = end;
      const how = [end === "done" ? "answer finished" : end, ending].filter(Boolean).join(", ");
      this.#say(index, [how, error || figures.join(", ")].filter(Boolean).join(": "));
    });
  }

  #say(lane: number, words: string): void {
    const line = document.createElement("div");
    line.textContent = `${this.labels[lane]?.label}: ${words}`;
    this.#region.append(line);
    setTimeout(() => line.remove(), STAY_MS);
  }
}

/** One for the whole page, outside every view: what is said at the end must outlive the view. */
function region(): HTMLElement {
  const found = document.querySelector<HTMLElement>("body > .hs-voice");
  if (found) return found;
  const made = document.createElement("div");
  made.className = "hs-voice";
  made.setAttribute("role", "status");
  made.setAttribute("aria-atomic", "false");
  // The view's style sheet may be out of reach here.
  Object.assign(made.style, { position: "absolute", width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)" });
  return document.body.appendChild(made);
}
