import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import live from "../src/live";
import type { Model } from "../src/livefeed";
import type { Numbered } from "../src/line";
import type { Format, FromKernel, Keyframe, Label, LaneState, State, ToKernel } from "../src/protocol";

const standing = { figures: [], ending: "", error: "", elapsed_ms: 0, units: 0, thought: "" };
const labels: Label[] = [
  { label: "model-a", provider: "simulator", note: "simulator" },
  { label: "model-b", provider: "holysheep", note: "" },
];

function laneState(text: string, state: State = "streaming", more: Partial<LaneState> = {}): LaneState {
  return { ...standing, text, reasoning: "", state, ...more };
}

/** A kernel and a page without Jupyter between them. */
class Widget implements Model {
  sent: ToKernel[] = [];
  keyframe: Partial<Keyframe> = {};
  #module = live();
  #callbacks = new Map<string, ((message: FromKernel) => void)[]>();

  readonly answer = "answer-1";

  constructor(readonly lanes = labels.slice(0, 1), readonly format: Format = "markdown") {
    this.#module.initialize({ model: this });
  }

  get(trait: "lanes"): Label[];
  get(trait: "keyframe"): Keyframe;
  get(trait: "format"): Format;
  get(trait: "answer"): string;
  get(trait: "lanes" | "keyframe" | "format" | "answer"): unknown {
    return this[trait];
  }

  on(event: string, callback: (message: FromKernel) => void): void {
    this.#callbacks.set(event, [...(this.#callbacks.get(event) ?? []), callback]);
  }

  send(message: ToKernel & Partial<Numbered>): void {
    const { from: _from, number: _number, ...plain } = message;
    this.sent.push(plain as ToKernel);
  }

  receive(message: FromKernel): void {
    this.fire("msg:custom", message);
  }

  fire(event: string, message?: FromKernel): void {
    for (const callback of this.#callbacks.get(event) ?? []) callback(message!);
  }

  render(): { el: HTMLElement; remove: () => void; find: (selector: string) => HTMLElement } {
    const el = document.createElement("div");
    document.body.append(el);
    const remove = this.#module.render({ model: this, el });
    return { el, remove, find: (selector) => el.querySelector<HTMLElement>(selector)! };
  }

  delta(seq: number, text: string, { lane = 0, reasoning = "" } = {}): void {
    this.receive({ kind: "delta", seq, lane, text, reasoning });
  }

  status(seq: number, state: State, more: Partial<LaneState> = {}): void {
    this.receive({ kind: "status", seq, lane: 0, ...standing, state, ...more });
  }
}

const frame = () => sleep(40);

test("What came before the first view is in it; each view says that it appeared, and that it has gone.", async () => {
  const widget = new Widget();
  widget.delta(1, "Hello **world**");
  const first = widget.render();
  const second = widget.render();
  widget.delta(2, ", and on");
  await frame();
  for (const view of [first, second]) {
    assert.equal(view.find(".hs-body").textContent!.trim(), "Hello world, and on");
    assert.ok(view.find("strong"));
    view.remove();
  }
  assert.deepEqual(widget.sent.map(({ kind }) => kind), ["ready", "ready", "gone", "gone"]);
  assert.equal(first.el.childElementCount, 0);
});

test("The first piece is drawn at once, not a frame later.", () => {
  const widget = new Widget();
  const view = widget.render();
  view.remove();
  const fresh = new Widget();
  fresh.delta(1, "now");
  const { find, remove } = fresh.render();
  assert.equal(find(".hs-body").textContent!.trim(), "now");
  remove();
});

test("There is no Stop before the kernel has answered, and words instead after a while; then it stops that lane once.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  assert.equal(find(".hs-stop").hidden, true);
  assert.equal(find(".hs-hint").hidden, true);
  await sleep(1600);
  assert.equal(find(".hs-hint").textContent, "press ■ to stop");
  widget.receive({ kind: "snapshot", verdict: "", whole: false, seq: 0, lanes: [laneState("", "waiting")] });
  await frame();
  assert.equal(find(".hs-hint").hidden, true);
  const stop = find(".hs-stop") as HTMLButtonElement;
  assert.equal(stop.hidden, false);
  stop.click();
  stop.click();
  assert.deepEqual(widget.sent.filter(({ kind }) => kind !== "ready"), [{ kind: "stop", lane: 0 }]);
  assert.equal(stop.textContent, "stopping…");
  assert.equal(stop.ariaDisabled, "true");
  widget.status(1, "stopped");
  await frame();
  assert.equal(stop.hidden, true);
  assert.equal(find(".hs-word").textContent, "stopped");
  remove();
});

