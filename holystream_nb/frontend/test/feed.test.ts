import assert from "node:assert/strict";
import { test } from "node:test";
import { Feed } from "../src/feed";
import type { Delta, LaneState, Snapshot, State, Status } from "../src/protocol";
import { random } from "./samples";

const standing = { figures: [], ending: "", error: "", elapsed_ms: 0, units: 0, thought: "" };

function delta(seq: number, text: string, lane = 0): Delta {
  return { kind: "delta", seq, lane, text, reasoning: "" };
}

function status(seq: number, state: State, lane = 0): Status {
  return { kind: "status", seq, lane, ...standing, state };
}

function state(text: string, state: State = "streaming"): LaneState {
  return { ...standing, text, reasoning: "", state };
}

function snapshot(seq: number, text: string): Snapshot {
  return { kind: "snapshot", seq, lanes: [state(text)], verdict: "", whole: false };
}

function feeding({ lanes = 1, keyframe = {} } = {}) {
  const now = { ms: 0 };
  const shown = Array.from({ length: lanes }, () => "");
  const failures: unknown[] = [];
  const feed = new Feed(lanes, keyframe, () => now.ms);
  feed.watch({
    appended: (lane, text) => (shown[lane] += text),
    replaced: (lane) => (shown[lane] = feed.lanes[lane]!.text),
    changed: () => undefined,
    failed: (error) => failures.push(error),
  });
  return { feed, now, shown, failures };
}

test("Deltas in order are appended, each once, and the first one ends the waiting.", () => {
  const { feed, shown } = feeding({ lanes: 2 });
  assert.equal(feed.lanes[0]!.state, "waiting");
  for (const message of [delta(1, "a"), delta(2, "b"), delta(2, "b"), delta(1, "a"), delta(3, "x", 1)]) feed.receive(message);
  assert.deepEqual(shown, ["ab", "x"]);
  assert.deepEqual(feed.lanes.map((lane) => lane.state), ["streaming", "streaming"]);
  assert.equal(feed.behind, false);
});

test("A view that starts late goes on from the keyframe it finds.", () => {
  const { feed, shown } = feeding({ keyframe: { seq: 7, lanes: [state("So far ")] } });
  feed.receive(delta(7, "old"));
  feed.receive(delta(8, "and on"));
  assert.equal(feed.lanes[0]!.text, "So far and on");
  assert.deepEqual(shown, ["and on"]);
});

test("After a gap nothing is shown out of order, and a snapshot closes it.", () => {
  const { feed, shown } = feeding();
  feed.receive(delta(1, "a"));
  feed.receive(delta(3, "c"));
  feed.receive(delta(4, "d"));
  assert.deepEqual(shown, ["a"]);
  assert.equal(feed.behind, true);
  feed.receive(snapshot(3, "abc"));
  assert.deepEqual(shown, ["abcd"]);
  assert.equal(feed.behind, false);
});

test("A gap at the end is noticed when it is said how many messages there are.", () => {
  const { feed, shown } = feeding();
  feed.receive(delta(1, "a"));
  feed.reaches(1);
  assert.equal(feed.behind, false);
  feed.reaches(2);
  assert.equal(feed.behind, true);
  feed.receive({ ...snapshot(3, "abc"), verdict: "first: a", whole: true });
  assert.deepEqual([feed.behind, feed.whole, feed.verdict, shown[0]], [false, true, "first: a", "abc"]);
});

test("An answer is whole when its last message has come, and every one before.", () => {
  const { feed } = feeding();
  feed.receive({ kind: "whole", seq: 2, verdict: "first: a" });
  assert.deepEqual([feed.whole, feed.behind, feed.verdict], [false, true, ""]);
  feed.receive(status(1, "done"));
  assert.deepEqual([feed.whole, feed.behind, feed.verdict], [true, false, "first: a"]);
});

test("A missing message that comes late after all closes the gap as well.", () => {
  const { feed, shown } = feeding();
  for (const seq of [2, 4, 3, 1]) feed.receive(delta(seq, String(seq)));
  assert.deepEqual(shown, ["1234"]);
  assert.equal(feed.behind, false);
});

