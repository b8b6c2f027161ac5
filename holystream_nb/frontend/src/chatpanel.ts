import { asking, icon, iconButton, named, toolbar, wordButton } from "./chatbutton";
import type { Conversation, Turn } from "./chatconversation";
import { End } from "./chatend";
import { Picker } from "./chatpicker";
import { Settings } from "./chatsettings";
import { TurnView } from "./chatturn";
import { Writing } from "./chatwriting";
import { focused } from "./focus";
import { NO_SHORTCUTS } from "./keys";
import { make, say } from "./lane";
import { word } from "./line";
import { scrollable } from "./scroll";

/** So many of the last turns are shown whole; those before are a line each, until the reader asks for them. */
export const WHOLE = 24;
/** So many have a line; those before stand behind one button, which gives as many more theirs. */
export const LINES = 100;
/** So many are drawn in one go. */
const AT_ONCE = 3;
/** A kernel that has not answered for this long is busy, in milliseconds. */
const BUSY_MS = 1500;
/** How long a passing hint stays, in milliseconds. */
const HINT_MS = 6000;

const KEYS = "Enter sends · Shift+Enter begins a line · ↑ edits the last question";

/** A view of the conversation: a header, the turns, and the composer. */
export class Panel {
  #root = make("section", "holystream hs-chat");
  #title = make("span", "hs-chat-title");
  #badge = make("span", "hs-badge");
  #total = make("span", "hs-total");
  #log = make("div", "hs-log");
  #list = make("div", "hs-turns");
  #empty = make("div", "hs-empty");
  #pending = make("div", "hs-asked hs-pending");
  #said = make("div", "hs-said");
  #saidText = make("span", "");
  #stale = make("div", "hs-said hs-stale");
  #trouble = make("p", "hs-error");
  #hint = make("p", "hs-keys");
  #writing: Writing;
  #send: HTMLButtonElement;
  #picker: Picker;
  #settings: Settings;
  #examples: string[] = [];

  #views = new Map<Turn, TurnView>();
  #lines = LINES;
  #earlier = wordButton("hs-folded hs-earlier", "", () => this.#guarded(() => this.#showEarlier()));
  #version = -1;
  #isPending = false;
  #isStreaming: boolean | null = null;
  #end = new End(this.#log, this.#list);
  #composer = make("div", "hs-composer");
  #isComposerInSight = false;
  #sight = new IntersectionObserver((seen) => (this.#isComposerInSight = seen.at(-1)!.intersectionRatio > 0.9), { threshold: [0, 0.91] });
  #growth = new ResizeObserver(() => this.#stay());
  #unfolding: ReturnType<typeof setTimeout> | undefined;
  #busy: ReturnType<typeof setTimeout>;
  #passing: ReturnType<typeof setTimeout> | undefined;
  #marked: Element | null = null;
  #unwatch: () => void;
  #id = word();

