import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Feed } from "../src/feed";
import { Lane } from "../src/lane";
import { Voice } from "../src/voice";
import type { Answer, Call, CallState, Delta, Format, LaneState, Status } from "../src/protocol";

const standing = { figures: [], ending: "", error: "", elapsed_ms: 0, units: 0, thought: "" };
const label = { label: "model-a", provider: "simulator", note: "" };

function call(number: number, at: number, state: CallState = "done", more: Partial<Call> = {}): Call {
  const text = { name: "look", arguments: "{}", result: "", error: "", time: "" };
  return { number, at, state, ...text, ...more };
}

function delta(seq: number, text: string): Delta {
  return { kind: "delta", seq, lane: 0, text, reasoning: "" };
}

function status(seq: number, ...calls: Call[]): Status {
  return { kind: "status", seq, lane: 0, ...standing, state: "streaming", calls };
}

function snapshot(seq: number, text: string, calls: Call[]) {
  const lane: LaneState = { ...standing, state: "streaming", text, reasoning: "", calls };
  return { kind: "snapshot" as const, verdict: "", whole: false, seq, lanes: [lane] };
}

/** A lane on a page, drawn after every change. */
function laid(format: Format = "markdown") {
  const answers: [number, Answer][] = [];
  const feed = new Feed(1, {});
  const failed = (error: unknown) => assert.fail(String(error));
  const lane = new Lane(0, label, format, feed, () => undefined, failed, (...answer) => answers.push(answer));
  document.body.append(lane.element);
  const draw = () => {
    while (lane.draw());
    lane.refresh(false);
  };
  feed.watch({
    appended: (_, text, reasoning) => lane.append(text, reasoning),
    replaced: () => lane.replace(),
    changed: draw,
    failed,
  });
  draw();
  /** Text and names of tools in the order in which they stand on the page. */
  const order = () =>
    [...lane.element.querySelectorAll(".hs-body, .hs-call")]
      .map((part) => (part.matches(".hs-call") ? `<${part.querySelector(".hs-call-name")!.textContent}>` : part.textContent!.trim()))
      .filter(Boolean);
  const find = (selector: string) => lane.element.querySelector<HTMLElement>(selector)!;
  return { feed, lane, order, find, answers };
}

test("Calls stand in the text where they came, however the messages are cut or when the view appears.", () => {
  const text = "One.\n\nTwo.\n\nThree.";
  const calls = [call(0, 4, "done", { name: "a" }), call(1, 4, "done", { name: "b" }), call(2, 10, "done", { name: "c" })];
  const expected = ["One.", "<a>", "<b>", "Two.", "<c>", "Three."];
  for (const format of ["markdown", "text"] as const) {
    const late = laid(format);
    late.feed.receive(snapshot(9, text, calls));
    assert.deepEqual(late.order(), expected);
    const { feed, order } = laid(format);
    feed.receive(delta(1, "On"));
    feed.receive(delta(2, "e."));
    feed.receive(status(3, calls[0]!));
    feed.receive(status(4, calls[1]!));
    assert.deepEqual(order(), ["One.", "<a>", "<b>"]);
    feed.receive(delta(5, "\n\nTwo."));
    feed.receive(status(6, calls[2]!));
    feed.receive(delta(7, "\n\nThree."));
    assert.deepEqual(order(), expected);
    feed.receive(snapshot(8, "Other.", []));
    assert.deepEqual(order(), ["Other."]);
  }
});

test("A call whose message comes too early or is lost stands in its place once the gap is closed.", () => {
  const { feed, order, find } = laid();
  feed.receive(delta(1, "One."));
  feed.receive(status(3, call(0, 4, "done")));
  assert.deepEqual(order(), ["One."]);
  feed.receive(status(2, call(0, 4, "asking")));
  assert.deepEqual(order(), ["One.", "<look>"]);
  assert.equal(find(".hs-call").dataset.state, "done");
  feed.receive(delta(5, "\n\nTwo."));
  feed.receive(snapshot(4, "One.", [call(0, 4), call(1, 4)]));
  assert.deepEqual(order(), ["One.", "<look>", "<look>", "Two."]);
});

test("Whatever a tool or a model says is text.", () => {
  const hostile = "<img src=x onerror=alert(1)><script>alert(1)</script> **bold** $x$ [a](javascript:alert(1))";
  const { feed, find, lane } = laid();
  feed.receive(status(1, call(0, 0, "failed", { name: hostile, arguments: hostile, result: hostile, error: hostile })));
  const card = find(".hs-call");
  assert.equal(card.querySelector("img, script, strong, a"), null);
  for (const part of [".hs-call-name", ".hs-call-result", ".hs-call-error", "pre"]) {
    assert.equal(card.querySelector(part)!.textContent, hostile);
  }
  lane.element.remove();
});

test("It asks only while the kernel hears; one answer counts, and none in the first moment.", async () => {
  const { feed, find, answers, lane } = laid();
  const asking = call(0, 0, "asking", { arguments: '{"city":"Paris"}' });
  feed.receive(status(1, asking));
  assert.equal(find(".hs-ask").hidden, true);
  feed.receive(snapshot(1, "", [asking]));
  assert.equal(find(".hs-ask").hidden, false);
  assert.equal(find("details.hs-reasoning + .hs-body + .hs-calls details").hasAttribute("open"), true);
  assert.deepEqual([...lane.element.querySelectorAll<HTMLElement>(".hs-body")].map(({ hidden }) => hidden), [true, true]);
  const [allow, always, refuse] = [...find(".hs-ask").querySelectorAll("button")];
  allow!.click();
  assert.deepEqual(answers, []);
  await sleep(350);
  always!.click();
  refuse!.click();
  assert.deepEqual(answers, [[0, "always"]]);
  always!.focus();
  feed.receive(status(2, call(0, 0, "running")));
  assert.equal(find(".hs-ask").hidden, true);
  assert.equal(document.activeElement, find(".hs-call summary"));
  feed.receive(status(3, call(0, 0, "done", { result: "blue", time: "0.34 s" })));
  assert.equal(find(".hs-call-time").textContent, "0.34 s");
});

test("When the kernel goes, nothing asks or runs any more.", () => {
  const { feed, find } = laid();
  feed.receive(snapshot(1, "", [call(0, 0, "asking")]));
  feed.disconnected();
  assert.equal(find(".hs-ask").hidden, true);
  assert.equal(find(".hs-call").dataset.state, "stopped");
});

test("A listener hears once that a call waits for an answer.", () => {
  const { feed } = laid();
  const voice = new Voice(feed, [label]);
  feed.receive(status(1, call(0, 0, "asking")));
  voice.speak();
  voice.speak();
  const said = [...document.querySelectorAll("body > .hs-voice > div")].map(({ textContent }) => textContent);
  assert.deepEqual(said, ["model-a: look waits for your answer"]);
});
