import { asking, iconButton, named, icon, toolbar, wordButton } from "./chatbutton";
import type { Conversation, Turn } from "./chatconversation";
import { typesetting } from "./chatmaths";
import { Writing } from "./chatwriting";
import { copied } from "./code";
import { make } from "./lane";
import { running } from "./protocol";
import { scrollable } from "./scroll";
import { type Surroundings, View } from "./view";

/** How long a button says that it has copied, in milliseconds. */
const SAID_MS = 1500;

/** The panel itself keeps the end in sight. */
const WITHIN: Surroundings = { around: (grow) => grow(), leave: () => {} };

/** A turn on the page: the question, and the live view of its answers; or, folded, a line of the question. */
export class TurnView {
  readonly element = make("article", "hs-turn");
  /** The reader has asked to see it: it is not folded again. */
  isWanted = false;
  #view: View | null = null;
  #asked = make("div", "hs-asked");
  #question = make("div", "hs-question");
  #tools: HTMLElement | null = null;
  #edit: HTMLButtonElement | null = null;
  #continues: HTMLButtonElement[] = [];

  constructor(
    readonly turn: Turn,
    readonly conversation: Conversation,
    readonly tell: (words: string) => void,
  ) {
    this.element.tabIndex = -1;
    this.fold();
  }

  get isFolded(): boolean {
    return this.#view === null;
  }