test("A keyframe closes a gap; one that is older than what is shown changes nothing.", () => {
  const { feed, shown } = feeding();
  feed.receive(delta(1, "a"));
  feed.receive(delta(3, "c"));
  feed.keyframe({ seq: 2, lanes: [state("ab")] });
  assert.deepEqual(shown, ["abc"]);
  feed.keyframe({ seq: 2, lanes: [state("ab")] });
  feed.keyframe({});
  assert.deepEqual(shown, ["abc"]);
});

test("A snapshot of what is shown already changes no text; one that differs replaces it.", () => {
  const { feed, shown } = feeding();
  feed.receive(delta(1, "a"));
  feed.receive(snapshot(1, "a"));
  assert.equal(feed.heard, true);
  assert.deepEqual(shown, ["a"]);
  feed.receive(snapshot(1, "b"));
  assert.deepEqual(shown, ["b"]);
});

test("A snapshot older than what is shown proves only that the kernel hears.", () => {
  const { feed, shown } = feeding();
  feed.receive(delta(1, "a"));
  feed.receive(delta(2, "b"));
  feed.receive(snapshot(1, "a"));
  assert.equal(feed.heard, true);
  assert.deepEqual(shown, ["ab"]);
});

test("An end beyond an open gap ends the lane at once, and a snapshot from before it does not open it again.", () => {
  const { feed, shown } = feeding();
  feed.receive(delta(1, "a"));
  feed.receive(delta(3, "c"));
  feed.receive(status(4, "done"));
  assert.equal(feed.lanes[0]!.state, "done");
  assert.equal(feed.behind, true);
  feed.receive(snapshot(2, "ab"));
  assert.equal(feed.lanes[0]!.state, "done");
  assert.deepEqual(shown, ["abc"]);
  assert.equal(feed.behind, false);
});

test("An older status never overwrites a newer one.", () => {
  const { feed } = feeding();
  feed.receive(status(3, "stopped"));
  feed.receive(status(1, "waiting"));
  feed.receive(status(2, "streaming"));
  assert.equal(feed.lanes[0]!.state, "stopped");
});

test("In whatever order messages come, and whichever are lost, the text is a beginning of the answer, then all of it.", () => {
  for (let seed = 0; seed < 200; seed++) {
    const next = random(seed);
    const answer = Array.from({ length: 40 }, (_, index) => `${index} `);
    const { feed, shown } = feeding();
    const order = answer.map((text, index) => ({ at: index + next() * 6, message: delta(index + 1, text) }));
    order.sort((a, b) => a.at - b.at);
    for (const { message } of order) {
      if (next() < 0.2) continue;
      feed.receive(message);
      if (next() < 0.05) feed.receive(snapshot(message.seq, answer.slice(0, message.seq).join("")));
      if (next() < 0.05) feed.keyframe({ seq: message.seq, lanes: [state(answer.slice(0, message.seq).join(""))], verdict: "", whole: false });
      assert.ok(answer.join("").startsWith(shown[0]!), shown[0]);
      assert.equal(shown[0], feed.lanes[0]!.text);
    }
    feed.receive(snapshot(40, answer.join("")));
    assert.equal(shown[0], answer.join(""));
    assert.equal(feed.behind, false);
  }
});

test("The clock goes on from the kernel's own time.", () => {
  const { feed, now } = feeding();
  now.ms = 5000;
  feed.receive({ ...status(1, "waiting"), elapsed_ms: 1200 });
  assert.equal(now.ms - feed.lanes[0]!.since, 1200);
});

test("A kernel that goes is noticed while something runs, and forgiven when it speaks again.", () => {
  const { feed } = feeding();
  feed.disconnected();
  assert.equal(feed.lost, true);
  feed.receive(status(1, "done"));
  assert.equal(feed.lost, false);
  feed.disconnected();
  assert.equal(feed.lost, false);
});

test("A message that makes no sense is reported, and the feed goes on.", () => {
  const { feed, shown, failures } = feeding();
  feed.receive(delta(1, "?", 5));
  feed.receive(delta(2, "a"));
  assert.equal(failures.length, 1);
  assert.deepEqual(shown, ["a"]);
});
