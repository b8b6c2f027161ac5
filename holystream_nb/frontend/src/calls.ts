import { focused } from "./focus";
import { button } from "./keys";
import { make, say } from "./lane";
import type { Answer, Call, CallState } from "./protocol";
import { scrollable } from "./scroll";

const WORDS: Record<CallState, string> = {
  writing: "is being written …",
  asking: "waits for your answer",
  running: "running …",
  done: "",
  failed: "failed",
  refused: "not run",
  stopped: "stopped",
};

/** Arguments longer than this are unfolded while they are written. */
const LINE = 100;
/** A card may appear under a click that was meant for something else: so soon, it is no answer. In milliseconds. */
const TOO_SOON_MS = 300;

const ANSWERS: [Answer, string, string][] = [
  ["allow", "Allow", "this call"],
  ["always", "Allow always", "this tool, until this answer ends"],
  ["refuse", "Refuse", "the model is told so"],
];

/** A tool's call: its line, what it is called with and what came back, and the question whether it may run. */
export class Card {
  readonly element = make("div", "hs-call");
  #fold = make("details", "");
  #summary = make("summary", "");
  #name = make("span", "hs-call-name");
  #line = make("span", "hs-call-line");
  #word = make("span", "hs-word");
  #time = make("span", "hs-call-time");
  #arguments = make("pre", "hs-call-text");
  #result = make("pre", "hs-call-text hs-call-result");
  #error = make("p", "hs-call-error");
  #ask = make("div", "hs-ask");
  #isTouched = false;
  #isAnswered = false;
  #shown = 0;

  constructor(answer: (answer: Answer) => void) {
    this.#summary.append(make("span", "hs-dot"), this.#name, this.#line, this.#word, this.#time);
    this.#summary.addEventListener("click", () => (this.#isTouched = true));
    scrollable(this.#arguments, "arguments");
    scrollable(this.#result, "result");
    this.#fold.append(this.#summary, this.#arguments, this.#result);
    this.#ask.hidden = true;
    this.#ask.setAttribute("role", "group");
    for (const [kind, label, title] of ANSWERS) {
      const choice = button("hs-button", label);
      choice.title = title;
      choice.addEventListener("click", () => {
        if (this.#isAnswered || performance.now() - this.#shown < TOO_SOON_MS) return;
        this.#isAnswered = true;
        for (const each of this.#ask.querySelectorAll("button")) each.ariaDisabled = "true";
        answer(kind);
      });
      this.#ask.append(choice);
    }
    this.element.append(this.#fold, this.#error, this.#ask);
  }

  /** `heard` where the kernel hears an answer; `runs` while there is one. */
  draw({ name, arguments: text, state, result, error, time }: Call, heard: boolean, runs: boolean): void {
    const isLost = !runs && (state === "writing" || state === "asking" || state === "running");
    this.element.dataset.state = isLost ? "stopped" : state;
    say(this.#name, name);
    say(this.#line, text.slice(0, 2 * LINE).replace(/\s+/g, " "));
    say(this.#word, isLost ? WORDS.stopped : WORDS[state]);
    say(this.#time, time);
    say(this.#arguments, text);
    say(this.#result, result);
    say(this.#error, error);
    const asks = state === "asking" && runs && heard;
    if (!this.#isTouched) this.#fold.open = state === "asking" || (state === "writing" && text.length > LINE);
    if (asks && this.#ask.hidden) this.#shown = performance.now();
    if (!asks && this.#ask.contains(focused(this.#ask))) this.#summary.focus({ preventScroll: true });
    this.#ask.hidden = !asks;
    this.#ask.ariaLabel = `Run ${name}?`;
  }
}