test("A clock runs until the first token, from the kernel's time; then the figures stand there.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.status(1, "waiting", { elapsed_ms: 800 });
  await frame();
  assert.match(find(".hs-time").textContent!, /^0\.[89] s …$/);
  await sleep(300);
  assert.match(find(".hs-time").textContent!, /^1\.\d s …$/);
  widget.delta(2, "a");
  widget.status(3, "streaming", { figures: ["TTFT 812 ms", "83.2 tok/s"] });
  await frame();
  assert.equal(find(".hs-time").hidden, true);
  assert.equal(find(".hs-figures").textContent, "TTFT 812 ms · 83.2 tok/s");
  assert.equal(find(".hs-badge").textContent, "simulator");
  remove();
});

test("Every end that is not the answer's own is said in words; a failure says its sentence.", async () => {
  for (const [state, word] of [["stopped", /^stopped/], ["interrupted", /^interrupted/], ["truncated", /^truncated/]] as const) {
    const widget = new Widget();
    const { find, remove } = widget.render();
    widget.delta(1, "text");
    widget.status(2, state);
    await frame();
    assert.match(find(".hs-word").textContent!, word);
    assert.equal(find(".hs-body").textContent!.trim(), "text");
    remove();
  }
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.status(1, "failed", { error: "No key for <b>holysheep</b>." });
  await frame();
  assert.equal(find(".hs-error").textContent, "No key for <b>holysheep</b>.");
  assert.equal(find(".hs-error").hidden, false);
  remove();
});

test("An answer that may be cut off says so in a sentence of its own, where an error stands.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.delta(1, "text");
  widget.status(2, "truncated", { error: "The answer ended without its end marker: it may be cut off." });
  await frame();
  assert.equal(find(".hs-error").textContent, "The answer ended without its end marker: it may be cut off.");
  assert.equal(find(".hs-error").hidden, false);
  assert.match(find(".hs-word").textContent!, /^truncated: it may be cut off$/);
  remove();
});

test("Reasoning is open until the answer starts, and stays as the reader puts it.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  const fold = find(".hs-reasoning") as HTMLDetailsElement;
  assert.equal(fold.hidden, true);
  widget.delta(1, "", { reasoning: "Let me <think>" });
  await frame();
  assert.equal(fold.open, true);
  assert.equal(find(".hs-thoughts").textContent, "Let me <think>");
  widget.delta(2, "Answer");
  await frame();
  assert.equal(fold.open, false);
  find("summary").dispatchEvent(new window.Event("click"));
  fold.open = true;
  widget.delta(3, " goes on");
  await frame();
  assert.equal(fold.open, true);
  remove();
});

test("The fold says what the reasoning took, as soon as that is known.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.delta(1, "", { reasoning: "Let me think" });
  await frame();
  assert.equal(find("summary").textContent, "Reasoning");
  widget.status(2, "streaming", { thought: "58 tokens · 1.2 s" });
  await frame();
  assert.equal(find("summary").textContent, "Reasoning · 58 tokens · 1.2 s");
  remove();
});

test("Under several lanes stands one line that compares them, as soon as there is one.", async () => {
  const widget = new Widget(labels);
  const { find, remove } = widget.render();
  const line = find(".hs-verdict");
  assert.equal(line.hidden, true);
  widget.receive({ kind: "whole", seq: 1, verdict: "fastest: <b>model-a</b>" });
  await frame();
  assert.equal(line.hidden, false);
  assert.equal(line.textContent, "fastest: <b>model-a</b>");
  const later = widget.render();
  assert.equal(later.find(".hs-verdict").textContent, "fastest: <b>model-a</b>");
  later.remove();
  remove();
});

test("The format says how answers are drawn.", async () => {
  for (const [format, selector] of [["text", ".hs-plain"], ["json", ".hs-code"], ["code", "strong"]] as const) {
    const widget = new Widget(labels.slice(0, 1), format);
    widget.delta(1, '{"**a**": 1}');
    const { find, remove } = widget.render();
    assert.ok(find(`.hs-body ${selector}`), format);
    remove();
  }
});

test("A keyboard's focus does not fall off the page when Stop goes.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.receive({ kind: "snapshot", verdict: "", whole: false, seq: 0, lanes: [laneState("so far")] });
  await frame();
  find(".hs-stop").focus();
  find(".hs-stop").click();
  assert.equal(document.activeElement, find(".hs-stop"));
  widget.status(1, "stopped");
  await frame();
  assert.equal(document.activeElement, find(".hs-lane"));
  remove();
});