  constructor(
    el: HTMLElement,
    readonly conversation: Conversation,
  ) {
    this.#picker = new Picker(conversation);
    this.#settings = new Settings(conversation);
    this.#writing = new Writing("your question", () => this.#submit(), () => conversation.write(this.#writing.text));
    this.#writing.element.addEventListener("keydown", (event) => this.#recall(event));
    this.#send = iconButton("send", "send", () => this.#press());
    this.#send.classList.add("hs-send");
    this.#root.setAttribute("role", "region");
    this.#root.append(this.#header(), this.#settings.element, this.#log, ...this.#notices(), this.#picker.element, this.#composer);
    this.#log.append(this.#list);
    scrollable(this.#log, "conversation");
    this.#log.setAttribute("role", "log");
    this.#log.setAttribute("aria-live", "off"); // starts and ends are said, not every token
    this.#pending.append(make("div", "hs-question"), make("span", "hs-quiet", "waits for the kernel"));
    this.#furnishComposer();
    el.append(this.#root);
    this.#sight.observe(this.#composer);
    this.#growth.observe(this.#root);
    this.#keepKeys();
    this.#busy = setTimeout(() => this.#refresh(), BUSY_MS);
    this.#unwatch = conversation.watch(() => this.#guarded(() => this.#refresh()));
    this.#guarded(() => this.#refresh());
    conversation.appeared(this.#id);
  }

  remove(): void {
    this.#unwatch();
    this.#end.leave();
    this.#sight.disconnect();
    this.#growth.disconnect();
    for (const timer of [this.#busy, this.#unfolding, this.#passing]) clearTimeout(timer);
    for (const view of this.#views.values()) view.remove();
    removeEventListener("keydown", this.#pass, { capture: true });
    this.#root.remove();
    this.conversation.left(this.#id);
  }

  #header(): HTMLElement {
    const { conversation } = this;
    const head = make("header", "hs-head");
    const settings = iconButton("settings", "settings", () => {
      settings.setAttribute("aria-expanded", String(this.#settings.toggle()));
    });
    settings.setAttribute("aria-expanded", "false");
    const save = iconButton("save", "save as a Markdown file", () => conversation.say({ kind: "save_copy" }));
    const begin = iconButton("begin", "new conversation", () => {});
    const question = () => {
      if (!conversation.turns.length) return "";
      return conversation.model.get("is_kept") ? "Begin a new one? This one is kept." : "Begin a new one? This one is not kept.";
    };
    asking(begin, question, () => this.#begin(), (words) => this.#tell(words));
    const tools = toolbar("panel", settings, save, begin);
    head.append(this.#title, this.#badge, this.#total, tools);
    return head;
  }

  #notices(): HTMLElement[] {
    const { conversation } = this;
    this.#trouble.setAttribute("role", "alert");
    this.#trouble.hidden = true;
    this.#saidText.setAttribute("role", "status");
    this.#said.append(
      this.#saidText,
      iconButton("close", "dismiss", () => {
        conversation.dismiss();
        this.#writing.focus();
      }),
    );
    this.#stale.append(
      make("span", "", "The page was loaded again: the saved copy under this panel is no longer brought up to date."),
      wordButton("hs-button", "Save copy", () => conversation.say({ kind: "save_copy" })),
    );
    this.#hint.setAttribute("role", "status");
    return [this.#stale, this.#said, this.#trouble];
  }

  #furnishComposer(): void {
    const row = make("div", "hs-composer-row");
    row.append(this.#picker.chips, this.#send);
    const field = make("div", "hs-composer-field");
    field.append(this.#writing.element, row);
    field.addEventListener("click", ({ target }) => (target === field || target === row) && this.#writing.focus());
    this.#composer.append(field, this.#hint);
  }

  /** What the reader writes in does not leave the window because an answer above it has grown. */
  #stay(): void {
    if (!this.#isComposerInSight || !this.#composer.contains(focused(this.#composer))) return;
    this.#composer.scrollIntoView({ block: "nearest" });
  }

  #refresh(): void {
    const { conversation } = this;
    const { model } = conversation;
    this.#root.setAttribute("aria-label", model.get("title") || "chat");
    say(this.#title, model.get("title") || "Chat");
    say(this.#badge, model.get("note"));
    say(this.#total, model.get("total"));
    if (this.#version !== conversation.version) this.#arrange();
    this.#wait();
    this.#invite();
    this.#rest();
    this.#settings.refresh();
    this.#picker.refresh();
    this.#notify();
    this.#compose();
  }

  /** Brings the turns on the page into line with those of the conversation. */
  #arrange(): void {
    const { turns, version } = this.conversation;
    this.#version = version;
    const kept = new Set(turns);
    const active = focused(this.#root);
    for (const [turn, view] of this.#views) {
      if (kept.has(turn)) continue;
      if (view.element.contains(active)) this.#writing.focus();
      view.remove();
      this.#views.delete(turn);
    }
    const lined = turns.length - WHOLE - this.#lines;
    let before: Element | null = null;
    let hidden = 0;
    turns.forEach((turn, index) => {
      let view = this.#views.get(turn);
      if (index < lined && !view?.isWanted && !view?.element.contains(active)) {
        hidden++;
        view?.remove();
        this.#views.delete(turn);
        return;
      }
      if (!view) {
        view = new TurnView(turn, this.conversation, (words) => this.#tell(words));
        this.#views.set(turn, view);
      }
      const next: Element | null = before ? before.nextElementSibling : this.#list.firstElementChild;
      if (next !== view.element) this.#list.insertBefore(view.element, next);
      before = view.element;
      const isOld = index < turns.length - WHOLE;
      if (isOld && !view.isFolded && !view.isWanted && !view.element.contains(active)) view.fold();
      view.place(index, turns.length);
    });
    say(this.#earlier, hidden ? `${hidden} earlier question${hidden === 1 ? "" : "s"} · show` : "");
    if (!hidden) this.#earlier.remove();
    else if (!this.#earlier.isConnected) this.#list.before(this.#earlier);
    this.#unfold();
  }

  /** What the reader sees stays where it is. */
  #showEarlier(): void {
    const next = this.#list.firstElementChild as HTMLElement;
    const { top } = next.getBoundingClientRect();
    this.#lines += LINES;
    this.#arrange();
    if (!this.#earlier.isConnected) next.focus({ preventScroll: true });
    this.#log.scrollTop += next.getBoundingClientRect().top - top;
  }

  /** Unfolds the last turns, the newest first, a few at a time: a long conversation does not hold up the page. */
  #unfold(): void {
    clearTimeout(this.#unfolding);
    const { turns } = this.conversation;
    const waiting = turns.slice(-WHOLE).filter((turn) => this.#views.get(turn)?.isFolded);
    for (const turn of waiting.slice(-AT_ONCE)) {
      this.#views.get(turn)!.unfold();
      this.#views.get(turn)!.place(turns.indexOf(turn), turns.length);
    }
    if (waiting.length <= AT_ONCE) return;
    this.#unfolding = setTimeout(() => this.#guarded(() => this.#unfold()));
  }

  /** The question that is on its way. */
  #wait(): void {
    const { pending } = this.conversation;
    if (pending && !this.#isPending) {
      this.#pending.firstElementChild!.textContent = pending;
      this.#list.after(this.#pending);
      this.#end.reach();
    } else if (!pending && this.#isPending) {
      this.#pending.remove();
      this.#end.reach(); // one has asked: the answer is what is read next
    }
    this.#isPending = pending !== "";
  }

  /** What is there before there is a conversation. */
  #invite(): void {
    const { turns, pending, model } = this.conversation;
    const isEmpty = !turns.length && !pending;
    this.#root.classList.toggle("hs-is-empty", isEmpty);
    if (!isEmpty) {
      if (this.#empty.contains(focused(this.#root))) this.#writing.focus();
      return this.#empty.remove();
    }
    const examples = model.get("examples");
    if (this.#empty.isConnected && examples.join("\n") === this.#examples.join("\n")) return;
    this.#examples = [...examples];
    this.#empty.replaceChildren(
      make("p", "hs-empty-title", "What would you like to know?"),
      ...examples.map((example) =>
        wordButton("hs-example", example, () => {
          this.conversation.write(example);
          this.#writing.focus();
        }),
      ),
    );
    this.#log.prepend(this.#empty);
  }

  /** What may not be done while an answer is written. */
  #rest(): void {
    const { isStreaming } = this.conversation;
    if (isStreaming === this.#isStreaming) return;
    this.#isStreaming = isStreaming;
    this.#root.classList.toggle("hs-streaming", isStreaming);
    for (const button of this.#log.querySelectorAll(".hs-rests")) button.setAttribute("aria-disabled", String(isStreaming));
  }

  #notify(): void {
    const { said, heard, lost, model, page } = this.conversation;
    const isBusy = !heard && !lost && this.#isOverdue();
    const words = lost
      ? `The kernel has gone. ${model.get("is_kept") ? "Run the cell again to go on." : "What had arrived stays here until the cell is run again."}`
      : (said?.text ?? (isBusy ? "The kernel is busy: what you send is answered as soon as it is free." : ""));
    say(this.#saidText, words);
    if (!words && this.#said.contains(focused(this.#root))) this.#writing.focus();
    this.#said.hidden = !words;
    this.#said.classList.toggle("hs-bad", lost || said?.level === "error");
    (this.#said.lastElementChild as HTMLElement).hidden = lost || !said;
    this.#stale.hidden = lost || !model.get("stale").includes(page);
  }

  #compose(): void {
    const { isStreaming, isStopping, lost, draft, model } = this.conversation;
    const models = model.get("models");
    this.#writing.text = draft;
    this.#writing.element.placeholder = models.length > 1 ? `Ask ${models.length} models` : `Ask ${models[0] ?? ""}`;
    const name = isStreaming ? (isStopping ? "stopping…" : "stop") : "send";
    if (this.#send.title !== name) {
      named(this.#send, name);
      this.#send.replaceChildren(icon(isStreaming ? "stop" : "send"));
    }
    const isOff = isStreaming ? isStopping : lost || !draft.trim();
    this.#send.setAttribute("aria-disabled", String(isOff)); // not `disabled`: the keyboard's focus would be lost
    if (!this.#passing) say(this.#hint, KEYS);
  }

  #press(): void {
    const { isStreaming, isStopping } = this.conversation;
    if (!isStreaming) return this.#submit();
    if (!isStopping) this.conversation.stop();
    this.#writing.focus();
  }

  #submit(): void {
    const { conversation } = this;
    const text = this.#writing.text.trim();
    if (!text) return;
    if (conversation.lost) this.#tell("The kernel has gone: run the cell again.");
    else if (conversation.isStreaming) this.#tell("An answer is being written: wait for its end, or stop it.");
    else {
      conversation.ask(text);
      this.#writing.focus();
    }
  }

  #begin(): void {
    const { conversation } = this;
    if (!conversation.turns.length) return;
    if (conversation.isStreaming) this.#tell("An answer is being written: stop it first.");
    else conversation.say({ kind: "begin_anew" });
  }

  /** In an empty composer, the arrow up goes to the last question. */
  #recall(event: KeyboardEvent): void {
    const { key, shiftKey, ctrlKey, altKey, metaKey, isComposing } = event;
    const last = this.conversation.turns.at(-1);
    if (key !== "ArrowUp" || this.#writing.text || !last || isComposing) return;
    if (shiftKey || ctrlKey || altKey || metaKey || this.conversation.isStreaming) return;
    event.preventDefault();
    this.#views.get(last)?.edit();
  }

  /** A hint that passes. */
  #tell(words: string): void {
    clearTimeout(this.#passing);
    say(this.#hint, words);
    this.#hint.classList.add("hs-telling");
    this.#passing = setTimeout(() => {
      this.#passing = undefined;
      this.#hint.classList.remove("hs-telling");
      say(this.#hint, KEYS);
    }, HINT_MS);
  }

  #since = performance.now();

  #isOverdue(): boolean {
    return performance.now() - this.#since >= BUSY_MS;
  }

  /**
   * JupyterLab's shortcuts stay outside, where one letter deletes a cell; saving the notebook works here too.
   *
   * JupyterLab hears keys when they bubble up, Notebook 7 before they come here: there the mark must be on the very
   * element that has the focus, since a shortcut for `:focus` fits it before any mark around it is seen.
   */
  #keepKeys(): void {
    this.#root.addEventListener("keydown", (event) => saves(event) || event.stopPropagation());
    addEventListener("keydown", this.#pass, { capture: true });
  }

  #pass = (event: KeyboardEvent): void => {
    this.#marked?.removeAttribute(NO_SHORTCUTS);
    this.#marked = null;
    const target = event.target as Element;
    if (!this.#root.contains(target) || saves(event)) return;
    this.#marked = target;
    target.setAttribute(NO_SHORTCUTS, "true");
  };

  /** Our own mistakes are shown where the reader looks. */
  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      console.error(error);
      this.#trouble.textContent = `The panel failed (${error instanceof Error ? error.message : error}).`;
      this.#trouble.hidden = false;
    }
  }
}

function saves({ ctrlKey, metaKey, key }: KeyboardEvent): boolean {
  return (ctrlKey || metaKey) && key.toLowerCase() === "s";
}
