import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import chat from "../src/chat";
import type { Model } from "../src/chatconversation";
import { LINES, WHOLE } from "../src/chatpanel";
import type { FromPanel, PanelTraits, ToPanel, Turn } from "../src/chatprotocol";
import type { Numbered } from "../src/line";
import type { Label, LaneState, State } from "../src/protocol";

const standing = { figures: [], ending: "", error: "", elapsed_ms: 0, units: 0, thought: "" };
const A: Label = { label: "model-a", provider: "simulator", note: "simulator" };
const B: Label = { label: "model-b", provider: "holysheep", note: "" };

function answer(text: string, state: State = "done", more: Partial<LaneState> = {}): LaneState {
  return { ...standing, text, reasoning: "", state, ...more };
}

function turn(id: string, question: string, answers = [answer(`answer to ${question}`)], more: Partial<Turn> = {}): Turn {
  const lanes = [A, B].slice(0, answers.length);
  return { id, question, lanes, format: "markdown", keyframe: { seq: 0, lanes: answers, verdict: "", whole: answers.every(({ state }) => state !== "waiting" && state !== "streaming") }, chosen: -1, ...more };
}

const offer = (value: string, provider = "holysheep", note = "") => ({ value, provider, note });

/** A kernel and a page without Jupyter between them. */
class Kernel implements Model {
  sent: ToPanel[] = [];
  traits: PanelTraits = {
    models: ["model-a"],
    system: "",
    temperature: null,
    max_tokens: null,
    catalogue: [offer("model-a", "simulator"), offer("model-b"), offer("model-c"), offer("other:model-b", "other"), offer("tiny-d")],
    is_streaming: false,
    total: "",
    examples: ["First example", "Second example", "Third example"],
    stale: [],
    title: "Panel",
    note: "simulator",
    told: 0,
    is_kept: true,
    panel: "p",
  };
  heard: Record<string, number> = {};
  hears = false;
  seq = 0;
  #module = chat();
  #callbacks = new Map<string, ((message: FromPanel) => void)[]>();

  constructor(traits: Partial<PanelTraits> = {}) {
    Object.assign(this.traits, traits);
    this.#module.initialize({ model: this });
  }

  get<Name extends keyof PanelTraits>(trait: Name): PanelTraits[Name] {
    return this.traits[trait];
  }

  set<Name extends keyof PanelTraits>(trait: Name, value: PanelTraits[Name]): void {
    this.change(trait, value);
  }

  /** What the page has set, in order. */
  get saved(): object[] {
    return this.sent.filter(({ kind }) => kind === "set").map(({ kind: _, ...settings }) => settings);
  }

  /** The kernel sets a trait. */
  change<Name extends keyof PanelTraits>(trait: Name, value: PanelTraits[Name]): void {
    this.traits[trait] = value;
    this.fire(`change:${trait}`);
  }

  on(event: string, callback: (message: FromPanel) => void): void {
    this.#callbacks.set(event, [...(this.#callbacks.get(event) ?? []), callback]);
  }

  /** A question is heard when its turn is added; all else at once, after the kernel has first spoken. */
  send(message: ToPanel & Partial<Numbered>): void {
    const { from, number, ...plain } = message;
    if (message.kind === "have") return;
    this.sent.push(plain as ToPanel);
    if (number) this.heard[from!] = number;
    if (number && this.hears && message.kind !== "send") this.beat();
  }

  beat(): void {
    this.hears = true;
    this.receive({ kind: "beat", seq: this.seq, told: this.traits.told, turn: "", at: 0, heard: { ...this.heard } });
  }

  says(text: string, level: "info" | "error"): void {
    this.receive({ kind: "said", seq: ++this.seq, text, level });
  }

