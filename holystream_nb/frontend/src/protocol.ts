/**
 * The words between kernel and view; `live/widget.py` holds their twins.
 *
 * Traits: `lanes`, `keyframe`, `format`. Messages: FromKernel and ToKernel; any may be lost on its way (line.ts).
 */

/** An answer is `lost` whose kernel ended first: what had arrived comes from the journal. */
export type State = "waiting" | "streaming" | "done" | "stopped" | "interrupted" | "lost" | "truncated" | "failed";

/** The trait `format`: how answers are drawn. `code` is drawn as Markdown: the difference is what becomes of it later. */
export type Format = "markdown" | "text" | "code" | "json";

/** What a lane is called; the trait `lanes` is a list of these. `note` is shown as a badge, such as "simulator". */
export interface Label {
  label: string;
  provider: string;
  note: string;
}

/** What an answer cites: `address` is http:, https: or "", `host` whose it is. */
export interface Source {
  title: string;
  address: string;
  host: string;
}

/** A picture of an answer: `data` is a data: address, or "" where it is only said, with `address` where it lies elsewhere. */
export interface Picture {
  words: string;
  data: string;
  address: string;
  host: string;
}

/**
 * How a lane stands. Ready-made are `figures`, such as "TTFT 312 ms", and `thought`, of the reasoning, such as
 * "58 tokens · 1.2 s" or, without any, ""; `ending` says how the service ended the answer, such as "the service's filter
 * ended it", or "" where that need not be said; `elapsed_ms` is since the request began. Sources and pictures come with
 * the end.
 */
export interface Standing {
  state: State;
  figures: string[];
  ending: string;
  error: string;
  elapsed_ms: number;
  units: number;
  thought: string;
  sources?: Source[];
  pictures?: Picture[];
}

export type CallState = "writing" | "asking" | "running" | "done" | "failed" | "refused" | "stopped";

/**
 * A tool's call; `number` counts those of a lane from 0, `at` is the length of the lane's text before it. All the rest is
 * text, cut at a bound: `arguments` is JSON as the model wrote it; `time`, such as "0.34 s", is "" until there is one.
 */
export interface Call {
  number: number;
  at: number;
  name: string;
  arguments: string;
  state: CallState;
  result: string;
  error: string;
  time: string;
}

/** May a call run? `always`: neither need this tool's other calls in this answer be asked for. */
export type Answer = "allow" | "always" | "refuse";

/** All there is to draw of one lane. */
export interface LaneState extends Standing {
  text: string;
  reasoning: string;
  calls?: Call[];
}

/**
 * The trait `keyframe`: the whole state, up to and including message `seq`; `{}` before there is one. `whole`: nothing
 * more comes. `verdict` is a line under several lanes, such as "fastest: deepseek-v3.2 (84 tok/s)", or "" for none.
 */
export interface Keyframe {
  seq: number;
  lanes: LaneState[];
  verdict: string;
  whole: boolean;
}

/** `sent`: when the kernel sent it, in ms of its clock; a lane's first delta has it. */
export interface Delta {
  kind: "delta";
  seq: number;
  lane: number;
  text: string;
  reasoning: string;
  sent?: number;
}

/** `calls` are those that have changed. */
export interface Status extends Standing {
  kind: "status";
  seq: number;
  lane: number;
  calls?: Call[];
}

/** The answer to `ready` and `missed`. */
export interface Snapshot extends Keyframe {
  kind: "snapshot";
  sent?: number;
}

/** All lanes have ended, and were compared: the last message that counts. */
export interface Whole {
  kind: "whole";
  seq: number;
  verdict: string;
}

/** How far the feed is, and how far each page was heard: a number for each `from`. */
export interface Beat {
  kind: "beat";
  seq: number;
  heard: Record<string, number>;
}

/** The answer has ended, and nothing has put its plain output in the view's place. */
export interface Stays {
  kind: "stays";
}

/** The kernel hears nothing of this view any more. */
export interface Closed {
  kind: "closed";
}

export type FromKernel = Delta | Status | Snapshot | Whole | Beat | Stays | Closed;

/**
 * A view appeared; a snapshot is missing; a view has gone from its page; Stop was pressed; a call was answered for.
 *
 * `painted`, once a lane: `at` and `sent` are when its first text was painted and this was sent, by the page's clock in
 * ms; `down` is the least by which the page's clock was ahead of a message's `sent` when it came. `have`: all of a whole
 * answer has come, to message `seq`. These two are not said again; all others are numbered (line.ts).
 */
export type ToKernel =
  | { kind: "ready"; view: string }
  | { kind: "missed" }
  | { kind: "gone"; view: string }
  | { kind: "stop"; lane: number }
  | { kind: "consent"; lane: number; call: number; answer: Answer }
  | { kind: "painted"; lane: number; at: number; sent: number; down: number }
  | { kind: "have"; seq: number; from: string };

export function running(state: State): boolean {
  return state === "waiting" || state === "streaming";
}