test("A keyframe reaches a view on a kernel that hears nothing.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.delta(3, "c");
  widget.keyframe = { seq: 2, lanes: [laneState("ab")] };
  widget.fire("change:keyframe");
  await frame();
  assert.equal(find(".hs-body").textContent!.trim(), "abc");
  remove();
});

test("Text that arrives after the end, through a snapshot, is drawn as well.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.delta(1, "a");
  widget.status(2, "done");
  await frame();
  widget.receive({ kind: "snapshot", verdict: "", whole: false, seq: 2, lanes: [laneState("abc", "done")] });
  await frame();
  assert.equal(find(".hs-body").textContent!.trim(), "abc");
  remove();
});

test("Several lanes have their own text, names and Stop.", async () => {
  const widget = new Widget(labels);
  const { el, remove } = widget.render();
  widget.receive({ kind: "snapshot", verdict: "", whole: false, seq: 0, lanes: [laneState("", "waiting"), laneState("", "waiting")] });
  widget.delta(1, "one");
  widget.delta(2, "two", { lane: 1 });
  await frame();
  const texts = [...el.querySelectorAll(".hs-body")].map((body) => body.textContent!.trim());
  assert.deepEqual(texts, ["one", "two"]);
  const names = [...el.querySelectorAll(".hs-label")].map((name) => name.textContent);
  assert.deepEqual(names, ["model-a", "model-b"]);
  el.querySelectorAll<HTMLButtonElement>(".hs-stop")[1]!.click();
  assert.deepEqual(widget.sent.at(-1), { kind: "stop", lane: 1 });
  remove();
});

test("A listener hears the start and the end, not the tokens, and once, however many views there are.", async () => {
  const widget = new Widget();
  const views = [widget.render(), widget.render()];
  const voice = document.querySelector("body > [role=status]")!;
  voice.replaceChildren();
  const heard = () => [...voice.children].map((line) => line.textContent);
  for (let seq = 1; seq < 5; seq++) {
    widget.delta(seq, `token${seq} `);
    await frame();
  }
  assert.deepEqual(heard(), ["model-a: answer started"]);
  widget.status(5, "done", { figures: ["TTFT 9 ms"] });
  for (const { find, remove } of views) {
    assert.equal(find(".hs-body").closest("[aria-live], [role=status], [role=alert], [role=log]"), null);
    remove();
  }
  assert.deepEqual(heard(), ["model-a: answer started", "model-a: answer finished: TTFT 9 ms"]);
});

test("When the kernel goes, the clock ends and the text stays.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.receive({ kind: "snapshot", verdict: "", whole: false, seq: 0, lanes: [laneState("so far")] });
  widget.fire("comm_live_update");
  await frame();
  assert.match(find(".hs-word").textContent!, /kernel has gone/);
  assert.equal(find(".hs-stop").hidden, true);
  assert.equal(find(".hs-body").textContent!.trim(), "so far");
  remove();
});

test("A mistake of ours is shown under the widget, and the drawing goes on.", async (context) => {
  context.mock.method(console, "error", () => undefined);
  const widget = new Widget();
  const { el, find, remove } = widget.render();
  widget.delta(1, "?", { lane: 9 });
  widget.delta(2, "goes on");
  await frame();
  const trouble = [...el.querySelectorAll<HTMLElement>("[role=alert]")].find((line) => !line.hidden);
  assert.match(trouble!.textContent!, /live view failed \(a delta for lane 9 of 1\)/);
  assert.equal(find(".hs-body").textContent!.trim(), "goes on");
  remove();
});

test("Copy writes the code, and only the code, to the clipboard.", async () => {
  const written: string[] = [];
  Object.defineProperty(globalThis, "navigator", {
    value: { clipboard: { writeText: async (text: string) => void written.push(text) } },
    configurable: true,
  });
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.delta(1, "```py\nx = 1\n```\n");
  await frame();
  const button = find(".hs-copy");
  assert.equal(button.dataset.lmSuppressShortcuts, "true");
  button.click();
  await frame();
  assert.deepEqual(written, ["x = 1\n"]);
  assert.equal(button.textContent, "Copied");
  remove();
});

const PIXEL = "data:image/png;base64,iVBORw0KGgo=";