  fire(event: string, message?: FromPanel): void {
    for (const callback of this.#callbacks.get(event) ?? []) callback(message!);
  }

  receive(message: FromPanel): void {
    this.fire("msg:custom", message);
  }

  holds(...turns: Turn[]): void {
    this.receive({ kind: "conversation", seq: ++this.seq, turns, said: null, told: this.traits.told, state: {} });
    this.beat();
  }

  adds(added: Turn): void {
    this.receive({ kind: "added", seq: ++this.seq, turn: added });
    this.beat();
  }

  cuts(from: number): void {
    this.receive({ kind: "cut", seq: ++this.seq, from });
  }

  delta(id: string, seq: number, text: string, lane = 0): void {
    this.receive({ kind: "turn", turn: id, message: { kind: "delta", seq, lane, text, reasoning: "" } });
  }

  status(id: string, seq: number, state: State, more: Partial<LaneState> = {}): void {
    this.receive({ kind: "turn", turn: id, message: { kind: "status", seq, lane: 0, ...standing, state, ...more } });
  }

  /** What was sent since, but for the views' own coming and going. */
  get news(): ToPanel[] {
    const comings = ["ready", "missed", "gone"];
    const news = this.sent.filter((sent) => !comings.includes(sent.kind) && !(sent.kind === "turn" && sent.message.kind === "ready"));
    this.sent = [];
    return news;
  }

  render(parent: Node = document.body): View {
    const el = document.createElement("div");
    parent.appendChild(el);
    return new View(el, this.#module.render({ el }));
  }
}

class View {
  constructor(
    readonly el: HTMLElement,
    readonly remove: () => void,
  ) {}

  find<Type extends HTMLElement = HTMLElement>(selector: string): Type {
    const found = this.el.querySelector<Type>(selector);
    assert.ok(found, `there is no ${selector}`);
    return found;
  }

  all(selector: string): HTMLElement[] {
    return [...this.el.querySelectorAll<HTMLElement>(selector)];
  }

  /** The button of this name, the last of them. */
  button(name: string): HTMLButtonElement {
    const found = this.all("button").filter((button) => [button.title, button.textContent].includes(name)).at(-1);
    assert.ok(found, `there is no button ${name}`);
    return found as HTMLButtonElement;
  }

  get composer(): HTMLTextAreaElement {
    return this.find<HTMLTextAreaElement>(".hs-composer textarea");
  }

  get questions(): string[] {
    return this.all(".hs-turn .hs-question").map((question) => question.textContent!);
  }

  get answers(): string[] {
    return this.all(".hs-turn .hs-body").map((body) => body.textContent!.trim());
  }

  get hint(): string {
    return this.find(".hs-keys").textContent!;
  }

  get said(): string {
    const said = this.find(".hs-said:not(.hs-stale)");
    return said.hidden ? "" : said.textContent!;
  }
}

function write(field: HTMLTextAreaElement | HTMLInputElement, text: string): void {
  field.focus();
  field.value = text;
  field.dispatchEvent(new window.Event("input", { bubbles: true }));
}

function press(target: Element, key: string, more: KeyboardEventInit = {}): boolean {
  return target.dispatchEvent(new window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
}

const frame = () => sleep(60);

/** A panel with a view, and its end. */
async function panel(act: (kernel: Kernel, view: View) => Promise<void> | void, traits: Partial<PanelTraits> = {}): Promise<void> {
  const kernel = new Kernel(traits);
  const view = kernel.render();
  try {
    await act(kernel, view);
    const trouble = view.all(".hs-error").find(({ textContent }) => /failed \(/.test(textContent!));
    assert.equal(trouble?.textContent, undefined);
  } finally {
    view.remove();
  }
}

test("A view says that it is there, with the page's word, and that it has gone; the word is one for all panels.", () => {
  const kernels = [new Kernel(), new Kernel()];
  for (const kernel of kernels) kernel.render().remove();
  const [first, second] = kernels.map(({ sent }) => sent);
  assert.deepEqual(first!.map(({ kind }) => kind), ["ready", "gone"]);
  const pages = [first!, second!].map((sent) => sent.map((message) => (message as { page: string }).page));
  assert.deepEqual(pages[0], pages[1]);
  assert.match((first![0] as { page: string }).page, /^\w{5,}$/);
});

test("A view of an answer that arrives says that it is there, for the kernel may wait for a click; one that has ended does not.", () =>
  panel((kernel) => {
    kernel.holds(turn("1", "one"), turn("2", "two", [answer("", "waiting")]));
    const ready = kernel.sent.filter((sent) => sent.kind === "turn");
    assert.deepEqual(ready.map((sent) => [sent.turn, sent.message.kind]), [["2", "ready"]]);
  }));

test("The conversation is drawn: questions as they are, answers as Markdown with their figures, in their order.", () =>
  panel(async (kernel, view) => {
    kernel.holds(turn("1", "one **not bold**\n\nline"), turn("2", "two", [answer("**bold**", "done", { figures: ["TTFT 312 ms", "83.2 tok/s"] })]));
    await frame();
    assert.deepEqual(view.questions, ["one **not bold**\n\nline", "two"]);
    assert.deepEqual(view.answers, ["answer to one not bold\n\nline".replace("\n\n", "\n"), "bold"]);
    assert.equal(view.all(".hs-figures").at(-1)!.textContent, "TTFT 312 ms · 83.2 tok/s");
    assert.deepEqual(view.all("article").map((article) => article.getAttribute("aria-label")), ["question 1 of 2", "question 2 of 2"]);
    assert.equal(view.find(".hs-log").getAttribute("role"), "log");
    assert.equal(view.find(".hs-log").getAttribute("aria-live"), "off");
  }));

test("Enter sends and empties the composer; Shift+Enter, an IME's Enter, and nothing but blanks do not send.", () =>
  panel((kernel, view) => {
    kernel.holds();
    write(view.composer, " \n ");
    press(view.composer, "Enter");
    write(view.composer, "Hello");
    assert.equal(press(view.composer, "Enter", { shiftKey: true }), true, "the browser makes a line");
    press(view.composer, "Enter", { isComposing: true });
    press(view.composer, "Enter", { keyCode: 229 });
    assert.deepEqual(kernel.news, []);
    assert.equal(press(view.composer, "Enter"), false);
    assert.deepEqual(kernel.news, [{ kind: "send", text: "Hello" }]);
    assert.equal(view.composer.value, "");
    assert.equal(document.activeElement, view.composer);
  }));

test("A question that was sent is in sight until the kernel has it, and comes back to the composer when it cannot.", () =>
  panel((kernel, view) => {
    kernel.holds();
    write(view.composer, "Hello");
    view.button("send").click();
    assert.match(view.find(".hs-pending").textContent!, /Hello.*waits for the kernel/);
    kernel.adds(turn("1", "Hello", [answer("", "waiting")]));
    assert.equal(view.all(".hs-pending").length, 0);
    write(view.composer, "Again");
    view.button("send").click();
    kernel.says("There is no model x.", "error");
    assert.equal(view.all(".hs-pending").length, 0);
    assert.equal(view.composer.value, "Again");
    assert.match(view.said, /There is no model x\./);
  }));

test("Send is Stop while an answer is written; nothing is sent meanwhile, and what is written stays.", () =>
  panel((kernel, view) => {
    kernel.holds(turn("1", "one", [answer("an", "streaming")]));
    const send = view.button("send");
    send.focus();
    kernel.change("is_streaming", true);
    assert.equal(send.title, "stop");
    assert.equal(document.activeElement, send);
    write(view.composer, "next");
    press(view.composer, "Enter");
    assert.match(view.hint, /stop it/);
    assert.deepEqual(kernel.news, []);
    send.click();
    send.click();
    assert.deepEqual(kernel.news, [{ kind: "stop" }]);
    assert.equal(send.title, "stopping…");
    kernel.change("is_streaming", false);
    assert.equal(send.title, "send");
    assert.equal(view.composer.value, "next");
    kernel.change("is_streaming", true);
    assert.equal(send.title, "stop", "a new answer can be stopped again");
  }));

test("An answer arrives in its turn, whatever else arrives; a missing delta is asked for in the turn's envelope.", () =>
  panel(async (kernel, view) => {
    kernel.holds(turn("1", "one", [answer("", "waiting")]), turn("2", "two", [answer("", "waiting")]));
    kernel.delta("2", 1, "second");
    kernel.delta("1", 1, "fi");
    kernel.delta("1", 2, "rst");
    await frame();
    assert.deepEqual(view.answers, ["first", "second"]);
    kernel.delta("1", 4, "!");
    assert.deepEqual(kernel.news, [{ kind: "turn", turn: "1", message: { kind: "missed" } }]);
    kernel.receive({ kind: "turn", turn: "1", message: { kind: "snapshot", verdict: "", whole: false, seq: 4, lanes: [answer("first ones!", "streaming")] } });
    await frame();
    assert.deepEqual(view.answers, ["first ones!", "second"]);
  }));

test("A gap in the conversation's numbers asks for all of it once; until then nothing is guessed.", () =>
  panel(async (kernel, view) => {
    kernel.holds(turn("1", "one"));
    kernel.sent = [];
    kernel.receive({ kind: "added", seq: 4, turn: turn("4", "four") });
    kernel.receive({ kind: "cut", seq: 5, from: 0 });
    assert.deepEqual(kernel.sent, [{ kind: "missed", told: 0 }]);
    kernel.receive({ kind: "cut", seq: 1, from: 0 });
    assert.deepEqual(view.questions, ["one"]);
    kernel.receive({ kind: "conversation", seq: 6, turns: [turn("1", "one"), turn("5", "five")], said: null, told: 0, state: {} });
    await frame();
    assert.deepEqual(view.questions, ["one", "five"]);
    kernel.receive({ kind: "added", seq: 7, turn: turn("6", "six") });
    assert.deepEqual(view.questions, ["one", "five", "six"]);
  }));

test("A second view, and one that comes again, show the whole conversation and go on; the draft is there too.", async () => {
  const kernel = new Kernel();
  const first = kernel.render();
  kernel.holds(turn("1", "one"), turn("2", "two", [answer("half", "streaming")]));
  write(first.composer, "a draft");
  const second = kernel.render();
  assert.equal(second.composer.value, "a draft");
  write(second.composer, "a draft, longer");
  assert.equal(first.composer.value, "a draft, longer");
  first.remove();
  const third = kernel.render();
  kernel.holds(turn("1", "one"), turn("2", "two", [answer("half", "streaming")]));
  kernel.delta("2", 1, " done");
  await frame();
  for (const view of [second, third]) {
    assert.deepEqual(view.questions, ["one", "two"]);
    assert.deepEqual(view.answers, ["answer to one", "half done"]);
    assert.equal(view.composer.value, "a draft, longer");
    view.remove();
  }
  assert.ok(kernel.sent.every(({ kind }) => kind !== "send"));
});

test("The arrow up in an empty composer edits the last question; Enter asks it again, Escape leaves it as it was.", () =>
  panel((kernel, view) => {
    kernel.holds(turn("1", "one"), turn("2", "two"));
    write(view.composer, "x");
    press(view.composer, "ArrowUp");
    assert.equal(view.all(".hs-editing").length, 0);
    write(view.composer, "");
    press(view.composer, "ArrowUp");
    const field = view.find<HTMLTextAreaElement>(".hs-editing textarea");
    assert.equal(field.value, "two");
    assert.equal(document.activeElement, field);
    press(field, "Escape");
    assert.equal(view.all(".hs-editing").length, 0);
    assert.equal(document.activeElement, view.button("edit and ask again"));
    view.button("edit and ask again").click();
    const again = view.find<HTMLTextAreaElement>(".hs-editing textarea");
    write(again, "two, better");
    press(again, "Enter");
    assert.deepEqual(kernel.news, [{ kind: "edit", turn: "2", text: "two, better" }]);
    assert.ok(view.el.contains(document.activeElement), "the focus is not lost");
    kernel.cuts(1);
    assert.equal(document.activeElement, view.composer);
  }));

test("Editing an earlier question says what it will delete; a change of the conversation does not disturb it.", () =>
  panel((kernel, view) => {
    kernel.holds(turn("1", "one"), turn("2", "two"), turn("3", "three"));
    const edit = view.all("button").find(({ title }) => title === "edit and ask again")!;
    edit.click();
    assert.match(view.find(".hs-editing").textContent!, /the 2 questions after it will be deleted/);
    write(view.find<HTMLTextAreaElement>(".hs-editing textarea"), "being written");
    kernel.adds(turn("4", "four"));
    kernel.holds(turn("1", "one"), turn("2", "two"), turn("3", "three"), turn("4", "four"));
    assert.equal(view.find<HTMLTextAreaElement>(".hs-editing textarea").value, "being written");
  }));

test("The last answer is asked for again at once; an earlier one only after a question, as it deletes what follows.", () =>
  panel((kernel, view) => {
    kernel.holds(turn("1", "one"), turn("2", "two"));
    view.button("ask again").click();
    assert.deepEqual(kernel.news, [{ kind: "regenerate", turn: "2" }]);
    const first = view.all("button").find(({ title }) => title === "ask again")!;
    first.click();
    assert.deepEqual(kernel.news, []);
    assert.match(first.textContent!, /delete the question after it\?/);
    press(first, "Escape");
    assert.equal(first.textContent, "");
    first.click();
    first.click();
    assert.deepEqual(kernel.news, [{ kind: "regenerate", turn: "1" }]);
  }));

test("Deleting and beginning anew ask first, and take the question back when the focus goes elsewhere.", () =>
  panel((kernel, view) => {
    kernel.holds(turn("1", "one"), turn("2", "two"));
    const remove = view.all("button").find(({ title }) => title === "delete from here")!;
    remove.focus();
    remove.click();
    assert.equal(remove.textContent, "Delete 2 questions?");
    assert.match(view.hint, /Press again/);
    view.composer.focus();
    remove.click();
    assert.deepEqual(kernel.news, [], "the first press counts no more");
    remove.click();
    assert.deepEqual(kernel.news, [{ kind: "delete", turn: "1" }]);
    kernel.cuts(1);
    const begin = view.button("new conversation");
    begin.click();
    assert.deepEqual(kernel.news, []);
    begin.click();
    assert.deepEqual(kernel.news, [{ kind: "begin_anew" }]);
    kernel.cuts(0);
    assert.equal(view.all(".hs-turn").length, 0);
    assert.equal(view.all(".hs-example").length, 3);
    begin.click();
    begin.click();
    assert.deepEqual(kernel.news, [], "there is nothing to begin anew");
  }));

test("When the turn that has the focus goes, the focus goes to the composer.", () =>
  panel((kernel, view) => {
    kernel.holds(turn("1", "one"), turn("2", "two"));
    view.button("ask again").focus();
    kernel.cuts(1);
    assert.equal(document.activeElement, view.composer);
  }));

test("While an answer is written, nothing cuts the conversation: the buttons say why.", () =>
  panel((kernel, view) => {
    kernel.holds(turn("1", "one"));
    kernel.change("is_streaming", true);
    for (const name of ["edit and ask again", "ask again"]) {
      const button = view.button(name);
      assert.equal(button.getAttribute("aria-disabled"), "true");
      button.click();
      assert.match(view.hint, /stop it first/);
    }
    assert.deepEqual(kernel.news, []);
    kernel.change("is_streaming", false);
    assert.equal(view.button("ask again").getAttribute("aria-disabled"), "false");
  }));

test("The answer's source is copied, and the question.", () =>
  panel(async (kernel, view) => {
    const copied: string[] = [];
    Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText: async (text: string) => void copied.push(text) } });
    kernel.holds(turn("1", "one", [answer("**bold** $x$")]));
    view.button("copy the answer").click();
    view.button("copy the question").click();
    await frame();
    assert.deepEqual(copied, ["**bold** $x$", "one"]);
    assert.equal(view.hint, "Copied.");
  }));

test("A failed answer says why, inside the conversation, and Retry asks again.", () =>
  panel(async (kernel, view) => {
    kernel.holds(turn("1", "one", [answer("half", "streaming")]));
    kernel.status("1", 1, "failed", { error: "The key is not valid." });
    await frame();
    assert.equal(view.find(".hs-lane").dataset.state, "failed");
    assert.equal(view.find(".hs-lane > .hs-error").textContent, "The key is not valid.");
    view.find(".hs-retry").click();
    assert.deepEqual(kernel.news, [{ kind: "regenerate", turn: "1" }]);
  }));

test("Several models answer side by side; one of them is chosen to go on, and each can be stopped.", () =>
  panel(async (kernel, view) => {
    kernel.holds(turn("1", "one", [answer("from a"), answer("from b", "streaming")]));
    await frame();
    assert.deepEqual(view.answers, ["from a", "from b"]);
    view.all(".hs-stop")[1]!.click();
    assert.deepEqual(kernel.news, [{ kind: "turn", turn: "1", message: { kind: "stop", lane: 1 } }]);
    const buttons = view.all(".hs-continue");
    assert.deepEqual(buttons.map(({ textContent }) => textContent), ["Continue with this one", "Continue with this one"]);
    buttons[1]!.click();
    assert.deepEqual(kernel.news, [{ kind: "choose", turn: "1", lane: 1 }]);
    kernel.receive({ kind: "chosen", seq: ++kernel.seq, turn: "1", lane: 1 });
    assert.deepEqual(buttons.map((button) => button.getAttribute("aria-pressed")), ["false", "true"]);
    assert.ok(view.all(".hs-lane")[1]!.classList.contains("hs-chosen"));
  }));

test("Several answers are compared in a line under them, also in a view that comes later.", () =>
  panel(async (kernel, view) => {
    kernel.holds(turn("1", "compare", [answer("one"), answer("two")]));
    await frame();
    assert.ok(view.find(".hs-verdict").hidden);
    kernel.receive({ kind: "turn", turn: "1", message: { kind: "whole", seq: 1, verdict: "fastest: model-b (84 tok/s)" } });
    await frame();
    assert.equal(view.find(".hs-verdict").textContent, "fastest: model-b (84 tok/s)");
    assert.ok(!view.find(".hs-verdict").hidden);
    const later = kernel.render();
    assert.equal(later.find(".hs-verdict").textContent, "fastest: model-b (84 tok/s)");
    later.remove();
    kernel.holds(turn("1", "compare", [answer("one"), answer("two")], {
      keyframe: { seq: 2, lanes: [answer("one"), answer("two")], verdict: "fastest: model-a (90 tok/s)", whole: true },
    }));
    await frame();
    assert.equal(view.find(".hs-verdict").textContent, "fastest: model-a (90 tok/s)");
  }));

test("The model is found in a search box by keyboard: words in any order, arrows, Enter; the focus comes back.", () =>
  panel((kernel, view) => {
    view.find(".hs-chip-name").click();
    const box = view.find<HTMLInputElement>("[role=combobox]");
    const options = () => view.all("[role=option] .hs-offer-name").map(({ textContent }) => textContent);
    assert.equal(document.activeElement, box);
    assert.equal(box.getAttribute("aria-expanded"), "true");
    assert.equal(options().length, 5);
    write(box, "b other");
    assert.deepEqual(options(), ["other:model-b"]);
    write(box, "model");
    assert.deepEqual(options(), ["model-a", "model-b", "model-c", "other:model-b", "model"], "names that begin so come first");
    press(box, "ArrowDown");
    const active = view.find("[aria-selected=true]");
    assert.equal(active.id, box.getAttribute("aria-activedescendant"));
    press(box, "Enter");
    assert.deepEqual(kernel.saved, [{ models: ["model-b"] }]);
    assert.equal(view.find(".hs-picker").hidden, true);
    assert.equal(document.activeElement, view.find(".hs-chip-name"));
    assert.equal(view.composer.placeholder, "Ask model-b");
    view.find(".hs-chip-name").click();
    press(box, "Escape");
    assert.equal(view.find(".hs-picker").hidden, true);
    assert.equal(document.activeElement, view.find(".hs-chip-name"));
  }));

test("A search that was begun before the catalogue came goes on in it.", () =>
  panel((kernel, view) => {
    kernel.change("catalogue", []);
    view.find(".hs-chip-name").click();
    write(view.find<HTMLInputElement>("[role=combobox]"), "soup");
    kernel.change("catalogue", [offer("bread", "canteen"), offer("canteen:soup", "canteen")]);
    const options = view.all("[role=option] .hs-offer-name").map(({ textContent }) => textContent);
    assert.deepEqual(options, ["canteen:soup", "soup"]);
  }));

test("A provider's name with a colon asks the kernel, once, which models its service has.", () =>
  panel((kernel, view) => {
    view.find(".hs-chip-name").click();
    const box = view.find<HTMLInputElement>("[role=combobox]");
    for (const query of ["ollama", "ollama:", "ollama:ll", "Ollama:l", "llama3.2:3b", "lmstudio:"]) write(box, query);
    const asked = kernel.sent.filter(({ kind }) => kind === "open");
    assert.deepEqual(asked, [{ kind: "open", provider: "ollama" }, { kind: "open", provider: "lmstudio" }]);
  }));

test("A model that the catalogue does not know can be asked as it is written.", () =>
  panel((kernel, view) => {
    view.find(".hs-chip-name").click();
    const box = view.find<HTMLInputElement>("[role=combobox]");
    write(box, "brand-new-model");
    press(box, "Enter");
    assert.deepEqual(kernel.saved, [{ models: ["brand-new-model"] }]);
  }));

test("Up to four models are compared: each once, with a chip of its own that takes it away again.", () =>
  panel((kernel, view) => {
    for (const name of ["model-b", "model-c", "tiny-d"]) {
      view.find(".hs-compare").click();
      const box = view.find<HTMLInputElement>("[role=combobox]");
      assert.ok(!view.all(".hs-offer-name").some(({ textContent }) => kernel.traits.models.includes(textContent!)));
      write(box, name);
      press(box, "Enter");
    }
    assert.deepEqual(kernel.traits.models, ["model-a", "model-b", "model-c", "tiny-d"]);
    assert.equal(view.all(".hs-compare").length, 0);
    assert.equal(view.composer.placeholder, "Ask 4 models");
    view.button("do not ask model-a").focus();
    view.button("do not ask model-a").click();
    assert.deepEqual(kernel.traits.models, ["model-b", "model-c", "tiny-d"]);
    assert.ok(view.find(".hs-chips").contains(document.activeElement), "the focus is not lost");
    kernel.change("models", ["model-c"]);
    assert.deepEqual(view.all(".hs-chip-name").map(({ textContent }) => textContent), ["model-c"]);
    assert.equal(view.all(".hs-chip-drop").length, 0, "one has to stay");
  }));

test("System prompt, temperature and max tokens are in a fold; what cannot be is said and not sent.", () =>
  panel((kernel, view) => {
    const button = view.button("settings");
    assert.equal(view.find(".hs-settings").hidden, true);
    button.click();
    assert.equal(button.getAttribute("aria-expanded"), "true");
    const system = view.find<HTMLTextAreaElement>(".hs-settings textarea");
    assert.equal(document.activeElement, system);
    const [temperature, tokens] = view.all(".hs-settings input") as HTMLInputElement[];
    const enter = (field: HTMLInputElement | HTMLTextAreaElement, text: string) => {
      write(field, text);
      field.dispatchEvent(new window.Event("change"));
    };
    enter(system, "Be brief.");
    enter(temperature!, "0,7");
    enter(tokens!, "500");
    assert.deepEqual(kernel.saved, [{ system: "Be brief." }, { temperature: 0.7 }, { max_tokens: 500 }]);
    enter(temperature!, "9");
    enter(tokens!, "1.5");
    assert.equal(kernel.saved.length, 3);
    assert.deepEqual(view.all(".hs-wrong").map(({ textContent }) => textContent), ["a number from 0 to 2", "a whole number from 1"]);
    enter(temperature!, "");
    assert.deepEqual(kernel.saved.at(-1), { temperature: null });
    assert.equal(view.find(".hs-wrong").hidden, true);
    view.composer.focus();
    kernel.change("system", "From the program.");
    assert.equal(system.value, "From the program.");
  }));

test("In a shadow root, too, what is being written in a field of the settings stays while an answer arrives.", () => {
  const kernel = new Kernel();
  const host = document.body.appendChild(document.createElement("div"));
  const view = kernel.render(host.attachShadow({ mode: "open" }));
  view.button("settings").click();
  const system = view.find<HTMLTextAreaElement>(".hs-settings textarea");
  const [temperature] = view.all(".hs-settings input") as HTMLInputElement[];
  for (const field of [system, temperature!]) {
    write(field, "1");
    kernel.change("total", field.tagName);
    assert.equal(field.value, "1");
  }
  view.remove();
  host.remove();
});

test("The kernel's end says whether the cell, run again, goes on.", () =>
  panel((kernel, view) => {
    kernel.fire("comm_live_update");
    assert.match(view.said, /What had arrived stays here until the cell is run again/);
    kernel.change("is_kept", true);
    assert.match(view.said, /Run the cell again to go on/);
  }, { is_kept: false }));

test("The header has the title, the badge and the panel's total; the panel is called by its title.", () =>
  panel((kernel, view) => {
    kernel.change("total", "12 requests · 3,412 tokens");
    assert.equal(view.find(".hs-total").textContent, "12 requests · 3,412 tokens");
    assert.equal(view.find(".hs-head .hs-badge").textContent, "simulator");
    assert.equal(view.find(".hs-chat").getAttribute("aria-label"), "Panel");
    kernel.change("note", "");
    assert.equal(view.find(".hs-head .hs-badge").hidden, true);
  }));

test("An empty panel offers three examples; one that is chosen is written into the composer, and not sent.", () =>
  panel((kernel, view) => {
    kernel.holds();
    assert.deepEqual(view.all(".hs-example").map(({ textContent }) => textContent), kernel.traits.examples);
    view.all(".hs-example")[1]!.click();
    assert.equal(view.composer.value, "Second example");
    assert.equal(document.activeElement, view.composer);
    assert.deepEqual(kernel.news, []);
    kernel.adds(turn("1", "one"));
    assert.equal(view.all(".hs-example").length, 0);
  }));

test("A line that the kernel says is shown until it is dismissed, or the next question is asked.", () =>
  panel((kernel, view) => {
    kernel.says("Saved to chat.md", "info");
    assert.match(view.said, /Saved to chat\.md/);
    view.button("dismiss").focus();
    view.button("dismiss").click();
    assert.equal(view.said, "");
    assert.equal(document.activeElement, view.composer);
  }));

test("Where the saved copy is not brought up to date, the panel says so and offers to save one.", () =>
  panel((kernel, view) => {
    assert.equal(view.find(".hs-stale").hidden, true);
    const page = (kernel.sent[0] as { page: string }).page;
    kernel.change("stale", ["another", page]);
    assert.equal(view.find(".hs-stale").hidden, false);
    view.button("Save copy").click();
    view.button("save as a Markdown file").click();
    assert.deepEqual(kernel.news, [{ kind: "save_copy" }, { kind: "save_copy" }]);
  }));

test("A kernel that has gone is said: what had arrived stays, running answers are interrupted, and nothing is sent.", () =>
  panel(async (kernel, view) => {
    kernel.holds(turn("1", "one", [answer("half", "streaming")]));
    kernel.change("is_streaming", true);
    write(view.composer, "and on");
    kernel.fire("comm_live_update");
    await frame();
    assert.match(view.said, /The kernel has gone/);
    assert.equal(view.find(".hs-lane").dataset.state, "interrupted");
    assert.deepEqual(view.answers, ["half"]);
    press(view.composer, "Enter");
    assert.deepEqual(kernel.news, []);
    assert.equal(view.composer.value, "and on");
  }));

test("A kernel that does not answer is called busy, and asked again; then its conversation is shown.", () =>
  panel(async (kernel, view) => {
    await sleep(1700);
    assert.match(view.said, /The kernel is busy/);
    assert.deepEqual(kernel.sent.map(({ kind }) => kind), ["ready", "ready"]);
    kernel.holds(turn("1", "one"));
    assert.equal(view.said, "");
  }));

test("No key that is pressed in the panel is a shortcut of JupyterLab's; saving the notebook is.", () =>
  panel((_kernel, view) => {
    const heard: string[] = [];
    const marks = () => view.all("[data-lm-suppress-shortcuts]");
    const listen = (event: Event) => heard.push((event as KeyboardEvent).key);
    document.addEventListener("keydown", listen);
    for (const target of [view.composer, view.button("settings")]) {
      press(target, "d");
      assert.deepEqual(marks(), [target], "Notebook 7 looks at the focused element first");
      press(target, "s", { ctrlKey: true });
      assert.deepEqual(marks(), []);
      press(target, "Enter", { shiftKey: true });
      assert.deepEqual(marks(), [target]);
    }
    document.removeEventListener("keydown", listen);
    assert.deepEqual(heard, ["s", "s"], "JupyterLab listens there");
  }));

test("A toolbar is one stop of the Tab key; the arrows go round in it.", () =>
  panel((kernel, view) => {
    kernel.holds(turn("1", "one"));
    const [edit, copy, remove] = [...view.find(".hs-asked .hs-tools").children] as HTMLElement[];
    assert.deepEqual([edit, copy, remove].map((button) => button!.tabIndex), [0, -1, -1]);
    edit!.focus();
    press(edit!, "ArrowLeft");
    assert.equal(document.activeElement, remove);
    press(remove!, "ArrowRight");
    press(edit!, "ArrowRight");
    assert.equal(document.activeElement, copy);
    assert.deepEqual([edit, copy, remove].map((button) => button!.tabIndex), [-1, 0, -1]);
    press(copy!, "End");
    assert.equal(document.activeElement, remove);
  }));

test("Those who listen hear that an answer has started and how it has ended, once, and not its tokens.", () =>
  panel(async (kernel) => {
    kernel.holds(turn("1", "old"));
    const second = kernel.render();
    kernel.adds(turn("2", "new", [answer("", "waiting")]));
    for (let seq = 1; seq <= 5; seq++) kernel.delta("2", seq, "token ");
    kernel.status("2", 6, "done", { figures: ["TTFT 1 ms"] });
    await frame();
    const said = [...document.querySelectorAll("body > .hs-voice > div")].map(({ textContent }) => textContent).slice(-2);
    assert.deepEqual(said, ["model-a: answer started", "model-a: answer finished: TTFT 1 ms"]);
    second.remove();
  }));

test("Formulas are typeset in the panel.", () =>
  panel(async (kernel, view) => {
    kernel.holds(turn("1", "one", [answer("So $x^2$ costs $5 and $6.")]));
    await frame();
    assert.equal(view.all("math").length, 1);
  }));

test("Of a long conversation the last turns are whole, those before a line each, and the earliest one button.", () =>
  panel(async (kernel, view) => {
    const turns = Array.from({ length: 500 }, (_, index) => turn(`${index}`, `question ${index}\nmore of it`));
    kernel.holds(...turns);
    for (let wait = 0; wait < 100 && view.all(".hs-body").length < WHOLE; wait++) await sleep(20);
    assert.equal(view.all(".hs-body").length, WHOLE);
    const size = view.all("*").length;
    assert.equal(view.all(".hs-turn .hs-folded").length, LINES);
    const first = view.find(".hs-turn .hs-folded");
    assert.equal(first.textContent, `question ${500 - WHOLE - LINES}show`);
    first.focus();
    first.click();
    assert.match(view.answers[0]!, /^answer to question 376/);
    assert.ok(view.el.contains(document.activeElement));
    for (let index = 500; index < 510; index++) kernel.adds(turn(`${index}`, `question ${index}`));
    assert.equal(view.all(".hs-body").length, WHOLE + 1, "what the reader has asked for stays");
    assert.equal(view.all(".hs-turn").length, WHOLE + LINES + 1);
    assert.ok(view.all("*").length < size + 100, "the page does not grow with the conversation");
  }));

test("The earliest questions get their lines a hundred at a time, until the last button leaves the focus to the first.", () =>
  panel(async (kernel, view) => {
    kernel.holds(...Array.from({ length: 300 }, (_, index) => turn(`${index}`, `question ${index}`)));
    await frame();
    const earlier = view.find(".hs-earlier");
    earlier.focus();
    for (const left of [176, 76]) {
      assert.equal(earlier.textContent, `${left} earlier questions · show`);
      earlier.click();
    }
    assert.equal(view.all(".hs-earlier").length, 0);
    assert.equal(view.all(".hs-turn").length, 300);
    assert.equal(view.find(".hs-turn").textContent, "question 0show");
    assert.equal(document.activeElement?.textContent, "question 76show");
  }));

test("With 500 turns a delta touches nothing but the turn that it belongs to.", () =>
  panel(async (kernel, view) => {
    const turns = Array.from({ length: 500 }, (_, index) => turn(`${index}`, `question ${index}`));
    kernel.holds(...turns, turn("now", "now", [answer("", "waiting")]));
    const running = view.all(".hs-turn").at(-1)!;
    await still(view.el, running);
    assert.equal(view.all(".hs-lanes").length, WHOLE);
    const touched: Node[] = [];
    const observer = new MutationObserver((records) => touched.push(...records.map(({ target }) => target)));
    observer.observe(view.el, { subtree: true, childList: true, attributes: true, characterData: true });
    const queries = count(view.find(".hs-chat"));
    for (let seq = 1; seq <= 50; seq++) {
      kernel.delta("now", seq, `token ${seq} `);
      if (seq % 10 === 0) await frame();
    }
    observer.disconnect();
    assert.match(view.answers.at(-1)!, /token 50$/);
    assert.ok(touched.length > 0 && touched.length < 50 * 12, `${touched.length} changes`);
    assert.ok(touched.every((node) => running.contains(node)));
    assert.equal(queries(), 0, "the panel looks for nothing");
  }));

/** Waits until all but what runs is drawn: nothing changes in twenty rounds of the loop, however long each takes. */
async function still(root: HTMLElement, running: Element): Promise<void> {
  let calm = 0;
  const observer = new MutationObserver((records) => {
    if (records.some(({ target }) => !running.contains(target))) calm = 0;
  });
  observer.observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
  for (; calm < 20; calm++) await sleep(25);
  observer.disconnect();
}

/** Counts how often elements are looked for in the whole panel. */
function count(root: HTMLElement): () => number {
  let asked = 0;
  for (const element of [root, ...root.querySelectorAll<HTMLElement>(".hs-log, .hs-turns")]) {
    for (const name of ["querySelector", "querySelectorAll"] as const) {
      const original = element[name].bind(element) as (selector: string) => never;
      element[name] = ((selector: string) => (asked++, original(selector))) as never;
    }
  }
  return () => asked;
}
