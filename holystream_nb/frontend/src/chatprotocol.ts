/**
 * The words between a chat panel's kernel and page; `chat/widget.py` holds their twins. Traits are state, messages motion.
 *
 * A turn is one question and the answers of one to four models to it, which are an ordinary feed: what travels of them is
 * that of a live view (protocol.ts), in an envelope. `seq` counts conversation, added, cut, chosen and judged of one panel,
 * from 1: where one is missing the page sends `missed`, and goes on from the next `conversation`.
 */
import type { Format, FromKernel, Keyframe, Label, ToKernel } from "./protocol";

export interface PanelTraits {
  /** Whom the next question goes to, one to four; more than one are compared. */
  models: string[];
  system: string;
  temperature: number | null;
  max_tokens: number | null;
  catalogue: Offer[];
  is_streaming: boolean;
  /** Ready-made, such as "12 requests · 3,412 tokens · $0.0012". */
  total: string;
  examples: string[];
  /** The pages in which the saved copy under the panel is no longer brought up to date. */
  stale: string[];
  title: string;
  note: string;
  /** A panel of the same name, as that of the same cell run again, goes on with the conversation. */
  is_kept: boolean;
}

/** A model that can be asked; `value` is what `models` calls it, such as "gpt-4.1" or "provider:gpt-4.1". */
export interface Offer {
  value: string;
  provider: string;
  note: string;
}

/** `chosen` is the lane that the conversation goes on with, -1 while that is open; `verdict` is as in protocol.ts. */
export interface Turn {
  id: string;
  question: string;
  lanes: Label[];
  format: Format;
  keyframe: Keyframe;
  chosen: number;
  verdict: string;
}

/** The answer to `ready` and `missed`: all there is. */
export interface Conversation {
  kind: "conversation";
  seq: number;
  turns: Turn[];
}

export interface Added {
  kind: "added";
  seq: number;
  turn: Turn;
}

/** The turns from index `from` on are gone. */
export interface Cut {
  kind: "cut";
  seq: number;
  from: number;
}

export interface Chosen {
  kind: "chosen";
  seq: number;
  turn: string;
  lane: number;
}

/** All answers to a question have ended, and were compared. */
export interface Judged {
  kind: "judged";
  seq: number;
  turn: string;
  verdict: string;
}

/** A message of a turn's own feed. */
export interface OfTurn {
  kind: "turn";
  turn: string;
  message: FromKernel;
}

/** A line for the reader that belongs to no answer. */
export interface Said {
  kind: "said";
  text: string;
  level: "info" | "error";
}

export type FromPanel = Conversation | Added | Cut | Chosen | Judged | OfTurn | Said;

/**
 * `page` is a random word for the browser's page; `edit`, `regenerate` and `delete` cut the conversation at their turn;
 * `appends` tells that what the kernel displays later still comes to the cell it belongs to;
 * `open` names a provider whose models the reader is looking for: what its service lists comes into `catalogue`.
 */
export type ToPanel =
  | { kind: "ready"; page: string; appends: boolean }
  | { kind: "missed" }
  | { kind: "gone"; page: string }
  | { kind: "turn"; turn: string; message: ToKernel }
  | { kind: "send"; text: string }
  | { kind: "stop" }
  | { kind: "regenerate"; turn: string }
  | { kind: "edit"; turn: string; text: string }
  | { kind: "delete"; turn: string }
  | { kind: "begin_anew" }
  | { kind: "choose"; turn: string; lane: number }
  | { kind: "open"; provider: string }
  | { kind: "save_copy" };