  /** Where it stands: how many turns come after it. */
  get #after(): number {
    return this.conversation.turns.length - 1 - this.conversation.turns.indexOf(this.turn);
  }

  place(index: number, all: number): void {
    this.element.setAttribute("aria-label", `question ${index + 1} of ${all}`);
    this.#continues.forEach((button, lane) => {
      const isChosen = this.turn.chosen === lane;
      button.setAttribute("aria-pressed", String(isChosen));
      button.lastChild!.textContent = isChosen ? "The conversation goes on with this one" : "Continue with this one";
      button.closest(".hs-lane")?.classList.toggle("hs-chosen", isChosen);
    });
  }

  fold(): void {
    this.#drop();
    const [line = ""] = this.turn.question.trim().split("\n");
    const show = wordButton("hs-folded", "", () => {
      this.isWanted = true;
      this.unfold();
      this.element.focus({ preventScroll: true });
    });
    show.append(make("span", "hs-folded-line", line.slice(0, 200)), make("span", "hs-quiet", "show"));
    this.element.replaceChildren(show);
  }

  unfold(): void {
    if (!this.isFolded) return;
    const { turn } = this;
    this.element.replaceChildren(this.#asked);
    this.#question.textContent = turn.question;
    scrollable(this.#question, "question");
    this.#edit = this.#resting(iconButton("edit", "edit and ask again", () => this.#ifResting(() => this.edit())));
    const copy = iconButton("copy", "copy the question", () => this.#copy(copy, this.#question, turn.question));
    const remove = this.#resting(iconButton("delete", "delete from here", () => {}));
    this.#asks(remove, (turns) => `Delete ${turns === 1 ? "this question" : `${turns} questions`}?`, 0, "delete");
    this.#tools = toolbar("question", this.#edit, copy, remove);
    this.#asked.replaceChildren(this.#question, this.#tools);
    const send = (message: Parameters<ConstructorParameters<typeof View>[5]>[0]) => {
      // "ready" tells a kernel that waits for a click that it will hear one; an answer that has ended waits for none.
      if (message.kind === "gone") return;
      if (message.kind === "ready" && !turn.feed.lanes.some(({ state }) => running(state))) return;
      const said = { kind: "turn", turn: turn.id, message } as const;
      if (message.kind === "painted") this.conversation.model.send(said);
      else this.conversation.say(said);
    };
    this.#view = new View(this.element, turn.labels, turn.format, turn.feed, turn.voice, send, typesetting, WITHIN);
    this.#furnish();
  }

  remove(): void {
    this.#drop();
    this.element.remove();
  }

  /** Turns the question into a field; Escape turns it back. */
  edit(): void {
    this.unfold();
    const done = (focus: HTMLElement | null) => {
      this.#asked.replaceChildren(this.#question, this.#tools!);
      focus?.focus();
    };
    const submit = () => {
      const text = writing.text.trim();
      if (!text) return;
      this.#ifResting(() => {
        done(this.element);
        this.conversation.say({ kind: "edit", turn: this.turn.id, text });
      });
    };
    const writing = new Writing("the question", submit);
    writing.element.addEventListener("keydown", ({ key }) => key === "Escape" && done(this.#edit));
    const buttons = make("div", "hs-edit-buttons");
    const after = this.#after;
    if (after) buttons.append(make("span", "hs-quiet", `the ${after === 1 ? "question" : `${after} questions`} after it will be deleted`));
    buttons.append(
      wordButton("hs-button", "Cancel", () => done(this.#edit)),
      wordButton("hs-button hs-strong", "Ask again", submit),
    );
    const box = make("div", "hs-editing");
    box.append(writing.element, buttons);
    this.#asked.replaceChildren(box);
    writing.text = this.turn.question;
    writing.focus();
  }

  /** Under every answer its tools, under several those of all. */
  #furnish(): void {
    const { turn } = this;
    const again = () => this.#asks(this.#resting(iconButton("regenerate", "ask again", () => {})), regenerating, 1, "regenerate");
    const lanes = [...this.element.querySelectorAll<HTMLElement>(".hs-lane")];
    const isCompared = lanes.length > 1;
    this.#continues = [];
    lanes.forEach((lane, index) => {
      const shown = () => lane.querySelector(".hs-body") ?? lane;
      const copy = iconButton("copy", "copy the answer", () => this.#copy(copy, shown(), turn.feed.lanes[index]!.text));
      const foot = toolbar(`answer of ${turn.labels[index]?.label}`, ...(isCompared ? [copy, this.#choice(index)] : [copy, again()]));
      foot.classList.add("hs-foot");
      lane.append(foot);
      const retry = this.#resting(wordButton("hs-button hs-retry", "Retry", () => {}));
      this.#asks(retry, regenerating, 1, "regenerate");
      lane.querySelector(":scope > .hs-error")!.after(retry);
    });
    if (!isCompared) return;
    const foot = toolbar("all answers", again());
    foot.classList.add("hs-foot");
    this.element.querySelector(".hs-verdict")!.after(foot);
  }

  #choice(lane: number): HTMLElement {
    const button = this.#resting(
      wordButton("hs-button hs-continue", "", () =>
        this.#ifResting(() => this.conversation.say({ kind: "choose", turn: this.turn.id, lane })),
      ),
    );
    button.append(icon("done"), "");
    this.#continues.push(button);
    return button;
  }

  /** Lets a button cut the conversation here; it asks where more than `harmless` turns would go. */
  #asks(button: HTMLButtonElement, question: (turns: number) => string, harmless: number, kind: "delete" | "regenerate"): HTMLButtonElement {
    const turns = () => this.#after + 1;
    const act = () => this.#ifResting(() => this.conversation.say({ kind, turn: this.turn.id }));
    asking(button, () => (turns() > harmless ? question(turns()) : ""), act, this.tell);
    return button;
  }

  /** What changes the conversation waits until nothing is written in it. */
  #resting(button: HTMLButtonElement): HTMLButtonElement {
    button.classList.add("hs-rests");
    button.setAttribute("aria-disabled", String(this.conversation.isStreaming));
    return button;
  }

  #ifResting(act: () => void): void {
    if (this.conversation.lost) this.tell("The kernel has gone.");
    else if (this.conversation.isStreaming) this.tell("An answer is being written: stop it first.");
    else act();
  }

  async #copy(button: HTMLButtonElement, shown: Element, text: string): Promise<void> {
    const words = button.title;
    const isCopied = await copied(shown, text);
    button.replaceChildren(icon(isCopied ? "done" : "copy"));
    named(button, isCopied ? "copied" : "press Ctrl+C");
    this.tell(isCopied ? "Copied." : "Press Ctrl+C to copy.");
    setTimeout(() => {
      button.replaceChildren(icon("copy"));
      named(button, words);
    }, SAID_MS);
  }

  #drop(): void {
    this.#view?.remove();
    this.#view = null;
    this.#continues = [];
  }
}

function regenerating(turns: number): string {
  return `Ask again, and delete the ${turns === 2 ? "question" : `${turns - 1} questions`} after it?`;
}