test("How an answer ended is said, to those who listen too, and marks its lane until it is asked again.", async () => {
  const widget = new Widget();
  const { find, remove } = widget.render();
  widget.status(1, "streaming");
  widget.status(2, "done", { ending: "the service's filter ended it" });
  await frame();
  assert.equal(find(".hs-ending").textContent, "the service's filter ended it");
  assert.equal(find(".hs-lane").hasAttribute("data-flawed"), true);
  assert.match(document.querySelector(".hs-voice")!.lastChild!.textContent!, /finished, the service's filter ended it/);
  widget.status(3, "done");
  await frame();
  assert.equal(find(".hs-ending").hidden, true);
  assert.equal(find(".hs-lane").hasAttribute("data-flawed"), false);
  remove();
});

test("Sources are numbered links beside which their host stands, and a small picture is drawn.", async () => {
  const widget = new Widget();
  const { el, find, remove } = widget.render();
  const sources = [
    { title: "One <b>title</b>", address: "https://example.org/a", host: "example.org" },
    { title: "A book", address: "", host: "" },
  ];
  widget.status(1, "done", { sources, pictures: [{ words: "PNG image", data: PIXEL, address: "", host: "" }] });
  await frame();
  const [link] = el.querySelectorAll<HTMLAnchorElement>("ol.hs-sources > li > a");
  assert.equal(link!.textContent, "One <b>title</b>");
  assert.deepEqual([link!.href, link!.target], ["https://example.org/a", "_blank"]);
  assert.match(link!.rel, /noopener noreferrer/);
  assert.deepEqual([...el.querySelectorAll("li")].map((item) => item.textContent), ["One <b>title</b> · example.org", "A book"]);
  assert.equal((find(".hs-picture") as HTMLImageElement).getAttribute("src"), PIXEL);
  assert.equal(find(".hs-picture").getAttribute("alt"), "PNG image by model-a");
  remove();
});

test("No address but http: and https: becomes a link, and no picture but a data: one of four kinds is drawn.", async () => {
  const widget = new Widget();
  const { el, remove } = widget.render();
  const bad = ["javascript:alert(1)", "data:text/html,x", "//evil.test", "https:evil.test", "file:///etc/passwd", " https://a.b"];
  const data = ["https://evil.test/leak.png", "data:image/svg+xml;base64,PHN2Zy8+", "data:image/png,x", `${PIXEL}" onerror="x`];
  widget.status(1, "done", {
    sources: bad.map((address) => ({ title: "t", address, host: "h" })),
    pictures: data.map((each) => ({ words: "w", data: each, address: "https://evil.test/leak.png", host: "evil.test" })),
  });
  await frame();
  assert.equal(el.querySelectorAll("li").length, bad.length);
  assert.equal(el.querySelectorAll("li a, img").length, 0);
  assert.equal(el.querySelectorAll(".hs-picture-line a").length, data.length);
  remove();
});

test("When the first text of a lane has been painted, the kernel is told, once, with the two clocks.", async () => {
  const frames: (() => void)[] = [];
  Object.assign(globalThis, { requestAnimationFrame: (frame: () => void) => frames.push(frame) });
  const widget = new Widget(labels);
  const first = widget.render();
  const second = widget.render(); // a second view of the same answer says nothing
  const told = () => widget.sent.filter(({ kind }) => kind === "painted");
  widget.receive({ kind: "delta", seq: 1, lane: 1, text: "", reasoning: "hm", sent: performance.now() - 7 });
  await sleep(20);
  assert.deepEqual(told(), []); // drawn, but no frame has come yet
  frames.splice(0).forEach((frame) => frame());
  await sleep(20);
  widget.receive({ kind: "delta", seq: 2, lane: 1, text: "a", reasoning: "" });
  await sleep(40);
  assert.equal(frames.length, 0);
  const [painted, ...more] = told();
  assert.deepEqual(more, []);
  assert.ok(painted?.kind === "painted" && painted.lane === 1);
  assert.ok(painted.at <= painted.sent && painted.sent <= performance.now());
  assert.ok(painted.down >= 7 && painted.down < 1000, String(painted.down));
  first.remove();
  second.remove();
});

test("Nothing is said of a paint where nobody sees the page, the kernel's clock is unknown, or all has ended.", async () => {
  let frames = 0;
  Object.assign(globalThis, { requestAnimationFrame: () => frames++ });
  const unknown = new Widget();
  const views = [unknown.render()];
  unknown.receive({ kind: "delta", seq: 1, lane: 0, text: "a", reasoning: "" });
  const ended = new Widget();
  ended.keyframe = { seq: 1, lanes: [laneState("a", "done")] };
  ended.fire("change:keyframe");
  views.push(ended.render());
  Object.defineProperty(document, "hidden", { value: true, configurable: true });
  const hidden = new Widget();
  views.push(hidden.render());
  hidden.receive({ kind: "delta", seq: 1, lane: 0, text: "a", reasoning: "", sent: 0 });
  await sleep(20);
  Reflect.deleteProperty(document, "hidden");
  assert.equal(frames, 0);
  for (const { remove } of views) remove();
});
